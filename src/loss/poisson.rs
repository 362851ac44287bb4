use super::{Reduction, Row};
use crate::real::Real;

pub(super) const REDUCTION: Reduction = Reduction::Elements;

/// `exp(y)`, which stays at `exp(88)` beyond: the last power that f32 holds, so that no difference of infinities is NaN.
#[inline(always)]
fn rate<T: Real>(y: T) -> T {
    let largest = T::of(88.0);
    (if y > largest { largest } else { y }).exp()
}

#[inline(always)]
pub(super) fn value<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    rate(y) - t * y
}

#[inline(always)]
pub(super) fn derivative<T: Real>(y: T, t: T, _row: Row<T>) -> T {
    rate(y) - t
}
