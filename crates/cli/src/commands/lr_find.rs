//! `wgrad lr-find`

use crate::chart::PictureFile;
use crate::context::Context;
use crate::figures;
use crate::files::check_destination;
use crate::job::Job;
use crate::settings::Settings;
use crate::sources::Given;
use crate::tuning::{TuneArgs, warn};
use crate::words::short;
use serde_json::json;
use std::process::ExitCode;
use wgrad::train::RangeTest;
use wgrad::tune::Effort;
use wgrad::{Error, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad lr-find digits\n  wgrad lr-find flowers.csv --optimizer adam --plot range.png\n\nThe rate \
                  grows from step to step; the loss falls, then grows. A good --lr lies where it falls fastest, or at a tenth \
                  of the rate where it is least (Smith 2015). Takes what `wgrad train` takes; nothing is saved."
)]
pub struct Args {
    /// `digits`, synthetic data (NAME:ROWS:NOISE), a CSV file, or a configuration (.toml)
    #[arg(value_name = "digits|NAME[:ROWS[:NOISE]]|FILE.csv|CONFIG.toml")]
    data: Given,
    /// The rate of the first step
    #[arg(long, value_name = "RATE", default_value_t = RangeTest::default().from, allow_negative_numbers = true)]
    from: f32,
    /// The rate of the last step, unless the loss grows to four times its least before
    #[arg(long, value_name = "RATE", default_value_t = RangeTest::default().to, allow_negative_numbers = true)]
    to: f32,
    /// How many steps
    #[arg(long, value_name = "COUNT", default_value_t = RangeTest::default().steps)]
    steps: usize,
    /// The share of the loss's average that each step keeps
    #[arg(long, value_name = "SHARE", default_value_t = RangeTest::default().smoothing, allow_negative_numbers = true)]
    smoothing: f64,
    /// Draw the loss over the rate
    #[arg(long, value_name = "FILE.png|FILE.svg")]
    plot: Option<PictureFile>,
    #[command(flatten)]
    settings: Settings,
    #[command(flatten)]
    tune: TuneArgs,
}

pub fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let Args { data, from, to, steps, smoothing, plot, settings, tune } = args;
    let test = RangeTest { from, to, steps, smoothing, ..RangeTest::default() };
    test.validate()?;
    if let Some(plot) = &plot {
        check_destination(plot.path(), &[])?;
    }
    let mut job = Job::resolve(Settings::gather(&data, settings, context)?)?;
    let mut tuner = tune.tuner(Effort::Budget);
    let selection = job.select(&mut tuner)?;
    warn(&mut tuner);
    job.decide_precision(&selection.device)?;
    job.decide_micro_batch(&selection.device)?;
    let (pinned, _) = job.choose(&mut tuner, &selection.device)?;
    context.tell("device", format_args!("{}: {}", selection.device.name(), selection.reason))?;
    context.tell("training", job.describe())?;

    let found = job.trainer(&selection.device, &pinned)?.lr_find(&job.train, &test)?;
    let last = match found.points.last() {
        Some(last) => last,
        None => {
            let what = format!("the loss is not finite at the first rate already, {from}; try a smaller --from");
            return Err(Error::Data { place: job.train.name, what });
        }
    };
    let ending = match found.diverged {
        true => format!("the loss grew beyond its limit at {}", short(f64::from(last.rate))),
        false => "the loss did not grow; try a larger --to".to_owned(),
    };
    context.tell("tried", format_args!("{} rates from {from:e} on: {ending}", found.points.len()))?;
    match (found.steepest(), found.tenth_of_least()) {
        (Some(steepest), Some(tenth)) => {
            context.tell("suggestion", format_args!("--lr {steepest:.1e}, where the loss falls fastest"))?;
            context.tell("", format_args!("--lr {tenth:.1e}, a tenth of the rate where it is least"))?;
        }
        _ => context.tell("suggestion", "none: the loss never fell; try a smaller --from, or more --steps")?,
    }
    if let Some(plot) = &plot {
        plot.save(&figures::range(&found))?;
        context.tell("plot", plot.path().display())?;
    }
    context.result(|| {
        let points = found.points.iter();
        json!({
            "device": selection.device.name(),
            "diverged": found.diverged,
            "steepest": found.steepest(),
            "tenth_of_least": found.steepest().and(found.tenth_of_least()),
            "points": points
                .map(|point| json!({ "rate": point.rate, "loss": point.loss, "smoothed": point.smoothed }))
                .collect::<Vec<_>>(),
            "plot": plot.as_ref().map(|plot| plot.path()),
        })
    })?;
    Ok(ExitCode::SUCCESS)
}
