//! A model with data to judge it by: files that are named, or what `--log` left of a run.

use crate::context::Context;
use crate::job::Job;
use crate::recorded::Inference;
use crate::settings::{MEMORY, Settings};
use crate::sources::Source;
use crate::tuning::{PlannerChoice, TuneArgs};
use crate::watch::log::MODEL;
use std::path::{Path, PathBuf};
use wgrad::data::ReadOptions;
use wgrad::plan::Plan;
use wgrad::{Dataset, Device, Error, Matrix, Model, Predictor, Result};

#[derive(clap::Args)]
pub struct JudgedArgs {
    /// A model file (.safetensors), or the folder that `wgrad train --log` wrote
    #[arg(value_name = "MODEL|RUN")]
    subject: PathBuf,
    /// `digits`, synthetic data drawn by --seed, or a CSV file [default for a RUN: the rows it was tested on, or else the rows
    /// of its validation, or else of its training]
    #[arg(value_name = "DATA")]
    data: Option<Source>,
    /// The column with the answers; several, separated by commas [default: the outputs by name, else the last]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
}

/// A model, and where there is some the data to judge it by.
pub struct Judged {
    pub path: PathBuf,
    pub model: Model,
    /// Scaled as the model wants it.
    pub data: Option<Dataset>,
    /// Which rows these are.
    pub rows: String,
}

impl JudgedArgs {
    /// Reads model and data.
    pub fn load(&self, context: &Context) -> Result<Judged> {
        let run = self.subject.is_dir();
        if run && self.data.is_none() {
            return Judged::of_run(&self.subject);
        }
        let path = if run { self.subject.join(MODEL) } else { self.subject.clone() };
        let model = Model::load(&path)?;
        let seed = context.seed.unwrap_or_default();
        let options = ReadOptions { target: self.target.clone(), memory: Some(MEMORY.0), ..ReadOptions::default() };
        let load = |source: &Source| source.load_for(&model, &options, seed);
        let data = self.data.as_ref().map(load).transpose()?;
        let rows = data.as_ref().map_or(String::new(), |data| data.name.clone());
        Ok(Judged { path, model, data, rows })
    }
}

impl Judged {
    /// The model in the folder of a run, and the rows that it was not trained on.
    pub fn of_run(folder: &Path) -> Result<Judged> {
        let path = folder.join(MODEL);
        if !path.is_file() {
            let what = format!("there is no {MODEL} in it: the run did not end, or the folder is not one of `--log`");
            return Err(Error::Data { place: folder.display().to_string(), what });
        }
        let model = Model::load(&path)?;
        let job = Job::resolve(Settings::of_run(folder)?)?;
        let (part, data) = match (job.test, job.validation) {
            (Some(test), _) => ("test", test),
            (None, Some(validation)) => ("validation", validation),
            (None, None) => ("training", job.train),
        };
        Ok(Judged { path, model, rows: format!("{} ({part} rows)", data.name), data: Some(data) })
    }

    /// The data, which `what` cannot do without.
    pub fn data(&self, what: &str) -> Result<&Dataset> {
        self.data.as_ref().ok_or_else(|| {
            Error::Config(format!("{what} needs data; name it behind the model: `digits`, synthetic data, or a file"))
        })
    }

    /// The model's outputs for `inputs`, which are scaled as it wants them.
    pub fn outputs(&self, device: &Device, inputs: &Matrix, tune: TuneArgs) -> Result<Matrix> {
        let Judged { model, path, .. } = self;
        let how = Inference::of(model, path, device, inputs.rows, PlannerChoice::Auto, tune);
        let Inference { planner, batch, .. } = how;
        let variants = how.variants(device, &Plan::prediction_by(planner, &model.network, batch)?)?;
        let mut predictor = Predictor::with_variants(planner, device, &model.network, &model.values, batch, variants)?;
        predictor.predict(inputs)
    }
}
