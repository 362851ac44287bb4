use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Output;
pub(super) const EXPRESSION: &str = "tanh(x)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    z.tanh()
}

#[inline(always)]
pub(super) fn derivative<T: Real>(a: T) -> T {
    T::one() - a * a
}
