//! `wgrad plan`

use crate::context::Context;
use crate::subject::SubjectArgs;
use crate::tuning::{self, TuneArgs, summary};
use crate::words::{bytes, short};
use serde_json::{Value, json};
use std::process::ExitCode;
use wgrad::plan::{Group, Plan, Planner, Step, TrainingOptions};
use wgrad::tune::{Effort, Tuning};
use wgrad::{Network, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad plan digits\n  wgrad plan 784-256-10 --batch 128 --activation sigmoid --optimizer adam\n\nTakes \
                        what `wgrad train` takes; of widths and model files, what says something about a step. The \
                        planner and the kernel variants are those that were measured before; nothing is measured here: \
                        see `wgrad tune`."
)]
pub struct Args {
    #[command(flatten)]
    subject: SubjectArgs,
    #[command(flatten)]
    tune: TuneArgs,
    /// The plan of a prediction instead of a training step
    #[arg(long)]
    predict: bool,
}

pub fn run(args: Args, context: &Context) -> Result<ExitCode> {
    let mut subject = args.subject.resolve(context)?;
    if args.predict {
        let planner = subject.planner.unwrap_or_default();
        let plan = Plan::prediction_by(planner, &subject.network, subject.options.batch)?;
        report(&subject.network, &plan, None, context)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut tuner = args.tune.tuner(Effort::Recall);
    let selection = tuner.select(&subject.device, &subject.job())?;
    subject.decide_precision(&selection.device)?;
    let tuning = tuner.tune(&selection.device, &subject.job())?;
    let plan =
        Plan::training(&subject.network, &TrainingOptions { planner: tuning.pinned.planner, ..subject.options })?;
    let device = format!("{}: {}", selection.device.name(), selection.reason);
    report(&subject.network, &plan, Some((&device, &tuning)), context)?;
    Ok(ExitCode::SUCCESS)
}

fn report(network: &Network, plan: &Plan, tuned: Option<(&str, &Tuning)>, context: &Context) -> Result<()> {
    let (dispatches, size) = (plan.steps.len(), plan.bytes());
    let products = plan.steps.iter().filter(|step| step.kernel.stem() == "matmul");
    let flops: f64 = match plan.planner {
        Planner::LayerWise => products.map(|step| step.kernel.work(step.uniform.dims).0).sum(),
        Planner::Fused | Planner::Resident => network.training_flops(plan.batch),
    };
    context.say(plan.to_string().trim_end())?;
    context.say(format_args!(
        "\n{network} on {} rows: {dispatches} dispatches, {} ({size} bytes) in {} slots, {} floating-point operations in \
         matrix products",
        plan.batch,
        bytes(size),
        plan.slots.len(),
        short(flops)
    ))?;
    let groups = || Group::ALL.iter().map(|&group| (group.name(), plan.bytes_of(group))).filter(|(_, size)| *size > 0);
    let ratio = size as f64 / plan.needed_bytes() as f64;
    let parts: Vec<_> = groups().map(|(name, size)| format!("{} {}", name.replace('_', " "), bytes(size))).collect();
    context.say(format_args!("memory: {}; {ratio:.2} times what is needed", parts.join(", ")))?;
    if let Some((device, tuning)) = tuned {
        context.say("")?;
        context.tell("device", device)?;
        context.tell("choices", summary(tuning))?;
        tuning::report(tuning, context)?;
    }
    context.result(|| {
        let slots: Vec<_> =
            plan.slots.iter().map(|info| json!({ "slot": info.slot.to_string(), "elements": info.len })).collect();
        json!({
            "network": network.widths(),
            "planner": plan.planner.name(),
            "batch": plan.batch,
            "dispatches": dispatches,
            "bytes": size,
            "memory": groups().collect::<std::collections::BTreeMap<_, _>>(),
            "needed_bytes": plan.needed_bytes(),
            "flops": flops,
            "slots": slots,
            "steps": plan.steps.iter().map(|step| to_json(plan, step)).collect::<Vec<_>>(),
            "choices": tuned.map(|(_, tuning)| tuning::to_json(tuning)),
        })
    })
}

fn to_json(plan: &Plan, step: &Step) -> Value {
    let (reads, writes) = plan.reads_and_writes(step);
    let dims: Vec<_> = step.uniform.dims.iter().filter(|dim| **dim > 0).collect();
    json!({
        "phase": step.phase.name(),
        "kernel": step.kernel.to_string(),
        "label": step.label,
        "dims": dims,
        "reads": reads,
        "writes": writes,
    })
}
