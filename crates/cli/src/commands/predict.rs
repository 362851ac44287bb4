//! `wgrad predict`

use crate::context::{Context, standard_output};
use crate::files::check_destination;
use crate::recorded::Inference;
use crate::settings::MEMORY;
use crate::sources::{ModelArgs, Numbers};
use crate::tuning::{PlannerChoice, TuneArgs};
use serde_json::{Value, json};
use std::io::{self, Write};
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::data::{Format, Task, read_inputs, write_atomic, write_npy};
use wgrad::metrics::Probabilities;
use wgrad::plan::Plan;
use wgrad::train::argmax;
use wgrad::{Matrix, Model, Predictor, Result};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wgrad predict model.safetensors new.csv --out answers.csv\n  wgrad predict \
                  model.safetensors new.npy | head\n\nCSV holds, for classes, the class and one column for each \
                  (probability_NAME where the loss gives probabilities, else output_NAME); for numbers, one column for \
                  each. NPY holds the network's outputs as they are.")]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The inputs: a file in which columns are found by the model's names or else by order (- for standard input)
    #[arg(value_name = "INPUTS")]
    inputs: PathBuf,
    /// The format of the inputs, as `wgrad train --help` says [default: by the name, else by the first bytes]
    #[arg(long, value_name = "NAME")]
    format: Option<Format>,
    /// Where the answers go; without it, as CSV to standard output
    #[arg(long, value_name = "FILE.csv|FILE.npy")]
    out: Option<Numbers>,
    /// Who wires the forward pass: auto (as the model was trained), layerwise or fused (widths up to 128)
    #[arg(long, value_name = "NAME", default_value_t = PlannerChoice::Auto)]
    planner: PlannerChoice,
    #[command(flatten)]
    tune: TuneArgs,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    if let Some(out) = &args.out {
        check_destination(&out.path, &[&args.model.path, &args.inputs])?;
    }
    let model = args.model.load()?;
    let inputs = read(args, &model)?;
    let device = context.open_device()?;
    let how = Inference::of(&model, &args.model.path, &device, inputs.rows, args.planner, args.tune);
    let Inference { planner, batch, .. } = how;
    let variants = how.variants(&device, &Plan::prediction_by(planner, &model.network, batch)?)?;
    let mut predictor = Predictor::with_variants(planner, &device, &model.network, &model.values, batch, variants)?;
    let outputs = predictor.predict(&inputs)?;

    match &args.out {
        Some(Numbers { path, npy: true }) => write_npy(path, &outputs)?,
        Some(Numbers { path, npy: false }) => write_atomic(path, |out| write_csv(&model, &outputs, out))?,
        None if context.json => {}
        None => write_csv(&model, &outputs, &mut io::stdout().lock()).map_err(standard_output)?,
    }
    if let Some(out) = &args.out {
        context.tell("answers", format_args!("{} ({} rows)", out.path.display(), outputs.rows))?;
    }
    context.result(|| match &args.out {
        Some(out) => json!({
            "device": device.name(),
            "rows": outputs.rows,
            "planner": planner.name(),
            "out": out.path,
        }),
        None => json!({
            "device": device.name(),
            "rows": outputs.rows,
            "planner": planner.name(),
            "columns": columns(&model),
            "answers": rows(&model, &outputs).map(|(class, numbers)| to_json(class, numbers)).collect::<Vec<_>>(),
        }),
    })?;
    Ok(ExitCode::SUCCESS)
}

/// The inputs, encoded and scaled as the model wants them.
fn read(args: &Args, model: &Model) -> Result<Matrix> {
    let mut inputs = read_inputs(&args.inputs, args.format.as_ref(), &model.encoding(), Some(MEMORY.0))?;
    if let Some(scaling) = &model.scaling {
        scaling.apply(&mut inputs)?;
    }
    Ok(inputs)
}

fn columns(model: &Model) -> Vec<String> {
    match &model.task {
        Some(Task::Classification { classes, .. }) => {
            let prefix = match Probabilities::of(model.loss) {
                Probabilities::None => "output",
                _ => "probability",
            };
            std::iter::once("class".to_owned()).chain(classes.iter().map(|class| format!("{prefix}_{class}"))).collect()
        }
        Some(Task::Regression { outputs }) => outputs.clone(),
        None => (1..=model.network.outputs()).map(|i| format!("output_{i}")).collect(),
    }
}

/// For each row the class, where there are classes, and the numbers.
fn rows<'a>(model: &'a Model, outputs: &'a Matrix) -> impl Iterator<Item = (Option<&'a str>, Vec<f32>)> {
    let classes = match &model.task {
        Some(Task::Classification { classes, .. }) => Some(classes),
        _ => None,
    };
    (0..outputs.rows).map(move |i| {
        let row = outputs.row(i);
        match classes {
            Some(classes) => {
                let numbers = Probabilities::of(model.loss).apply(row);
                (Some(classes[argmax(row)].as_str()), numbers.into_iter().map(|x| x as f32).collect())
            }
            None => (None, row.to_vec()),
        }
    })
}

fn write_csv(model: &Model, outputs: &Matrix, out: &mut dyn Write) -> io::Result<()> {
    let mut csv = csv::Writer::from_writer(out);
    csv.write_record(columns(model)).map_err(unwrap_io)?;
    for (class, numbers) in rows(model, outputs) {
        // `{:?}` writes as many digits as identify the number, and small ones with an exponent.
        let numbers = numbers.iter().map(|x| format!("{x:?}"));
        csv.write_record(class.map(str::to_owned).into_iter().chain(numbers)).map_err(unwrap_io)?;
    }
    csv.flush()
}

/// The error that the writer behind the CSV gave, with its kind, which tells a reader that left.
fn unwrap_io(error: csv::Error) -> io::Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => error,
        other => io::Error::other(format!("{other:?}")),
    }
}

fn to_json(class: Option<&str>, numbers: Vec<f32>) -> Value {
    class.map(|class| json!(class)).into_iter().chain(numbers.into_iter().map(|x| json!(x))).collect()
}
