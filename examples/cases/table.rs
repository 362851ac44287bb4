//! What a case gives beside what was found.

use std::fmt::{self, Display, Formatter};
use wgrad::compare::{Comparison, compare};

/// How far a found number may be from the given one; never less than half a unit of its last printed digit.
#[derive(Clone, Copy)]
pub enum Within {
    /// Of the given number.
    Relative(f64),
    /// In the number's own unit.
    Absolute(f64),
}

/// The quantities of a case, in order.
pub struct Table {
    title: String,
    pub rows: Vec<Row>,
}

/// A quantity, and how it compares or why it fails.
pub struct Row {
    pub quantity: String,
    pub outcome: Result<Comparison, String>,
}

impl Table {
    pub fn new(title: String) -> Self {
        Table { title, rows: Vec::new() }
    }

    /// One row for each number of `given`, which are written as the case prints them.
    pub fn given(&mut self, quantity: &str, given: &str, found: &[f64], within: Within) {
        let digits: Vec<&str> = given.split_whitespace().collect();
        let expected: Vec<f64> = digits.iter().map(|digits| digits.parse().unwrap_or(f64::NAN)).collect();
        let bound = |(digits, x): (&&str, &f64)| match within {
            Within::Relative(relative) => (relative * x.abs()).max(half_unit(digits)),
            Within::Absolute(absolute) => absolute.max(half_unit(digits)),
        };
        let bounds: Vec<f64> = digits.iter().zip(&expected).map(bound).collect();
        if expected.len() == 1 || expected.len() != found.len() {
            return self.worst(quantity, &expected, found, &bounds);
        }
        for i in 0..expected.len() {
            self.within(&format!("{quantity} {}", i + 1), expected[i], found[i], bounds[i]);
        }
    }

    /// A row for one number.
    pub fn within(&mut self, quantity: &str, expected: f64, found: f64, bound: f64) {
        self.worst(quantity, &[expected], &[found], &[bound]);
    }

    /// A row for the number that comes nearest to its bound.
    pub fn worst(&mut self, quantity: &str, expected: &[f64], found: &[f64], bounds: &[f64]) {
        let outcome = compare(quantity, found, expected, bounds);
        self.rows.push(Row { quantity: quantity.to_owned(), outcome });
    }

    pub fn holds(&self) -> bool {
        !self.rows.is_empty() && self.rows.iter().all(|row| row.outcome.is_ok())
    }
}

/// Half a unit of the last digit of a printed number: 5e-9 for `0.75136507`, 5e-16 for `2.447562236e-06`.
fn half_unit(digits: &str) -> f64 {
    let (mantissa, exponent) = digits.split_once('e').unwrap_or((digits, "0"));
    let decimals = mantissa.split_once('.').map_or(0, |(_, decimals)| decimals.len());
    0.5 * 10f64.powi(exponent.parse().unwrap_or(0) - decimals as i32)
}

/// Twelve decimals of a fraction, ten digits of a small one.
fn number(x: f64) -> String {
    match x.abs() {
        _ if x.fract() == 0.0 => format!("{x}"),
        1e-3.. => format!("{x:.12}"),
        _ => format!("{x:.9e}"),
    }
}

impl Display for Table {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        writeln!(f, "{}", self.title)?;
        let [expected, found, difference, allowed] = ["expected", "found", "difference", "allowed"];
        writeln!(f, "  {:<52} {expected:>18} {found:>18} {difference:>11} {allowed:>8}", "quantity")?;
        self.rows.iter().try_for_each(|row| writeln!(f, "  {row}"))
    }
}

impl Display for Row {
    /// Difference and bound are relative to the expected number, or absolute where that is 0.
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.outcome {
            Ok(Comparison { actual, expected, bound, .. }) => {
                let unit = if *expected == 0.0 { 1.0 } else { expected.abs() };
                let (difference, bound) = ((actual - expected).abs() / unit, bound / unit);
                let (expected, actual) = (number(*expected), number(*actual));
                write!(f, "{:<52} {expected:>18} {actual:>18} {difference:>11.1e} {bound:>8.1e}", self.quantity)
            }
            Err(why) => write!(f, "WRONG {why}"),
        }
    }
}
