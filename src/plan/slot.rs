//! The buffers of a plan, and what the host writes for each step.

use crate::kernel::Element;
use crate::real::Real;
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
    /// `∂loss/∂z` of a layer, `[batch, outputs]`, where it cannot take the place of an activation; layers take turns.
    Delta(usize),
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
            Slot::Delta(i) => format!("delta.{i}"),
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

/// A range of a slot that a step binds.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Binding {
    /// The slot.
    pub slot: Slot,
    /// Its elements.
    pub range: Range<usize>,
}

/// All of a slot that has `len` elements.
pub(super) fn whole(slot: Slot, len: usize) -> Binding {
    Binding { slot, range: 0..len }
}
