use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Output;
pub(super) const EXPRESSION: &str = "relu(x)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    if z < T::zero() { T::zero() } else { z }
}

#[inline(always)]
pub(super) fn derivative<T: Real>(a: T) -> T {
    if a > T::zero() { T::one() } else { T::zero() }
}
