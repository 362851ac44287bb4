//! The kernel that adds up the parts of a fused step.

use super::{Fused, Layout, Pass, padded, write_precision};
use crate::kernel::mixed::{SCALER_LEN, scale_wgsl};
use crate::kernel::{Access, BindingSpec, Element, binding, state_bindings};
use crate::network::Network;
use crate::optimizer::Rule;
use crate::params::{Params, Role};
use crate::plan::ScheduleEntry;
use crate::precision::Precision;
use std::fmt::Write;

/// Adds up the gradients of parts: `dims = [parts, first, length]`, a range of the parameter arena.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct FusedSum {
    /// The network.
    pub network: Network,
    /// How the gradients change the parameters; `None` where they are only stored.
    pub rule: Option<Rule>,
    /// In [`Precision::F16`] the gradients carry the dynamic loss scale, and where one overflowed nothing changes.
    pub precision: Precision,
}

impl FusedSum {
    /// Where the gradient of each tensor of the arena lies in a part: offset, rows, columns and their padded number.
    fn layout(&self) -> Layout {
        Fused { network: self.network.clone(), pass: Pass::Prediction, precision: self.precision }.layout()
    }

    pub(in crate::kernel) fn bindings(&self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Real, Word};
        let partials = binding(3, "partials", Read, Real);
        let mut all = match self.rule {
            None => vec![partials, binding(4, "gradients", Write, Real)],
            Some(rule) => {
                let mut all = vec![binding(1, "schedule", Read, Word), binding(2, "clock", Read, Word), partials];
                all.push(binding(4, "params", Write, Real));
                all.extend(state_bindings(rule));
                all
            }
        };
        all.extend((self.precision == Precision::F16).then(|| binding(8, "scaler", Read, Real)));
        all
    }

    pub(crate) fn lengths(&self, [parts, first, len]: [usize; 3]) -> Vec<usize> {
        let half = self.precision == Precision::F16;
        let partials = parts * self.layout().partials;
        let mut all = match self.rule {
            None => vec![partials, first + len],
            Some(rule) => {
                let overflows = if half { 2 * parts } else { 0 };
                let fixed = vec![ScheduleEntry::WORDS, 1, partials + overflows];
                [fixed, vec![first + len; 1 + rule.states()]].concat()
            }
        };
        all.extend(half.then_some(SCALER_LEN));
        all
    }

    pub(in crate::kernel) fn loop_iterations(&self, parts: u64) -> u64 {
        if self.precision == Precision::F16 { 2 * parts } else { parts }
    }

    /// Each tensor with where a part's gradient of it begins and how long its rows are there.
    pub(crate) fn tensors(&self) -> (Vec<(crate::params::Tensor, usize, usize)>, usize) {
        let layout = self.layout();
        let place = |tensor: &crate::params::Tensor| {
            let place = layout.layers[tensor.layer];
            match tensor.role {
                Role::Weight => (place.weight_gradient, padded(place.inputs)),
                // A fused network has no other tensors.
                _ => (place.bias_gradient, padded(tensor.cols)),
            }
        };
        let tensors = Params::of(&self.network).tensors.into_iter();
        let tensors = tensors.map(|tensor| {
            let (at, stride) = place(&tensor);
            (tensor, at, stride)
        });
        (tensors.collect(), layout.partials)
    }

    pub(in crate::kernel) fn wgsl(&self) -> String {
        let (tensors, partials) = self.tensors();
        let mut text = format!("const PARTIALS: u32 = {partials}u;\n");
        text += "@group(0) @binding(3) var<storage, read> partials: array<f32>;\n";
        text += "// Where a part has the gradient of parameter i; PARTIALS where i lies between tensors.\n";
        text += "fn partial_of(i: u32) -> u32 {\n";
        for (tensor, at, stride) in tensors {
            let (start, end, cols) = (tensor.offset, tensor.range().end, tensor.cols);
            let _ = writeln!(
                text,
                "  if i >= {start}u && i < {end}u {{ return {at}u + (i - {start}u) / {cols}u * {stride}u + (i - {start}u) % {cols}u; }}"
            );
        }
        text += "  return PARTIALS;\n}\n";
        let half = self.precision == Precision::F16;
        text += match (half, self.rule) {
            (true, Some(_)) => include_str!("../../../shaders/fused/skip_overflow.wgsl"),
            _ => include_str!("../../../shaders/update/every_step.wgsl"),
        };
        if half {
            text += "@group(0) @binding(8) var<storage, read> scaler: array<f32>;\n";
            text += &scale_wgsl();
        } else {
            text += "fn inverse_scale() -> f32 { return 1.0; }\n";
        }
        match self.rule {
            None => text += include_str!("../../../shaders/fused/gradients.wgsl"),
            Some(rule) => {
                text += include_str!("../../../shaders/schedule.wgsl");
                text += rule.wgsl();
                text += include_str!("../../../shaders/fused/update.wgsl");
            }
        }
        text + include_str!("../../../shaders/fused/sum.wgsl")
    }
}

impl std::fmt::Display for FusedSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_precision(f, self.precision)?;
        match self.rule {
            None => write!(f, "sum of parts"),
            Some(rule) => write!(f, "sum of parts + update {}", rule.name()),
        }
    }
}
