//! Mixed precision on the CPU and on the GPU: it learns, its bits repeat, an overflow skips a step, and planted faults are
//! caught. That its kernels and gradients keep to their bounds is what `tests/proof.rs` checks.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking

mod common;

use std::sync::Arc;

use wgrad::check::gradients::{Case, network};
use wgrad::check::kernels;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::kernel::fused::{Pass, Source};
use wgrad::kernel::{Element, Epilogue, Form, Fused, FusedSum, Kernel, Mixed};
use wgrad::network::Bias;
use wgrad::optimizer::{Momentum, Optimizer, Rule};
use wgrad::plan::{Plan, Planner, Slot, TrainingOptions};
use wgrad::{Activation, Batch, Device, Layer, Loss, Network, Precision, PrecisionChoice, Trainer, TrainerOptions};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

/// With every planner that knows mixed precision.
fn everywhere() -> impl Iterator<Item = (Device, Planner)> {
    let planners = [Planner::LayerWise, Planner::Fused];
    devices().into_iter().flat_map(move |device| planners.map(|planner| (device.clone(), planner)))
}

/// `sin` of a mix of 3 inputs.
fn dataset(rows: usize) -> Dataset {
    let x = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
    let inputs = Matrix::new(rows, 3, (0..3 * rows).map(x).collect()).unwrap();
    let targets = (0..rows).map(|r| (3.0 * inputs.row(r)[0] + inputs.row(r)[1] - inputs.row(r)[2]).sin()).collect();
    let targets = Matrix::new(rows, 1, targets).unwrap();
    let task = Task::Regression { outputs: vec!["u".into()] };
    Dataset {
        name: "wave".into(),
        features: ["a", "b", "c"].map(str::to_owned).to_vec(),
        task,
        inputs,
        targets,
        weights: None,
    }
}

fn options(planner: Planner, precision: Precision) -> TrainerOptions {
    let optimizer = Optimizer::Momentum(Momentum { momentum: 0.9, nesterov: false, ..Momentum::default() });
    let options = TrainerOptions::new(Loss::MeanSquaredError);
    TrainerOptions { planner, precision, optimizer, learning_rate: 0.05, batch: 16, ..options }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn it_learns_as_f32_does_and_repeats_bit_for_bit() {
    let network = Network::new(3).dense(17, Activation::Tanh).dense(9, Activation::Gelu).dense(1, Activation::Linear);
    let (data, test) = (dataset(400 + 7), dataset(57));
    for (device, planner) in everywhere() {
        let train = |precision| {
            let mut trainer = Trainer::new(&device, network.clone(), options(planner, precision)).unwrap();
            let history = trainer.fit(&data, Some(&test), 20, &mut ()).unwrap();
            let skipped: usize = history.iter().map(|epoch| epoch.skipped).sum();
            assert_eq!(skipped, trainer.skipped_steps().unwrap());
            (trainer.parameters().unwrap(), trainer.evaluate(&test).unwrap().r_squared.unwrap(), skipped)
        };
        let (single, in_f32, none) = train(Precision::F32);
        let (half, in_f16, _) = train(Precision::F16);
        assert_eq!(none, 0);
        assert_ne!(bits(&single), bits(&half), "the precision has no effect");
        let name = device.name();
        assert!(in_f32 > 0.97 && in_f16 > in_f32 - 0.01, "{name} {planner}: {in_f32} in f32, {in_f16} in f16");
        assert_eq!(bits(&half), bits(&train(Precision::F16).0), "{name} {planner}");
    }
}

/// The delta is 11 and may be at most 65,504 in f16: at 2¹⁶, 2¹⁵, 2¹⁴ and 2¹³ it overflows.
#[test]
fn an_overflow_skips_the_step_and_halves_the_scale() {
    let network = Network::new(1).dense(1, Activation::Linear);
    let options = TrainerOptions {
        precision: Precision::F16,
        batch: 1,
        learning_rate: 1e-3,
        losses_kept: 3,
        ..TrainerOptions::new(Loss::HalfSumOfSquares)
    };
    let mut values = vec![0.0; wgrad::Params::of(&network).len];
    values[0] = 1.0;
    for (device, planner) in everywhere() {
        let options = TrainerOptions { planner, ..options };
        let mut trainer = Trainer::with_parameters(&device, network.clone(), &values, options).unwrap();
        trainer.load(&Batch { inputs: &[1.0], targets: &[-10.0] }).unwrap();
        for step in 1..=6 {
            trainer.repeat(1).unwrap();
            assert_eq!(trainer.skipped_steps().unwrap(), step.min(4), "{} {planner}", device.name());
            let moved = trainer.parameters().unwrap() != values;
            assert_eq!(moved, step > 4, "{} {planner} after step {step}", device.name());
        }
        // What a skipped step lost is not its loss.
        let losses = trainer.losses().unwrap();
        assert!(losses.iter().all(|loss| (50.0..61.0).contains(loss)), "{} {planner}: {losses:?}", device.name());
        let weight = trainer.parameters().unwrap()[0];
        let expected = 1.0 - 1e-3 * 11.0 - 1e-3 * (11.0 - 2.0 * 1e-3 * 11.0);
        assert!((weight - expected).abs() < 1e-5, "{weight} for {expected}");
        // A data set moves the trainer to another plan; the scale goes along.
        trainer.evaluate(&Dataset { task: Task::Regression { outputs: vec!["u".into()] }, ..one_column() }).unwrap();
        assert_eq!(trainer.skipped_steps().unwrap(), 4);
    }
}

fn one_column() -> Dataset {
    let column = |values: Vec<f32>| Matrix::new(values.len(), 1, values).unwrap();
    let (inputs, targets) = (column(vec![0.0, 1.0]), column(vec![1.0, 2.0]));
    Dataset { features: vec!["a".into()], inputs, targets, ..dataset(1) }
}

#[test]
fn the_plan_of_f32_knows_nothing_of_f16() {
    let network = Network::new(5).dense(7, Activation::Silu).dense(3, Activation::Linear).with_bias(Bias::Shared);
    let plan = |precision| {
        let options = TrainingOptions { precision, data_rows: 40, ..TrainingOptions::new(8, Loss::Huber) };
        Plan::training(&network, &options).unwrap()
    };
    let (single, half) = (plan(Precision::F32), plan(Precision::F16));
    assert!(single.slots.iter().all(|info| info.element != Element::Half));
    assert!(single.steps.iter().all(|step| !matches!(step.kernel, Kernel::Mixed(_))));
    // Parameters to f16, one run of gradients unscaled, the scale adapted.
    assert_eq!(half.steps.len(), single.steps.len() + 3);
    let halves: Vec<_> = half.slots.iter().filter(|info| info.element == Element::Half).collect();
    let mut names: Vec<_> = halves.iter().map(|info| info.slot.to_string()).collect();
    names.sort();
    let expected = ["activation.0", "half_params", "input", "output", "preactivation.0"];
    assert_eq!(names, expected);
}

#[test]
fn a_fused_step_in_f16_has_as_many_dispatches_as_in_f32() {
    let network = Network::new(5).dense(7, Activation::Silu).dense(3, Activation::Linear);
    let plan = |precision| {
        let options = TrainingOptions {
            planner: Planner::Fused,
            precision,
            data_rows: 40,
            ..TrainingOptions::new(8, Loss::Huber)
        };
        Plan::training(&network, &options).unwrap()
    };
    let (single, half) = (plan(Precision::F32), plan(Precision::F16));
    for phases in [Planner::Fused.step(), Planner::Fused.gathered_step()] {
        assert_eq!((single.dispatches(phases), half.dispatches(phases)), (3, 3));
    }
    let halves = |plan: &Plan| {
        plan.slots.iter().filter(|info| info.element == Element::Half).map(|info| info.slot).collect::<Vec<_>>()
    };
    assert_eq!((halves(&single), halves(&half)), (vec![], vec![Slot::Scratch]));
}

/// An overflow in the first, a middle or the last part of the batch, behind a frozen layer: nothing changes.
#[test]
fn an_overflow_anywhere_skips_the_step() {
    let frozen = Layer { freeze_weight: true, freeze_bias: true, ..Layer::new(2, Activation::Relu) };
    let network = Network::new(1).dense(3, Activation::Linear).layer(frozen).dense(1, Activation::Linear);
    let values = vec![0.5; wgrad::Params::of(&network).len];
    let batch = 200;
    let options = TrainerOptions { precision: Precision::F16, batch, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
    // Of an input of 0.
    let output = 0.5 + 2.0 * 0.5 * (0.5 + 3.0 * 0.5 * 0.5);
    for (device, planner) in everywhere() {
        for large in [None, Some(0), Some(70), Some(199)] {
            // The loss is a mean: deltas are 2 and 0.00005, of which the first overflows at 2¹⁶.
            let targets = |row| if large == Some(row) { output + 400.0 } else { output + 0.01 };
            let targets: Vec<_> = (0..batch).map(targets).collect();
            let options = TrainerOptions { planner, ..options };
            let mut trainer = Trainer::with_parameters(&device, network.clone(), &values, options).unwrap();
            trainer.load(&Batch { inputs: &vec![0.0; batch], targets: &targets }).unwrap();
            trainer.repeat(1).unwrap();
            let skipped = trainer.skipped_steps().unwrap() == 1;
            let changed = trainer.parameters().unwrap() != values;
            let expected = (large.is_some(), large.is_none());
            assert_eq!((skipped, changed), expected, "{} {planner} {large:?}", device.name());
        }
    }
}

#[test]
fn auto_takes_f16_only_with_matrix_units_that_passed_their_self_test() {
    for device in devices() {
        let (precision, reason) = device.precision(PrecisionChoice::Auto).unwrap();
        let trusted = matches!(&device, Device::Gpu(gpu) if !gpu.cooperative().is_empty());
        assert_eq!(precision == Precision::F16, trusted, "{reason}");
        assert!(reason.contains("cooperative matrices"), "{reason}");
        assert_eq!(device.precision(PrecisionChoice::F16).unwrap().0, Precision::F16);
    }
}

fn demand_caught(case: &Case, what: &str, tamper: &dyn Fn(&mut Plan)) {
    for device in devices() {
        let honest = case.check(&device, &|_| {}).unwrap();
        assert!(honest.is_ok(), "{}: the honest plan fails: {honest:?}", device.name());
        let found = case.check(&device, tamper).unwrap();
        assert!(found.is_err(), "{}: {what} passed with {found:?}", device.name());
    }
}

#[test]
fn faults_in_the_wiring_are_caught() {
    let loss = Loss::SoftmaxCrossEntropy;
    let case = Case::new(network(Activation::Tanh, loss, Bias::PerUnit), loss, 9, 1).unwrap();
    let case = Case { precision: Precision::F16, ..case };
    let plan = case.plan().unwrap();
    let gradients = |number: &usize| Planner::LayerWise.gradients().contains(&plan.steps[*number].phase);
    for number in (0..plan.steps.len()).filter(gradients) {
        let label = &plan.steps[number].label;
        demand_caught(&case, &format!("{label} left out"), &|plan| drop(plan.steps.remove(number)));
    }
    let products = |number: &usize| plan.steps[*number].uniform.dims[3] > 0;
    for number in (0..plan.steps.len()).filter(products) {
        let label = &plan.steps[number].label;
        demand_caught(&case, &format!("another weight in {label}"), &|plan| plan.steps[number].uniform.dims[3] = 0);
    }
    demand_caught(&case, "unscaling twice", &|plan| {
        let step = plan.steps.iter().rfind(|step| step.kernel == Kernel::Mixed(Mixed::Unscale)).unwrap().clone();
        plan.steps.push(step);
    });
}

#[test]
fn faulty_kernels_are_caught() {
    type Fault = Box<dyn Fn(&mut Plan)>;
    let one_less = |dim: usize| -> Fault { Box::new(move |plan| plan.steps[0].uniform.dims[dim] -= 1) };
    let becomes = |kernel: Kernel| -> Fault {
        Box::new(move |plan| {
            plan.steps[0].bindings.truncate(kernel.bindings().len());
            plan.steps[0].kernel = kernel.clone();
        })
    };
    let product = |form, epilogue| Kernel::Mixed(Mixed::Matmul { form, epilogue });
    let store = |form| product(form, Epilogue::Store);
    let forward = |activation| product(Form::Nt, Epilogue::Forward { activation, bias: Bias::PerUnit, keep: false });
    let sum = |precision| {
        let network = Network::new(3).dense(2, Activation::Linear);
        Kernel::FusedSum(Arc::new(FusedSum { network, rule: Some(Rule::Sgd), precision }))
    };
    // Wide enough for tiles and matrices.
    let network = Network::new(3).dense(33, Activation::Tanh).dense(2, Activation::Linear);
    let pass = Pass::Training { loss: Loss::MeanSquaredError, source: Source::Batch };
    let fused = Kernel::Fused(Arc::new(Fused { network, pass, precision: Precision::F16 }));
    let square = [16, 16, 16, 64];
    let faults: Vec<(&str, Kernel, [u32; 4], Fault)> = vec![
        ("a transposed operand", store(Form::Nn), square, becomes(store(Form::Nt))),
        ("a row short", store(Form::Tn), [17, 15, 16, 0], one_less(0)),
        ("a column short", forward(Activation::Relu), [17, 15, 16, 0], one_less(1)),
        ("a term short", forward(Activation::Tanh), [17, 15, 33, 0], one_less(2)),
        ("another weight", store(Form::Nn), square, one_less(3)),
        ("another activation", forward(Activation::Silu), square, becomes(forward(Activation::Gelu))),
        ("a parameter not rounded", Kernel::Mixed(Mixed::Cast), [257, 0, 0, 0], one_less(0)),
        ("a gradient not unscaled", Kernel::Mixed(Mixed::Unscale), [257, 0, 0, 0], one_less(0)),
        ("an overflow", Kernel::Mixed(Mixed::Update(Rule::Sgd)), [256, 0, 0, 0], becomes(Kernel::Update(Rule::Sgd))),
        ("an overflow of parts", Kernel::Mixed(Mixed::LossSum), [2, 0, 0, 0], becomes(Kernel::LossSum)),
        ("an overflow in a sum", sum(Precision::F16), [2, 0, 64, 0], becomes(sum(Precision::F32))),
        ("a loss scale in a sum", sum(Precision::F16), [3, 0, 64, 0], becomes(sum(Precision::F32))),
        ("a row of a fused step short", fused, [33, 32, 0, 0], one_less(0)),
        ("a sum of two parts for one of three", sum(Precision::F16), [3, 0, 64, 0], one_less(0)),
    ];
    for device in devices() {
        for (what, kernel, dims, fault) in &faults {
            for variant in device.variants(kernel).into_iter().filter(|&variant| kernel.runs(variant, *dims)) {
                let check = |tamper: &dyn Fn(&mut Plan)| kernels::check(&device, kernel, variant, *dims, 3, tamper);
                assert!(check(&|_| {}).unwrap().is_ok(), "{kernel} {variant} fails without a fault");
                let found = check(fault.as_ref()).unwrap();
                assert!(found.is_err(), "{}: {what} in {kernel} {variant} passed", device.name());
            }
        }
    }
}

#[test]
fn faults_in_the_wiring_of_a_fused_step_are_caught() {
    let loss = Loss::SoftmaxCrossEntropy;
    let case = Case::new(network(Activation::Tanh, loss, Bias::Shared), loss, 130, 1).unwrap();
    let case = Case { precision: Precision::F16, planner: Planner::Fused, ..case };
    let plan = case.plan().unwrap();
    let gradients = |number: &usize| Planner::Fused.gradients().contains(&plan.steps[*number].phase);
    for number in (0..plan.steps.len()).filter(gradients) {
        let label = &plan.steps[number].label;
        demand_caught(&case, &format!("{label} left out"), &|plan| drop(plan.steps.remove(number)));
    }
    demand_caught(&case, "gradients that carry the loss scale", &|plan| {
        let step = plan.steps.iter_mut().find(|step| step.label == "gradients").unwrap();
        let Kernel::FusedSum(kernel) = &mut step.kernel else { unreachable!() };
        Arc::make_mut(kernel).precision = Precision::F32;
        step.bindings.pop();
    });
}

/// Halves are written and read by the element, as every other number is, where pairs allow it.
#[test]
fn halves_are_written_and_read() {
    let network = Network::new(3).dense(2, Activation::Linear);
    let options = TrainingOptions { precision: Precision::F16, ..TrainingOptions::new(5, Loss::MeanSquaredError) };
    let values: Vec<f32> = (0..15).map(|i| i as f32 + 0.5).collect();
    for device in devices() {
        let mut executor = device.executor(Plan::training(&network, &options).unwrap()).unwrap();
        executor.write(Slot::Input, 0, &values).unwrap();
        executor.write(Slot::Input, 2, &[-1.0, -2.0]).unwrap();
        let expected = [&values[1..2], &[-1.0, -2.0], &values[4..]].concat();
        assert_eq!(executor.read(Slot::Input, 1..15).unwrap().wait().unwrap(), expected, "{}", device.name());
        executor.write(Slot::Input, 14, &[0.1]).unwrap();
        let rounded = executor.read(Slot::Input, 14..15).unwrap().wait().unwrap();
        assert_eq!(rounded, [0.099_975_586], "{}", device.name());
        assert!(executor.write(Slot::Input, 12, &[0.0; 4]).is_err());
        if matches!(device, Device::Gpu(_)) {
            assert!(executor.write(Slot::Input, 1, &[0.0]).is_err());
        }
    }
}

#[test]
fn a_planner_without_f16_says_so() {
    let network = Network::new(2).dense(2, Activation::Linear);
    let options = TrainingOptions::new(4, Loss::MeanSquaredError);
    let options = TrainingOptions { planner: Planner::Resident, precision: Precision::F16, ..options };
    let error = Plan::training(&network, &options).unwrap_err().to_string();
    assert!(error.contains("resident") && error.contains("f32") && error.contains("layerwise"), "{error}");
}
