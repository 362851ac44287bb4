//! The order of dispatches as plain data. **Backpropagation is wired here**, in [`Plan::training`]; running a plan is an
//! [`Executor`](crate::executor::Executor)'s business.

mod blocks;
mod fused;
mod jets;
mod memory;
mod resident;
mod treatment;

pub(crate) use jets::check_smooth;
pub use memory::Group;

use crate::activation::{Activation, Stored};
use crate::error::did_you_mean;
use crate::kernel::mixed::SCALER_LEN;
use crate::kernel::resident::DEFAULT_WORKGROUP_MEMORY;
use crate::kernel::{Access, Block, Element, Epilogue, Form, Fused, Kernel, Mixed, Uniform};
use crate::loss::Loss;
use crate::network::{Bias, Network, Normalization};
use crate::optimizer::Optimizer;
use crate::params::{ALIGNMENT, Params, Role, Tensor};
use crate::precision::Precision;
use crate::real::Real;
use crate::treatment::Treatments;
use crate::{Error, Result};
use std::ops::Range;

/// A buffer that steps read and write.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Slot {
    /// The parameter arena, laid out by [`Params`].
    Params,
    /// The gradients, laid out like the parameters.
    Gradients,
    /// The gradients of one layer after the other, each updated before the next one's come: laid out like the parameters of
    /// that layer.
    LayerGradients,
    /// The gradients of the micro-batches of a batch before its last one, summed, laid out like the parameters.
    GradientSums,
    /// Sums of squares of the gradients, on their way to a norm.
    Squares,
    /// What clips the gradient's norm, [`CLIP_LEN`](crate::kernel::treatment::CLIP_LEN) numbers: the factor, and the norm
    /// before it.
    Clip,
    /// The exponential moving average of the parameters, laid out like them.
    Average,
    /// A state arena of the optimizer, laid out like the parameters.
    State(usize),
    /// The batch, `[batch, inputs]`.
    Input,
    /// The jets of the inputs, `[components · batch, inputs]`; with them activations, pre-activations, deltas and the output
    /// are jets too.
    InputJets,
    /// What the batch should give, `[batch, outputs]`.
    Target,
    /// What layer `i` puts out, `[batch, outputs of i]`; the last layer has [`Slot::Output`].
    Activation(usize),
    /// The output of the network, `[batch, outputs]`; logits where the loss contains the last activation.
    Output,
    /// The pre-activation of layer `i`, kept where the derivative needs it.
    Preactivation(usize),
    /// The sums of layer `i`, then the same normalised, `[batch, outputs of i]`.
    Normal(usize),
    /// The means of what layer `i` normalises over, then the variances.
    Statistics(usize),
    /// What layer `i` puts out after dropout and a residual connection.
    Joined(usize),
    /// `∂loss/∂y` of what every second layer puts out, where its delta does not come from a product at once.
    Flow(usize),
    /// `∂loss/∂z` of the last layer, `[batch, outputs]`, where it cannot take the place of the output.
    Delta,
    /// `∂loss/∂input`, `[batch, inputs]`.
    InputGradient,
    /// What the fused kernels scribble on.
    Scratch,
    /// The gradients of each part of the batch, `[parts, gradients]`, then the loss of each, `[parts]`, and in mixed precision
    /// whether one of its gradients overflowed, `[parts]`.
    Partials,
    /// Parts of sums on their way to a total: of a weight gradient, or to a shared bias.
    PartialSums,
    /// The part of each sample in the loss, `[batch]`.
    RowLoss,
    /// The loss of each step, `[steps]`.
    Losses,
    /// One [`ScheduleEntry`] per step.
    Schedule,
    /// The number of the step, counted on the device.
    Clock,
    /// The inputs of the data set, `[rows, inputs]`.
    DataInputs,
    /// The targets of the data set, `[rows, outputs]`.
    DataTargets,
    /// Row numbers of the data set in the order of training.
    Order,
    /// The parameters in f16, laid out by [`Params`], for the products of mixed precision.
    HalfParams,
    /// The dynamic loss scale of mixed precision, [`SCALER_LEN`] numbers; zeros are a fresh one.
    Scaler,
    /// Not 0 where a gradient of this step is not finite.
    Overflow,
}

impl std::fmt::Display for Slot {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&match self {
            Slot::Params => "params".to_owned(),
            Slot::Gradients => "gradients".to_owned(),
            Slot::LayerGradients => "layer_gradients".to_owned(),
            Slot::GradientSums => "gradient_sums".to_owned(),
            Slot::Squares => "squares".to_owned(),
            Slot::Clip => "clip".to_owned(),
            Slot::Average => "average".to_owned(),
            Slot::State(i) => format!("state.{i}"),
            Slot::Input => "input".to_owned(),
            Slot::InputJets => "input_jets".to_owned(),
            Slot::Target => "target".to_owned(),
            Slot::Activation(i) => format!("activation.{i}"),
            Slot::Output => "output".to_owned(),
            Slot::Preactivation(i) => format!("preactivation.{i}"),
            Slot::Normal(i) => format!("normal.{i}"),
            Slot::Statistics(i) => format!("statistics.{i}"),
            Slot::Joined(i) => format!("joined.{i}"),
            Slot::Flow(i) => format!("flow.{i}"),
            Slot::Delta => "delta".to_owned(),
            Slot::InputGradient => "input_gradient".to_owned(),
            Slot::Scratch => "scratch".to_owned(),
            Slot::Partials => "partials".to_owned(),
            Slot::PartialSums => "partial_sums".to_owned(),
            Slot::RowLoss => "row_loss".to_owned(),
            Slot::Losses => "losses".to_owned(),
            Slot::Schedule => "schedule".to_owned(),
            Slot::Clock => "clock".to_owned(),
            Slot::DataInputs => "data_inputs".to_owned(),
            Slot::DataTargets => "data_targets".to_owned(),
            Slot::Order => "order".to_owned(),
            Slot::HalfParams => "half_params".to_owned(),
            Slot::Scaler => "scaler".to_owned(),
            Slot::Overflow => "overflow".to_owned(),
        })
    }
}

/// What differs from step to step; the host writes as many as it wants to run without interference.
#[repr(C)]
#[derive(Clone, Copy, Debug, Default, PartialEq, bytemuck::Pod, bytemuck::Zeroable)]
pub struct ScheduleEntry {
    /// The learning rate.
    pub learning_rate: f32,
    /// Factors that depend on the number of the step, from [`Optimizer::corrections`]; 1 where the rule has none.
    pub corrections: [f32; 2],
    /// The factor on the summed loss, from [`Reduction::scale`](crate::loss::Reduction::scale).
    pub loss_scale: f32,
    /// Samples in this batch, at most the plan's batch; the rest is padding.
    pub rows: u32,
    /// Where this batch begins in [`Slot::Order`].
    pub first: u32,
    /// What the random numbers of the step are drawn by.
    pub seed: u32,
    /// [`ScheduleEntry::TRAINING`], and others by which a step is told apart.
    pub flags: u32,
}

impl ScheduleEntry {
    /// Four-byte elements in an entry.
    pub const WORDS: usize = size_of::<ScheduleEntry>() / 4;

    /// The flag of a step that trains rather than evaluates: units drop out, and statistics are those of the batch.
    pub const TRAINING: u32 = 1;

    /// A training step on the batch that begins the data set, for a rule without corrections.
    pub fn training(learning_rate: f32, loss_scale: f32, rows: usize) -> Self {
        let flags = ScheduleEntry::TRAINING;
        ScheduleEntry { learning_rate, corrections: [1.0; 2], loss_scale, rows: rows as u32, flags, ..Self::default() }
    }

    /// What an update takes: the learning rate and the corrections.
    pub(crate) fn rates<T: Real>(&self) -> [T; 3] {
        let [first, second] = self.corrections;
        [self.learning_rate, first, second].map(|rate| T::of(f64::from(rate)))
    }
}

/// A slot's size.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct SlotInfo {
    /// The slot.
    pub slot: Slot,
    /// Its number of elements.
    pub len: usize,
    /// Their type.
    pub element: Element,
}

/// The part of a training step that a dispatch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A batch is gathered from the data set.
    Gather,
    /// From the input to the output.
    Forward,
    /// The loss and the delta of the output layer.
    Loss,
    /// From the output's delta to every gradient.
    Backward,
    /// The gradients of a fused step, where more is done to them than an update.
    Sum,
    /// The gradients are kept for the update behind a later micro-batch.
    Accumulate,
    /// Gradients change parameters.
    Update,
    /// The step's loss is recorded and the clock advances.
    Finish,
    /// Whole training steps on the batch in [`Slot::Input`], many in one dispatch.
    Steps,
    /// Whole training steps on batches of the data set, many in one dispatch.
    GatheredSteps,
    /// From the batch to the gradients of its parts, at once.
    Fused,
    /// The same for a batch that is gathered from the data set on the way.
    FusedGathered,
    /// What [`Phase::Finish`] does, from the losses of the parts; in mixed precision the dynamic loss scale adapts, too.
    Record,
}

/// Who wires a training step: which kernels run, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Planner {
    /// One matrix product per layer forward and two backward. Fits every network.
    #[default]
    LayerWise,
    /// The network stays in one workgroup's memory, where a dispatch trains it for many steps. For tiny networks, which
    /// are launch-bound otherwise. Evaluates layer by layer.
    Resident,
    /// A part of the batch goes through all layers, forward and backward, in one dispatch, and a second one adds up the
    /// parts and updates. Fits networks whose widths are at most 128.
    Fused,
}

impl Planner {
    /// Every planner.
    pub const ALL: &'static [Planner] = &[Planner::LayerWise, Planner::Fused, Planner::Resident];

    /// The name on the command line and in printed plans.
    pub fn name(self) -> &'static str {
        match self {
            Planner::LayerWise => "layerwise",
            Planner::Fused => "fused",
            Planner::Resident => "resident",
        }
    }

    /// The phases of a step on the batch in [`Slot::Input`].
    pub fn step(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise => &[Phase::Forward, Phase::Loss, Phase::Backward, Phase::Update, Phase::Finish],
            Planner::Fused => &[Phase::Fused, Phase::Sum, Phase::Update, Phase::Record],
            Planner::Resident => &[Phase::Steps],
        }
    }

    /// The phases of a step on a batch of the data set.
    pub fn gathered_step(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise => {
                &[Phase::Gather, Phase::Forward, Phase::Loss, Phase::Backward, Phase::Update, Phase::Finish]
            }
            Planner::Resident => &[Phase::GatheredSteps],
            Planner::Fused => &[Phase::FusedGathered, Phase::Sum, Phase::Update, Phase::Record],
        }
    }

    /// The phases of a step on a micro-batch, in [`Slot::Input`] or `gathered` from the data set, behind which others of the
    /// same batch follow: its gradients are kept for the update that comes with the last one. Of plans with
    /// [`TrainingOptions::accumulates`].
    pub fn micro_step(self, gathered: bool) -> &'static [Phase] {
        use Phase::{Accumulate, Backward, Finish, Forward, Fused, FusedGathered, Gather, Loss, Record, Sum};
        match (self, gathered) {
            (Planner::LayerWise, false) => &[Forward, Loss, Backward, Accumulate, Finish],
            (Planner::LayerWise, true) => &[Gather, Forward, Loss, Backward, Accumulate, Finish],
            (Planner::Fused, false) => &[Fused, Sum, Accumulate, Record],
            (Planner::Fused, true) => &[FusedGathered, Sum, Accumulate, Record],
            (Planner::Resident, _) => &[],
        }
    }

    /// The phases that compute the gradients of the batch in [`Slot::Input`]; parameters stay. A resident plan has them
    /// where [`TrainingOptions::all_gradients`] says so.
    pub fn gradients(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise => &[Phase::Forward, Phase::Loss, Phase::Backward, Phase::Finish],
            Planner::Resident => &[Phase::Backward],
            Planner::Fused => &[Phase::Fused, Phase::Backward],
        }
    }

    /// The phases that compute output and loss of a batch of the data set; parameters stay.
    pub fn gathered_loss(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise | Planner::Fused | Planner::Resident => {
                &[Phase::Gather, Phase::Forward, Phase::Loss, Phase::Finish]
            }
        }
    }

    /// Checks that this planner can wire a training step of `network`.
    ///
    /// # Errors
    /// [`Error::Config`] with the reason and the numbers.
    pub fn fits(self, network: &Network, options: &TrainingOptions) -> Result<()> {
        match self {
            Planner::LayerWise if matches!(options.loss, Loss::Equation(_)) => jets::fits(options),
            Planner::LayerWise if options.precision != Precision::F32 => network.check_plain("mixed precision"),
            Planner::LayerWise => Ok(()),
            Planner::Fused | Planner::Resident if matches!(options.loss, Loss::Equation(_)) => {
                Err(Error::Config(format!(
                    "the planner {self} takes losses of output and target alone, found the equation {}; use the planner {}",
                    options.loss,
                    Planner::LayerWise
                )))
            }
            Planner::Resident if options.treats_gradients() || options.average.is_some() => {
                Err(Error::Config(format!(
                    "the planner {self} changes parameters by an optimizer alone, without penalties, clipping, micro-batches and \
                 averages; use the planner {} or {}",
                    Planner::LayerWise,
                    Planner::Fused
                )))
            }
            Planner::Resident if options.precision != Precision::F32 => Err(Error::Config(format!(
                "the planner {self} computes in f32 alone, found the precision {}; use f32, or the planner {} or {}",
                options.precision,
                Planner::LayerWise,
                Planner::Fused
            ))),
            Planner::Fused => Fused::check(network),
            Planner::Resident => resident::fits(network, options),
        }
    }
}

impl std::str::FromStr for Planner {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || Planner::ALL.iter().map(|planner| planner.name());
        Planner::ALL.iter().copied().find(|planner| planner.name() == name).ok_or_else(|| {
            let (nearest, known) = (did_you_mean(name, names()), names().collect::<Vec<_>>().join(", "));
            Error::Config(format!("unknown planner {name:?}{nearest}; known: {known}"))
        })
    }
}

impl std::fmt::Display for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

impl Phase {
    /// Only the output.
    pub const FORWARD: &'static [Phase] = &[Phase::Forward];

    /// The name in a printed plan.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Gather => "gather",
            Phase::Forward => "forward",
            Phase::Loss => "loss",
            Phase::Backward => "backward",
            Phase::Sum => "sum",
            Phase::Accumulate => "accumulate",
            Phase::Update => "update",
            Phase::Finish => "finish",
            Phase::Steps => "steps",
            Phase::GatheredSteps => "gathered steps",
            Phase::Fused => "fused",
            Phase::FusedGathered => "fused, gathered",
            Phase::Record => "record",
        }
    }
}

/// A range of a slot that a step binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The slot.
    pub slot: Slot,
    /// Its elements.
    pub range: Range<usize>,
}

/// One dispatch.
#[derive(Clone, Debug, PartialEq)]
pub struct Step {
    /// The part of the training step.
    pub phase: Phase,
    /// What runs.
    pub kernel: Kernel,
    /// Its sizes and settings.
    pub uniform: Uniform,
    /// What it binds, in the order of [`Kernel::bindings`].
    pub bindings: Vec<Binding>,
    /// What it is for: `layers.0 forward`.
    pub label: String,
}

/// The dispatches of a training step or a prediction, and the buffers they use.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Plan {
    /// Who wired it.
    pub planner: Planner,
    /// Rows in the batch.
    pub batch: usize,
    /// Where each parameter lies in [`Slot::Params`], [`Slot::Gradients`] and [`Slot::State`].
    pub params: Params,
    /// Every buffer, each slot once.
    pub slots: Vec<SlotInfo>,
    /// The dispatches in order.
    pub steps: Vec<Step>,
}

/// What a training plan is built for.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainingOptions {
    /// Who wires the step.
    pub planner: Planner,
    /// What matrices are stored in.
    pub precision: Precision,
    /// Rows in a batch, ≥ 1.
    pub batch: usize,
    /// The loss.
    pub loss: Loss,
    /// The optimizer.
    pub optimizer: Optimizer,
    /// How many steps the host schedules ahead, ≥ 1.
    pub steps: usize,
    /// Rows of a data set that lives on the device; 0 where batches come from the host.
    pub data_rows: usize,
    /// Whether to compute every gradient, those of frozen parameters and of the input too.
    pub all_gradients: bool,
    /// Bytes of workgroup memory that a kernel may take.
    pub workgroup_memory: usize,
    /// What is done to gradients before the update.
    pub treatments: Treatments,
    /// Whether the gradients of micro-batches can be summed before an update; [`TrainingOptions::batch`] is then that of a
    /// micro-batch.
    pub accumulates: bool,
    /// Whether the weight of a row stands behind its targets, and multiplies its loss.
    pub weighted: bool,
    /// The decay of the exponential moving average of the parameters, in (0, 1), where there is to be one.
    pub average: Option<f32>,
}

impl TrainingOptions {
    /// Batches from the host, one step at a time, plain SGD.
    pub fn new(batch: usize, loss: Loss) -> Self {
        let optimizer = Optimizer::default();
        TrainingOptions {
            planner: Planner::default(),
            precision: Precision::default(),
            batch,
            loss,
            optimizer,
            steps: 1,
            data_rows: 0,
            all_gradients: false,
            workgroup_memory: DEFAULT_WORKGROUP_MEMORY,
            treatments: Treatments::default(),
            accumulates: false,
            weighted: false,
            average: None,
        }
    }
}

impl Plan {
    /// A training step, wired by the planner of `options`.
    pub fn training(network: &Network, options: &TrainingOptions) -> Result<Plan> {
        network.validate()?;
        options.loss.check_output(network.output_activation())?;
        options.optimizer.validate()?;
        treatment::validate(options)?;
        check_batch(network, options.batch)?;
        options.planner.fits(network, options)?;
        if let Loss::Equation(equation) = options.loss {
            return Self::jets(network, options, equation);
        }
        match options.planner {
            Planner::LayerWise => Self::layer_wise(network, options),
            Planner::Fused => Self::fused(network, options),
            Planner::Resident => Self::resident(network, options),
        }
    }

    /// Output and loss of batches of a data set, without what only training needs. `options` are those of training, with
    /// [`TrainingOptions::data_rows`].
    pub fn evaluation(network: &Network, options: &TrainingOptions) -> Result<Plan> {
        Ok(Self::training(network, options)?.only(options.planner.gathered_loss()))
    }

    /// The forward pass alone, wired by `planner`.
    pub fn prediction_by(planner: Planner, network: &Network, batch: usize) -> Result<Plan> {
        network.validate()?;
        match planner {
            Planner::LayerWise | Planner::Resident => Self::prediction(network, batch),
            Planner::Fused => Self::fused_prediction(network, batch),
        }
    }

    /// The layer-wise training step: one matrix product per layer forward, two backward, then the update.
    ///
    /// A delta takes the place of what its `f′` is computed from, once the weight gradient of the layer above has read it.
    ///
    /// The four equations, with ⊙ the element-wise product: `δ_L = ∇_a C ⊙ f′(z_L)` (kernel `loss`),
    /// `δ_l = (δ_{l+1} W_{l+1}) ⊙ f′(z_l)` (`matmul_nn × f′`), `∂C/∂b_l = Σ_rows δ_l` (`column_sum`),
    /// `∂C/∂W_l = δ_lᵀ a_{l-1}` (`matmul_tn`). Rows of a matrix are samples.
    fn layer_wise(network: &Network, options: &TrainingOptions) -> Result<Plan> {
        let params = Params::of(network);
        let mut plan = Plan { batch: options.batch, params: params.clone(), ..Plan::default() };
        let (batch, loss, precision) = (options.batch, Some(options.loss), options.precision);
        let layer_by_layer = options.updates_layer_by_layer(&params);
        let wiring = Wiring { network, params: &params, batch, biased: batch, loss, precision, layer_by_layer };
        let last = network.layers.len() - 1;

        if options.data_rows > 0 {
            plan.gather(network, options)?;
        }
        plan.add(Slot::Params, params.len);
        plan.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS);
        if precision == Precision::F16 {
            plan.cast()?;
        }
        for i in 0..=last {
            plan.forward(&wiring, i)?;
        }

        let activation = wiring.activation(last);
        let mut bindings = vec![
            plan.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            plan.words(Slot::Clock, 1),
            wiring.delta(last),
            plan.add(Slot::Target, options.batch * options.target_width(network)),
            plan.add(Slot::RowLoss, options.batch),
        ];
        if activation.stored() == Stored::Preactivation {
            bindings.push(wiring.stored(last));
        }
        bindings.extend((precision == Precision::F16).then(|| plan.add(Slot::Scaler, SCALER_LEN)));
        plan.push(
            Phase::Loss,
            precision.of(Kernel::Loss { loss: options.loss, activation }),
            [options.batch, network.outputs(), options.weighted.into()],
            bindings,
            "loss and output delta",
        )?;

        plan.add_gradients(&wiring);
        for i in (0..=last).rev() {
            plan.backward(&wiring, i, options.all_gradients)?;
            plan.update_layer(&wiring, i, options)?;
        }
        if precision == Precision::F16 {
            let gradients = match options.all_gradients {
                true => vec![whole(Slot::Gradients, params.len)],
                false => treatment::runs(&params).map(|range| Binding { slot: Slot::Gradients, range }).collect(),
            };
            let input = plan.slot(Slot::InputGradient).map(|info| whole(Slot::InputGradient, info.len));
            plan.unscale(Phase::Backward, gradients.into_iter().chain(input))?;
        }
        plan.change(&params, options)?;
        plan.running_statistics(&wiring, options.accumulates)?;
        plan.record(Phase::Finish, Kernel::LossSum, whole(Slot::RowLoss, options.batch), options.batch)?;
        plan.validate()?;
        Ok(plan)
    }

    /// The forward pass alone, without storing what only a backward pass needs.
    pub fn prediction(network: &Network, batch: usize) -> Result<Plan> {
        network.validate()?;
        check_batch(network, batch)?;
        let params = Params::of(network);
        let mut plan = Plan { batch, params: params.clone(), ..Plan::default() };
        plan.add(Slot::Params, params.len);
        let wiring = Wiring::of_prediction(network, &params, batch, batch);
        for i in 0..network.layers.len() {
            plan.forward(&wiring, i)?;
        }
        plan.validate()?;
        Ok(plan)
    }

    /// The phases of a training step as this plan is for: on batches of the data set where it holds one.
    pub fn training_phases(&self) -> &'static [Phase] {
        match self.slot(Slot::Order) {
            Some(_) => self.planner.gathered_step(),
            None => self.planner.step(),
        }
    }

    /// The steps of `phases` alone, with the slots that they bind.
    pub fn only(mut self, phases: &[Phase]) -> Plan {
        self.steps.retain(|step| phases.contains(&step.phase));
        let used: Vec<_> = self.steps.iter().flat_map(|step| &step.bindings).map(|binding| binding.slot).collect();
        self.slots.retain(|info| used.contains(&info.slot));
        self
    }

    /// A plan of one step, for checking and timing a kernel by itself.
    pub fn single(kernel: Kernel, uniform: Uniform, slots: Vec<SlotInfo>, bindings: Vec<Binding>) -> Result<Plan> {
        let label = kernel.to_string();
        let step = Step { phase: Phase::Forward, kernel, uniform, bindings, label };
        let plan = Plan { slots, steps: vec![step], ..Plan::default() };
        plan.validate()?;
        Ok(plan)
    }

    fn gather(&mut self, network: &Network, options: &TrainingOptions) -> Result<()> {
        let (batch, rows) = (options.batch, options.data_rows);
        let targets = options.target_width(network);
        let bindings = vec![
            self.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            self.words(Slot::Clock, 1),
            self.words(Slot::Order, rows),
            self.add(Slot::DataInputs, rows * network.inputs),
            self.add(Slot::DataTargets, (rows * targets).max(1)),
            self.add(Slot::Input, batch * network.inputs),
            self.add(Slot::Target, (batch * targets).max(1)),
        ];
        let dims = [batch, network.inputs, targets];
        self.push(Phase::Gather, options.precision.of(Kernel::Gather), dims, bindings, "batch by index")
    }

    fn forward(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        let layer = &wiring.network.layers[i];
        let normalizes = layer.normalization != Normalization::None;
        let (activation, keep, output) = match normalizes {
            false => (wiring.activation(i), wiring.keeps(i), wiring.output(i)),
            true => (Activation::Linear, false, wiring.normal(i)),
        };
        let mut bindings = vec![self.grow(wiring.input(i)), wiring.weight(i)?, self.grow(output)];
        if layer.bias != Bias::None {
            bindings.push(wiring.param(i, Role::Bias)?);
        }
        if keep {
            bindings.push(self.grow(wiring.stored(i)));
        }
        let epilogue = Epilogue::Forward { activation, bias: layer.bias, keep };
        self.push(
            Phase::Forward,
            wiring.precision.of(Kernel::Matmul { form: Form::Nt, epilogue }),
            [wiring.batch, layer.outputs, wiring.network.layer_inputs(i)],
            bindings,
            format!("layers.{i} forward"),
        )?;
        self.begin_weight(wiring, i)?;
        if normalizes {
            self.normalize(wiring, i)?;
        }
        if wiring.joins(i) { self.join(wiring, i) } else { Ok(()) }
    }

    fn backward(&mut self, wiring: &Wiring<'_>, i: usize, all: bool) -> Result<()> {
        if wiring.network.layers[i].normalization != Normalization::None && (all || wiring.trainable_below(i + 1)) {
            self.normalize_backward(wiring, i)?;
        }
        self.weight_gradient(wiring, i, all)?;
        self.bias_gradient(wiring, i, all)?;
        let (batch, outputs, inputs) = (wiring.batch, wiring.network.layers[i].outputs, wiring.network.layer_inputs(i));
        let weight = wiring.weight(i)?;
        if i > 0 && (all || wiring.trainable_below(i)) && wiring.flows(i - 1) {
            let dims = [batch, inputs, outputs];
            let product = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store };
            let bindings = vec![wiring.delta(i), weight, self.grow(wiring.flow(i - 1))];
            self.push(Phase::Backward, product, dims, bindings, format!("layers.{} flow", i - 1))?;
            self.join_backward(wiring, i - 1)?;
        } else if i > 0 && (all || wiring.trainable_below(i)) {
            let epilogue = Epilogue::Delta { activation: wiring.activation(i - 1) };
            self.push(
                Phase::Backward,
                wiring.precision.of(Kernel::Matmul { form: Form::Nn, epilogue }),
                [batch, inputs, outputs],
                vec![wiring.delta(i), weight, wiring.delta(i - 1)],
                format!("layers.{} delta", i - 1),
            )?;
            self.begin_weight(wiring, i)?;
        } else if i == 0 && all {
            let gradient = self.add(Slot::InputGradient, batch * inputs);
            let residual = wiring.network.layers[0].residual;
            let through = if residual { self.grow(wiring.flow_through()) } else { gradient.clone() };
            self.push(
                Phase::Backward,
                wiring.precision.of(Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store }),
                [batch, inputs, outputs],
                vec![wiring.delta(0), weight, through.clone()],
                "input gradient",
            )?;
            self.begin_weight(wiring, i)?;
            if residual {
                let join = Kernel::Block(Block::Join { residual, dropout: false });
                let bindings = vec![through, gradient, wiring.flow(0)];
                self.push(Phase::Backward, join, [batch, inputs], bindings, "input gradient with the residual's")?;
            }
        }
        Ok(())
    }

    /// `∂C/∂W = δᵀ a`, where it is wanted.
    fn weight_gradient(&mut self, wiring: &Wiring<'_>, i: usize, all: bool) -> Result<()> {
        let (batch, outputs, inputs) = (wiring.batch, wiring.network.layers[i].outputs, wiring.network.layer_inputs(i));
        let wanted = |t: &&Tensor| all || t.trainable;
        if let Some(weight) = wiring.params.get(i, Role::Weight).filter(wanted) {
            let gradient = self.grow(wiring.gradient(i, weight.range()));
            let label = format!("{} gradient", weight.name);
            let parts = gradient_parts(outputs * inputs, batch);
            let epilogue = if parts > 1 { Epilogue::Parts } else { Epilogue::Store };
            let product = wiring.precision.of(Kernel::Matmul { form: Form::Tn, epilogue });
            if parts > 1 {
                let sums = self.grow(whole(Slot::PartialSums, parts * outputs * inputs));
                let bindings = vec![wiring.delta(i), wiring.input(i), sums.clone()];
                self.push(
                    Phase::Backward,
                    product,
                    [outputs, inputs, batch, parts],
                    bindings,
                    format!("{label} in parts"),
                )?;
                let dims = [parts, outputs * inputs];
                self.push(Phase::Backward, Kernel::ColumnSum, dims, vec![sums, gradient], label)?;
            } else {
                let bindings = vec![wiring.delta(i), wiring.input(i), gradient];
                self.push(Phase::Backward, product, [outputs, inputs, batch], bindings, label)?;
            }
        }
        Ok(())
    }

    /// `∂C/∂b = Σ_rows δ` over the rows that have a bias, where it is wanted.
    fn bias_gradient(&mut self, wiring: &Wiring<'_>, i: usize, all: bool) -> Result<()> {
        let (batch, outputs) = (wiring.biased, wiring.network.layers[i].outputs);
        let wanted = |t: &&Tensor| all || t.trainable;
        let column_sum = wiring.precision.of(Kernel::ColumnSum);
        let delta = Binding { range: 0..batch * outputs, ..wiring.delta(i) };
        if let Some(bias) = wiring.params.get(i, Role::Bias).filter(wanted) {
            let gradient = self.grow(wiring.gradient(i, bias.range()));
            let label = format!("{} gradient", bias.name);
            if wiring.network.layers[i].bias == Bias::Shared {
                let sums = self.grow(whole(Slot::PartialSums, outputs));
                let bindings = vec![delta, sums.clone()];
                let units = format!("{} gradient per unit", bias.name);
                self.push(Phase::Backward, column_sum, [batch, outputs], bindings, units)?;
                self.push(Phase::Backward, Kernel::ColumnSum, [outputs, 1], vec![sums, gradient], label)?;
            } else {
                // The sums of every `strands`th row, then their sum: the same kernel on the same numbers, read as wider rows.
                let strands = gradient_strands(outputs, batch);
                let (mut delta, mut sum) = (delta, column_sum);
                if strands > 1 {
                    let sums = self.grow(whole(Slot::PartialSums, strands * outputs));
                    let dims = [batch / strands, strands * outputs];
                    let bindings = vec![delta, sums.clone()];
                    self.push(Phase::Backward, sum, dims, bindings, format!("{label} in parts"))?;
                    (delta, sum) = (sums, Kernel::ColumnSum);
                }
                let rows = if strands > 1 { strands } else { batch };
                self.push(Phase::Backward, sum, [rows, outputs], vec![delta, gradient], label)?;
            }
        }
        Ok(())
    }

    /// The update of the parameters `run` by `gradients`.
    fn update(
        &mut self,
        run: Range<usize>,
        gradients: Binding,
        options: &TrainingOptions,
        label: impl Into<String>,
    ) -> Result<()> {
        let rule = options.optimizer.rule();
        let mut bindings = vec![
            whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            whole(Slot::Clock, 1),
            gradients,
            Binding { slot: Slot::Params, range: run.clone() },
        ];
        for i in 0..rule.states() {
            self.add(Slot::State(i), self.params.len);
            bindings.push(Binding { slot: Slot::State(i), range: run.clone() });
        }
        bindings.extend((options.precision == Precision::F16).then(|| whole(Slot::Overflow, 1)));
        self.push(Phase::Update, options.precision.of(Kernel::Update(rule)), [run.len()], bindings, label)?;
        if let Some(step) = self.steps.last_mut() {
            step.uniform.hyper = options.optimizer.hyper();
        }
        Ok(())
    }

    /// The parameters, which the optimizer changes in f32, as the products take them.
    fn cast(&mut self) -> Result<()> {
        let len = self.params.len;
        let bindings = vec![whole(Slot::Params, len), self.add(Slot::HalfParams, len)];
        self.push(Phase::Forward, Kernel::Mixed(Mixed::Cast), [len], bindings, "parameters to f16")
    }

    /// The weight of layer `i` begins inside the binding of the step that was just pushed, where that is of all weights.
    fn begin_weight(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        if let (Precision::F16, Some(step)) = (wiring.precision, self.steps.last_mut()) {
            let first = wiring.param(i, Role::Weight)?.range.start;
            step.uniform.dims[3] = dimension(first)?;
        }
        Ok(())
    }

    /// Takes the dynamic loss scale out of `gradients`, and notes whether one of them overflowed.
    fn unscale(&mut self, phase: Phase, gradients: impl Iterator<Item = Binding>) -> Result<()> {
        for gradient in gradients {
            let dims = [gradient.range.len()];
            let bindings = vec![whole(Slot::Scaler, SCALER_LEN), self.words(Slot::Overflow, 1), gradient];
            self.push(phase, Kernel::Mixed(Mixed::Unscale), dims, bindings, "gradients unscaled")?;
        }
        Ok(())
    }

    fn adapt(&mut self) -> Result<()> {
        let bindings = vec![whole(Slot::Scaler, SCALER_LEN), whole(Slot::Overflow, 1)];
        self.push(Phase::Update, Kernel::Mixed(Mixed::Adapt), [1], bindings, "dynamic loss scale")
    }

    fn push<const N: usize>(
        &mut self,
        phase: Phase,
        kernel: Kernel,
        dims: [usize; N],
        bindings: Vec<Binding>,
        label: impl Into<String>,
    ) -> Result<()> {
        let mut uniform = Uniform::default();
        for (to, from) in uniform.dims.iter_mut().zip(dims) {
            *to = dimension(from)?;
        }
        for (spec, binding) in kernel.bindings().iter().zip(&bindings).filter(|(spec, _)| spec.element == Element::Half)
        {
            if let Some(info) = self.slots.iter_mut().find(|info| info.slot == binding.slot) {
                info.element = spec.element;
            }
        }
        self.steps.push(Step { phase, kernel, uniform, bindings, label: label.into() });
        Ok(())
    }

    fn add(&mut self, slot: Slot, len: usize) -> Binding {
        self.grow(whole(slot, len))
    }

    fn words(&mut self, slot: Slot, len: usize) -> Binding {
        let binding = self.grow(whole(slot, len));
        if let Some(info) = self.slots.iter_mut().find(|info| info.slot == slot) {
            info.element = Element::Word;
        }
        binding
    }

    /// Sees to it that the slot of `binding` exists and is long enough.
    fn grow(&mut self, binding: Binding) -> Binding {
        match self.slots.iter_mut().find(|info| info.slot == binding.slot) {
            Some(info) => info.len = info.len.max(binding.range.end),
            None => {
                let (slot, len) = (binding.slot, binding.range.end);
                self.slots.push(SlotInfo { slot, len, element: Element::Real });
            }
        }
        binding
    }

    /// The size of a slot; `None` where the plan has no such slot.
    pub fn slot(&self, slot: Slot) -> Option<&SlotInfo> {
        self.slots.iter().find(|info| info.slot == slot)
    }

    /// The slots that outlive a step: what a trainer takes along to another plan, and a run goes on from. Where every parameter
    /// is frozen no update runs, and there is no state of an optimizer.
    pub fn state(&self) -> Vec<SlotInfo> {
        let outlives = |slot| matches!(slot, Slot::Params | Slot::Scaler | Slot::State(_) | Slot::Average);
        self.slots.iter().filter(|info| outlives(info.slot)).copied().collect()
    }

    /// Bytes of all slots together.
    pub fn bytes(&self) -> u64 {
        self.slots.iter().map(|info| (info.element.bytes() * info.len) as u64).sum()
    }

    /// The dispatches of the given phases.
    pub fn dispatches(&self, phases: &[Phase]) -> usize {
        self.steps.iter().filter(|step| phases.contains(&step.phase)).count()
    }

    /// The step that takes many training steps in one dispatch, where the given phases are that step alone.
    pub(crate) fn repeating(&self, phases: &[Phase]) -> Option<usize> {
        let mut chosen = (0..self.steps.len()).filter(|&number| phases.contains(&self.steps[number].phase));
        let only = chosen.next().filter(|&number| self.steps[number].kernel.repeats())?;
        chosen.next().is_none().then_some(only)
    }

    /// Checks what executors rely on: every step binds what its kernel declares, inside the slots, at aligned offsets,
    /// and writes no slot that it also reads (WebGPU forbids it).
    pub fn validate(&self) -> Result<()> {
        for step in &self.steps {
            let specs = step.kernel.bindings();
            let wrong = |what: String| Err(Error::Config(format!("plan step {:?}: {what}", step.label)));
            if specs.len() != step.bindings.len() {
                return wrong(format!("expected {} bindings, found {}", specs.len(), step.bindings.len()));
            }
            let lengths = step.kernel.lengths(step.uniform.dims);
            for ((spec, binding), least) in specs.iter().zip(&step.bindings).zip(lengths) {
                let Some(info) = self.slot(binding.slot) else {
                    return wrong(format!("there is no slot {}", binding.slot));
                };
                if binding.range.is_empty() || binding.range.end > info.len {
                    return wrong(format!("{:?} of {} lies outside 0..{}", binding.range, info.slot, info.len));
                }
                // A number of four bytes is what the alignment is for.
                let alignment = ALIGNMENT * 4 / info.element.bytes();
                if binding.range.start % alignment != 0 {
                    let start = binding.range.start;
                    return wrong(format!("{} starts at {start}, not at a multiple of {alignment}", info.slot));
                }
                if info.element != spec.element {
                    return wrong(format!("{} holds another type than {}", info.slot, spec.name));
                }
                let shared = specs.iter().zip(&step.bindings).filter(|(_, other)| other.slot == binding.slot).count();
                if spec.access == Access::Write && shared > 1 {
                    return wrong(format!("{} is written and bound a second time", info.slot));
                }
                if binding.range.len() < least {
                    return wrong(format!("{} needs {least} elements, found {}", spec.name, binding.range.len()));
                }
            }
        }
        Ok(())
    }
}

fn dimension(size: usize) -> Result<u32> {
    u32::try_from(size).map_err(|_| Error::shape("a size of the plan", "at most 2³² - 1", size))
}

/// Kernels count elements in 32 bits.
fn check_batch(network: &Network, batch: usize) -> Result<()> {
    if batch == 0 {
        return Err(Error::Config("a batch needs at least 1 row, found 0".into()));
    }
    let widest = network.widths().into_iter().max().unwrap_or(1);
    match batch.checked_mul(widest) {
        Some(elements) if u32::try_from(elements).is_ok() => Ok(()),
        _ => Err(Error::Config(format!(
            "a batch of {batch} rows times the network's largest width, {widest}, is more than 2³² - 1 numbers; use a \
             smaller batch"
        ))),
    }
}

/// Into how many parts to split the sums of a weight gradient of `elements` elements over `batch` samples. Where the
/// elements are few, their tiles alone would leave most of a GPU idle, and the sums get long.
fn gradient_parts(elements: usize, batch: usize) -> usize {
    if elements <= FEW_SUMS && batch >= LONG_SUM { batch / 1024 } else { 1 }
}

/// Likewise for a bias gradient of `outputs` elements; a divisor of `batch`.
fn gradient_strands(outputs: usize, batch: usize) -> usize {
    let divisors = (0..8).rev().map(|power| 1 << power);
    let fitting = |strands: &usize| batch.is_multiple_of(*strands) && strands * outputs <= FEW_SUMS;
    if batch >= LONG_SUM { divisors.into_iter().find(fitting).unwrap_or(1) } else { 1 }
}

const FEW_SUMS: usize = 1 << 16;
const LONG_SUM: usize = 4096;

fn whole(slot: Slot, len: usize) -> Binding {
    Binding { slot, range: 0..len }
}

/// Which slot a layer reads and writes.
struct Wiring<'a> {
    network: &'a Network,
    params: &'a Params,
    /// Rows of every matrix.
    batch: usize,
    /// Those of them that a bias is added to: the first ones, where rows are components of jets.
    biased: usize,
    /// `None` in a prediction.
    loss: Option<Loss>,
    precision: Precision,
    /// Whether a layer is updated before the gradients of the one below are computed.
    layer_by_layer: bool,
}

impl<'a> Wiring<'a> {
    /// `batch` rows, a bias added to the first `biased` of them.
    fn of_prediction(network: &'a Network, params: &'a Params, batch: usize, biased: usize) -> Self {
        Wiring { network, params, batch, biased, loss: None, precision: Precision::F32, layer_by_layer: false }
    }

    /// Where the gradients of `range` go, which are parameters of layer `i`.
    fn gradient(&self, i: usize, range: Range<usize>) -> Binding {
        let first = self.params.tensors.iter().find(|tensor| tensor.layer == i).map_or(0, |tensor| tensor.offset);
        match self.layer_by_layer {
            true => Binding { slot: Slot::LayerGradients, range: range.start - first..range.end - first },
            false => Binding { slot: Slot::Gradients, range },
        }
    }

    fn is_last(&self, i: usize) -> bool {
        i + 1 == self.network.layers.len()
    }

    fn activation(&self, i: usize) -> Activation {
        let activation = self.network.layers[i].activation;
        match self.loss {
            Some(loss) if self.is_last(i) => loss.training_activation(activation),
            _ => activation,
        }
    }

    fn keeps(&self, i: usize) -> bool {
        self.loss.is_some() && self.activation(i).stored() == Stored::Preactivation
    }

    fn input(&self, i: usize) -> Binding {
        match i {
            0 if self.biased < self.batch => whole(Slot::InputJets, self.batch * self.network.inputs),
            0 => whole(Slot::Input, self.batch * self.network.inputs),
            _ if self.joins(i - 1) => self.joined(i - 1),
            _ => self.output(i - 1),
        }
    }

    fn output(&self, i: usize) -> Binding {
        let len = self.batch * self.network.layers[i].outputs;
        match self.loss {
            _ if self.is_last(i) => whole(Slot::Output, len),
            Some(_) => whole(Slot::Activation(i), len),
            // Without a backward pass two buffers take turns.
            None => whole(Slot::Activation(i % 2), len),
        }
    }

    fn stored(&self, i: usize) -> Binding {
        match self.activation(i).stored() {
            Stored::Output => self.output(i),
            Stored::Preactivation => whole(Slot::Preactivation(i), self.batch * self.network.layers[i].outputs),
        }
    }

    /// Where `δ = ∂loss/∂z` of layer `i` goes: in place of what it is computed from element by element, and nothing needs
    /// any more. An equation takes other outputs than the one whose delta it writes, so the last layer's has a place of its
    /// own there; in the layers below, the jets of the pre-activations are what derivatives need.
    fn delta(&self, i: usize) -> Binding {
        match (self.loss, self.is_last(i)) {
            (Some(Loss::Equation(_)), true) => whole(Slot::Delta, self.batch * self.network.outputs()),
            (Some(Loss::Equation(_)), false) | (_, true) => self.output(i),
            (_, false) => self.stored(i),
        }
    }

    fn trainable_below(&self, i: usize) -> bool {
        self.params.tensors.iter().any(|t| t.layer < i && t.trainable)
    }

    /// The weight as products take it: in f16 all of them are bound, since one need not begin where a binding may.
    fn weight(&self, i: usize) -> Result<Binding> {
        match self.precision {
            Precision::F32 => self.param(i, Role::Weight),
            Precision::F16 => Ok(whole(Slot::HalfParams, self.params.len)),
        }
    }

    fn param(&self, i: usize, role: Role) -> Result<Binding> {
        let missing = || Error::Config(format!("layer {i} has no {role:?}"));
        let tensor = self.params.get(i, role).ok_or_else(missing)?;
        Ok(Binding { slot: Slot::Params, range: tensor.range() })
    }
}

impl std::fmt::Display for Plan {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let names: Vec<_> = self.steps.iter().map(|step| step.kernel.to_string()).collect();
        let width = |texts: &mut dyn Iterator<Item = &str>| texts.map(|t| t.chars().count()).max().unwrap_or(0);
        let label_width = width(&mut self.steps.iter().map(|step| step.label.as_str()));
        let kernel_width = width(&mut names.iter().map(String::as_str));
        let mut phase = None;
        for (number, (step, kernel)) in self.steps.iter().zip(&names).enumerate() {
            if phase != Some(step.phase) {
                writeln!(f, "{}", step.phase.name())?;
                phase = Some(step.phase);
            }
            let sizes: Vec<_> = step.uniform.dims.iter().filter(|&&d| d > 0).map(u32::to_string).collect();
            let (reads, writes) = self.reads_and_writes(step);
            let sizes = sizes.join(" × ");
            writeln!(f, "  {number:>3}  {:<label_width$}  {kernel:<kernel_width$}  [{sizes}]", step.label)?;
            writeln!(f, "         {} → {}", reads.join(", "), writes.join(", "))?;
        }
        Ok(())
    }
}

impl Plan {
    /// What a step reads and what it writes, as people call it: a slot, or a parameter, or `∂` and a parameter for its
    /// gradient.
    pub fn reads_and_writes(&self, step: &Step) -> (Vec<String>, Vec<String>) {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (spec, binding) in step.kernel.bindings().iter().zip(&step.bindings) {
            let side = if spec.access == Access::Write { &mut writes } else { &mut reads };
            side.push(self.describe(binding));
        }
        (reads, writes)
    }

    fn describe(&self, binding: &Binding) -> String {
        let tensor = self.params.tensors.iter().find(|tensor| tensor.range() == binding.range);
        match (binding.slot, tensor) {
            (Slot::Params, Some(tensor)) => tensor.name.clone(),
            (Slot::Gradients, Some(tensor)) => format!("∂{}", tensor.name),
            (slot, _) => slot.to_string(),
        }
    }
}
