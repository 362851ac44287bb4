use crate::Result;
use crate::real::Real;
use serde::{Deserialize, Serialize};

/// Stochastic gradient descent, `p ← p - lr g`.
#[derive(Clone, Copy, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Sgd {}

pub(super) const STATES: usize = 0;

impl Sgd {
    pub(super) fn hyper(&self) -> [f32; 4] {
        [0.0; 4]
    }

    pub(super) fn validate(&self) -> Result<()> {
        Ok(())
    }
}

pub(super) fn update<T: Real>(p: T, g: T, learning_rate: T, _hyper: [T; 4], _state: &mut [T]) -> T {
    p - learning_rate * g
}
