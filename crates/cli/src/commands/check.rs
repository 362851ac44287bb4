//! `wgrad check`

use crate::context::Context;
use serde_json::{Value, json};
use std::process::ExitCode;
use wgrad::Result;
use wgrad::check::{Outcome, run as check};

#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wgrad check --device gpu\n\nThe error is the largest in units of its derived bound: at most \
                  1 where all is well."
)]
pub struct Args {}

pub fn run(_: &Args, context: &Context) -> Result<ExitCode> {
    let device = context.open_device()?;
    context.say(format_args!("{:<12}  {:<56}  {:>7}  {:>9}", "group", "subject", "cases", "error"))?;
    // What cannot be printed must not end the check: its exit code counts too.
    let mut printed = Ok(());
    let report = check(&device, context.seed.unwrap_or(0), &mut |outcome| {
        if printed.is_ok() {
            printed = context.say(line(outcome));
        }
    })?;
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
