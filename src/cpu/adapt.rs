use super::mixed::log_scale;
use crate::kernel::mixed::{FIRST_LOG_SCALE, GROWTH_INTERVAL, LOG_SCALES};
use crate::real::Real;

/// Halves the dynamic loss scale and counts a skipped step where there was an overflow; doubles it after
/// [`GROWTH_INTERVAL`] steps without one.
pub(super) fn adapt<T: Real>(scaler: &mut [T], overflowed: bool) {
    let log = log_scale(scaler);
    let (log, steps) = if overflowed {
        scaler[2] += T::one();
        (log - 1, 0.0)
    } else if scaler[1].f64() + 1.0 < f64::from(GROWTH_INTERVAL) {
        (log, scaler[1].f64() + 1.0)
    } else {
        (log + 1, 0.0)
    };
    scaler[0] = T::of(f64::from(log.clamp(*LOG_SCALES.start(), *LOG_SCALES.end()) - FIRST_LOG_SCALE));
    scaler[1] = T::of(steps);
}
