//! `wgrad train`

use super::evaluate::tables;
use crate::checkpoints::{Checkpoints, Resumed};
use crate::context::Context;
use crate::files::check_destination;
use crate::folds::cross_validate;
use crate::interrupt;
use crate::job::Job;
use crate::progress::Progress;
use crate::settings::Settings;
use crate::sources::Source;
use crate::sources::{Given, Start};
use crate::tui::Tui;
use crate::tuning::{TuneArgs, warn};
use crate::watch::Watchers;
use crate::watch::log::Log;
use crate::words::{Score, describe, short, surroundings};
use serde_json::{Value, json};
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wgrad::data::{ColumnSummary, Scaling, Task};
use wgrad::metrics::Metrics;
use wgrad::train::{Ended, Evaluation, State};
use wgrad::tune::{Effort, Pinned};
use wgrad::{Dataset, Device, Error, Loss, Model, PrecisionChoice, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wgrad train flowers.csv --target species --hidden 64,32 --out flowers.safetensors",
    after_long_help = HELP
)]
pub struct Args {
    /// `digits` (the bundled handwritten digits), synthetic data (NAME:ROWS:NOISE, such as moons:500:0.2 or moons), a file of
    /// data (CSV with a line of column names, or another --format), a folder of images, - for standard input, or a
    /// configuration (.toml)
    #[arg(value_name = "digits|NAME[:ROWS[:NOISE]]|FILE|CONFIG.toml", required_unless_present = "resume")]
    data: Option<Given>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    tune: TuneArgs,
    /// Go on with an interrupted run from its checkpoint: the folder of its checkpoints, or a file in it. What is not said is as
    /// it was; --epochs and when to stop may change
    #[arg(long, value_name = "DIR|FILE")]
    resume: Option<PathBuf>,
    /// Watch the training on the whole terminal: curves, throughput, the gradient of each layer, confusion matrix, decision
    /// boundary; with keys to pause, to save, to lower the learning rate, and to stop
    #[arg(long)]
    tui: bool,
    /// Print the complete configuration that these settings come to, and do not train
    #[arg(long)]
    print_config: bool,
}

const HELP: &str = r#"Examples:
  wgrad train digits
  wgrad train spirals:2000:0.05 --hidden 64,64
  wgrad train flowers.csv --target species --hidden 64,32 --out flowers.safetensors
  wgrad train flowers.csv --print-config > flowers.toml
  wgrad train flowers.toml --lr 0.005
  wgrad train digits --epochs 200 --checkpoint-every 10
  wgrad train --resume model.checkpoints

A configuration says what the flags say, and may describe the network layer
by layer, the output layer last. Flags override it; paths in it are relative
to it.

  [data]
  source = "flowers.csv"
  target = "species"

  [[network.layers]]
  outputs = 32
  activation = "tanh"
  freeze_weight = true

  [[network.layers]]
  outputs = 3
  activation = "linear"

  [training]
  learning_rate = 0.005

Synthetic data are half-plane, xor, circles, moons, spirals (two classes of
points) and sine (a regression); 1000 rows with noise of deviation 0.1, where
nothing else is said, drawn by --seed.

A checkpoint is a model file too. A run that goes on from it ends with the
bits that it would have had; network, data, optimizer and schedule have to be
the same, and --epochs may be raised.

Ctrl-C ends the training early: the model is evaluated and saved as it is
then, and the exit code is 130. Pressed twice, it ends at once and saves
nothing, as does a loss that is not finite. With checkpoints, the last one is
that of the epoch before. SIGTERM does the same, with exit code 143."#;

pub fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let mut settings = match &args.data {
        Some(given) => Settings::gather(given, args.settings, context)?,
        None => args.settings.with_globals(context),
    };
    let resumed = args.resume.as_deref().map(Resumed::load).transpose()?;
    if let Some(resumed) = &resumed {
        settings = resumed.settings(settings)?;
        // What cross-validation came to was said before the run began.
        settings.data.folds = None;
    }
    let saves = settings.data.folds.is_none() || settings.output.model.is_some();
    if !saves {
        check_folds_alone(&settings, args.tui)?;
    }
    if args.print_config {
        let mut complete = Job::resolve(settings)?.settings;
        if !saves {
            complete.output.model = None;
        }
        return print_config(&complete, context);
    }
    let data = match &settings.data.source {
        Some(Source::File(path)) => Some(path.as_path()),
        _ => None,
    };
    if saves {
        check_destination(settings.output.destination(), data.as_slice())?;
    }
    if args.tui {
        Tui::check(context.json)?;
    }
    let logged = match (&resumed, &settings.output.log) {
        (Some(resumed), Some(folder)) => resumed.logged_to(folder)?,
        _ => false,
    };
    if let (Some(folder), false) = (&settings.output.log, logged) {
        Log::check(folder)?;
    }
    let mut job = Job::resolve(settings)?;
    if let Some(Resumed { path, checkpoint }) = &resumed {
        checkpoint.state.check_settings(&job.network, &job.options, job.settings.training.schedule.as_ref())?;
        let (done, within) = (checkpoint.state.epochs(), checkpoint.state.steps_within());
        let within = if within > 0 { format!(" and {within} steps") } else { String::new() };
        context.tell("resumed", format_args!("{} after {done} of {} epochs{within}", path.display(), job.epochs))?;
    }
    let (device, pinned) = announce(&mut job, args.tune, context)?;
    // Until here there is nothing to save.
    interrupt::watch();

    let folds = match job.settings.data.folds {
        None => None,
        Some(_) => match cross_validate(&job, &device, &pinned, context)? {
            None => return interrupted(context),
            folds => folds,
        },
    };
    if let Some(folds) = &folds {
        folds.report(context)?;
        if !saves {
            context.result(|| {
                let mut value = folds.to_json();
                value["device"] = json!(device.name());
                value["seed"] = json!(job.options.seed);
                value["model"] = Value::Null;
                value
            })?;
            return Ok(ExitCode::SUCCESS);
        }
    }
    let control = job.control()?;
    let mut trainer = job.trainer(&device, &pinned)?;
    if let Some(resumed) = &resumed {
        trainer.restore(&resumed.checkpoint.state)?;
    }
    let model_of = |state: &State| {
        let mut notes = notes(&job, &device, &pinned);
        notes["epochs"] = json!(state.epochs());
        model(&job, state.parameters().to_vec(), notes)
    };
    let mut checkpoints = Checkpoints::new(&job.settings, &job.destination, &model_of)?;
    if checkpoints.wanted() && resumed.is_none() {
        checkpoints.begin(trainer.state()?);
    }
    let log = match &job.settings.output.log {
        Some(folder) => {
            let run = json!({ "device": device.name(), "planner": pinned.planner.name() });
            Some(match resumed.as_ref().filter(|_| logged) {
                Some(resumed) => Log::go_on(folder, &job, run, resumed.checkpoint.state.epochs())?,
                None => Log::create(folder, &job, run)?,
            })
        }
        None => None,
    };
    let (tui, progress) = match args.tui {
        true => (
            Some(Tui::start(&job, &device.name(), model(&job, Vec::new(), notes(&job, &device, &pinned)))?),
            Progress::silent(job.train.rows(), job.epochs),
        ),
        false => (None, Progress::new(job.train.rows(), job.epochs)),
    };
    let mut watchers = Watchers::new(progress, log, tui, &job.train);
    let mut observers = (&mut watchers, &mut checkpoints);
    let fitted = trainer.fit_under(&control, &job.train, job.validation.as_ref(), job.epochs, &mut observers);
    checkpoints.flush();
    let kept = checkpoints.folder().map(Path::to_owned);
    let Watchers { progress, mut log, tui, .. } = watchers;
    drop(tui);
    let seconds = progress.finish().as_secs_f64();
    let fitted = fitted?;
    let diverged = diverged(&job, &fitted);
    if let (Some(error), None) = (&diverged, fitted.restored) {
        if let Some(log) = &mut log {
            log.note(json!({ "state": ended(&fitted.ended), "seconds": seconds, "epochs": fitted.done() }))?;
        }
        return Err(Error::Data {
            place: error.0.clone(),
            what: format!("{}; nothing was saved; {}", error.1, error.2),
        });
    }
    let test = job.test.as_ref().map(|test| trainer.evaluate(test)).transpose()?;

    let metrics = match (&test, &job.validation) {
        (Some(test), _) => test.metrics.clone(),
        (None, Some(validation)) => trainer.evaluate(validation)?.metrics,
        (None, None) => None,
    };
    let folds = folds.map(|folds| folds.to_json());
    let run = Run {
        job: &job,
        device: &device,
        pinned: &pinned,
        fitted,
        progress,
        seconds,
        test,
        metrics,
        checkpoints: kept,
        folds,
    };
    let model = model(&job, trainer.averaged_parameters()?, run.notes());
    model.save(&job.destination)?;
    if let Some(log) = &mut log {
        log.save(&model)?;
        log.note(run.summary())?;
    }
    let code = run.report(context)?;
    match diverged {
        None => Ok(code),
        Some((place, what, advice)) => {
            let kept = format!("{} has the weights of the epoch before", job.destination.display());
            Err(Error::Data { place, what: format!("{what}; {kept}; {advice}") })
        }
    }
}

/// Refuses what needs a run besides those of the folds.
fn check_folds_alone(settings: &Settings, tui: bool) -> Result<()> {
    let Settings { training, output, .. } = settings;
    let checkpoints =
        training.checkpoint_every.is_some() || training.checkpoint_minutes.is_some() || output.checkpoints.is_some();
    let wanted = [("--log", output.log.is_some()), ("checkpoints", checkpoints), ("--tui", tui)];
    match wanted.into_iter().find(|(_, wanted)| *wanted) {
        None => Ok(()),
        Some((what, _)) => Err(Error::Config(format!(
            "cross-validation alone leaves no model, and {what} would have none to follow; say --out to train one on all \
             rows too, or leave {what} or --folds out"
        ))),
    }
}

/// Folds that were stopped say nothing of the rest, and leave no model.
fn interrupted(context: &Context) -> Result<ExitCode> {
    context.tell("folds", "interrupted; nothing was saved")?;
    context.result(|| json!({ "interrupted": true, "model": null }))?;
    Ok(ExitCode::from(interrupt::exit_code()))
}

fn print_config(settings: &Settings, context: &Context) -> Result<ExitCode> {
    context.say(settings.to_toml()?.trim_end())?;
    context.result(|| json!(settings))?;
    Ok(ExitCode::SUCCESS)
}

/// Opens the device, chooses how to use it, and says what will be done where.
fn announce(job: &mut Job, tune: TuneArgs, context: &Context) -> Result<(Device, Pinned)> {
    let data = &job.train;
    let rows = |part: &Option<Dataset>| part.as_ref().map_or(0, Dataset::rows);
    let answers = match &data.task {
        Task::Classification { classes, .. } => format!("{} classes", classes.len()),
        Task::Regression { outputs } => format!("the numbers {}", outputs.join(", ")),
    };
    context.tell(
        "data",
        format_args!(
            "{}: {} inputs, {answers}; {} rows to train on, {} for validation, {} for the test",
            data.name,
            data.inputs.cols,
            data.rows(),
            rows(&job.validation),
            rows(&job.test)
        ),
    )?;
    if !job.columns.is_empty() {
        context.tell("columns", describe_columns(&job.columns))?;
    }
    let parameters = wgrad::Params::of(&job.network).count();
    context.tell("network", format_args!("{}, {parameters} parameters{}", job.network, surroundings(&job.network)))?;
    context.tell("training", job.describe())?;
    let mut tuner = tune.tuner(Effort::Budget);
    let selection = job.select(&mut tuner)?;
    warn(&mut tuner);
    context.tell("device", format_args!("{}: {}", selection.device.name(), selection.reason))?;
    let precision = job.decide_precision(&selection.device)?;
    if job.settings.training.precision.unwrap_or_default() != PrecisionChoice::F32 {
        context.tell("precision", format_args!("{}: {precision}", job.options.precision))?;
    }
    if let Some(words) = job.decide_micro_batch(&selection.device)? {
        context.tell("micro-batch", words)?;
    }
    let (pinned, words) = job.choose(&mut tuner, &selection.device)?;
    context.tell("choices", words)?;
    Ok((selection.device, pinned))
}

/// What a column of inputs holds, for machines.
fn column(ColumnSummary { name, categories, missing }: &ColumnSummary) -> Value {
    let kind = if categories.is_some() { "category" } else { "number" };
    json!({ "name": name, "kind": kind, "categories": categories, "missing": missing })
}

/// What the columns hold: how many are numbers, then each that is not, or that has missing values.
fn describe_columns(columns: &[ColumnSummary]) -> String {
    const SHOWN: usize = 8;
    let numbers = columns.iter().filter(|column| column.categories.is_none()).count();
    let special = columns.iter().filter(|column| column.categories.is_some() || column.missing > 0);
    let special: Vec<_> = special
        .map(|ColumnSummary { name, categories, missing }| {
            let kind = categories.map_or("numbers".to_owned(), |count| format!("{count} categories"));
            let gaps = if *missing > 0 { format!(", {missing} missing") } else { String::new() };
            format!("{name}: {kind}{gaps}")
        })
        .collect();
    let more = special.len().saturating_sub(SHOWN);
    let more = (more > 0).then(|| format!("{more} more"));
    let shown = special.iter().take(SHOWN).cloned().chain(more);
    std::iter::once(format!("{numbers} of numbers")).chain(shown).collect::<Vec<_>>().join("; ")
}

/// Where a run diverged, what happened, and what to try.
fn diverged(job: &Job, fitted: &wgrad::train::Run) -> Option<(String, String, String)> {
    let Ended::Diverged { epoch, step, tensor } = &fitted.ended else { return None };
    let rate = job.options.learning_rate;
    let scaling = match job.scaling == Scaling::none(job.network.inputs) {
        true => ", or --scaling standard",
        false => "",
    };
    let targets = match &job.train.task {
        Task::Classification { .. } => "",
        Task::Regression { .. } => ", or targets divided to a size near 1",
    };
    let tensor =
        tensor.as_ref().map_or(String::new(), |name| format!(", and {name} is the first tensor with such a number"));
    let what = format!("the loss is not finite: the training diverged{tensor}");
    let advice = format!("try a smaller --lr than {rate}{scaling}{targets}");
    Some((format!("epoch {epoch}, step {step}"), what, advice))
}

/// What the log says of how a run ended.
fn ended(ended: &Ended) -> &'static str {
    match ended {
        Ended::Complete => "complete",
        Ended::Observer => "interrupted",
        Ended::Patience => "ended early: the loss fell no further",
        Ended::Threshold => "ended early: the loss was reached",
        Ended::Time => "ended early: the time was up",
        Ended::Diverged { .. } => "diverged",
    }
}

/// A training run that ended.
struct Run<'a> {
    job: &'a Job,
    device: &'a Device,
    pinned: &'a Pinned,
    fitted: wgrad::train::Run,
    progress: Progress,
    seconds: f64,
    test: Option<Evaluation>,
    /// On the test's rows, or on the validation's where there are none.
    metrics: Option<Metrics>,
    /// The folder of the checkpoints.
    checkpoints: Option<PathBuf>,
    /// What cross-validation came to before.
    folds: Option<Value>,
}

/// The model of `job` with the parameters `values`.
fn model(job: &Job, values: Vec<f32>, notes: Value) -> Model {
    let task = match job.options.loss {
        Loss::Equation(equation) => Task::Regression { outputs: equation.text().outputs.clone() },
        _ => job.train.task.clone(),
    };
    Model {
        network: job.network.clone(),
        values,
        task: Some(task),
        features: job.train.features.clone(),
        encoding: job.encoding.clone(),
        scaling: Some(job.scaling.clone()),
        loss: Some(job.options.loss),
        training: Some(notes),
    }
}

/// How a model is trained. Nothing here may differ between two runs with one seed on one device.
fn notes(job: &Job, device: &Device, pinned: &Pinned) -> Value {
    let training = &job.settings.training;
    let init = match &training.init {
        Some(Start::File(path)) => path.file_name().unwrap_or_default().to_string_lossy().into_owned(),
        start => start.as_ref().map_or(String::new(), Start::to_string),
    };
    let mut notes = json!({
        "wgrad": env!("CARGO_PKG_VERSION"),
        "data": job.train.name,
        "rows": job.train.rows(),
        "validation": job.settings.data.validation,
        "test": job.settings.data.test,
        "device": device.name(),
        "seed": training.seed,
        "init": init,
        "optimizer": training.optimizer,
        "update": job.options.optimizer,
        "momentum": training.momentum,
        "nesterov": training.nesterov,
        "learning_rate": training.learning_rate,
        "schedule": training.schedule.as_ref().map(ToString::to_string),
        "batch": training.batch,
        "choices": pinned,
        "precision": job.options.precision.name(),
    });
    for (name, value) in job.around() {
        notes[name] = json!(value);
    }
    notes
}

impl Run<'_> {
    fn interrupted(&self) -> bool {
        self.fitted.ended == Ended::Observer
    }

    fn final_loss(&self) -> f64 {
        self.fitted.epochs.last().map_or(self.progress.loss, |epoch| epoch.loss)
    }

    /// Why the run ended early, in words.
    fn ending(&self) -> &'static str {
        match self.fitted.ended {
            Ended::Patience => ", the loss fell no further",
            Ended::Threshold => ", the loss was reached",
            Ended::Time => ", the time was up",
            Ended::Diverged { .. } => ", then it diverged",
            Ended::Complete | Ended::Observer => "",
        }
    }

    fn validation(&self) -> Option<&Evaluation> {
        self.fitted.epochs.last()?.validation.as_ref()
    }

    /// How the model was trained, and what came out.
    fn notes(&self) -> Value {
        let mut notes = notes(self.job, self.device, self.pinned);
        if let Some(folds) = &self.folds {
            notes["folds"] = folds["folds"].clone();
        }
        self.results(&mut notes);
        notes
    }

    /// What the log says about the run in the end.
    fn summary(&self) -> Value {
        let mut summary = json!({
            "state": ended(&self.fitted.ended),
            "seconds": self.seconds,
            "restored_epoch": self.fitted.restored,
            "metrics": self.metrics,
        });
        self.results(&mut summary);
        summary
    }

    /// Adds what came out.
    fn results(&self, value: &mut Value) {
        value["epochs"] = json!(self.fitted.done());
        value["final_loss"] = json!(self.final_loss());
        value["skipped_steps"] = json!(self.fitted.skipped);
        for (part, evaluation) in [("validation", self.validation()), ("test", self.test.as_ref())] {
            if let Some(evaluation) = evaluation {
                value[format!("{part}_loss")] = json!(evaluation.loss);
                if let Some(score) = Score::of(evaluation) {
                    value[format!("{part}_{}", score.key)] = json!(score.value);
                }
            }
        }
    }

    fn report(&self, context: &Context) -> Result<ExitCode> {
        let (done, loss) = (self.fitted.done(), short(self.final_loss()));
        let ending = match self.interrupted() {
            true => format!("interrupted in epoch {} of {}, {done} epochs", self.progress.epoch, self.job.epochs),
            false => format!("{done} epochs{}", self.ending()),
        };
        let kept =
            self.fitted.restored.map_or(String::new(), |epoch| format!("; the weights are those of epoch {epoch}"));
        context.tell("trained", format_args!("{ending} in {:.1} s, final loss {loss}{kept}", self.seconds))?;
        if self.fitted.skipped > 0 {
            let why = "a gradient overflowed f16, and the loss scale was halved";
            context.tell("skipped", format_args!("{} steps, whose parameters stayed: {why}", self.fitted.skipped))?;
        }
        if let Some(validation) = self.validation() {
            context.tell("validation", describe(validation))?;
        }
        if let Some(test) = &self.test {
            context.tell("test", describe(test))?;
        }
        if let Some(metrics) = &self.metrics {
            context.say(format_args!("\n{}\n", tables(metrics, false)))?;
        }
        if let Some(folder) = &self.checkpoints {
            context.tell("checkpoints", folder.display())?;
        }
        context.tell("model", self.job.destination.display())?;
        if let Some(log) = &self.job.settings.output.log {
            context.tell("log", log.display())?;
        }
        context.result(|| {
            let mut value = json!({
                "device": self.device.name(),
                "seed": self.job.options.seed,
                "model": self.job.destination,
                "checkpoints": self.checkpoints,
                "seconds": self.seconds,
                "interrupted": self.interrupted(),
                "restored_epoch": self.fitted.restored,
                "metrics": self.metrics,
                "columns": self.job.columns.iter().map(column).collect::<Vec<_>>(),
            });
            self.results(&mut value);
            if let Some(folds) = &self.folds {
                value["cross_validation"] = folds.clone();
            }
            value
        })?;
        Ok(if self.interrupted() { ExitCode::from(interrupt::exit_code()) } else { ExitCode::SUCCESS })
    }
}
