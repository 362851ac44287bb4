use super::{check_decay, check_epsilon, check_share};
use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// RMSProp (Tieleman and Hinton 2012) as in PyTorch: `g ← g + λ p`, `v ← α v + (1 - α) g²`, then
/// `p ← p - lr g / (√v + ε)`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct RmsProp {
    /// `α`, in [0, 1).
    pub alpha: f32,
    /// `ε`, > 0.
    pub epsilon: f32,
    /// `λ`, the weight decay as an L2 penalty, ≥ 0.
    pub weight_decay: f32,
}

impl Default for RmsProp {
    fn default() -> Self {
        RmsProp { alpha: 0.99, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

pub(super) const STATES: &[&str] = &["second_moment"];
pub(super) const WGSL: &str = include_str!("../../shaders/optimizer/rmsprop.wgsl");

impl RmsProp {
    pub(super) fn hyper(&self) -> [f32; 4] {
        [(1.0 - f64::from(self.alpha)) as f32, self.epsilon, self.weight_decay, 0.0]
    }

    pub(super) fn corrections(&self, _step: u64) -> [f64; 2] {
        [1.0; 2]
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_share("alpha", self.alpha)?;
        check_epsilon(self.epsilon)?;
        check_decay(self.weight_decay)
    }
}

#[inline(always)]
pub(super) fn update<T: Real>(p: T, g: T, [learning_rate, ..]: [T; 3], hyper: [T; 4], state: &mut [T]) -> T {
    let [rest, epsilon, weight_decay, _] = hyper;
    let g = g + weight_decay * p;
    state[0] = state[0] + rest * (g * g - state[0]);
    p - learning_rate * g / (state[0].sqrt() + epsilon)
}
