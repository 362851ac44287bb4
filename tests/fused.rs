#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! The fused planner, on the CPU executor and on the GPU: what `wgrad check` does not reach.

mod common;

use wgrad::compare::{UNIT_ROUNDOFF, compare};
use wgrad::data::Task;
use wgrad::network::Bias;
use wgrad::optimizer::{Momentum, Optimizer};
use wgrad::plan::{Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use wgrad::reference::Reference;
use wgrad::{
    Activation, Batch, Dataset, Device, Layer, Loss, Matrix, Network, Params, Precision, Predictor, Trainer,
    TrainerOptions,
};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

/// Numbers that look random, in [-1, 1).
fn numbers(count: usize, seed: usize) -> Vec<f32> {
    (0..count).map(|i| ((i * 7919 + seed * 104_729) % 2003) as f32 / 1001.5 - 1.0).collect()
}

fn network() -> Network {
    Network::new(6)
        .layer(Layer { freeze_bias: true, ..Layer::new(9, Activation::Gelu) })
        .layer(Layer { bias: Bias::Shared, ..Layer::new(29, Activation::Relu) })
        .layer(Layer { freeze_weight: true, ..Layer::new(8, Activation::Silu) })
        .dense(3, Activation::Linear)
}

fn dataset(rows: usize) -> Dataset {
    let names = |count: usize| (0..count).map(|i| i.to_string()).collect::<Vec<_>>();
    let targets: Vec<f32> = (0..rows * 3).map(|i| f32::from(u8::from(i % 3 == i / 3 % 3))).collect();
    Dataset {
        name: "numbers".into(),
        features: names(6),
        task: Task::classes(names(3)),
        inputs: Matrix::new(rows, 6, numbers(rows * 6, 5)).unwrap(),
        targets: Matrix::new(rows, 3, targets).unwrap(),
        weights: None,
    }
}

fn options(batch: usize) -> TrainerOptions {
    TrainerOptions { planner: Planner::Fused, batch, ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) }
}

/// In both precisions.
fn everywhere() -> impl Iterator<Item = (Device, Precision)> {
    devices()
        .into_iter()
        .flat_map(|device| [Precision::F32, Precision::F16].map(|precision| (device.clone(), precision)))
}

#[test]
fn a_step_is_three_dispatches() {
    let plan = |data_rows| {
        let options =
            TrainingOptions { planner: Planner::Fused, data_rows, ..TrainingOptions::new(100, Loss::MeanSquaredError) };
        Plan::training(&Network::new(64).dense(64, Activation::Relu).dense(3, Activation::Linear), &options).unwrap()
    };
    assert_eq!(plan(0).dispatches(Planner::Fused.step()), 3);
    assert_eq!(plan(1000).dispatches(Planner::Fused.gathered_step()), 3);
}

#[test]
fn a_network_that_is_too_wide_is_refused() {
    let network = Network::new(5).dense(129, Activation::Relu).dense(3, Activation::Linear);
    let error = Trainer::new(&Device::Cpu, network, options(4)).err().unwrap().to_string();
    assert!(error.contains("5-129-3") && error.contains("128") && error.contains("layerwise"), "{error}");
}

/// A step changes each parameter by what the gradients of the same plan say, and no frozen one.
#[test]
fn a_step_follows_its_gradients() {
    let (network, rows) = (network(), 70);
    let params = Params::of(&network);
    let (momentum, rate) = (0.5, 0.25);
    for device in devices() {
        let optimizer = Optimizer::Momentum(Momentum { momentum, nesterov: false, ..Momentum::default() });
        let options = TrainingOptions {
            planner: Planner::Fused,
            optimizer,
            ..TrainingOptions::new(rows, Loss::MeanAbsoluteError)
        };
        let mut executor = device.executor(Plan::training(&network, &options).unwrap()).unwrap();
        let mut values = numbers(params.len, 3);
        let mut velocity = vec![0.0; params.len];
        executor.write(Slot::Params, 0, &values).unwrap();
        executor.write(Slot::Input, 0, &numbers(rows * 6, 1)).unwrap();
        executor.write(Slot::Target, 0, &numbers(rows * 3, 2)).unwrap();
        let entry = ScheduleEntry::training(rate, 1.0 / 210.0, rows);
        executor.schedule(&[entry]).unwrap();
        for _ in 0..2 {
            executor.run(Planner::Fused.gradients(), 1).unwrap();
            executor.run(Planner::Fused.step(), 1).unwrap();
            let gradients = executor.read(Slot::Gradients, 0..params.len).unwrap().wait().unwrap();
            let found = executor.read(Slot::Params, 0..params.len).unwrap().wait().unwrap();
            for tensor in &params.tensors {
                let (mut expected, mut bounds) = (Vec::new(), Vec::new());
                for i in tensor.range() {
                    let (p, g, v) = (f64::from(values[i]), f64::from(gradients[i]), f64::from(velocity[i]));
                    let moved = if tensor.trainable { f64::from(momentum) * v + g } else { 0.0 };
                    expected.push(p - f64::from(rate) * moved);
                    // Four roundings of numbers no larger than these.
                    bounds.push(4.0 * UNIT_ROUNDOFF * (p.abs() + v.abs() + g.abs()));
                    velocity[i] = moved as f32;
                }
                compare(&tensor.name, &found[tensor.range()], &expected, &bounds).unwrap();
                let changed = found[tensor.range()] != values[tensor.range()];
                assert_eq!(changed, tensor.trainable, "{}: {}", device.name(), tensor.name);
            }
            values = found;
        }
    }
}

/// Batches that are gathered on the way give the same as batches from the host, padding included.
#[test]
fn gathered_batches_are_those_from_the_host() {
    let network = network();
    let (rows, batch) = (150, 70);
    let data = dataset(rows);
    for (device, precision) in everywhere() {
        let options = TrainerOptions { precision, ..options(batch) };
        let mut gathered = Trainer::new(&device, network.clone(), options).unwrap();
        let mut loaded = Trainer::new(&device, network.clone(), options).unwrap();
        gathered.fit_in_order(&data).unwrap();
        for first in (0..rows).step_by(batch) {
            let end = rows.min(first + batch);
            let inputs = &data.inputs.data[first * 6..end * 6];
            loaded.step(&Batch { inputs, targets: &data.targets.data[first * 3..end * 3] }).unwrap();
        }
        assert_eq!(gathered.parameters().unwrap(), loaded.parameters().unwrap(), "{}", device.name());
    }
}

/// What is predicted, evaluated and trained follows the reference, whichever planner wires it.
#[test]
fn predictions_follow_the_reference() {
    let (network, rows) = (network(), 77);
    let params = Params::of(&network);
    let (values, inputs) = (numbers(params.len, 3), numbers(rows * 6, 1));
    let wide = |all: &[f32]| all.iter().map(|&x| f64::from(x)).collect::<Vec<_>>();
    let reference = Reference::new(&network, Loss::MeanSquaredError).unwrap();
    let expected = reference.forward(&wide(&values), &wide(&inputs), rows).unwrap();
    let bounds = reference.forward_bounds(&wide(&values), &wide(&inputs), rows).unwrap();
    for device in devices() {
        let mut predictor = Predictor::by(Planner::Fused, &device, &network, &values, 40).unwrap();
        let found = predictor.predict(&Matrix::new(rows, 6, inputs.clone()).unwrap()).unwrap();
        compare(&device.name(), &found.data, &expected, &bounds).unwrap();
    }
}

/// An evaluation on the device agrees with the loss that a step records before its update.
#[test]
fn an_evaluation_is_the_loss_of_a_step() {
    let data = dataset(50);
    for (device, precision) in everywhere() {
        let mut trainer = Trainer::new(&device, network(), TrainerOptions { precision, ..options(50) }).unwrap();
        let evaluated = trainer.evaluate(&data).unwrap();
        trainer.step(&Batch { inputs: &data.inputs.data, targets: &data.targets.data }).unwrap();
        let stepped = f64::from(trainer.losses().unwrap()[0]);
        // Both sum fifty rows' losses, all positive, in some order.
        let bound = 128.0 * UNIT_ROUNDOFF * stepped;
        compare(&device.name(), &[evaluated.loss as f32], &[stepped], &[bound]).unwrap();
        assert!(evaluated.accuracy.is_some());
    }
}
