#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! What is done around the update, against PyTorch's numbers, by every planner, on the GPU and on the CPU.

mod common;

use serde::Deserialize;
use std::collections::BTreeMap;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::loss::Reduction;
use wgrad::optimizer::Rule;
use wgrad::plan::{Phase, Plan, Planner, TrainingOptions};
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
                (Task::Classification { classes: names(OUTPUTS, "k") }, one_hot)
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
                Planner::LayerWise => 11,
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
    assert_eq!(labels(&plan(Treatments::default())), ["update"]);
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
