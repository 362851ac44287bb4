//! A training step to look at or to measure, as `plan` and `tune` take it.

use crate::context::Context;
use crate::job::{Job, precision_of};
use crate::settings::{Settings, activation_names, loss_names};
use crate::sources::{Given, ending, unknown_data};
use crate::tuning::PlannerChoice;
use crate::widths;
use std::path::PathBuf;
use std::str::FromStr;
use wgrad::data::Task;
use wgrad::device::DeviceChoice;
use wgrad::plan::{Planner, TrainingOptions};
use wgrad::tune;
use wgrad::{Activation, Device, Error, Loss, Model, Network, PrecisionChoice, Result};

#[derive(clap::Args)]
pub struct SubjectArgs {
    /// A training run (`digits`, synthetic data, a CSV file or a configuration), a model file, or widths such as 784-256-10
    #[arg(value_name = "DATA|FILE.csv|CONFIG.toml|MODEL|WIDTHS")]
    what: What,
    /// Rows in a batch [default: the run's, else 32]
    #[arg(long, value_name = "ROWS")]
    batch: Option<usize>,
    /// The loss [default: the run's or the model's, else softmax_cross_entropy]
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = loss_names())]
    loss: Option<Loss>,
    /// The activation of the hidden layers [default: the run's, else relu]
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = activation_names())]
    activation: Option<Activation>,
    /// What matrices are stored in [default: the run's, else f32]
    #[arg(long, value_name = "f32|f16|auto")]
    precision: Option<PrecisionChoice>,
    /// Who wires the step: auto (measured) or a planner's name [default: the run's, else auto]
    #[arg(long, value_name = "NAME")]
    planner: Option<PlannerChoice>,
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
        let files = "the name of a .csv, .toml or .safetensors file, or widths such as 784-256-10";
        Given::named(text).unwrap_or_else(|| Err(unknown_data(text, files))).map(What::Run)
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
        let batch = self.batch.unwrap_or(32);
        let planner = self.planner.and_then(PlannerChoice::named);
        let plain = |network, loss| Subject {
            network,
            options: TrainingOptions::new(batch, loss),
            planner,
            precision: self.precision.unwrap_or_default(),
            device: context.choice(),
        };
        match self.what {
            What::Run(given) => {
                let mut flags = Settings::default();
                flags.network.activation = self.activation;
                (flags.training.loss, flags.training.batch) = (self.loss, self.batch);
                (flags.training.planner, flags.training.precision) = (self.planner, self.precision);
                let job = Job::resolve(Settings::gather(&given, flags, context)?)?;
                let (options, planner, device) = (job.plan_options(), job.planner, job.device());
                let precision = job.settings.training.precision.unwrap_or_default();
                Ok(Subject { network: job.network, options, planner, precision, device })
            }
            What::Model(_) if self.activation.is_some() => {
                Err(Error::Config("a model file says its activations; leave --activation out".into()))
            }
            What::Model(path) => {
                let model = Model::load(&path)?;
                let loss = self.loss.or(model.loss).unwrap_or(match model.task {
                    Some(Task::Regression { .. }) => Loss::MeanSquaredError,
                    _ => Loss::SoftmaxCrossEntropy,
                });
                Ok(plain(model.network, loss))
            }
            What::Widths(widths) => {
                let loss = self.loss.unwrap_or(Loss::SoftmaxCrossEntropy);
                Ok(plain(network(&widths, self.activation.unwrap_or(Activation::Relu), loss), loss))
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

fn network(widths: &[usize], activation: Activation, loss: Loss) -> Network {
    let output = if loss == Loss::LogisticCrossEntropy { Activation::Sigmoid } else { Activation::Linear };
    let last = widths.len() - 1;
    let layers = widths.iter().enumerate().skip(1);
    layers.fold(Network::new(widths[0]), |network, (i, &width)| {
        network.dense(width, if i == last { output } else { activation })
    })
}
