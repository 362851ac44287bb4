//! A run that goes on from a checkpoint ends with the bits that it would have had.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking

mod common;

use std::ops::ControlFlow;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::path::Path;
use wgrad::checkpoint::Checkpoint;
use wgrad::data::Task;
use wgrad::loss::Reduction;
use wgrad::optimizer::Rule;
use wgrad::plan::{Planner, Slot};
use wgrad::train::{Control, Ended, Epoch, Moment, Observer, Run, Running, State};
use wgrad::{
    Activation, Dataset, Device, Layer, Loss, Matrix, Model, Network, Normalization, Precision, Trainer,
    TrainerOptions, Treatments,
};

const EPOCHS: usize = 6;

/// Noise, so that the validation's loss rises and falls.
fn data(rows: usize, shift: f32) -> Dataset {
    let noise = |i: usize| (i as f32 * 12.9898).sin() * 0.5;
    Dataset {
        name: "made up".into(),
        features: vec!["x".into(), "y".into()],
        task: Task::Regression { outputs: vec!["z".into()] },
        inputs: Matrix::new(rows, 2, (0..2 * rows).map(|i| (i as f32 * 0.7).sin()).collect()).unwrap(),
        targets: Matrix::new(rows, 1, (0..rows).map(|i| (i as f32 * 1.4).sin() + noise(i) + shift).collect()).unwrap(),
        weights: None,
    }
}

fn network() -> Network {
    Network::new(2).dense(8, Activation::Tanh).dense(1, Activation::Linear)
}

fn options(rule: Rule) -> TrainerOptions {
    let rate = if matches!(rule, Rule::Adam | Rule::AdamW | Rule::RmsProp | Rule::Lion) { 0.01 } else { 0.05 };
    // 23 rows in batches of 5: the last one is smaller.
    TrainerOptions {
        batch: 5,
        learning_rate: rate,
        optimizer: rule.optimizer(),
        ..TrainerOptions::new(Loss::HalfSumOfSquares)
    }
}

const SCHEDULE: &str = "warmup:2, plateau:0.5:0";

fn trainer(device: &Device, options: TrainerOptions) -> Trainer {
    let mut trainer = Trainer::new(device, network(), options).unwrap();
    trainer.set_schedule(SCHEDULE.parse().unwrap(), EPOCHS);
    trainer
}

fn model(state: &State) -> Model {
    Model::new(network(), state.parameters().to_vec()).unwrap()
}

/// Writes a checkpoint after each epoch, reads it again, and keeps it; stops after `until` epochs.
struct Keeper<'a> {
    folder: &'a Path,
    until: usize,
    states: Vec<State>,
}

impl Observer for Keeper<'_> {
    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        if epoch.number == self.until { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }

    fn wants_state(&mut self, _: &Epoch) -> bool {
        true
    }

    fn state(&mut self, state: State) -> wgrad::Result<()> {
        let path = self.folder.join("last.safetensors");
        let checkpoint = Checkpoint { model: model(&state), state, settings: Some("as they were".into()) };
        checkpoint.save(&path)?;
        let again = Checkpoint::load(&path)?;
        assert_eq!(again, checkpoint);
        self.states.push(again.state);
        Ok(())
    }
}

/// A run under `control` that goes on from `from`, and its states after each epoch.
fn run(
    device: &Device,
    options: TrainerOptions,
    control: &Control,
    from: Option<&State>,
    until: usize,
) -> (Trainer, Run, Vec<State>) {
    let folder = tempfile::tempdir().unwrap();
    let mut trainer = trainer(device, options);
    if let Some(state) = from {
        trainer.restore(state).unwrap();
    }
    let mut keeper = Keeper { folder: folder.path(), until, states: Vec::new() };
    let (train, validation) = (data(23, 0.0), data(11, 0.3));
    let run = trainer.fit_under(control, &train, Some(&validation), EPOCHS, &mut keeper).unwrap();
    (trainer, run, keeper.states)
}

/// To the bit: in text, -0 differs from 0.
#[track_caller]
fn assert_same<T: std::fmt::Debug + ?Sized>(found: &T, expected: &T, what: &str) {
    assert!(format!("{found:?}") == format!("{expected:?}"), "{what}: {found:?}, expected {expected:?}");
}

/// What a run that went on after `done` epochs says of itself.
fn since(run: &Run, done: usize) -> Run {
    Run { epochs: run.epochs[done.saturating_sub(1)..].to_vec(), ..run.clone() }
}

/// The states after an epoch of those after it and within it: where the latter are, depends on how fast the device is.
fn between(states: &[State]) -> Vec<&State> {
    states.iter().filter(|state| state.steps_within() == 0).collect()
}

#[track_caller]
fn assert_goes_on(device: &Device, options: TrainerOptions, control: &Control) -> Run {
    let what =
        format!("{} {} {} on {}", options.optimizer.rule().name(), options.planner, options.precision, device.name());
    let (mut whole, expected, states) = run(device, options, control, None, usize::MAX);
    let (_, first, _) = run(device, options, control, None, 3);
    assert_eq!((first.ended, first.epochs.len()), (Ended::Observer, 3), "{what}");
    let (mut rest, found, later) = run(device, options, control, Some(&states[2]), usize::MAX);
    assert_same(&found, &since(&expected, 3), &what);
    assert_same(&later[..], &states[3..], &what);
    assert_same(&rest.state().unwrap(), &whole.state().unwrap(), &what);
    // Not because nothing happens.
    assert_ne!(states[2].parameters(), states[3].parameters(), "{what}");
    expected
}

#[test]
fn every_optimizer_goes_on_to_the_bit() {
    for device in [Device::Cpu, common::gpu()] {
        for &rule in Rule::ALL {
            assert_goes_on(&device, options(rule), &Control::default());
        }
    }
}

#[test]
fn every_planner_and_precision_goes_on_to_the_bit() {
    for device in [Device::Cpu, common::gpu()] {
        for &planner in Planner::ALL {
            for precision in [Precision::F32, Precision::F16] {
                if (planner, precision) == (Planner::Resident, Precision::F16) {
                    continue; // Resident networks train in f32.
                }
                assert_goes_on(
                    &device,
                    TrainerOptions { planner, precision, ..options(Rule::Momentum) },
                    &Control::default(),
                );
            }
        }
        let streamed = TrainerOptions { data_budget: 100, ..options(Rule::Momentum) };
        assert_goes_on(&device, streamed, &Control::default());
    }
}

#[test]
fn the_state_of_optimizer_and_loss_scale_is_part_of_it() {
    let f16 = TrainerOptions { precision: Precision::F16, ..options(Rule::Adam) };
    let state = run(&Device::Cpu, f16, &Control::default(), None, 3).2.pop().unwrap();
    let slots: Vec<_> = trainer(&Device::Cpu, f16).executor().plan().state().iter().map(|info| info.slot).collect();
    assert_eq!(slots.len(), 4, "{slots:?}");
    assert!(slots.contains(&Slot::Scaler) && slots.contains(&Slot::State(1)));
    assert_eq!((state.updates(), state.epochs()), (15, 3));
    // Steps on a batch go on to the bit too.
    let steps = |trainer: &mut Trainer| {
        let (x, y) = (data(4, 0.0).inputs.data, data(4, 0.0).targets.data);
        trainer.load(&wgrad::Batch { inputs: &x, targets: &y }).unwrap();
        trainer.repeat(3).unwrap();
    };
    let mut first = trainer(&Device::Cpu, f16);
    steps(&mut first);
    let between = first.state().unwrap();
    steps(&mut first);
    let mut second = trainer(&Device::Cpu, f16);
    second.restore(&between).unwrap();
    steps(&mut second);
    assert_same(&second.state().unwrap(), &first.state().unwrap(), "steps");
}

#[test]
fn patience_and_plateau_go_on() {
    // The validation lies elsewhere: its loss rises soon.
    let control = Control { patience: Some(1), keep_good: true, ..Control::default() };
    let fast = TrainerOptions { learning_rate: 0.5, ..options(Rule::Sgd) };
    for device in [Device::Cpu, common::gpu()] {
        let (mut whole, expected, states) = run(&device, fast, &control, None, usize::MAX);
        let epochs = expected.epochs.len();
        assert_eq!(expected.ended, Ended::Patience);
        assert!((3..EPOCHS).contains(&epochs) && expected.restored == Some(epochs - 2), "{expected:?}");
        // Before the best epoch, at it, between it and the end, and after the end.
        for (done, state) in states.iter().enumerate() {
            let (mut rest, found, later) = run(&device, fast, &control, Some(state), usize::MAX);
            assert_same(&found, &since(&expected, done + 1), &format!("after {} epochs", done + 1));
            assert_same(&later[..], &states[done + 1..], "states");
            assert_same(&rest.state().unwrap(), &whole.state().unwrap(), "the end");
        }
        let best: Vec<_> = states.iter().map(State::is_best).collect();
        assert!(best[epochs - 3] && !best[epochs - 2] && !best[epochs - 1], "{best:?}");
    }
}

#[test]
fn more_epochs_may_follow() {
    let device = Device::Cpu;
    let plain = |epochs| {
        let mut trainer = Trainer::new(&device, network(), options(Rule::Adam)).unwrap();
        trainer.set_schedule("step:2:0.5".parse().unwrap(), epochs);
        trainer
    };
    let folder = tempfile::tempdir().unwrap();
    let mut keeper = Keeper { folder: folder.path(), until: usize::MAX, states: Vec::new() };
    let mut short = plain(3);
    short.fit_under(&Control::default(), &data(23, 0.0), None, 3, &mut keeper).unwrap();
    let mut long = plain(6);
    long.restore(&keeper.states[2]).unwrap();
    let history = long.fit(&data(23, 0.0), None, 6, &mut ()).unwrap();
    let mut whole = plain(6);
    assert_eq!(whole.fit(&data(23, 0.0), None, 6, &mut ()).unwrap()[2..], history);
    assert_same(&whole.state().unwrap(), &long.state().unwrap(), "more epochs");
}

#[test]
fn what_changed_is_named() {
    let state = run(&Device::Cpu, options(Rule::Adam), &Control::default(), None, 2).2.pop().unwrap();
    let refused = |options: TrainerOptions, network: Network, schedule: &str| {
        let mut trainer = Trainer::new(&Device::Cpu, network, options).unwrap();
        trainer.set_schedule(schedule.parse().unwrap(), EPOCHS);
        trainer.restore(&state).unwrap_err().to_string()
    };
    let adam = options(Rule::Adam);
    let cases: [(String, &[&str]); 8] = [
        (refused(options(Rule::Sgd), network(), SCHEDULE), &["the optimizer was", "adam", "sgd"]),
        (refused(adam, network().dense(1, Activation::Linear), SCHEDULE), &["the network was 2-8-1 ", "is 2-8-1-1 "]),
        (refused(adam, network(), "cosine"), &["the schedule was warmup:2, plateau:0.5:0 and is cosine:0"]),
        (refused(TrainerOptions { batch: 6, ..adam }, network(), SCHEDULE), &["the batch was 5 and is 6"]),
        (refused(TrainerOptions { seed: 1, ..adam }, network(), SCHEDULE), &["the seed was 0 and is 1"]),
        (
            refused(TrainerOptions { learning_rate: 0.5, ..adam }, network(), SCHEDULE),
            &["learning rate was 0.01 and is 0.5"],
        ),
        (refused(TrainerOptions { loss: Loss::Huber, ..adam }, network(), SCHEDULE), &["the loss was"]),
        (
            refused(TrainerOptions { precision: Precision::F16, ..adam }, network(), SCHEDULE),
            &["precision was f32 and is f16"],
        ),
    ];
    for (text, words) in cases {
        for word in words {
            assert!(text.contains(word), "no {word:?} in {text}");
        }
    }

    let mut trainer = trainer(&Device::Cpu, adam);
    trainer.restore(&state).unwrap();
    let (train, mut changed) = (data(23, 0.0), data(23, 0.0));
    changed.targets.data[7] += 1e-6;
    let mut fit = |train: &Dataset, validation: Option<&Dataset>| {
        trainer.fit(train, validation, EPOCHS, &mut ()).map_err(|error| error.to_string())
    };
    let error = fit(&changed, Some(&data(11, 0.3))).unwrap_err();
    assert!(error.contains("the data changed: 23 rows, 2 inputs, 1 targets, number "), "{error}");
    let error = fit(&train, None).unwrap_err();
    assert!(error.contains("the validation's data changed") && error.contains("none now"), "{error}");
    // Nothing was trained meanwhile.
    assert_eq!(fit(&train, Some(&data(11, 0.3))).unwrap().len(), EPOCHS - 1);
}

#[test]
fn broken_checkpoints_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let at = folder.path().join("c.safetensors");
    let control = Control { patience: Some(5), ..Control::default() };
    let fast = TrainerOptions { learning_rate: 0.5, ..options(Rule::Sgd) };
    let state = run(&Device::Cpu, fast, &control, None, usize::MAX).2.pop().unwrap();
    let checkpoint = Checkpoint { model: model(&state), state, settings: None };
    checkpoint.save(&at).unwrap();
    let bytes = std::fs::read(&at).unwrap();
    assert!(String::from_utf8_lossy(&bytes).contains("run.best"), "the best epoch is not the last");
    // It is a model too.
    assert_eq!(Model::load(&at).unwrap(), checkpoint.model);

    for length in (0..bytes.len()).step_by(11) {
        std::fs::write(&at, &bytes[..length]).unwrap();
        assert!(Checkpoint::load(&at).is_err(), "cut to {length} bytes");
    }
    std::fs::write(&at, b"PK\x03\x04 something else that is long enough").unwrap();
    let error = Checkpoint::load(&at).unwrap_err().to_string();
    assert!(error.contains("not a safetensors file"), "{error}");
    checkpoint.model.save(&at).unwrap();
    let error = Checkpoint::load(&at).unwrap_err().to_string();
    assert!(error.contains("this file is no checkpoint"), "{error}");
    let other = Network::new(3).dense(1, Activation::Linear);
    let other = Model::new(other.clone(), vec![0.0; wgrad::Params::of(&other).len]).unwrap();
    let error = Checkpoint { model: other, ..checkpoint.clone() }.save(&at).unwrap_err().to_string();
    assert!(error.contains("not the parameters of its state"), "{error}");

    let header = u64::from_le_bytes(bytes[..8].try_into().unwrap()) as usize;
    let text = std::str::from_utf8(&bytes[8..8 + header]).unwrap();
    for (old, new, word) in [
        (r#"\"format\":1,\"setup\""#, r#"\"format\":7,\"setup\""#, "format 7"),
        (r#"\"best_epoch\":"#, r#"\"best_epoch\":9"#, "best epoch"),
        (r#"\"updates\""#, r#"\"upd\""#, "upd"),
    ] {
        let changed = text.replace(old, new);
        assert_ne!(changed, text, "{old}");
        let changed = [&(changed.len() as u64).to_le_bytes(), changed.as_bytes(), &bytes[8 + header..]].concat();
        std::fs::write(&at, changed).unwrap();
        let error = Checkpoint::load(&at).unwrap_err().to_string();
        assert!(error.contains(word), "{error}");
    }
    // Whatever a byte is changed to, it is read or refused, and restored or refused.
    for place in (0..bytes.len()).step_by(5) {
        let mut bytes = bytes.clone();
        bytes[place] ^= 0x15;
        std::fs::write(&at, bytes).unwrap();
        let result = catch_unwind(AssertUnwindSafe(|| {
            Checkpoint::load(&at).and_then(|checkpoint| trainer(&Device::Cpu, fast).restore(&checkpoint.state))
        }));
        assert!(result.is_ok(), "byte {place}");
    }
}

/// Layers with all that they can have, and all that is done around a step, together and in parts, with a rate that a
/// callback halves in the second epoch.
#[test]
fn everything_together_goes_on_to_the_bit() {
    struct Halver<'a>(Keeper<'a>);
    impl Observer for Halver<'_> {
        fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
            self.0.epoch(epoch)
        }
        fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> wgrad::Result<ControlFlow<()>> {
            if moment == Moment::Begin(2) {
                run.scale_learning_rate(0.5)?;
            }
            Ok(ControlFlow::Continue(()))
        }
        fn wants_state(&mut self, epoch: &Epoch) -> bool {
            self.0.wants_state(epoch)
        }
        fn wants_state_within(&mut self, _: usize, _: usize, _: usize) -> bool {
            true
        }
        fn state(&mut self, state: State) -> wgrad::Result<()> {
            let path = self.0.folder.join("last.safetensors");
            let Model { network, .. } = model_of(&state);
            let model = Model::new(network, state.parameters().to_vec())?;
            Checkpoint { model, state, settings: None }.save(&path)?;
            self.0.states.push(Checkpoint::load(&path)?.state);
            Ok(())
        }
    }
    fn layers() -> Network {
        let hidden = |normalization| Layer::new(6, Activation::Tanh).normalized(normalization).dropout(0.3);
        Network::new(2)
            .layer(hidden(Normalization::Batch))
            .layer(hidden(Normalization::Layer).residual())
            .layer(hidden(Normalization::Batch).residual())
            .dense(1, Activation::Linear)
    }
    fn model_of(state: &State) -> Model {
        Model::new(layers(), state.parameters().to_vec()).unwrap()
    }
    let treatments = Treatments { l1: 1e-3, l2: 1e-3, clip_value: Some(0.5), clip_norm: Some(0.3) };
    let all = TrainerOptions { treatments, weighted: true, average: Some(0.8), batch: 7, ..options(Rule::Adam) };
    let cases = [
        all,
        TrainerOptions { micro_batch: Some(3), ..all },
        TrainerOptions { micro_batch: Some(3), data_budget: 200, reduction: Some(Reduction::Sum), ..all },
    ];
    for device in [Device::Cpu, common::gpu()] {
        for (number, options) in cases.into_iter().enumerate() {
            let what = format!("case {number} on {}", device.name());
            let fit = |from: Option<&State>, until: usize| {
                let folder = tempfile::tempdir().unwrap();
                let mut trainer = Trainer::new(&device, layers(), options).unwrap();
                trainer.set_schedule(SCHEDULE.parse().unwrap(), EPOCHS);
                if let Some(state) = from {
                    trainer.restore(state).unwrap();
                }
                let mut keeper = Halver(Keeper { folder: folder.path(), until, states: Vec::new() });
                let weights = (0..23).map(|i| 0.5 + (i % 3) as f32).collect();
                let train = Dataset { weights: Some(weights), ..data(23, 0.0) };
                let control = Control { patience: Some(1), keep_good: true, ..Control::default() };
                let run = trainer.fit_under(&control, &train, Some(&data(11, 0.3)), EPOCHS, &mut keeper).unwrap();
                (trainer.state().unwrap(), run, keeper.0.states)
            };
            let (whole, expected, states) = fit(None, usize::MAX);
            assert!(between(&states).len() >= 3, "{what}: {expected:?}");
            // One step at a time is streamed: some are within a later epoch.
            let within: Vec<_> = states.iter().filter(|state| state.steps_within() > 0).collect();
            let least = [1, 0, 3][number];
            assert!(within.len() >= least, "{what}: {}", within.len());
            for (place, state) in states.iter().enumerate() {
                let what = format!("{what}, after {} epochs and {} steps", state.epochs(), state.steps_within());
                let (rest, found, later) = fit(Some(state), usize::MAX);
                assert_same(&found, &since(&expected, state.epochs()), &what);
                assert_same(&between(&later)[..], &between(&states[place + 1..])[..], &what);
                assert_same(&rest, &whole, &what);
            }
        }
    }
}
