use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    (y - t).abs()
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let d = y - t;
    if d > T::zero() {
        T::one()
    } else if d < T::zero() {
        -T::one()
    } else {
        d
    }
}
