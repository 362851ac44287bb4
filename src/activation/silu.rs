use super::{Stored, sigmoid};
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Preactivation;
pub(super) const EXPRESSION: &str = "x * sigmoid(x)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    z * sigmoid::value(z)
}

#[inline(always)]
pub(super) fn derivative<T: Real>(z: T) -> T {
    // σ(-z) is 1 - σ(z) without the cancellation.
    sigmoid::value(z) * (T::one() + z * sigmoid::value(-z))
}
