//! The learning-rate range test (Smith 2015, "Cyclical Learning Rates for Training Neural Networks").

use super::Trainer;
use super::micro::Micro;
use super::sweep::{Flow, Trained};
use crate::data::{Dataset, epoch_order};
use crate::{Error, Result};

/// A learning-rate range test: what [`Trainer::lr_find`] tries.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangeTest {
    /// The rate of the first step, > 0.
    pub from: f32,
    /// The rate of the last step, more than `from`.
    pub to: f32,
    /// Steps, each with a rate larger than the one before by the same factor; ≥ 2.
    pub steps: usize,
    /// The share of the loss's average that a step keeps, in [0, 1).
    pub smoothing: f64,
    /// The test ends where the smoothed loss exceeds its least value times this, > 1.
    pub divergence: f64,
}

impl Default for RangeTest {
    /// 200 steps from 10⁻⁷ to 10, smoothed over about ten, up to four times the least loss.
    fn default() -> Self {
        RangeTest { from: 1e-7, to: 10.0, steps: 200, smoothing: 0.9, divergence: 4.0 }
    }
}

/// One step of a range test.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct RangePoint {
    /// The learning rate of the step.
    pub rate: f32,
    /// The loss of its batch, before the step.
    pub loss: f32,
    /// The exponential average of the losses so far, without its bias towards 0.
    pub smoothed: f64,
}

/// What a range test found.
#[derive(Clone, Debug, PartialEq)]
pub struct RateRange {
    /// The steps; the last one is that at which the test ended. Losses that are not finite are left out.
    pub points: Vec<RangePoint>,
    /// Whether it ended because the loss grew, rather than for want of rates.
    pub diverged: bool,
}

impl RateRange {
    /// The rate at which the smoothed loss falls fastest over the logarithm of the rate, before its least value: the middle of
    /// the steepest straight line through a few neighbouring points, as one step says nothing of the others' noise. The first
    /// points, averages of few losses, do not count. `None` where the loss does not fall.
    pub fn steepest(&self) -> Option<f32> {
        let around = (self.points.len() / 20).clamp(1, 20);
        let slope = |middle: usize| {
            let weigh = |i: usize| (i as f64 - middle as f64) * self.points[i].smoothed;
            (middle - around..=middle + around).map(weigh).sum::<f64>()
        };
        let until = self.least_at()?.min(self.points.len() - 1 - around.min(self.points.len() - 1));
        let steepest = (2 * around..until).min_by(|&a, &b| slope(a).total_cmp(&slope(b)))?;
        (slope(steepest) < 0.0).then(|| self.points[steepest].rate)
    }

    /// A tenth of the rate at which the smoothed loss is least. `None` without a step.
    pub fn tenth_of_least(&self) -> Option<f32> {
        Some(self.points[self.least_at()?].rate / 10.0)
    }

    fn least_at(&self) -> Option<usize> {
        let smoothed = |i: &usize| self.points[*i].smoothed;
        (0..self.points.len()).min_by(|a, b| smoothed(a).total_cmp(&smoothed(b)))
    }
}

impl RangeTest {
    /// Checks the settings.
    pub fn validate(&self) -> Result<()> {
        let RangeTest { from, to, steps, smoothing, divergence } = *self;
        let wrong = |what: String| Err(Error::Config(format!("a range test {what}")));
        if !(from.is_finite() && to.is_finite() && 0.0 < from && from < to) {
            return wrong(format!("goes from a learning rate > 0 to a larger one, found {from} to {to}"));
        }
        if steps < 2 {
            return wrong(format!("needs at least 2 steps, found {steps}"));
        }
        if !(0.0..1.0).contains(&smoothing) {
            return wrong(format!("is smoothed by a share in [0, 1), found {smoothing}"));
        }
        match divergence > 1.0 {
            true => Ok(()),
            false => wrong(format!("ends at a multiple > 1 of the least loss, found {divergence}")),
        }
    }

    fn rate(&self, step: usize) -> f32 {
        let (from, to) = (f64::from(self.from), f64::from(self.to));
        (from * (to / from).powf(step as f64 / (self.steps - 1) as f64)) as f32
    }
}

impl Trainer {
    /// Trains on `data` with a learning rate that grows exponentially from step to step, and notes the losses: the range test
    /// that finds a learning rate. Parameters, optimizer state and the epochs counted are afterwards as they were; a schedule
    /// has no part in it.
    pub fn lr_find(&mut self, data: &Dataset, test: &RangeTest) -> Result<RateRange> {
        test.validate()?;
        data.validate_for_training()?;
        self.upload(data, None)?;
        let before = (self.kept()?, self.updates, self.options.learning_rate);
        self.options.learning_rate = 1.0;
        let found = self.run_range_test(data, test);
        let (kept, updates, learning_rate) = before;
        self.put_back(kept)?;
        (self.updates, self.options.learning_rate) = (updates, learning_rate);
        found
    }

    fn run_range_test(&mut self, data: &Dataset, test: &RangeTest) -> Result<RateRange> {
        let mut points: Vec<RangePoint> = Vec::with_capacity(test.steps);
        let (mut average, mut least) = (0.0, f64::INFINITY);
        let micro = Micro::of(&self.options);
        let mut pass = 0;
        while points.len() < test.steps {
            let order = epoch_order(data.rows(), self.options.seed, self.epochs + pass);
            pass += 1;
            let mut entries = self.entries(order.len(), self.updates);
            entries.truncate((test.steps - points.len()) * micro.count);
            let first = points.len();
            let batch = |i: usize| first + micro.batch_of(i);
            entries.iter_mut().enumerate().for_each(|(i, entry)| entry.learning_rate = test.rate(batch(i)));
            let rows = entries.iter().map(|entry| entry.rows as usize).sum::<usize>();
            let settled = |_: &mut Trainer, _: &[f32]| Ok(());
            let progress = |_: &mut Trainer, part: &[f32]| {
                for &loss in part {
                    let step = points.len();
                    average = test.smoothing * average + (1.0 - test.smoothing) * f64::from(loss);
                    let smoothed = average / (1.0 - test.smoothing.powi(step as i32 + 1));
                    points.push(RangePoint { rate: test.rate(step), loss, smoothed });
                    least = least.min(smoothed);
                    if smoothed > test.divergence * least {
                        return Ok(Flow::Stop);
                    }
                }
                Ok(Flow::Go)
            };
            match self.train_in_order(data, &order[..rows], &entries, Vec::new(), progress, settled)? {
                Trained::Whole(_) => {}
                Trained::Stopped | Trained::Diverged(_) => return Ok(RateRange { points, diverged: true }),
            }
        }
        Ok(RateRange { points, diverged: false })
    }
}
