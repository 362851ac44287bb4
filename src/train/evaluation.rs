//! How a network does on a data set, from outputs that come in parts.

use super::argmax;
use super::state;
use crate::activation::Activation;
use crate::data::{Dataset, Matrix, Task};
use crate::metrics::Metrics;
use crate::{Loss, Result};
use serde::{Deserialize, Serialize};
use std::ops::Range;

/// How a network does on a data set.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Evaluation {
    /// The mean loss over the samples; with [`Reduction::Sum`](crate::loss::Reduction::Sum) their sum.
    #[serde(with = "state::numbers")]
    pub loss: f64,
    /// The share of samples whose largest output is that of their class; `None` for a regression.
    pub accuracy: Option<f64>,
    /// `1 - Σ(t - y)² / Σ(t - mean t)²` over all outputs; `None` for a classification, and where all targets are the same.
    pub r_squared: Option<f64>,
    /// All the metrics; `None` in the validation after an epoch, which has no time for them, and for an equation.
    #[serde(skip)]
    pub metrics: Option<Metrics>,
}

/// What is added up over the outputs.
pub(super) struct Tally<'a> {
    data: &'a Dataset,
    /// Applied to outputs that the loss takes as logits.
    activation: Activation,
    /// Samples whose class was found.
    right: usize,
    /// `Σ(t - y)²`
    residual: f64,
    /// All the outputs, where there are to be metrics.
    kept: Option<Vec<f32>>,
}

impl<'a> Tally<'a> {
    pub(super) fn new(data: &'a Dataset, activation: Activation, metrics: bool) -> Self {
        Tally { data, activation, right: 0, residual: 0.0, kept: metrics.then(Vec::new) }
    }

    /// Takes the outputs of the rows `rows`, `[rows, outputs]`.
    pub(super) fn add(&mut self, rows: Range<usize>, outputs: &[f32]) {
        let targets = &self.data.targets;
        if let Some(kept) = &mut self.kept {
            let outputs = &outputs[..rows.len() * targets.cols];
            kept.extend(outputs.iter().map(|&y| self.activation.value(y)));
        }
        for (row, outputs) in rows.zip(outputs.chunks_exact(targets.cols)) {
            let target = targets.row(row);
            match self.data.task {
                Task::Classification { .. } => self.right += usize::from(argmax(outputs) == argmax(target)),
                Task::Regression { .. } => {
                    let squares = target.iter().zip(outputs).map(|(&t, &y)| square(t, self.activation.value(y)));
                    self.residual += squares.sum::<f64>();
                }
            }
        }
        targets.data.release();
    }

    pub(super) fn finish(mut self, loss: f64, trained_with: Loss) -> Result<Evaluation> {
        let metrics = match self.kept.take() {
            Some(outputs) => {
                let outputs = Matrix::new(self.data.targets.rows, self.data.targets.cols, outputs)?;
                Some(Metrics::of(self.data, &outputs, Some(trained_with))?)
            }
            None => None,
        };
        let (accuracy, r_squared) = match self.data.task {
            Task::Classification { .. } => (Some(self.right as f64 / self.data.rows() as f64), None),
            Task::Regression { .. } => {
                let total = self.total();
                (None, (total > 0.0).then(|| 1.0 - self.residual / total))
            }
        };
        Ok(Evaluation { loss, accuracy, r_squared, metrics })
    }

    /// `Σ(t - mean t)²`, which is 0 where there is nothing to explain.
    fn total(&self) -> f64 {
        let targets = &self.data.targets;
        let column = |col| targets.column(col).map(f64::from);
        let columns = (0..targets.cols).map(|col| {
            let mean = column(col).sum::<f64>() / targets.rows as f64;
            column(col).map(|t| (t - mean).powi(2)).sum::<f64>()
        });
        columns.sum()
    }
}

fn square(t: f32, y: f32) -> f64 {
    (f64::from(t) - f64::from(y)).powi(2)
}
