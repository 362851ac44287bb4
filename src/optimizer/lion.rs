use super::{check_decay, check_share};
use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// Lion (Chen et al. 2023): `p ← p - lr λ p`, then `p ← p - lr sign(β₁ m + (1 - β₁) g)` and `m ← β₂ m + (1 - β₂) g`.
#[derive(Clone, Copy, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Lion {
    /// `β₁`, in [0, 1).
    pub beta1: f32,
    /// `β₂`, in [0, 1).
    pub beta2: f32,
    /// `λ`, the decoupled weight decay, ≥ 0.
    pub weight_decay: f32,
}

impl Default for Lion {
    fn default() -> Self {
        Lion { beta1: 0.9, beta2: 0.99, weight_decay: 0.0 }
    }
}

pub(super) const STATES: &[&str] = &["first_moment"];
pub(super) const WGSL: &str = include_str!("../../shaders/optimizer/lion.wgsl");

impl Lion {
    pub(super) fn hyper(&self) -> [f32; 4] {
        let rest = |beta: f32| (1.0 - f64::from(beta)) as f32;
        [rest(self.beta1), rest(self.beta2), self.weight_decay, 0.0]
    }

    pub(super) fn corrections(&self, _step: u64) -> [f64; 2] {
        [1.0; 2]
    }

    pub(super) fn validate(&self) -> Result<()> {
        check_share("beta1", self.beta1)?;
        check_share("beta2", self.beta2)?;
        check_decay(self.weight_decay)
    }
}

#[inline(always)]
pub(super) fn update<T: Real>(p: T, g: T, [learning_rate, ..]: [T; 3], hyper: [T; 4], state: &mut [T]) -> T {
    let [rest1, rest2, weight_decay, _] = hyper;
    let direction = state[0] + rest1 * (g - state[0]);
    state[0] = state[0] + rest2 * (g - state[0]);
    let sign = if direction > T::zero() {
        T::one()
    } else if direction < T::zero() {
        -T::one()
    } else {
        // 0, or NaN.
        direction
    };
    p - learning_rate * weight_decay * p - learning_rate * sign
}
