//! Activations and losses given as text in a trainer: like the registered ones that they equal, by every planner.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking

mod common;

use wgrad::check::gradients::Case;
use wgrad::data::Task;
use wgrad::plan::Planner;
use wgrad::{Activation, Dataset, Device, Loss, Matrix, Network, Precision, Predictor, Trainer, TrainerOptions};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn dataset() -> Dataset {
    let inputs: Vec<f32> = (0..2 * 75).map(|i| ((i * 7919 + 13) % 1009) as f32 / 500.0 - 1.0).collect();
    let targets = inputs.chunks(2).map(|x| (2.0 * x[0]).sin() * x[1]).collect();
    Dataset {
        name: "waves".into(),
        features: vec!["a".into(), "b".into()],
        task: Task::Regression { outputs: vec!["u".into()] },
        inputs: Matrix::new(75, 2, inputs).unwrap(),
        targets: Matrix::new(75, 1, targets).unwrap(),
        weights: None,
    }
}

/// The losses and the parameters after some epochs, and the predictions.
fn trained(device: &Device, planner: Planner, precision: Precision, [f, g]: [Activation; 2], loss: Loss) -> Vec<f32> {
    let network = Network::new(2).dense(9, f).dense(7, g).dense(1, Activation::Linear);
    let options = TrainerOptions { planner, precision, learning_rate: 0.05, batch: 16, ..TrainerOptions::new(loss) };
    // Drawn for the registered activations, so that both start from the same numbers.
    let plain = Network::new(2).dense(9, Activation::Silu).dense(7, Activation::Tanh).dense(1, Activation::Linear);
    let values = wgrad::init::initialize(&plain, &wgrad::Params::of(&plain), options.init, 0).unwrap();
    let mut trainer = Trainer::with_parameters(device, network.clone(), &values, options).unwrap();
    let history = trainer.fit(&dataset(), None, 4, &mut ()).unwrap();
    let values = trainer.parameters().unwrap();
    let evaluation = trainer.evaluate(&dataset()).unwrap();
    assert!(evaluation.r_squared.is_some() && evaluation.accuracy.is_none());
    let mut predictor = Predictor::new(device, &network, &values, 20).unwrap();
    let predicted = predictor.predict(&dataset().inputs).unwrap();
    let losses = history.iter().map(|epoch| epoch.loss as f32).chain([evaluation.loss as f32]);
    losses.chain(values).chain(predicted.data).collect()
}

#[test]
fn they_train_like_what_they_equal() {
    let registered = ([Activation::Silu, Activation::Tanh], Loss::Huber);
    let custom = (
        ["x * sigmoid(x)", "tanh(x)"].map(|text| Activation::custom(text).unwrap()),
        Loss::custom("select(abs(y - t) <= d, 0.5 * (y - t)^2, d * (abs(y - t) - 0.5 * d))", &[("d", 1.0)]).unwrap(),
    );
    for device in devices() {
        for &planner in Planner::ALL {
            let run = |(activations, loss)| trained(&device, planner, Precision::F32, activations, loss);
            let (expected, found) = (run(registered), run(custom));
            assert_eq!(found.len(), expected.len());
            for (i, (a, b)) in found.iter().zip(&expected).enumerate() {
                // Twenty steps of differently rounded functions.
                assert!((a - b).abs() <= 1e-4 * (1.0 + b.abs()), "{} {planner}, {i}: {a} and {b}", device.name());
            }
            let bits = |values: Vec<f32>| values.into_iter().map(f32::to_bits).collect::<Vec<_>>();
            assert_eq!(bits(run(custom)), bits(found), "{} {planner}", device.name());
        }
        let half = trained(&device, Planner::LayerWise, Precision::F16, custom.0, custom.1);
        assert!(half.iter().all(|x| x.is_finite()) && half[3] < half[0], "{}: {half:?}", device.name());
    }
}

/// An equation differentiates the activation once more.
#[test]
fn equations_take_smooth_ones() {
    let mish = Activation::custom("mish = x * tanh(softplus(x))").unwrap();
    let equation = Loss::equation("(u_xx + sin(u))^2", &["x"], &["u"], &[]).unwrap();
    let case = Case::new(Network::new(1).dense(6, mish).dense(4, mish).dense(1, Activation::Linear), equation, 9, 0);
    for device in devices() {
        case.as_ref().unwrap().check(&device, &|_| {}).unwrap().unwrap();
    }
    let bent = Activation::custom("select(x < 0, 0.5 * x, x)").unwrap();
    assert!(
        Case::new(Network::new(1).dense(6, bent).dense(1, bent), equation, 9, 0).and_then(|case| case.plan()).is_err()
    );
}
