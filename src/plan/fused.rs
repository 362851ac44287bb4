//! The wiring of the fused planner: forward, loss and backward in one dispatch, the sum over the parts of the batch and the
//! update in a second one, the loss, and in mixed precision the loss scale, in a third.

use super::treatment::Keeping;
use super::{Binding, Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions, check_batch, treatment, whole};
use crate::Result;
use crate::activation::Activation;
use crate::kernel::fused::{Pass, Source};
use crate::kernel::mixed::SCALER_LEN;
use crate::kernel::{Fused, FusedSum, Kernel, Mixed};
use crate::network::Network;
use crate::optimizer::Rule;
use crate::params::Params;
use crate::precision::Precision;
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
        plan.add(Slot::Target, options.batch * options.target_width(network));
        if options.data_rows > 0 {
            plan.gathered_loss(&computed, options)?;
        }
        let batch = if options.all_gradients { Source::EveryGradient } else { Source::Batch };
        let gathered = (options.data_rows > 0).then_some((Phase::FusedGathered, Source::Gathered));
        let mut parts = 0;
        for (phase, source) in std::iter::once((Phase::Fused, batch)).chain(gathered) {
            parts = plan.fused_step(phase, &computed, options, source)?;
        }

        plan.add(Slot::Gradients, params.len);
        let every = || std::iter::once(0..params.len).collect();
        let runs = if options.all_gradients { every() } else { params.trainable_runs() };
        for run in runs {
            plan.sum(Phase::Backward, &computed, options, None, [parts, run.start, run.len()])?;
        }
        if options.treats_gradients() {
            plan.treated(&params, &computed, options, parts)?;
        } else {
            for run in params.trainable_runs() {
                let dims = [parts, run.start, run.len()];
                plan.sum(Phase::Update, &computed, options, Some(options.optimizer.rule()), dims)?;
            }
            plan.average(&params, options)?;
        }
        let first = FusedSum { network: computed, rule: None, precision: options.precision }.tensors().1 * parts;
        let results = |per_part: usize| Binding { slot: Slot::Partials, range: first..first + per_part * parts };
        // An evaluation records the sum of the rows' losses, a step and its gradients alone that of the parts'.
        plan.record(Phase::Backward, Kernel::LossSum, results(1), parts)?;
        match options.precision {
            // Where gradients are treated, the loss scale adapts to what is known of them.
            _ if options.treats_gradients() => plan.record(Phase::Record, Kernel::LossSum, results(1), parts)?,
            Precision::F32 => plan.record(Phase::Record, Kernel::LossSum, results(1), parts)?,
            Precision::F16 => plan.record(Phase::Record, Kernel::Mixed(Mixed::LossSum), results(2), parts)?,
        }
        if options.data_rows > 0 {
            plan.record(Phase::Finish, Kernel::LossSum, whole(Slot::RowLoss, options.batch), options.batch)?;
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
        plan.fused_forward(network, batch, Precision::F32)?;
        plan.validate()?;
        Ok(plan)
    }

    fn fused_forward(&mut self, network: &Network, batch: usize, precision: Precision) -> Result<()> {
        let kernel = Fused { network: network.clone(), pass: Pass::Prediction, precision };
        let dims = [batch, kernel.part_rows(batch), 0];
        let lengths = kernel.lengths(dims);
        let bindings = vec![
            self.add(Slot::Input, lengths[0]),
            whole(Slot::Params, lengths[1]),
            self.add(Slot::Scratch, lengths[2]),
            self.add(Slot::Output, lengths[3]),
        ];
        self.push(Phase::Forward, Kernel::Fused(Arc::new(kernel)), dims, bindings, "forward")
    }

    /// Output and loss of a gathered batch. It is not timed, and takes kernels of the layer-wise plan for all but the
    /// forward pass.
    fn gathered_loss(&mut self, network: &Network, options: &TrainingOptions) -> Result<()> {
        // The forward pass rounds what it loads.
        self.gather(network, &TrainingOptions { precision: Precision::F32, ..*options })?;
        self.fused_forward(network, options.batch, options.precision)?;
        let (rows, outputs) = (options.batch, network.outputs());
        let bindings = vec![
            whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            whole(Slot::Clock, 1),
            whole(Slot::Output, rows * outputs),
            whole(Slot::Target, rows * options.target_width(network)),
            self.add(Slot::RowLoss, rows),
        ];
        // Nothing is propagated back, so the derivative of the output's activation does not matter.
        let kernel = Kernel::Loss { loss: options.loss, activation: Activation::Linear };
        self.push(Phase::Loss, kernel, [rows, outputs, options.weighted.into()], bindings, "loss")
    }

    /// Loss and gradients of the parts of a batch; returns their number.
    fn fused_step(
        &mut self,
        phase: Phase,
        network: &Network,
        options: &TrainingOptions,
        source: Source,
    ) -> Result<usize> {
        let pass = Pass::Training { loss: options.loss, source };
        let kernel = Fused { network: network.clone(), pass, precision: options.precision };
        let dims = [options.batch, kernel.part_rows(options.batch), options.weighted.into()];
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
            whole(samples[1], rows * options.target_width(network)),
            whole(Slot::Params, lengths[4]),
            self.add(Slot::Scratch, lengths[5]),
            self.add(Slot::Partials, lengths[6]),
        ];
        match source {
            Source::Batch => {}
            Source::Gathered => bindings.push(whole(Slot::Order, options.data_rows)),
            Source::EveryGradient => bindings.push(self.add(Slot::InputGradient, lengths[7])),
        }
        bindings.extend(self.scaler(options.precision));
        let kernel = Kernel::Fused(Arc::new(kernel));
        self.push(phase, kernel, dims, bindings, "forward, loss and backward")?;
        Ok(dims[0].div_ceil(dims[1]))
    }

    /// The gradients by themselves, and what the layer-wise plan does with them.
    fn treated(&mut self, params: &Params, network: &Network, options: &TrainingOptions, parts: usize) -> Result<()> {
        for run in params.trainable_runs() {
            // With the loss scale, which is taken out where an overflow is looked for.
            let scaled = TrainingOptions { precision: Precision::F32, ..*options };
            self.sum(Phase::Sum, network, &scaled, None, [parts, run.start, run.len()])?;
        }
        if options.precision == Precision::F16 {
            self.scaler(options.precision);
            self.unscale(Phase::Sum, treatment::runs(params).map(|range| Binding { slot: Slot::Gradients, range }))?;
        }
        self.change(params, Keeping::Together, options)
    }

    fn scaler(&mut self, precision: Precision) -> Option<Binding> {
        (precision == Precision::F16).then(|| self.add(Slot::Scaler, SCALER_LEN))
    }

    /// The sums of the parts' gradients, stored or used for the update: `dims = [parts, first, length]`.
    fn sum(
        &mut self,
        phase: Phase,
        network: &Network,
        options: &TrainingOptions,
        rule: Option<Rule>,
        dims: [usize; 3],
    ) -> Result<()> {
        let kernel = FusedSum { network: network.clone(), rule, precision: options.precision };
        let lengths = kernel.lengths(dims);
        let arena = self.params.len;
        let mut bindings = match rule {
            None => vec![whole(Slot::Partials, lengths[0]), whole(Slot::Gradients, arena)],
            Some(rule) => {
                let schedule = whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS);
                let mut all = vec![schedule, whole(Slot::Clock, 1), whole(Slot::Partials, lengths[2])];
                all.push(whole(Slot::Params, arena));
                all.extend((0..rule.states()).map(|i| self.add(Slot::State(i), arena)));
                all
            }
        };
        bindings.extend(self.scaler(options.precision));
        let label = if rule.is_some() { "update" } else { "gradients" };
        self.push(phase, Kernel::FusedSum(Arc::new(kernel)), dims, bindings, label)?;
        if let (Some(step), Some(_)) = (self.steps.last_mut(), rule) {
            step.uniform.hyper = options.optimizer.hyper();
        }
        Ok(())
    }

    /// The sum of `count` losses, which come first in `losses`.
    pub(super) fn record(&mut self, phase: Phase, kernel: Kernel, losses: Binding, count: usize) -> Result<()> {
        let steps = self.slot(Slot::Schedule).map_or(0, |info| info.len / ScheduleEntry::WORDS);
        let mut bindings = vec![losses, self.add(Slot::Losses, steps), whole(Slot::Clock, 1)];
        if let Kernel::Mixed(Mixed::LossSum) = kernel {
            bindings.extend(self.scaler(Precision::F16));
        }
        self.push(phase, kernel, [count], bindings, "record the loss")
    }
}
