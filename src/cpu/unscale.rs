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
        let finite = vectorized(
            #[inline(always)]
            || {
                gradients.iter_mut().fold(true, |finite, g| {
                    *g *= inverse;
                    // Infinity and NaN times 0 are NaN.
                    finite & (*g * T::zero() == T::zero())
                })
            },
        );
        if !finite {
            found.store(true, Ordering::Relaxed);
        }
    });
    overflow[0] |= u32::from(found.into_inner());
}
