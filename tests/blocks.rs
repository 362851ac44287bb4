#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Normalisation, dropout and residual connections: PyTorch's numbers, what differs between training and evaluation, what is
//! refused, and planted faults. Every gradient is in the proof.

mod common;

use serde::Deserialize;
use std::collections::BTreeMap;
use wgrad::check::gradients::{Case, with_blocks};
use wgrad::kernel::{Block, Kernel};
use wgrad::optimizer::Momentum;
use wgrad::plan::{Phase, Plan, Planner, TrainingOptions};
use wgrad::train::{Evaluation, argmax};
use wgrad::{
    Activation, Batch, Dataset, Device, Init, Layer, Loss, Matrix, Model, Network, Normalization, Optimizer, Params,
    Precision, Predictor, Trainer, TrainerOptions,
};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn predict(device: &Device, network: &Network, values: &[f32], inputs: &[f32]) -> Vec<f32> {
    let inputs = Matrix::new(inputs.len() / network.inputs, network.inputs, inputs.to_vec()).unwrap();
    Predictor::new(device, network, values, 7).unwrap().predict(&inputs).unwrap().data.to_vec()
}

/// What `tests/data/blocks/pytorch.py` stored.
#[derive(Deserialize)]
struct Stored {
    layers: Vec<StoredLayer>,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    start: BTreeMap<String, Vec<f32>>,
    losses: Vec<f64>,
    after: BTreeMap<String, Vec<f64>>,
    outputs: Vec<f64>,
    tolerance: f64,
}

#[derive(Deserialize)]
struct StoredLayer {
    inputs: usize,
    outputs: usize,
    normalization: Normalization,
    activation: Activation,
    residual: bool,
}

#[test]
fn ten_steps_are_those_of_pytorch() {
    let stored: Stored = serde_json::from_str(include_str!("data/blocks/pytorch.json")).unwrap();
    let network = stored.layers.iter().fold(Network::new(stored.layers[0].inputs), |network, layer| {
        let residual = layer.residual;
        let of = Layer::new(layer.outputs, layer.activation).normalized(layer.normalization);
        network.layer(Layer { residual, ..of })
    });
    let params = Params::of(&network);
    assert_eq!(params.tensors.len(), stored.start.len());
    let mut values = vec![0.0; params.len];
    for tensor in &params.tensors {
        values[tensor.range()].copy_from_slice(&stored.start[&tensor.name]);
    }
    for device in devices() {
        let options = TrainerOptions {
            optimizer: Optimizer::Momentum(Momentum { momentum: 0.9, ..Momentum::default() }),
            learning_rate: 0.05,
            batch: 16,
            losses_kept: 10,
            ..TrainerOptions::new(Loss::MeanSquaredError)
        };
        let mut trainer = Trainer::with_parameters(&device, network.clone(), &values, options).unwrap();
        trainer.load(&Batch { inputs: &stored.inputs, targets: &stored.targets }).unwrap();
        trainer.repeat(10).unwrap();
        let near = |what: &str, found: &[f32], expected: &[f64]| {
            assert_eq!(found.len(), expected.len(), "{what}");
            for (&found, &expected) in found.iter().zip(expected) {
                let off = (f64::from(found) - expected).abs();
                assert!(off <= stored.tolerance, "{}, {what}: {found}, PyTorch has {expected}", device.name());
            }
        };
        near("losses", &trainer.losses().unwrap(), &stored.losses);
        let after = trainer.parameters().unwrap();
        for tensor in &params.tensors {
            near(&tensor.name, &after[tensor.range()], &stored.after[&tensor.name]);
        }
        let outputs = predict(&device, &network, &after, &stored.inputs);
        near("outputs of the prediction", &outputs, &stored.outputs);
    }
}

/// Evaluation and prediction take running statistics and drop nothing; evaluation is wired as training is, prediction not.
#[test]
fn evaluation_is_prediction() {
    let data = Dataset::digits().select(&(0..150).collect::<Vec<_>>());
    for device in devices() {
        for number in [2, 5, 8, 11] {
            let inner = with_blocks(Activation::Tanh, number);
            let network = Network::new(64).dense(6, Activation::Tanh);
            let layers = network.layers.into_iter().chain(inner.layers[..inner.layers.len() - 1].to_vec());
            let network = layers.fold(Network::new(64), Network::layer).dense(10, Activation::Linear);
            let options = TrainerOptions { learning_rate: 0.01, ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) };
            let mut trainer = Trainer::new(&device, network.clone(), options).unwrap();
            trainer.fit(&data, None, 2, &mut ()).unwrap();
            let Evaluation { loss: found, accuracy, .. } = trainer.evaluate(&data).unwrap();
            let values = trainer.parameters().unwrap();
            let logits = predict(&device, &network, &values, &data.inputs.data);
            let row_loss = |(y, t): (&[f32], &[f32])| {
                let y: Vec<f64> = y.iter().map(|&y| f64::from(y)).collect();
                let log_sum_exp = y.iter().map(|y| y.exp()).sum::<f64>().ln();
                y.iter().zip(t).map(|(y, &t)| f64::from(t) * (log_sum_exp - y)).sum::<f64>()
            };
            let losses = logits.chunks(10).zip(data.targets.data.chunks(10)).map(row_loss);
            let expected = losses.sum::<f64>() / data.rows() as f64;
            assert!((found - expected).abs() < 1e-4 * expected, "{}, {number}: {found}, {expected}", device.name());
            let right = |(y, t): &(&[f32], &[f32])| argmax(y) == argmax(t);
            let right = logits.chunks(10).zip(data.targets.data.chunks(10)).filter(right).count();
            let accuracy = accuracy.unwrap() * data.rows() as f64;
            assert!((accuracy - right as f64).abs() < 1.5, "{}, {number}: {accuracy}, {right}", device.name());
            // A second evaluation gives the same: it moves no statistic.
            assert_eq!(trainer.evaluate(&data).unwrap().loss, found);
            assert_eq!(trainer.parameters().unwrap(), values);
        }
    }
}

#[test]
fn every_step_drops_other_units_and_a_rerun_the_same() {
    let network = Network::new(4).layer(Layer::new(64, Activation::Linear).dropout(0.5)).dense(1, Activation::Linear);
    let options = TrainerOptions {
        learning_rate: 0.0,
        losses_kept: 50,
        seed: 9,
        batch: 2,
        ..TrainerOptions::new(Loss::MeanSquaredError)
    };
    let run = |device: &Device, seed| {
        let mut trainer = Trainer::new(device, network.clone(), TrainerOptions { seed, ..options }).unwrap();
        trainer.set_parameters(&initial(&network)).unwrap();
        trainer.load(&Batch { inputs: &[1.0, -0.5, 0.25, 2.0, 0.5, 0.5, -1.0, 1.5], targets: &[0.0, 1.0] }).unwrap();
        trainer.repeat(20).unwrap();
        trainer.repeat(30).unwrap();
        trainer.losses().unwrap()
    };
    let [cpu, gpu] = devices();
    let losses = run(&gpu, 9);
    assert_eq!(losses, run(&gpu, 9));
    let mut distinct: Vec<u32> = losses.iter().map(|loss| loss.to_bits()).collect();
    distinct.sort_unstable();
    distinct.dedup();
    assert_eq!(distinct.len(), 50, "two steps had the same mask");
    assert_ne!(losses, run(&gpu, 10), "the seed counts");
    for (cpu, gpu) in run(&cpu, 9).into_iter().zip(losses) {
        assert!((cpu - gpu).abs() <= 1e-5 * (1.0 + gpu.abs()), "the same masks on the CPU: {cpu}, {gpu}");
    }
}

/// What is averaged over the steps are parameters; statistics run by themselves.
#[test]
fn averaged_parameters_have_the_running_statistics() {
    let network = Network::new(64).layer(Layer::new(8, Activation::Relu).normalized(Normalization::Batch));
    let network = network.dense(10, Activation::Linear);
    let data = Dataset::digits().select(&(0..128).collect::<Vec<_>>());
    for device in devices() {
        let options = TrainerOptions { average: Some(0.9), ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) };
        let mut trainer = Trainer::new(&device, network.clone(), options).unwrap();
        trainer.fit(&data, None, 1, &mut ()).unwrap();
        let (averaged, parameters) = (trainer.averaged_parameters().unwrap(), trainer.parameters().unwrap());
        for tensor in &Params::of(&network).tensors {
            let [averaged, parameters] = [&averaged, &parameters].map(|values| &values[tensor.range()]);
            assert_eq!(averaged == parameters, !tensor.role.has_gradient(), "{}", tensor.name);
        }
        let mean = Params::of(&network).named("layers.0.running_mean").unwrap().range();
        assert!(averaged[mean].iter().all(|&mean| mean != 0.0), "no statistic has moved");
    }
}

/// Each part of a batch moves them, not the last one alone.
#[test]
fn running_statistics_follow_every_micro_batch() {
    let network = Network::new(1).layer(Layer::new(1, Activation::Linear).normalized(Normalization::Batch));
    let params = Params::of(&network);
    for device in devices() {
        let options = TrainerOptions {
            batch: 4,
            micro_batch: Some(2),
            learning_rate: 0.0,
            ..TrainerOptions::new(Loss::MeanSquaredError)
        };
        let mut trainer = Trainer::new(&device, network.clone(), options).unwrap();
        let before = trainer.parameters().unwrap();
        let weight = before[params.named("layers.0.weight").unwrap().range()][0];
        // Means 2 and 6, unbiased variances 2 and 8; then a batch of three rows, whose last part has one.
        trainer.step(&Batch { inputs: &[1.0, 3.0, 4.0, 8.0], targets: &[0.0; 4] }).unwrap();
        trainer.step(&Batch { inputs: &[1.0, 3.0, 10.0], targets: &[0.0; 3] }).unwrap();
        let after = trainer.parameters().unwrap();
        let follow =
            |start: f32, found: [f32; 4]| found.iter().fold(start, |running, found| running + 0.1 * (found - running));
        let mean = follow(0.0, [2.0, 6.0, 2.0, 10.0]) * weight;
        let variance = follow(1.0, [2.0, 8.0, 2.0, 0.0].map(|variance| variance * weight * weight));
        for (name, expected) in [("layers.0.running_mean", mean), ("layers.0.running_variance", variance)] {
            let found = after[params.named(name).unwrap().range()][0];
            assert!(
                (found - expected).abs() < 1e-4 * expected.abs(),
                "{name} {found}, {expected} on {}",
                device.name()
            );
        }
    }
}

fn initial(network: &Network) -> Vec<f32> {
    wgrad::init::initialize(network, &Params::of(network), Init::Auto, 1).unwrap()
}

#[test]
fn digits_are_learned_with_all_of_it() {
    let mut digits = Dataset::digits();
    digits.inputs.data.iter_mut().for_each(|pixel| *pixel /= 16.0);
    let [train, test] = [0..1400, 1400..1797].map(|rows| digits.select(&rows.collect::<Vec<_>>()));
    let hidden = || Layer::new(48, Activation::Relu).normalized(Normalization::Batch).dropout(0.1);
    let network = Network::new(64).layer(hidden()).layer(hidden().residual()).dense(10, Activation::Linear);
    for device in devices() {
        let options = TrainerOptions { learning_rate: 0.3, ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) };
        let mut trainer = Trainer::new(&device, network.clone(), options).unwrap();
        trainer.fit(&train, None, 6, &mut ()).unwrap();
        let accuracy = trainer.evaluate(&test).unwrap().accuracy.unwrap();
        assert!(accuracy > 0.9, "{}: {accuracy}", device.name());

        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("digits.safetensors");
        Model::new(network.clone(), trainer.parameters().unwrap()).unwrap().save(&path).unwrap();
        let model = Model::load(&path).unwrap();
        assert_eq!((model.network, model.values), (network.clone(), trainer.parameters().unwrap()));
    }
}

#[test]
fn what_does_not_fit_is_refused() {
    let refused = |network: Network| network.validate().unwrap_err().to_string();
    let plain = |outputs| Layer::new(outputs, Activation::Relu);
    let found = refused(Network::new(3).layer(plain(4).residual()).layer(plain(2)));
    assert!(found.contains("layer 0") && found.contains("found 3 and 4"), "{found}");
    for rate in [1.0, -0.1, f32::NAN] {
        let found = refused(Network::new(3).layer(plain(4).dropout(rate)).layer(plain(2)));
        assert!(found.contains("[0, 1)") && found.contains(&rate.to_string()), "{found}");
    }
    let found = refused(Network::new(3).layer(plain(3)).layer(plain(3).residual()));
    assert!(found.contains("layer 1") && found.contains("last layer"), "{found}");

    let network = Network::new(3).layer(plain(4).normalized(Normalization::Layer)).layer(plain(2));
    let options = TrainingOptions::new(8, Loss::MeanSquaredError);
    for planner in [Planner::Fused, Planner::Resident] {
        let found = planner.fits(&network, &options).unwrap_err().to_string();
        assert!(found.contains(planner.name()) && found.contains("layer 0 has a normalisation"), "{found}");
    }
    let half = TrainingOptions { precision: Precision::F16, ..options };
    let found = Plan::training(&network, &half).unwrap_err().to_string();
    assert!(found.contains("mixed precision") && found.contains("normalisation"), "{found}");

    // A row by itself is its own mean.
    let network = Network::new(3).layer(plain(4).normalized(Normalization::Batch)).layer(plain(2));
    for (batch, micro_batch) in [(1, None), (8, Some(1))] {
        let options = TrainerOptions { batch, micro_batch, ..TrainerOptions::new(Loss::MeanSquaredError) };
        let found = Trainer::new(&Device::Cpu, network.clone(), options).err().unwrap().to_string();
        assert!(found.contains("batch normalisation") && found.contains("at least 2 rows"), "{found}");
    }
}

/// A sequence of PyTorch's modules has no place for a residual connection, and scaled inputs go by the first weights then.
#[test]
fn files_of_other_programs_say_what_they_cannot_hold() {
    let layer = || Layer::new(3, Activation::Relu);
    let network = Network::new(3).layer(layer().residual()).layer(layer());
    let mut model = Model::new(network.clone(), initial(&network)).unwrap();
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("m.safetensors");
    let found = wgrad::exchange::sequential::export(&model, &at).unwrap_err().to_string();
    assert!(found.contains("torch.nn.Sequential") && found.contains("residual"), "{found}");
    model.scaling = Some(wgrad::data::Scaling {
        kind: wgrad::data::ScalingKind::Standard,
        shift: vec![1.0; 3],
        scale: vec![2.0; 3],
    });
    let found = wgrad::exchange::fold_scaling(&model).unwrap_err().to_string();
    assert!(found.contains("layer 0 has a residual connection"), "{found}");

    let network = Network::new(3).layer(layer().dropout(0.5)).layer(layer());
    let model = Model::new(network.clone(), initial(&network)).unwrap();
    wgrad::exchange::sequential::export(&model, &at).unwrap();
    assert_eq!(Model::load(&at).unwrap().values, model.values);
}

/// A network without any of it has the steps that it had.
#[test]
fn nothing_is_dispatched_for_what_is_off() {
    let network = Network::new(5).dense(7, Activation::Relu).layer(Layer::new(7, Activation::Relu).dropout(0.0));
    let plan = Plan::training(&network, &TrainingOptions::new(8, Loss::MeanSquaredError)).unwrap();
    assert!(plan.steps.iter().all(|step| !matches!(step.kernel, Kernel::Block(_))));
    assert_eq!(plan.dispatches(&[Phase::Forward, Phase::Loss, Phase::Backward, Phase::Update, Phase::Finish]), 7);
}

#[test]
fn a_step_left_out_is_caught() {
    for number in [1, 2, 4, 9, 10, 11] {
        let network = with_blocks(Activation::Tanh, number);
        let case = Case::new(network, Loss::HalfSumOfSquares, 9, 1).unwrap();
        assert!(case.check(&Device::Cpu, &|_| {}).unwrap().is_ok());
        let steps = case.plan().unwrap().steps;
        let of_blocks = steps.iter().filter(|step| matches!(step.kernel, Kernel::Block(_)));
        // What follows a step that trains is no part of its gradients.
        for step in of_blocks.filter(|step| step.phase != Phase::Update) {
            let found = case.check(&Device::Cpu, &|plan| plan.steps.retain(|other| other.label != step.label));
            found.unwrap().expect_err(&format!("without {}", step.label));
        }
    }
}

#[test]
fn a_wrong_mask_or_mean_is_caught() {
    let network = with_blocks(Activation::Tanh, 10);
    let case = Case::new(network, Loss::HalfSumOfSquares, 9, 1).unwrap();
    for device in devices() {
        let tampered = |tamper: &dyn Fn(&mut wgrad::plan::Step)| {
            let before = case.plan().unwrap();
            let mut after = before.clone();
            after.steps.iter_mut().for_each(tamper);
            assert_ne!(before, after, "the fault was not planted");
            let found = case.check(&device, &|plan| plan.steps.iter_mut().for_each(tamper));
            found.unwrap().expect_err("the fault passed");
        };
        // Another layer's mask on the way back, another share, a residual connection forgotten on the way back.
        tampered(&|step| {
            if matches!(step.kernel, Kernel::Block(Block::JoinDelta { .. })) {
                step.uniform.hyper[2] += 1.0;
            }
        });
        tampered(&|step| {
            if matches!(step.kernel, Kernel::Block(Block::Join { .. })) {
                step.uniform.hyper[0] *= 0.5;
            }
        });
        tampered(&|step| {
            if let Kernel::Block(Block::JoinDelta { activation, residual: true, dropout }) = step.kernel {
                step.kernel = Kernel::Block(Block::JoinDelta { activation, residual: false, dropout });
                step.bindings.remove(step.bindings.len() - 2);
            }
        });
        // The variances of a normalisation taken from where the means are.
        tampered(&|step| {
            if matches!(step.kernel, Kernel::Block(Block::Normalize { .. })) {
                step.uniform.dims[2] = 0;
            }
        });
    }
}
