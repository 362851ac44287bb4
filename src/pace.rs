//! How much work to hand over at once.

use std::time::Duration;

/// How many steps go together: as many as take about [`Pace::TARGET`] by the measured time of those before, so that the
/// host stays out of the way, and what is handed over stays short enough to be interrupted and to please a watchdog.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Pace {
    steps: usize,
}

impl Default for Pace {
    fn default() -> Self {
        Pace::starting_at(1)
    }
}

impl Pace {
    pub(crate) const TARGET: Duration = Duration::from_millis(50);

    /// A pace before anything was measured.
    pub(crate) fn starting_at(steps: usize) -> Self {
        Pace { steps: steps.max(1) }
    }

    /// How many steps to hand over next, ≥ 1.
    pub(crate) fn steps(self) -> usize {
        self.steps
    }

    /// `steps` steps took `time`, with nothing in between.
    pub(crate) fn took(&mut self, steps: usize, time: Duration) {
        let per_step = time.as_secs_f64() / steps as f64;
        let wanted = Self::TARGET.as_secs_f64() / per_step.max(1e-9);
        self.steps = (wanted as usize).clamp(1, self.steps.saturating_mul(4));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_follow_the_measured_time() {
        let mut pace = Pace::default();
        assert_eq!(pace.steps(), 1);
        pace.took(1, Duration::from_micros(10));
        assert_eq!(pace.steps(), 4, "it grows by steps");
        for _ in 0..9 {
            pace.took(pace.steps(), Duration::from_micros(10 * pace.steps() as u64));
        }
        assert_eq!(pace.steps(), 5000);
        pace.took(5000, Duration::from_secs(500));
        assert_eq!(pace.steps(), 1, "it slows down at once");
        pace.took(1, Duration::ZERO);
        assert_eq!(pace.steps(), 4);
    }
}
