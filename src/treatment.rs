//! What is done to gradients between the backward pass and the update.

use crate::{Error, Result};

/// What is done to the gradient of a batch before the optimizer has it, in this order: the penalty, then each number is
/// clipped, then the whole. Nothing by default.
///
/// The loss that is reported is the data's alone: a penalty changes the gradient, not the loss.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Treatments {
    /// `λ₁` of the penalty `λ₁ Σ|w|` on weights, not on biases: finite and ≥ 0. Its derivative at 0 is 0.
    pub l1: f32,
    /// `λ₂` of the penalty `½ λ₂ Σ w²` on weights, not on biases: finite and ≥ 0. It is part of the gradient, so momentum
    /// and adaptive rates apply to it; an optimizer's weight decay is beside it.
    pub l2: f32,
    /// The largest magnitude of a number of the gradient, > 0.
    pub clip_value: Option<f32>,
    /// The largest norm of the gradient of all trained parameters together, > 0: beyond it all of it is multiplied by
    /// `limit / (norm + 10⁻⁶)`, as PyTorch's `clip_grad_norm_` does.
    pub clip_norm: Option<f32>,
}

impl Treatments {
    /// Whether there is anything to do.
    pub fn any(&self) -> bool {
        *self != Treatments::default()
    }

    /// Checks that the settings are in range.
    pub fn validate(&self) -> Result<()> {
        for (name, factor) in [("l1", self.l1), ("l2", self.l2)] {
            if !(factor.is_finite() && factor >= 0.0) {
                return Err(Error::Config(format!("{name} must be finite and at least 0, found {factor}")));
            }
        }
        for (name, limit) in [("clip_value", self.clip_value), ("clip_norm", self.clip_norm)] {
            if let Some(limit) = limit.filter(|limit| !(limit.is_finite() && *limit > 0.0)) {
                return Err(Error::Config(format!("{name} must be finite and more than 0, found {limit}")));
            }
        }
        Ok(())
    }
}
