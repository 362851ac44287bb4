//! `wgrad report`

use crate::context::{Context, note};
use crate::files::check_destination;
use crate::report::Report;
use crate::tuning::TuneArgs;
use serde_json::json;
use std::path::PathBuf;
use std::process::ExitCode;
use wgrad::Result;
use wgrad::data::write_atomic;

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wgrad train digits --log runs/a\n  wgrad report runs/a\n\nThe page has the curves, the \
                  metrics and the confusion matrix on the rows that were not trained on, which are read again, the decision \
                  boundary of a network with two inputs, histograms of weights and activations, and the configuration."
)]
pub struct Args {
    /// The folder that `wgrad train --log` wrote
    #[arg(value_name = "RUN")]
    run: PathBuf,
    /// The page to write [default: report.html in the folder]
    #[arg(long, value_name = "FILE.html")]
    out: Option<PathBuf>,
    #[command(flatten)]
    tune: TuneArgs,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let report = Report::read(&args.run)?;
    let out = args.out.clone().unwrap_or_else(|| args.run.join("report.html"));
    check_destination(&out, &[])?;
    let missing = report.missing();
    if let Some(why) = &missing {
        note(format_args!("warning: the page says nothing about the model: {why}"));
    }
    let html = report.html(&context.open_device()?, args.tune)?;
    write_atomic(&out, |file| file.write_all(html.as_bytes()))?;
    context.tell("report", out.display())?;
    context.result(|| json!({ "out": out, "missing": missing }))?;
    Ok(ExitCode::SUCCESS)
}
