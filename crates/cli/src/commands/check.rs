//! `wgrad check`

use crate::context::Context;
use crate::settings::{Settings, activation_names, loss_names};
use crate::sources::{Given, ending};
use serde_json::{Value, json};
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::check::{self, Functions, Outcome};
use wgrad::{Activation, Error, Layer, Loss, Model, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad check --device gpu\n  wgrad check --activation \"mish = x * tanh(softplus(x))\" --loss \
                  \"abs(y - t)^1.5\"\n  wgrad check run.toml\n\nThe error is the largest in units of its derived bound: at \
                  most 1 where all is well."
)]
pub struct Args {
    /// Prove the activations and the loss of this configuration or model, rather than everything
    #[arg(value_name = "CONFIG.toml|MODEL")]
    of: Option<PathBuf>,
    /// Prove this activation of hidden layers: a name, or an expression in x
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = activation_names(), hide_possible_values = true)]
    activation: Option<Activation>,
    /// Prove this activation of the output layer
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = activation_names(), hide_possible_values = true)]
    output_activation: Option<Activation>,
    /// Prove this loss: a name, or an expression in y and t
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = loss_names(), hide_possible_values = true)]
    loss: Option<Loss>,
}

impl Args {
    /// What is to be proven; `None` for everything.
    fn functions(&self, context: &Context) -> Result<Option<Vec<Functions>>> {
        let of_layers = |layers: &[Layer]| {
            let mut hidden: Vec<_> = layers.iter().map(|layer| layer.activation).collect();
            let output = hidden.pop();
            (hidden, output)
        };
        let ((mut hidden, output), loss) = match &self.of {
            None if self.activation.is_none() && self.output_activation.is_none() && self.loss.is_none() => {
                return Ok(None);
            }
            None => ((Vec::new(), None), None),
            Some(path) if ending(path) == "safetensors" => {
                let model = Model::load(path)?;
                (of_layers(&model.network.layers), model.loss)
            }
            Some(path) if ending(path) == "toml" => {
                let Settings { network, training, .. } =
                    Settings::gather(&Given::Toml(path.clone()), Settings::default(), context)?;
                let plain = (network.activation.into_iter().collect(), network.output_activation);
                (network.layers.map_or(plain, |layers| of_layers(&layers)), training.loss)
            }
            Some(path) => {
                let found = path.display();
                return Err(Error::Config(format!("expected the name of a .toml or .safetensors file, found {found}")));
            }
        };
        if let Some(activation) = self.activation {
            hidden = vec![activation];
        }
        let loss = self.loss.or(loss).unwrap_or(Loss::MeanSquaredError);
        let output = self.output_activation.or(output).unwrap_or(match loss {
            Loss::LogisticCrossEntropy => Activation::Sigmoid,
            _ => Activation::Linear,
        });
        if hidden.is_empty() {
            hidden.push(if matches!(loss, Loss::Equation(_)) { Activation::Tanh } else { Activation::Relu });
        }
        let mut functions: Vec<Functions> = Vec::new();
        for activation in hidden {
            let next = Functions::new(activation, output, loss)?;
            if !functions.contains(&next) {
                functions.push(next);
            }
        }
        Ok(Some(functions))
    }
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let functions = args.functions(context)?;
    let device = context.open_device()?;
    context.say(format_args!("{:<12}  {:<56}  {:>7}  {:>9}", "group", "subject", "cases", "error"))?;
    // What cannot be printed must not end the check: its exit code counts too.
    let mut printed = Ok(());
    let mut watch = |outcome: &Outcome| {
        if printed.is_ok() {
            printed = context.say(line(outcome));
        }
    };
    let seed = context.seed.unwrap_or(0);
    let report = match functions {
        None => check::run(&device, seed, &mut watch)?,
        Some(functions) => check::run_for(&functions, &device, seed, &mut watch)?,
    };
    let (passed, failed) = (report.passed(), report.failed());
    let printed = printed.and_then(|()| {
        context.say(format_args!("\n{passed} passed, {failed} failed on {}", report.device))?;
        context.result(|| {
            let outcomes: Vec<_> = report.outcomes.iter().map(to_json).collect();
            json!({ "device": report.device, "passed": passed, "failed": failed, "outcomes": outcomes })
        })
    });
    if failed > 0 {
        return Ok(ExitCode::FAILURE);
    }
    printed.map(|()| ExitCode::SUCCESS)
}

fn line(outcome: &Outcome) -> String {
    let Outcome { group, subject, cases, worst, failure } = outcome;
    let verdict = match failure {
        None => "ok".to_owned(),
        Some(failure) => format!("FAILED\n    {failure}"),
    };
    format!("{group:<12}  {subject:<56}  {cases:>7}  {worst:>9.3}  {verdict}")
}

fn to_json(outcome: &Outcome) -> Value {
    let Outcome { group, subject, cases, worst, failure } = outcome;
    json!({ "group": group, "subject": subject, "cases": cases, "worst": worst, "failure": failure })
}
