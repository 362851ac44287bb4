//! Every kernel and variant by itself, on the CPU executor and on the best adapter: `cargo bench --bench kernels`.
//!
//! Criterion prints two rates: elements a second are FLOP/s, bytes a second are the memory traffic at the least.

#![allow(clippy::panic)] // a benchmark that cannot run has no other way to say so

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgrad::executor::Executor;
use wgrad::gpu::VariantChoice;
use wgrad::kernel::{Element, Epilogue, Form, Kernel, Uniform, Variant};
use wgrad::optimizer::Rule;
use wgrad::plan::{Binding, Phase, Plan, ScheduleEntry, Slot, SlotInfo};
use wgrad::{Activation, Bias, Device, DeviceChoice, Loss};

/// What each kernel is timed on: the sizes of a 784-1024-1024-10 network at batch 1024.
fn subjects() -> Vec<(Kernel, [u32; 4])> {
    let matmul = |form, epilogue| Kernel::Matmul { form, epilogue };
    let activation = Activation::Sigmoid;
    vec![
        (matmul(Form::Nn, Epilogue::Store), [1024, 1024, 1024, 0]),
        (matmul(Form::Nt, Epilogue::Store), [1024, 1024, 1024, 0]),
        (matmul(Form::Tn, Epilogue::Store), [1024, 1024, 1024, 0]),
        (matmul(Form::Nt, Epilogue::Forward { activation, bias: Bias::PerUnit, keep: false }), [1024, 1024, 784, 0]),
        (matmul(Form::Nn, Epilogue::Delta { activation, apart: false }), [1024, 1024, 10, 0]),
        (matmul(Form::Tn, Epilogue::Update { rule: Rule::Sgd, bias: true }), [1024, 784, 1024, 0]),
        (Kernel::Loss { loss: Loss::SoftmaxCrossEntropy, activation: Activation::Linear }, [1024, 10, 0, 0]),
        (Kernel::LossSum, [1024, 0, 0, 0]),
        (Kernel::ColumnSum, [1024, 1024, 0, 0]),
        (Kernel::Update(Rule::Sgd), [1 << 20, 0, 0, 0]),
        (Kernel::Update(Rule::Momentum), [1 << 20, 0, 0, 0]),
        (Kernel::Gather, [1024, 784, 10, 0]),
    ]
}

fn executor(device: &Device, kernel: &Kernel, variant: Variant, dims: [u32; 4]) -> wgrad::Result<Box<dyn Executor>> {
    let specs = kernel.bindings();
    let mut lengths = kernel.lengths(dims);
    if *kernel == Kernel::Gather {
        let [rows, inputs, outputs, _] = dims.map(|d| d as usize);
        lengths[2..5].copy_from_slice(&[rows, rows * inputs, rows * outputs]);
    }
    let slots: Vec<_> = specs
        .iter()
        .zip(&lengths)
        .enumerate()
        .map(|(i, (spec, &len))| SlotInfo { slot: Slot::State(i), len, element: spec.element })
        .collect();
    let bindings = slots.iter().map(|info| Binding { slot: info.slot, range: 0..info.len }).collect();
    let uniform = Uniform { dims, hyper: [0.9, 0.0, 0.0, 0.0] };
    let plan = Plan::single(kernel.clone(), uniform, slots.clone(), bindings)?;
    let mut executor = device.executor_with(plan, VariantChoice::Forced(variant))?;
    for (info, spec) in slots.iter().zip(&specs) {
        if info.element == Element::Real {
            // Never zeros: they hide denormals and are what a broken kernel would leave.
            let values: Vec<f32> = (0..info.len).map(|i| (i % 251) as f32 / 251.0 - 0.4).collect();
            executor.write(info.slot, 0, &values)?;
        } else if spec.name == "schedule" {
            let entry = ScheduleEntry::training(1e-9, 1.0, dims[0] as usize);
            executor.write_words(info.slot, 0, bytemuck::cast_slice(&[entry]))?;
        }
    }
    Ok(executor)
}

/// Waits for the work by reading one element of what it wrote.
fn wait(executor: &mut dyn Executor, kernel: &Kernel) -> wgrad::Result<Vec<f32>> {
    let written = |spec: &wgrad::kernel::BindingSpec| {
        spec.access == wgrad::kernel::Access::Write && spec.element == Element::Real
    };
    let slot = kernel.bindings().iter().position(written).unwrap_or(0);
    executor.read(Slot::State(slot), 0..1)?.wait()
}

fn kernels(criterion: &mut Criterion) {
    let gpu = Device::select(&DeviceChoice::Gpu);
    if let Err(error) = &gpu {
        eprintln!("only the CPU is timed: {error}");
    }
    let devices = [Some(Device::Cpu), gpu.ok().map(|selection| selection.device)];
    for device in devices.iter().flatten() {
        let mut group = criterion.benchmark_group(device.name());
        for (kernel, dims) in subjects() {
            let (flops, bytes) = kernel.work(dims);
            group.throughput(Throughput::ElementsAndBytes { elements: flops as u64, bytes: bytes as u64 });
            for variant in device.variants(&kernel) {
                let subject = executor(device, &kernel, variant, dims);
                let mut subject = subject.unwrap_or_else(|error| panic!("{kernel} {variant}: {error}"));
                let name = if matches!(device, Device::Cpu) { "cpu".to_owned() } else { variant.to_string() };
                group.bench_function(BenchmarkId::new(kernel.to_string(), name), |bencher| {
                    bencher.iter_custom(|times| {
                        let start = std::time::Instant::now();
                        let done = subject.run(&[Phase::Forward], times as usize);
                        let done = done.and_then(|()| wait(subject.as_mut(), &kernel));
                        assert!(done.is_ok_and(|values| values[0].is_finite()), "{kernel} {variant}");
                        start.elapsed()
                    });
                });
            }
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_secs(2));
    targets = kernels
}
criterion_main!(benches);
