use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Output;
pub(super) const EXPRESSION: &str = "select(x > 0, x, 0.01 * x)";
const SLOPE: f64 = 0.01;
#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    if z < T::zero() { T::of(SLOPE) * z } else { z }
}

#[inline(always)]
pub(super) fn derivative<T: Real>(a: T) -> T {
    if a > T::zero() { T::one() } else { T::of(SLOPE) }
}
