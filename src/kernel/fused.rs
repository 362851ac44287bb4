//! Kernels of the fused planner. One takes a part of the batch through forward, loss and backward, slab of rows by slab
//! of rows, so that activations and deltas stay in the nearest caches; it leaves the part's loss and gradients. The other
//! adds up the parts in order and updates.

mod broadcast;
mod sum;
mod text;

pub use sum::FusedSum;

use super::mixed::SCALER_LEN;
use super::{Abilities, Access, BindingSpec, Broadcast, Cooperative, Element, SOFTWARE_LANES, Variant, binding};
use crate::activation::Stored;
use crate::loss::Loss;
use crate::network::{Bias, Network};
use crate::optimizer::Rule;
use crate::params::{ALIGNMENT, Params, Role};
use crate::plan::ScheduleEntry;
use crate::precision::Precision;
use crate::{Error, Result};

/// The widest layer of a network that the fused planner takes.
pub const WIDEST: usize = 128;

/// Rows that are computed together are whole tiles of so many.
pub const TILE_ROWS: usize = 32;

/// Elements of scratch memory that stay in a core's own cache.
const CACHE: usize = 128 << 10;

/// Parts of a batch: some for each processor of a large GPU, few enough for their gradients to be added up quickly.
const PARTS: usize = 256;

/// Elements of all parts together at the most, as far as it is their number that decides: what a binding takes on every device,
/// 128 MiB. Deep networks have more on long batches, since a part may take only so long.
const MOST_ELEMENTS: usize = 32 << 20;

/// Rows that make a part worth adding up.
const LEAST_ROWS: usize = 64;

/// Loop iterations of a part at most: the least that any driver is known to allow is 65,535.
const MOST_ITERATIONS: u64 = 60_000;

/// What a fused kernel is compiled for.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Fused {
    /// The network with the activations that it is computed with: a loss may contain that of the last layer.
    pub network: Network,
    /// What is computed.
    pub pass: Pass,
    /// What weights, activations and deltas are stored in and multiplied as.
    pub precision: Precision,
}

/// What a fused kernel computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// The output.
    Prediction,
    /// The loss and the gradients.
    Training {
        /// The loss.
        loss: Loss,
        /// Which samples, and which gradients.
        source: Source,
    },
}

/// Where the samples of a training pass are, and which gradients it computes.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Source {
    /// The batch; the gradients of what is trained.
    Batch,
    /// Rows of the data set; the gradients of what is trained.
    Gathered,
    /// The batch; every gradient, those of frozen parameters and of the input too.
    EveryGradient,
}

/// Where a layer's numbers lie: parameters in the arena, activations and deltas in the scratch memory of a part, gradients
/// in a part's partials. Rows of matrices are padded to multiples of 4.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Place {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) weight: usize,
    pub(crate) bias: usize,
    pub(crate) bias_mode: Bias,
    pub(crate) input: usize,
    pub(crate) output: usize,
    /// What the derivative is computed from: the output or the pre-activation.
    pub(crate) stored: usize,
    pub(crate) delta: usize,
    pub(crate) weight_gradient: usize,
    pub(crate) bias_gradient: usize,
    pub(crate) wants_weight: bool,
    pub(crate) wants_bias: bool,
    /// Whether the delta of the layer below is wanted, or the input's gradient.
    pub(crate) wants_below: bool,
}

/// Where everything lies.
#[derive(Clone, Debug)]
pub(crate) struct Layout {
    pub(crate) layers: Vec<Place>,
    /// Rows of a slab.
    pub(crate) slab: usize,
    /// Elements of scratch memory of a part.
    pub(crate) scratch: usize,
    /// Where the weights are copied to, their rows padded, if vectors of four do not fit the arena's.
    pub(crate) packed: Option<usize>,
    /// Elements of gradients of a part, a multiple of [`ALIGNMENT`].
    pub(crate) partials: usize,
    /// The lowest layer that the backward pass reaches.
    pub(crate) lowest: usize,
}

/// The width of a matrix in memory.
pub(crate) fn padded(width: usize) -> usize {
    width.next_multiple_of(4)
}

impl Fused {
    /// Why the fused planner does not take `network`, if it does not.
    pub fn check(network: &Network) -> Result<()> {
        network.check_plain("the planner fused")?;
        match network.widths().into_iter().max() {
            Some(widest) if widest > WIDEST => Err(Error::Config(format!(
                "the fused planner takes networks whose widths are at most {WIDEST}, but {network} has one of {widest}; \
                 use the planner layerwise"
            ))),
            _ => Ok(()),
        }
    }

    /// Rows of a part: the batch is split into few enough parts to be added up quickly, and each is small enough to end.
    pub fn part_rows(&self, batch: usize) -> usize {
        let Layout { slab, scratch, partials, .. } = self.layout();
        // Behind a part's gradients come its loss and whether one of them overflowed.
        let fitting = MOST_ELEMENTS / scratch.max(partials + 4);
        let even = batch.div_ceil(PARTS.min(fitting.max(1))).next_multiple_of(TILE_ROWS).max(LEAST_ROWS);
        let most = MOST_ITERATIONS / self.slab_iterations(slab).max(1) * slab as u64;
        even.min((most as usize).max(TILE_ROWS))
    }

    pub(crate) fn layout(&self) -> Layout {
        self.layout_of_rows(usize::MAX)
    }

    /// The layout for slabs of at most `rows` rows.
    pub(crate) fn layout_of_rows(&self, rows: usize) -> Layout {
        let network = &self.network;
        let params = Params::of(network);
        let every = matches!(self.pass, Pass::Training { source: Source::EveryGradient, .. });
        let trains = self.pass != Pass::Prediction;
        let widths: Vec<_> = network.widths().into_iter().map(padded).collect();
        let widest = widths.iter().copied().max().unwrap_or(0);
        let keeps = |i: usize| trains && network.layers[i].activation.stored() == Stored::Preactivation;
        let kept: usize = (0..network.layers.len()).filter(|&i| keeps(i)).map(|i| widths[i + 1]).sum();
        let per_row = if trains { widths.iter().sum::<usize>() + kept + 2 * widest } else { 2 * widest };
        let slab = (CACHE / per_row / TILE_ROWS * TILE_ROWS).clamp(TILE_ROWS, 256).min(rows);

        let mut scratch = 0;
        let mut take = |width: usize| {
            scratch += slab * width;
            scratch - slab * width
        };
        let turns = [take(widest), take(widest)];
        let mut input = if trains { take(widths[0]) } else { turns[0] };
        let mut layers = Vec::new();
        let mut partials = 0;
        for (i, layer) in network.layers.iter().enumerate() {
            let output = if trains { take(widths[i + 1]) } else { turns[(i + 1) % 2] };
            let stored = if keeps(i) { take(widths[i + 1]) } else { output };
            let offset = |role| params.get(i, role).map_or(0, |tensor| tensor.offset);
            let below = params.tensors.iter().any(|t| t.layer < i && t.trainable);
            let weight_gradient = partials;
            let bias_gradient = weight_gradient + layer.outputs * widths[i];
            partials = bias_gradient + widths[i + 1];
            layers.push(Place {
                inputs: network.layer_inputs(i),
                outputs: layer.outputs,
                weight: offset(Role::Weight),
                bias: offset(Role::Bias),
                bias_mode: layer.bias,
                input,
                output,
                stored,
                delta: turns[i % 2],
                weight_gradient,
                bias_gradient,
                wants_weight: every || !layer.freeze_weight,
                wants_bias: layer.bias != Bias::None && (every || !layer.freeze_bias),
                wants_below: every || below,
            });
            input = output;
        }
        let aligned = layers.iter().all(|place| place.inputs == padded(place.inputs));
        let packed = (!aligned).then(|| {
            let start = scratch;
            for place in &layers {
                scratch += place.outputs * padded(place.inputs);
            }
            start
        });
        let lowest = layers.iter().position(|place| place.wants_weight || place.wants_bias).unwrap_or(layers.len());
        let partials = partials.next_multiple_of(ALIGNMENT);
        Layout { layers, slab, scratch, packed, partials, lowest }
    }

    pub(super) fn bindings(&self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Half, Real, Word};
        let half = self.precision == Precision::F16;
        let stored = if half { Half } else { Real };
        let Pass::Training { source, .. } = self.pass else {
            return vec![
                binding(3, "input", Read, Real),
                binding(5, "params", Read, Real),
                binding(6, SCRATCH, Write, stored),
                binding(7, "output", Write, Real),
            ];
        };
        let (inputs, targets) = match source {
            Source::Gathered => ("data_inputs", "data_targets"),
            Source::Batch | Source::EveryGradient => ("input", "target_rows"),
        };
        let mut all = vec![
            binding(1, "schedule", Read, Word),
            binding(2, "clock", Read, Word),
            binding(3, inputs, Read, Real),
            binding(4, targets, Read, Real),
            binding(5, "params", Read, Real),
            binding(6, SCRATCH, Write, stored),
            binding(7, "partials", Write, Real),
        ];
        match source {
            Source::Batch => {}
            Source::Gathered => all.push(binding(8, "order", Read, Word)),
            Source::EveryGradient => all.push(binding(8, "input_gradient", Write, Real)),
        }
        all.extend(half.then(|| binding(9, "scaler", Access::Constant, Real)));
        all
    }

    pub(crate) fn lengths(&self, [batch, part_rows, weights]: [usize; 3]) -> Vec<usize> {
        let (layout, params) = (self.layout(), Params::of(&self.network).len);
        let parts = batch.div_ceil(part_rows.max(1));
        let (inputs, outputs) = (self.network.inputs, self.network.outputs());
        let Pass::Training { source, .. } = self.pass else {
            return vec![batch * inputs, params, parts * layout.scratch, batch * outputs];
        };
        let samples = if source == Source::Gathered { 1 } else { batch };
        let half = self.precision == Precision::F16;
        let partials = parts * layout.partials + padded(parts * if half { 2 } else { 1 });
        let mut all = vec![
            ScheduleEntry::WORDS,
            1,
            samples * inputs,
            samples * (outputs + weights),
            params,
            parts * layout.scratch,
            partials,
        ];
        match source {
            Source::Batch => {}
            Source::Gathered => all.push(1),
            Source::EveryGradient => all.push(batch * inputs),
        }
        all.extend(half.then_some(SCALER_LEN));
        all
    }

    /// Loop iterations that an invocation of the kernel for software rasterisers takes for a slab of `rows`.
    fn slab_iterations(&self, rows: usize) -> u64 {
        let tiles = |rows: usize, cols: usize, depth: usize| {
            (rows.div_ceil(32) * (1 + cols.div_ceil(32) * (1 + depth.div_ceil(4) + 32))) as u64
        };
        let layers = self.layout().layers;
        let widths = layers.iter().map(|place| {
            let (inputs, outputs) = (place.inputs, place.outputs);
            tiles(rows, outputs, inputs) + tiles(rows, inputs, outputs) + tiles(outputs, inputs, rows)
        });
        let per_row = self.network.inputs + 5 * self.network.outputs() + 1;
        widths.sum::<u64>() + (rows.div_ceil(8) * per_row) as u64
    }

    pub(super) fn variants(&self, abilities: Abilities) -> Vec<Variant> {
        let tiles = self.fills_tiles();
        let tiled = tiles.then_some(Variant::Tiled);
        let emulated = self.takes_matrices().then_some(Variant::Cooperative(Cooperative::EMULATED));
        std::iter::once(Variant::Naive).chain(tiled).chain(self.broadcast(abilities)).chain(emulated).collect()
    }

    pub(super) fn heuristic(&self, abilities: Abilities) -> Variant {
        let tiled = if self.fills_tiles() { Variant::Tiled } else { Variant::Naive };
        self.broadcast(abilities).unwrap_or(tiled)
    }

    /// The text for software rasterisers, where it serves. They gain nothing from f16, and compile it slowly.
    fn broadcast(&self, abilities: Abilities) -> Option<Variant> {
        let serves = abilities.is_software() && self.precision == Precision::F32 && self.fills_tiles();
        let broadcast = Broadcast { lanes: SOFTWARE_LANES, rows: TILE_ROWS as u32, load: abilities.load() };
        serves.then_some(Variant::Broadcast(broadcast))
    }

    /// Whether there are texts by cooperative matrices.
    pub fn takes_matrices(&self) -> bool {
        self.fills_tiles() && self.precision == Precision::F16
    }

    /// Whether tiles are more than padding somewhere; the unrolled ones compile slowly.
    fn fills_tiles(&self) -> bool {
        self.network.widths().into_iter().any(|width| width >= TILE_ROWS)
    }

    pub(super) fn loop_iterations(&self, variant: Variant, [batch, part_rows]: [usize; 2]) -> u64 {
        let layout = self.layout();
        let slabs = part_rows.min(batch).div_ceil(layout.slab) as u64;
        let rows = layout.slab.min(part_rows.min(batch).next_multiple_of(TILE_ROWS));
        let pack: usize = layout.packed.map_or(0, |_| layout.layers.iter().map(|p| p.outputs * padded(p.inputs)).sum());
        let work = match variant {
            Variant::Broadcast(_) => slabs * self.slab_iterations(rows) + pack as u64 / 8,
            _ => {
                let workgroup = match variant {
                    Variant::Cooperative(matrices) => matrices.workgroup() as usize,
                    Variant::Tiled => 256,
                    _ => 64,
                };
                let product = |rows: usize, cols: usize, depth: usize| match variant {
                    // A strip in turns of four terms, behind the last one the strands of the bias.
                    Variant::Tiled => {
                        rows.div_ceil(64) * (1 + cols.div_ceil(64) * (1 + depth.div_ceil(16) * (1 + 4) + 16))
                    }
                    Variant::Cooperative(matrices) => {
                        let tile = matrices.tile() as usize;
                        let iterations = matrices.loop_iterations(depth as u64) as usize;
                        rows.div_ceil(tile) * (1 + cols.div_ceil(tile) * (1 + iterations))
                    }
                    _ => (rows * cols).div_ceil(workgroup) * (1 + depth),
                };
                let products = layout.layers.iter().map(|place| {
                    let (inputs, outputs) = (padded(place.inputs), padded(place.outputs));
                    let forward = product(rows, outputs, inputs);
                    let bias = match variant {
                        Variant::Tiled => 0,
                        Variant::Cooperative(_) => outputs.div_ceil(workgroup) * (1 + rows + workgroup),
                        _ => outputs.div_ceil(workgroup) * (1 + rows),
                    };
                    match self.pass {
                        Pass::Prediction => forward,
                        _ => forward + product(rows, inputs, outputs) + product(outputs, inputs, rows) + bias,
                    }
                });
                let per_row = padded(self.network.inputs) + 5 * self.network.outputs() + 1;
                slabs * (products.sum::<usize>() + rows.div_ceil(workgroup) * per_row) as u64
                    + (pack / workgroup) as u64
            }
        };
        let shared = layout.layers.iter().filter(|p| p.bias_mode == Bias::Shared).map(|p| p.outputs + 1).sum::<usize>();
        work + shared as u64 + 256
    }

    /// Floating-point operations and bytes, at the least, for `batch` rows.
    pub(super) fn work(&self, batch: f64) -> (f64, f64) {
        let widths = self.network.inputs + self.network.outputs();
        let bytes = 4.0 * batch * widths as f64;
        let forward: f64 = self.layout().layers.iter().map(|p| 2.0 * (p.inputs * p.outputs) as f64).sum();
        match self.pass {
            Pass::Prediction => (forward * batch, bytes),
            Pass::Training { .. } => (self.network.training_flops(1) * batch, bytes),
        }
    }
}

/// The binding of what a kernel scribbles on: nothing else reads it.
pub const SCRATCH: &str = "scratch";

/// What comes in front of a kernel's name: `f16 fused forward`.
fn write_precision(f: &mut std::fmt::Formatter<'_>, precision: Precision) -> std::fmt::Result {
    if precision == Precision::F16 { write!(f, "f16 ") } else { Ok(()) }
}

impl std::fmt::Display for Fused {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_precision(f, self.precision)?;
        match self.pass {
            Pass::Prediction => write!(f, "fused forward"),
            Pass::Training { loss, source } => write!(
                f,
                "fused forward + {} + backward{}",
                loss.name(),
                match source {
                    Source::Batch => "",
                    Source::Gathered => " (gathers)",
                    Source::EveryGradient => " (every gradient)",
                }
            ),
        }
    }
}

/// Kernels that stand for all: every activation and loss, bias mode, source and pass, with and without padding, in each
/// precision.
pub(super) fn samples() -> Vec<super::Kernel> {
    use crate::activation::Activation;
    use crate::network::Layer;
    let mut all = Vec::new();
    let mut add = |network: &Network, pass, precision| {
        all.push(super::Kernel::Fused(Fused { network: network.clone(), pass, precision }.into()));
    };
    for (i, &activation) in Activation::ALL.iter().enumerate() {
        let loss = Loss::ALL[i % Loss::ALL.len()];
        let output =
            loss.training_activation(if loss == Loss::LogisticCrossEntropy { Activation::Sigmoid } else { activation });
        let network = Network::new(5).dense(7, activation).dense(8, activation).dense(3, output);
        let network = network.with_bias(Bias::ALL[i % Bias::ALL.len()]);
        // Each is a text of its own for a driver to compile; that of f16 differs in what is stored alone.
        let precision = if i % 3 == 2 { Precision::F16 } else { Precision::F32 };
        add(&network, Pass::Training { loss, source: Source::EveryGradient }, precision);
    }
    let frozen = |inputs: usize| {
        Network::new(inputs)
            .layer(Layer { freeze_weight: true, freeze_bias: true, ..Layer::new(4, Activation::Sine) })
            .layer(Layer { freeze_bias: true, ..Layer::new(12, Activation::Tanh) })
            .layer(Layer { freeze_weight: true, ..Layer::new(36, Activation::Relu) })
            .dense(5, Activation::Linear)
    };
    let softmax = |source| Pass::Training { loss: Loss::SoftmaxCrossEntropy, source };
    let shared = Network::new(3).dense(41, Activation::Gelu).dense(9, Activation::Silu).with_bias(Bias::Shared);
    for precision in [Precision::F32, Precision::F16] {
        add(&frozen(8), softmax(Source::Batch), precision);
        add(&frozen(3), softmax(Source::Gathered), precision);
        add(&shared, softmax(Source::EveryGradient), precision);
        add(&frozen(3), Pass::Prediction, precision);
    }
    let mixed = frozen(3).with_bias(Bias::Shared).dense(6, Activation::Silu);
    for precision in [Precision::F32, Precision::F16] {
        for rule in std::iter::once(None).chain(Rule::ALL.iter().copied().map(Some)) {
            all.push(super::Kernel::FusedSum(FusedSum { network: mixed.clone(), rule, precision }.into()));
        }
    }
    all
}
