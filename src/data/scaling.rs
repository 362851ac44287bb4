//! Bringing the input columns to comparable sizes.

use std::fmt;
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::Matrix;
use crate::error::did_you_mean;
use crate::{Error, Result};

/// How input columns are scaled.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ScalingKind {
    /// As they are.
    None,
    /// To mean 0 and standard deviation 1 (that of the population).
    Standard,
    /// To the range from 0 to 1.
    MinMax,
}

impl ScalingKind {
    const NAMES: [(&'static str, ScalingKind); 3] =
        [("none", ScalingKind::None), ("standard", ScalingKind::Standard), ("min_max", ScalingKind::MinMax)];
}

impl fmt::Display for ScalingKind {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let name = Self::NAMES.iter().find(|(_, kind)| kind == self).map_or("", |(name, _)| name);
        f.pad(name)
    }
}

impl FromStr for ScalingKind {
    type Err = Error;

    /// `none`, `standard` or `min_max` (also `minmax` and `min-max`).
    fn from_str(text: &str) -> Result<ScalingKind> {
        let bare = |name: &str| name.to_lowercase().replace(['_', '-'], "");
        match Self::NAMES.iter().find(|(name, _)| bare(name) == bare(text)) {
            Some((_, kind)) => Ok(*kind),
            None => {
                let hint = did_you_mean(text, Self::NAMES.map(|(name, _)| name));
                Err(Error::Config(format!("unknown scaling {text:?}{hint}; the kinds are none, standard, min_max")))
            }
        }
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
        let rows = || (0..matrix.rows).map(|i| matrix.row(i).iter().map(|x| f64::from(*x)));
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
        let (shift, spread) = match kind {
            ScalingKind::Standard => {
                let mean: Vec<_> = fold(0.0, &|_, sum, x| sum + x).iter().map(|sum| sum / n).collect();
                let squares = fold(0.0, &|column, sum, x| sum + (x - mean[column]).powi(2));
                (mean, squares.iter().map(|sum| (sum / n).sqrt()).collect())
            }
            _ => (low.clone(), low.iter().zip(&high).map(|(low, high)| high - low).collect::<Vec<_>>()),
        };
        // Whether a column is constant is decided on its values: rounding can leave its deviation just above 0.
        let scale = |column: usize| match (1.0 / spread[column]) as f32 {
            scale if low[column] < high[column] && scale.is_finite() => scale,
            _ => 1.0,
        };
        Scaling { kind, shift: shift.iter().map(|x| *x as f32).collect(), scale: (0..matrix.cols).map(scale).collect() }
    }

    /// Scales `matrix`, which must have as many columns as the matrix this was fitted to.
    pub fn apply(&self, matrix: &mut Matrix) -> Result<()> {
        if self.shift.len() != matrix.cols || self.scale.len() != matrix.cols {
            return Err(Error::shape("columns to scale", self.shift.len(), matrix.cols));
        }
        if matrix.cols == 0 {
            return Ok(());
        }
        for row in matrix.data.chunks_exact_mut(matrix.cols) {
            for ((x, shift), scale) in row.iter_mut().zip(&self.shift).zip(&self.scale) {
                // In f64, since the difference of two large f32 can overflow.
                *x = ((f64::from(*x) - f64::from(*shift)) * f64::from(*scale)) as f32;
            }
        }
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
        for kind in [ScalingKind::None, ScalingKind::Standard, ScalingKind::MinMax] {
            assert_eq!(kind.to_string().parse::<ScalingKind>().unwrap(), kind);
            assert_eq!(serde_json::to_string(&kind).unwrap(), format!("\"{kind}\""));
        }
        assert_eq!("minmax".parse::<ScalingKind>().unwrap(), ScalingKind::MinMax);
        let text = "standart".parse::<ScalingKind>().unwrap_err().to_string();
        assert!(text.contains("did you mean \"standard\"?"), "{text}");
    }
}
