//! Batches in parts: their rows, and how many fit a device.

use super::TrainerOptions;
use crate::device::Device;
use crate::network::Network;
use crate::plan::{Plan, TrainingOptions};
use crate::{Error, Result};
use std::ops::Range;

/// How batches are cut into micro-batches, all but the last of a batch of the same size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Micro {
    /// Rows of a batch, at most.
    batch: usize,
    /// Rows of a micro-batch, at most.
    pub(super) rows: usize,
    /// Micro-batches of a whole batch.
    pub(super) count: usize,
}

impl Micro {
    /// As evenly as the limit allows: less of the last one is padding.
    pub(super) fn of(options: &TrainerOptions) -> Micro {
        let batch = options.batch;
        let most = options.micro_batch.unwrap_or(batch).clamp(1, batch.max(1));
        // A batch without a row is one that no plan takes.
        let count = batch.div_ceil(most).max(1);
        Micro { batch, rows: batch.div_ceil(count), count }
    }

    /// Steps on `rows` rows, the batch at the end with as many as it needs.
    pub(super) fn steps(self, rows: usize) -> usize {
        rows / self.batch * self.count + (rows % self.batch).div_ceil(self.rows)
    }

    /// The rows that so many `steps` take, of `rows` altogether.
    pub(super) fn rows_of(self, steps: &Range<usize>, rows: usize) -> Range<usize> {
        let first = |step: usize| rows.min(step / self.count * self.batch + step % self.count * self.rows);
        first(steps.start)..first(steps.end)
    }

    /// The number of the batch that `step` belongs to.
    pub(super) fn batch_of(self, step: usize) -> usize {
        step / self.count
    }

    /// The batches that have ended after `done` steps of `steps` altogether.
    pub(super) fn ended(self, done: usize, steps: usize) -> usize {
        if done == steps { steps.div_ceil(self.count) } else { done / self.count }
    }

    /// Whether `step` is the last one of its batch, of `steps` altogether.
    pub(super) fn is_last(self, step: usize, steps: usize) -> bool {
        step + 1 == steps || (step + 1).is_multiple_of(self.count)
    }
}

/// The largest micro-batch that fits `device`: with more rows a buffer of the training step would be larger than the device
/// lets a shader bind. `None` where a whole batch fits.
///
/// # Errors
/// Where not even a single row fits, and where the step cannot be planned at all.
pub fn largest_micro_batch(device: &Device, network: &Network, options: &TrainerOptions) -> Result<Option<usize>> {
    let most = device.most_slot_bytes();
    let plan = TrainingOptions { workgroup_memory: device.workgroup_memory(), ..options.plan() };
    largest(network, &plan, options.batch, most).map(|rows| Some(rows).filter(|&rows| rows < options.batch))
}

fn largest(network: &Network, options: &TrainingOptions, batch: usize, most: u64) -> Result<usize> {
    let plan = |rows: usize| {
        let accumulates = rows < batch;
        Plan::training(network, &TrainingOptions { batch: rows, accumulates, ..*options })
    };
    let fits = |plan: &Plan| {
        let bytes = |info: &crate::plan::SlotInfo| (info.element.bytes() * info.len) as u64;
        plan.slots.iter().all(|info| bytes(info) <= most && u32::try_from(info.len).is_ok())
    };
    let smallest = plan(1)?;
    if !fits(&smallest) {
        return Err(Error::Device(format!(
            "no micro-batch fits: {network} needs a buffer of {} bytes for a single row, the device allows {most}; use a \
             smaller network, or --device cpu",
            smallest.slots.iter().map(|info| info.element.bytes() * info.len).max().unwrap_or(0)
        )));
    }
    let (mut fitting, mut beyond) = (1, batch + 1);
    // Most batches fit as a whole.
    if plan(batch).is_ok_and(|plan| fits(&plan)) {
        return Ok(batch);
    }
    while beyond - fitting > 1 {
        let rows = fitting + (beyond - fitting) / 2;
        match plan(rows).is_ok_and(|plan| fits(&plan)) {
            true => fitting = rows,
            false => beyond = rows,
        }
    }
    Ok(fitting)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::activation::Activation;
    use crate::loss::Loss;

    #[test]
    fn parts_are_even_and_cover_a_batch() {
        for batch in 1..40 {
            for most in 1..50 {
                let options = TrainerOptions { batch, micro_batch: Some(most), ..TrainerOptions::new(Loss::Huber) };
                let micro = Micro::of(&options);
                assert!(micro.rows <= most && micro.count == batch.div_ceil(most) && micro.steps(batch) == micro.count);
                for rows in [1, batch, 2 * batch + 1, 3 * batch - 1] {
                    let steps = micro.steps(rows);
                    let parts: Vec<_> = (0..steps).map(|step| micro.rows_of(&(step..step + 1), rows)).collect();
                    assert!(parts.iter().all(|part| !part.is_empty() && part.len() <= micro.rows));
                    assert!(parts.windows(2).all(|pair| pair[0].end == pair[1].start));
                    assert_eq!((parts[0].start, parts[steps - 1].end), (0, rows));
                    let lasts = (0..steps).filter(|&step| micro.is_last(step, steps)).count();
                    assert_eq!(lasts, rows.div_ceil(batch));
                    let ends = |step: usize| parts[step].end == rows || parts[step].end.is_multiple_of(batch);
                    assert!((0..steps).all(|step| micro.is_last(step, steps) == ends(step)));
                }
            }
        }
    }

    #[test]
    fn the_largest_part_just_fits() {
        let network = Network::new(100).dense(50, Activation::Tanh).dense(10, Activation::Linear);
        let options = TrainingOptions::new(1, Loss::MeanSquaredError);
        // The widest buffer of a batch is that of its inputs, beyond the weight's 50 × 100.
        assert_eq!(largest(&network, &options, 1000, 4 * 100 * 300).unwrap(), 300);
        assert_eq!(largest(&network, &options, 1000, 4 * 100 * 300 - 1).unwrap(), 299);
        assert_eq!(largest(&network, &options, 1000, u64::MAX).unwrap(), 1000);
        assert_eq!(largest(&network, &options, 300, 4 * 100 * 300).unwrap(), 300);
        let error = largest(&network, &options, 1000, 4 * 100 * 20).unwrap_err().to_string();
        assert!(error.contains("no micro-batch fits") && error.contains("allows 8000"), "{error}");
    }
}
