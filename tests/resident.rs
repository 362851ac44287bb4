//! The resident planner in a trainer, on the CPU and on the GPU: the same training as layer by layer, however many steps a
//! dispatch takes.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking

mod common;

use wgrad::data::{Dataset, Matrix, Task};
use wgrad::optimizer::{Momentum, Optimizer};
use wgrad::plan::{Plan, Planner, TrainingOptions};
use wgrad::{Activation, Batch, Device, Layer, Loss, Network, Trainer, TrainerOptions};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn dataset(rows: usize) -> Dataset {
    let x = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
    let inputs = Matrix::new(rows, 3, (0..3 * rows).map(x).collect()).unwrap();
    let targets = (0..rows).map(|r| (3.0 * inputs.row(r)[0] + inputs.row(r)[1] * inputs.row(r)[2]).sin());
    let targets = Matrix::new(rows, 1, targets.collect()).unwrap();
    let features = ["a", "b", "c"].map(str::to_owned).to_vec();
    let task = Task::Regression { outputs: vec!["u".to_owned()] };
    Dataset { name: "waves".into(), features, task, inputs, targets, weights: None }
}

/// One that a single invocation holds in registers, and one that takes a workgroup.
fn networks() -> [Network; 2] {
    [4, 23].map(|width| Network::new(3).dense(width, Activation::Tanh).dense(1, Activation::Linear))
}

fn options(planner: Planner) -> TrainerOptions {
    let optimizer = Optimizer::Momentum(Momentum { momentum: 0.9, nesterov: true, ..Momentum::default() });
    let options = TrainerOptions::new(Loss::MeanSquaredError);
    TrainerOptions { optimizer, planner, learning_rate: 0.05, batch: 16, losses_kept: 4, ..options }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

fn demand_near(what: &str, [found, expected]: [&[f32]; 2]) {
    assert_eq!(found.len(), expected.len(), "{what}");
    for (i, (&a, &b)) in found.iter().zip(expected).enumerate() {
        assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{what}, element {i}: {a} and {b}");
    }
}

#[test]
fn it_trains_as_layer_by_layer() {
    let (data, test) = (dataset(101), dataset(23));
    for device in devices() {
        for network in networks() {
            let [resident, layerwise] = [Planner::Resident, Planner::LayerWise].map(|planner| {
                let mut trainer = Trainer::new(&device, network.clone(), options(planner)).unwrap();
                let history = trainer.fit(&data, Some(&test), 3, &mut ()).unwrap();
                let losses = history.iter().flat_map(|e| [e.loss as f32, e.validation.as_ref().unwrap().loss as f32]);
                (trainer.parameters().unwrap(), losses.collect::<Vec<_>>())
            });
            let what = format!("{network} on {}", device.name());
            demand_near(&what, [&resident.0, &layerwise.0]);
            demand_near(&what, [&resident.1, &layerwise.1]);
        }
    }
}

#[test]
fn steps_are_the_same_however_many_a_dispatch_takes() {
    let data = dataset(13);
    let batch = Batch { inputs: &data.inputs.data, targets: &data.targets.data };
    for device in devices() {
        for network in networks() {
            let train = |parts: &[usize]| {
                let mut trainer = Trainer::new(&device, network.clone(), options(Planner::Resident)).unwrap();
                trainer.load(&batch).unwrap();
                parts.iter().for_each(|&steps| trainer.repeat(steps).unwrap());
                (bits(&trainer.parameters().unwrap()), bits(&trainer.losses().unwrap()))
            };
            let together = train(&[77]);
            assert_eq!(together.1.len(), 4);
            assert_eq!(train(&[1; 77]), together, "{network} on {}", device.name());
            assert_eq!(train(&[64, 9, 4]), together, "{network} on {}", device.name());
            assert_ne!(train(&[76]).0, together.0);
            // The longest dispatches there are: where a driver left a loop early, steps would be missing.
            assert_eq!(train(&[9000]), train(&[100; 90]), "{network} on {}", device.name());
        }
    }
}

#[test]
fn gathered_batches_equal_batches_from_the_host() {
    let data = dataset(16 * 3 + 5);
    for device in devices() {
        for network in networks() {
            let new = || Trainer::new(&device, network.clone(), options(Planner::Resident)).unwrap();
            let [mut gathered, mut stepped] = [new(), new()];
            gathered.fit_in_order(&data).unwrap();
            let batches = data.inputs.data.chunks(16 * 3).zip(data.targets.data.chunks(16));
            batches.for_each(|(inputs, targets)| stepped.step(&Batch { inputs, targets }).unwrap());
            let [gathered, stepped] = [gathered, stepped].map(|mut trainer| bits(&trainer.parameters().unwrap()));
            assert_eq!(gathered, stepped, "{network} on {}", device.name());
        }
    }
}

#[test]
fn frozen_parameters_stay() {
    let frozen = Layer { freeze_weight: true, freeze_bias: true, ..Layer::new(5, Activation::Gelu) };
    let network = Network::new(3).dense(7, Activation::Tanh).layer(frozen).dense(1, Activation::Linear);
    let params = wgrad::Params::of(&network);
    for device in devices() {
        let mut trainer = Trainer::new(&device, network.clone(), options(Planner::Resident)).unwrap();
        let before = trainer.parameters().unwrap();
        trainer.fit(&dataset(64), None, 2, &mut ()).unwrap();
        let after = trainer.parameters().unwrap();
        for tensor in &params.tensors {
            let same = bits(&before[tensor.range()]) == bits(&after[tensor.range()]);
            assert_eq!(same, !tensor.trainable, "{} on {}", tensor.name, device.name());
        }
    }
}

#[test]
fn what_does_not_fit_is_refused_with_numbers() {
    let refusal = |network: &Network, batch: usize| {
        let options =
            TrainingOptions { planner: Planner::Resident, ..TrainingOptions::new(batch, Loss::MeanSquaredError) };
        let refused = Planner::Resident.fits(network, &options).expect_err("it fits").to_string();
        assert_eq!(Plan::training(network, &options).expect_err("it fits").to_string(), refused);
        refused
    };
    let wide = Network::new(64).dense(64, Activation::Relu).dense(10, Activation::Linear);
    let refused = refusal(&wide, 8);
    assert!(refused.contains("64-64-10") && refused.contains("16384") && refused.contains("layerwise"), "{refused}");
    let refused = refusal(&networks()[1], 10_000_000);
    assert!(refused.contains("10000000 rows"), "{refused}");
    let huge = Network::new(1 << 20).dense(1 << 20, Activation::Relu);
    refusal(&huge, 1);
}

/// A dispatch takes as many steps as the driver's loops and the time of a watchdog allow, never none.
#[test]
fn dispatches_are_bounded() {
    let steps = |network: &Network, batch: usize| {
        let options =
            TrainingOptions { planner: Planner::Resident, ..TrainingOptions::new(batch, Loss::MeanSquaredError) };
        let plan = Plan::training(network, &options).unwrap();
        plan.steps[0].uniform.dims[1]
    };
    let [tiny, small] = networks();
    assert_eq!(steps(&tiny, 1), 1 << 15);
    assert!(steps(&small, 64) < 1 << 10 && steps(&small, 64) > 1);
    assert!(steps(&small, 10_000) >= 1);
}
