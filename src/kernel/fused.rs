//! Kernels of the fused planner. One takes a part of the batch through forward, loss and backward, slab of rows by slab
//! of rows, so that activations and deltas stay in the nearest caches; it leaves the part's loss and gradients. The other
//! adds up the parts in order and updates.

mod broadcast;

use super::mixed::{SCALER_LEN, scale_wgsl};
use super::whole::activation_hooks;
use super::{Access, BindingSpec, Broadcast, Cooperative, Element, Variant, binding};
use crate::activation::{Activation, Stored};
use crate::loss::Loss;
use crate::network::{Bias, Network};
use crate::optimizer::Rule;
use crate::params::{ALIGNMENT, Params, Role};
use crate::plan::ScheduleEntry;
use crate::precision::Precision;
use crate::{Error, Result};
use std::fmt::Write;

/// The widest layer of a network that the fused planner takes.
pub const WIDEST: usize = 128;

/// Rows that are computed together are whole tiles of so many.
pub const TILE_ROWS: usize = 32;

/// Elements of scratch memory that stay in a core's own cache.
const CACHE: usize = 128 << 10;

/// Parts of a batch: enough for the cores of a large GPU, few enough for their gradients to be added up quickly.
const PARTS: usize = 128;

/// Rows that make a part worth adding up.
const LEAST_ROWS: usize = 64;

/// Loop iterations of a part at most: the least that any driver is known to allow is 65,535.
const MOST_ITERATIONS: u64 = 60_000;

const BROADCAST: Variant = Variant::Broadcast(Broadcast { lanes: 8, rows: TILE_ROWS as u32, vector: true });

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
        let even = batch.div_ceil(PARTS).next_multiple_of(TILE_ROWS).max(LEAST_ROWS);
        let slab = self.layout().slab;
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

    /// Loop iterations that an invocation of the kernel for small subgroups takes for a slab of `rows`.
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

    pub(super) fn variants(&self, subgroup: Option<u32>) -> Vec<Variant> {
        let tiles = self.fills_tiles();
        let broadcast = (tiles && self.is_for_software(subgroup)).then_some(BROADCAST);
        let tiled = tiles.then_some(Variant::Tiled);
        let emulated = self.takes_matrices().then_some(Variant::Cooperative(Cooperative::EMULATED));
        std::iter::once(Variant::Naive).chain(tiled).chain(broadcast).chain(emulated).collect()
    }

    pub(super) fn heuristic(&self, subgroup: Option<u32>) -> Variant {
        match subgroup {
            _ if !self.fills_tiles() => Variant::Naive,
            _ if self.is_for_software(subgroup) => BROADCAST,
            _ => Variant::Tiled,
        }
    }

    /// Whether the text for software rasterisers serves. They gain nothing from f16, and compile it slowly.
    fn is_for_software(&self, subgroup: Option<u32>) -> bool {
        subgroup == Some(8) && self.precision == Precision::F32
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
                    _ => 64,
                };
                let product = |rows: usize, cols: usize, depth: usize| match variant {
                    Variant::Tiled => {
                        rows.div_ceil(64) * (1 + cols.div_ceil(64) * (1 + depth.div_ceil(16) * (1 + 4 + 4 + 16) + 16))
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
                    let bias = outputs.div_ceil(workgroup) * (1 + rows);
                    match self.pass {
                        Pass::Prediction => forward,
                        _ => forward + product(rows, inputs, outputs) + product(outputs, inputs, rows) + bias,
                    }
                });
                let per_row = padded(self.network.inputs) + 5 * self.network.outputs() + 1;
                slabs * (products.sum::<usize>() + rows.div_ceil(workgroup) * per_row) as u64
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

    /// The complete WGSL behind the uniform.
    pub(super) fn wgsl(&self, variant: Variant) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.write(&mut text, variant);
        match variant {
            // Lanes are numbered as broadcasts number them.
            Variant::Broadcast(_) => text.replace("local_invocation_index", "subgroup_invocation_id"),
            _ => text,
        }
    }

    fn write(&self, w: &mut String, variant: Variant) -> std::fmt::Result {
        let layout = self.layout();
        let vectors = matches!(variant, Variant::Broadcast(_));
        writeln!(w, "alias Stored = {};", self.precision)?;
        self.write_tables(w, &layout, vectors)?;
        let activations = || self.network.layers.iter().map(|layer| layer.activation);
        let loss = match self.pass {
            Pass::Training { loss, .. } => Some(loss),
            Pass::Prediction => None,
        };
        w.push_str(super::math(activations(), loss));
        w.push_str(&activation_hooks(activations()));
        self.write_functions(w, if vectors { "vec4<f32>" } else { "f32" })?;
        w.push_str(include_str!("../../shaders/fused/slab.wgsl"));
        w.push_str(match variant {
            Variant::Broadcast(_) => include_str!("../../shaders/fused/vectors.wgsl"),
            _ => include_str!("../../shaders/fused/scalars.wgsl"),
        });
        match variant {
            Variant::Broadcast(_) => {
                self.write_vector_access(w, &layout)?;
                broadcast::forward(w)?;
            }
            Variant::Tiled => {
                w.push_str(include_str!("../../shaders/fused/elements.wgsl"));
                w.push_str(include_str!("../../shaders/fused/tiled.wgsl"));
            }
            Variant::Cooperative(matrices) => {
                w.push_str(include_str!("../../shaders/fused/elements.wgsl"));
                w.push_str(include_str!("../../shaders/fused/cooperative.wgsl"));
                matrices.write_tile(w)?;
            }
            _ => w.push_str(include_str!("../../shaders/fused/naive.wgsl")),
        }
        let Pass::Training { loss, source } = self.pass else {
            if let Variant::Cooperative(_) = variant {
                w.push_str(include_str!("../../shaders/fused/cooperative_forward.wgsl"));
            }
            w.push_str(include_str!("../../shaders/fused/batch.wgsl"));
            w.push_str(include_str!("../../shaders/fused/prediction.wgsl"));
            return Ok(());
        };
        if self.precision == Precision::F16 {
            w.push_str(include_str!("../../shaders/fused/scaled.wgsl"));
            w.push_str(&scale_wgsl());
        } else {
            w.push_str(include_str!("../../shaders/fused/unscaled.wgsl"));
        }
        self.write_input_gradient(w, source, vectors)?;
        match variant {
            Variant::Broadcast(_) => {
                broadcast::gradients(w)?;
                broadcast::backward(w)?;
            }
            _ => {
                w.push_str(include_str!("../../shaders/fused/bias_gradient.wgsl"));
                w.push_str(include_str!("../../shaders/fused/elements_backward.wgsl"));
                w.push_str(match variant {
                    Variant::Tiled => include_str!("../../shaders/fused/tiled_backward.wgsl"),
                    Variant::Cooperative(_) => include_str!("../../shaders/fused/cooperative_backward.wgsl"),
                    _ => include_str!("../../shaders/fused/naive_backward.wgsl"),
                });
            }
        }
        w.push_str(match source {
            Source::Gathered => include_str!("../../shaders/fused/gathered.wgsl"),
            Source::Batch | Source::EveryGradient => include_str!("../../shaders/fused/batch.wgsl"),
        });
        w.push_str(include_str!("../../shaders/schedule.wgsl"));
        w.push_str(include_str!("../../shaders/loss/row.wgsl"));
        w.push_str(loss.wgsl());
        writeln!(w, "const USES_SOFTMAX: bool = {};", loss.uses_softmax())?;
        w.push_str(include_str!("../../shaders/fused/training.wgsl"));
        Ok(())
    }

    /// Weights and biases as vectors of four. Where a width is no multiple of 4, the vectors of the arena are not those of
    /// a row, and a part begins with a copy of the weights whose rows are padded.
    fn write_vector_access(&self, w: &mut String, layout: &Layout) -> std::fmt::Result {
        writeln!(w, "fn bias_at(layer: Layer, j: u32) -> vec4<f32> {{")?;
        writeln!(
            w,
            "  return vec4<f32>(bias_of(layer, j), bias_of(layer, j + 1u), bias_of(layer, j + 2u), bias_of(layer, j + 3u));\n}}"
        )?;
        let Some(packed) = layout.packed else {
            writeln!(w, "fn weight_at(base: u32, i: u32) -> vec4<f32> {{ return params[i]; }}")?;
            return writeln!(w, "fn prepare(base: u32, local: u32) {{}}");
        };
        writeln!(w, "fn weight_at(base: u32, i: u32) -> vec4<f32> {{ return scratch[base / 4u + i]; }}")?;
        writeln!(w, "fn pack(inputs: u32, count: u32, source: u32, into: u32, local: u32) {{")?;
        writeln!(w, "  let stride = padded(inputs);")?;
        writeln!(w, "  for (var i = 4u * local; i < count * stride; i += 4u * WORKGROUP) {{")?;
        writeln!(w, "    let k = i % stride;\n    let at = source + i / stride * inputs;")?;
        let elements =
            (0..4).map(|e| format!("params[at + min(k + {e}u, inputs - 1u)]")).collect::<Vec<_>>().join(", ");
        writeln!(w, "    let wanted = vec4<u32>(k, k + 1u, k + 2u, k + 3u) < vec4<u32>(inputs);")?;
        writeln!(w, "    set_vector(into + i, select(vec4<f32>(0.0), vec4<f32>({elements}), wanted));\n  }}\n}}")?;
        writeln!(w, "fn prepare(base: u32, local: u32) {{")?;
        let mut to = packed;
        for place in &layout.layers {
            let Place { inputs, outputs, weight, .. } = *place;
            writeln!(w, "  pack({inputs}u, {outputs}u, {weight}u, base + {to}u, local);")?;
            to += outputs * padded(inputs);
        }
        writeln!(w, "  synchronize();\n}}")
    }

    fn write_input_gradient(&self, w: &mut String, source: Source, vectors: bool) -> std::fmt::Result {
        let every = source == Source::EveryGradient;
        if every {
            writeln!(w, "@group(0) @binding(8) var<storage, read_write> input_gradient: array<f32>;")?;
        }
        let value = if vectors { "vec4<f32>" } else { "f32" };
        writeln!(w, "fn input_gradient_at(row: u32, k: u32, x: {value}) {{")?;
        if every && vectors {
            writeln!(
                w,
                "  for (var e = k; e < min(k + 4u, INPUTS); e++) {{ input_gradient[row * INPUTS + e] = x[e - k]; }}"
            )?;
        } else if every {
            writeln!(w, "  input_gradient[row * INPUTS + k] = inverse_scale() * x;")?;
        }
        writeln!(w, "}}")
    }

    fn write_tables(&self, w: &mut String, layout: &Layout, vectors: bool) -> std::fmt::Result {
        writeln!(w, "const LAYERS: u32 = {}u;", layout.layers.len())?;
        writeln!(w, "const LOWEST: u32 = {}u;", layout.lowest)?;
        writeln!(w, "const INPUTS: u32 = {}u;", self.network.inputs)?;
        writeln!(w, "const OUTPUTS: u32 = {}u;", self.network.outputs())?;
        writeln!(w, "const SLAB: u32 = {}u;", layout.slab)?;
        writeln!(w, "const SCRATCH: u32 = {}u;", layout.scratch)?;
        writeln!(w, "const PARTIALS: u32 = {}u;", layout.partials)?;
        let names = self.bindings();
        let name = |index: u32| names.iter().find(|spec| spec.index == index).map_or("", |spec| spec.name);
        let (memory, sums) = if vectors { ("vec4<Stored>", "vec4<f32>") } else { ("Stored", "f32") };
        let of = |whole: bool| if vectors && whole { "vec4<f32>" } else { "f32" };
        let input_vectors = vectors && self.network.inputs == padded(self.network.inputs);
        let (inputs, params) = (of(input_vectors), of(layout.packed.is_none()));
        writeln!(w, "@group(0) @binding(3) var<storage, read> {}: array<{inputs}>;", name(3))?;
        writeln!(w, "@group(0) @binding(5) var<storage, read> params: array<{params}>;")?;
        writeln!(w, "@group(0) @binding(6) var<storage, read_write> scratch: array<{memory}>;")?;
        let element = |e: usize| format!("{}[at + min(i + {e}u, INPUTS - 1u)]", name(3));
        writeln!(w, "fn inputs_at(sample: u32, i: u32) -> vec4<f32> {{\n  let at = sample * INPUTS;")?;
        if input_vectors {
            writeln!(w, "  return {}[(at + i) / 4u];\n}}", name(3))?;
        } else {
            let elements = (0..4).map(element).collect::<Vec<_>>().join(", ");
            writeln!(w, "  let wanted = vec4<u32>(i, i + 1u, i + 2u, i + 3u) < vec4<u32>(INPUTS);")?;
            writeln!(w, "  return select(vec4<f32>(0.0), vec4<f32>({elements}), wanted);\n}}")?;
        }
        match self.pass {
            Pass::Prediction => {
                writeln!(w, "@group(0) @binding(7) var<storage, read_write> output: array<f32>;")?;
            }
            Pass::Training { .. } => {
                writeln!(w, "@group(0) @binding(2) var<storage, read> clock: array<u32>;")?;
                writeln!(w, "@group(0) @binding(4) var<storage, read> {}: array<f32>;", name(4))?;
                writeln!(
                    w,
                    "fn target_at(sample: u32, j: u32) -> f32 {{ return {}[sample * (OUTPUTS + u.dims.z) + j]; }}",
                    name(4)
                )?;
                writeln!(w, "@group(0) @binding(7) var<storage, read_write> partials: array<{sums}>;")?;
                if let Some(last) = self.network.layers.last() {
                    let hook = last.activation.hook();
                    writeln!(w, "fn output_slope(s: f32) -> f32 {{ return activation_derivative_{hook}(s); }}")?;
                }
                let at = if vectors { "i / 4u][i % 4u" } else { "i" };
                writeln!(w, "fn get_partial(i: u32) -> f32 {{ return partials[{at}]; }}")?;
                writeln!(w, "fn set_partial(i: u32, x: f32) {{ partials[{at}] = x; }}")?;
            }
        }
        let numbers = [
            "inputs",
            "outputs",
            "weight",
            "bias",
            "input",
            "output",
            "stored",
            "delta",
            "below",
            "below_stored",
            "weight_gradient",
            "bias_gradient",
        ];
        let flags = ["has_bias", "shares_bias", "wants_weight", "wants_bias", "wants_below"];
        writeln!(w, "struct Layer {{")?;
        for name in numbers {
            writeln!(w, "  {name}: u32,")?;
        }
        for name in flags {
            writeln!(w, "  {name}: bool,")?;
        }
        writeln!(w, "}}")?;
        writeln!(w, "fn layer_of(l: u32) -> Layer {{\n  switch l {{")?;
        let mut packed = layout.packed;
        for (l, place) in layout.layers.iter().enumerate() {
            let weight = packed.filter(|_| vectors).unwrap_or(place.weight);
            packed = packed.map(|start| start + place.outputs * padded(place.inputs));
            let below = l.checked_sub(1).map(|below| layout.layers[below]);
            let numbers = [
                place.inputs,
                place.outputs,
                weight,
                place.bias,
                place.input,
                place.output,
                place.stored,
                place.delta,
                below.map_or(0, |below| below.delta),
                below.map_or(0, |below| below.stored),
                place.weight_gradient,
                place.bias_gradient,
            ];
            let flags = [
                place.bias_mode != Bias::None,
                place.bias_mode == Bias::Shared,
                place.wants_weight,
                place.wants_bias,
                place.wants_below,
            ];
            let fields = numbers.iter().map(|n| format!("{n}u")).chain(flags.iter().map(bool::to_string));
            let label = if l + 1 == layout.layers.len() { "default".to_owned() } else { format!("case {l}u") };
            writeln!(w, "    {label}: {{ return Layer({}); }}", fields.collect::<Vec<_>>().join(", "))?;
        }
        writeln!(w, "  }}\n}}")
    }

    /// The bias, and the functions that choose a layer's activation, for one number or for four.
    fn write_functions(&self, w: &mut String, value: &str) -> std::fmt::Result {
        let vectors = value != "f32";
        let params = if vectors && self.layout().packed.is_none() { "params[i / 4u][i % 4u]" } else { "params[i]" };
        writeln!(w, "fn bias_of(layer: Layer, j: u32) -> f32 {{")?;
        writeln!(w, "  if !layer.has_bias {{ return 0.0; }}")?;
        writeln!(w, "  let i = layer.bias + select(min(j, layer.outputs - 1u), 0u, layer.shares_bias);")?;
        writeln!(w, "  return {params};\n}}")?;
        // Each activation with the layers that have it.
        let mut kinds: Vec<(Activation, Vec<String>)> = Vec::new();
        for (l, layer) in self.network.layers.iter().enumerate() {
            let place = format!("(l == {l}u)");
            match kinds.iter_mut().find(|(activation, _)| *activation == layer.activation) {
                Some((_, places)) => places.push(place),
                None => kinds.push((layer.activation, vec![place])),
            }
        }
        for (name, hook) in [("activate", "activation"), ("derivative", "activation_derivative")] {
            writeln!(w, "fn {name}(l: u32, x: {value}) -> {value} {{")?;
            for (i, (activation, places)) in kinds.iter().enumerate() {
                let call = |x: &str| format!("{hook}_{}({x})", activation.hook());
                let result = match vectors {
                    true => format!("vec4<f32>({})", ["x.x", "x.y", "x.z", "x.w"].map(call).join(", ")),
                    false => call("x"),
                };
                // Chosen without a branch: behind one, FXC takes the wait at the end of a layer for one that not all come to.
                match i {
                    0 => writeln!(w, "  var y = {result};")?,
                    _ => writeln!(w, "  y = select(y, {result}, {});", places.join(" | "))?,
                }
            }
            writeln!(w, "  return y;\n}}")?;
        }
        Ok(())
    }
}

/// The binding of what a kernel scribbles on: nothing else reads it.
pub const SCRATCH: &str = "scratch";

impl FusedSum {
    /// Where the gradient of each tensor of the arena lies in a part: offset, rows, columns and their padded number.
    fn layout(&self) -> Layout {
        Fused { network: self.network.clone(), pass: Pass::Prediction, precision: self.precision }.layout()
    }

    pub(super) fn bindings(&self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Real, Word};
        let partials = binding(3, "partials", Read, Real);
        let mut all = match self.rule {
            None => vec![partials, binding(4, "gradients", Write, Real)],
            Some(rule) => {
                let mut all = vec![binding(1, "schedule", Read, Word), binding(2, "clock", Read, Word), partials];
                all.push(binding(4, "params", Write, Real));
                all.extend(super::state_bindings(rule));
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

    pub(super) fn loop_iterations(&self, parts: u64) -> u64 {
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

    pub(super) fn wgsl(&self) -> String {
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
            (true, Some(_)) => include_str!("../../shaders/fused/skip_overflow.wgsl"),
            _ => include_str!("../../shaders/update/every_step.wgsl"),
        };
        if half {
            text += "@group(0) @binding(8) var<storage, read> scaler: array<f32>;\n";
            text += &scale_wgsl();
        } else {
            text += "fn inverse_scale() -> f32 { return 1.0; }\n";
        }
        match self.rule {
            None => text += include_str!("../../shaders/fused/gradients.wgsl"),
            Some(rule) => {
                text += include_str!("../../shaders/schedule.wgsl");
                text += rule.wgsl();
                text += include_str!("../../shaders/fused/update.wgsl");
            }
        }
        text + include_str!("../../shaders/fused/sum.wgsl")
    }
}

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

impl std::fmt::Display for FusedSum {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write_precision(f, self.precision)?;
        match self.rule {
            None => write!(f, "sum of parts"),
            Some(rule) => write!(f, "sum of parts + update {}", rule.name()),
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
