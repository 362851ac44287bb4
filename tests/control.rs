#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! When a run ends, and which weights it leaves.

mod common;

use std::ops::ControlFlow;
use std::time::Duration;
use wgrad::data::Task;
use wgrad::train::{Control, Ended, Epoch, Moment, Observer, Running};
use wgrad::{Activation, Dataset, Device, Loss, Matrix, Network, Trainer, TrainerOptions};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn data(rows: usize, shift: f32) -> Dataset {
    Dataset {
        name: "made up".into(),
        features: vec!["x".into()],
        task: Task::Regression { outputs: vec!["y".into()] },
        inputs: Matrix::new(rows, 1, (0..rows).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap(),
        targets: Matrix::new(rows, 1, (0..rows).map(|i| (i as f32 * 1.4).sin() + shift).collect()).unwrap(),
        weights: None,
    }
}

fn trainer(device: &Device, learning_rate: f32) -> Trainer {
    let network = Network::new(1).dense(8, Activation::Relu).dense(1, Activation::Linear);
    let options = TrainerOptions { batch: 5, learning_rate, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
    Trainer::new(device, network, options).unwrap()
}

/// Notes the loss that a run is watched by.
struct Losses(Vec<f64>);

impl Observer for Losses {
    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        self.0.push(epoch.validation.as_ref().map_or(epoch.loss, |validation| validation.loss));
        ControlFlow::Continue(())
    }
}

/// The validation's targets lie elsewhere than those of training: its loss falls at first, and then no more.
#[test]
fn patience_ends_a_run_and_restores_the_best_weights() {
    for device in devices() {
        let (train, validation) = (data(20, 0.0), data(20, -0.4));
        let control = Control { patience: Some(4), ..Control::default() };
        let mut watched = trainer(&device, 0.05);
        let mut losses = Losses(Vec::new());
        let run = watched.fit_under(&control, &train, Some(&validation), 500, &mut losses).unwrap();
        let least = losses.0.iter().copied().fold(f64::INFINITY, f64::min);
        let best = losses.0.iter().position(|&loss| loss == least).unwrap() + 1;
        assert_eq!((run.ended.clone(), run.epochs.len()), (Ended::Patience, best + 5), "{}", device.name());
        assert_eq!(run.restored, Some(best));
        assert!(best > 1, "the loss fell at first");

        let mut again = trainer(&device, 0.05);
        again.fit(&train, Some(&validation), best, &mut ()).unwrap();
        assert_eq!(watched.parameters().unwrap(), again.parameters().unwrap(), "{}", device.name());
    }
}

#[test]
fn a_run_ends_at_a_loss_and_at_a_time() {
    for device in devices() {
        let train = data(20, 0.0);
        let free = trainer(&device, 0.05).fit(&train, None, 6, &mut ()).unwrap();
        let wanted = free[5].loss;
        let mut to_loss = trainer(&device, 0.05);
        let control = Control { stop_at: Some(wanted), ..Control::default() };
        let run = to_loss.fit_under(&control, &train, None, 500, &mut ()).unwrap();
        let (last, before) = run.epochs.split_last().unwrap();
        assert_eq!((run.ended, run.restored), (Ended::Threshold, None), "{}", device.name());
        assert!(last.loss <= wanted && before.iter().all(|epoch| epoch.loss > wanted) && !before.is_empty());

        let control = Control { time: Some(Duration::ZERO), ..Control::default() };
        let run = trainer(&device, 0.05).fit_under(&control, &train, None, 500, &mut ()).unwrap();
        assert_eq!((run.ended, run.epochs.len()), (Ended::Time, 1));
        let run = trainer(&device, 0.05).fit_under(&Control::default(), &train, None, 3, &mut ()).unwrap();
        assert_eq!((run.ended, run.epochs.len(), run.restored), (Ended::Complete, 3, None));
    }
}

/// A rate so large that its step takes the weights out of range: the loss of one of the next steps is not finite.
#[test]
fn a_run_that_diverges_says_where_and_keeps_the_weights_of_before() {
    for device in devices() {
        let good = data(20, 0.0);
        let mut kept = trainer(&device, 0.05);
        kept.fit(&good, None, 2, &mut ()).unwrap();
        let expected = kept.parameters().unwrap();

        let mut bad = trainer(&device, 0.05);
        let control = Control { keep_good: true, ..Control::default() };
        let run = bad.fit_under(&control, &good, None, 2, &mut ()).unwrap();
        assert_eq!(run.ended, Ended::Complete);
        assert_eq!(bad.parameters().unwrap(), expected);
        bad.set_learning_rate(1e30).unwrap();
        let run = bad.fit_under(&control, &good, None, 2, &mut ()).unwrap();
        let Ended::Diverged { epoch, step, tensor } = &run.ended else { panic!("{}: {run:?}", device.name()) };
        assert!(*epoch == 1 && (2..=4).contains(step), "{run:?}");
        assert_eq!(tensor.as_deref(), Some("layers.0.weight"), "{}", device.name());
        assert_eq!((run.epochs.len(), run.restored), (0, None), "no epoch of this run ended well");

        // An epoch that ends well and one that does not.
        let mut later = trainer(&device, 0.05);
        later.set_schedule("step:1:1e30".parse().unwrap(), 2);
        let run = later.fit_under(&control, &good, None, 3, &mut ()).unwrap();
        assert!(matches!(run.ended, Ended::Diverged { epoch: 2, .. }), "{run:?}");
        assert_eq!((run.epochs.len(), run.restored), (1, Some(1)));
        let mut one = trainer(&device, 0.05);
        one.fit(&good, None, 1, &mut ()).unwrap();
        assert_eq!(later.parameters().unwrap(), one.parameters().unwrap(), "{}", device.name());
    }
}

/// Multiplies the rate by 3·10³⁸ after the first epoch.
struct Blast;

impl Observer for Blast {
    fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> wgrad::Result<ControlFlow<()>> {
        if let Moment::End(Epoch { number: 1, .. }) = moment {
            run.scale_learning_rate(3e38)?;
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// Epochs of one step each: what that of the second leaves is in no loss any more.
#[test]
fn the_last_step_of_a_run_may_diverge_too() {
    for device in devices() {
        let far = data(20, 100.0);
        for average in [None, Some(0.9)] {
            let options = TrainerOptions { batch: 20, average, ..TrainerOptions::new(Loss::HalfSumOfSquares) };
            let network = Network::new(1).dense(8, Activation::Relu).dense(1, Activation::Linear);
            let trainer = || Trainer::new(&device, network.clone(), options).unwrap();
            let mut once = trainer();
            once.fit(&far, None, 1, &mut ()).unwrap();

            let what = format!("average {average:?} on {}", device.name());
            let control = Control { keep_good: true, ..Control::default() };
            let mut watched = trainer();
            let run = watched.fit_under(&control, &far, Some(&far), 2, &mut Blast).unwrap();
            assert!(matches!(run.ended, Ended::Diverged { epoch: 2, step: 1, tensor: Some(_) }), "{what}: {run:?}");
            assert_eq!((run.epochs.len(), run.restored), (1, Some(1)), "{what}");
            assert_eq!(watched.parameters().unwrap(), once.averaged_parameters().unwrap(), "{what}");

            let run = trainer().fit_under(&Control::default(), &far, None, 2, &mut Blast).unwrap();
            assert!(matches!(run.ended, Ended::Diverged { epoch: 2, step: 1, tensor: Some(_) }), "{what}: {run:?}");
            let mut single = trainer();
            single.set_learning_rate(3e38).unwrap();
            let error = single.partial_fit(&far).unwrap_err().to_string();
            assert!(error.contains("what step 1 computes is not finite"), "{error}");
        }
    }
}
