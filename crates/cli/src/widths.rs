//! Networks written as their widths: `784-256-10`.

use wgrad::{Error, Result};

/// Whether `text` is meant as widths.
pub fn meant(text: &str) -> bool {
    text.starts_with(|c: char| c.is_ascii_digit()) && text.chars().all(|c| c.is_ascii_digit() || c == '-')
}

/// The widths in `text`, from the input to the output: two or more.
pub fn parse(text: &str) -> Result<Vec<usize>> {
    let widths: Result<Vec<usize>, _> = text.split('-').map(str::parse).collect();
    match widths {
        Ok(widths) if widths.len() > 1 => Ok(widths),
        _ => Err(Error::Config(format!(
            "expected widths from the input to the output, as in 784-256-10, found {text:?}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn widths_are_numbers_with_dashes() {
        assert_eq!(parse("784-256-10").unwrap(), [784, 256, 10]);
        for wrong in ["784", "784-", "a-b", "", "-3-4", "1-99999999999999999999"] {
            assert!(parse(wrong).is_err(), "{wrong}");
        }
        assert!(meant("7-") && !meant("digits") && !meant("3.csv"));
    }
}
