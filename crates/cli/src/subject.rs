//! A training step to look at or to measure, as `plan` and `tune` take it.

use crate::context::Context;
use crate::job::{Job, precision_of};
use crate::settings::{Hidden, Settings};
use crate::sources::{FILES, Given, ending, unknown_data};
use crate::tuning::PlannerChoice;
use crate::widths;
use std::path::PathBuf;
use std::str::FromStr;
use wgrad::data::Task;
use wgrad::device::DeviceChoice;
use wgrad::plan::{Planner, TrainingOptions};
use wgrad::tune;
use wgrad::{Device, Error, Loss, Model, Network, PrecisionChoice, Result, TrainerOptions};

#[derive(clap::Args)]
pub struct SubjectArgs {
    /// A training run (`digits`, synthetic data, a file of data or a configuration), a model file, or widths such as
    /// 784-256-10
    #[arg(value_name = "DATA|FILE|CONFIG.toml|MODEL|WIDTHS")]
    what: What,
    #[command(flatten)]
    settings: Settings,
}

#[derive(Clone, Debug)]
enum What {
    Run(Given),
    Model(PathBuf),
    Widths(Vec<usize>),
}

impl FromStr for What {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if ending(text.as_ref()) == "safetensors" {
            return Ok(What::Model(text.into()));
        }
        if widths::meant(text) {
            return widths::parse(text).map(What::Widths);
        }
        let files = format!("{FILES}, the name of a .toml or .safetensors file, or widths such as 784-256-10");
        Given::named(text).unwrap_or_else(|| Err(unknown_data(text, &files))).map(What::Run)
    }
}

/// A training step with everything decided but what is measured.
pub struct Subject {
    pub network: Network,
    pub options: TrainingOptions,
    /// Who has to wire it; `None` where that is measured.
    pub planner: Option<Planner>,
    /// What its matrices are to be stored in.
    pub precision: PrecisionChoice,
    /// Where it is to run.
    pub device: DeviceChoice,
}

impl SubjectArgs {
    /// Fills the gaps.
    pub fn resolve(self, context: &Context) -> Result<Subject> {
        let SubjectArgs { what, mut settings } = self;
        let planner = settings.training.planner.and_then(PlannerChoice::named);
        let precision = settings.training.precision.unwrap_or_default();
        let plain = |network, options: TrainerOptions| Subject {
            network,
            options: options.plan(),
            planner,
            precision,
            device: context.choice(),
        };
        match what {
            What::Run(given) => {
                let job = Job::resolve(Settings::gather(&given, settings, context)?)?;
                let (options, planner, device) = (job.plan_options(), job.planner, job.device());
                let precision = job.settings.training.precision.unwrap_or_default();
                Ok(Subject { network: job.network, options, planner, precision, device })
            }
            What::Model(path) => {
                settings.refuse_all_but_the_step("a model file says its layers")?;
                let model = Model::load(&path)?;
                let fallback = match model.task {
                    Some(Task::Regression { .. }) => Loss::MeanSquaredError,
                    _ => Loss::SoftmaxCrossEntropy,
                };
                settings.training.loss = settings.training.loss.or(model.loss).or(Some(fallback));
                Ok(plain(model.network, settings.training.step()?))
            }
            What::Widths(widths) => {
                let options = settings.training.step()?;
                let mut layers = std::mem::take(&mut settings.network);
                if layers.hidden.is_some() {
                    return Err(Error::Config("widths say those of the hidden layers; leave --hidden out".into()));
                }
                settings.refuse_all_but_the_step("widths are a network")?;
                let last = widths.len() - 1;
                layers.hidden = Some(Hidden(widths[1..last].to_vec()));
                Ok(plain(layers.network(widths[0], widths[last], options.loss, "the last width")?, options))
            }
        }
    }
}

impl Subject {
    /// Decides the precision for `device`.
    pub fn decide_precision(&mut self, device: &Device) -> Result<()> {
        self.options.precision = precision_of(&self.network, self.options.loss, self.precision, device)?.0;
        Ok(())
    }

    /// What there is to tune for.
    pub fn job(&self) -> tune::Job<'_> {
        tune::Job { network: &self.network, options: self.options, planner: self.planner, steps: None }
    }
}
