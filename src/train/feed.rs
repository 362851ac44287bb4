//! How the rows of a data set reach the device: all at once, where they fit, or streamed through a region of whole batches.

use super::TrainerOptions;
use crate::Result;
use crate::data::Dataset;
use crate::executor::Executor;
use crate::network::Network;
use crate::plan::Slot;
use std::ops::Range;

/// Bytes of the region that a data set is streamed through, unless one batch is larger: a copy that long keeps a bus busy,
/// and a few of them are still little memory.
const REGION: u64 = 32 << 20;

/// Rows that are read from a file before what was read is let go.
const MAPPED: usize = 2048;

/// Rows of the region that data sets of `rows` rows together are streamed through, a multiple of the batch; `None` where
/// they stay on the device as a whole. A slot may have `most` bytes.
pub fn streamed_rows(network: &Network, options: &TrainerOptions, rows: usize, most: u64) -> Option<usize> {
    let bytes = |rows: usize, cols: usize| (rows as u64).saturating_mul(4 * cols as u64);
    let targets = options.target_width(network.outputs());
    let both = |rows| bytes(rows, network.inputs).saturating_add(bytes(rows, targets));
    let widest = network.inputs.max(targets);
    if bytes(rows, widest) <= most && both(rows) <= options.data_budget {
        return None;
    }
    let batches = options.data_budget.min(REGION).min(most) / both(options.batch).max(1);
    let batches = (batches as usize).clamp(1, rows.div_ceil(options.batch).max(1));
    Some(batches * options.batch)
}

/// A row of targets, behind it its weight where rows are `weighted`, which is 1 where the data set has none.
pub(super) fn target(data: &Dataset, row: usize, weighted: bool) -> impl Iterator<Item = &[f32]> {
    let weight = data.weights.as_ref().map_or(&[1.0][..], |weights| std::slice::from_ref(&weights[row]));
    [data.targets.row(row), weight].into_iter().take(1 + usize::from(weighted))
}

/// Streams the rows number `range` of `order` to where their batches are gathered: the region is a ring, and its rows are
/// taken in turns.
pub(super) fn feed(
    executor: &mut dyn Executor,
    (region, weighted): (usize, bool),
    data: &Dataset,
    order: &[u32],
    range: Range<usize>,
) -> Result<()> {
    let mut first = range.start;
    while first < range.end {
        let at = first % region;
        let count = (range.end - first).min(region - at);
        let rows = |part: Range<usize>| order[first..][part].iter().map(|&row| row as usize);
        // A row that is used brings a page of its file into memory, and some of those around it.
        let most = if data.inputs.data.in_a_file() || data.targets.data.in_a_file() { MAPPED } else { count };
        for start in (0..count).step_by(most) {
            let part = start..count.min(start + most);
            let place = |cols: usize| (at + part.start) * cols..(at + part.end) * cols;
            let mut inputs = rows(part.clone()).map(|row| data.inputs.row(row));
            executor.stream(Slot::DataInputs, place(data.inputs.cols), &mut inputs)?;
            let mut targets = rows(part.clone()).flat_map(|row| target(data, row, weighted));
            executor.stream(Slot::DataTargets, place(data.targets.cols + usize::from(weighted)), &mut targets)?;
            data.inputs.data.release();
            data.targets.data.release();
        }
        first += count;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::activation::Activation;
    use crate::loss::Loss;

    #[test]
    fn a_data_set_is_streamed_where_it_does_not_fit() {
        let network = Network::new(3).dense(2, Activation::Linear);
        let options = |data_budget| TrainerOptions { data_budget, batch: 10, ..TrainerOptions::new(Loss::Huber) };
        let region = |budget, most| streamed_rows(&network, &options(budget), 100, most);
        assert_eq!(region(u64::MAX, u64::MAX), None);
        assert_eq!(region(2000, 1200), None, "it just fits");
        assert_eq!(region(1999, 5000), Some(90), "whole batches");
        assert_eq!(region(2000, 1199), Some(50), "both slots together stay below the limit of one");
        assert_eq!(region(0, u64::MAX), Some(10), "one batch must be there");
        let many = 1 << 40;
        assert_eq!(streamed_rows(&network, &options(u64::MAX), many, 1 << 30), Some((REGION / 200) as usize * 10));
    }
}
