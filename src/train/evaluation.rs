//! How a network does on a data set, from outputs that come in parts.

use super::argmax;
use crate::activation::Activation;
use crate::data::{Dataset, Task};
use std::ops::Range;

/// How a network does on a data set.
#[derive(Clone, Debug, PartialEq)]
pub struct Evaluation {
    /// The mean loss over the samples.
    pub loss: f64,
    /// The share of samples whose largest output is that of their class; `None` for a regression.
    pub accuracy: Option<f64>,
    /// `1 - Σ(t - y)² / Σ(t - mean t)²` over all outputs; `None` for a classification, and where all targets are the same.
    pub r_squared: Option<f64>,
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
}

impl<'a> Tally<'a> {
    pub(super) fn new(data: &'a Dataset, activation: Activation) -> Self {
        Tally { data, activation, right: 0, residual: 0.0 }
    }

    /// Takes the outputs of the rows `rows`, `[rows, outputs]`.
    pub(super) fn add(&mut self, rows: Range<usize>, outputs: &[f32]) {
        let targets = &self.data.targets;
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
    }

    pub(super) fn finish(self, loss: f64) -> Evaluation {
        match self.data.task {
            Task::Classification { .. } => {
                let accuracy = Some(self.right as f64 / self.data.rows() as f64);
                Evaluation { loss, accuracy, r_squared: None }
            }
            Task::Regression { .. } => {
                let total = self.total();
                let r_squared = (total > 0.0).then(|| 1.0 - self.residual / total);
                Evaluation { loss, accuracy: None, r_squared }
            }
        }
    }

    /// `Σ(t - mean t)²`, which is 0 where there is nothing to explain.
    fn total(&self) -> f64 {
        let targets = &self.data.targets;
        let column = |col| targets.data.iter().skip(col).step_by(targets.cols).map(|&t| f64::from(t));
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
