//! `wgrad export`

use crate::context::Context;
use crate::files::check_destination;
use crate::sources::{ModelArgs, ending};
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wgrad::exchange::{fold_scaling, npz, onnx, sequential};
use wgrad::metrics::Probabilities;
use wgrad::{Error, Model, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad export model.safetensors --to model.onnx\n  wgrad export model.safetensors --to \
                  torch.safetensors --fold-scaling\n\nONNX takes the inputs as they are in the data and gives what `predict` \
                  gives. NPZ holds the parameters under their names, safetensors the state dict of a torch.nn.Sequential; \
                  there, inputs have to be scaled unless the scaling is folded."
)]
pub struct Args {
    #[command(flatten)]
    model: ModelArgs,
    /// The file to write; its ending says what
    #[arg(long, value_name = "FILE.onnx|.npz|.safetensors")]
    to: PathBuf,
    /// Put the scaling of the inputs into the weights and biases of the first layer
    #[arg(long)]
    fold_scaling: bool,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let write: fn(&Model, &Path) -> Result<()> = match ending(&args.to).as_str() {
        "onnx" => onnx::export,
        "npz" => npz::export,
        "safetensors" => sequential::export,
        _ => {
            let found = args.to.display();
            return Err(Error::Config(format!("expected --to FILE.onnx, .npz or .safetensors, found {found}")));
        }
    };
    check_destination(&args.to, &[&args.model.path])?;
    let mut model = args.model.load()?;
    if args.fold_scaling {
        model = fold_scaling(&model)?;
    }
    write(&model, &args.to)?;
    context.tell("exported", args.to.display())?;
    context.tell("network", format_args!("{}, {} parameters", model.network, model.params().count()))?;
    let scaled = model.scaling.as_ref().filter(|scaling| !scaling.is_identity());
    match (ending(&args.to).as_str(), scaled) {
        ("onnx", _) => {
            let outputs = if model.probabilities() == Probabilities::None { "outputs" } else { "probabilities" };
            context
                .tell("graph", format_args!("inputs [batch, {}] as in the data, {outputs}", model.network.inputs))?;
        }
        (ending, scaled) => {
            if ending == "safetensors" {
                context.tell("pytorch", sequential::constructor(&model.network))?;
            }
            if scaled.is_some() {
                let what = "(x - shift) * scale before the first layer; --fold-scaling puts that into the weights";
                context.tell("inputs", what)?;
            }
        }
    }
    context.result(|| {
        json!({
            "out": args.to,
            "network": model.network,
            "parameters": model.params().count(),
            "scaling": scaled,
        })
    })?;
    Ok(ExitCode::SUCCESS)
}
