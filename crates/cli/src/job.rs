//! A training run with everything decided.

use crate::recorded::Recorded;
use crate::settings::{DataSettings, MEMORY, MicroBatch, NetworkSettings, Settings, TaskKind, Validation, at_least_1};
use crate::sources::{Loaded, Start, check_task};
use crate::tuning::{PlannerChoice, summary, warn};
use std::path::{Path, PathBuf};
use std::time::Duration;
use wgrad::data::{
    ColumnSummary, Encoding, Missing, Scaling, ScalingKind, Split, Survey, Task, Unknown, folds, read_columns, split,
};
use wgrad::device::{DeviceChoice, Selection};
use wgrad::init::initialize;
use wgrad::optimizer::Momentum;
use wgrad::plan::{Plan, Planner, TrainingOptions};
use wgrad::train::{Control, largest_micro_batch, streamed_rows};
use wgrad::tune::{self, Pinned, Tuner};
use wgrad::{
    Dataset, Device, Error, Init, Loss, Model, Network, Optimizer, Params, Precision, PrecisionChoice, Result, Trainer,
    TrainerOptions,
};

/// A training run: its settings without a gap, and what they came to.
pub struct Job {
    /// The settings, complete.
    pub settings: Settings,
    /// The rows to train on, scaled like the other parts.
    pub train: Dataset,
    /// The rows to watch training by.
    pub validation: Option<Dataset>,
    /// The rows to judge the trained network by.
    pub test: Option<Dataset>,
    /// What the columns of a file hold.
    pub columns: Vec<ColumnSummary>,
    /// What made inputs of columns, where they are not numbers that are inputs as they are.
    pub encoding: Option<Encoding>,
    /// How the inputs were scaled.
    pub scaling: Scaling,
    /// The architecture.
    pub network: Network,
    /// How to train it.
    pub options: TrainerOptions,
    /// Who has to wire the training step; `None` where that is measured.
    pub planner: Option<Planner>,
    /// How often to go through the training rows.
    pub epochs: usize,
    /// Where the trained model goes.
    pub destination: PathBuf,
    /// The data set before it was split and scaled, where it is to be split into folds.
    whole: Option<(Loaded, bool)>,
    /// The initial weights, where they are not drawn.
    weights: Option<Vec<f32>>,
    /// The choices of the model that is gone on from, or of the one to train like.
    recorded: Option<Recorded>,
}

impl Job {
    /// Fills the gaps in `settings` by the defaults, which depend on the data, and reads the data.
    pub fn resolve(mut settings: Settings) -> Result<Job> {
        let training = &mut settings.training;
        let epochs = at_least_1("epochs", *training.epochs.get_or_insert(40))?;
        let seed = *training.seed.get_or_insert(0);
        training.device.get_or_insert("auto".into());
        training.precision.get_or_insert(PrecisionChoice::F32);
        let step = training.step()?;
        let start = training.init.get_or_insert(Start::Drawn(Init::Auto)).clone();
        let init = match start {
            Start::Drawn(init) => init,
            Start::File(_) => Init::Auto,
        };
        let planner = training.planner.get_or_insert(PlannerChoice::Auto).named();
        let like = training.like.clone();
        let destination = settings.output.destination().to_owned();

        // Where nothing is said about the network, it is the one that the weights belong to.
        let model = match &start {
            Start::File(path) if settings.network == NetworkSettings::default() => {
                let model = Model::load(path)?;
                settings.network.layers = Some(model.network.layers.clone());
                Some(model)
            }
            _ => None,
        };
        if settings.training.loss.is_none() {
            settings.training.loss = model.as_ref().and_then(|model| model.loss);
        }
        // Its columns are those of the data.
        let origin = match (&start, &model) {
            (Start::File(path), None) => Model::load(path).ok(),
            _ => model.clone(),
        };
        check_folds(&mut settings.data)?;
        let loaded = load(&mut settings, origin.as_ref())?;
        let fitted = origin.as_ref().is_some_and(|model| model.encoding.is_some());
        let mut parts = Parts::load(&loaded, &mut settings.data, fitted, seed)?;
        let data = &parts.train;
        let learning_rate = settings.training.learning_rate(&data.task)?;
        let fallback = match data.task {
            Task::Classification { .. } => Loss::SoftmaxCrossEntropy,
            Task::Regression { .. } => Loss::MeanSquaredError,
        };
        let loss = *settings.training.loss.get_or_insert(fallback);
        let network = settings.network.network(data.inputs.cols, data.targets.cols, loss, &data.name)?;
        loss.check_output(network.output_activation())?;
        let model = match (&start, model) {
            (Start::File(path), None) => Some(load_weights(path, &network)?),
            (_, model) => model,
        };
        if let Some(model) = &model {
            check_origin(model, data, loss)?;
        }

        let given = model.as_ref().and_then(|model| model.scaling.clone());
        let scaling = parts.prepare(&mut settings, given)?;
        let Parts { mut train, validation, test, columns, encoding, .. } = parts;
        settings.training.teach(&mut train)?;

        let whole = settings.data.folds.is_some().then_some((loaded, fitted));
        // What is in files would be in memory again on a device that is the CPU.
        let spared = train.inputs.data.in_a_file().then_some(settings.data.memory.unwrap_or(MEMORY).0 / 4);
        let data_budget = settings.training.data_memory.map(|size| size.0).or(spared).unwrap_or(u64::MAX);
        let weighted = [Some(&train), validation.as_ref(), test.as_ref()].into_iter().flatten().any(has_weights);
        let options = TrainerOptions { loss, learning_rate, init, seed, data_budget, weighted, ..step };
        let recorded = match (like, &start, &model) {
            (Some(path), ..) => Some(recorded(&path, planner)?),
            (None, Start::File(path), Some(model)) => Recorded::of(path, model, false),
            _ => None,
        };
        let weights = model.map(|model| model.values);
        Ok(Job {
            settings,
            train,
            validation,
            test,
            columns,
            encoding: (!encoding.is_plain()).then_some(encoding),
            scaling,
            network,
            options,
            planner,
            epochs,
            destination,
            whole,
            weights,
            recorded,
        })
    }

    /// Decides the precision for `device`, and says why it is what it is, as a clause.
    pub fn decide_precision(&mut self, device: &Device) -> Result<String> {
        let choice = self.settings.training.precision.unwrap_or_default();
        let reason;
        (self.options.precision, reason) = precision_of(&self.network, self.options.loss, choice, device)?;
        Ok(reason)
    }

    /// Finds the largest micro-batch for `device` where that is asked for, and says what came out, as a clause.
    pub fn decide_micro_batch(&mut self, device: &Device) -> Result<Option<String>> {
        if self.settings.training.micro_batch != Some(MicroBatch::Auto) {
            return Ok(None);
        }
        let planner = self.planner.unwrap_or_default();
        let options = TrainerOptions { planner, ..self.options };
        self.options.micro_batch = largest_micro_batch(device, &self.network, &options)?;
        Ok(Some(match self.options.micro_batch {
            None => format!("a batch of {} rows fits as a whole", self.options.batch),
            Some(rows) => format!("{rows} rows at a time fit, of a batch of {}", self.options.batch),
        }))
    }

    /// The same run on each fold of the data set: it is the test, and all other rows are trained on, which the scaling is
    /// fitted to anew.
    pub fn fold_jobs(&self) -> Result<Vec<impl FnOnce() -> Result<Job> + use<'_>>> {
        let (Some((data, fitted)), Some(count)) = (&self.whole, self.settings.data.folds) else {
            return Ok(Vec::new());
        };
        let seed = self.options.seed;
        let folds = folds(data.rows(), data.labels().as_deref(), count, seed)?;
        let fold = move |test: Vec<u32>| {
            move || {
                let mut settings = self.settings.clone();
                let mut held_out = vec![false; data.rows()];
                test.iter().for_each(|&row| held_out[row as usize] = true);
                let others: Vec<u32> = (0..data.rows() as u32).filter(|&row| !held_out[row as usize]).collect();
                let share = match settings.data.validation {
                    Some(Validation::Share(share)) => share,
                    Some(Validation::File(_)) | None => 0.0,
                };
                let labels =
                    data.labels().map(|labels| others.iter().map(|&row| labels[row as usize]).collect::<Vec<_>>());
                let inner = split(others.len(), labels.as_deref(), 0.0, share, seed)?;
                let of = |rows: Vec<u32>| rows.into_iter().map(|row| others[row as usize]).collect();
                let rows = Split { train: of(inner.train), validation: of(inner.validation), test };
                let given = self.weights.as_ref().map(|_| self.scaling.clone());
                let mut parts = Parts::of_rows(data, &rows, *fitted)?;
                let scaling = parts.prepare(&mut settings, given)?;
                let Parts { mut train, validation, test, columns, encoding, .. } = parts;
                settings.training.teach(&mut train)?;
                Ok(Job {
                    settings,
                    train,
                    validation,
                    test,
                    columns,
                    encoding: (!encoding.is_plain()).then_some(encoding),
                    scaling,
                    network: self.network.clone(),
                    destination: self.destination.clone(),
                    whole: None,
                    weights: self.weights.clone(),
                    recorded: None,
                    ..*self
                })
            }
        };
        Ok(folds.into_iter().map(fold).collect())
    }

    /// The trainer, before its first step.
    pub fn trainer(&self, device: &Device, pinned: &Pinned) -> Result<Trainer> {
        let options = TrainerOptions { planner: pinned.planner, ..self.options };
        let drawn;
        let values = match &self.weights {
            Some(values) => values,
            None => {
                drawn = initialize(&self.network, &Params::of(&self.network), options.init, options.seed)?;
                &drawn
            }
        };
        let mut trainer = Trainer::with_variants(device, self.network.clone(), values, options, pinned.choice())?;
        if let Some(schedule) = &self.settings.training.schedule {
            trainer.set_schedule(schedule.clone(), self.epochs);
        }
        Ok(trainer)
    }

    /// When the run ends before its last epoch.
    pub fn control(&self) -> Result<Control> {
        let training = &self.settings.training;
        let time = match training.max_seconds {
            None => None,
            Some(seconds) => Some(Duration::try_from_secs_f64(seconds).map_err(|_| {
                Error::Config(format!("max_seconds must be a number of seconds, at least 0, found {seconds}"))
            })?),
        };
        if let Some(stop_at) = training.stop_at.filter(|stop_at| stop_at.is_nan()) {
            return Err(Error::Config(format!("stop_at must be a number, found {stop_at}")));
        }
        Ok(Control { patience: training.patience, stop_at: training.stop_at, time, keep_good: true })
    }

    /// The device asked for.
    pub fn device(&self) -> DeviceChoice {
        self.settings.training.device.as_deref().map_or(DeviceChoice::Auto, DeviceChoice::from)
    }

    fn to_tune(&self) -> tune::Job<'_> {
        let steps = self.epochs as u64 * self.train.rows().div_ceil(self.options.batch) as u64;
        tune::Job { network: &self.network, options: self.plan_options(), planner: self.planner, steps: Some(steps) }
    }

    /// Opens the device to train on.
    pub fn select(&self, tuner: &mut Tuner) -> Result<Selection> {
        let choice = self.device();
        if let (DeviceChoice::Auto, Some(Recorded { device, path, demanded: true, .. })) = (&choice, &self.recorded)
            && let Some(device) = Device::called(device)?
        {
            return Ok(Selection { device, reason: format!("as {} was trained", path.display()) });
        }
        tuner.select(&choice, &self.to_tune())
    }

    /// Chooses planner and kernel variants, and says how in one line.
    pub fn choose(&self, tuner: &mut Tuner, device: &Device) -> Result<(Pinned, String)> {
        if let Some(recorded) = &self.recorded {
            let Recorded { path, pinned, .. } = recorded;
            match self.obstacle(recorded, device)? {
                None => {
                    let words = format!("planner {} and kernel variants as in {}", pinned.planner, path.display());
                    return Ok((pinned.clone(), words));
                }
                Some(why) if recorded.demanded => {
                    return Err(Error::Config(format!(
                        "cannot train like {}: {why}; leave --like or --resume out",
                        path.display()
                    )));
                }
                Some(_) => {}
            }
        }
        let tuning = tuner.tune(device, &self.to_tune())?;
        warn(tuner);
        let words = summary(&tuning);
        Ok((tuning.pinned, words))
    }

    /// Why the recorded choices would not give the recorded bits.
    fn obstacle(&self, recorded: &Recorded, device: &Device) -> Result<Option<String>> {
        let Recorded { device: name, batch, precision, pinned, .. } = recorded;
        if *name != device.name() {
            return Ok(Some(format!("it was trained on {name}, and this is {}", device.name())));
        }
        if self.planner.is_some_and(|planner| planner != pinned.planner) {
            return Ok(Some(format!("it was trained by the planner {}", pinned.planner)));
        }
        if *batch != self.options.batch {
            return Ok(Some(format!("it was trained in batches of {batch}, not {}", self.options.batch)));
        }
        if *precision != self.options.precision.name() {
            let found = self.options.precision;
            return Ok(Some(format!("it was trained with --precision {precision}, and this run has {found}")));
        }
        if matches!(device, Device::Cpu) {
            return Ok(None);
        }
        let plan = Plan::training(&self.network, &TrainingOptions { planner: pinned.planner, ..self.plan_options() })?;
        Ok(pinned.variants.missing(&plan).map(|place| format!("it does not say which variant ran {place}")))
    }

    /// What the plan of the run is built for: the data set is on the device, or streamed where it is larger than the
    /// settings allow; one epoch is scheduled at once.
    pub fn plan_options(&self) -> TrainingOptions {
        let sets = || std::iter::once(&self.train).chain(&self.validation).map(Dataset::rows);
        let steps = sets().max().unwrap_or(0).div_ceil(self.options.batch);
        let rows = sets().sum();
        let data_rows = streamed_rows(&self.network, &self.options, rows, u64::MAX).unwrap_or(rows);
        TrainingOptions { steps, data_rows, ..self.options.plan() }
    }

    /// The description of the run in one line.
    pub fn describe(&self) -> String {
        let TrainerOptions { loss, batch, learning_rate, .. } = self.options;
        let optimizer = match self.options.optimizer {
            Optimizer::Momentum(Momentum { momentum, nesterov, .. }) => {
                format!("momentum {momentum}{}", if nesterov { " (Nesterov)" } else { "" })
            }
            other => other.rule().name().to_owned(),
        };
        let schedule = self.settings.training.schedule.as_ref().map_or(String::new(), |s| format!(" ({s})"));
        format!(
            "{loss}, {optimizer}, learning rate {learning_rate}{schedule}, batches of {batch}, {} epochs{}",
            self.epochs,
            self.around().iter().map(|(name, value)| format!(", {name} {value}")).collect::<String>()
        )
    }

    /// What is done beside the steps themselves, by the names of the settings.
    pub fn around(&self) -> Vec<(&'static str, String)> {
        let training = &self.settings.training;
        let number = |value: Option<f64>| value.map(|value| value.to_string());
        let all = [
            ("micro_batch", self.options.micro_batch.map(|rows| rows.to_string())),
            ("reduction", self.options.reduction.map(|reduction| format!("{reduction:?}").to_lowercase())),
            ("class_weights", training.class_weights.as_ref().map(ToString::to_string)),
            ("label_smoothing", number(training.label_smoothing)),
            ("l1", number(training.l1)),
            ("l2", number(training.l2)),
            ("clip_value", number(training.clip_value)),
            ("clip_norm", number(training.clip_norm)),
            ("average", number(training.average)),
        ];
        all.into_iter().filter_map(|(name, value)| Some((name, value?))).collect()
    }
}

/// The precision that `choice` means for a network and its loss on `device`, and why, as a clause.
pub fn precision_of(
    network: &Network,
    loss: Loss,
    choice: PrecisionChoice,
    device: &Device,
) -> Result<(Precision, String)> {
    let what = match loss {
        Loss::Equation(_) => "equations are",
        _ if !network.is_plain() => "layers with normalisation, dropout or residual connections are",
        _ => return device.precision(choice),
    };
    match choice {
        PrecisionChoice::Auto => Ok((Precision::F32, format!("{what} computed in f32"))),
        _ => device.precision(choice),
    }
}

/// The choices of the model to train like.
fn recorded(path: &Path, planner: Option<Planner>) -> Result<Recorded> {
    let refuse = |what: String| Error::Model { path: path.to_owned(), what };
    let model = Model::load(path)?;
    let recorded = Recorded::of(path, &model, true).ok_or_else(|| {
        refuse("it does not say with which device, planner and kernel variants it was trained; leave --like out".into())
    })?;
    match planner {
        Some(planner) if planner != recorded.pinned.planner => Err(Error::Config(format!(
            "{} was trained by the planner {}, not by {planner}; leave --planner or --like out",
            path.display(),
            recorded.pinned.planner
        ))),
        _ => Ok(recorded),
    }
}

/// What the rows of a data set are for.
struct Parts {
    train: Dataset,
    validation: Option<Dataset>,
    test: Option<Dataset>,
    columns: Vec<ColumnSummary>,
    encoding: Encoding,
    /// Whether the encoding is that of a model that is gone on from.
    fitted: bool,
}

impl Parts {
    /// Divides the rows; missing values are still missing, and nothing is scaled.
    fn load(loaded: &Loaded, data: &mut DataSettings, fitted: bool, seed: u64) -> Result<Parts> {
        let test = *data.test.get_or_insert(0.2);
        let validation = match data.validation.get_or_insert(Validation::Share(0.1)) {
            Validation::Share(share) => *share,
            Validation::File(_) => 0.0,
        };
        let rows = split(loaded.rows(), loaded.labels().as_deref(), test, validation, seed)?;
        let parts = Parts::of_rows(loaded, &rows, fitted)?;
        data.task = Some(match parts.train.task {
            Task::Classification { .. } => TaskKind::Classification,
            Task::Regression { .. } => TaskKind::Regression,
        });
        Ok(parts)
    }

    fn of_rows(loaded: &Loaded, rows: &Split, fitted: bool) -> Result<Parts> {
        let mut parts = loaded.parts(&[&rows.train, &rows.validation, &rows.test])?.into_iter();
        let mut next = || parts.next().ok_or_else(|| Error::Config("expected three parts of the data".into()));
        let (train, validation, test) = (next()?, next()?, next()?);
        let some = |part: Dataset| Some(part).filter(|part| part.rows() > 0);
        Ok(Parts {
            train,
            validation: some(validation),
            test: some(test),
            columns: loaded.columns().to_vec(),
            encoding: loaded.encoding(),
            fitted,
        })
    }

    /// Fills missing values in and scales: by the `given` scaling, where it is of the kind wanted, since weights that are gone
    /// on from belong to the scaling they were trained with; otherwise by one that is fitted to the training rows alone.
    fn prepare(&mut self, settings: &mut Settings, given: Option<Scaling>) -> Result<Scaling> {
        let data = &mut settings.data;
        if !self.fitted {
            self.encoding.fit_missing(data.missing.as_ref().unwrap_or(&Missing::Error), &self.train.inputs)?;
        }
        if let Some(Validation::File(path)) = &data.validation {
            self.validation = Some(validation(path, data, settings.training.loss, &self.train, &self.encoding)?);
        }
        for part in [Some(&mut self.train), self.validation.as_mut(), self.test.as_mut()].into_iter().flatten() {
            self.encoding.fill(&mut part.inputs);
            part.validate()?;
        }
        let fallback = given.as_ref().map_or(ScalingKind::Standard, |scaling| scaling.kind);
        let kind = *data.scaling.get_or_insert(fallback);
        let given = given.filter(|scaling| scaling.kind == kind);
        let scaling = given.unwrap_or_else(|| self.encoding.fit_scaling(kind, &self.train.inputs));
        for part in [Some(&mut self.train), self.validation.as_mut(), self.test.as_mut()].into_iter().flatten() {
            scaling.apply(&mut part.inputs)?;
        }
        Ok(scaling)
    }
}

/// Reads the rows to watch training by from a file of their own.
fn validation(
    path: &Path,
    settings: &DataSettings,
    loss: Option<Loss>,
    train: &Dataset,
    encoding: &Encoding,
) -> Result<Dataset> {
    // Format and labels are those of the training data.
    let options = wgrad::data::ReadOptions { format: None, labels: None, ..settings.read_options() };
    match (loss, &train.task) {
        (Some(Loss::Equation(_)), Task::Regression { outputs }) => {
            read_columns(path, &options, &train.features, outputs)
        }
        _ => Survey::like(path, &options, encoding, &train.task)?.load(),
    }
}

fn has_weights(data: &Dataset) -> bool {
    data.weights.is_some()
}

/// With folds each row is a test once, and no other is held out unless it is asked for.
fn check_folds(settings: &mut DataSettings) -> Result<()> {
    let Some(count) = settings.folds else { return Ok(()) };
    if let Some(test) = settings.test.filter(|&test| test != 0.0) {
        return Err(Error::Config(format!(
            "--folds {count} tests by every row once, found a share of {test} for the test; leave --test out"
        )));
    }
    settings.test = Some(0.0);
    settings.validation.get_or_insert(Validation::Share(0.0));
    Ok(())
}

fn load(settings: &mut Settings, origin: Option<&Model>) -> Result<Loaded> {
    let data = &mut settings.data;
    let Some(source) = &data.source else {
        let what =
            "the table [data] needs a `source`: \"digits\", synthetic data such as \"moons\", or the name of a file";
        return Err(Error::Config(what.into()));
    };
    match settings.training.loss {
        Some(Loss::Equation(equation)) => {
            let scaling = data.scaling.get_or_insert(ScalingKind::None);
            if *scaling != ScalingKind::None || data.target.is_some() {
                let what = "an equation names its columns, and its derivatives are by the numbers as they are; leave \
                            --target out, and --scaling unless it is none";
                return Err(Error::Config(what.into()));
            }
            source.load_equation(equation, &data.read_options()).map(Loaded::Whole)
        }
        _ => {
            let loaded = source.load(&data.read_options(), origin, settings.training.seed.unwrap_or_default())?;
            if let Loaded::File(_) = loaded {
                data.missing.get_or_insert(Missing::Error);
                data.unknown.get_or_insert(Unknown::Error);
            }
            Ok(loaded)
        }
    }
}

/// The model in the file `path`, which may be a plain state dict, where it has the shape of `network`.
fn load_weights(path: &Path, network: &Network) -> Result<Model> {
    let activations: Vec<_> = network.layers.iter().map(|layer| layer.activation).collect();
    let model = Model::load_with_activations(path, &activations)?;
    let shapes = |network: &Network| -> Vec<_> {
        Params::of(network).tensors.iter().map(|tensor| (tensor.name.clone(), tensor.shape())).collect()
    };
    if shapes(&model.network) == shapes(network) {
        return Ok(model);
    }
    let what = format!(
        "the weights are those of a network {}, but the settings describe {network}; change --hidden and --bias, or leave \
         the settings of the network out to take the model's",
        model.network
    );
    Err(Error::Model { path: path.to_owned(), what })
}

/// Checks that the data has the inputs and answers of the model that is gone on from.
fn check_origin(model: &Model, data: &Dataset, loss: Loss) -> Result<()> {
    // The data of an equation are no answers.
    if let (Some(task), false) = (&model.task, matches!(loss, Loss::Equation(_))) {
        check_task(task, data)?;
    }
    let (expected, found) = (model.network.inputs, data.inputs.cols);
    let different = model.features.iter().zip(&data.features).find(|(expected, found)| expected != found);
    let what = match different {
        _ if expected != found => format!("the model takes {expected} inputs, found {found}"),
        Some((expected, found)) => {
            format!(
                "the model takes the input {expected:?} where the data has {found:?}; order the columns like its own"
            )
        }
        None => return Ok(()),
    };
    Err(Error::Data { place: data.name.clone(), what })
}
