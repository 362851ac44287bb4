//! Metrics of answers that are classes.

use super::Probabilities;
use crate::data::Matrix;
use crate::train::argmax;
use rayon::prelude::*;
use serde::Serialize;

/// The accuracy is also computed for this many of the largest outputs.
const TOP: usize = 5;

/// With more classes there is no confusion matrix, whose size is the square of their number.
const CONFUSED: usize = 1000;

/// How good answers are that are classes. The answer is the class with the largest output, the first of equal ones.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Classification {
    /// The share of rows whose class was found.
    pub accuracy: f64,
    /// Element `k - 1` is the share of rows whose class is among the `k` with the largest outputs, for `k` up to 5.
    pub top_k_accuracy: Vec<f64>,
    /// The area under the receiver operating characteristic. With two classes the second is to be told from the first;
    /// with more it is the mean over the classes, each to be told from the rest, as far as there are rows of both kinds.
    /// `None` where there are not, or an output is NaN.
    pub roc_auc: Option<f64>,
    /// The mean of `-log p`, where `p` is the probability of the right class, at least 2⁻⁵². `None` where the loss makes no
    /// probabilities; those that do not add up to 1 are divided by their sum.
    pub log_loss: Option<f64>,
    /// Each class by itself.
    pub classes: Vec<ClassScores>,
    /// The means over the classes that occur, as targets or as answers.
    pub macro_average: Scores,
    /// The means over the rows, each with the scores of its class.
    pub weighted_average: Scores,
    /// In row `i` and column `j` the number of rows of class `i` that were taken for class `j`; `None` for more than 1000
    /// classes.
    pub confusion: Option<Vec<Vec<usize>>>,
}

/// How well one class is found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct ClassScores {
    /// The class.
    pub name: String,
    /// Its scores.
    #[serde(flatten)]
    pub scores: Scores,
    /// How many rows are of this class.
    pub rows: usize,
}

/// How well classes are found; each number is 0 where there is nothing to divide by.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize)]
pub struct Scores {
    /// The share of answers that are right.
    pub precision: f64,
    /// The share of rows that are found.
    pub recall: f64,
    /// The harmonic mean of precision and recall.
    pub f1: f64,
}

impl Scores {
    fn of(right: usize, answers: usize, rows: usize) -> Scores {
        let ratio = |part: usize, whole: usize| if whole == 0 { 0.0 } else { part as f64 / whole as f64 };
        let (precision, recall) = (ratio(right, answers), ratio(right, rows));
        Scores { precision, recall, f1: ratio(2 * right, answers + rows) }
    }

    fn mean(weighted: impl Iterator<Item = (Scores, f64)>) -> Scores {
        let mut sum = Scores::default();
        let mut weights = 0.0;
        for (Scores { precision, recall, f1 }, weight) in weighted {
            sum.precision += weight * precision;
            sum.recall += weight * recall;
            sum.f1 += weight * f1;
            weights += weight;
        }
        Scores { precision: sum.precision / weights, recall: sum.recall / weights, f1: sum.f1 / weights }
    }
}

impl Classification {
    pub(super) fn of(names: &[String], targets: &Matrix, outputs: &Matrix, probabilities: Probabilities) -> Self {
        let count = names.len();
        let each = || (0..targets.rows).into_par_iter();
        let labels: Vec<usize> = each().map(|row| argmax(targets.row(row))).collect();
        let answers: Vec<usize> = each().map(|row| argmax(outputs.row(row))).collect();
        let share = |rows: usize| rows as f64 / labels.len() as f64;

        let mut confusion = (count <= CONFUSED).then(|| vec![vec![0; count]; count]);
        let (mut right, mut answered, mut rows) = (vec![0; count], vec![0; count], vec![0; count]);
        for (&label, &answer) in labels.iter().zip(&answers) {
            if let Some(confusion) = &mut confusion {
                confusion[label][answer] += 1;
            }
            right[label] += usize::from(label == answer);
            answered[answer] += 1;
            rows[label] += 1;
        }
        drop(answers);
        let scores = |class: usize| Scores::of(right[class], answered[class], rows[class]);
        let occurring = (0..count).filter(|&class| rows[class] + answered[class] > 0);

        let mut placed = [0; TOP];
        let places = labels.iter().enumerate().map(|(row, &label)| place(outputs.row(row), label));
        places.filter(|&place| place < TOP).for_each(|place| placed[place] += 1);
        let top = placed.iter().take(count).scan(0, |sum, placed| {
            *sum += placed;
            Some(share(*sum))
        });

        // [rows, classes]
        let mut scored = vec![0.0; targets.rows * count];
        let rows_of = scored.par_chunks_exact_mut(count).enumerate();
        rows_of.for_each(|(row, scores)| scores.copy_from_slice(&shares(probabilities, outputs.row(row))));
        Classification {
            accuracy: share(right.iter().sum()),
            top_k_accuracy: top.collect(),
            roc_auc: roc_auc(&scored, &labels, count, probabilities),
            log_loss: (probabilities != Probabilities::None).then(|| log_loss(&scored, &labels, count)),
            classes: (0..count)
                .map(|class| ClassScores { name: names[class].clone(), scores: scores(class), rows: rows[class] })
                .collect(),
            macro_average: Scores::mean(occurring.map(|class| (scores(class), 1.0))),
            weighted_average: Scores::mean((0..count).map(|class| (scores(class), rows[class] as f64))),
            confusion,
        }
    }
}

/// The outputs of a row as probabilities that add up to 1, or as they are where they are no probabilities.
pub(super) fn shares(probabilities: Probabilities, outputs: &[f32]) -> Vec<f64> {
    let mut values = probabilities.apply(outputs);
    let sum: f64 = values.iter().sum();
    if probabilities != Probabilities::None && sum > 0.0 {
        values.iter_mut().for_each(|value| *value /= sum);
    }
    values
}

/// The place of a class among the outputs, 0 for the largest. Of equal ones the first comes first, as in [`argmax`]; what
/// cannot be compared counts as larger.
fn place(outputs: &[f32], class: usize) -> usize {
    let own = outputs[class];
    let behind = |(i, &other): (usize, &f32)| if i < class { other < own } else { other <= own };
    outputs.iter().enumerate().filter(|&(i, other)| i != class && !behind((i, other))).count()
}

fn log_loss(probabilities: &[f64], labels: &[usize], classes: usize) -> f64 {
    // scikit-learn's limits. `clamp` keeps NaN.
    let of = |(row, &label): (&[f64], &usize)| -row[label].clamp(f64::EPSILON, 1.0 - f64::EPSILON).ln();
    probabilities.chunks_exact(classes).zip(labels).map(of).sum::<f64>() / labels.len() as f64
}

fn roc_auc(scored: &[f64], labels: &[usize], classes: usize, probabilities: Probabilities) -> Option<f64> {
    if scored.iter().any(|score| score.is_nan()) {
        return None;
    }
    if classes == 2 {
        // Outputs that are no probabilities say by their difference which class it is; one of two probabilities says all.
        let first = if probabilities == Probabilities::None { 1.0 } else { 0.0 };
        return area(scored.chunks_exact(2).map(|row| row[1] - first * row[0]), labels, 1);
    }
    // One after another: each takes memory for all rows.
    let area_of = |class: usize| area(scored.chunks_exact(classes).map(|row| row[class]), labels, class);
    let areas: Vec<f64> = (0..classes).filter_map(area_of).collect();
    (!areas.is_empty()).then(|| areas.iter().sum::<f64>() / areas.len() as f64)
}

/// The chance that a row of `class` has a higher score than another row, where equal ones count half: what the ranks of its
/// rows exceed the least that they could be by. `None` without rows of both kinds.
fn area(scores: impl Iterator<Item = f64>, labels: &[usize], class: usize) -> Option<f64> {
    let mut rows: Vec<(f64, bool)> = scores.zip(labels.iter().map(|&label| label == class)).collect();
    rows.par_sort_unstable_by(|a, b| a.0.total_cmp(&b.0));
    let (mut below, mut above, mut pairs) = (0.0, 0.0, 0.0);
    for equal in rows.chunk_by(|a, b| a.0 == b.0) {
        let own = equal.iter().filter(|(_, own)| *own).count() as f64;
        let others = equal.len() as f64 - own;
        pairs += own * (below + 0.5 * others);
        below += others;
        above += own;
    }
    let all = below * above;
    (all > 0.0).then(|| pairs / all)
}
