//! `wgrad evaluate`

use crate::context::Context;
use crate::recorded::Inference;
use crate::sources::{ModelArgs, Source};
use crate::tuning::{PlannerChoice, TuneArgs};
use crate::words::{Score, describe};
use serde_json::json;
use std::process::ExitCode;
use wgrad::data::Task;
use wgrad::plan::{Plan, TrainingOptions};
use wgrad::train::evaluate;
use wgrad::{Loss, Result, TrainerOptions};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  wgrad evaluate model.safetensors digits")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// `digits`, or a CSV file with the inputs and the target
    #[arg(value_name = "digits|FILE.csv")]
    data: Source,
    /// The column with the answers; several, separated by commas [default: the outputs by name, else the last]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    #[command(flatten)]
    tune: TuneArgs,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let model = args.model.load()?;
    let data = args.data.load_for(&model, args.target.as_deref())?;
    let loss = model.loss.unwrap_or(match data.task {
        Task::Classification { .. } => Loss::SoftmaxCrossEntropy,
        Task::Regression { .. } => Loss::MeanSquaredError,
    });
    let device = context.open_device()?;
    let how = Inference::of(&model, &args.model.path, &device, data.rows(), PlannerChoice::Auto, args.tune);
    let Inference { planner, batch, .. } = how;
    let plan = TrainingOptions { planner, data_rows: data.rows(), ..TrainingOptions::new(batch, loss) };
    let variants = how.variants(&device, &Plan::evaluation(&model.network, &plan)?)?;
    let options = TrainerOptions { planner, batch, ..TrainerOptions::new(loss) };
    let evaluation = evaluate(&device, model.network, &model.values, options, variants, &data)?;

    context.say(format_args!("{} on {} rows of {}", describe(&evaluation), data.rows(), data.name))?;
    context.result(|| {
        let mut result = json!({
            "device": device.name(),
            "model": args.model.path,
            "data": data.name,
            "rows": data.rows(),
            "planner": planner.name(),
            "loss_name": loss,
            "loss": evaluation.loss,
        });
        if let Some(Score { key, value, .. }) = Score::of(&evaluation) {
            result[key] = json!(value);
        }
        result
    })?;
    Ok(ExitCode::SUCCESS)
}
