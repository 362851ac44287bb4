//! **A training step happens here**: [`Trainer::step`] on a batch from the host, [`Trainer::fit`] over a data set that
//! lives on the device or is streamed to it. Both hand phases of one [`Plan`] to an executor; nothing comes back unless it is asked for.

mod control;
mod evaluation;
mod feed;
mod state;

pub use control::{Control, Ended, Run};
pub use evaluation::Evaluation;
pub use feed::streamed_rows;
pub use state::State;
pub(crate) use state::{Counts, Memory, numbers};

use crate::activation::Activation;
use crate::data::{Dataset, epoch_order};
use crate::device::Device;
use crate::executor::Executor;
use crate::gpu::VariantChoice;
use crate::init::{Init, initialize};
use crate::kernel::mixed::SCALER_LEN;
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::pace::Pace;
use crate::params::Params;
use crate::plan::{Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use crate::precision::Precision;
use crate::schedule::{Progress, Schedule};
use crate::{Error, Result};
use control::Watch;
use evaluation::Tally;
use serde::{Deserialize, Serialize};
use state::Fingerprints;
use std::collections::HashMap;
use std::ops::{ControlFlow, Range};
use std::time::Instant;

/// Samples and what they should give, rows of numbers one after another.
#[derive(Clone, Copy, Debug)]
pub struct Batch<'a> {
    /// `[rows, inputs]`
    pub inputs: &'a [f32],
    /// `[rows, outputs]`; for an [equation](crate::loss::Equation) its data, `[rows, data]`
    pub targets: &'a [f32],
}

/// How a [`Trainer`] trains.
#[derive(Clone, Copy, Debug, PartialEq)]
pub struct TrainerOptions {
    /// What the output is compared with the target by.
    pub loss: Loss,
    /// How gradients change parameters.
    pub optimizer: Optimizer,
    /// The learning rate, finite and ≥ 0.
    pub learning_rate: f32,
    /// Rows in a batch, ≥ 1.
    pub batch: usize,
    /// How the initial weights are drawn.
    pub init: Init,
    /// The seed of the initial weights and of the order of samples.
    pub seed: u64,
    /// Who wires the step.
    pub planner: Planner,
    /// What matrices are stored in.
    pub precision: Precision,
    /// How many of the latest steps' losses the device keeps, ≥ 1.
    pub losses_kept: usize,
    /// Bytes that a data set may take up on the device; what is larger, or more than the device lets a shader bind, is
    /// streamed. The results are the same to the bit.
    pub data_budget: u64,
}

impl TrainerOptions {
    /// Plain gradient descent at rate 0.1 in batches of 32, seed 0.
    pub fn new(loss: Loss) -> Self {
        TrainerOptions {
            loss,
            optimizer: Optimizer::default(),
            learning_rate: 0.1,
            batch: 32,
            init: Init::Auto,
            seed: 0,
            planner: Planner::default(),
            precision: Precision::default(),
            losses_kept: 1,
            data_budget: u64::MAX,
        }
    }
}

/// Steps in one schedule of a data set at most; longer epochs take several.
const SCHEDULED: usize = 1 << 20;

/// Steps on one batch that are scheduled at once where the optimizer counts them.
const COUNTED: usize = 1024;

/// Bytes of outputs in one read-back of an evaluation, unless one batch has more.
const OUTPUTS_READ: usize = 16 << 20;

/// What a smaller batch is padded with.
const ZEROS: &[f32] = &[0.0; 1024];

/// What happened in an epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Epoch {
    /// The epoch, counted from 1.
    pub number: usize,
    /// The mean loss over the samples, each as its batch was trained.
    #[serde(with = "state::numbers")]
    pub loss: f64,
    /// Steps whose gradients overflowed f16 and changed nothing; 0 in f32.
    pub skipped: usize,
    /// On the validation set after the epoch.
    pub validation: Option<Evaluation>,
}

/// Watches a training run and may stop it.
pub trait Observer {
    /// After a part of an epoch: `done` of `steps` steps.
    fn progress(&mut self, _epoch: usize, _done: usize, _steps: usize, _loss: f32) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After an epoch.
    fn epoch(&mut self, _epoch: &Epoch) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// Whether [`Observer::state`] is to be called after this epoch.
    fn wants_state(&mut self, _epoch: &Epoch) -> bool {
        false
    }

    /// Takes where the run is after an epoch: a trainer that restores it goes on to the bit.
    fn state(&mut self, _state: State) -> Result<()> {
        Ok(())
    }
}

impl Observer for () {}

/// Both watch; either may stop the run.
impl<A: Observer, B: Observer> Observer for (&mut A, &mut B) {
    fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) -> ControlFlow<()> {
        let first = self.0.progress(epoch, done, steps, loss);
        let second = self.1.progress(epoch, done, steps, loss);
        if first.is_break() { first } else { second }
    }

    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        let first = self.0.epoch(epoch);
        let second = self.1.epoch(epoch);
        if first.is_break() { first } else { second }
    }

    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        let first = self.0.wants_state(epoch);
        self.1.wants_state(epoch) || first
    }

    fn state(&mut self, state: State) -> Result<()> {
        self.0.state(state.clone())?;
        self.1.state(state)
    }
}

/// Trains one network on one device.
pub struct Trainer {
    device: Device,
    network: Network,
    params: Params,
    options: TrainerOptions,
    variants: VariantChoice,
    /// The plan for this network by these options.
    wire: fn(&Network, &TrainingOptions) -> Result<Plan>,
    executor: Box<dyn Executor>,
    /// Steps since the schedule was last written.
    clock: usize,
    /// Rows of the batch in [`Slot::Input`]; 0 where there is none.
    loaded_rows: usize,
    /// The rate and the rows that the schedule on the device is for; `None` where it belongs to something else.
    scheduled: Option<(f32, usize)>,
    /// Steps trained so far, which some optimizers count.
    updates: u64,
    /// How the learning rate changes from epoch to epoch.
    schedule: Option<Progress>,
    /// The learning rate that the trainer was made with.
    learning_rate: f32,
    /// The run to go on with.
    resumed: Option<Memory>,
    /// Epochs trained so far: each has an order of its own.
    epochs: u64,
    /// Rows of the region that the data set is streamed through; `None` where all of it is on the device.
    region: Option<usize>,
    paces: HashMap<&'static [Phase], Pace>,
}

impl Trainer {
    /// A trainer with freshly drawn weights.
    ///
    /// # Errors
    /// Where a setting is out of range, or the device cannot hold the network.
    pub fn new(device: &Device, network: Network, options: TrainerOptions) -> Result<Self> {
        network.validate()?;
        let values = initialize(&network, &Params::of(&network), options.init, options.seed)?;
        Self::with_parameters(device, network, &values, options)
    }

    /// A trainer that starts from given parameters, laid out by [`Params::of`].
    pub fn with_parameters(device: &Device, network: Network, values: &[f32], options: TrainerOptions) -> Result<Self> {
        Self::with_variants(device, network, values, options, VariantChoice::Heuristic)
    }

    /// The same with given kernel variants, such as a [`Tuner`](crate::tune::Tuner) chose.
    pub fn with_variants(
        device: &Device,
        network: Network,
        values: &[f32],
        options: TrainerOptions,
        variants: VariantChoice,
    ) -> Result<Self> {
        check_learning_rate(options.learning_rate)?;
        Self::wired(device, network, values, options, variants, 0, Plan::training)
    }

    fn wired(
        device: &Device,
        network: Network,
        values: &[f32],
        options: TrainerOptions,
        variants: VariantChoice,
        data_rows: usize,
        wire: fn(&Network, &TrainingOptions) -> Result<Plan>,
    ) -> Result<Self> {
        let plan = wire(&network, &plan_options(device, &options, options.losses_kept, data_rows)?)?;
        let mut trainer = Trainer {
            params: Params::of(&network),
            executor: device.executor_with(plan, variants.clone())?,
            device: device.clone(),
            network,
            options,
            variants,
            wire,
            clock: 0,
            loaded_rows: 0,
            scheduled: None,
            updates: 0,
            schedule: None,
            learning_rate: options.learning_rate,
            resumed: None,
            epochs: 0,
            region: None,
            paces: HashMap::new(),
        };
        trainer.set_parameters(values)?;
        Ok(trainer)
    }

    /// One training step on `batch`: forward, loss, backward, update. Nothing is waited for.
    ///
    /// A batch may have fewer rows than [`TrainerOptions::batch`]; the loss averages over those it has.
    pub fn step(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.load(batch)?;
        self.repeat(1)
    }

    /// Puts a batch on the device, for [`Trainer::repeat`].
    pub fn load(&mut self, batch: &Batch<'_>) -> Result<()> {
        let rows = check_batch(&self.network, self.options.loss, batch, self.options.batch)?;
        let slots = [(Slot::Input, batch.inputs, self.network.inputs), (Slot::Target, batch.targets, self.targets())];
        for (slot, values, cols) in slots.into_iter().filter(|(.., cols)| *cols > 0) {
            let mut padded = std::iter::once(values).chain(std::iter::repeat(ZEROS));
            self.executor.stream(slot, 0..self.options.batch * cols, &mut padded)?;
        }
        self.loaded_rows = rows;
        Ok(())
    }

    /// `times` training steps on the batch that [`Trainer::load`] put there. Returns once they are handed over; where they
    /// take long, that is done in parts, of which all but the last two are waited for.
    pub fn repeat(&mut self, times: usize) -> Result<()> {
        if self.loaded_rows == 0 {
            return Err(Error::Config("there is no batch to step on yet; load one first".into()));
        }
        let len = self.schedule_len();
        // A rule that counts steps has an entry for each, until the schedule ends; otherwise all entries are the same, and
        // it does not matter where the clock stands, which counts in 32 bits.
        let counts = self.options.optimizer.rule().counts_steps();
        let wanted = Some((self.options.learning_rate, self.loaded_rows));
        let mut left = times;
        while left > 0 {
            let most = if counts { len - self.clock % len } else { u32::MAX as usize };
            let now = left.min(most);
            if !counts && self.clock > u32::MAX as usize - now {
                self.clock = 0;
            }
            let at = if counts { self.clock % len } else { self.clock };
            if self.scheduled != wanted || counts && at == 0 {
                let first = if counts { self.updates - at as u64 } else { self.updates };
                let entry = |i: usize| self.entry(self.loaded_rows, 0, first + if counts { i as u64 } else { 0 });
                let entries: Vec<_> = (0..len).map(entry).collect();
                self.executor.write_words(Slot::Schedule, 0, bytemuck::cast_slice(&entries))?;
                self.scheduled = wanted;
            }
            if at == 0 {
                self.executor.write_words(Slot::Clock, 0, &[0])?;
            }
            self.clock += now;
            self.updates += now as u64;
            self.executor.run(self.options.planner.step(), now)?;
            left -= now;
        }
        Ok(())
    }

    /// The losses of the latest steps by [`Trainer::step`] and [`Trainer::repeat`], oldest first, each before its step's
    /// update; at most [`TrainerOptions::losses_kept`]. Empty where nothing was stepped since the trainer was made, or
    /// since it fitted or evaluated a data set. Waits for the steps.
    pub fn losses(&mut self) -> Result<Vec<f32>> {
        let capacity = self.schedule_len();
        let all = self.executor.read(Slot::Losses, 0..capacity)?.wait()?;
        let kept = self.clock.min(self.options.losses_kept);
        Ok((self.clock - kept..self.clock).map(|step| all[step % capacity]).collect())
    }

    /// Trains for `epochs` epochs over `data`, shuffled anew for each, and evaluates on `validation` after each. The data
    /// set is put on the device once and batches are gathered there; where it does not fit, its rows are streamed in the
    /// order of the epoch while those before are trained on.
    ///
    /// Returns the epochs that were completed; an observer may stop the run at any time, which keeps the parameters as
    /// they are then.
    pub fn fit(
        &mut self,
        data: &Dataset,
        validation: Option<&Dataset>,
        epochs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Epoch>> {
        Ok(self.fit_under(&Control::default(), data, validation, epochs, observer)?.epochs)
    }

    /// [`Trainer::fit`], ended early as `control` says. A loss that is not finite ends every run, at the step where it arose.
    pub fn fit_under(
        &mut self,
        control: &Control,
        data: &Dataset,
        validation: Option<&Dataset>,
        epochs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Run> {
        data.validate_for_training()?;
        if let Some(memory) = &self.resumed {
            memory.data.check(&Fingerprints::of(data, validation))?;
        }
        self.upload(data, validation)?;
        let mut watch = Watch::new(*control);
        let mut history = Vec::new();
        let (mut fingerprints, mut skipped_so_far) = (None, 0);
        if let Some(memory) = self.resumed.take() {
            watch.resume(&memory, self.parameters()?);
            (fingerprints, skipped_so_far) = (Some(memory.data), memory.skipped);
            history.push(memory.last);
        }
        let mut done = history.last().map_or(0, |epoch: &Epoch| epoch.number);
        let over = history.last().and_then(|epoch| watch.over(epoch));
        let epochs = if over.is_some() { 0 } else { epochs };
        let mut ended = over.unwrap_or(Ended::Complete);
        for number in done + 1..=epochs {
            let order = epoch_order(data.rows(), self.options.seed, self.epochs);
            let skipped_before = self.skipped_steps()?;
            let trained =
                self.train_in_order(data, &order, |done, steps, loss| observer.progress(number, done, steps, loss))?;
            let loss = match trained {
                Trained::Whole(loss) => loss,
                Trained::Stopped => {
                    ended = Ended::Observer;
                    break;
                }
                Trained::Diverged(step) => {
                    ended = Ended::Diverged { epoch: number, step, tensor: self.first_not_finite()? };
                    break;
                }
            };
            let began = self.epochs as f64;
            self.epochs += 1;
            let validated = match validation {
                Some(set) => Some(self.evaluate_uploaded(set, data.rows(), false)?),
                None => None,
            };
            if let Some(schedule) = &mut self.schedule {
                schedule.observe(began, validated.as_ref().map_or(loss, |validation| validation.loss));
            }
            let skipped = self.skipped_steps()? - skipped_before;
            (done, skipped_so_far) = (number, skipped_so_far + skipped);
            let epoch = Epoch { number, loss, skipped, validation: validated };
            let (best, good) = watch.wants(&epoch);
            if best || good {
                let values = self.parameters()?;
                watch.good = good.then(|| (number, values.clone()));
                watch.best = if best { Some((number, values)) } else { watch.best };
            }
            let stopped = observer.epoch(&epoch).is_break().then_some(Ended::Observer);
            let ends = stopped.or_else(|| watch.ends(&epoch));
            if observer.wants_state(&epoch) {
                let data = fingerprints.get_or_insert_with(|| Fingerprints::of(data, validation)).clone();
                let run = Some(watch.memory(data, &epoch, skipped_so_far));
                observer.state(State { run, ..self.state()? })?;
            }
            history.push(epoch);
            if let Some(why) = ends {
                ended = why;
                break;
            }
        }
        let restored = match ended {
            Ended::Diverged { .. } => watch.best.or(watch.good),
            _ => watch.best.filter(|(number, _)| *number < done),
        };
        let restored = match restored {
            Some((number, values)) => {
                self.set_parameters(&values)?;
                Some(number)
            }
            None => None,
        };
        Ok(Run { epochs: history, skipped: skipped_so_far, ended, restored })
    }

    /// The first parameter that holds a number that is not finite.
    fn first_not_finite(&mut self) -> Result<Option<String>> {
        let values = self.parameters()?;
        let bad = self.params.tensors.iter().find(|tensor| values[tensor.range()].iter().any(|x| !x.is_finite()));
        Ok(bad.map(|tensor| tensor.name.clone()))
    }

    /// Trains once over `data` in the order of its rows, batch by batch, and returns the mean loss.
    pub fn fit_in_order(&mut self, data: &Dataset) -> Result<f64> {
        data.validate_for_training()?;
        self.upload(data, None)?;
        let order: Vec<u32> = (0..data.rows() as u32).collect();
        match self.train_in_order(data, &order, |_, _, _| ControlFlow::Continue(()))? {
            Trained::Whole(loss) => Ok(loss),
            Trained::Stopped | Trained::Diverged(_) => Ok(f64::NAN),
        }
    }

    /// How the network does on `data`.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Evaluation> {
        self.upload(data, None)?;
        self.evaluate_uploaded(data, 0, true)
    }

    /// The loss and every gradient on `batch`, those of frozen parameters and of the inputs too, in f32 whatever the
    /// precision of training. Parameters stay.
    pub fn gradients(&mut self, batch: &Batch<'_>) -> Result<Gradients> {
        let values = self.parameters()?;
        gradients(&self.device, &self.network, &values, self.options.loss, batch)
    }

    /// The derivatives of the loss of `batch` with respect to its inputs, `[rows, inputs]`. Parameters stay.
    pub fn input_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<f32>> {
        Ok(self.gradients(batch)?.input)
    }

    /// The parameters, laid out by [`Trainer::params`]. Waits for the steps handed over so far.
    pub fn parameters(&mut self) -> Result<Vec<f32>> {
        self.executor.read(Slot::Params, 0..self.params.len)?.wait()
    }

    /// How many steps so far changed nothing because a gradient overflowed f16; 0 in f32. Waits for the steps.
    pub fn skipped_steps(&mut self) -> Result<usize> {
        if self.executor.plan().slot(Slot::Scaler).is_none() {
            return Ok(0);
        }
        let scaler = self.executor.read(Slot::Scaler, 0..SCALER_LEN)?.wait()?;
        Ok(scaler[2] as usize)
    }

    /// Replaces the parameters by `values`, laid out by [`Trainer::params`].
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<()> {
        if values.len() != self.params.len {
            return Err(Error::shape("the parameter arena", self.params.len, values.len()));
        }
        self.executor.write(Slot::Params, 0, values)
    }

    /// Sets the learning rate of the steps to come: finite and at least 0.
    pub fn set_learning_rate(&mut self, learning_rate: f32) -> Result<()> {
        check_learning_rate(learning_rate)?;
        self.options.learning_rate = learning_rate;
        Ok(())
    }

    /// Changes the learning rate of the epochs to come by `schedule`, which is that of a run of `epochs`. It counts for
    /// [`Trainer::fit`]; steps on single batches have the rate as it is.
    pub fn set_schedule(&mut self, schedule: Schedule, epochs: usize) {
        self.schedule = Some(schedule.start(epochs));
    }

    /// The architecture.
    pub fn network(&self) -> &Network {
        &self.network
    }

    /// Where each parameter lies.
    pub fn params(&self) -> &Params {
        &self.params
    }

    /// The executor, with the plan that it runs.
    pub fn executor(&self) -> &dyn Executor {
        self.executor.as_ref()
    }

    /// The parameter arena on the GPU, for programs that share the device; `None` on the CPU. Replaced when a data set is
    /// put on the device.
    pub fn parameter_buffer(&self) -> Option<&wgpu::Buffer> {
        self.executor.buffer(Slot::Params)
    }

    /// Numbers in a sample's target.
    fn targets(&self) -> usize {
        self.options.loss.target_width(self.network.outputs())
    }

    fn schedule_len(&self) -> usize {
        self.executor.plan().slot(Slot::Losses).map_or(1, |info| info.len)
    }

    /// The entry of a step on `rows` samples from `first` on, with `step` steps before it.
    fn entry(&self, rows: usize, first: usize, step: u64) -> ScheduleEntry {
        ScheduleEntry {
            learning_rate: self.options.learning_rate,
            corrections: self.options.optimizer.corrections(step).map(|x| x as f32),
            loss_scale: self.options.loss.reduction().scale(rows, self.network.outputs()) as f32,
            rows: rows as u32,
            first: first as u32,
        }
    }

    /// One entry per batch of `rows` samples; the last batch may be smaller.
    fn entries(&self, rows: usize) -> Vec<ScheduleEntry> {
        let batch = self.options.batch;
        let place = |first| self.region.map_or(first, |region| first % region);
        let step = 1.0 / rows.div_ceil(batch) as f64;
        let entry = |(i, first): (usize, usize)| {
            let mut entry = self.entry(batch.min(rows - first), place(first), self.updates + i as u64);
            if let Some(schedule) = &self.schedule {
                entry.learning_rate *= schedule.factor(self.epochs as f64 + i as f64 * step, step) as f32;
            }
            entry
        };
        (0..rows).step_by(batch).enumerate().map(entry).collect()
    }

    /// Puts data sets on the device, one behind the other, growing the plan's slots where they are too small; where they
    /// do not fit, gets ready to stream them.
    fn upload(&mut self, data: &Dataset, validation: Option<&Dataset>) -> Result<()> {
        let sets = || std::iter::once(data).chain(validation);
        for set in sets() {
            set.validate()?;
            let (expected, found) = (self.network.inputs, set.inputs.cols);
            if expected != found {
                return Err(Error::shape(format!("inputs in {}", set.name), expected, found));
            }
            let (expected, found) = (self.targets(), set.targets.cols);
            if expected != found {
                return Err(Error::shape(format!("columns of targets in {}", set.name), expected, found));
            }
        }
        let rows: usize = sets().map(Dataset::rows).sum();
        let most = sets().map(Dataset::rows).max().unwrap_or(0);
        let steps = most.div_ceil(self.options.batch).min(SCHEDULED).max(self.options.losses_kept);
        self.region = streamed_rows(&self.network, &self.options, rows, self.device.most_slot_bytes());
        let held = self.region.unwrap_or(rows);
        let room = |slot, needed| self.executor.plan().slot(slot).is_some_and(|info| info.len >= needed);
        if !(room(Slot::Order, held) && room(Slot::Losses, steps)) {
            self.rebuild((self.wire)(&self.network, &plan_options(&self.device, &self.options, steps, held)?)?)?;
        }
        if self.region.is_some() {
            // Rows arrive in the order of training.
            let order: Vec<u32> = (0..held as u32).collect();
            self.executor.write_words(Slot::Order, 0, &order)?;
        } else {
            let mut first = 0;
            for set in sets() {
                self.executor.write(Slot::DataInputs, first * self.network.inputs, &set.inputs.data)?;
                self.executor.write(Slot::DataTargets, first * self.targets(), &set.targets.data)?;
                first += set.rows();
            }
        }
        // Gathered batches go where a loaded one was, and have a schedule and a clock of their own.
        self.loaded_rows = 0;
        self.scheduled = None;
        self.clock = 0;
        Ok(())
    }

    /// Moves to another plan of the same network, taking parameters and optimizer state along.
    fn rebuild(&mut self, plan: Plan) -> Result<()> {
        let kept = self.executor.plan().state();
        let values = kept.iter().map(|info| self.executor.read(info.slot, 0..info.len)?.wait());
        let values = values.collect::<Result<Vec<_>>>()?;
        self.executor = self.device.executor_with(plan, self.variants.clone())?;
        for (info, values) in kept.into_iter().zip(values) {
            self.executor.write(info.slot, 0, &values)?;
        }
        Ok(())
    }

    /// Trains over the rows of `data` in `order`.
    fn train_in_order(
        &mut self,
        data: &Dataset,
        order: &[u32],
        mut progress: impl FnMut(usize, usize, f32) -> ControlFlow<()>,
    ) -> Result<Trained> {
        if self.region.is_none() {
            self.executor.write_words(Slot::Order, 0, order)?;
        }
        let entries = self.entries(order.len());
        let mut losses = Vec::with_capacity(entries.len());
        let phases = self.options.planner.gathered_step();
        let mut diverged = None;
        let flow = self.sweep(phases, data, order, &entries, false, |_, part, _| {
            diverged = part.iter().position(|loss| !loss.is_finite()).map(|step| losses.len() + step + 1);
            losses.extend_from_slice(part);
            match diverged {
                Some(_) => ControlFlow::Break(()),
                None => progress(losses.len(), entries.len(), part.last().copied().unwrap_or(f32::NAN)),
            }
        })?;
        Ok(match (diverged, flow) {
            (Some(step), _) => Trained::Diverged(step),
            (None, ControlFlow::Break(())) => Trained::Stopped,
            (None, ControlFlow::Continue(())) => Trained::Whole(mean_loss(&losses, &entries)),
        })
    }

    /// Evaluates on a data set that begins at row `first` of the uploaded ones, with or without metrics.
    fn evaluate_uploaded(&mut self, data: &Dataset, first: usize, metrics: bool) -> Result<Evaluation> {
        let order: Vec<u32> = match self.region {
            Some(_) => (0..data.rows() as u32).collect(),
            None => (first as u32..(first + data.rows()) as u32).collect(),
        };
        if self.region.is_none() {
            self.executor.write_words(Slot::Order, 0, &order)?;
        }
        let entries = self.entries(data.rows());
        let mut losses = Vec::with_capacity(entries.len());
        let phases = self.options.planner.gathered_loss();
        if let Loss::Equation(_) = self.options.loss {
            // Its data are no targets that outputs could be compared with.
            let _ = self.sweep(phases, data, &order, &entries, false, |_, part, _| {
                losses.extend_from_slice(part);
                ControlFlow::Continue(())
            })?;
            let loss = mean_loss(&losses, &entries);
            return Ok(Evaluation { loss, accuracy: None, r_squared: None, metrics: None });
        }
        let output = self.network.output_activation();
        // The output slot holds logits where the loss contains the last activation.
        let logits = self.options.loss.training_activation(output) == Activation::Linear;
        let mut tally = Tally::new(data, if logits { output } else { Activation::Linear }, metrics);
        let _ = self.sweep(phases, data, &order, &entries, true, |rows, part, outputs| {
            losses.extend_from_slice(part);
            tally.add(rows, outputs);
            ControlFlow::Continue(())
        })?;
        tally.finish(mean_loss(&losses, &entries), self.options.loss)
    }

    /// Runs `phases` on every batch in `entries`, in parts as long as their [`Pace`] says. While one part runs, `take` gets
    /// the numbers of the rows of the part before with its losses and, where `outputs` are wanted, its outputs, and the
    /// rows of the next part are streamed.
    fn sweep(
        &mut self,
        phases: &'static [Phase],
        data: &Dataset,
        order: &[u32],
        entries: &[ScheduleEntry],
        outputs: bool,
        mut take: impl FnMut(Range<usize>, &[f32], &[f32]) -> ControlFlow<()>,
    ) -> Result<ControlFlow<()>> {
        let batch = self.options.batch;
        let rows = |steps: &Range<usize>| steps.start * batch..order.len().min(steps.end * batch);
        let output = batch * self.network.outputs();
        let scheduled = self.schedule_len();
        let most = self.region.map_or(usize::MAX, |region| region / batch);
        let most = if outputs { most.min(OUTPUTS_READ / (4 * output)).max(1) } else { most };
        let mut pace = self.paces.get(phases).copied().unwrap_or_default();
        let mut since = Instant::now();
        let mut pending = None;
        let mut done = 0;
        while done < entries.len() || pending.is_some() {
            let handed_over = if done < entries.len() {
                let at = done % scheduled;
                if at == 0 {
                    self.executor.schedule(&entries[done..entries.len().min(done + scheduled)])?;
                }
                let next = pace.steps().min(most).min(scheduled - at).min(entries.len() - done);
                let steps = done..done + next;
                if let Some(region) = self.region {
                    feed::feed(self.executor.as_mut(), region, data, order, rows(&steps))?;
                }
                let outputs = if outputs {
                    Some(self.executor.run_and_read(phases, next, Slot::Output, 0..output)?)
                } else {
                    self.executor.run(phases, next)?;
                    None
                };
                done += next;
                if phases == self.options.planner.gathered_step() {
                    self.updates += next as u64;
                }
                Some((steps, self.executor.read(Slot::Losses, at..at + next)?, outputs))
            } else {
                None
            };
            if let Some((steps, losses, outputs)) = std::mem::replace(&mut pending, handed_over) {
                let losses = losses.wait()?;
                let outputs = outputs.map_or(Ok(Vec::new()), |outputs| outputs.wait())?;
                pace.took(steps.len(), since.elapsed());
                since = Instant::now();
                self.paces.insert(phases, pace);
                if take(rows(&steps), &losses, &outputs).is_break() {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// What became of an epoch.
enum Trained {
    /// It ended, with this mean loss.
    Whole(f64),
    /// The observer stopped it.
    Stopped,
    /// The loss of this step, counted from 1, was not finite.
    Diverged(usize),
}

/// The loss of a batch and its derivative by everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// The loss.
    pub loss: f32,
    /// `∂loss/∂parameter`, laid out by [`Params`].
    pub params: Vec<f32>,
    /// `∂loss/∂input`, `[rows, inputs]`.
    pub input: Vec<f32>,
}

/// Forward and backward once on `device`: the loss of `batch` and every gradient, those of frozen parameters too.
/// `values` are the parameters, laid out by [`Params::of`].
pub fn gradients(
    device: &Device,
    network: &Network,
    values: &[f32],
    loss: Loss,
    batch: &Batch<'_>,
) -> Result<Gradients> {
    network.validate()?;
    let params = Params::of(network);
    if values.len() != params.len {
        return Err(Error::shape("the parameter arena", params.len, values.len()));
    }
    let rows = check_batch(network, loss, batch, usize::MAX)?;
    let options = TrainingOptions { all_gradients: true, ..TrainingOptions::new(rows, loss) };
    let mut executor = device.executor(Plan::training(network, &options)?)?;
    executor.write(Slot::Params, 0, values)?;
    executor.write(Slot::Input, 0, batch.inputs)?;
    executor.write(Slot::Target, 0, batch.targets)?;
    let loss_scale = loss.reduction().scale(rows, network.outputs()) as f32;
    executor.schedule(&[ScheduleEntry {
        learning_rate: 0.0,
        corrections: [1.0; 2],
        loss_scale,
        rows: rows as u32,
        first: 0,
    }])?;
    executor.run(options.planner.gradients(), 1)?;
    Ok(Gradients {
        loss: executor.read(Slot::Losses, 0..1)?.wait()?[0],
        params: executor.read(Slot::Gradients, 0..params.len)?.wait()?,
        input: executor.read(Slot::InputGradient, 0..rows * network.inputs)?.wait()?,
    })
}

/// How `network` with the parameters `values` does on `data`, in batches and by the planner of `options`. Nothing is built
/// that only training needs.
pub fn evaluate(
    device: &Device,
    network: Network,
    values: &[f32],
    options: TrainerOptions,
    variants: VariantChoice,
    data: &Dataset,
) -> Result<Evaluation> {
    Trainer::wired(device, network, values, options, variants, options.batch, Plan::evaluation)?.evaluate(data)
}

fn check_learning_rate(learning_rate: f32) -> Result<()> {
    if learning_rate.is_finite() && learning_rate >= 0.0 {
        return Ok(());
    }
    Err(Error::Config(format!("the learning rate must be finite and at least 0, found {learning_rate}")))
}

fn plan_options(device: &Device, options: &TrainerOptions, steps: usize, data_rows: usize) -> Result<TrainingOptions> {
    if steps == 0 {
        return Err(Error::Config("at least one loss must be kept, found losses_kept = 0".into()));
    }
    let steps = if options.optimizer.rule().counts_steps() { steps.max(COUNTED) } else { steps };
    let TrainerOptions { planner, precision, batch, loss, optimizer, .. } = *options;
    Ok(TrainingOptions {
        planner,
        precision,
        optimizer,
        steps,
        data_rows,
        workgroup_memory: device.workgroup_memory(),
        ..TrainingOptions::new(batch, loss)
    })
}

/// The number of rows, where both lengths agree with the network and with each other.
fn check_batch(network: &Network, loss: Loss, batch: &Batch<'_>, most: usize) -> Result<usize> {
    let rows = batch.inputs.len() / network.inputs;
    if rows == 0 || rows * network.inputs != batch.inputs.len() || rows > most {
        let expected = if most == usize::MAX { "one or more".to_owned() } else { format!("1 to {most}") };
        let expected = format!("{expected} rows of {} numbers", network.inputs);
        return Err(Error::shape("the inputs of a batch", expected, format!("{} numbers", batch.inputs.len())));
    }
    let targets = loss.target_width(network.outputs());
    if rows * targets != batch.targets.len() {
        let expected = format!("{rows} rows of {targets} numbers");
        return Err(Error::shape("the targets of a batch", expected, format!("{} numbers", batch.targets.len())));
    }
    Ok(rows)
}

/// Batches weigh as many as they have rows.
fn mean_loss(losses: &[f32], entries: &[ScheduleEntry]) -> f64 {
    let rows: f64 = entries.iter().map(|entry| f64::from(entry.rows)).sum();
    losses.iter().zip(entries).map(|(&loss, entry)| f64::from(loss) * f64::from(entry.rows)).sum::<f64>() / rows
}

/// The first of the largest elements.
pub fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, x)| if *x > row[best] { i } else { best })
}
