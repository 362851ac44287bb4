use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let d = (y - t).abs();
    if d <= T::one() { T::of(0.5) * d * d } else { d - T::of(0.5) }
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let d = y - t;
    if d > T::one() {
        T::one()
    } else if d < -T::one() {
        -T::one()
    } else {
        d
    }
}
