//! `wgrad plan`

use crate::context::Context;
use crate::job::Job;
use crate::settings::{Settings, activation_names, loss_names};
use crate::sources::{Given, ending};
use crate::widths;
use crate::words::{bytes, short};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use std::str::FromStr;
use wgrad::data::Task;
use wgrad::error::did_you_mean;
use wgrad::plan::{Plan, Planner, Step, TrainingOptions};
use wgrad::{Activation, Error, Loss, Model, Network, Precision, PrecisionChoice, Result};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wgrad plan digits\n  wgrad plan 784-256-10 --batch 128 --activation sigmoid")]
pub struct Args {
    /// A training run (`digits`, a CSV file or a configuration), a model file, or widths such as 784-256-10
    #[arg(value_name = "digits|FILE.csv|CONFIG.toml|MODEL|WIDTHS")]
    what: What,
    /// Rows in a batch [default: the run's, else 32]
    #[arg(long, value_name = "ROWS")]
    batch: Option<usize>,
    /// The loss [default: the run's or the model's, else softmax_cross_entropy]
    #[arg(long, value_name = "NAME", value_parser = loss_names())]
    loss: Option<Loss>,
    /// The activation of the hidden layers [default: the run's, else relu]
    #[arg(long, value_name = "NAME", value_parser = activation_names())]
    activation: Option<Activation>,
    /// What matrices are stored in [default: the run's, else f32]
    #[arg(long, value_name = "f32|f16|auto", conflicts_with = "predict")]
    precision: Option<PrecisionChoice>,
    /// Who wires the step [default: the run's, else layerwise]
    #[arg(long, value_name = "NAME", conflicts_with = "predict")]
    planner: Option<Planner>,
    /// The plan of a prediction instead of a training step
    #[arg(long)]
    predict: bool,
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
        text.parse().map(What::Run).map_err(|_| {
            let hint = did_you_mean(text, ["digits"]);
            Error::Config(format!(
                "expected `digits`, the name of a .csv, .toml or .safetensors file, or widths such as 784-256-10, \
                 found {text:?}{hint}"
            ))
        })
    }
}

pub fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let batch = args.batch.unwrap_or(32);
    let mut precision = args.precision.unwrap_or_default();
    let (network, options) = match args.what {
        What::Run(given) => {
            let mut flags = Settings::default();
            flags.network.activation = args.activation;
            (flags.training.loss, flags.training.batch) = (args.loss, args.batch);
            flags.training.precision = args.precision;
            let job = Job::resolve(Settings::gather(&given, flags, context)?)?;
            let options = job.plan_options();
            precision = job.settings.training.precision.unwrap_or_default();
            (job.network, options)
        }
        What::Model(_) if args.activation.is_some() => {
            return Err(Error::Config("a model file says its activations; leave --activation out".into()));
        }
        What::Model(path) => {
            let model = Model::load(&path)?;
            let loss = args.loss.or(model.loss).unwrap_or(match model.task {
                Some(Task::Regression { .. }) => Loss::MeanSquaredError,
                _ => Loss::SoftmaxCrossEntropy,
            });
            (model.network, TrainingOptions::new(batch, loss))
        }
        What::Widths(widths) => {
            let loss = args.loss.unwrap_or(Loss::SoftmaxCrossEntropy);
            (network(&widths, args.activation.unwrap_or(Activation::Relu), loss), TrainingOptions::new(batch, loss))
        }
    };
    let precision = match precision {
        PrecisionChoice::F32 => Precision::F32,
        PrecisionChoice::F16 => Precision::F16,
        PrecisionChoice::Auto => context.open_device()?.precision(precision)?.0,
    };
    let planner = args.planner.unwrap_or(options.planner);
    let options = TrainingOptions { planner, precision, ..options };
    let plan = match args.predict {
        true => Plan::prediction(&network, options.batch)?,
        false => Plan::training(&network, &options)?,
    };
    report(&network, &plan, context)?;
    Ok(ExitCode::SUCCESS)
}

fn network(widths: &[usize], activation: Activation, loss: Loss) -> Network {
    let output = if loss == Loss::LogisticCrossEntropy { Activation::Sigmoid } else { Activation::Linear };
    let last = widths.len() - 1;
    let layers = widths.iter().enumerate().skip(1);
    layers.fold(Network::new(widths[0]), |network, (i, &width)| {
        network.dense(width, if i == last { output } else { activation })
    })
}

fn report(network: &Network, plan: &Plan, context: &Context) -> Result<()> {
    let (dispatches, size) = (plan.steps.len(), plan.bytes());
    let products = plan.steps.iter().filter(|step| step.kernel.stem() == "matmul");
    let flops: f64 = match plan.planner {
        Planner::LayerWise => products.map(|step| step.kernel.work(step.uniform.dims).0).sum(),
        Planner::Resident => network.training_flops(plan.batch),
    };
    context.say(plan.to_string().trim_end())?;
    context.say(format_args!(
        "\n{network} on {} rows: {dispatches} dispatches, {} ({size} bytes) in {} slots, {} floating-point operations in \
         matrix products",
        plan.batch,
        bytes(size),
        plan.slots.len(),
        short(flops)
    ))?;
    context.result(|| {
        let slots: Vec<_> =
            plan.slots.iter().map(|info| json!({ "slot": info.slot.to_string(), "elements": info.len })).collect();
        json!({
            "network": network.widths(),
            "batch": plan.batch,
            "dispatches": dispatches,
            "bytes": size,
            "flops": flops,
            "slots": slots,
            "steps": plan.steps.iter().map(|step| to_json(plan, step)).collect::<Vec<_>>(),
        })
    })
}

fn to_json(plan: &Plan, step: &Step) -> Value {
    let (reads, writes) = plan.reads_and_writes(step);
    let dims: Vec<_> = step.uniform.dims.iter().filter(|dim| **dim > 0).collect();
    json!({
        "phase": step.phase.name(),
        "kernel": step.kernel.to_string(),
        "label": step.label,
        "dims": dims,
        "reads": reads,
        "writes": writes,
    })
}
