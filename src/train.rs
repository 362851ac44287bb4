//! **A training step happens here**: [`Trainer::step`] on a batch from the host, [`Trainer::fit`] over a data set that
//! lives on the device or is streamed to it. Both hand phases of one [`Plan`] to an executor; nothing comes back unless it is asked for.

mod control;
mod evaluation;
mod feed;
mod fit;
mod gradients;
mod micro;
mod observer;
mod range;
mod state;
mod sweep;

pub use control::{Control, Ended, Run};
pub use evaluation::Evaluation;
pub use feed::streamed_rows;
pub use gradients::{Gradients, gradients};
pub use micro::largest_micro_batch;
pub use observer::{Moment, Observer, Running};
pub use range::{RangePoint, RangeTest, RateRange};
pub use state::State;
pub(crate) use state::{Counts, Memory, numbers};

use crate::data::Dataset;
use crate::device::Device;
use crate::executor::Executor;
use crate::gpu::VariantChoice;
use crate::init::{Init, initialize};
use crate::kernel::mixed::SCALER_LEN;
use crate::loss::{Loss, Reduction};
use crate::network::{Layer, Network, Normalization};
use crate::optimizer::Optimizer;
use crate::pace::Pace;
use crate::params::Params;
use crate::plan::{Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use crate::precision::Precision;
use crate::schedule::{Progress, Schedule};
use crate::treatment::Treatments;
use crate::{Error, Result};
use gradients::gradients_by;
use micro::Micro;
use serde::{Deserialize, Serialize};
use std::collections::HashMap;
use sweep::parts_of;

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
    /// gradients are summed before the update. It is the batch's gradient, up to the rounding of the sums. Batch
    /// normalisation takes the statistics of each micro-batch, which the running statistics follow one by one; dropout
    /// draws other masks.
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

/// Steps on one batch that are scheduled at once where they differ by their number.
const COUNTED: usize = 1024;

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
        let by_batch = |layer: &Layer| layer.normalization == Normalization::Batch;
        if Micro::of(&options).rows == 1 && network.layers.iter().any(by_batch) {
            return Err(Error::Config(
                "batch normalisation takes batches, or micro-batches, of at least 2 rows, found 1: one row less its own \
                 mean is 0; use larger ones, or layer normalisation"
                    .into(),
            ));
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
