//! The wiring of the fused planner: forward, loss and backward in one dispatch, the sum over the parts of the batch and the
//! update in a second one, the loss in a third.

use super::{Binding, Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions, check_batch, whole};
use crate::Result;
use crate::activation::Activation;
use crate::kernel::fused::{Pass, Source};
use crate::kernel::{Fused, FusedSum, Kernel};
use crate::network::Network;
use crate::params::Params;
use std::sync::Arc;

impl Plan {
    /// The fused training step.
    pub(super) fn fused(network: &Network, options: &TrainingOptions) -> Result<Plan> {
        let params = Params::of(network);
        let mut plan =
            Plan { planner: Planner::Fused, batch: options.batch, params: params.clone(), ..Plan::default() };
        let mut computed = network.clone();
        if let Some(last) = computed.layers.last_mut() {
            last.activation = options.loss.training_activation(last.activation);
        }
        let steps = options.steps;
        plan.words(Slot::Schedule, steps * ScheduleEntry::WORDS);
        plan.words(Slot::Clock, 1);
        plan.add(Slot::Params, params.len);
        plan.add(Slot::Input, options.batch * network.inputs);
        plan.add(Slot::Target, options.batch * network.outputs());
        if options.data_rows > 0 {
            plan.gathered_loss(&computed, options)?;
        }
        let batch = if options.all_gradients { Source::EveryGradient } else { Source::Batch };
        let gathered = (options.data_rows > 0).then_some((Phase::FusedGathered, Source::Gathered));
        let mut losses = None;
        for (phase, source) in std::iter::once((Phase::Fused, batch)).chain(gathered) {
            losses = Some(plan.fused_step(phase, &computed, options, source)?);
        }

        plan.add(Slot::Gradients, params.len);
        let every = || std::iter::once(0..params.len).collect();
        let runs = if options.all_gradients { every() } else { params.trainable_runs() };
        for run in runs {
            let kernel = FusedSum { network: computed.clone(), rule: None };
            let bindings = vec![plan.partials(&kernel), whole(Slot::Gradients, params.len)];
            plan.sum(Phase::Backward, kernel, run, bindings, "gradients")?;
        }
        let rule = options.optimizer.rule();
        for run in params.trainable_runs() {
            let kernel = FusedSum { network: computed.clone(), rule: Some(rule) };
            let mut bindings = vec![whole(Slot::Schedule, steps * ScheduleEntry::WORDS), whole(Slot::Clock, 1)];
            bindings.push(plan.partials(&kernel));
            bindings.push(whole(Slot::Params, params.len));
            bindings.extend((0..rule.states()).map(|i| plan.add(Slot::State(i), params.len)));
            plan.sum(Phase::Update, kernel, run, bindings, "update")?;
            if let Some(step) = plan.steps.last_mut() {
                step.uniform.hyper = options.optimizer.hyper();
            }
        }
        // An evaluation records the sum of the rows' losses, a step that of the parts'.
        let losses = losses.into_iter().map(|parts| (Phase::Record, parts));
        let rows = (options.data_rows > 0).then(|| (Phase::Finish, whole(Slot::RowLoss, options.batch)));
        for (phase, losses) in losses.chain(rows) {
            let count = losses.range.len();
            let bindings = vec![losses, plan.add(Slot::Losses, steps), whole(Slot::Clock, 1)];
            plan.push(phase, Kernel::LossSum, [count, 0, 0], bindings, "record the loss")?;
        }
        plan.validate()?;
        Ok(plan)
    }

    /// The fused forward pass alone.
    pub(super) fn fused_prediction(network: &Network, batch: usize) -> Result<Plan> {
        Fused::check(network)?;
        check_batch(network, batch)?;
        let params = Params::of(network);
        let mut plan = Plan { planner: Planner::Fused, batch, params: params.clone(), ..Plan::default() };
        plan.add(Slot::Params, params.len);
        plan.fused_forward(network, batch)?;
        plan.validate()?;
        Ok(plan)
    }

    fn fused_forward(&mut self, network: &Network, batch: usize) -> Result<()> {
        let kernel = Fused { network: network.clone(), pass: Pass::Prediction };
        let dims = [batch, kernel.part_rows(batch)];
        let lengths = kernel.lengths(dims);
        let bindings = vec![
            self.add(Slot::Input, lengths[0]),
            whole(Slot::Params, lengths[1]),
            self.add(Slot::Scratch, lengths[2]),
            self.add(Slot::Output, lengths[3]),
        ];
        self.push(Phase::Forward, Kernel::Fused(Arc::new(kernel)), [dims[0], dims[1], 0], bindings, "forward")
    }

    /// Output and loss of a gathered batch. It is not timed, and takes kernels of the layer-wise plan for all but the
    /// forward pass.
    fn gathered_loss(&mut self, network: &Network, options: &TrainingOptions) -> Result<()> {
        self.gather(network, options)?;
        self.fused_forward(network, options.batch)?;
        let (rows, outputs) = (options.batch, network.outputs());
        let bindings = vec![
            whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            whole(Slot::Clock, 1),
            whole(Slot::Output, rows * outputs),
            whole(Slot::Target, rows * outputs),
            self.add(Slot::Delta(0), rows * outputs),
            self.add(Slot::RowLoss, rows),
        ];
        // Nothing is propagated back, so the derivative of the output's activation does not matter.
        let kernel = Kernel::Loss { loss: options.loss, activation: Activation::Linear };
        self.push(Phase::Loss, kernel, [rows, outputs, 0], bindings, "loss")
    }

    /// Loss and gradients of the parts of a batch; returns where the losses are.
    fn fused_step(
        &mut self,
        phase: Phase,
        network: &Network,
        options: &TrainingOptions,
        source: Source,
    ) -> Result<Binding> {
        let kernel = Fused { network: network.clone(), pass: Pass::Training { loss: options.loss, source } };
        let dims = [options.batch, kernel.part_rows(options.batch)];
        let lengths = kernel.lengths(dims);
        let gathers = source == Source::Gathered;
        let samples = match gathers {
            true => [Slot::DataInputs, Slot::DataTargets],
            false => [Slot::Input, Slot::Target],
        };
        let rows = if gathers { options.data_rows } else { options.batch };
        let mut bindings = vec![
            whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            whole(Slot::Clock, 1),
            whole(samples[0], rows * network.inputs),
            whole(samples[1], rows * network.outputs()),
            whole(Slot::Params, lengths[4]),
            self.add(Slot::Scratch, lengths[5]),
            self.add(Slot::Partials, lengths[6]),
        ];
        match source {
            Source::Batch => {}
            Source::Gathered => bindings.push(whole(Slot::Order, options.data_rows)),
            Source::EveryGradient => bindings.push(self.add(Slot::InputGradient, lengths[7])),
        }
        let kernel_partials = kernel.layout().partials;
        let kernel = Kernel::Fused(Arc::new(kernel));
        self.push(phase, kernel, [dims[0], dims[1], 0], bindings, "forward, loss and backward")?;
        let parts = dims[0].div_ceil(dims[1]);
        let losses = parts * kernel_partials;
        Ok(Binding { slot: Slot::Partials, range: losses..losses + parts })
    }

    /// The gradients of all parts.
    fn partials(&self, kernel: &FusedSum) -> Binding {
        whole(Slot::Partials, self.parts(kernel) * kernel.tensors().1)
    }

    fn parts(&self, kernel: &FusedSum) -> usize {
        let stride = kernel.tensors().1;
        // Behind the gradients the slot has one loss per part.
        self.slot(Slot::Partials).map_or(0, |info| info.len / (stride + 1))
    }

    fn sum(
        &mut self,
        phase: Phase,
        kernel: FusedSum,
        run: std::ops::Range<usize>,
        bindings: Vec<Binding>,
        label: &str,
    ) -> Result<()> {
        let dims = [self.parts(&kernel), run.start, run.len()];
        self.push(phase, Kernel::FusedSum(Arc::new(kernel)), dims, bindings, label)
    }
}
