//! Numbers of bytes as people write them.

use std::fmt;
use std::str::FromStr;
use wgrad::Error;

const UNITS: [&str; 5] = ["", "KiB", "MiB", "GiB", "TiB"];

/// A number of bytes: `512`, `64MiB`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Size(pub u64);

impl FromStr for Size {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        let digits = text.trim_end_matches(|c: char| !c.is_ascii_digit());
        let unit = text[digits.len()..].trim();
        let power = UNITS.iter().position(|known| known.eq_ignore_ascii_case(unit));
        let bytes = power.and_then(|power| digits.parse::<u64>().ok()?.checked_mul(1 << (10 * power)));
        let expected = "expected bytes, or a whole number of KiB, MiB, GiB or TiB as in 64MiB";
        bytes.map(Size).ok_or_else(|| Error::Config(format!("{expected}, found {text:?}")))
    }
}

impl fmt::Display for Size {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let power = (self.0.max(1).trailing_zeros() as usize / 10).min(UNITS.len() - 1);
        write!(f, "{}{}", self.0 >> (10 * power), UNITS[power])
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_read_and_written() {
        let size = |text: &str| text.parse::<Size>().ok().map(|size| (size.0, size.to_string()));
        assert_eq!(size("0"), Some((0, "0".into())));
        assert_eq!(size("1000"), Some((1000, "1000".into())));
        assert_eq!(size("64MiB"), Some((64 << 20, "64MiB".into())));
        assert_eq!(size("2048 kib"), Some((2 << 20, "2MiB".into())));
        assert_eq!(size("1536MiB"), Some((1536 << 20, "1536MiB".into())));
        for wrong in ["", "MiB", "-1", "1.5GiB", "64MB", "64 M", "99999999TiB"] {
            assert_eq!(size(wrong), None, "{wrong}");
        }
    }
}
