//! The folder of `--log`: written as training goes on, so that a run that is killed leaves what it had.

use super::Record;
use super::events::Events;
use crate::job::Job;
use crate::settings::Settings;
use serde_json::{Value, json};
use std::fs::{self, File};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::{SystemTime, UNIX_EPOCH};
use wgrad::data::write_atomic;
use wgrad::{Dataset, Error, Model, Params, Result};

/// One line an epoch.
pub const METRICS: &str = "metrics.csv";
/// The complete settings, which `wgrad train` takes.
pub const CONFIG: &str = "config.toml";
/// What the run was, and what came out.
pub const RUN: &str = "run.json";
/// The trained model.
pub const MODEL: &str = "model.safetensors";

/// The columns of [`METRICS`].
pub const COLUMNS: [&str; 10] = [
    "epoch",
    "loss",
    "validation_loss",
    "validation_accuracy",
    "validation_r_squared",
    "learning_rate",
    "samples_per_second",
    "seconds",
    "gradient_norm",
    "skipped_steps",
];

/// A log that is being written.
pub struct Log {
    folder: PathBuf,
    metrics: csv::Writer<File>,
    events: Events,
    run: Value,
    /// Of the epochs that were there before, where a run goes on.
    seconds: f64,
}

impl Log {
    /// Refuses a folder that holds the log of another run, which nothing shall be lost of.
    pub fn check(folder: &Path) -> Result<()> {
        let Some(found) = [METRICS, CONFIG, RUN, MODEL].iter().find(|name| folder.join(name).exists()) else {
            return Ok(());
        };
        let free = (2..).map(|i| format!("{}-{i}", folder.display())).find(|name| !Path::new(name).exists());
        let what = format!(
            "it holds {found}, perhaps of an earlier run; choose another folder, such as {}",
            free.unwrap_or_default()
        );
        Err(writing(folder)(io::Error::new(ErrorKind::AlreadyExists, what)))
    }

    /// Makes `folder` where it is not there yet, and begins the log of `job`; `run` says more about it.
    pub fn create(folder: &Path, job: &Job, run: Value) -> Result<Log> {
        Log::check(folder)?;
        Log::begin(folder, job, run, &format!("{}\n", COLUMNS.join(",")), 0.0)
    }

    /// Goes on with the log in `folder` of a run that goes on after `done` epochs: what it says of later ones will be
    /// said again. `run` says more about it. Where the folder holds no log any more, it begins one.
    pub fn go_on(folder: &Path, job: &Job, run: Value, done: usize) -> Result<Log> {
        let path = folder.join(METRICS);
        let text = match fs::read_to_string(&path) {
            Err(error) if error.kind() == ErrorKind::NotFound => return Log::create(folder, job, run),
            text => text.map_err(|source| Error::Io { action: "read", path: path.clone(), source })?,
        };
        let epoch = |line: &str| line.split(',').next().and_then(|epoch| epoch.parse::<usize>().ok());
        // A run that was killed may have left half a line.
        let whole = text.split_inclusive('\n').filter(|line| line.ends_with('\n'));
        let kept: Vec<&str> = whole.filter(|line| epoch(line).is_none_or(|epoch| epoch <= done)).collect();
        let column = COLUMNS.iter().position(|name| *name == "seconds").unwrap_or_default();
        let seconds = kept.last().and_then(|line| line.split(',').nth(column)?.parse().ok()).unwrap_or_default();
        let mut notes = super::runs::notes(folder)?;
        if let (Value::Object(notes), Value::Object(run)) = (&mut notes, run) {
            notes.extend(run);
        }
        Log::begin(folder, job, notes, &kept.concat(), seconds)
    }

    /// Begins with `metrics`, lines that took `seconds`.
    fn begin(folder: &Path, job: &Job, run: Value, metrics: &str, seconds: f64) -> Result<Log> {
        fs::create_dir_all(folder).map_err(writing(folder))?;
        let mut settings = job.settings.clone();
        // Who trains by it again wants another folder.
        settings.output.log = None;
        write_text(&folder.join(CONFIG), &settings.to_toml()?)?;
        let path = folder.join(METRICS);
        write_text(&path, metrics)?;
        let file = File::options().append(true).open(&path).map_err(writing(&path))?;
        let started = run.get("started").cloned();
        let mut log = Log {
            folder: folder.to_owned(),
            metrics: csv::Writer::from_writer(file),
            events: Events::create(folder).map_err(writing(folder))?,
            run,
            seconds,
        };
        let now = || json!(SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()));
        let rows = |part: &Option<Dataset>| part.as_ref().map_or(0, Dataset::rows);
        log.note(json!({
            "wgrad": env!("CARGO_PKG_VERSION"),
            "state": "running",
            "started": started.unwrap_or_else(now),
            "data": job.train.name,
            "rows": { "train": job.train.rows(), "validation": rows(&job.validation), "test": rows(&job.test) },
            "network": job.network.to_string(),
            "parameters": Params::of(&job.network).count(),
            "training": job.describe(),
        }))?;
        Ok(log)
    }

    /// Writes an epoch through to the files.
    pub fn write(&mut self, record: &Record) -> Result<()> {
        let number = |x: Option<f64>| x.map_or(String::new(), |x| x.to_string());
        let fields = [
            record.epoch.to_string(),
            record.loss.to_string(),
            number(record.validation_loss),
            number(record.accuracy),
            number(record.r_squared),
            record.learning_rate.to_string(),
            format!("{:.1}", record.samples_per_second),
            format!("{:.3}", self.seconds + record.seconds),
            record.gradient_norm().to_string(),
            record.skipped_steps.to_string(),
        ];
        let path = self.folder.join(METRICS);
        self.metrics.write_record(fields).map_err(io::Error::from).map_err(writing(&path))?;
        self.metrics.flush().map_err(writing(&path))?;

        let layers: Vec<_> = (0..record.gradient_norms.len()).map(|i| format!("gradient_norm/layers.{i}")).collect();
        let scalars = [
            ("loss/train", Some(record.loss)),
            ("loss/validation", record.validation_loss),
            ("validation/accuracy", record.accuracy),
            ("validation/r_squared", record.r_squared),
            ("training/learning_rate", Some(f64::from(record.learning_rate))),
            ("training/samples_per_second", Some(record.samples_per_second)),
            ("training/skipped_steps", Some(record.skipped_steps as f64)),
            ("gradient_norm/all", Some(record.gradient_norm())),
        ];
        let scalars = scalars.into_iter().filter_map(|(tag, value)| Some((tag, value?)));
        let norms = layers.iter().map(String::as_str).zip(record.gradient_norms.iter().copied());
        self.events.write(record.epoch, scalars.chain(norms)).map_err(writing(&self.folder))
    }

    /// Keeps the trained model.
    pub fn save(&self, model: &Model) -> Result<()> {
        model.save(&self.folder.join(MODEL))
    }

    /// Adds what `more` says about the run.
    pub fn note(&mut self, more: Value) -> Result<()> {
        if let (Value::Object(run), Value::Object(more)) = (&mut self.run, more) {
            run.extend(more);
        }
        write_text(&self.folder.join(RUN), &format!("{:#}\n", self.run))
    }
}

impl Settings {
    /// The settings that a run in `folder` was trained by, with its model to go on from.
    pub fn of_run(folder: &Path) -> Result<Settings> {
        let mut settings = Settings::read(&folder.join(CONFIG))?;
        settings.training.like = None;
        settings.training.init = Some(crate::sources::Start::File(folder.join(MODEL)));
        Ok(settings)
    }
}

fn writing(path: &Path) -> impl Fn(io::Error) -> Error + use<'_> {
    |source| Error::Io { action: "write", path: path.to_owned(), source }
}

fn write_text(path: &Path, text: &str) -> Result<()> {
    write_atomic(path, |out| out.write_all(text.as_bytes()))
}
