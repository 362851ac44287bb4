//! `wgrad evaluate`

use crate::context::Context;
use crate::recorded::Inference;
use crate::settings::MEMORY;
use crate::sources::{ModelArgs, Source};
use crate::tuning::{PlannerChoice, TuneArgs};
use crate::words::{Score, describe, short, table};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::data::{Format, ReadOptions, Task};
use wgrad::metrics::{Classification, Metrics, Regression, RegressionScores, Scores};
use wgrad::plan::{Plan, TrainingOptions};
use wgrad::train::evaluate;
use wgrad::{Loss, Result, TrainerOptions};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad evaluate model.safetensors digits\n  wgrad evaluate moons.safetensors moons:5000 \
                  --seed 1\n\nThe metrics have scikit-learn's values; up to 20 classes are printed, and --json has all. \
                  R² and explained variance of several outputs together are weighted by variance."
)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// `digits`, synthetic data drawn by --seed (NAME:ROWS:NOISE, as `wgrad train --help` says), or a file with the
    /// inputs and the target (- for standard input)
    #[arg(value_name = "digits|NAME[:ROWS[:NOISE]]|FILE")]
    data: Source,
    /// The format of the data, as `wgrad train --help` says [default: by the name, else by the first bytes]
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// A file with the answers, for data that have none of their own
    #[arg(long, value_name = "FILE")]
    labels: Option<PathBuf>,
    /// The column with the answers; several, separated by commas [default: the outputs by name, else the last]
    #[arg(long, value_name = "COLUMN")]
    target: Option<String>,
    /// The column that says how much each row counts in the loss: numbers of at least 0
    #[arg(long, value_name = "COLUMN")]
    weights: Option<String>,
    #[command(flatten)]
    tune: TuneArgs,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let model = args.model.load()?;
    let options = ReadOptions {
        format: args.format.clone(),
        labels: args.labels.clone(),
        target: args.target.clone(),
        weights: args.weights.clone(),
        memory: Some(MEMORY.0),
        ..ReadOptions::default()
    };
    let data = args.data.load_for(&model, &options, context.seed.unwrap_or_default())?;
    let loss = model.loss.unwrap_or(match data.task {
        Task::Classification { .. } => Loss::SoftmaxCrossEntropy,
        Task::Regression { .. } => Loss::MeanSquaredError,
    });
    let device = context.open_device()?;
    let how = Inference::of(&model, &args.model.path, &device, data.rows(), PlannerChoice::Auto, args.tune);
    let Inference { planner, batch, .. } = how;
    let weighted = data.weights.is_some();
    let plan = TrainingOptions { planner, weighted, data_rows: data.rows(), ..TrainingOptions::new(batch, loss) };
    let variants = how.variants(&device, &Plan::evaluation(&model.network, &plan)?)?;
    let options = TrainerOptions { planner, batch, weighted, ..TrainerOptions::new(loss) };
    let evaluation = evaluate(&device, model.network, &model.values, options, variants, &data)?;

    context.say(format_args!("{} on {} rows of {}", describe(&evaluation), data.rows(), data.name))?;
    if let Some(metrics) = &evaluation.metrics {
        context.say(tables(metrics, true))?;
    }
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
        if let Some(metrics) = &evaluation.metrics {
            result["metrics"] = json!(metrics);
        }
        result
    })?;
    Ok(ExitCode::SUCCESS)
}

/// Of more classes people see the averages alone.
const SHOWN: usize = 20;

/// The metrics for people; in short without top-k accuracy and confusion matrix.
pub fn tables(metrics: &Metrics, confusion: bool) -> String {
    match metrics {
        Metrics::Classification(metrics) => classification(metrics, confusion),
        Metrics::Regression(metrics) => regression(metrics),
    }
}

fn classification(metrics: &Classification, confusion: bool) -> String {
    let Classification { top_k_accuracy, roc_auc, log_loss, classes, macro_average, weighted_average, .. } = metrics;
    let top = top_k_accuracy.iter().enumerate().skip(1).map(|(i, share)| format!("top {} {share:.4}", i + 1));
    // With two classes the first two are all; the short form does without.
    let top = top.filter(|_| classes.len() > 2 && confusion);
    let others = [("ROC-AUC", roc_auc), ("log loss", log_loss)];
    let others = others.into_iter().filter_map(|(name, value)| value.map(|value| format!("{name} {}", short(value))));
    let summary: Vec<_> = top.chain(others).collect();

    let line = |name: &str, Scores { precision, recall, f1 }: Scores, rows: usize| {
        let scores = [precision, recall, f1].map(|score| format!("{score:.4}"));
        [name.to_owned()].into_iter().chain(scores).chain([rows.to_string()]).collect()
    };
    let shown = if classes.len() <= SHOWN { classes.as_slice() } else { &[] };
    let rows = classes.iter().map(|class| class.rows).sum();
    let mut scores = vec![["class", "precision", "recall", "F1", "rows"].map(String::from).to_vec()];
    scores.extend(shown.iter().map(|class| line(&class.name, class.scores, class.rows)));
    scores.push(line("macro average", *macro_average, rows));
    scores.push(line("weighted average", *weighted_average, rows));

    let mut parts = vec![summary.join(", "), table(&scores)];
    if let (Some(confusion), false, true) = (&metrics.confusion, shown.is_empty(), confusion) {
        let names = shown.iter().map(|class| class.name.clone());
        let mut counts = vec![["class \\ answer".to_owned()].into_iter().chain(names.clone()).collect::<Vec<_>>()];
        let line = |(name, row): (String, &Vec<usize>)| -> Vec<String> {
            [name].into_iter().chain(row.iter().map(usize::to_string)).collect()
        };
        counts.extend(names.zip(confusion).map(line));
        parts.push(table(&counts));
    }
    parts.retain(|part| !part.is_empty());
    parts.join("\n\n")
}

fn regression(metrics: &Regression) -> String {
    let line = |name: &str, scores: &RegressionScores| {
        let RegressionScores { r_squared, mae, rmse, explained_variance } = *scores;
        let numbers = [r_squared, Some(mae), Some(rmse), explained_variance];
        let numbers = numbers.map(|number| number.map_or("-".into(), short));
        [name.to_owned()].into_iter().chain(numbers).collect()
    };
    let mut rows = vec![["output", "R²", "MAE", "RMSE", "explained variance"].map(String::from).to_vec()];
    rows.extend(metrics.outputs.iter().map(|output| line(&output.name, &output.scores)));
    if metrics.outputs.len() > 1 {
        rows.push(line("all", &metrics.all));
    }
    table(&rows)
}
