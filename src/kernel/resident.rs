//! The text of kernels that hold a whole network in one workgroup and train many steps in one dispatch. It is generated
//! because every layer has sizes, an activation and a bias mode of its own.

use super::{Abilities, Access, BindingSpec, Element, Variant, Whole, binding};
use crate::activation::{Activation, Stored};
use crate::loss::Loss;
use crate::network::{Bias, Network};
use crate::optimizer::Rule;
use crate::params::{Params, Role, Tensor};
use std::fmt::{Result, Write};
use std::ops::Range;

/// WebGPU's default limit on workgroup memory, in bytes.
pub const DEFAULT_WORKGROUP_MEMORY: usize = 16 * 1024;

/// What a dispatch of a resident network does.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Pass {
    /// Trains on the batch in a buffer of its own.
    Steps,
    /// Trains on batches of the data set, by index.
    GatheredSteps,
    /// Computes the loss and every gradient, those of frozen parameters and of the input too; parameters stay.
    Gradients,
}

impl Pass {
    /// Every pass.
    pub const ALL: &'static [Pass] = &[Pass::Steps, Pass::GatheredSteps, Pass::Gradients];

    /// The name in printed plans.
    pub fn name(self) -> &'static str {
        match self {
            Pass::Steps => "steps",
            Pass::GatheredSteps => "gathered steps",
            Pass::Gradients => "gradients",
        }
    }
}

/// A network whose parameters, gradients and optimizer state stay in a workgroup's memory.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Resident {
    /// The network with its loss and rule.
    pub whole: Whole,
    /// What a dispatch does.
    pub pass: Pass,
    /// Bytes of workgroup memory that it may take.
    pub memory: usize,
}

/// A layer and where its numbers lie.
pub(crate) struct Dense {
    pub(crate) inputs: usize,
    pub(crate) outputs: usize,
    pub(crate) activation: Activation,
    pub(crate) bias: Bias,
    /// `[outputs, inputs]` in the parameter arena.
    pub(crate) weight: Range<usize>,
    /// `[outputs]`, `[1]` or nothing.
    pub(crate) bias_range: Range<usize>,
    /// Whether the weight's gradient is wanted.
    pub(crate) derive_weight: bool,
    /// Whether the bias's gradient is wanted.
    pub(crate) derive_bias: bool,
    /// Whether `∂loss/∂input` of this layer is wanted.
    pub(crate) pass_on: bool,
    /// Columns of all layers' inputs before this one's, in a row of activations that lies without gaps.
    pub(crate) input_at: usize,
    /// Columns of all layers' deltas before this one's, in a row of deltas.
    pub(crate) delta_at: usize,
}

impl Dense {
    /// Where the layer's output begins in such a row.
    pub(crate) fn output_at(&self) -> usize {
        self.input_at + self.inputs
    }

    pub(crate) fn keeps(&self) -> bool {
        self.activation.stored() == Stored::Preactivation
    }
}

/// Loops over the items of one tensor after the other, each begun by the lane behind the last one of the loop before: or the
/// first lanes would have an item of each, and all others wait for them.
struct Turns {
    lanes: usize,
    taken: usize,
}

impl Turns {
    /// The loop over so many items.
    fn of(&mut self, items: usize) -> String {
        let Turns { lanes, taken } = *self;
        self.taken += items;
        let first = match (lanes - taken % lanes) % lanes {
            0 => "lane".to_owned(),
            shift => format!("(lane + {shift}u) % {lanes}u"),
        };
        format!("for (var i = {first}; i < {items}u; i += {lanes}u)")
    }
}

/// From a row of activations on the chip to the next: an odd number, so that neighbouring rows lie in different banks.
const fn stride(width: usize) -> usize {
    width | 1
}

impl Resident {
    /// Networks for the checks: between them every activation, loss, bias mode, rule and pass, frozen parameters, more
    /// rows than are on the chip at a time; every third of them has every bias mode, rule and pass.
    pub(super) fn samples() -> Vec<Resident> {
        // The state of the others needs more bindings than there are.
        let rules: Vec<Rule> = Rule::ALL.iter().copied().filter(|rule| rule.states() < 2).collect();
        let pick = |i: usize| {
            let activation = Activation::ALL[i % Activation::ALL.len()];
            let loss = Loss::ALL[i % Loss::ALL.len()];
            let output = if loss.check_output(activation).is_ok() { activation } else { Activation::Sigmoid };
            let next = Activation::ALL[(i + 3) % Activation::ALL.len()];
            let bias = Bias::ALL[i / 5 % Bias::ALL.len()];
            let network = match i % 4 {
                0 => Network::new(2).dense(3, activation).dense(2, output),
                1 => Network::new(3).dense(17, activation).dense(5, next).dense(4, output),
                2 => Network::new(1).dense(1, output),
                _ => Network::new(5).dense(4, next).dense(1, activation).dense(3, output),
            };
            let mut network = network.with_bias(bias);
            if let (0, [first, second, ..]) = (i % 5, &mut network.layers[..]) {
                (first.freeze_weight, first.freeze_bias, second.freeze_weight) = (true, true, true);
            }
            let rule = rules[(i + i / 5) % rules.len()];
            let pass = Pass::ALL[i / 3 % Pass::ALL.len()];
            let mut resident = Resident { whole: Whole { network, loss, rule }, pass, memory: 0 };
            // Every second one has memory for three rows of a batch only.
            let three_rows = resident.least_memory() + 8 * resident.words_per_row();
            resident.memory = if i.is_multiple_of(2) { three_rows } else { DEFAULT_WORKGROUP_MEMORY };
            resident
        };
        (0..21).map(pick).collect()
    }

    /// The variant where nothing was measured, for batches of `batch` rows.
    pub(super) fn heuristic(&self, batch: u32, abilities: Abilities) -> Variant {
        let widest = self.whole.network.widths().into_iter().max().unwrap_or(1);
        // A software rasteriser takes invocations and rows alike one after another. On a GPU
        // rows that wait for each other cost more than barriers do.
        let software = abilities.is_software();
        if self.is_tiny() && (software || batch <= 8) {
            Variant::Registers
        } else if software {
            Variant::Lanes(16)
        } else if self.rows().min(batch as usize) * widest <= 64 {
            Variant::Lanes(64)
        } else {
            Variant::Lanes(256)
        }
    }

    /// The layers from the input on.
    pub(crate) fn layers(&self) -> Vec<Dense> {
        let network = &self.whole.network;
        let params = Params::of(network);
        let everything = self.pass == Pass::Gradients;
        let (mut input_at, mut delta_at, mut trainable_below) = (0, 0, everything);
        let layers = network.layers.iter().enumerate().map(|(i, layer)| {
            let range = |role| params.get(i, role).map_or(0..0, Tensor::range);
            let dense = Dense {
                inputs: network.layer_inputs(i),
                outputs: layer.outputs,
                activation: self.whole.activation(i),
                bias: layer.bias,
                weight: range(Role::Weight),
                bias_range: range(Role::Bias),
                derive_weight: everything || !layer.freeze_weight,
                derive_bias: layer.bias != Bias::None && (everything || !layer.freeze_bias),
                pass_on: trainable_below,
                input_at,
                delta_at,
            };
            (input_at, delta_at) = (dense.output_at(), delta_at + dense.outputs);
            trainable_below |= dense.derive_weight || dense.derive_bias;
            dense
        });
        layers.collect()
    }

    /// Arenas as long as the parameters that are kept on the chip: parameters, gradients, state.
    fn arenas(&self) -> usize {
        if self.pass == Pass::Gradients { 2 } else { 2 + self.whole.rule.states() }
    }

    /// Words that each row of a batch takes on the chip: every layer's input and output, every delta, its loss.
    fn words_per_row(&self) -> usize {
        let widths = self.whole.network.widths();
        widths.iter().copied().map(stride).sum::<usize>() + widths[1..].iter().sum::<usize>() + 1
    }

    /// Rows of a batch that are on the chip at a time; 0 where the network does not fit.
    pub(crate) fn rows(&self) -> usize {
        /// More rows at a time occupy no more invocations.
        const MOST: usize = 64;
        let arena = Params::of(&self.whole.network).len;
        // One word is where the clock goes round.
        let left = (self.memory / 4).saturating_sub(arena.saturating_mul(self.arenas()).saturating_add(1));
        (left / self.words_per_row()).min(MOST)
    }

    /// Bytes of workgroup memory that the network takes with a single row of a batch at a time.
    pub(crate) fn least_memory(&self) -> usize {
        4 * (Params::of(&self.whole.network).len * self.arenas() + self.words_per_row() + 1)
    }

    /// Whether the network is so small that one invocation holds it in registers, and its text can be written out.
    pub(crate) fn is_tiny(&self) -> bool {
        let network = &self.whole.network;
        Params::of(network).count() <= 48 && network.widths().iter().sum::<usize>() <= 24
    }

    /// How many steps a dispatch may take: what a slow GPU does in about a tenth of a second, so that no watchdog fires.
    /// 0 where a single step takes longer than that.
    pub fn most_steps(&self, batch: usize) -> u32 {
        /// A tenth of a second of one invocation of a slow GPU, and far less of a workgroup.
        const OPERATIONS: f64 = 2e7;
        /// A step costs so many operations at the least; a function such as exp about as many as [`FUNCTION`].
        const STEP: f64 = 100.0;
        const FUNCTION: f64 = 30.0;
        const MOST: u32 = 1 << 15;
        let network = &self.whole.network;
        let functions = FUNCTION * batch as f64 * network.widths()[1..].iter().sum::<usize>() as f64;
        let steps = OPERATIONS / (network.training_flops(batch) + functions + STEP);
        match (steps as u32).min(MOST) {
            0 => 0,
            steps => 1 << steps.ilog2(),
        }
    }

    pub(crate) fn bindings(&self) -> Vec<BindingSpec> {
        use Access::{Read, Write};
        use Element::{Real, Word};
        let mut all = vec![binding(1, "schedule", Read, Word), binding(2, "clock", Write, Word)];
        match self.pass {
            Pass::GatheredSteps => all.extend([
                binding(3, "order", Read, Word),
                binding(4, "data_inputs", Read, Real),
                binding(5, "data_targets", Read, Real),
            ]),
            _ => all.extend([binding(3, "input", Read, Real), binding(4, "target_rows", Read, Real)]),
        }
        let params = if self.pass == Pass::Gradients { Read } else { Write };
        all.extend([binding(6, "params", params, Real), binding(7, "losses", Write, Real)]);
        match self.pass {
            Pass::Gradients => {
                all.extend([binding(8, "gradients", Write, Real), binding(9, "input_gradient", Write, Real)]);
            }
            _ => {
                let states = ["state_0", "state_1"].into_iter().take(self.whole.rule.states()).zip(8..);
                all.extend(states.map(|(name, index)| binding(index, name, Write, Real)));
            }
        }
        all
    }

    pub(super) fn lengths(&self, batch: usize, data_rows: usize, weights: usize, entry: usize) -> Vec<usize> {
        let network = &self.whole.network;
        let (inputs, targets, arena) = (network.inputs, network.outputs() + weights, Params::of(network).len);
        let mut all = vec![entry, 1];
        match self.pass {
            Pass::GatheredSteps => all.extend([1, data_rows * inputs, data_rows * targets]),
            _ => all.extend([batch * inputs, batch * targets]),
        }
        all.extend([arena, 1]);
        match self.pass {
            Pass::Gradients => all.extend([arena, batch * inputs]),
            _ => all.extend(vec![arena; self.whole.rule.states()]),
        }
        all
    }

    /// Iterations of all loops of the invocation that has most of them; each loop counts one more for its end.
    pub(super) fn loop_iterations(&self, lanes: Option<u32>, batch: u64, steps: u64) -> u64 {
        let inputs = self.whole.network.inputs as u64;
        let Some(lanes) = lanes else {
            return (steps + 1) * (batch + 2) + batch * inputs;
        };
        let lanes = u64::from(lanes);
        let params = Params::of(&self.whole.network);
        let (arena, tensors) = (params.len as u64, params.tensors.len() as u64);
        let turns = |items: u64, each: u64| items.div_ceil(lanes) * (1 + each) + 1;
        let rows = (self.rows() as u64).clamp(1, batch.max(1));
        let outputs = self.whole.network.outputs() as u64;
        let loss = turns(rows, 3 * (outputs + 1)) + rows + 1;
        let layers = self.layers().into_iter().map(|layer| {
            let (inputs, outputs) = (layer.inputs as u64, layer.outputs as u64);
            let forward = turns(rows * outputs, inputs + 1);
            let backward = turns(rows * inputs, outputs + 1) + turns(inputs * outputs, rows + 1);
            forward + backward + turns(outputs, rows + 1) + rows * outputs
        });
        let input = turns(rows * inputs, 0);
        let block = 1 + input + loss + layers.sum::<u64>();
        let arenas = arena.div_ceil(lanes) + 2 * tensors;
        (steps + 1) * (batch.div_ceil(rows) * block + arenas + 2) + 2 * arenas + turns(batch * inputs, 0)
    }

    fn declarations(&self, w: &mut String) -> Result {
        w.push_str(match self.pass {
            Pass::GatheredSteps => include_str!("../../shaders/resident/gathered.wgsl"),
            _ => include_str!("../../shaders/resident/batch.wgsl"),
        });
        w.push_str(include_str!("../../shaders/resident/weight.wgsl"));
        if self.pass == Pass::Gradients {
            w.push_str(include_str!("../../shaders/resident/gradients.wgsl"));
            return Ok(());
        }
        w.push_str(include_str!("../../shaders/resident/steps.wgsl"));
        for state in 0..self.whole.rule.states() {
            writeln!(w, "@group(0) @binding({}) var<storage, read_write> state_{state}: array<f32>;", 8 + state)?;
        }
        // The rule finds its state on the chip, under the name of the binding that it has elsewhere.
        for line in self.whole.rule.wgsl().lines().filter(|line| !line.starts_with("@group")) {
            writeln!(w, "{line}")?;
        }
        Ok(())
    }

    /// Everything behind the hook functions: one workgroup of `lanes` invocations, or a single one with all its numbers
    /// in registers where that is `None`.
    pub(super) fn wgsl(&self, lanes: Option<u32>) -> String {
        let mut text = String::new();
        // Writing to a String cannot fail.
        let _ = self.declarations(&mut text);
        let _ = match lanes {
            Some(lanes) => self.workgroup(&mut text, lanes),
            None => self.registers(&mut text),
        };
        text
    }

    fn states(&self) -> impl Iterator<Item = (usize, &'static str)> {
        let names = if self.pass == Pass::Gradients { &[] } else { self.whole.rule.state_names() };
        names.iter().copied().enumerate()
    }

    /// The parameters lie in workgroup memory as they do in their arena; a batch is taken `ROWS` rows at a time. A delta takes
    /// the place of the pre-activation that it needs.
    fn workgroup(&self, w: &mut String, lanes: u32) -> Result {
        let network = &self.whole.network;
        let params = Params::of(network);
        let layers = self.layers();
        let rows = self.rows().max(1);
        let (inputs, outputs) = (network.inputs, network.outputs());
        let arena = params.len;
        let widths = network.widths();
        // Where what goes into a layer lies, or, behind the last one, what comes out.
        let a_at = |layer: usize| rows * widths[..layer].iter().copied().map(stride).sum::<usize>();
        let each = |items: &str| format!("for (var i = lane; i < {items}; i += {lanes}u)");
        // One invocation waits for nobody. Mesa would cut the program into coroutines, and FXC would take the wait for one
        // that not all come to.
        let barrier = |w: &mut String, indent: &str| match lanes {
            1 => Ok(()),
            _ => writeln!(w, "{indent}workgroupBarrier();"),
        };

        writeln!(w, "var<workgroup> start: u32;")?;
        writeln!(w, "var<workgroup> p: array<f32, {arena}>;")?;
        writeln!(w, "var<workgroup> g: array<f32, {arena}>;")?;
        for (_, name) in self.states() {
            writeln!(w, "var<workgroup> {name}: array<f32, {arena}>;")?;
        }
        writeln!(w, "var<workgroup> a: array<f32, {}>;", a_at(widths.len()))?;
        writeln!(w, "var<workgroup> d: array<f32, {}>;", rows * widths[1..].iter().sum::<usize>())?;
        writeln!(w, "var<workgroup> row_loss: array<f32, {rows}>;")?;
        writeln!(w, "@compute @workgroup_size({lanes})")?;
        writeln!(w, "fn main(@builtin(local_invocation_index) lane: u32) {{")?;
        writeln!(w, "  if lane == 0u {{ start = clock[0]; }}")?;
        writeln!(w, "  {} {{", each(&format!("{arena}u")))?;
        writeln!(w, "    p[i] = params[i];")?;
        writeln!(w, "    g[i] = 0.0;")?;
        for (state, name) in self.states() {
            writeln!(w, "    {name}[i] = state_{state}[i];")?;
        }
        writeln!(w, "  }}")?;
        writeln!(w, "  var step = {};", if lanes == 1 { "start" } else { "workgroupUniformLoad(&start)" })?;
        writeln!(w, "  for (var s = 0u; s < u.dims.y; s++) {{")?;
        writeln!(w, "    let entry = schedule[min(step, arrayLength(&schedule) - 1u)];")?;
        writeln!(w, "    let live = min(entry.rows, u.dims.x);")?;
        writeln!(w, "    var loss = 0.0;")?;
        writeln!(w, "    for (var first = 0u; first < live; first += {rows}u) {{")?;
        writeln!(w, "      let rows = min({rows}u, live - first);")?;
        writeln!(w, "      {} {{", each(&format!("rows * {inputs}u")))?;
        writeln!(w, "        let sample = sample_of(entry, first + i / {inputs}u);")?;
        writeln!(w, "        let at = i / {inputs}u * {}u + i % {inputs}u;", stride(inputs))?;
        writeln!(w, "        a[at] = input_at(sample * {inputs}u + i % {inputs}u);")?;
        writeln!(w, "      }}")?;
        barrier(w, "      ")?;

        for (l, layer) in layers.iter().enumerate() {
            let Dense { inputs, outputs, bias_range, weight, .. } = layer;
            // Neighbours have neighbouring rows: they share the unit's weights, and their rows lie in different banks.
            writeln!(w, "      {} {{", each(&format!("rows * {outputs}u")))?;
            writeln!(w, "        let r = i % rows;")?;
            writeln!(w, "        let unit = i / rows;")?;
            writeln!(w, "        let row = {}u + r * {}u;", a_at(l), stride(*inputs))?;
            writeln!(w, "        var sum = 0.0;")?;
            writeln!(w, "        for (var k = 0u; k < {inputs}u; k++) {{")?;
            writeln!(w, "          sum += p[{}u + unit * {inputs}u + k] * a[row + k];", weight.start)?;
            writeln!(w, "        }}")?;
            match layer.bias {
                Bias::PerUnit => writeln!(w, "        sum += p[{}u + unit];", bias_range.start)?,
                Bias::Shared => writeln!(w, "        sum += p[{}u];", bias_range.start)?,
                Bias::None => {}
            }
            if layer.keeps() {
                writeln!(w, "        d[{}u + r * {outputs}u + unit] = sum;", rows * layer.delta_at)?;
            }
            let (at, stride, hook) = (a_at(l + 1), stride(*outputs), layer.activation.hook());
            writeln!(w, "        a[{at}u + r * {stride}u + unit] = activation_{hook}(sum);")?;
            writeln!(w, "      }}")?;
            barrier(w, "      ")?;
        }

        if let Some(last) = layers.last() {
            let (y, d) = (a_at(layers.len()), rows * last.delta_at);
            let each_output = format!("for (var j = 0u; j < {outputs}u; j++)");
            writeln!(w, "      for (var r = lane; r < rows; r += {lanes}u) {{")?;
            writeln!(w, "        let begin = r * {outputs}u;")?;
            writeln!(w, "        let y_begin = {y}u + r * {}u;", stride(outputs))?;
            writeln!(w, "        let target_begin = sample_of(entry, first + r) * ({outputs}u + u.dims.w);")?;
            writeln!(w, "        let scale = entry.loss_scale * weight_at(target_begin + {outputs}u);")?;
            writeln!(w, "        var row = Row(0.0, 0.0);")?;
            if self.whole.loss.uses_softmax() {
                writeln!(w, "        var largest = a[y_begin];")?;
                writeln!(w, "        {each_output} {{ largest = max(largest, a[y_begin + j]); }}")?;
                writeln!(w, "        {each_output} {{")?;
                writeln!(w, "          row.log_sum_exp += exp(a[y_begin + j] - largest);")?;
                writeln!(w, "          row.target_sum += target_at(target_begin + j);")?;
                writeln!(w, "        }}")?;
                writeln!(w, "        row.log_sum_exp = largest + log(row.log_sum_exp);")?;
            }
            writeln!(w, "        var total = 0.0;")?;
            writeln!(w, "        {each_output} {{")?;
            writeln!(w, "          let y = a[y_begin + j];")?;
            writeln!(w, "          let t = target_at(target_begin + j);")?;
            let stored = if last.keeps() { format!("d[{d}u + begin + j]") } else { "y".to_owned() };
            writeln!(w, "          let slope = activation_derivative_{}({stored});", last.activation.hook())?;
            writeln!(w, "          total += loss_value(y, t, row);")?;
            writeln!(w, "          d[{d}u + begin + j] = scale * loss_derivative(y, t, row) * slope;")?;
            writeln!(w, "        }}")?;
            writeln!(w, "        row_loss[r] = scale * total;")?;
            writeln!(w, "      }}")?;
            barrier(w, "      ")?;
        }

        for (i, layer) in layers.iter().enumerate().rev().filter(|(_, layer)| layer.pass_on) {
            let Dense { inputs, outputs, .. } = layer;
            writeln!(w, "      {} {{", each(&format!("rows * {inputs}u")))?;
            writeln!(w, "        let row = {}u + i / {inputs}u * {outputs}u;", rows * layer.delta_at)?;
            writeln!(w, "        let unit = i % {inputs}u;")?;
            writeln!(w, "        var sum = 0.0;")?;
            writeln!(w, "        for (var j = 0u; j < {outputs}u; j++) {{")?;
            writeln!(w, "          sum += d[row + j] * p[{}u + j * {inputs}u + unit];", layer.weight.start)?;
            writeln!(w, "        }}")?;
            match i.checked_sub(1).map(|below| &layers[below]) {
                None => writeln!(w, "        input_gradient[first * {inputs}u + i] = sum;")?,
                Some(below) => {
                    let d = format!("d[{}u + i]", rows * below.delta_at);
                    let place = format!("{}u + i / {inputs}u * {}u + unit", a_at(i), stride(*inputs));
                    let stored = if below.keeps() { d.clone() } else { format!("a[{place}]") };
                    writeln!(w, "        {d} = sum * activation_derivative_{}({stored});", below.activation.hook())?;
                }
            }
            writeln!(w, "      }}")?;
            barrier(w, "      ")?;
        }

        let each_row = "for (var r = 0u; r < rows; r++)";
        let mut turns = Turns { lanes: lanes as usize, taken: 0 };
        for (l, layer) in layers.iter().enumerate() {
            let Dense { inputs, outputs, .. } = layer;
            let (a, d, stride) = (a_at(l), rows * layer.delta_at, stride(*inputs));
            if layer.derive_weight {
                writeln!(w, "      {} {{", turns.of(layer.weight.len()))?;
                writeln!(w, "        let j = {d}u + i / {inputs}u;")?;
                writeln!(w, "        let k = {a}u + i % {inputs}u;")?;
                writeln!(w, "        var sum = 0.0;")?;
                writeln!(w, "        {each_row} {{ sum += d[j + r * {outputs}u] * a[k + r * {stride}u]; }}")?;
                writeln!(w, "        g[{}u + i] += sum;", layer.weight.start)?;
                writeln!(w, "      }}")?;
            }
            if layer.derive_bias && layer.bias == Bias::Shared {
                writeln!(w, "      if lane == 0u {{")?;
                writeln!(w, "        var sum = 0.0;")?;
                writeln!(w, "        for (var i = 0u; i < rows * {outputs}u; i++) {{ sum += d[{d}u + i]; }}")?;
                writeln!(w, "        g[{}] += sum;", layer.bias_range.start)?;
                writeln!(w, "      }}")?;
            } else if layer.derive_bias {
                writeln!(w, "      {} {{", turns.of(*outputs))?;
                writeln!(w, "        var sum = 0.0;")?;
                writeln!(w, "        {each_row} {{ sum += d[{d}u + i + r * {outputs}u]; }}")?;
                writeln!(w, "        g[{}u + i] += sum;", layer.bias_range.start)?;
                writeln!(w, "      }}")?;
            }
        }
        writeln!(w, "      if lane == 0u {{")?;
        writeln!(w, "        {each_row} {{ loss += row_loss[r]; }}")?;
        writeln!(w, "      }}")?;
        barrier(w, "      ")?;
        writeln!(w, "    }}")?;
        writeln!(w, "    if lane == 0u {{ losses[step % arrayLength(&losses)] = loss; }}")?;
        if self.pass == Pass::Gradients {
            for tensor in &params.tensors {
                let Range { start, end } = tensor.range();
                writeln!(w, "    for (var i = {start}u + lane; i < {end}u; i += {lanes}u) {{")?;
                writeln!(w, "      gradients[i] = g[i];")?;
                writeln!(w, "      g[i] = 0.0;")?;
                writeln!(w, "    }}")?;
            }
            writeln!(w, "    for (var i = live * {inputs}u + lane; i < u.dims.x * {inputs}u; i += {lanes}u) {{")?;
            writeln!(w, "      input_gradient[i] = 0.0;")?;
            writeln!(w, "    }}")?;
        } else {
            let mut turns = Turns { lanes: lanes as usize, taken: 0 };
            for tensor in params.tensors.iter().filter(|tensor| tensor.trainable) {
                let Range { start, end } = tensor.range();
                writeln!(w, "    {} {{", turns.of(end - start))?;
                writeln!(w, "      let at = {start}u + i;")?;
                writeln!(w, "      p[at] = update(at, p[at], g[at], rates_of(entry));")?;
                writeln!(w, "      g[at] = 0.0;")?;
                writeln!(w, "    }}")?;
            }
        }
        barrier(w, "    ")?;
        writeln!(w, "    step += 1u;")?;
        writeln!(w, "  }}")?;
        writeln!(w, "  if lane == 0u {{ clock[0] = step; }}")?;
        if self.pass != Pass::Gradients {
            writeln!(w, "  {} {{", each(&format!("{arena}u")))?;
            writeln!(w, "    params[i] = p[i];")?;
            for (state, name) in self.states() {
                writeln!(w, "    state_{state}[i] = {name}[i];")?;
            }
            writeln!(w, "  }}")?;
        }
        writeln!(w, "}}")
    }

    /// One invocation, every number in a variable of its own: `p` and `g` with the place in the arena, `a` and `d` with
    /// the layer and the unit.
    fn registers(&self, w: &mut String) -> Result {
        let network = &self.whole.network;
        let params = Params::of(network);
        let layers = self.layers();
        let (inputs, outputs) = (network.inputs, network.outputs());
        let elements = || params.tensors.iter().flat_map(Tensor::range);
        let derived = || {
            let ranges = layers
                .iter()
                .flat_map(|layer| [(layer.derive_weight, &layer.weight), (layer.derive_bias, &layer.bias_range)]);
            ranges.filter(|(wanted, _)| *wanted).flat_map(|(_, range)| range.clone())
        };
        let sum = |terms: &mut dyn Iterator<Item = String>| terms.collect::<Vec<_>>().join(" + ");

        for (_, name) in self.states() {
            writeln!(w, "var<private> {name}: array<f32, {}>;", params.len)?;
        }
        writeln!(w, "@compute @workgroup_size(1)")?;
        writeln!(w, "fn main() {{")?;
        for i in elements() {
            writeln!(w, "  var p{i} = params[{i}];")?;
            for (state, name) in self.states() {
                writeln!(w, "  {name}[{i}] = state_{state}[{i}];")?;
            }
        }
        writeln!(w, "  var step = clock[0];")?;
        writeln!(w, "  var kept = step % arrayLength(&losses);")?;
        writeln!(w, "  for (var s = 0u; s < u.dims.y; s++) {{")?;
        writeln!(w, "    let entry = schedule[min(step, arrayLength(&schedule) - 1u)];")?;
        writeln!(w, "    let live = min(entry.rows, u.dims.x);")?;
        writeln!(w, "    var loss = 0.0;")?;
        for i in derived() {
            writeln!(w, "    var g{i} = 0.0;")?;
        }
        writeln!(w, "    for (var r = 0u; r < live; r++) {{")?;
        writeln!(w, "      let sample = sample_of(entry, r);")?;
        for k in 0..inputs {
            writeln!(w, "      let a0_{k} = input_at(sample * {inputs}u + {k}u);")?;
        }
        for (l, layer) in layers.iter().enumerate() {
            for j in 0..layer.outputs {
                let weight = layer.weight.start + j * layer.inputs;
                let bias = match layer.bias {
                    Bias::PerUnit => Some(layer.bias_range.start + j),
                    Bias::Shared => Some(layer.bias_range.start),
                    Bias::None => None,
                };
                let products = (0..layer.inputs).map(|k| format!("p{} * a{l}_{k}", weight + k));
                let z = sum(&mut products.chain(bias.map(|b| format!("p{b}"))));
                writeln!(w, "      let z{}_{j} = {z};", l + 1)?;
                writeln!(w, "      let a{0}_{j} = activation_{1}(z{0}_{j});", l + 1, layer.activation.hook())?;
            }
        }
        let last = layers.len();
        writeln!(w, "      let target_begin = sample * ({outputs}u + u.dims.w);")?;
        writeln!(w, "      let weight = weight_at(target_begin + {outputs}u);")?;
        for j in 0..outputs {
            writeln!(w, "      let t{j} = target_at(target_begin + {j}u);")?;
        }
        if self.whole.loss.uses_softmax() {
            let largest = (1..outputs).fold(format!("a{last}_0"), |max, j| format!("max({max}, a{last}_{j})"));
            writeln!(w, "      let largest = {largest};")?;
            let exps = sum(&mut (0..outputs).map(|j| format!("exp(a{last}_{j} - largest)")));
            let targets = sum(&mut (0..outputs).map(|j| format!("t{j}")));
            writeln!(w, "      let row = Row(largest + log({exps}), {targets});")?;
        } else {
            writeln!(w, "      let row = Row(0.0, 0.0);")?;
        }
        let slope = |l: usize, unit: usize| {
            let layer = &layers[l - 1];
            let stored = if layer.keeps() { 'z' } else { 'a' };
            format!("activation_derivative_{}({stored}{l}_{unit})", layer.activation.hook())
        };
        for j in 0..outputs {
            writeln!(w, "      loss += weight * loss_value(a{last}_{j}, t{j}, row);")?;
            let derivative = format!("entry.loss_scale * weight * loss_derivative(a{last}_{j}, t{j}, row)");
            writeln!(w, "      let d{last}_{j} = {derivative} * {};", slope(last, j))?;
        }
        for (l, layer) in layers.iter().enumerate().rev() {
            for j in 0..layer.outputs {
                for k in (0..layer.inputs).filter(|_| layer.derive_weight) {
                    let g = layer.weight.start + j * layer.inputs + k;
                    writeln!(w, "      g{g} += d{}_{j} * a{l}_{k};", l + 1)?;
                }
                if layer.derive_bias {
                    let g = layer.bias_range.start + if layer.bias == Bias::Shared { 0 } else { j };
                    writeln!(w, "      g{g} += d{}_{j};", l + 1)?;
                }
            }
            for k in (0..layer.inputs).filter(|_| layer.pass_on) {
                let weight = |j| layer.weight.start + j * layer.inputs + k;
                let arriving = sum(&mut (0..layer.outputs).map(|j| format!("d{}_{j} * p{}", l + 1, weight(j))));
                match l {
                    0 => writeln!(w, "      input_gradient[r * {inputs}u + {k}u] = {arriving};")?,
                    _ => writeln!(w, "      let d{l}_{k} = ({arriving}) * {};", slope(l, k))?,
                }
            }
        }
        writeln!(w, "    }}")?;
        writeln!(w, "    losses[kept] = entry.loss_scale * loss;")?;
        if self.pass == Pass::Gradients {
            for i in derived() {
                writeln!(w, "    gradients[{i}] = g{i};")?;
            }
            writeln!(w, "    for (var i = live * {inputs}u; i < u.dims.x * {inputs}u; i++) {{")?;
            writeln!(w, "      input_gradient[i] = 0.0;")?;
            writeln!(w, "    }}")?;
        } else {
            for i in derived() {
                writeln!(w, "    p{i} = update({i}u, p{i}, g{i}, rates_of(entry));")?;
            }
        }
        writeln!(w, "    step += 1u;")?;
        // A division each step would cost more than the rest of it.
        writeln!(w, "    kept = select(kept + 1u, 0u, kept + 1u == arrayLength(&losses));")?;
        writeln!(w, "  }}")?;
        writeln!(w, "  clock[0] = step;")?;
        if self.pass != Pass::Gradients {
            for i in derived() {
                writeln!(w, "  params[{i}] = p{i};")?;
                for (state, name) in self.states() {
                    writeln!(w, "  state_{state}[{i}] = {name}[{i}];")?;
                }
            }
        }
        writeln!(w, "}}")
    }
}
