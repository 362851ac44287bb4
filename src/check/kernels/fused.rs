//! What the fused kernels are given, and how far they may be from their twins.

use super::super::mixed::{LOG_SCALE, SCALER};
use super::{Contents, LEARNING_RATE, live_rows, schedule, update};
use crate::activation::Activation;
use crate::compare::{FLUSH, sum_error};
use crate::kernel::fused::{Fused, FusedSum, Pass, Source};
use crate::loss::Loss;
use crate::params::{Params, Role};
use crate::precision::Precision;
use crate::reference::{Bounded, Number, Reference};
use crate::{Result, network::Network};

/// Marks an element that a kernel may leave or write as it likes.
const ANYTHING: f64 = f64::NAN;

/// `[batch, rows of a part]`: parts without a sample, part of a tile, more slabs than one.
/// A 1 behind them stands for rows with weights, where something is trained.
pub(super) const SHAPES: &[&[u32]] = &[&[1, 64], &[7, 32, 1], &[33, 32], &[70, 64, 1], &[300, 288]];

/// `[parts, first, length]`: the whole arena, a range that begins and ends inside a tensor's neighbourhood.
pub(super) fn sum_shapes(sum: &FusedSum) -> Vec<[u32; 4]> {
    let len = Params::of(&sum.network).len as u32;
    let skipped = OVERFLOWING.map(|[parts, _]| [parts as u32, 0, len, 0]);
    [&[[1, 0, len, 0], [3, 0, len, 0], [129, 64, len - 65, 0]], skipped.as_slice()].concat()
}

/// So many parts stand for a step that is skipped in mixed precision, because this one of them overflowed.
const OVERFLOWING: [[usize; 2]; 3] = [[2, 1], [5, 4], [6, 2]];

/// Row `i` of the batch is this row of the data set.
fn order(batch: usize) -> Vec<u32> {
    let samples = batch + 5;
    (0..batch + 2).map(|i| ((i * 7 + 3) % samples) as u32).collect()
}

pub(super) fn contents(kernel: &Fused, dims: [u32; 4], mut real: impl FnMut(usize, f32) -> Contents) -> Vec<Contents> {
    let [batch, part_rows, weights, _] = dims.map(|d| d as usize);
    let lengths = kernel.lengths([batch, part_rows, weights]);
    let (inputs, outputs) = (kernel.network.inputs, kernel.network.outputs());
    let params = real(Params::of(&kernel.network).len, 0.6);
    let Pass::Training { source, .. } = kernel.pass else {
        return vec![real(batch * inputs, 1.5), params, Contents::Poison(lengths[2]), Contents::Poison(lengths[3])];
    };
    let samples = if source == Source::Gathered { batch + 5 } else { batch };
    let [schedule, clock] = schedule(batch);
    let mut all = vec![schedule, clock, real(samples * inputs, 1.5), real(samples * (outputs + weights), 1.0), params];
    all.extend([Contents::Poison(lengths[5]), Contents::Poison(lengths[6])]);
    match source {
        Source::Batch => {}
        Source::Gathered => all.push(Contents::Words(order(batch))),
        Source::EveryGradient => all.push(Contents::Poison(lengths[7])),
    }
    all.extend((kernel.precision == Precision::F16).then(|| Contents::Real(SCALER.to_vec())));
    all
}

/// For each binding in order; derived by computing each part of the batch as a batch of its own in numbers with bounds.
pub(super) fn bounds(kernel: &Fused, dims: [u32; 4], contents: &[Contents]) -> Result<Vec<Vec<f64>>> {
    let [batch, part_rows, weights, _] = dims.map(|d| d as usize);
    let wide = |i: usize| contents[i].real().iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let mut out = vec![Vec::new(); contents.len()];
    let network = &kernel.network;
    let (inputs, outputs) = (network.inputs, network.outputs());
    let Pass::Training { loss, source } = kernel.pass else {
        let reference = Reference::new(network, Loss::MeanSquaredError)?;
        out[2] = vec![ANYTHING; contents[2].len()];
        out[3] = match kernel.precision {
            Precision::F32 => reference.forward_bounds(&wide(1), &wide(0), batch)?,
            Precision::F16 => reference.half_forward_bounds(&wide(1), &wide(0), batch)?,
        };
        return Ok(out);
    };
    let reference = Reference::new(&with_output_of(network, loss), loss)?;
    let reference = if weights > 0 { reference.weighted() } else { reference };
    let layout = kernel.layout();
    let rows = |i: usize, cols: usize, range: std::ops::Range<usize>| -> Vec<f64> {
        let all = wide(i);
        let order = order(batch);
        // The schedule's batch begins at the order's third entry.
        let row = |r: usize| if source == Source::Gathered { order[2 + r] as usize } else { r };
        range.flat_map(|r| all[row(r) * cols..][..cols].to_vec()).collect()
    };
    let (mut partials, mut losses, mut input_gradient) = (Vec::new(), Vec::new(), Vec::new());
    for start in (0..batch).step_by(part_rows) {
        let end = batch.min(start + part_rows);
        let live = live_rows(batch).clamp(start, end) - start;
        let range = start..start + live;
        let mut part = vec![ANYTHING; layout.partials];
        let (inputs_here, targets) = (rows(2, inputs, range.clone()), rows(3, outputs + weights, range));
        let found = match live {
            0 => None,
            _ => Some(match kernel.precision {
                Precision::F32 => reference.bounds(&wide(4), &inputs_here, &targets, live)?,
                Precision::F16 => reference.half_bounds(&wide(4), &inputs_here, &targets, live)?,
            }),
        };
        // The kernel is given another factor than the reference takes; all that it computes is proportional to it.
        let ratio = f64::from(0.37f32) / loss.reduction().scale(live.max(1), outputs);
        let scaled = match kernel.precision {
            Precision::F32 => ratio,
            Precision::F16 => ratio * f64::from(LOG_SCALE).exp2(),
        };
        for tensor in Params::of(network).tensors {
            let place = layout.layers[tensor.layer];
            let (at, wanted) = match tensor.role {
                Role::Weight => (place.weight_gradient, place.wants_weight),
                // A fused network has no other tensors.
                _ => (place.bias_gradient, place.wants_bias),
            };
            let stride = tensor.cols.next_multiple_of(4);
            for (i, param) in tensor.range().enumerate().filter(|_| wanted) {
                part[at + i / tensor.cols * stride + i % tensor.cols] =
                    found.as_ref().map_or(0.0, |found| scaled * found.params[param]);
            }
        }
        partials.extend(part);
        losses.push(found.as_ref().map_or(0.0, |found| ratio * found.loss));
        let known = found.map_or(Vec::new(), |found| found.input);
        input_gradient.extend(known.iter().map(|bound| ratio * bound));
        input_gradient.extend(vec![0.0; (end - start - live) * inputs]);
    }
    out[5] = vec![ANYTHING; contents[5].len()];
    out[6] = [partials, losses].concat();
    if source == Source::EveryGradient {
        out[7] = input_gradient;
    }
    Ok(out)
}

/// The network as the reference wants it: with the output activation that the loss contains.
fn with_output_of(network: &Network, loss: Loss) -> Network {
    let mut network = network.clone();
    if let (Loss::LogisticCrossEntropy, Some(last)) = (loss, network.layers.last_mut()) {
        last.activation = Activation::Sigmoid;
    }
    network
}

pub(super) fn sum_contents(
    kernel: &FusedSum,
    dims: [u32; 4],
    mut real: impl FnMut(usize, f32) -> Contents,
) -> Vec<Contents> {
    let arena = Params::of(&kernel.network).len;
    let parts = dims[0] as usize;
    let mut partials = real(parts * kernel.tensors().1, 2.0);
    let half = kernel.precision == Precision::F16;
    if let (true, Some(_), Contents::Real(partials)) = (half, kernel.rule, &mut partials) {
        // Losses do not matter.
        partials.extend(vec![f32::NAN; parts]);
        partials.extend((0..parts).map(|part| f32::from(u8::from(OVERFLOWING.contains(&[parts, part])))));
    }
    let mut all = match kernel.rule {
        None => vec![partials, Contents::Poison(arena)],
        Some(rule) => {
            let [schedule, clock] = schedule(1);
            let mut all = vec![schedule, clock, partials, real(arena, 2.0)];
            all.extend(update::states(rule, || real(arena, 2.0)));
            all
        }
    };
    all.extend(half.then(|| Contents::Real(SCALER.to_vec())));
    all
}

/// As for the update of a gradient, with the roundings of its sum.
pub(super) fn sum_bounds(kernel: &FusedSum, dims: [u32; 4], hyper: [f32; 4], contents: &[Contents]) -> Vec<Vec<f64>> {
    let [parts, first, len, _] = dims.map(|d| d as usize);
    let arena = Params::of(&kernel.network).len;
    let mut out = vec![Vec::new(); contents.len()];
    let (tensors, stride) = kernel.tensors();
    let partials = contents[if kernel.rule.is_none() { 0 } else { 2 }].real();
    let written = if kernel.rule.is_none() { 1 } else { 3 };
    let states = kernel.rule.map_or(0, |rule| rule.states());
    out[written..=written + states].iter_mut().for_each(|bounds| *bounds = vec![0.0; arena]);
    let half = kernel.precision == Precision::F16;
    if half && kernel.rule.is_some() && OVERFLOWING.iter().any(|[skipped, _]| parts == *skipped) {
        return out;
    }
    // A power of two takes no digit; what becomes subnormal may become 0.
    let (inverse_scale, flush) = if half { (f64::from(-LOG_SCALE).exp2(), FLUSH) } else { (1.0, 0.0) };
    for (tensor, at, padded) in tensors {
        for (i, param) in tensor.range().enumerate() {
            if param < first || param >= first + len {
                continue;
            }
            let at = at + i / tensor.cols * padded + i % tensor.cols;
            let terms = (0..parts).map(|part| f64::from(partials[part * stride + at]));
            let gradient = Bounded {
                value: terms.clone().sum::<f64>() * inverse_scale,
                error: sum_error(parts, terms.map(f64::abs).sum::<f64>()) * inverse_scale + flush,
            };
            let given = |i: usize| Bounded::given(contents[i].real()[param].into());
            match kernel.rule {
                None => out[1][param] = gradient.error,
                Some(rule) => {
                    let state = [0, 1].map(|s| if s < states { given(4 + s) } else { Bounded::given(0.0) });
                    let (p, state) = update::updated(rule, hyper, LEARNING_RATE, given(3), gradient, state);
                    out[3][param] = p.error;
                    (0..states).for_each(|s| out[4 + s][param] = state[s].error);
                }
            }
        }
    }
    out
}

/// The row of the table.
pub(super) fn family(kernel: &Fused) -> String {
    let precision = if kernel.precision == Precision::F16 { "f16 " } else { "" };
    match kernel.pass {
        Pass::Prediction => format!("{precision}fused forward"),
        Pass::Training { .. } => format!("{precision}fused forward + loss + backward"),
    }
}
