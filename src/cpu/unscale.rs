use super::mixed::log_scale;
use super::{Views, for_row_blocks, light_rows, vectorized};
use crate::real::Real;
use std::sync::atomic::{AtomicBool, Ordering};

/// `gradients[i] ← gradients[i] / scale`; `overflow` becomes 1 where any is not finite.
pub(super) fn unscale<T: Real>([len, ..]: [usize; 4], mut views: Views<'_, T>) {
    let inverse = T::of((-f64::from(log_scale(views.read(0)))).exp2());
    let overflow = views.write_words(1);
    let found = AtomicBool::new(false);
    for_row_blocks(len, light_rows(1), [(views.write(2), 1)], |_, [gradients]| {
        if !scale_by(inverse, gradients) {
            found.store(true, Ordering::Relaxed);
        }
    });
    overflow[0] |= u32::from(found.into_inner());
}

/// `values[i] ← factor · values[i]`; whether all of them are finite.
pub(super) fn scale_by<T: Real>(factor: T, values: &mut [T]) -> bool {
    vectorized(
        #[inline(always)]
        || {
            values.iter_mut().fold(true, |finite, x| {
                *x *= factor;
                // Infinity and NaN times 0 are NaN.
                finite & (*x * T::zero() == T::zero())
            })
        },
    )
}
