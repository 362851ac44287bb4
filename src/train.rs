//! **A training step happens here**: [`Trainer::step`] on a batch from the host, [`Trainer::fit`] over a data set that
//! lives on the device or is streamed to it. Both hand phases of one [`Plan`] to an executor; nothing comes back unless it is asked for.

mod control;
mod evaluation;
mod feed;
mod micro;
mod observer;
mod range;
mod state;

pub use control::{Control, Ended, Run};
pub use evaluation::Evaluation;
pub use feed::streamed_rows;
pub use micro::largest_micro_batch;
pub use observer::{Moment, Observer, Running};
pub use range::{RangePoint, RangeTest, RateRange};
pub use state::State;
pub(crate) use state::{Counts, Memory, numbers};

use crate::activation::Activation;
use crate::data::{Dataset, epoch_order};
use crate::device::Device;
use crate::executor::Executor;
use crate::gpu::VariantChoice;
use crate::init::{Init, initialize};
use crate::kernel::mixed::SCALER_LEN;
use crate::loss::{Loss, Reduction};
use crate::network::Network;
use crate::optimizer::Optimizer;
use crate::pace::Pace;
use crate::params::Params;
use crate::plan::{Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use crate::precision::Precision;
use crate::random::step_seed;
use crate::schedule::{Progress, Schedule};
use crate::treatment::Treatments;
use crate::{Error, Result};
use control::Watch;
use evaluation::Tally;
use micro::Micro;
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
    /// `[rows, outputs]`, with the weight of a row as one more number at its end where [`TrainerOptions::weighted`]; for an
    /// [equation](crate::loss::Equation) its data, `[rows, data]`
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
    /// What is done to the gradient of a batch before the update: penalties, clipping.
    pub treatments: Treatments,
    /// What the sum of the loss over outputs and samples is divided by, where that is to be another than the loss's own.
    /// By [`Reduction::Sum`] the gradient grows with the batch, and the loss of an epoch is the sum over its samples.
    pub reduction: Option<Reduction>,
    /// Whether rows have weights: the loss of each is multiplied by its own, `1/n Σ w l` with the mean over n samples, as in
    /// Keras. Those of a data set are [`Dataset::weights`], 1 where it has none; those of a [`Batch`] stand behind its targets.
    /// Not for equations.
    pub weighted: bool,
    /// The decay d of an exponential moving average of the parameters, in (0, 1), where there is to be one: after each update
    /// `avg += (1 - d) (p - avg)`, from the initial parameters on. [`Trainer::averaged_parameters`] are then what is evaluated,
    /// kept as the best, and restored.
    pub average: Option<f32>,
    /// The most rows whose activations are on the device at a time, ≥ 1: a larger batch is cut into micro-batches, whose
    /// gradients are summed before the update. It is the batch's gradient, up to the rounding of the sums.
    /// [`largest_micro_batch`] finds what fits. [`TrainerOptions::batch`] stays the batch of an update.
    pub micro_batch: Option<usize>,
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
            treatments: Treatments::default(),
            reduction: None,
            weighted: false,
            average: None,
            micro_batch: None,
        }
    }

    /// What the sum of the loss is divided by.
    pub fn reduction(&self) -> Reduction {
        self.reduction.unwrap_or(self.loss.reduction())
    }

    /// What a plan is built for by these options, on batches from the host and one step at a time. Its batch is a micro-batch.
    pub fn plan(&self) -> TrainingOptions {
        let TrainerOptions { planner, precision, loss, optimizer, treatments, weighted, average, .. } = *self;
        let Micro { rows, count, .. } = Micro::of(self);
        let accumulates = count > 1;
        let plan = TrainingOptions::new(rows, loss);
        TrainingOptions { planner, precision, optimizer, treatments, weighted, average, accumulates, ..plan }
    }

    /// How many numbers stand in a row of targets of a network with `outputs` outputs: the target's, and its weight.
    pub fn target_width(&self, outputs: usize) -> usize {
        self.loss.target_width(outputs) + usize::from(self.weighted)
    }
}

/// Steps in one schedule of a data set at most; longer epochs take several.
const SCHEDULED: usize = 1 << 20;

/// Steps on one batch that are scheduled at once where they differ by their number.
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
    /// The mean loss over the samples, each as its batch was trained, or with [`Reduction::Sum`] their sum. It is the data's
    /// alone: penalties are no part of it.
    #[serde(with = "state::numbers")]
    pub loss: f64,
    /// Steps whose gradients overflowed f16 and changed nothing; 0 in f32.
    pub skipped: usize,
    /// On the validation set after the epoch.
    pub validation: Option<Evaluation>,
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
    /// Rows of the batch that was loaded; 0 where there is none.
    loaded_rows: usize,
    /// Inputs and targets of that batch, where they do not fit [`Slot::Input`].
    loaded: [Vec<f32>; 2],
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
        if options.micro_batch == Some(0) {
            return Err(Error::Config("a micro-batch needs at least 1 row, found 0".into()));
        }
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
        let plan = wire(
            &network,
            &plan_options(device, &network, &options, options.losses_kept * Micro::of(&options).count, data_rows)?,
        )?;
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
            loaded: Default::default(),
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
        let rows = check_batch(&self.network, self.targets(), batch, self.options.batch)?;
        match Micro::of(&self.options).count {
            1 => self.put(batch.inputs, batch.targets)?,
            _ => self.loaded = [batch.inputs.to_vec(), batch.targets.to_vec()],
        }
        self.loaded_rows = rows;
        Ok(())
    }

    /// Puts a batch, or a part of one, where the steps find it.
    fn put(&mut self, inputs: &[f32], targets: &[f32]) -> Result<()> {
        let slots = [(Slot::Input, inputs, self.network.inputs), (Slot::Target, targets, self.targets())];
        for (slot, values, cols) in slots.into_iter().filter(|(.., cols)| *cols > 0) {
            let mut padded = std::iter::once(values).chain(std::iter::repeat(ZEROS));
            self.executor.stream(slot, 0..Micro::of(&self.options).rows * cols, &mut padded)?;
        }
        Ok(())
    }

    /// `times` training steps on the batch that [`Trainer::load`] put there. Returns once they are handed over; where they
    /// take long, that is done in parts, of which all but the last two are waited for.
    pub fn repeat(&mut self, times: usize) -> Result<()> {
        if self.loaded_rows == 0 {
            return Err(Error::Config("there is no batch to step on yet; load one first".into()));
        }
        if Micro::of(&self.options).count > 1 {
            return (0..times).try_for_each(|_| self.step_in_parts());
        }
        let len = self.schedule_len();
        // A rule that counts steps has an entry for each, until the schedule ends; otherwise all entries are the same, and
        // it does not matter where the clock stands, which counts in 32 bits.
        let counts = counts_steps(&self.network, &self.options);
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

    /// One training step on the loaded batch, micro-batch by micro-batch. Each batch has its own entries of the schedule, and
    /// with them its own losses.
    fn step_in_parts(&mut self) -> Result<()> {
        let micro = Micro::of(&self.options);
        let at = self.clock % (self.schedule_len() / micro.count) * micro.count;
        let entries = parts_of(micro, self.entry(self.loaded_rows, 0, self.updates));
        self.executor.write_words(Slot::Schedule, at * ScheduleEntry::WORDS, bytemuck::cast_slice(&entries))?;
        self.executor.write_words(Slot::Clock, 0, &[at as u32])?;
        self.executor.write(Slot::Losses, at, &vec![0.0; micro.count])?;
        let (inputs, targets) = (micro.rows * self.network.inputs, micro.rows * self.targets());
        let loaded = std::mem::take(&mut self.loaded);
        for i in 0..entries.len() {
            let part = |values: &[f32], len: usize| i * len..values.len().min((i + 1) * len);
            self.put(&loaded[0][part(&loaded[0], inputs)], &loaded[1][part(&loaded[1], targets)])?;
            let planner = self.options.planner;
            let last = i + 1 == entries.len();
            self.executor.run(if last { planner.step() } else { planner.micro_step(false) }, 1)?;
        }
        self.loaded = loaded;
        (self.clock, self.updates) = (self.clock + 1, self.updates + 1);
        Ok(())
    }

    /// The losses of the latest steps by [`Trainer::step`] and [`Trainer::repeat`], oldest first, each before its step's
    /// update; at most [`TrainerOptions::losses_kept`]. Empty where nothing was stepped since the trainer was made, or
    /// since it fitted or evaluated a data set. Waits for the steps.
    pub fn losses(&mut self) -> Result<Vec<f32>> {
        let capacity = self.schedule_len();
        let all = self.executor.read(Slot::Losses, 0..capacity)?.wait()?;
        let kept = self.clock.min(self.options.losses_kept);
        let count = Micro::of(&self.options).count;
        // The losses of micro-batches add up to that of their batch.
        let batches: Vec<f32> = all.chunks_exact(count).map(|parts| parts.iter().sum()).collect();
        Ok((self.clock - kept..self.clock).map(|step| batches[step % batches.len()]).collect())
    }

    /// Trains for `epochs` epochs over `data`, shuffled anew for each, and evaluates on `validation` after each. The data
    /// set is put on the device once and batches are gathered there; where it does not fit, its rows are streamed in the
    /// order of the epoch while those before are trained on.
    ///
    /// Returns the epochs that were completed; an observer may stop the run at any time, which keeps the parameters as
    /// they are then. A further call goes on where this one ended: with the optimizer's state, the schedule, and the order of
    /// samples of the next epoch.
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
        let mut fingerprints = None;
        if let Some(memory) = self.resumed.take() {
            watch.resume(&memory, self.averaged_parameters()?);
            (history, fingerprints) = (memory.history, Some(memory.data));
        }
        let over = history.last().and_then(|epoch| watch.over(epoch));
        let epochs = if over.is_some() { 0 } else { epochs };
        let mut ended = over.unwrap_or(Ended::Complete);
        for number in history.len() + 1..=epochs {
            if observer.callback(Moment::Begin(number), &mut self.running(0, data.rows()))?.is_break() {
                ended = Ended::Observer;
                break;
            }
            let order = epoch_order(data.rows(), self.options.seed, self.epochs);
            let entries = self.entries(order.len());
            let skipped_before = self.skipped_steps()?;
            let (mut done, steps) = (0, data.rows().div_ceil(self.options.batch));
            let trained = self.train_in_order(data, &order, &entries, |trainer, part| {
                done += part.len();
                let stopped =
                    observer.progress(number, done, steps, part.last().copied().unwrap_or(f32::NAN)).is_break();
                let flow = observer.callback(Moment::Part(number), &mut trainer.running(done, data.rows()))?;
                Ok(if stopped { ControlFlow::Break(()) } else { flow })
            })?;
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
                Some(set) => Some(self.averaged(|trainer| trainer.evaluate_uploaded(set, data.rows(), false))?),
                None => None,
            };
            if let Some(schedule) = &mut self.schedule {
                schedule.observe(began, validated.as_ref().map_or(loss, |validation| validation.loss));
            }
            let skipped = self.skipped_steps()? - skipped_before;
            let epoch = Epoch { number, loss, skipped, validation: validated };
            let (best, good) = watch.wants(&epoch);
            if best || good {
                let values = self.averaged_parameters()?;
                watch.good = good.then(|| (number, values.clone()));
                watch.best = if best { Some((number, values)) } else { watch.best };
            }
            let stopped = observer.epoch(&epoch).is_break();
            let flow = observer.callback(Moment::End(&epoch), &mut self.running(0, data.rows()))?;
            let ends = (stopped || flow.is_break()).then_some(Ended::Observer).or_else(|| watch.ends(&epoch));
            let wants_state = observer.wants_state(&epoch);
            history.push(epoch);
            if wants_state {
                let data = fingerprints.get_or_insert_with(|| Fingerprints::of(data, validation)).clone();
                let run = Some(watch.memory(data, &history));
                observer.state(State { run, ..self.state()? })?;
            }
            if let Some(why) = ends {
                ended = why;
                break;
            }
        }
        let restored = match ended {
            Ended::Diverged { .. } => watch.best.or(watch.good),
            _ => watch.best.filter(|(number, _)| *number < history.len()),
        };
        let restored = match restored {
            Some((number, values)) => {
                self.set_parameters(&values)?;
                Some(number)
            }
            None => None,
        };
        Ok(Run { epochs: history, ended, restored })
    }

    /// The first parameter that holds a number that is not finite.
    fn first_not_finite(&mut self) -> Result<Option<String>> {
        let values = self.parameters()?;
        let bad = self.params.tensors.iter().find(|tensor| values[tensor.range()].iter().any(|x| !x.is_finite()));
        Ok(bad.map(|tensor| tensor.name.clone()))
    }

    /// Trains once over `data`, shuffled: an epoch by itself, for data that arrives bit by bit. Each call goes on where the one
    /// before ended, with optimizer, schedule and the order of samples, as calls of [`Trainer::fit`] do: three epochs and
    /// three more are six to the bit.
    ///
    /// # Errors
    /// Those of [`Trainer::fit`], and where the loss is not finite.
    pub fn partial_fit(&mut self, data: &Dataset) -> Result<Epoch> {
        let Run { mut epochs, ended, .. } = self.fit_under(&Control::default(), data, None, 1, &mut ())?;
        epochs.pop().ok_or_else(|| {
            let step = if let Ended::Diverged { step, .. } = ended { step } else { 0 };
            Error::data(&data.name, format!("the loss of step {step} is not finite: the training diverged"))
        })
    }

    /// Trains once over `data` in the order of its rows, batch by batch, and returns the mean loss.
    pub fn fit_in_order(&mut self, data: &Dataset) -> Result<f64> {
        data.validate_for_training()?;
        self.upload(data, None)?;
        let order: Vec<u32> = (0..data.rows() as u32).collect();
        let entries = self.entries(order.len());
        match self.train_in_order(data, &order, &entries, |_, _| Ok(ControlFlow::Continue(())))? {
            Trained::Whole(loss) => Ok(loss),
            Trained::Stopped | Trained::Diverged(_) => Ok(f64::NAN),
        }
    }

    /// How the network does on `data`, by its averaged parameters where there are such.
    pub fn evaluate(&mut self, data: &Dataset) -> Result<Evaluation> {
        self.upload(data, None)?;
        self.averaged(|trainer| trainer.evaluate_uploaded(data, 0, true))
    }

    /// The loss and every gradient on `batch`, those of frozen parameters and of the inputs too, in f32 whatever the
    /// precision of training. Parameters stay.
    pub fn gradients(&mut self, batch: &Batch<'_>) -> Result<Gradients> {
        let values = self.parameters()?;
        gradients_by(&self.device, &self.network, &values, &self.options, batch)
    }

    /// The derivatives of the loss of `batch` with respect to its inputs, `[rows, inputs]`. Parameters stay.
    pub fn input_gradients(&mut self, batch: &Batch<'_>) -> Result<Vec<f32>> {
        Ok(self.gradients(batch)?.input)
    }

    /// The parameters, laid out by [`Trainer::params`]. Waits for the steps handed over so far.
    pub fn parameters(&mut self) -> Result<Vec<f32>> {
        self.executor.read(Slot::Params, 0..self.params.len)?.wait()
    }

    /// The exponential moving average of the parameters where [`TrainerOptions::average`] asks for one, otherwise the
    /// parameters, laid out by [`Trainer::params`]: what to keep of a training run. Waits for the steps handed over so far.
    pub fn averaged_parameters(&mut self) -> Result<Vec<f32>> {
        let parameters = self.parameters()?;
        if !self.has_average() {
            return Ok(parameters);
        }
        let mut averaged = self.executor.read(Slot::Average, 0..self.params.len)?.wait()?;
        // Running statistics are averages of their own.
        for tensor in self.params.tensors.iter().filter(|tensor| !tensor.role.has_gradient()) {
            averaged[tensor.range()].copy_from_slice(&parameters[tensor.range()]);
        }
        Ok(averaged)
    }

    fn has_average(&self) -> bool {
        self.executor.plan().slot(Slot::Average).is_some()
    }

    /// What `work` does with the averaged parameters in place of those that are trained.
    fn averaged<R>(&mut self, work: impl FnOnce(&mut Self) -> Result<R>) -> Result<R> {
        if !self.has_average() {
            return work(self);
        }
        let (trained, average) = (self.parameters()?, self.averaged_parameters()?);
        self.executor.write(Slot::Params, 0, &average)?;
        let result = work(self);
        self.executor.write(Slot::Params, 0, &trained)?;
        result
    }

    /// How many steps so far changed nothing because a gradient overflowed f16; 0 in f32. Waits for the steps.
    pub fn skipped_steps(&mut self) -> Result<usize> {
        if self.executor.plan().slot(Slot::Scaler).is_none() {
            return Ok(0);
        }
        let scaler = self.executor.read(Slot::Scaler, 0..SCALER_LEN)?.wait()?;
        Ok(scaler[2] as usize)
    }

    /// Replaces the parameters by `values`, laid out by [`Trainer::params`]; an average begins anew from them.
    pub fn set_parameters(&mut self, values: &[f32]) -> Result<()> {
        if values.len() != self.params.len {
            return Err(Error::shape("the parameter arena", self.params.len, values.len()));
        }
        if self.has_average() {
            self.executor.write(Slot::Average, 0, values)?;
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

    /// Numbers in a row of targets.
    fn targets(&self) -> usize {
        self.options.target_width(self.network.outputs())
    }

    fn schedule_len(&self) -> usize {
        self.executor.plan().slot(Slot::Losses).map_or(1, |info| info.len)
    }

    /// The entry of a step on `rows` samples from `first` on, with `step` steps before it.
    fn entry(&self, rows: usize, first: usize, step: u64) -> ScheduleEntry {
        ScheduleEntry {
            learning_rate: self.options.learning_rate,
            corrections: self.options.optimizer.corrections(step).map(|x| x as f32),
            loss_scale: self.options.reduction().scale(rows, self.network.outputs()) as f32,
            rows: rows as u32,
            first: first as u32,
            seed: step_seed(self.options.seed, step),
            flags: ScheduleEntry::TRAINING,
        }
    }

    /// The entries of the batches of `rows` samples, one for each micro-batch; the last batch may be smaller. In place of a
    /// rate they have the schedule's factor.
    fn entries(&self, rows: usize) -> Vec<ScheduleEntry> {
        let (batch, micro) = (self.options.batch, Micro::of(&self.options));
        let place = |first| self.region.map_or(first, |region| first % region);
        let step = 1.0 / rows.div_ceil(batch) as f64;
        let entry = |(i, first): (usize, usize)| {
            let mut entry = self.entry(batch.min(rows - first), place(first), self.updates + i as u64);
            entry.learning_rate = self.factor(self.epochs as f64 + i as f64 * step, step);
            parts_of(micro, entry)
        };
        (0..rows).step_by(batch).enumerate().flat_map(entry).collect()
    }

    /// The schedule's factor on the learning rate, after `at` epochs and before a step that is the part `step` of one.
    fn factor(&self, at: f64, step: f64) -> f32 {
        self.schedule.as_ref().map_or(1.0, |schedule| schedule.factor(at, step) as f32)
    }

    fn rate_at(&self, at: f64, step: f64) -> f32 {
        self.options.learning_rate * self.factor(at, step)
    }

    /// The run as an observer sees it, `done` steps into an epoch over `rows` rows.
    fn running(&mut self, done: usize, rows: usize) -> Running<'_> {
        let step = 1.0 / rows.div_ceil(self.options.batch) as f64;
        Running { at: self.epochs as f64 + done as f64 * step, step, trainer: self }
    }

    /// `entries`, whose rates are factors, at the learning rate as it is now.
    fn at_rate(&self, entries: &[ScheduleEntry]) -> Vec<ScheduleEntry> {
        let rate = self.options.learning_rate;
        entries.iter().map(|entry| ScheduleEntry { learning_rate: rate * entry.learning_rate, ..*entry }).collect()
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
            let (expected, found) = (self.options.loss.target_width(self.network.outputs()), set.targets.cols);
            if expected != found {
                return Err(Error::shape(format!("columns of targets in {}", set.name), expected, found));
            }
            if set.weights.is_some() && !self.options.weighted {
                return Err(Error::Config(format!(
                    "{} has weights of its rows, but the trainer takes none; set TrainerOptions::weighted, or leave them out",
                    set.name
                )));
            }
        }
        let rows: usize = sets().map(Dataset::rows).sum();
        let most = sets().map(Dataset::rows).max().unwrap_or(0);
        let micro = Micro::of(&self.options);
        let steps = micro.steps(most).min(SCHEDULED).max(self.options.losses_kept * micro.count);
        self.region = streamed_rows(&self.network, &self.options, rows, self.device.most_slot_bytes());
        let held = self.region.unwrap_or(rows);
        let room = |slot, needed| self.executor.plan().slot(slot).is_some_and(|info| info.len >= needed);
        if !(room(Slot::Order, held) && room(Slot::Losses, steps)) {
            self.rebuild((self.wire)(
                &self.network,
                &plan_options(&self.device, &self.network, &self.options, steps, held)?,
            )?)?;
        }
        if self.region.is_some() {
            // Rows arrive in the order of training.
            let order: Vec<u32> = (0..held as u32).collect();
            self.executor.write_words(Slot::Order, 0, &order)?;
        } else {
            let mut first = 0;
            for set in sets() {
                self.executor.write(Slot::DataInputs, first * self.network.inputs, &set.inputs.data)?;
                match self.options.weighted {
                    false => self.executor.write(Slot::DataTargets, first * self.targets(), &set.targets.data)?,
                    true => {
                        let range = first * self.targets()..(first + set.rows()) * self.targets();
                        let mut rows = (0..set.rows()).flat_map(|row| feed::target(set, row, true));
                        self.executor.stream(Slot::DataTargets, range, &mut rows)?;
                    }
                }
                first += set.rows();
            }
        }
        // Gathered batches go where a loaded one was, and have a schedule and a clock of their own.
        self.loaded_rows = 0;
        self.scheduled = None;
        self.clock = 0;
        Ok(())
    }

    /// Moves to another plan of the same network, taking along what training left behind.
    fn rebuild(&mut self, plan: Plan) -> Result<()> {
        let kept = self.kept()?;
        self.executor = self.device.executor_with(plan, self.variants.clone())?;
        self.put_back(kept)
    }

    /// The slots that a run carries from step to step, with their numbers. Waits for the steps handed over so far.
    fn kept(&mut self) -> Result<Vec<(Slot, Vec<f32>)>> {
        let slots = self.executor.plan().state().into_iter();
        slots.map(|info| Ok((info.slot, self.executor.read(info.slot, 0..info.len)?.wait()?))).collect()
    }

    fn put_back(&mut self, kept: Vec<(Slot, Vec<f32>)>) -> Result<()> {
        kept.into_iter().try_for_each(|(slot, values)| self.executor.write(slot, 0, &values))
    }

    /// Trains over the rows of `data` in `order`, a step for each of `entries`, whose rates are factors on the learning rate.
    /// `progress` gets the losses of each part.
    fn train_in_order(
        &mut self,
        data: &Dataset,
        order: &[u32],
        entries: &[ScheduleEntry],
        mut progress: impl FnMut(&mut Trainer, &[f32]) -> Result<ControlFlow<()>>,
    ) -> Result<Trained> {
        if self.region.is_none() {
            self.executor.write_words(Slot::Order, 0, order)?;
        }
        let (micro, phases) = (Micro::of(&self.options), self.options.planner.gathered_step());
        let mut losses: Vec<f32> = Vec::with_capacity(entries.len());
        if micro.count > 1 {
            // A run that was stopped may have left the gradients of a batch that did not end.
            self.executor.write(Slot::GradientSums, 0, &vec![0.0; self.params.len])?;
        }
        let mut diverged = None;
        let flow = self.sweep(phases, data, order, entries, false, |trainer, _, part, _| {
            let before = losses.len();
            let bad = part.iter().position(|loss| !loss.is_finite());
            diverged = bad.map(|step| micro.batch_of(before + step) + 1);
            losses.extend_from_slice(part);
            if diverged.is_some() {
                return Ok(ControlFlow::Break(()));
            }
            let ended = micro.ended(before, entries.len())..micro.ended(losses.len(), entries.len());
            let parts = losses[ended.start * micro.count..].chunks(micro.count);
            let batches: Vec<f32> = parts.take(ended.len()).map(|parts| parts.iter().sum()).collect();
            match batches.is_empty() {
                true => Ok(ControlFlow::Continue(())),
                false => progress(trainer, &batches),
            }
        })?;
        Ok(match (diverged, flow) {
            (Some(step), _) => Trained::Diverged(step),
            (None, ControlFlow::Break(())) => Trained::Stopped,
            (None, ControlFlow::Continue(())) => Trained::Whole(self.whole_loss(&losses, entries)),
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
        let mut entries = self.entries(data.rows());
        entries.iter_mut().for_each(|entry| entry.flags = 0);
        let mut losses = Vec::with_capacity(entries.len());
        let phases = self.options.planner.gathered_loss();
        if let Loss::Equation(_) = self.options.loss {
            // Its data are no targets that outputs could be compared with.
            let _ = self.sweep(phases, data, &order, &entries, false, |_, _, part, _| {
                losses.extend_from_slice(part);
                Ok(ControlFlow::Continue(()))
            })?;
            let loss = self.whole_loss(&losses, &entries);
            return Ok(Evaluation { loss, accuracy: None, r_squared: None, metrics: None });
        }
        let output = self.network.output_activation();
        // The output slot holds logits where the loss contains the last activation.
        let logits = self.options.loss.training_activation(output) == Activation::Linear;
        let mut tally = Tally::new(data, if logits { output } else { Activation::Linear }, metrics);
        let _ = self.sweep(phases, data, &order, &entries, true, |_, rows, part, outputs| {
            losses.extend_from_slice(part);
            tally.add(rows, outputs);
            Ok(ControlFlow::Continue(()))
        })?;
        tally.finish(self.whole_loss(&losses, &entries), self.options.loss)
    }

    /// Runs the `steps` of all `count` on batches of the data set; behind those of micro-batches that others follow there is
    /// no update.
    fn run(&mut self, phases: &'static [Phase], steps: &Range<usize>, count: usize) -> Result<()> {
        let (micro, planner) = (Micro::of(&self.options), self.options.planner);
        if micro.count == 1 || phases != planner.gathered_step() {
            return self.executor.run(phases, steps.len());
        }
        let mut kept = 0;
        for step in steps.clone() {
            if !micro.is_last(step, count) {
                kept += 1;
                continue;
            }
            if kept > 0 {
                self.executor.run(planner.micro_step(true), kept)?;
            }
            self.executor.run(phases, 1)?;
            kept = 0;
        }
        if kept > 0 { self.executor.run(planner.micro_step(true), kept) } else { Ok(()) }
    }

    /// The loss of all batches in `entries` together: by a mean they weigh as many as they have rows.
    fn whole_loss(&self, losses: &[f32], entries: &[ScheduleEntry]) -> f64 {
        if self.options.reduction() == Reduction::Sum {
            return losses.iter().map(|&loss| f64::from(loss)).sum();
        }
        let rows = |entries: &[ScheduleEntry]| entries.iter().map(|entry| f64::from(entry.rows)).sum::<f64>();
        let count = Micro::of(&self.options).count;
        let loss = |losses: &[f32]| losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        let batches = losses.chunks(count).zip(entries.chunks(count));
        batches.map(|(losses, entries)| loss(losses) * rows(entries)).sum::<f64>() / rows(entries)
    }

    /// Runs `phases` on every batch in `entries`, in parts as long as their [`Pace`] says. While one part runs, `take` gets
    /// the numbers of the rows of the part before with its losses and, where `outputs` are wanted, its outputs, and the
    /// rows of the next part are streamed. Where `take` changes the learning rate, the parts to come have the new one.
    fn sweep(
        &mut self,
        phases: &'static [Phase],
        data: &Dataset,
        order: &[u32],
        entries: &[ScheduleEntry],
        outputs: bool,
        mut take: impl FnMut(&mut Trainer, Range<usize>, &[f32], &[f32]) -> Result<ControlFlow<()>>,
    ) -> Result<ControlFlow<()>> {
        let micro = Micro::of(&self.options);
        let rows = |steps: &Range<usize>| micro.rows_of(steps, order.len());
        let output = micro.rows * self.network.outputs();
        let scheduled = self.schedule_len();
        let most = self.region.map_or(usize::MAX, |region| region / self.options.batch * micro.count);
        let most = if outputs { most.min(OUTPUTS_READ / (4 * output)).max(1) } else { most };
        let mut pace = self.paces.get(phases).copied().unwrap_or_default();
        let mut since = Instant::now();
        let mut pending = None;
        let mut done = 0;
        while done < entries.len() || pending.is_some() {
            let handed_over = if done < entries.len() {
                let at = done % scheduled;
                if at == 0 {
                    let entries = self.at_rate(&entries[done..entries.len().min(done + scheduled)]);
                    self.executor.schedule(&entries)?;
                }
                let next = pace.steps().min(most).min(scheduled - at).min(entries.len() - done);
                let steps = done..done + next;
                if let Some(region) = self.region {
                    feed::feed(self.executor.as_mut(), (region, self.options.weighted), data, order, rows(&steps))?;
                }
                let outputs = if outputs {
                    Some(self.executor.run_and_read(phases, next, Slot::Output, 0..output)?)
                } else {
                    self.run(phases, &steps, entries.len())?;
                    None
                };
                done += next;
                if phases == self.options.planner.gathered_step() {
                    self.updates += steps.clone().filter(|&step| micro.is_last(step, entries.len())).count() as u64;
                }
                Some((steps, self.executor.read(Slot::Losses, at..at + next)?, outputs))
            } else {
                None
            };
            if let Some((steps, losses, outputs)) = std::mem::replace(&mut pending, handed_over) {
                let losses = losses.wait()?;
                let mut outputs = outputs.map_or(Ok(Vec::new()), |outputs| outputs.wait())?;
                if micro.count > 1 && !outputs.is_empty() {
                    // Behind a micro-batch there may be padding.
                    let cols = self.network.outputs();
                    let parts = entries[steps.clone()].iter().zip(outputs.chunks(output));
                    outputs = parts.flat_map(|(entry, part)| part[..entry.rows as usize * cols].to_vec()).collect();
                }
                pace.took(steps.len(), since.elapsed());
                since = Instant::now();
                self.paces.insert(phases, pace);
                let rate = self.options.learning_rate;
                if take(self, rows(&steps), &losses, &outputs)?.is_break() {
                    return Ok(ControlFlow::Break(()));
                }
                if self.options.learning_rate != rate && done % scheduled > 0 {
                    let first = done - done % scheduled;
                    let entries = self.at_rate(&entries[first..entries.len().min(first + scheduled)]);
                    self.executor.write_words(Slot::Schedule, 0, bytemuck::cast_slice(&entries))?;
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The entries of the micro-batches of a batch that has `entry`.
fn parts_of(micro: Micro, entry: ScheduleEntry) -> Vec<ScheduleEntry> {
    let part = |at: u32| {
        let rows = (entry.rows - at).min(micro.rows as u32);
        // Each part draws random numbers of its own.
        ScheduleEntry { rows, first: entry.first + at, seed: entry.seed.wrapping_add(at), ..entry }
    };
    (0..entry.rows).step_by(micro.rows).map(part).collect()
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
    gradients_by(device, network, values, &TrainerOptions::new(loss), batch)
}

fn gradients_by(
    device: &Device,
    network: &Network,
    values: &[f32],
    trainer: &TrainerOptions,
    batch: &Batch<'_>,
) -> Result<Gradients> {
    network.validate()?;
    let params = Params::of(network);
    if values.len() != params.len {
        return Err(Error::shape("the parameter arena", params.len, values.len()));
    }
    let rows = check_batch(network, trainer.target_width(network.outputs()), batch, usize::MAX)?;
    let weighted = trainer.weighted;
    let options = TrainingOptions { all_gradients: true, weighted, ..TrainingOptions::new(rows, trainer.loss) };
    let mut executor = device.executor(Plan::training(network, &options)?)?;
    executor.write(Slot::Params, 0, values)?;
    executor.write(Slot::Input, 0, batch.inputs)?;
    executor.write(Slot::Target, 0, batch.targets)?;
    let loss_scale = trainer.reduction().scale(rows, network.outputs()) as f32;
    executor.schedule(&[ScheduleEntry::training(0.0, loss_scale, rows)])?;
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

/// Whether steps on the same batch differ by how many there were before.
fn counts_steps(network: &Network, options: &TrainerOptions) -> bool {
    options.optimizer.rule().counts_steps() || network.drops_out()
}

fn plan_options(
    device: &Device,
    network: &Network,
    options: &TrainerOptions,
    steps: usize,
    data_rows: usize,
) -> Result<TrainingOptions> {
    if steps == 0 {
        return Err(Error::Config("at least one loss must be kept, found losses_kept = 0".into()));
    }
    let steps = if counts_steps(network, options) { steps.max(COUNTED) } else { steps };
    Ok(TrainingOptions { steps, data_rows, workgroup_memory: device.workgroup_memory(), ..options.plan() })
}

/// The number of rows, where both lengths agree with the network and with each other.
fn check_batch(network: &Network, targets: usize, batch: &Batch<'_>, most: usize) -> Result<usize> {
    let rows = batch.inputs.len() / network.inputs;
    if rows == 0 || rows * network.inputs != batch.inputs.len() || rows > most {
        let expected = if most == usize::MAX { "one or more".to_owned() } else { format!("1 to {most}") };
        let expected = format!("{expected} rows of {} numbers", network.inputs);
        return Err(Error::shape("the inputs of a batch", expected, format!("{} numbers", batch.inputs.len())));
    }
    if rows * targets != batch.targets.len() {
        let expected = format!("{rows} rows of {targets} numbers");
        return Err(Error::shape("the targets of a batch", expected, format!("{} numbers", batch.targets.len())));
    }
    Ok(rows)
}

/// The first of the largest elements.
pub fn argmax(row: &[f32]) -> usize {
    row.iter().enumerate().fold(0, |best, (i, x)| if *x > row[best] { i } else { best })
}
