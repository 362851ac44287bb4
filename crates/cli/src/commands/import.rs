//! `wgrad import`

use crate::context::Context;
use crate::files::check_destination;
use crate::sources::{Activations, ending};
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::exchange::{npz, onnx, torch};
use wgrad::{Error, Model, Result};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wgrad import network.onnx --out model.safetensors\n  wgrad import network.pt \
                  --activations relu,linear --out model.safetensors\n\nONNX graphs are dense layers one behind the other, with \
                  any functions of their units. State dicts (.pt, .pth, .safetensors, .npz) are those of a \
                  torch.nn.Sequential of linear layers; nothing in them is ever run.")]
pub struct Args {
    /// The file of another program
    #[arg(value_name = "FILE.onnx|.pt|.pth|.npz|.safetensors")]
    file: PathBuf,
    /// The model file to write
    #[arg(long, value_name = "FILE.safetensors")]
    out: PathBuf,
    /// One activation for each layer, the output layer's last, where the file does not say them: a state dict does not
    #[arg(long, value_name = "A1,A2,…")]
    activations: Option<Activations>,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    check_destination(&args.out, &[&args.file])?;
    let activations = args.activations.as_ref().map(Activations::as_slice);
    let model = match (ending(&args.file).as_str(), activations) {
        ("onnx", None) => onnx::import(&args.file)?,
        ("onnx", Some(_)) => {
            return Err(Error::Config("an .onnx file says its activations; leave --activations out".into()));
        }
        ("npz", activations) => npz::import(&args.file, activations)?,
        ("safetensors", Some(activations)) => Model::load_with_activations(&args.file, activations)?,
        ("safetensors", None) => Model::load(&args.file)?,
        ("pt" | "pth", Some(activations)) => torch::import(&args.file, activations)?,
        ("pt" | "pth", None) => {
            let what = "a state dict does not say its activations; give --activations, such as relu,linear";
            return Err(Error::Config(what.into()));
        }
        _ => {
            let found = args.file.display();
            let what = format!("expected a file .onnx, .pt, .pth, .npz or .safetensors, found {found}");
            return Err(Error::Config(what));
        }
    };
    model.save(&args.out)?;
    let activations: Vec<_> = model.network.layers.iter().map(|layer| layer.activation.to_string()).collect();
    context.tell("network", format_args!("{}, {} parameters", model.network, model.params().count()))?;
    context.tell("activations", activations.join(", "))?;
    if let Some(scaling) = &model.scaling {
        context.tell("scaling", format_args!("of {} inputs", scaling.shift.len()))?;
    }
    context.tell("model", args.out.display())?;
    context.result(|| {
        json!({
            "out": args.out,
            "network": model.network,
            "parameters": model.params().count(),
            "scaling": model.scaling,
        })
    })?;
    Ok(ExitCode::SUCCESS)
}
