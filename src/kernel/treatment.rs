//! Kernels around the update: what is done to gradients before it, and what follows from the parameters behind it.

use super::{Access, BindingSpec, Element, Variant, binding, linear};

/// A kernel around the update. A run is a range of the parameter arena, `dims = [length]`. The twins are in
/// `src/cpu/treatment.rs`, the texts in `shaders/treatment/`.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Treatment {
    /// Adds the derivative of the penalty `λ₁ |w| + ½ λ₂ w²` to the gradient of a weight: `hyper = [λ₁, λ₂]`.
    Penalty,
    /// Holds each number of a gradient within `±limit`: `hyper = [limit]`.
    ClipValue,
    /// The squares of a gradient, summed over every so many elements: `dims = [length, strands]`.
    Squares,
    /// The norm of the gradient from the sums of its squares, and the factor that clips it: `dims = [count]`,
    /// `hyper = [limit]`.
    ClipFactor,
    /// The gradient times that factor.
    ClipNorm,
    /// Adds the gradient of a micro-batch to the sum of those before it.
    Accumulate,
    /// Adds that sum to the gradient of the last micro-batch of a batch, and begins the next one.
    Total,
    /// The exponential moving average of the parameters: `hyper = [1 - decay]`.
    Average,
}

/// Elements of [`Slot::Clip`](crate::plan::Slot::Clip): the factor, and the norm before clipping.
pub const CLIP_LEN: usize = 2;

/// Elements of a gradient whose squares one invocation sums, about.
const STRAND: usize = 64;

/// More strands make no GPU busier.
const MOST_STRANDS: usize = 1 << 14;

impl Treatment {
    /// Every kernel around the update.
    pub const ALL: &'static [Treatment] = &[
        Treatment::Penalty,
        Treatment::ClipValue,
        Treatment::Squares,
        Treatment::ClipFactor,
        Treatment::ClipNorm,
        Treatment::Accumulate,
        Treatment::Total,
        Treatment::Average,
    ];

    /// The word that names text and label.
    pub fn stem(self) -> &'static str {
        match self {
            Treatment::Penalty => "penalty",
            Treatment::ClipValue => "clip_value",
            Treatment::Squares => "squares",
            Treatment::ClipFactor => "clip_factor",
            Treatment::ClipNorm => "clip_norm",
            Treatment::Accumulate => "accumulate",
            Treatment::Total => "total",
            Treatment::Average => "average",
        }
    }

    /// Into how many sums the squares of a gradient of `len` elements go, a multiple of
    /// [`ALIGNMENT`](crate::params::ALIGNMENT).
    pub(crate) fn strands(len: usize) -> usize {
        len.div_ceil(STRAND).next_multiple_of(crate::params::ALIGNMENT).min(MOST_STRANDS)
    }

    pub(super) fn bindings(self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        let real = |index, name, access| binding(index, name, access, Element::Real);
        match self {
            Treatment::Penalty => vec![real(1, "params", Read), real(2, "gradients", Write)],
            Treatment::ClipValue => vec![real(1, "gradients", Write)],
            Treatment::Squares => vec![real(1, "gradients", Read), real(2, "squares", Write)],
            Treatment::ClipFactor => vec![real(1, "squares", Read), real(2, "clip", Write)],
            Treatment::ClipNorm => vec![real(1, "clip", Read), real(2, "gradients", Write)],
            Treatment::Accumulate => vec![real(1, "gradients", Read), real(2, "sums", Write)],
            Treatment::Total => vec![real(1, "sums", Write), real(2, "gradients", Write)],
            Treatment::Average => vec![real(1, "params", Read), real(2, "average", Write)],
        }
    }

    pub(super) fn lengths(self, [x, y, ..]: [usize; 4]) -> Vec<usize> {
        match self {
            Treatment::ClipValue => vec![x],
            Treatment::Squares => vec![x, y],
            Treatment::ClipFactor => vec![x, CLIP_LEN],
            Treatment::ClipNorm => vec![1, x],
            _ => vec![x, x],
        }
    }

    pub(super) fn variants(self) -> Vec<Variant> {
        match self {
            Treatment::Squares => vec![Variant::Naive],
            Treatment::ClipFactor => vec![Variant::Naive, Variant::Lanes(256)],
            _ => vec![Variant::Naive, Variant::Vector],
        }
    }

    pub(super) fn heuristic(self, dims: [u32; 4]) -> Variant {
        match self {
            Treatment::Squares => Variant::Naive,
            Treatment::ClipFactor => Variant::Lanes(256),
            _ if dims[0].is_multiple_of(4) => Variant::Vector,
            _ => Variant::Naive,
        }
    }

    pub(super) fn loop_iterations(self, variant: Variant, [x, y, ..]: [u64; 4]) -> u64 {
        match (self, variant) {
            (Treatment::Squares, _) => x.div_ceil(y.max(1)),
            (Treatment::ClipFactor, Variant::Lanes(lanes)) => x.div_ceil(u64::from(lanes)) + 8,
            (Treatment::ClipFactor, _) => x,
            _ => 0,
        }
    }

    pub(super) fn workgroups(self, variant: Variant, [x, y, ..]: [u64; 4]) -> [u32; 3] {
        match (self, variant) {
            (Treatment::Squares, _) => linear(y.div_ceil(64)),
            (Treatment::ClipFactor, _) => [1, 1, 1],
            (_, Variant::Vector) => linear(x.div_ceil(4 * 256)),
            _ => linear(x.div_ceil(256)),
        }
    }

    pub(super) fn work(self, x: f64) -> (f64, f64) {
        match self {
            Treatment::Squares | Treatment::ClipFactor => (2.0 * x, 4.0 * x),
            Treatment::ClipValue | Treatment::ClipNorm => (x, 8.0 * x),
            Treatment::Total => (x, 16.0 * x),
            Treatment::Penalty | Treatment::Accumulate | Treatment::Average => (2.0 * x, 12.0 * x),
        }
    }

    /// The text behind the element and the number of lanes.
    pub(super) fn wgsl(self) -> [&'static str; 2] {
        let each = include_str!("../../shaders/treatment/each.wgsl");
        match self {
            Treatment::Penalty => [include_str!("../../shaders/treatment/penalty.wgsl"), each],
            Treatment::ClipValue => [include_str!("../../shaders/treatment/clip_value.wgsl"), each],
            Treatment::Squares => [include_str!("../../shaders/treatment/squares.wgsl"), ""],
            Treatment::ClipFactor => [include_str!("../../shaders/treatment/clip_factor.wgsl"), ""],
            Treatment::ClipNorm => [include_str!("../../shaders/treatment/clip_norm.wgsl"), each],
            Treatment::Accumulate => [include_str!("../../shaders/treatment/accumulate.wgsl"), each],
            Treatment::Total => [include_str!("../../shaders/treatment/total.wgsl"), each],
            Treatment::Average => [include_str!("../../shaders/treatment/average.wgsl"), each],
        }
    }
}
