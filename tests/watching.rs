#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Callbacks, which see a run and change it, and the learning-rate range test.

mod common;

use std::ops::ControlFlow;
use wgrad::data::Task;
use wgrad::optimizer::Momentum;
use wgrad::train::{Control, Ended, Epoch, Moment, Observer, RangeTest, Running};
use wgrad::{
    Activation, Batch, Bias, Dataset, Device, Layer, Loss, Matrix, Network, Optimizer, Params, Result, Trainer,
    TrainerOptions,
};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

/// `y = 2x + e` at x = ±2, where the errors e = ±1 follow nothing: the loss of a weight w is `½ (4 (w - 2)² + 1)`.
fn line(rows: usize) -> Dataset {
    let x = |i: usize| if i.is_multiple_of(2) { 2.0 } else { -2.0 };
    let e = |i: usize| if i % 4 < 2 { 1.0 } else { -1.0 };
    Dataset {
        name: "line".into(),
        features: vec!["x".into()],
        task: Task::Regression { outputs: vec!["y".into()] },
        inputs: Matrix::new(rows, 1, (0..rows).map(x).collect()).unwrap(),
        targets: Matrix::new(rows, 1, (0..rows).map(|i| 2.0 * x(i) + e(i)).collect()).unwrap(),
        weights: None,
    }
}

fn trainer(device: &Device, batch: usize, optimizer: Optimizer) -> Trainer {
    let network = Network::new(1).layer(Layer { bias: Bias::None, ..Layer::new(1, Activation::Linear) });
    let values = vec![-1.0; Params::of(&network).len];
    let options =
        TrainerOptions { batch, optimizer, learning_rate: 0.01, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
    Trainer::with_parameters(device, network, &values, options).unwrap()
}

/// Does `what` at every moment.
struct Callback<F>(F);

impl<F: FnMut(Moment<'_>, &mut Running<'_>) -> Result<ControlFlow<()>>> Observer for Callback<F> {
    fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        (self.0)(moment, run)
    }
}

#[test]
fn a_callback_sees_every_epoch_begin_and_end() {
    for device in devices() {
        let mut trainer = trainer(&device, 4, Optimizer::default());
        trainer.set_schedule("step:1:0.5".parse().unwrap(), 3);
        let data = line(16);
        let mut seen = Vec::new();
        let mut weights = Vec::new();
        let mut watch = Callback(|moment: Moment<'_>, run: &mut Running<'_>| {
            match moment {
                Moment::Begin(number) => seen.push(format!("begin {number} at {}", run.learning_rate())),
                Moment::Part(_) => {}
                Moment::End(epoch) => {
                    seen.push(format!("end {}", epoch.number));
                    let batch = Batch { inputs: &data.inputs.data, targets: &data.targets.data };
                    let weight = run.parameters()?[0];
                    let gradient = run.gradients(&batch)?.params[0];
                    assert!((gradient - 4.0 * (weight - 2.0)).abs() < 1e-4, "{gradient} at {weight}");
                    weights.push(weight);
                }
            }
            Ok(ControlFlow::Continue(()))
        });
        trainer.fit(&data, None, 3, &mut watch).unwrap();
        assert_eq!(seen, ["begin 1 at 0.01", "end 1", "begin 2 at 0.005", "end 2", "begin 3 at 0.0025", "end 3"]);
        assert!(weights.is_sorted() && weights[0] > -1.0, "{weights:?}");
        assert_eq!(weights[2], trainer.parameters().unwrap()[0]);
    }
}

/// The gradient of the loss of line at w is `4 (w - 2)`; rows that all weigh 3 have three times that.
#[test]
fn the_norm_of_the_gradient_is_that_of_weighted_rows() {
    for weights in [None, Some(vec![3.0; 8])] {
        let factor = if weights.is_some() { 12.0 } else { 4.0 };
        let data = Dataset { weights, ..line(8) };
        let network = Network::new(1).layer(Layer { bias: Bias::None, ..Layer::new(1, Activation::Linear) });
        let weighted = data.weights.is_some();
        let options = TrainerOptions { weighted, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
        let mut trainer = Trainer::new(&Device::Cpu, network, options).unwrap();
        let mut seen = 0;
        let mut watch = Callback(|moment: Moment<'_>, run: &mut Running<'_>| {
            if let Moment::End(_) = moment {
                let norms = run.gradient_norms(&data, 1024)?;
                let expected = factor * (f64::from(run.parameters()?[0]) - 2.0).abs();
                assert!((norms[0] - expected).abs() <= 1e-5 * expected, "{norms:?}, expected {expected}");
                seen += 1;
            }
            Ok(ControlFlow::Continue(()))
        });
        trainer.fit(&data, None, 1, &mut watch).unwrap();
        assert_eq!(seen, 1);
    }
}

#[test]
fn a_callback_changes_the_rate_of_the_epochs_to_come() {
    for device in devices() {
        let data = line(16);
        let mut by_hand = trainer(&device, 4, Optimizer::default());
        by_hand.fit(&data, None, 1, &mut ()).unwrap();
        by_hand.set_learning_rate(0.005).unwrap();
        by_hand.fit(&data, None, 1, &mut ()).unwrap();

        let mut called = trainer(&device, 4, Optimizer::default());
        let mut halve = Callback(|moment: Moment<'_>, run: &mut Running<'_>| {
            if let Moment::End(Epoch { number: 1, .. }) = moment {
                run.scale_learning_rate(0.5)?;
            }
            Ok(ControlFlow::Continue(()))
        });
        called.fit(&data, None, 2, &mut halve).unwrap();
        assert_eq!(called.parameters().unwrap(), by_hand.parameters().unwrap());
    }
}

#[test]
fn a_callback_changes_the_rate_within_an_epoch() {
    for device in devices() {
        let mut trainer = trainer(&device, 1, Optimizer::default());
        let mut weights = Vec::new();
        let mut freeze = Callback(|moment: Moment<'_>, run: &mut Running<'_>| {
            if let Moment::Part(_) = moment {
                // The first part's successor is under way with the old rate; those behind it stand still.
                run.scale_learning_rate(0.0)?;
                weights.push(run.parameters()?[0]);
            }
            Ok(ControlFlow::Continue(()))
        });
        trainer.fit(&line(6000), None, 1, &mut freeze).unwrap();
        assert!(weights.len() >= 3, "{weights:?}");
        assert!(weights.iter().all(|weight| *weight == weights[0]), "{weights:?}");
        assert_eq!(trainer.parameters().unwrap()[0], weights[0]);
        assert!(weights[0] > -1.0);
    }
}

#[test]
fn a_callback_ends_a_run_at_any_moment() {
    for (at, epochs) in [("begin", 1), ("end", 2)] {
        let mut trainer = trainer(&Device::Cpu, 4, Optimizer::default());
        let mut stop = Callback(|moment: Moment<'_>, _: &mut Running<'_>| {
            let stop = match moment {
                Moment::Begin(number) => at == "begin" && number == 2,
                Moment::Part(_) => false,
                Moment::End(epoch) => at == "end" && epoch.number == 2,
            };
            Ok(if stop { ControlFlow::Break(()) } else { ControlFlow::Continue(()) })
        });
        let run = trainer.fit_under(&Control::default(), &line(16), None, 9, &mut stop).unwrap();
        assert_eq!((run.epochs.len(), run.ended), (epochs, Ended::Observer), "{at}");
    }
}

#[test]
fn an_error_of_a_callback_is_the_runs() {
    let mut trainer = trainer(&Device::Cpu, 4, Optimizer::default());
    let mut fail = Callback(|_: Moment<'_>, run: &mut Running<'_>| {
        run.scale_learning_rate(f32::NAN)?;
        Ok(ControlFlow::Continue(()))
    });
    let error = trainer.fit(&line(16), None, 1, &mut fail).unwrap_err().to_string();
    assert!(error.contains("learning rate must be finite"), "{error}");
}

#[test]
fn two_observers_watch_one_run() {
    let count = |moments: &mut usize, last: usize| {
        *moments += 1;
        if *moments == last { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let (mut first, mut second) = (0, 0);
    let a = Callback(|_: Moment<'_>, _: &mut Running<'_>| Ok(count(&mut first, 2)));
    let b = Callback(|_: Moment<'_>, _: &mut Running<'_>| Ok(count(&mut second, usize::MAX)));
    let mut trainer = trainer(&Device::Cpu, 16, Optimizer::default());
    trainer.fit(&line(16), None, 5, &mut (a, Some(b))).unwrap();
    assert_eq!((first, second), (2, 2), "the first stops the run, and both see all of it");
}

#[test]
fn a_range_test_ends_where_the_steps_are_too_long() {
    // The Hessian is 4: gradient descent is stable up to 2/4.
    const STABLE: f32 = 0.5;
    for device in devices() {
        // Every batch has the whole curvature, and errors of its own that keep the weight off the minimum.
        let mut trainer = trainer(&device, 8, Optimizer::default());
        let found = trainer.lr_find(&line(64), &RangeTest::default()).unwrap();
        let rates: Vec<f32> = found.points.iter().map(|point| point.rate).collect();
        assert!(found.diverged && rates[0] == 1e-7 && rates.is_sorted(), "{rates:?}");
        assert!((STABLE..10.0 * STABLE).contains(rates.last().unwrap()), "{rates:?}");
        for suggestion in [found.steepest(), found.tenth_of_least()] {
            assert!((1e-3..STABLE).contains(&suggestion.unwrap()), "{suggestion:?}");
        }
    }
}

/// Every batch has a rate, however many parts it is cut into.
#[test]
fn a_range_test_in_micro_batches_is_that_in_batches() {
    for device in devices() {
        let test = RangeTest { from: 1e-4, to: 10.0, steps: 40, ..RangeTest::default() };
        let found = |micro_batch: Option<usize>| {
            let options = TrainerOptions { batch: 4, micro_batch, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
            let network = Network::new(1).dense(1, Activation::Linear);
            // 4 batches in a pass, of which the last has two rows.
            Trainer::new(&device, network, options).unwrap().lr_find(&line(14), &test).unwrap()
        };
        let (whole, parts) = (found(None), found(Some(2)));
        assert!(whole.points.len() > 10 && whole.diverged);
        assert_eq!(whole.points.len(), parts.points.len(), "{}", device.name());
        for (whole, part) in whole.points.iter().zip(&parts.points) {
            assert_eq!(whole.rate, part.rate);
            assert!((whole.loss - part.loss).abs() <= 1e-4 * whole.loss, "{whole:?} {part:?} on {}", device.name());
        }
    }
}

/// What a watcher saves is what the run would save.
#[test]
fn a_callback_sees_the_averaged_parameters() {
    let options = TrainerOptions { average: Some(0.9), ..TrainerOptions::new(Loss::HalfSumOfSquares) };
    let mut trainer = Trainer::new(&Device::Cpu, Network::new(1).dense(1, Activation::Linear), options).unwrap();
    let mut seen = Vec::new();
    let mut watch = Callback(|moment: Moment<'_>, run: &mut Running<'_>| {
        if let Moment::End(_) = moment {
            seen = run.parameters()?;
        }
        Ok(ControlFlow::Continue(()))
    });
    trainer.fit(&line(64), None, 2, &mut watch).unwrap();
    assert_eq!(seen, trainer.averaged_parameters().unwrap());
    assert_ne!(seen, trainer.parameters().unwrap());
}

#[test]
fn a_range_test_leaves_no_trace() {
    for device in devices() {
        let optimizer = Optimizer::Momentum(Momentum { momentum: 0.9, ..Momentum::default() });
        let (mut tested, mut plain) = (trainer(&device, 4, optimizer), trainer(&device, 4, optimizer));
        let data = line(16);
        for trainer in [&mut tested, &mut plain] {
            trainer.fit(&data, None, 2, &mut ()).unwrap();
        }
        let before = tested.parameters().unwrap();
        let found = tested.lr_find(&data, &RangeTest { to: 0.1, steps: 50, ..RangeTest::default() }).unwrap();
        assert_eq!((found.points.len(), found.diverged), (50, false));
        assert_eq!(found.points[49].rate, 0.1);
        assert_eq!(tested.parameters().unwrap(), before);
        for trainer in [&mut tested, &mut plain] {
            trainer.fit(&data, None, 2, &mut ()).unwrap();
        }
        assert_eq!(tested.parameters().unwrap(), plain.parameters().unwrap());
    }
}

#[test]
fn wrong_range_tests_are_refused() {
    let usual = RangeTest::default();
    for (test, words) in [
        (RangeTest { from: 0.0, ..usual }, "found 0 to 10"),
        (RangeTest { to: 1e-8, ..usual }, "to a larger one"),
        (RangeTest { to: f32::NAN, ..usual }, "found 0.0000001 to NaN"),
        (RangeTest { steps: 1, ..usual }, "at least 2 steps"),
        (RangeTest { smoothing: 1.0, ..usual }, "[0, 1)"),
        (RangeTest { divergence: 1.0, ..usual }, "multiple > 1"),
        (RangeTest { divergence: f64::NAN, ..usual }, "multiple > 1"),
    ] {
        let mut trainer = trainer(&Device::Cpu, 4, Optimizer::default());
        let error = trainer.lr_find(&line(8), &test).unwrap_err().to_string();
        assert!(error.contains(words), "{error}");
    }
}
