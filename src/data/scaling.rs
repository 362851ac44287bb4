//! Bringing the input columns to comparable sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Matrix;
use crate::error::did_you_mean;
use crate::{Error, Result};

/// How input columns are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(try_from = "String", into = "String")]
pub enum ScalingKind {
    /// As they are.
    None,
    /// To mean 0 and standard deviation 1 (that of the population).
    Standard,
    /// To the range from 0 to 1.
    MinMax,
    /// To another range; as a text, `range:LOW:HIGH`.
    Range {
        /// What the least value becomes, finite.
        low: f32,
        /// What the greatest value becomes, finite and above `low`.
        high: f32,
    },
}

impl ScalingKind {
    const NAMES: [(&'static str, ScalingKind); 3] =
        [("none", ScalingKind::None), ("standard", ScalingKind::Standard), ("min_max", ScalingKind::MinMax)];
}

impl fmt::Display for ScalingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            ScalingKind::Range { low, high } => f.pad(&format!("range:{low}:{high}")),
            _ => f.pad(Self::NAMES.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name)),
        }
    }
}

impl FromStr for ScalingKind {
    type Err = Error;

    /// `none`, `standard`, `min_max` (also `minmax` and `min-max`) or `range:LOW:HIGH`.
    fn from_str(text: &str) -> Result<ScalingKind> {
        if let Some(range) = text.strip_prefix("range:") {
            let ends = range.split_once(':').map(|(low, high)| (low.trim().parse(), high.trim().parse()));
            return match ends {
                Some((Ok::<f32, _>(low), Ok::<f32, _>(high))) if low < high && (high - low).is_finite() => {
                    Ok(ScalingKind::Range { low, high })
                }
                _ => {
                    let what =
                        format!("expected two finite numbers, the lower first, as in range:-1:1, found {text:?}");
                    Err(Error::Config(what))
                }
            };
        }
        let bare = |name: &str| name.to_lowercase().replace(['_', '-'], "");
        match Self::NAMES.iter().find(|(name, _)| bare(name) == bare(text)) {
            Some((_, kind)) => Ok(*kind),
            None => {
                let hint = did_you_mean(text, Self::NAMES.map(|(name, _)| name));
                let known = "none, standard, min_max, range:LOW:HIGH";
                Err(Error::Config(format!("unknown scaling {text:?}{hint}; the kinds are {known}")))
            }
        }
    }
}

impl TryFrom<String> for ScalingKind {
    type Error = Error;

    fn try_from(text: String) -> Result<ScalingKind> {
        text.parse()
    }
}

impl From<ScalingKind> for String {
    fn from(kind: ScalingKind) -> String {
        kind.to_string()
    }
}

/// A scaling of input columns: x' = (x - shift) * scale, each column with its own shift and scale.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Scaling {
    /// How it was fitted.
    pub kind: ScalingKind,
    /// What is subtracted from each column.
    pub shift: Vec<f32>,
    /// What each column is then multiplied by.
    pub scale: Vec<f32>,
}

impl Scaling {
    /// The scaling that changes nothing.
    pub fn none(cols: usize) -> Scaling {
        Scaling { kind: ScalingKind::None, shift: vec![0.0; cols], scale: vec![1.0; cols] }
    }

    /// Whether it changes nothing.
    pub fn is_identity(&self) -> bool {
        self.shift.iter().all(|&shift| shift == 0.0) && self.scale.iter().all(|&scale| scale == 1.0)
    }

    /// Fits a scaling of `kind` to the columns of `matrix`, computed in `f64`.
    ///
    /// A constant column (or one whose spread is too small to invert in `f32`) has scale 1 and is only shifted.
    pub fn fit(kind: ScalingKind, matrix: &Matrix) -> Scaling {
        let none = Scaling::none(matrix.cols);
        if kind == ScalingKind::None || matrix.rows == 0 {
            return Scaling { kind, ..none };
        }
        let cols = matrix.cols.max(1);
        let rows = || {
            matrix.blocks().flat_map(move |block| block.chunks_exact(cols)).map(|row| row.iter().map(|x| f64::from(*x)))
        };
        let fold = |start: f64, step: &dyn Fn(usize, f64, f64) -> f64| {
            let mut state = vec![start; matrix.cols];
            for row in rows() {
                for (column, x) in row.enumerate() {
                    state[column] = step(column, state[column], x);
                }
            }
            state
        };
        let low = fold(f64::INFINITY, &|_, low, x| low.min(x));
        let high = fold(f64::NEG_INFINITY, &|_, high, x| high.max(x));
        let n = matrix.rows as f64;
        let (shift_of, spread) = match kind {
            ScalingKind::Standard => {
                let mean: Vec<_> = fold(0.0, &|_, sum, x| sum + x).iter().map(|sum| sum / n).collect();
                let squares = fold(0.0, &|column, sum, x| sum + (x - mean[column]).powi(2));
                (mean, squares.iter().map(|sum| (sum / n).sqrt()).collect())
            }
            _ => (low.clone(), low.iter().zip(&high).map(|(low, high)| high - low).collect::<Vec<_>>()),
        };
        let (start, length) = match kind {
            ScalingKind::Range { low, high } => (f64::from(low), f64::from(high) - f64::from(low)),
            _ => (0.0, 1.0),
        };
        // Whether a column is constant is decided on its values: rounding can leave its deviation just above 0.
        let scale = |column: usize| match (length / spread[column]) as f32 {
            scale if low[column] < high[column] && scale.is_finite() => scale,
            _ => 1.0,
        };
        let scale: Vec<f32> = (0..matrix.cols).map(scale).collect();
        // The value that becomes 0.
        let shift = |(x, scale): (&f64, &f32)| (x - start / f64::from(*scale)) as f32;
        Scaling { kind, shift: shift_of.iter().zip(&scale).map(shift).collect(), scale }
    }

    /// Scales `matrix`, which must have as many columns as the matrix this was fitted to.
    pub fn apply(&self, matrix: &mut Matrix) -> Result<()> {
        if self.shift.len() != matrix.cols || self.scale.len() != matrix.cols {
            return Err(Error::shape("columns to scale", self.shift.len(), matrix.cols));
        }
        if matrix.cols == 0 {
            return Ok(());
        }
        matrix.each_row_mut(|_, row| {
            for ((x, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                // In f64, since the difference of two large f32 can overflow.
                *x = ((f64::from(*x) - f64::from(*shift)) * f64::from(*scale)) as f32;
            }
        });
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn example() -> Matrix {
        Matrix::new(4, 3, vec![1.0, 0.1, -5.0, 2.0, 0.1, 5.0, 3.0, 0.1, 5.0, 4.0, 0.1, -5.0]).unwrap()
    }

    #[test]
    fn standard_gives_mean_0_and_deviation_1() {
        let mut matrix = example();
        let scaling = Scaling::fit(ScalingKind::Standard, &matrix);
        assert_eq!(scaling.shift, [2.5, 0.1, 0.0]);
        assert_eq!(scaling.scale, [(1.0 / 1.25f64.sqrt()) as f32, 1.0, 0.2]);
        scaling.apply(&mut matrix).unwrap();
        for column in 0..3 {
            let values: Vec<f64> = (0..4).map(|row| f64::from(matrix.row(row)[column])).collect();
            let mean = values.iter().sum::<f64>() / 4.0;
            let variance = values.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / 4.0;
            assert!(mean.abs() < 1e-7, "{values:?}");
            assert!((variance - if column == 1 { 0.0 } else { 1.0 }).abs() < 1e-6, "{values:?}");
        }
    }

    #[test]
    fn min_max_gives_0_to_1() {
        let mut matrix = example();
        let scaling = Scaling::fit(ScalingKind::MinMax, &matrix);
        assert_eq!((&scaling.shift[..], &scaling.scale[..]), (&[1.0, 0.1, -5.0][..], &[1.0 / 3.0, 1.0, 0.1][..]));
        scaling.apply(&mut matrix).unwrap();
        assert_eq!(matrix.row(3), [1.0, 0.0, 0.0]);
        assert_eq!(matrix.row(2), [2.0 / 3.0, 0.0, 1.0]);
    }

    #[test]
    fn a_range_is_reached() {
        let mut matrix = example();
        let scaling = Scaling::fit("range:-1:3".parse().unwrap(), &matrix);
        scaling.apply(&mut matrix).unwrap();
        let close = |found: &[f32], expected: [f32; 3]| found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-6);
        assert!(close(matrix.row(0), [-1.0, -1.0, -1.0]), "{matrix:?}");
        assert!(close(matrix.row(3), [3.0, -1.0, -1.0]) && close(matrix.row(1), [1.0 / 3.0, -1.0, 3.0]), "{matrix:?}");
        for bad in ["range:", "range:1", "range:1:1", "range:2:1", "range:nan:1", "range:-3e38:3e38", "range:0:inf"] {
            assert!(bad.parse::<ScalingKind>().is_err(), "{bad}");
        }
    }

    #[test]
    fn none_changes_nothing() {
        let mut matrix = example();
        let scaling = Scaling::fit(ScalingKind::None, &matrix);
        assert_eq!(scaling, Scaling::none(3));
        scaling.apply(&mut matrix).unwrap();
        assert_eq!(matrix, example());
    }

    #[test]
    fn extreme_columns_stay_finite() {
        for kind in [ScalingKind::Standard, ScalingKind::MinMax] {
            let mut matrix = Matrix::new(2, 2, vec![f32::MAX, 0.0, f32::MIN, 1e-45]).unwrap();
            let scaling = Scaling::fit(kind, &matrix);
            scaling.apply(&mut matrix).unwrap();
            assert!(matrix.check_finite("scaled").is_ok() && scaling.scale[1] == 1.0, "{scaling:?}");
        }
        assert_eq!(Scaling::fit(ScalingKind::Standard, &Matrix::zeros(0, 2)).scale, [1.0, 1.0]);
    }

    #[test]
    fn a_wrong_width_is_an_error() {
        let error = Scaling::none(3).apply(&mut Matrix::zeros(1, 2)).unwrap_err();
        assert_eq!(error.to_string(), "columns to scale: expected 3, found 2");
    }

    #[test]
    fn names_go_both_ways() {
        let range = ScalingKind::Range { low: -0.5, high: 1.0 };
        for kind in [ScalingKind::None, ScalingKind::Standard, ScalingKind::MinMax, range] {
            assert_eq!(kind.to_string().parse::<ScalingKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert_eq!("minmax".parse::<ScalingKind>().unwrap(), ScalingKind::MinMax);
        let text = "standart".parse::<ScalingKind>().unwrap_err().to_string();
        assert!(text.contains("did you mean \"standard\"?"), "{text}");
    }
}
