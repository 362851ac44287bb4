//! What outputs for classes mean as probabilities.

use crate::train::argmax;
use crate::{Activation, Loss};

/// What turns the outputs for classes into probabilities, where the loss was made for that.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Probabilities {
    /// `exp(y_i) / Σ_j exp(y_j)`
    Softmax,
    /// Each output is the logit of a probability of its own.
    Sigmoid,
    /// The outputs are probabilities.
    AsTheyAre,
    /// The outputs are no probabilities.
    None,
}

impl Probabilities {
    /// Those that the outputs of a network mean which was trained with `loss`.
    pub fn of(loss: Option<Loss>) -> Self {
        match loss {
            Some(Loss::SoftmaxCrossEntropy | Loss::KlDivergence) => Probabilities::Softmax,
            Some(Loss::BinaryCrossEntropy) => Probabilities::Sigmoid,
            Some(Loss::LogisticCrossEntropy) => Probabilities::AsTheyAre,
            _ => Probabilities::None,
        }
    }

    /// The outputs of one row as probabilities, or as they are.
    pub fn apply(self, outputs: &[f32]) -> Vec<f64> {
        let outputs_f64 = outputs.iter().map(|&y| f64::from(y));
        match self {
            Probabilities::Softmax => softmax(outputs),
            Probabilities::Sigmoid => outputs_f64.map(|y| Activation::Sigmoid.value(y)).collect(),
            Probabilities::AsTheyAre | Probabilities::None => outputs_f64.collect(),
        }
    }
}

/// Computed from the differences to the largest output, which cannot overflow.
fn softmax(outputs: &[f32]) -> Vec<f64> {
    let largest = f64::from(outputs[argmax(outputs)]);
    let powers: Vec<f64> = outputs.iter().map(|&y| (f64::from(y) - largest).exp()).collect();
    let sum: f64 = powers.iter().sum();
    powers.iter().map(|power| power / sum).collect()
}
