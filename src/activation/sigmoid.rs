use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Output;
pub(super) const EXPRESSION: &str = "sigmoid(x)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    let e = (-z.abs()).exp();
    if z < T::zero() { e / (T::one() + e) } else { T::one() / (T::one() + e) }
}

#[inline(always)]
pub(super) fn derivative<T: Real>(a: T) -> T {
    a * (T::one() - a)
}
