use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Output;
pub(super) const EXPRESSION: &str = "softplus(x)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    (if z < T::zero() { T::zero() } else { z }) + (-z.abs()).exp().ln_1p()
}

#[inline(always)]
pub(super) fn derivative<T: Real>(a: T) -> T {
    -(-a).exp_m1()
}
