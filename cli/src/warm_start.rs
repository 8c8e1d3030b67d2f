//! Where linear solves start, by name.

use std::fmt;

use clap::ValueEnum;
use meta::method::WarmStart;
use serde::Serialize;
use serde::de::{Deserialize, Deserializer, Error, Visitor};

/// Where linear solves start.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum WarmStartName {
    /// From 0.
    #[default]
    #[value(alias = "false")]
    None,
    /// From the last iteration's mean meta-gradient.
    #[value(alias = "true")]
    Previous,
    /// Tasks go in pairs: the second from the first's meta-gradient.
    Neighbour,
}

impl WarmStartName {
    /// As `meta` calls it.
    pub fn start(self) -> Option<WarmStart> {
        match self {
            WarmStartName::None => None,
            WarmStartName::Previous => Some(WarmStart::Previous),
            WarmStartName::Neighbour => Some(WarmStart::Neighbour),
        }
    }
}

/// By name, or as config files had it when there was only one: `true` or `false`.
impl<'de> Deserialize<'de> for WarmStartName {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(NameOrFlag)
    }
}

struct NameOrFlag;

impl Visitor<'_> for NameOrFlag {
    type Value = WarmStartName;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("none, previous or neighbour")
    }

    fn visit_bool<E: Error>(self, flag: bool) -> Result<WarmStartName, E> {
        Ok(if flag { WarmStartName::Previous } else { WarmStartName::None })
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<WarmStartName, E> {
        WarmStartName::from_str(name, false).map_err(|_| E::unknown_variant(name, &["none", "previous", "neighbour"]))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::settings::Settings;

    #[test]
    fn files_have_names_and_older_ones_flags() {
        let read = |text: &str| toml::from_str::<Settings>(&format!("warm-start = {text}")).map(|s| s.warm_start);
        for (text, expected) in [
            ("false", WarmStartName::None),
            ("true", WarmStartName::Previous),
            ("\"none\"", WarmStartName::None),
            ("\"previous\"", WarmStartName::Previous),
            ("\"neighbour\"", WarmStartName::Neighbour),
        ] {
            assert_eq!(read(text).unwrap(), Some(expected), "{text}");
        }
        assert!(read("\"next\"").unwrap_err().to_string().contains("neighbour"));
        assert!(read("3").unwrap_err().to_string().contains("neighbour"));
    }
}
