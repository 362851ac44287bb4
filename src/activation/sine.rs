use super::Stored;
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Preactivation;
pub(super) const EXPRESSION: &str = "sin(x)";

pub(super) fn value<T: Real>(z: T) -> T {
    z.sin()
}

pub(super) fn derivative<T: Real>(z: T) -> T {
    z.cos()
}
