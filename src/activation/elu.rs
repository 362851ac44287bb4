use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Output;
pub(super) const EXPRESSION: &str = "select(x > 0, x, exp(x) - 1)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    if z <= T::zero() { z.exp_m1() } else { z }
}

#[inline(always)]
pub(super) fn derivative<T: Real>(a: T) -> T {
    if a <= T::zero() { a + T::one() } else { T::one() }
}
