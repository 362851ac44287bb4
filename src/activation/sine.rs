use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Preactivation;
pub(super) const EXPRESSION: &str = "sin(x)";

#[inline(always)]
pub(super) fn value<T: Real>(z: T) -> T {
    z.sin()
}

#[inline(always)]
pub(super) fn derivative<T: Real>(z: T) -> T {
    z.cos()
}
