//! What `wgrad check` runs, on the CPU executor and on the GPU: kernels against twins, gradients against the reference,
//! the reference against central differences.
#![allow(clippy::panic)] // a test says what failed by panicking

mod common;

use wgrad::Device;
use wgrad::check::{Report, run};

fn demand_all(device: &Device) -> Report {
    let report = run(device, 0, &mut |_| {}).unwrap_or_else(|error| panic!("{error}"));
    let failures: Vec<_> = report
        .outcomes
        .iter()
        .filter_map(|o| o.failure.as_ref().map(|why| format!("{} {}: {why}", o.group, o.subject)))
        .collect();
    assert!(failures.is_empty(), "{}:\n{}", report.device, failures.join("\n"));
    for outcome in &report.outcomes {
        let Report { device, .. } = &report;
        println!("{device} {} {}: {} cases, worst {:.3}", outcome.group, outcome.subject, outcome.cases, outcome.worst);
        assert!(outcome.cases > 0 && outcome.worst <= 1.0);
    }
    report
}

#[test]
fn everything_holds_on_the_gpu() {
    let report = demand_all(&common::gpu());
    for group in ["kernel", "gradient", "reference", "determinism"] {
        assert!(report.outcomes.iter().any(|o| o.group == group), "nothing was checked of {group}");
    }
    for group in ["kernel", "gradient", "determinism"] {
        let half = |o: &&wgrad::check::Outcome| o.group == group && o.subject.starts_with("f16");
        assert!(report.outcomes.iter().any(|o| half(&o)), "nothing was checked of {group} in f16");
    }
    // The bounds are not so wide that nothing comes near them.
    assert!(report.outcomes.iter().any(|o| o.group == "kernel" && o.worst > 0.05));
}

#[test]
fn everything_holds_on_the_cpu() {
    demand_all(&Device::Cpu);
}
