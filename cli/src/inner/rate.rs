//! The size of an inner step: a number, or left to the program.

use std::fmt;
use std::str::FromStr;

use serde::de::{self, Deserializer, Visitor};
use serde::{Deserialize, Serialize, Serializer};

/// The size of a step.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum InnerRate {
    /// This.
    Given(f64),
    /// For every task its own.
    Auto,
}

impl fmt::Display for InnerRate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            InnerRate::Given(rate) => rate.fmt(f),
            InnerRate::Auto => f.write_str("auto"),
        }
    }
}

impl FromStr for InnerRate {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(InnerRate::Auto),
            _ => text.parse().map(InnerRate::Given).map_err(|_| String::from("expected a number above 0, or auto")),
        }
    }
}

impl Serialize for InnerRate {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match self {
            InnerRate::Given(rate) => serializer.serialize_f64(*rate),
            InnerRate::Auto => serializer.serialize_str("auto"),
        }
    }
}

impl<'de> Deserialize<'de> for InnerRate {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct NumberOrWord;
        impl Visitor<'_> for NumberOrWord {
            type Value = InnerRate;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a number above 0, or \"auto\"")
            }
            fn visit_f64<E: de::Error>(self, rate: f64) -> Result<InnerRate, E> {
                Ok(InnerRate::Given(rate))
            }
            fn visit_i64<E: de::Error>(self, rate: i64) -> Result<InnerRate, E> {
                Ok(InnerRate::Given(rate as f64))
            }
            fn visit_str<E: de::Error>(self, word: &str) -> Result<InnerRate, E> {
                if word == "auto" {
                    Ok(InnerRate::Auto)
                } else {
                    Err(E::invalid_value(de::Unexpected::Str(word), &self))
                }
            }
        }
        deserializer.deserialize_any(NumberOrWord)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rate_is_a_number_or_a_word() {
        #[derive(Debug, PartialEq, Serialize, Deserialize)]
        struct File {
            rate: InnerRate,
        }
        for (text, rate) in [("rate = 0.1\n", InnerRate::Given(0.1)), ("rate = \"auto\"\n", InnerRate::Auto)] {
            assert_eq!(toml::from_str::<File>(text).unwrap(), File { rate });
            assert_eq!(toml::to_string(&File { rate }).unwrap(), text);
        }
        assert_eq!(toml::from_str::<File>("rate = 1").unwrap().rate, InnerRate::Given(1.0));
        assert!(toml::from_str::<File>("rate = \"fast\"").unwrap_err().to_string().contains("auto"));
        assert!("fast".parse::<InnerRate>().is_err());
    }
}
