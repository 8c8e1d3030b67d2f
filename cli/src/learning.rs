//! What a run learns beside an initialisation, and which layers adapt, as options say it.

use std::fmt;
use std::str::FromStr;

use clap::ValueEnum;
use meta::problem::{Adapts, Learned, Share};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Which layers adapt.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum AdaptName {
    /// All.
    #[default]
    All,
    /// The last alone (ANIL).
    Head,
    /// All but the last (BOIL).
    Body,
}

impl AdaptName {
    /// As in sentences.
    pub fn title(self) -> &'static str {
        match self {
            AdaptName::All => "all layers",
            AdaptName::Head => "the last layer alone (ANIL)",
            AdaptName::Body => "all layers but the last (BOIL)",
        }
    }
}

impl From<AdaptName> for Adapts {
    fn from(name: AdaptName) -> Adapts {
        match name {
            AdaptName::All => Adapts::All,
            AdaptName::Head => Adapts::Head,
            AdaptName::Body => Adapts::Body,
        }
    }
}

/// `lambda`, `rate:layer`, `lambda:parameter,rate`: what is learned, and whether as one number, one a layer or one a
/// parameter.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Learn(pub Learned);

impl fmt::Display for Learn {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let part = |name: &str, share: Option<Share>| {
            share.map(|share| match share {
                Share::One => name.to_string(),
                Share::Layer => format!("{name}:layer"),
                Share::Parameter => format!("{name}:parameter"),
            })
        };
        let Learned { lambda, rate } = self.0;
        let parts: Vec<String> = [part("lambda", lambda), part("rate", rate)].into_iter().flatten().collect();
        f.write_str(&parts.join(","))
    }
}

impl FromStr for Learn {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let mut learned = Learned::default();
        for part in text.split(',') {
            let (name, share) = part.split_once(':').map_or((part, None), |(name, share)| (name, Some(share)));
            let place = match name {
                "lambda" => &mut learned.lambda,
                "rate" => &mut learned.rate,
                _ => return Err(format!("{name:?} cannot be learned: expected lambda or rate")),
            };
            let share = match share {
                None => Share::One,
                Some("layer") => Share::Layer,
                Some("parameter") => Share::Parameter,
                Some(other) => {
                    return Err(format!("{name} has no {other:?}: expected {name}:layer or {name}:parameter"));
                }
            };
            if place.replace(share).is_some() {
                return Err(format!("{name} is named twice"));
            }
        }
        Ok(Learn(learned))
    }
}

impl Serialize for Learn {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl<'de> Deserialize<'de> for Learn {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_written_is_what_was_read() {
        for text in ["lambda", "rate:layer", "lambda:parameter,rate", "lambda:layer,rate:parameter"] {
            assert_eq!(text.parse::<Learn>().unwrap().to_string(), text);
        }
        for wrong in ["", "theta", "rate:", "rate:head", "rate,rate"] {
            assert!(wrong.parse::<Learn>().is_err(), "{wrong}");
        }
    }
}
