use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

/// Half way between the classes 0 and 1, and on the right side of -1 as well.
#[inline(always)]
fn side<T: Real>(t: T) -> T {
    if t > T::of(0.5) { T::one() } else { -T::one() }
}

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let missing = T::one() - side(t) * y;
    if missing < T::zero() { T::zero() } else { missing }
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    let missing = T::one() - side(t) * y;
    if missing > T::zero() {
        -side(t)
    } else if missing <= T::zero() {
        T::zero()
    } else {
        missing
    }
}
