//! How good answers are, in the measures that scikit-learn computes, with its numbers.

mod classification;
mod probabilities;
mod regression;
mod roc;

pub use classification::{ClassScores, Classification, Scores};
pub use probabilities::Probabilities;
pub use regression::{OutputScores, Regression, RegressionScores};
pub use roc::RocCurve;

use crate::data::{Dataset, Matrix, Task};
use crate::{Error, Loss, Result};
use serde::Serialize;

/// How good the answers to a data set are.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Metrics {
    /// For classes.
    Classification(Classification),
    /// For numbers.
    Regression(Regression),
}

impl Metrics {
    /// Compares the outputs of a network, one row for each of `data`, with the targets. What they mean as probabilities
    /// follows from the loss that the network was trained with.
    ///
    /// # Errors
    /// Where the data set is not sound, or the outputs have another shape than its targets.
    pub fn of(data: &Dataset, outputs: &Matrix, loss: Option<Loss>) -> Result<Metrics> {
        data.validate()?;
        let shape = |matrix: &Matrix| format!("{} rows of {}", matrix.rows, matrix.cols);
        if shape(&data.targets) != shape(outputs) || outputs.data.len() != data.targets.data.len() {
            return Err(Error::shape("outputs to compare with targets", shape(&data.targets), shape(outputs)));
        }
        Ok(match &data.task {
            Task::Classification { classes, .. } => {
                Metrics::Classification(Classification::of(classes, &data.targets, outputs, Probabilities::of(loss)))
            }
            Task::Regression { outputs: names } => Metrics::Regression(Regression::of(names, &data.targets, outputs)),
        })
    }
}
