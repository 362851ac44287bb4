//! The order of dispatches as plain data. **Backpropagation is wired here**: [`Plan::training`] leaves it to a planner, and
//! the layer-wise one in `plan/layerwise.rs` has the four equations. Running a plan is an
//! [`Executor`](crate::executor::Executor)'s business.

mod blocks;
mod display;
mod fused;
mod jets;
mod layerwise;
mod memory;
mod planner;
mod resident;
mod slot;
mod treatment;

pub(crate) use jets::check_smooth;
use layerwise::Wiring;
pub use memory::Group;
pub use planner::{Phase, Planner};
use slot::whole;
pub use slot::{Binding, ScheduleEntry, Slot, SlotInfo};

use crate::kernel::resident::DEFAULT_WORKGROUP_MEMORY;
use crate::kernel::{Access, Element, Epilogue, Form, Kernel, Uniform};
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::params::{ALIGNMENT, Params};
use crate::precision::Precision;
use crate::treatment::Treatments;
use crate::{Error, Result};

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
    /// and writes no slot that it also reads (WebGPU forbids it); a product that updates sums a weight's gradient.
    pub fn validate(&self) -> Result<()> {
        for step in &self.steps {
            let specs = step.kernel.bindings();
            let wrong = |what: String| Err(Error::Config(format!("plan step {:?}: {what}", step.label)));
            if specs.len() != step.bindings.len() {
                return wrong(format!("expected {} bindings, found {}", specs.len(), step.bindings.len()));
            }
            if let Kernel::Matmul { form: form @ (Form::Nn | Form::Nt), epilogue: Epilogue::Update { .. } } =
                step.kernel
            {
                return wrong(format!("a product updates a weight in the form tn, found {}", form.name()));
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
