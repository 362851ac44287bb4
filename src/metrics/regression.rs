//! Metrics of answers that are numbers.

use crate::data::Matrix;
use serde::Serialize;

/// How good answers are that are numbers.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Regression {
    /// R² and explained variance over all outputs together, where each weighs as much as its targets vary; the errors are
    /// means over the outputs.
    #[serde(flatten)]
    pub all: RegressionScores,
    /// Each output by itself.
    pub outputs: Vec<OutputScores>,
}

/// How good the answers of one output are.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct OutputScores {
    /// The output.
    pub name: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: RegressionScores,
}

/// How far answers are from their targets.
#[derive(Clone, Copy, Debug, PartialEq, Serialize)]
pub struct RegressionScores {
    /// `1 - Σ(t - y)² / Σ(t - mean t)²`; `None` where all targets are the same.
    pub r_squared: Option<f64>,
    /// The mean absolute error.
    pub mae: f64,
    /// The root of the mean squared error.
    pub rmse: f64,
    /// `1 - Var(t - y) / Var t`: R² for answers without their mean error; `None` where all targets are the same.
    pub explained_variance: Option<f64>,
}

/// What the scores of an output are made of.
struct Sums {
    /// `Σ(t - y)² / n`
    squares: f64,
    /// `Σ|t - y| / n`
    absolute: f64,
    /// `Var(t - y)`
    unexplained: f64,
    /// `Var t`
    variance: f64,
}

impl Sums {
    fn of(targets: &Matrix, outputs: &Matrix, col: usize) -> Sums {
        let column = |matrix: &Matrix| -> Vec<f64> {
            matrix.data.iter().skip(col).step_by(matrix.cols).map(|&x| f64::from(x)).collect()
        };
        let targets = column(targets);
        let errors: Vec<f64> = targets.iter().zip(column(outputs)).map(|(t, y)| t - y).collect();
        let mean =
            |values: &[f64], of: &dyn Fn(f64) -> f64| values.iter().map(|&x| of(x)).sum::<f64>() / values.len() as f64;
        let variance = |values: &[f64]| {
            let middle = mean(values, &|x| x);
            mean(values, &|x| (x - middle).powi(2))
        };
        Sums {
            squares: mean(&errors, &|e| e * e),
            absolute: mean(&errors, &f64::abs),
            unexplained: variance(&errors),
            variance: variance(&targets),
        }
    }

    /// The scores of the outputs `all`.
    fn scores(all: &[Sums]) -> RegressionScores {
        let total = |part: fn(&Sums) -> f64| all.iter().map(part).sum::<f64>();
        let mean = |part: fn(&Sums) -> f64| total(part) / all.len() as f64;
        let variance = total(|sums| sums.variance);
        let explained = |rest: f64| (variance > 0.0).then(|| 1.0 - rest / variance);
        RegressionScores {
            r_squared: explained(total(|sums| sums.squares)),
            mae: mean(|sums| sums.absolute),
            rmse: mean(|sums| sums.squares.sqrt()),
            explained_variance: explained(total(|sums| sums.unexplained)),
        }
    }
}

impl Regression {
    pub(super) fn of(names: &[String], targets: &Matrix, outputs: &Matrix) -> Self {
        let sums: Vec<Sums> = (0..names.len()).map(|col| Sums::of(targets, outputs, col)).collect();
        let each = names.iter().zip(sums.chunks(1));
        Regression {
            all: Sums::scores(&sums),
            outputs: each.map(|(name, sums)| OutputScores { name: name.clone(), scores: Sums::scores(sums) }).collect(),
        }
    }
}
