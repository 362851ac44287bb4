//! What `wgrad check` runs, on the CPU executor and on the GPU: kernels against twins, gradients against the reference,
//! the reference against central differences.
#![allow(clippy::panic)] // a test says what failed by panicking

mod common;

use wgrad::check::{Functions, Outcome, equations, gradients, graphs, kernels};
use wgrad::kernel::{Epilogue, Form, Kernel, Load, Variant};
use wgrad::{Device, Result};

type Part = fn(&Device, u64, &mut dyn FnMut(Outcome)) -> Result<()>;

fn demand_all(device: &Device, part: Part) -> Vec<Outcome> {
    let mut outcomes = Vec::new();
    part(device, 0, &mut |outcome| outcomes.push(outcome)).unwrap_or_else(|error| panic!("{error}"));
    let name = device.name();
    let failure = |o: &Outcome| o.failure.as_ref().map(|why| format!("{} {}: {why}", o.group, o.subject));
    let failures: Vec<_> = outcomes.iter().filter_map(failure).collect();
    assert!(failures.is_empty(), "{name}:\n{}", failures.join("\n"));
    for outcome in &outcomes {
        println!("{name} {} {}: {} cases, worst {:.3}", outcome.group, outcome.subject, outcome.cases, outcome.worst);
        assert!(outcome.cases > 0 && outcome.worst <= 1.0);
    }
    outcomes
}

fn demand_groups(outcomes: &[Outcome], groups: &[&str]) {
    for group in groups {
        assert!(outcomes.iter().any(|o| o.group == *group), "nothing was checked of {group}");
        let half = |o: &Outcome| o.group == *group && o.subject.starts_with("f16");
        assert!(
            matches!(*group, "reference" | "derivative") || outcomes.iter().any(half),
            "nothing was checked of {group} in f16"
        );
    }
}

// Two tests with a device each: software Vulkan compiles shaders in the one thread that a device's queue has.

#[test]
fn kernels_hold_on_the_gpu() {
    let outcomes = demand_all(&common::gpu(), kernels::run);
    demand_groups(&outcomes, &["kernel"]);
    // The bounds are not so wide that nothing comes near them.
    assert!(outcomes.iter().any(|o| o.worst > 0.05));
}

#[test]
fn gradients_hold_on_the_gpu() {
    demand_groups(&demand_all(&common::gpu(), gradients::run), &["gradient", "reference", "determinism"]);
}

/// Where a software rasteriser has 64-bit integers, which loads two numbers at once, texts that load four by four are for
/// other adapters.
#[test]
fn vectors_hold_without_64_bit_integers() {
    let device = common::open(wgpu::Features::SUBGROUP, wgpu::Limits::default());
    let product = |form| Kernel::Matmul { form, epilogue: Epilogue::Store };
    let fused = Kernel::all().into_iter().filter(|kernel| matches!(kernel, Kernel::Fused(_)));
    let mut checked = 0;
    for kernel in Form::ALL.iter().copied().map(product).chain(fused) {
        let dims: &[[u32; 4]] = match kernel {
            Kernel::Matmul { .. } => &[[36, 32, 12, 0], [68, 132, 36, 0]],
            _ => &[[70, 64, 0, 0]],
        };
        let loads = |load: Load| move |variant: &Variant| matches!(variant, Variant::Broadcast(b) if b.load == load);
        let variants = device.variants(&kernel);
        assert!(!variants.iter().any(loads(Load::Pairs)), "{kernel} loads 64-bit integers");
        for variant in variants.into_iter().filter(loads(Load::Vector)) {
            for dims in dims {
                let found = kernels::check(&device, &kernel, variant, *dims, 1, &|_| {}).expect("a device that works");
                assert!(found.is_ok_and(|all| all.iter().all(|c| c.worst <= 1.0)), "{kernel} {variant} {dims:?}");
                checked += 1;
            }
        }
    }
    assert!(checked > 20, "{checked} cases");
}

fn functions(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    Functions::samples()?.iter().try_for_each(|functions| functions.run(device, seed, take))
}

#[test]
fn functions_given_as_text_hold_on_the_gpu() {
    demand_groups(&demand_all(&common::gpu(), functions), &["derivative", "kernel", "gradient", "determinism"]);
}

#[test]
fn equations_hold_on_the_gpu() {
    assert_eq!(demand_all(&common::gpu(), equations::run).len(), 4);
}

#[test]
fn graphs_hold_on_the_gpu() {
    let outcomes = demand_all(&common::gpu(), graphs::run);
    assert!(outcomes.iter().filter(|o| o.group == "graph").all(|o| o.worst > 0.05));
}

#[test]
fn everything_holds_on_a_plain_device() {
    let device = common::plain(wgpu::Limits::default());
    let outcomes = [functions as Part, kernels::run, gradients::run, equations::run, graphs::run]
        .into_iter()
        .flat_map(|part| demand_all(&device, part))
        .collect::<Vec<_>>();
    for group in ["kernel", "gradient", "reference", "determinism", "derivative", "graph"] {
        assert!(outcomes.iter().any(|o| o.group == group), "nothing was checked of {group}");
    }
    let gradients = |o: &&Outcome| o.group == "gradient";
    assert!(outcomes.iter().filter(gradients).all(|o| !o.subject.starts_with("f16")), "f16 on a device without it");
}

#[test]
fn everything_holds_on_the_cpu() {
    demand_all(&Device::Cpu, functions);
    demand_all(&Device::Cpu, kernels::run);
    demand_all(&Device::Cpu, gradients::run);
    demand_all(&Device::Cpu, equations::run);
    demand_all(&Device::Cpu, graphs::run);
}
