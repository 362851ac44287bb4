use super::{Stored, sigmoid};
use crate::real::Real;

pub(super) const STORED: Stored = Stored::Preactivation;

pub(super) fn value<T: Real>(z: T) -> T {
    z * sigmoid::value(z)
}

pub(super) fn derivative<T: Real>(z: T) -> T {
    let s = sigmoid::value(z);
    s * (T::one() + z * (T::one() - s))
}
