//! `wgrad inspect`

use crate::context::Context;
use crate::sources::ModelArgs;
use crate::words::{around, list, short, table};
use serde_json::{Value, json};
use std::process::ExitCode;
use wgrad::data::{InputKind, Task};
use wgrad::params::Tensor;
use wgrad::{Model, Result};

#[derive(clap::Args)]
#[command(after_help = "Example:\n  wgrad inspect model.safetensors")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let model = args.model.load()?;
    let tensors: Vec<_> = model.params().tensors.into_iter().map(|tensor| Summary::of(tensor, &model.values)).collect();
    describe(&model, &tensors, context)?;
    context.result(|| to_json(&model, &tensors))?;
    Ok(ExitCode::SUCCESS)
}

/// A tensor and what its numbers are like.
struct Summary {
    tensor: Tensor,
    min: f64,
    max: f64,
    mean: f64,
    deviation: f64,
}

impl Summary {
    fn of(tensor: Tensor, arena: &[f32]) -> Self {
        let values = || arena[tensor.range()].iter().map(|&x| f64::from(x));
        let count = tensor.len() as f64;
        let mean = values().sum::<f64>() / count;
        let variance = values().map(|x| (x - mean).powi(2)).sum::<f64>() / count;
        let (min, max) = (values().fold(f64::INFINITY, f64::min), values().fold(f64::NEG_INFINITY, f64::max));
        Summary { tensor, min, max, mean, deviation: variance.sqrt() }
    }
}

/// What becomes of a column.
fn kind(kind: &InputKind) -> String {
    match kind {
        InputKind::Number { missing: None } => "numbers".into(),
        InputKind::Number { missing: Some(x) } => format!("numbers, {x} where missing"),
        InputKind::Category { values, missing, unknown } => {
            let gaps = missing.and_then(|place| values.get(place));
            let gaps = gaps.map_or(String::new(), |value| format!("; {value} where missing"));
            format!("{} categories: {}{gaps}; others: {unknown}", values.len(), list(values))
        }
    }
}

fn describe(model: &Model, tensors: &[Summary], context: &Context) -> Result<()> {
    context.tell("network", format_args!("{}, {} parameters", model.network, model.params().count()))?;
    match &model.task {
        Some(Task::Classification { classes, .. }) => {
            context.tell("task", format_args!("classification, {} classes: {}", classes.len(), list(classes)))?;
        }
        Some(Task::Regression { outputs }) => context.tell("task", format_args!("regression: {}", list(outputs)))?,
        None => {}
    }
    if !model.features.is_empty() {
        context.tell("features", format_args!("{}: {}", model.features.len(), list(&model.features)))?;
    }
    for column in model.encoding.iter().flat_map(|encoding| &encoding.columns) {
        context.tell("column", format_args!("{}: {}", column.name, kind(&column.kind)))?;
    }
    if let Some(scaling) = &model.scaling {
        context.tell("scaling", scaling.kind)?;
    }
    if let Some(loss) = model.loss {
        context.tell("loss", loss)?;
    }
    context.say(format_args!("\n{}", layers(model)))?;
    context.say(format_args!("\n{}", table_of(tensors)))?;
    match &model.training {
        Some(Value::Object(notes)) => {
            let notes: Vec<_> = notes.iter().map(|(key, value)| format!("{key:<22}  {value}")).collect();
            context.say(format_args!("\ntraining\n{}", notes.join("\n")))
        }
        Some(notes) => context.say(format_args!("\ntraining  {notes}")),
        None => Ok(()),
    }
}

fn layers(model: &Model) -> String {
    let mut header = ["layer", "inputs", "outputs", "activation", "bias", "frozen"].map(String::from).to_vec();
    let plain = model.network.is_plain();
    header.extend((!plain).then(|| "around".to_owned()));
    let rows = model.network.layers.iter().enumerate().map(|(i, layer)| {
        let frozen = match (layer.freeze_weight, layer.freeze_bias) {
            (false, false) => "no",
            (true, false) => "weight",
            (false, true) => "bias",
            (true, true) => "yes",
        };
        let bias = json!(layer.bias);
        let mut row = vec![
            i.to_string(),
            model.network.layer_inputs(i).to_string(),
            layer.outputs.to_string(),
            layer.activation.to_string(),
            bias.as_str().unwrap_or_default().to_owned(),
            frozen.to_owned(),
        ];
        row.extend((!plain).then(|| around(layer)));
        row
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn table_of(tensors: &[Summary]) -> String {
    let header = ["tensor", "shape", "count", "min", "max", "mean", "deviation"].map(String::from).to_vec();
    let rows = tensors.iter().map(|Summary { tensor, min, max, mean, deviation }| {
        let numbers = [min, max, mean, deviation].map(|x| short(*x));
        [tensor.name.clone(), format!("{:?}", tensor.shape()), tensor.len().to_string()]
            .into_iter()
            .chain(numbers)
            .collect()
    });
    table(&std::iter::once(header).chain(rows).collect::<Vec<_>>())
}

fn to_json(model: &Model, tensors: &[Summary]) -> Value {
    let tensors: Vec<_> = tensors
        .iter()
        .map(|Summary { tensor, min, max, mean, deviation }| {
            json!({
                "name": tensor.name,
                "shape": tensor.shape(),
                "count": tensor.len(),
                "min": min,
                "max": max,
                "mean": mean,
                "deviation": deviation,
            })
        })
        .collect();
    json!({
        "network": model.network,
        "parameters": model.params().count(),
        "tensors": tensors,
        "task": model.task,
        "features": model.features,
        "encoding": model.encoding,
        "scaling": model.scaling,
        "loss": model.loss,
        "training": model.training,
    })
}
