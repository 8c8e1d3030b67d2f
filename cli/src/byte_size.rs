//! Amounts of memory, as people write them.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// Units, largest first.
const UNITS: [(&str, u64); 6] =
    [("GiB", 1 << 30), ("GB", 1_000_000_000), ("MiB", 1 << 20), ("MB", 1_000_000), ("KiB", 1 << 10), ("kB", 1_000)];

/// Bytes: `64MiB`, `1.5GiB`, `300000`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(into = "String", try_from = "String")]
pub struct ByteSize(pub u64);

impl ByteSize {
    /// As a length; what is beyond that is no bound.
    pub fn bytes(self) -> usize {
        usize::try_from(self.0).unwrap_or(usize::MAX)
    }
}

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let refusal =
            || format!("{text:?} is no amount of memory: expected bytes or a unit, as in 300000, 64MiB or 1.5GiB");
        let unit = UNITS.iter().find_map(|&(name, size)| Some((text.strip_suffix(name)?, size)));
        let Some((number, size)) = unit else { return text.parse().map(ByteSize).map_err(|_| refusal()) };
        let number: f64 = number.trim_end().parse().map_err(|_| refusal())?;
        let bytes = (number * size as f64).floor();
        // Beyond 2⁵³ not every number of bytes is one of f64.
        if (0.0..=9.0e15).contains(&bytes) { Ok(ByteSize(bytes as u64)) } else { Err(refusal()) }
    }
}

/// In the largest unit in which it is whole.
impl fmt::Display for ByteSize {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let whole = |&&(_, size): &&(&str, u64)| self.0 > 0 && self.0.is_multiple_of(size);
        match UNITS.iter().filter(|(name, _)| name.contains('i')).find(whole) {
            Some((name, size)) => write!(f, "{}{name}", self.0 / size),
            None => write!(f, "{}", self.0),
        }
    }
}

impl From<ByteSize> for String {
    fn from(size: ByteSize) -> String {
        size.to_string()
    }
}

impl TryFrom<String> for ByteSize {
    type Error = String;

    fn try_from(text: String) -> Result<Self, String> {
        text.parse()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn amounts_are_read_and_written() {
        for (text, bytes, written) in [
            ("300000", 300_000, "300000"),
            ("64MiB", 64 << 20, "64MiB"),
            ("1.5GiB", 3 << 29, "1536MiB"),
            ("1.5 GiB", 3 << 29, "1536MiB"),
            ("2MB", 2_000_000, "2000000"),
            ("0.1KiB", 102, "102"),
            ("0", 0, "0"),
        ] {
            let size: ByteSize = text.parse().unwrap();
            assert_eq!((size.0, size.to_string().as_str()), (bytes, written));
            assert_eq!(written.parse(), Ok(size));
        }
        for wrong in ["", "MiB", "1.5", "-1MiB", "infGiB", "nanMiB", "64 megabytes", "64mib", "-3"] {
            assert!(wrong.parse::<ByteSize>().is_err(), "{wrong}");
        }
    }
}
