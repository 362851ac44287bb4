//! The receiver operating characteristic.

use super::Probabilities;
use super::classification::shares;
use crate::data::{Dataset, Matrix, Task};
use crate::train::argmax;
use crate::{Error, Loss, Result};

/// How many rows of one class are found against how many others are taken for it, over all thresholds.
#[derive(Clone, Debug, PartialEq)]
pub struct RocCurve {
    /// The class that is to be told from the rest.
    pub class: String,
    /// The false positive rate and the true positive rate at each threshold that changes one of them, from (0, 0) to (1, 1).
    pub points: Vec<(f64, f64)>,
}

impl RocCurve {
    /// A curve for each class that has rows and is not all rows; of two classes only the second. The outputs are those of a
    /// network that was trained with `loss`, a row for each of `data`; the scores are those of
    /// [`Classification::roc_auc`](super::Classification::roc_auc).
    ///
    /// # Errors
    /// Where `data` has no classes, the outputs have another shape than its targets, or one is NaN.
    pub fn of(data: &Dataset, outputs: &Matrix, loss: Option<Loss>) -> Result<Vec<RocCurve>> {
        let Task::Classification { classes, .. } = &data.task else {
            return Err(Error::Config(format!("a ROC curve needs classes, and {} has numbers", data.name)));
        };
        if (outputs.rows, outputs.cols) != (data.targets.rows, data.targets.cols) {
            let shape = |matrix: &Matrix| format!("{} rows of {}", matrix.rows, matrix.cols);
            return Err(Error::shape("outputs to compare with targets", shape(&data.targets), shape(outputs)));
        }
        if let Some(row) = (0..outputs.rows).find(|&row| outputs.row(row).iter().any(|y| y.is_nan())) {
            return Err(Error::data(&data.name, format!("the network's outputs for row {} are NaN", row + 1)));
        }
        let probabilities = Probabilities::of(loss);
        let rows: Vec<Vec<f64>> = (0..outputs.rows).map(|row| shares(probabilities, outputs.row(row))).collect();
        let first = if classes.len() == 2 { 1 } else { 0 };
        let score = |row: &[f64], class: usize| match (classes.len(), probabilities) {
            // As for the area: outputs that are no probabilities say by their difference which of two classes it is.
            (2, Probabilities::None) => row[1] - row[0],
            _ => row[class],
        };
        let curve = |class: usize| {
            let own = |row: usize| argmax(data.targets.row(row)) == class;
            let scored = rows.iter().enumerate().map(|(i, row)| (score(row, class), own(i))).collect();
            Some(RocCurve { class: classes[class].clone(), points: points(scored)? })
        };
        Ok((first..classes.len()).filter_map(curve).collect())
    }

    /// The area under the curve.
    pub fn area(&self) -> f64 {
        self.points.windows(2).map(|two| (two[1].0 - two[0].0) * (two[0].1 + two[1].1) / 2.0).sum()
    }
}

fn points(mut scored: Vec<(f64, bool)>) -> Option<Vec<(f64, f64)>> {
    scored.sort_unstable_by(|a, b| b.0.total_cmp(&a.0));
    let positives = scored.iter().filter(|(_, own)| *own).count();
    let negatives = scored.len() - positives;
    if positives == 0 || negatives == 0 {
        return None;
    }
    let mut points = vec![(0.0, 0.0)];
    let (mut right, mut wrong) = (0, 0);
    for equal in scored.chunk_by(|a, b| a.0 == b.0) {
        let own = equal.iter().filter(|(_, own)| *own).count();
        right += own;
        wrong += equal.len() - own;
        points.push((wrong as f64 / negatives as f64, right as f64 / positives as f64));
    }
    Some(points)
}
