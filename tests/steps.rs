#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! What is done around the update, against PyTorch's numbers, by every planner, on the GPU and on the CPU.

mod common;

use serde::Deserialize;
use std::collections::BTreeMap;
use wgrad::check::gradients::Case as GradientCase;
use wgrad::compare::compare;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::loss::Reduction;
use wgrad::optimizer::Rule;
use wgrad::plan::{Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use wgrad::reference::Reference;
use wgrad::train::{Control, Epoch, Observer};
use wgrad::{Activation, Batch, Device, Loss, Network, Params, Precision, Trainer, TrainerOptions, Treatments};

/// What `tests/data/steps/pytorch.py` stored.
#[derive(Deserialize)]
struct Stored {
    inputs: Vec<f32>,
    targets: Vec<f32>,
    labels: Vec<usize>,
    weights: Vec<f32>,
    start: Tensors,
    cases: Vec<Case>,
}

type Tensors = BTreeMap<String, Vec<f64>>;

#[derive(Deserialize)]
struct Case {
    name: String,
    classes: bool,
    weighted: bool,
    smoothing: f32,
    average: Option<f32>,
    l1: f32,
    l2: f32,
    clip_value: Option<f32>,
    clip_norm: Option<f32>,
    reduction: Option<Reduction>,
    optimizer: Rule,
    learning_rate: f32,
    /// Of each step, before its update.
    losses: Vec<f64>,
    parameters: Tensors,
    averaged: Option<Tensors>,
}

const OUTPUTS: usize = 4;

fn stored() -> Stored {
    serde_json::from_str(include_str!("data/steps/pytorch.json")).unwrap()
}

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn network() -> Network {
    Network::new(3).dense(6, Activation::Tanh).dense(OUTPUTS, Activation::Linear)
}

impl Stored {
    fn arena(&self) -> Vec<f32> {
        let params = Params::of(&network());
        let mut values = vec![0.0; params.len];
        for tensor in &params.tensors {
            let given = self.start[&tensor.name].iter().map(|&x| x as f32);
            values[tensor.range()].iter_mut().zip(given).for_each(|(to, from)| *to = from);
        }
        values
    }

    fn dataset(&self, case: &Case) -> Dataset {
        let names = |count: usize, kind: &str| (0..count).map(|i| format!("{kind}{i}")).collect::<Vec<_>>();
        let label = |label: usize| (0..OUTPUTS).map(move |k| f32::from(u8::from(k == label)));
        let (task, targets) = match case.classes {
            false => (Task::Regression { outputs: names(OUTPUTS, "y") }, self.targets.clone()),
            true => {
                let one_hot = self.labels.iter().copied().flat_map(label).collect();
                (Task::classes(names(OUTPUTS, "k")), one_hot)
            }
        };
        let mut data = Dataset {
            name: "stored".into(),
            features: names(3, "x"),
            task,
            inputs: Matrix::new(8, 3, self.inputs.clone()).unwrap(),
            targets: Matrix::new(8, OUTPUTS, targets).unwrap(),
            weights: case.weighted.then(|| self.weights.clone()),
        };
        if case.smoothing > 0.0 {
            data.smooth_labels(case.smoothing).unwrap();
        }
        data
    }

    /// The rows of targets of a batch, with their weights.
    fn targets(&self, case: &Case) -> Vec<f32> {
        let data = self.dataset(case);
        let row = |r: usize| {
            let weight = data.weights.as_ref().map(|weights| weights[r]);
            data.targets.row(r).iter().copied().chain(weight).collect::<Vec<_>>()
        };
        (0..8).flat_map(row).collect()
    }

    fn options(&self, case: &Case, planner: Planner) -> TrainerOptions {
        let Case { l1, l2, clip_value, clip_norm, reduction, learning_rate, weighted, average, .. } = *case;
        let loss = if case.classes { Loss::SoftmaxCrossEntropy } else { Loss::MeanSquaredError };
        TrainerOptions {
            planner,
            learning_rate,
            reduction,
            weighted,
            average,
            optimizer: case.optimizer.optimizer(),
            treatments: Treatments { l1, l2, clip_value, clip_norm },
            batch: 8,
            losses_kept: case.losses.len(),
            ..TrainerOptions::new(loss)
        }
    }
}

/// How far ten steps may be from those in double precision: a few units in the last place of numbers of about 1 in each.
const NEAR: f64 = 4e-6;

fn assert_near(what: &str, params: &Params, found: &[f32], expected: &Tensors) {
    for tensor in &params.tensors {
        let expected = &expected[&tensor.name];
        assert_eq!(expected.len(), tensor.len());
        for (i, (&found, &expected)) in found[tensor.range()].iter().zip(expected).enumerate() {
            let near = (f64::from(found) - expected).abs() <= NEAR;
            assert!(near, "{what}, {} element {i}: {found}, expected {expected}", tensor.name);
        }
    }
}

fn fits(options: &TrainerOptions) -> bool {
    let TrainerOptions { planner, loss, treatments, batch, average, .. } = *options;
    let options = TrainingOptions { planner, treatments, average, ..TrainingOptions::new(batch, loss) };
    Plan::training(&network(), &options).is_ok()
}

#[test]
fn ten_steps_are_those_of_pytorch() {
    let stored = stored();
    let mut checked = [0; 3];
    for device in devices() {
        for case in &stored.cases {
            for (counted, &planner) in checked.iter_mut().zip(Planner::ALL) {
                let options = stored.options(case, planner);
                if !fits(&options) {
                    continue;
                }
                *counted += 1;
                let what = format!("{}, {planner}, on {}", case.name, device.name());
                let mut trainer = Trainer::with_parameters(&device, network(), &stored.arena(), options).unwrap();
                let targets = stored.targets(case);
                trainer.load(&Batch { inputs: &stored.inputs, targets: &targets }).unwrap();
                trainer.repeat(case.losses.len()).unwrap();
                let losses = trainer.losses().unwrap();
                assert_eq!(losses.len(), case.losses.len());
                for (step, (&found, &expected)) in losses.iter().zip(&case.losses).enumerate() {
                    let near = (f64::from(found) - expected).abs() <= NEAR * expected.abs().max(1.0);
                    assert!(near, "{what}, loss of step {step}: {found}, expected {expected}");
                }
                let params = Params::of(&network());
                assert_near(&what, &params, &trainer.parameters().unwrap(), &case.parameters);
                let averaged = case.averaged.as_ref().unwrap_or(&case.parameters);
                assert_near(&what, &params, &trainer.averaged_parameters().unwrap(), averaged);

                // By epochs of one batch, whose rows come in another order each time.
                let mut fitted = Trainer::with_parameters(&device, network(), &stored.arena(), options).unwrap();
                let data = stored.dataset(case);
                let epochs = fitted.fit(&data, Some(&data), case.losses.len(), &mut ()).unwrap();
                assert_near(&what, &params, &fitted.averaged_parameters().unwrap(), averaged);
                for (epoch, &expected) in epochs.iter().zip(&case.losses) {
                    approx::assert_relative_eq!(epoch.loss, expected, max_relative = 1e-5);
                }
                let validation = epochs.last().unwrap().validation.as_ref().unwrap().loss;
                assert_eq!(validation, fitted.evaluate(&data).unwrap().loss, "{what}");
            }
        }
    }
    assert!(checked[0] == 2 * stored.cases.len() && checked[1] == checked[0] && checked[2] > 4, "{checked:?}");
}

/// In mixed precision a treatment takes gradients that carry no loss scale any more.
#[test]
fn treatments_take_unscaled_gradients_in_mixed_precision() {
    let stored = stored();
    let case = stored.cases.iter().find(|case| case.name == "clipped by norm").unwrap();
    for device in devices().into_iter().filter(Device::has_half) {
        for planner in [Planner::LayerWise, Planner::Fused] {
            let options = TrainerOptions { precision: Precision::F16, ..stored.options(case, planner) };
            let mut trainer = Trainer::with_parameters(&device, network(), &stored.arena(), options).unwrap();
            trainer.load(&Batch { inputs: &stored.inputs, targets: &stored.targets(case) }).unwrap();
            trainer.repeat(case.losses.len()).unwrap();
            assert_eq!(trainer.skipped_steps().unwrap(), 0);
            let values = trainer.parameters().unwrap();
            for tensor in &Params::of(&network()).tensors {
                for (&found, &expected) in values[tensor.range()].iter().zip(&case.parameters[&tensor.name]) {
                    // Ten steps of at most 0.02 together, in numbers of eleven digits.
                    let near = (f64::from(found) - expected).abs() <= 2e-4;
                    assert!(near, "{planner} on {}, {}: {found}, expected {expected}", device.name(), tensor.name);
                }
            }
        }
    }
}

/// An input so large that f16 overflows, and treatments that would make finite numbers of what comes: the step is skipped.
#[test]
fn an_overflow_skips_the_step_with_treatments_too() {
    let treatments = Treatments { l2: 0.1, clip_value: Some(1.0), clip_norm: Some(1.0), ..Treatments::default() };
    for device in devices().into_iter().filter(Device::has_half) {
        for planner in [Planner::LayerWise, Planner::Fused] {
            let (precision, batch) = (Precision::F16, 2);
            let options =
                TrainerOptions { planner, precision, batch, treatments, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
            let mut trainer = Trainer::new(&device, network(), options).unwrap();
            let before = trainer.parameters().unwrap();
            let targets = vec![3e4; 2 * OUTPUTS];
            trainer.step(&Batch { inputs: &[1.0; 6], targets: &targets }).unwrap();
            assert_eq!(trainer.skipped_steps().unwrap(), 1, "{planner} on {}", device.name());
            assert_eq!(trainer.parameters().unwrap(), before, "{planner} on {}", device.name());
            // The scale is halved until a step goes through.
            trainer.repeat(30).unwrap();
            let skipped = trainer.skipped_steps().unwrap();
            assert!(skipped < 30, "{skipped} of 31, {planner} on {}", device.name());
            assert_ne!(trainer.parameters().unwrap(), before);
        }
    }
}

/// What is switched off takes no dispatch and no buffer.
#[test]
fn what_is_off_costs_nothing() {
    for &planner in Planner::ALL {
        for precision in [Precision::F32, Precision::F16] {
            let plain = TrainingOptions {
                planner,
                precision,
                data_rows: 50,
                ..TrainingOptions::new(8, Loss::MeanSquaredError)
            };
            let Ok(plan) = Plan::training(&network(), &plain) else { continue };
            let expected = match planner {
                Planner::LayerWise if precision == Precision::F16 => 14,
                Planner::LayerWise => 8,
                Planner::Fused => 3,
                Planner::Resident => 1,
            };
            assert_eq!(plan.dispatches(planner.gathered_step()), expected, "{planner} {precision}\n{plan}");
            let none = Treatments { l1: 0.0, l2: 0.0, clip_value: None, clip_norm: None };
            assert_eq!(Plan::training(&network(), &TrainingOptions { treatments: none, ..plain }).unwrap(), plan);
        }
    }
}

#[test]
fn each_treatment_is_a_dispatch_between_backward_and_update() {
    let options = |treatments| TrainingOptions { treatments, ..TrainingOptions::new(8, Loss::MeanSquaredError) };
    let plan = |treatments| Plan::training(&network(), &options(treatments)).unwrap();
    let labels = |plan: &Plan| -> Vec<String> {
        plan.steps.iter().filter(|step| step.phase == Phase::Update).map(|step| step.label.clone()).collect()
    };
    let treatments = Treatments { l1: 0.1, l2: 0.0, clip_value: Some(1.0), clip_norm: Some(2.0) };
    let all = [
        "layers.0.weight penalty",
        "layers.1.weight penalty",
        "clip by value",
        "squares of gradients",
        "norm of the gradient",
        "clip by norm",
        "update",
    ];
    assert_eq!(labels(&plan(treatments)), all);
    // Without them the products update by themselves.
    assert_eq!(labels(&plan(Treatments::default())), ["layers.1 update", "layers.0 update"]);
    let mut frozen = network();
    frozen.layers[0].freeze_weight = true;
    let plan = Plan::training(&frozen, &options(treatments)).unwrap();
    assert!(!labels(&plan).contains(&"layers.0.weight penalty".to_owned()), "{plan}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |treatments| {
        let options = TrainerOptions { treatments, ..TrainerOptions::new(Loss::Huber) };
        Trainer::new(&Device::Cpu, network(), options).err().unwrap().to_string()
    };
    let none = Treatments::default();
    for bad in [-0.1, f32::NAN, f32::INFINITY] {
        assert!(refused(Treatments { l1: bad, ..none }).contains("l1 must be finite and at least 0"));
        assert!(refused(Treatments { l2: bad, ..none }).contains("l2 must be finite and at least 0"));
    }
    for bad in [0.0, -1.0, f32::NAN, f32::INFINITY] {
        assert!(refused(Treatments { clip_value: Some(bad), ..none }).contains("clip_value must be finite and more"));
        assert!(refused(Treatments { clip_norm: Some(bad), ..none }).contains("clip_norm must be finite and more"));
    }
    let treatments = Treatments { l2: 0.1, ..none };
    let options = TrainerOptions { treatments, planner: Planner::Resident, ..TrainerOptions::new(Loss::Huber) };
    let error = Trainer::new(&Device::Cpu, network(), options).err().unwrap().to_string();
    assert!(error.contains("the planner resident changes parameters by an optimizer alone"), "{error}");
}

/// The sum of a loss is what its means are of, over an epoch too.
#[test]
fn a_sum_is_over_every_sample() {
    let stored = stored();
    let case = &stored.cases[0];
    for device in devices() {
        for &planner in Planner::ALL {
            let of = |reduction| {
                let options =
                    TrainerOptions { reduction, learning_rate: 0.0, batch: 3, ..stored.options(case, planner) };
                let mut trainer = Trainer::with_parameters(&device, network(), &stored.arena(), options).unwrap();
                let batch = Batch { inputs: &stored.inputs, targets: &stored.targets };
                let gradients = trainer.gradients(&batch).unwrap();
                let data = stored.dataset(case);
                let epoch = trainer.fit(&data, Some(&data), 1, &mut ()).unwrap().remove(0);
                (epoch.loss, epoch.validation.unwrap().loss, gradients)
            };
            let ([mean, validated, gradients], [sum, summed, sums]) = {
                let ((a, b, c), (d, e, f)) = (of(None), of(Some(Reduction::Sum)));
                ([a, b, c.loss.into()], [d, e, f.loss.into()])
            };
            let elements = (8 * OUTPUTS) as f64;
            for (mean, sum) in [(mean, sum), (validated, summed), (gradients, sums)] {
                approx::assert_relative_eq!(sum, mean * elements, max_relative = 1e-5);
            }
            approx::assert_relative_eq!(mean, case.losses[0], max_relative = 1e-5);
        }
    }
}

/// Weights and a sum in the gradients by themselves, within the bounds of the reference.
#[test]
fn gradients_know_weights_and_reductions() {
    let case = GradientCase::new(network(), Loss::Huber, 9, 5).unwrap().with_weights();
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    for device in devices() {
        let options =
            TrainerOptions { weighted: true, reduction: Some(Reduction::Sum), ..TrainerOptions::new(Loss::Huber) };
        let mut trainer = Trainer::with_parameters(&device, network(), &case.values, options).unwrap();
        let found = trainer.gradients(&Batch { inputs: &case.inputs[1], targets: &case.targets[1] }).unwrap();
        let (values, inputs, targets) = (wide(&case.values), wide(&case.inputs[1]), wide(&case.targets[1]));
        let reference = Reference::new(&network(), Loss::Huber).unwrap().weighted();
        let sum = reference.clone().reduced_by(Reduction::Sum);
        let (exact, bounds) =
            (sum.gradients(&values, &inputs, &targets, 9).unwrap(), sum.bounds(&values, &inputs, &targets, 9).unwrap());
        compare("gradient", &found.params, &exact.params, &bounds.params).unwrap();
        compare("loss", &[found.loss], &[exact.loss], &[bounds.loss]).unwrap();
        let mean = reference.gradients(&values, &inputs, &targets, 9).unwrap();
        compare("gradient", &found.params, &mean.params, &bounds.params).expect_err("a mean passed as a sum");
        // The row without weight has no gradient.
        assert!(found.input[..3].iter().all(|&g| g == 0.0) && found.input[3..].iter().any(|&g| g != 0.0));
    }
    let equation = Loss::equation("(y - t)^2", &["x"], &["y"], &["t"]).unwrap();
    let options = TrainerOptions { weighted: true, ..TrainerOptions::new(equation) };
    let network = Network::new(1).dense(1, Activation::Tanh);
    let error = Trainer::new(&Device::Cpu, network, options).err().unwrap().to_string();
    assert!(error.contains("takes no weights") && error.contains("column of the data"), "{error}");
}

/// The gradient of 11 rows in micro-batches of 4, which is the whole batch's within what f32 may err in any order of its sums.
/// `tamper` may leave out or change a step.
fn accumulated(
    device: &Device,
    planner: Planner,
    precision: Precision,
    tamper: impl Fn(&mut Plan),
) -> Result<wgrad::compare::Comparison, String> {
    let case = GradientCase::new(network(), Loss::SoftmaxCrossEntropy, 11, 3).unwrap();
    let options = TrainingOptions {
        planner,
        precision,
        steps: 3,
        accumulates: true,
        ..TrainingOptions::new(4, Loss::SoftmaxCrossEntropy)
    };
    let mut plan = Plan::training(&network(), &options).unwrap();
    tamper(&mut plan);
    let mut executor = device.executor(plan).unwrap();
    executor.write(Slot::Params, 0, &case.values).unwrap();
    let entry = |rows| ScheduleEntry::training(0.0, 1.0 / 11.0, rows);
    executor.schedule(&[entry(4), entry(4), entry(3)]).unwrap();
    // The second batch is what is looked at: the first must leave nothing.
    for batch in 0..2 {
        executor.write_words(Slot::Clock, 0, &[0]).unwrap();
        for part in 0..3 {
            let rows = part * 4..(part * 4 + 4).min(11);
            let padded = |values: &[f32], cols: usize| {
                let mut values = values[rows.start * cols..rows.end * cols].to_vec();
                values.resize(4 * cols, 7.0);
                values
            };
            executor.write(Slot::Input, 0, &padded(&case.inputs[batch], 3)).unwrap();
            executor.write(Slot::Target, 0, &padded(&case.targets[batch], OUTPUTS)).unwrap();
            executor.run(if part < 2 { planner.micro_step(false) } else { planner.step() }, 1).unwrap();
        }
    }
    let wide = |values: &[f32]| values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>();
    let (values, inputs, targets) = (wide(&case.values), wide(&case.inputs[1]), wide(&case.targets[1]));
    let reference = Reference::new(&network(), Loss::SoftmaxCrossEntropy).unwrap();
    let exact = reference.gradients(&values, &inputs, &targets, 11).unwrap();
    let bounds = match precision {
        Precision::F32 => reference.bounds(&values, &inputs, &targets, 11).unwrap(),
        Precision::F16 => reference.half_bounds(&values, &inputs, &targets, 11).unwrap(),
    };
    let losses = executor.read(Slot::Losses, 0..3).unwrap().wait().unwrap();
    compare("loss", &[losses.iter().sum::<f32>()], &[exact.loss], &[bounds.loss])?;
    let found = executor.read(Slot::Gradients, 0..values.len()).unwrap().wait().unwrap();
    compare("gradient", &found, &exact.params, &bounds.params)
}

#[test]
fn micro_batches_sum_to_the_gradient_of_the_batch() {
    for device in devices() {
        for planner in [Planner::LayerWise, Planner::Fused] {
            for precision in [Precision::F32, Precision::F16] {
                if precision == Precision::F16 && !device.has_half() {
                    continue;
                }
                let what = format!("{planner} {precision} on {}", device.name());
                accumulated(&device, planner, precision, |_| {}).unwrap_or_else(|failure| panic!("{what}: {failure}"));
                // A micro-batch left out, and sums that go on into the next batch.
                for label in [Phase::Accumulate, Phase::Update] {
                    let tamper = |plan: &mut Plan| {
                        let before = plan.steps.len();
                        let forgotten = |step: &wgrad::plan::Step| {
                            step.phase == label && step.label == "gradients of micro-batches"
                        };
                        plan.steps.retain(|step| !forgotten(step));
                        assert_eq!(plan.steps.len() + 1, before);
                    };
                    accumulated(&device, planner, precision, tamper).expect_err(&what);
                }
                let keep = |plan: &mut Plan| {
                    let total = |step: &&mut wgrad::plan::Step| {
                        step.phase == Phase::Update && step.label == "gradients of micro-batches"
                    };
                    let step = plan.steps.iter_mut().find(total).unwrap();
                    step.bindings.swap(0, 1);
                    step.kernel = wgrad::kernel::Kernel::Treatment(wgrad::kernel::Treatment::Accumulate);
                    step.bindings.swap(0, 1);
                };
                accumulated(&device, planner, precision, keep).expect_err(&what);
            }
        }
    }
}

/// Rows enough for several batches, of which the last is smaller.
fn waves(rows: usize, weighted: bool) -> Dataset {
    let x = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
    let stored = stored();
    let mut data = stored.dataset(&stored.cases[0]);
    data.inputs = Matrix::new(rows, 3, (0..3 * rows).map(x).collect()).unwrap();
    let target = |i: usize| (3.0 * x(i / OUTPUTS * 3) + (i % OUTPUTS) as f32).sin();
    data.targets = Matrix::new(rows, OUTPUTS, (0..OUTPUTS * rows).map(target).collect()).unwrap();
    data.weights = weighted.then(|| (0..rows).map(|r| (r % 5) as f32 / 2.0).collect());
    data
}

/// Epochs in micro-batches are those in batches, up to rounding: with what is done around the update, rows with weights, a rule
/// that counts updates, and data that is streamed.
#[test]
fn epochs_in_micro_batches_are_those_in_batches() {
    for device in devices() {
        for (planner, weighted) in [(Planner::LayerWise, true), (Planner::Fused, false)] {
            let fit = |micro_batch: Option<usize>, data_budget: u64| {
                let options = TrainerOptions {
                    planner,
                    weighted,
                    micro_batch,
                    data_budget,
                    batch: 20,
                    learning_rate: 0.01,
                    optimizer: Rule::Adam.optimizer(),
                    treatments: Treatments { l2: 0.01, clip_norm: Some(0.1), ..Treatments::default() },
                    average: Some(0.9),
                    ..TrainerOptions::new(Loss::MeanSquaredError)
                };
                let mut trainer = Trainer::new(&device, network(), options).unwrap();
                trainer.set_schedule("constant".parse().unwrap(), 4);
                let (data, validation) = (waves(67, weighted), waves(29, weighted));
                let epochs = trainer.fit(&data, Some(&validation), 4, &mut ()).unwrap();
                let test = trainer.evaluate(&validation).unwrap();
                (trainer.averaged_parameters().unwrap(), epochs, test)
            };
            let (whole, epochs, test) = fit(None, u64::MAX);
            for (micro, budget) in [(7, u64::MAX), (1, u64::MAX), (20, u64::MAX), (7, 2000)] {
                let what = format!("{planner}, micro-batches of {micro}, {budget} bytes, on {}", device.name());
                let (parts, in_parts, test_in_parts) = fit(Some(micro), budget);
                for (i, (a, b)) in whole.iter().zip(&parts).enumerate() {
                    assert!((a - b).abs() < 2e-4, "{what}: parameter {i} is {b}, in batches {a}");
                }
                for (a, b) in epochs.iter().zip(&in_parts) {
                    approx::assert_relative_eq!(a.loss, b.loss, max_relative = 1e-4);
                    let of = |epoch: &Epoch| epoch.validation.as_ref().unwrap().r_squared.unwrap();
                    approx::assert_relative_eq!(of(a), of(b), max_relative = 1e-3);
                }
                approx::assert_relative_eq!(test.loss, test_in_parts.loss, max_relative = 1e-4);
            }
        }
    }
}

#[test]
fn steps_in_micro_batches_keep_their_losses() {
    let stored = stored();
    for device in devices() {
        for planner in [Planner::LayerWise, Planner::Fused] {
            for case in stored.cases.iter().filter(|case| ["everything", "nothing"].contains(&case.name.as_str())) {
                let options = TrainerOptions { micro_batch: Some(3), losses_kept: 4, ..stored.options(case, planner) };
                let mut trainer = Trainer::with_parameters(&device, network(), &stored.arena(), options).unwrap();
                let batch = Batch { inputs: &stored.inputs, targets: &stored.targets(case) };
                trainer.load(&batch).unwrap();
                trainer.repeat(3).unwrap();
                assert_eq!(trainer.losses().unwrap().len(), 3);
                trainer.step(&batch).unwrap();
                trainer.repeat(6).unwrap();
                let losses = trainer.losses().unwrap();
                assert_eq!(losses.len(), 4);
                for (&found, &expected) in losses.iter().zip(&case.losses[6..]) {
                    approx::assert_relative_eq!(f64::from(found), expected, max_relative = 1e-5);
                }
                let what = format!("{}, {planner} on {}", case.name, device.name());
                assert_near(&what, &Params::of(&network()), &trainer.parameters().unwrap(), &case.parameters);
                // A batch of fewer rows, in fewer parts.
                let width = batch.targets.len() / 8;
                trainer.step(&Batch { inputs: &stored.inputs[..6], targets: &batch.targets[..2 * width] }).unwrap();
                assert_eq!(trainer.losses().unwrap().len(), 4);
            }
        }
    }
    let options = TrainerOptions { micro_batch: Some(0), ..TrainerOptions::new(Loss::Huber) };
    let error = Trainer::new(&Device::Cpu, network(), options).err().unwrap().to_string();
    assert!(error.contains("a micro-batch needs at least 1 row"), "{error}");
}

/// Stops in the middle of an epoch.
struct Stop;

impl Observer for Stop {
    fn progress(&mut self, _: usize, _: usize, _: usize, _: f32) -> std::ops::ControlFlow<()> {
        std::ops::ControlFlow::Break(())
    }
}

/// Three epochs and three more are six, to the bit: with state, schedule, average, and a region that rows are streamed
/// through.
#[test]
fn a_further_fit_goes_on() {
    for device in devices() {
        for &planner in Planner::ALL {
            let trainer = || {
                let options = TrainerOptions {
                    planner,
                    batch: 8,
                    optimizer: if planner == Planner::Resident { Rule::Momentum } else { Rule::AdamW }.optimizer(),
                    average: (planner != Planner::Resident).then_some(0.95),
                    learning_rate: 0.01,
                    ..TrainerOptions::new(Loss::MeanSquaredError)
                };
                let mut trainer = Trainer::new(&device, network(), options).unwrap();
                trainer.set_schedule("warmup:2, cosine".parse().unwrap(), 6);
                trainer
            };
            let bits = |trainer: &mut Trainer| {
                let all = [trainer.parameters().unwrap(), trainer.averaged_parameters().unwrap()].concat();
                all.into_iter().map(f32::to_bits).collect::<Vec<_>>()
            };
            let (data, other) = (waves(50, false), waves(90, false));
            let mut once = trainer();
            let six = once.fit(&data, None, 6, &mut ()).unwrap();
            let mut twice = trainer();
            let three = twice.fit(&data, None, 3, &mut ()).unwrap();
            // A larger set in between takes another plan.
            twice.evaluate(&other).unwrap();
            let more = twice.fit(&data, None, 3, &mut ()).unwrap();
            let mut by_one = trainer();
            let ones: Vec<Epoch> = (0..6).map(|_| by_one.partial_fit(&data).unwrap()).collect();
            assert_eq!(bits(&mut once), bits(&mut twice), "{planner} on {}", device.name());
            assert_eq!(bits(&mut once), bits(&mut by_one), "{planner} on {}", device.name());
            let losses = |epochs: &[Epoch]| epochs.iter().map(|epoch| epoch.loss).collect::<Vec<_>>();
            assert_eq!(losses(&six), [losses(&three), losses(&more)].concat());
            assert_eq!(losses(&six), losses(&ones));
            // Not so where the state is lost.
            let mut anew = trainer();
            anew.fit(&data, None, 3, &mut ()).unwrap();
            let values = anew.parameters().unwrap();
            let mut forgetful = trainer();
            forgetful.set_parameters(&values).unwrap();
            forgetful.fit(&data, None, 3, &mut ()).unwrap();
            assert_ne!(bits(&mut once), bits(&mut forgetful), "{planner} on {}", device.name());
        }
        let options = TrainerOptions { micro_batch: Some(2), batch: 8, ..TrainerOptions::new(Loss::MeanSquaredError) };
        let mut stopped = Trainer::new(&device, network(), options).unwrap();
        stopped.fit_under(&Control::default(), &waves(50, false), None, 1, &mut Stop).unwrap();
        // What the batch left that did not end is in none to come.
        let batch = waves(8, false);
        let batch = Batch { inputs: &batch.inputs.data, targets: &batch.targets.data };
        let values = stopped.parameters().unwrap();
        let mut fresh = Trainer::with_parameters(&device, network(), &values, options).unwrap();
        stopped.step(&batch).unwrap();
        fresh.step(&batch).unwrap();
        assert_eq!(stopped.parameters().unwrap(), fresh.parameters().unwrap(), "{}", device.name());
        assert!(stopped.partial_fit(&waves(50, false)).unwrap().loss.is_finite());
        let mut diverging = trainer_of(&device, 1e30);
        let error = diverging.partial_fit(&waves(50, false)).unwrap_err().to_string();
        assert!(error.contains("is not finite: the training diverged"), "{error}");
    }
}

fn trainer_of(device: &Device, learning_rate: f32) -> Trainer {
    let options = TrainerOptions { learning_rate, batch: 8, ..TrainerOptions::new(Loss::MeanSquaredError) };
    Trainer::new(device, network(), options).unwrap()
}

/// What moves along to another plan, and what a checkpoint has to keep.
#[test]
fn the_state_of_a_run_is_listed() {
    let slots = |options: TrainingOptions| -> Vec<Slot> {
        Plan::training(&network(), &options).unwrap().state().iter().map(|info| info.slot).collect()
    };
    let plain = TrainingOptions::new(8, Loss::MeanSquaredError);
    assert_eq!(slots(plain), [Slot::Params]);
    let all = TrainingOptions {
        precision: Precision::F16,
        optimizer: Rule::Adam.optimizer(),
        average: Some(0.9),
        accumulates: true,
        ..plain
    };
    assert_eq!(slots(all), [Slot::Params, Slot::Scaler, Slot::State(0), Slot::State(1), Slot::Average]);
}

#[test]
fn weights_that_nobody_takes_are_an_error() {
    let mut trainer = trainer_of(&Device::Cpu, 0.1);
    let error = trainer.fit(&waves(50, true), None, 1, &mut ()).unwrap_err().to_string();
    assert!(error.contains("TrainerOptions::weighted"), "{error}");
    // Without weights each row counts 1.
    let of = |weighted| {
        let options = TrainerOptions { weighted, batch: 8, ..TrainerOptions::new(Loss::MeanSquaredError) };
        let mut trainer = Trainer::new(&Device::Cpu, network(), options).unwrap();
        trainer.fit(&waves(50, false), None, 2, &mut ()).unwrap();
        trainer.parameters().unwrap()
    };
    assert_eq!(of(false), of(true));
}

/// The kernels around the update over awkward lengths, and every loss on rows with weights, in every variant.
#[test]
fn kernels_hold_over_awkward_sizes() {
    use wgrad::check::kernels::check;
    use wgrad::kernel::{Kernel, Treatment};
    let losses = Loss::ALL.iter().map(|&loss| Kernel::Loss { loss, activation: Activation::Linear });
    let around = Treatment::ALL.iter().map(|&treatment| Kernel::Treatment(treatment));
    for device in devices() {
        for kernel in losses.clone().chain(around.clone()) {
            let sizes: &[[u32; 4]] = match kernel {
                Kernel::Loss { .. } => &[[5, 3, 1, 0], [2, 65, 1, 0]],
                Kernel::Treatment(Treatment::Squares) => &[[1, 64, 0, 0], [63, 64, 0, 0], [4097, 128, 0, 0]],
                _ => &[[1, 0, 0, 0], [255, 0, 0, 0], [257, 0, 0, 0], [1028, 0, 0, 0]],
            };
            for &dims in sizes {
                for variant in device.variants(&kernel).into_iter().filter(|&variant| kernel.runs(variant, dims)) {
                    let found = check(&device, &kernel, variant, dims, 11, &|_| {}).unwrap();
                    assert!(found.is_ok(), "{}: {kernel} {variant} {dims:?}: {found:?}", device.name());
                }
            }
        }
    }
}
