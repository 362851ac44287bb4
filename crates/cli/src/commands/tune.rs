//! `wgrad tune`

use crate::context::Context;
use crate::subject::SubjectArgs;
use crate::tuning::{TuneArgs, report, summary, to_json, warn};
use std::process::ExitCode;
use wgrad::tune::Effort;
use wgrad::{Device, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad tune 784-256-10 --batch 128\n  wgrad tune digits --device gpu\n\nTraining measures the \
                  same by itself, within 2 s (10 s on software Vulkan); here every candidate is measured. Takes what \
                  `wgrad train` takes; of widths and model files, what says something about a step. Verdicts are \
                  kept in the user's cache folder; WGRAD_CACHE_DIR names another one."
)]
pub struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
}

pub fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let mut subject = args.subject.resolve(context)?;
    let mut tuner = TuneArgs { no_tune: false }.tuner(Effort::Everything);
    let selection = tuner.select(&subject.device, &subject.job())?;
    let device = selection.device;
    subject.decide_precision(&device)?;
    context.tell("network", format_args!("{}, batches of {}", subject.network, subject.options.batch))?;
    context.tell("device", format_args!("{}: {}", device.name(), selection.reason))?;
    let tuning = tuner.tune(&device, &subject.job())?;
    warn(&mut tuner);
    context.tell("tuning", summary(&tuning))?;
    if matches!(device, Device::Cpu) && tuning.planners.len() < 2 {
        context.say("\nThe CPU has one way to run each kernel, and one planner fits: there is nothing to choose.")?;
    }
    report(&tuning, context)?;
    context.result(|| {
        let mut value = to_json(&tuning);
        value["device"] = device.name().into();
        value["reason"] = selection.reason.into();
        value
    })?;
    Ok(ExitCode::SUCCESS)
}
