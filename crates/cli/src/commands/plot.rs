//! `wgrad plot`

use crate::chart::{Chart, PictureFile};
use crate::context::Context;
use crate::figures::{self, MEASURES, Measure};
use crate::files::check_destination;
use crate::judged::{Judged, JudgedArgs};
use crate::settings::activation_names;
use crate::tuning::TuneArgs;
use crate::watch::runs::History;
use serde_json::json;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use wgrad::error::did_you_mean;
use wgrad::metrics::Metrics;
use wgrad::{Activation, Error, Result};

#[derive(clap::Args)]
#[command(after_help = "Examples:
  wgrad plot curves runs/a runs/b --measure loss --out loss.png
  wgrad plot confusion runs/a --out confusion.svg
  wgrad plot roc model.safetensors flowers.csv --out roc.png
  wgrad plot boundary moons.safetensors moons:500 --out boundary.png
  wgrad plot activations relu gelu \"x * tanh(softplus(x))\" --out activations.svg

A RUN is a folder that `wgrad train --log` wrote. PNG or SVG by the ending.")]
pub struct Args {
    #[command(subcommand)]
    what: What,
}

#[derive(clap::Subcommand)]
enum What {
    /// What was measured over the epochs of one run, or of several to compare
    Curves {
        /// Folders that `wgrad train --log` wrote
        #[arg(value_name = "RUN", required = true)]
        runs: Vec<PathBuf>,
        /// loss, accuracy, r_squared, learning_rate, gradient_norm or throughput
        #[arg(long, value_name = "NAME", default_value = "loss", value_parser = measure)]
        measure: &'static Measure,
        /// Draw the logarithm of it
        #[arg(long)]
        log_y: bool,
        #[command(flatten)]
        out: Out,
    },
    /// Which classes are taken for which
    Confusion(OfModel),
    /// How many rows of a class are found against how many others are taken for it
    Roc(OfModel),
    /// What a network with two inputs answers over the plane
    Boundary(OfModel),
    /// Activations over x, by name or as expressions
    Activations {
        /// Names, or expressions in x [default: all by name]
        #[arg(value_name = "NAME|EXPRESSION", value_parser = activation_names(), hide_possible_values = true)]
        activations: Vec<Activation>,
        /// Draw their derivatives
        #[arg(long)]
        derivative: bool,
        /// The least x
        #[arg(long, default_value_t = -4.0, allow_negative_numbers = true)]
        from: f64,
        /// The largest x
        #[arg(long, default_value_t = 4.0, allow_negative_numbers = true)]
        to: f64,
        #[command(flatten)]
        out: Out,
    },
}

#[derive(clap::Args)]
struct OfModel {
    #[command(flatten)]
    judged: JudgedArgs,
    #[command(flatten)]
    tune: TuneArgs,
    #[command(flatten)]
    out: Out,
}

#[derive(clap::Args)]
struct Out {
    /// The picture to write
    #[arg(long, value_name = "FILE.png|FILE.svg")]
    out: PictureFile,
}

fn measure(name: &str) -> Result<&'static Measure> {
    let names = || MEASURES.iter().map(|measure| measure.name);
    MEASURES.iter().find(|measure| measure.name == name).ok_or_else(|| {
        let known = names().collect::<Vec<_>>().join(", ");
        Error::Config(format!("unknown measure {name:?}{}; known: {known}", did_you_mean(name, names())))
    })
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    match &args.what {
        What::Curves { runs, measure, log_y, out } => {
            out.check(&[])?;
            let histories = runs.iter().map(|run| History::read(run)).collect::<Result<Vec<_>>>()?;
            let lines = figures::curves(&histories, measure, *log_y).ok_or_else(|| Error::Data {
                place: runs[0].display().to_string(),
                what: format!("nothing was logged of the measure {}; try another --measure", measure.name),
            })?;
            out.save(&lines, context)
        }
        What::Activations { activations, derivative, from, to, out } => {
            out.check(&[])?;
            if !(from.is_finite() && to.is_finite() && from < to) {
                return Err(Error::Config(format!("--from must be less than --to, found {from} and {to}")));
            }
            let all = if activations.is_empty() { Activation::ALL } else { activations };
            out.save(&figures::functions(all, (*from, *to), *derivative), context)
        }
        What::Confusion(of) => of.draw(context, |judged, out| {
            let data = judged.data("a confusion matrix")?;
            let device = context.open_device()?;
            let outputs = judged.outputs(&device, &data.inputs, of.tune)?;
            let metrics = Metrics::of(data, &outputs, judged.model.loss)?;
            let chart = figures::confusion(&metrics, &judged.rows).ok_or_else(|| {
                Error::Config(format!("a confusion matrix needs up to 1000 classes; {} has none or more", data.name))
            })?;
            out.save(&chart, context)
        }),
        What::Roc(of) => of.draw(context, |judged, out| {
            let data = judged.data("a ROC curve")?;
            let device = context.open_device()?;
            let outputs = judged.outputs(&device, &data.inputs, of.tune)?;
            out.save(&figures::roc(data, &outputs, &judged.model, &judged.rows)?, context)
        }),
        What::Boundary(of) => of.draw(context, |judged, out| {
            out.save(&figures::boundary(judged, &context.open_device()?, of.tune)?, context)
        }),
    }
}

impl OfModel {
    fn draw(&self, context: &Context, draw: impl Fn(&Judged, &Out) -> Result<ExitCode>) -> Result<ExitCode> {
        let judged = self.judged.load(context)?;
        self.out.check(&[&judged.path])?;
        draw(&judged, &self.out)
    }
}

impl Out {
    fn check(&self, sources: &[&Path]) -> Result<()> {
        check_destination(self.out.path(), sources)
    }

    fn save(&self, chart: &impl Chart, context: &Context) -> Result<ExitCode> {
        self.out.save(chart)?;
        context.tell("picture", self.out.path().display())?;
        context.result(|| json!({ "out": self.out.path() }))?;
        Ok(ExitCode::SUCCESS)
    }
}
