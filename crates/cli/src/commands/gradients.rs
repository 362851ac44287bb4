//! `wgrad gradients`

use crate::context::Context;
use crate::files::check_destination;
use crate::settings::loss_names;
use crate::sources::ModelArgs;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::checkpoint::save_tensors;
use wgrad::data::{read_npy, read_npy_targets};
use wgrad::reference::Reference;
use wgrad::{Batch, Error, Loss, Matrix, Model, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad gradients model.safetensors --inputs x.npy --targets t.npy --out g.safetensors\n  \
                  wgrad gradients torch.safetensors --activations relu,linear --loss softmax_cross_entropy \
                  --inputs x.npy --targets t.npy --out g.safetensors\n\nThe gradients are called like the parameters, \
                  layers.0.weight and so on, also where the model file has the names of a torch.nn.Sequential; the \
                  gradient with respect to the inputs is called input, and the metadata hold the loss. Inputs go into \
                  the network as they are: a model's scaling is not applied. The network is as in training: batch \
                  normalisation takes the statistics of these rows, and units drop out, always the same."
)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The inputs of one batch, a NumPy array [rows, inputs]
    #[arg(long, value_name = "X.npy")]
    inputs: PathBuf,
    /// The targets: a NumPy array [rows, outputs], or [rows] of integers that count the classes from 0
    #[arg(long, value_name = "T.npy")]
    targets: PathBuf,
    /// What the outputs are compared with the targets by [default: the model's]
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = loss_names())]
    loss: Option<Loss>,
    /// Compute with the f64 reference instead of the device
    #[arg(long)]
    reference: bool,
    /// Where the gradients go (.safetensors)
    #[arg(long, value_name = "G.safetensors")]
    out: PathBuf,
}

/// What was computed, and where.
struct Gradients {
    device: String,
    loss: f64,
    /// The loss with the digits that its precision has.
    digits: String,
    params: Vec<f32>,
    input: Vec<f32>,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    check_destination(&args.out, &[&args.model.path, &args.inputs, &args.targets])?;
    let model = args.model.load()?;
    let Some(loss) = args.loss.or(model.loss) else {
        return Err(Error::Config("the model file does not say its loss; say --loss, as in --loss huber".into()));
    };
    let inputs = read_npy(&args.inputs)?;
    let targets = read_npy_targets(&args.targets, loss.target_width(model.network.outputs()))?;
    check_shapes(args, &model, &inputs, &targets)?;
    let gradients = match args.reference {
        true => by_reference(&model, loss, &inputs, &targets)?,
        false => by_device(&model, loss, &inputs, &targets, context)?,
    };

    let params = model.params();
    let mut tensors: Vec<_> = params
        .tensors
        .iter()
        .map(|tensor| (tensor.name.as_str(), tensor.shape(), &gradients.params[tensor.range()]))
        .collect();
    tensors.push(("input", vec![inputs.rows, inputs.cols], &gradients.input));
    let metadata = [("loss", gradients.digits.clone()), ("loss_name", loss.to_string())];
    save_tensors(&args.out, &tensors, &metadata.map(|(key, value)| (key.to_owned(), value)))?;

    context.tell("loss", &gradients.digits)?;
    context.tell("gradients", format_args!("{} ({} tensors)", args.out.display(), tensors.len()))?;
    context.result(|| {
        json!({
            "device": gradients.device,
            "loss": gradients.loss,
            "loss_name": loss,
            "rows": inputs.rows,
            "out": args.out,
        })
    })?;
    Ok(ExitCode::SUCCESS)
}

fn check_shapes(args: &Args, model: &Model, inputs: &Matrix, targets: &Matrix) -> Result<()> {
    let refuse = |path: &PathBuf, what| Err(Error::Data { place: path.display().to_string(), what });
    if inputs.cols != model.network.inputs {
        let expected = model.network.inputs;
        return refuse(&args.inputs, format!("the model takes {expected} inputs, found {} columns", inputs.cols));
    }
    if inputs.rows != targets.rows {
        return refuse(
            &args.targets,
            format!("expected as many rows as inputs, {}, found {}", inputs.rows, targets.rows),
        );
    }
    Ok(())
}

fn by_device(model: &Model, loss: Loss, inputs: &Matrix, targets: &Matrix, context: &Context) -> Result<Gradients> {
    let device = context.open_device()?;
    let batch = Batch { inputs: &inputs.data, targets: &targets.data };
    let found = wgrad::train::gradients(&device, &model.network, &model.values, loss, &batch)?;
    Ok(Gradients {
        device: device.name(),
        loss: found.loss.into(),
        digits: found.loss.to_string(),
        params: found.params,
        input: found.input,
    })
}

fn by_reference(model: &Model, loss: Loss, inputs: &Matrix, targets: &Matrix) -> Result<Gradients> {
    let wide = |values: &[f32]| -> Vec<f64> { values.iter().map(|&x| x.into()).collect() };
    let narrow = |values: &[f64]| -> Vec<f32> { values.iter().map(|&x| x as f32).collect() };
    let reference = Reference::new(&model.network, loss)?;
    let found = reference.gradients(&wide(&model.values), &wide(&inputs.data), &wide(&targets.data), inputs.rows)?;
    Ok(Gradients {
        device: "f64 reference".into(),
        loss: found.loss,
        digits: found.loss.to_string(),
        params: narrow(&found.params),
        input: narrow(&found.input),
    })
}
