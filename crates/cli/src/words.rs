//! How numbers and lists are written for people.

use wgrad::train::Evaluation;
use wgrad::{Layer, Network, Normalization};

/// `text` without characters that could steer a terminal.
pub fn printable(text: &str) -> String {
    text.chars().map(|c| if c.is_control() && c != '\n' { ' ' } else { c }).collect()
}

/// A number with about four digits, in scientific notation where it would be long.
pub fn short(x: f64) -> String {
    match x.abs() {
        0.0 => "0".into(),
        size if (1e-3..10.0).contains(&size) => format!("{x:.4}"),
        size if (10.0..1e4).contains(&size) => format!("{x:.2}"),
        size if (1e4..1e9).contains(&size) => format!("{x:.0}"),
        _ => format!("{x:.3e}"),
    }
}

/// A number with at most six digits that say something, as a person would write it.
pub fn digits(x: f64) -> String {
    // Without the sign of a 0.
    let x = x + 0.0;
    let rounded = format!("{x:.5e}");
    let Some((mantissa, exponent)) = rounded.split_once('e') else { return rounded };
    let trimmed = |text: &str| match text.contains('.') {
        true => text.trim_end_matches('0').trim_end_matches('.').to_owned(),
        false => text.to_owned(),
    };
    match exponent.parse::<i32>() {
        Ok(exponent @ -4..=5) => trimmed(&format!("{x:.*}", (5 - exponent) as usize)),
        _ => format!("{}e{exponent}", trimmed(mantissa)),
    }
}

/// `174 k`
pub fn thousands(x: f64) -> String {
    match x {
        x if x >= 1e9 => format!("{:.2} G", x / 1e9),
        x if x >= 1e6 => format!("{:.2} M", x / 1e6),
        x if x >= 1e4 => format!("{:.0} k", x / 1e3),
        x => format!("{x:.0}"),
    }
}

/// At most ten of `names`.
pub fn list(names: &[String]) -> String {
    let shown = names.iter().take(10).map(String::as_str).collect::<Vec<_>>().join(", ");
    match names.len().saturating_sub(10) {
        0 => shown,
        more => format!("{shown} and {more} more"),
    }
}

/// `16 KiB`
pub fn bytes(count: u64) -> String {
    const UNITS: [&str; 5] = ["bytes", "KiB", "MiB", "GiB", "TiB"];
    let power = (count.max(1).ilog2() as usize / 10).min(UNITS.len() - 1);
    let size = count as f64 / 1024f64.powi(power as i32);
    let digits = if power == 0 || size.fract() == 0.0 { 0 } else { 1 };
    format!("{size:.digits$} {}", UNITS[power])
}

/// How well outputs meet the answers, in the measure that suits the task.
pub struct Score {
    /// The measure's name in JSON.
    pub key: &'static str,
    /// Its name for people.
    pub name: &'static str,
    /// At most 1.
    pub value: f64,
}

impl Score {
    /// The accuracy for classes, R² for numbers; `None` where there is nothing to measure by.
    pub fn of(evaluation: &Evaluation) -> Option<Score> {
        let accuracy = evaluation.accuracy.map(|value| Score { key: "accuracy", name: "accuracy", value });
        accuracy.or(evaluation.r_squared.map(|value| Score { key: "r_squared", name: "R²", value }))
    }
}

/// `accuracy 0.9722, loss 0.0911`
pub fn describe(evaluation: &Evaluation) -> String {
    let score = Score::of(evaluation).map(|Score { name, value, .. }| format!("{name} {value:.4}, "));
    format!("{}loss {}", score.unwrap_or_default(), short(evaluation.loss))
}

/// The rows of a table as lines, each column as wide as its widest field; the first column flush left.
pub fn table(rows: &[Vec<String>]) -> String {
    let mut widths: Vec<usize> = vec![0; rows.iter().map(Vec::len).max().unwrap_or(0)];
    for row in rows {
        widths.iter_mut().zip(row).for_each(|(width, field)| *width = field.chars().count().max(*width));
    }
    let line = |row: &Vec<String>| {
        let fields = row.iter().zip(&widths).enumerate().map(|(column, (field, &width))| {
            if column == 0 { format!("{field:<width$}") } else { format!("  {field:>width$}") }
        });
        fields.collect::<String>().trim_end().to_owned()
    };
    rows.iter().map(line).collect::<Vec<_>>().join("\n")
}

/// What surrounds `f(W x + b)` in a layer, in words; nothing where nothing does.
pub fn around(layer: &Layer) -> String {
    let normalization = match layer.normalization {
        Normalization::None => None,
        Normalization::Layer => Some("layer normalisation".to_owned()),
        Normalization::Batch => Some("batch normalisation".to_owned()),
    };
    let residual = layer.residual.then(|| "residual".to_owned());
    let dropout = (!layer.dropout.is_off()).then(|| format!("dropout {}", layer.dropout.0));
    [normalization, residual, dropout].into_iter().flatten().collect::<Vec<_>>().join(", ")
}

/// The same of all layers of a network, as clauses behind others.
pub fn surroundings(network: &Network) -> String {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for (i, layer) in network.layers.iter().enumerate().filter(|(_, layer)| !layer.is_plain()) {
        let words = around(layer);
        match groups.iter_mut().find(|(known, _)| *known == words) {
            Some((_, layers)) => layers.push(i.to_string()),
            None => groups.push((words, vec![i.to_string()])),
        }
    }
    let clause = |(words, layers): &(String, Vec<String>)| {
        format!("; {words} in layer{} {}", if layers.len() > 1 { "s" } else { "" }, layers.join(", "))
    };
    groups.iter().map(clause).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_short() {
        let written = [0.0, 0.31, -2.5, 99.5, 123456.0, 1e-9, f64::NAN].map(short);
        assert_eq!(written, ["0", "0.3100", "-2.5000", "99.50", "123456", "1.000e-9", "NaN"]);
        assert_eq!(
            [0, 512, 16384, 1 << 27, 3 << 29].map(bytes),
            ["0 bytes", "512 bytes", "16 KiB", "128 MiB", "1.5 GiB"]
        );
    }

    #[test]
    fn digits_are_those_that_say_something() {
        let numbers = [-0.0, 220.00000000000003, -2.2, 1.0 / 3.0, 1e-5, 99999.96, 999999.6, 1234567.0, f64::INFINITY];
        let written = ["0", "220", "-2.2", "0.333333", "1e-5", "100000", "1e6", "1.23457e6", "inf"];
        assert_eq!(numbers.map(digits), written);
    }

    #[test]
    fn large_numbers_have_a_letter() {
        assert_eq!([0.4, 999.0, 173_901.0, 2.5e6, 4e9].map(thousands), ["0", "999", "174 k", "2.50 M", "4.00 G"]);
    }

    #[test]
    fn a_table_has_aligned_columns() {
        let row = |fields: [&str; 2]| fields.map(String::from).to_vec();
        assert_eq!(table(&[row(["a", "1"]), row(["bcd", "23"])]), "a     1\nbcd  23");
    }

    #[test]
    fn text_cannot_steer_a_terminal() {
        assert_eq!(printable("a\u{1b}[31mb\nc"), "a [31mb\nc");
    }
}
