use super::{bias_corrections, check_decay, check_epsilon, check_share};
use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// Adam (Kingma and Ba 2015) as in PyTorch: `g ← g + λ p`, `m ← β₁ m + (1 - β₁) g`, `v ← β₂ v + (1 - β₂) g²`, then
/// `p ← p - lr m̂ / (√v̂ + ε)` with `m̂ = m / (1 - β₁ᵗ)` and `v̂ = v / (1 - β₂ᵗ)` in the step number t.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Adam {
    /// `β₁`, in [0, 1).
    pub beta1: f32,
    /// `β₂`, in [0, 1).
    pub beta2: f32,
    /// `ε`, > 0.
    pub epsilon: f32,
    /// `λ`, the weight decay as an L2 penalty, ≥ 0; [`AdamW`](super::AdamW) decouples it.
    pub weight_decay: f32,
}

impl Default for Adam {
    fn default() -> Self {
        Adam { beta1: 0.9, beta2: 0.999, epsilon: 1e-8, weight_decay: 0.0 }
    }
}

pub(super) const STATES: &[&str] = &["first_moment", "second_moment"];
pub(super) const WGSL: &str = include_str!("../../shaders/optimizer/adam.wgsl");

impl Adam {
    pub(super) fn hyper(&self) -> [f32; 4] {
        // What is small next to 1 keeps its digits.
        let rest = |beta: f32| (1.0 - f64::from(beta)) as f32;
        [rest(self.beta1), rest(self.beta2), self.epsilon, self.weight_decay]
    }

    pub(super) fn corrections(&self, step: u64) -> [f64; 2] {
        bias_corrections([self.beta1, self.beta2], step)
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_share("beta1", self.beta1)?;
        check_share("beta2", self.beta2)?;
        check_epsilon(self.epsilon)?;
        check_decay(self.weight_decay)
    }
}

#[inline(always)]
pub(super) fn update<T: Real>(p: T, g: T, rates: [T; 3], hyper: [T; 4], state: &mut [T]) -> T {
    let [learning_rate, first, second] = rates;
    let [rest1, rest2, epsilon, weight_decay] = hyper;
    let g = g + weight_decay * p;
    state[0] = state[0] + rest1 * (g - state[0]);
    state[1] = state[1] + rest2 * (g * g - state[1]);
    p - learning_rate * first * state[0] / (state[1].sqrt() * second + epsilon)
}
