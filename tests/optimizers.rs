#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Optimizers against PyTorch's numbers over a hundred steps, on the GPU and on the CPU, by every planner; and how steps are
//! counted by those that count them.

mod common;

use serde::Deserialize;
use wgrad::check::kernels;
use wgrad::kernel::{Kernel, Uniform, Variant};
use wgrad::optimizer::{Adam, Momentum, Rule};
use wgrad::plan::{Binding, Phase, Plan, Planner, ScheduleEntry, Slot, SlotInfo};
use wgrad::{Activation, Batch, Device, Loss, Network, Optimizer, Trainer, TrainerOptions};

/// What `tests/data/optimizers/pytorch.py` stored.
#[derive(Deserialize)]
struct Stored {
    start: Vec<f32>,
    /// One row per step.
    gradients: Vec<Vec<f32>>,
    cases: Vec<Case>,
}

#[derive(Deserialize)]
struct Case {
    optimizer: Optimizer,
    learning_rate: f32,
    /// Steps, counted from 0, with the parameters after them.
    parameters: Vec<(usize, Vec<f64>)>,
}

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

/// Each step of the update kernel on PyTorch's gradients, whole vectors and single numbers.
#[test]
fn a_hundred_steps_are_those_of_pytorch() {
    let Stored { start, gradients, cases } =
        serde_json::from_str(include_str!("data/optimizers/pytorch.json")).unwrap();
    let rules: Vec<Rule> = cases.iter().map(|case| case.optimizer.rule()).collect();
    assert!(Rule::ALL.iter().all(|rule| rules.contains(rule)), "PyTorch's numbers lack a rule: {rules:?}");
    for device in devices() {
        for case in &cases {
            let rule = case.optimizer.rule();
            let len = start.len();
            let kernel = Kernel::Update(rule);
            let slots: Vec<Slot> = (0..kernel.bindings().len()).map(Slot::State).collect();
            let lengths = [ScheduleEntry::WORDS, 1, len, len, len, len];
            let infos = kernel.bindings().into_iter().zip(&slots).zip(lengths);
            let infos = infos.map(|((spec, &slot), len)| SlotInfo { slot, len, element: spec.element }).collect();
            let bindings = slots.iter().zip(lengths).map(|(&slot, len)| Binding { slot, range: 0..len }).collect();
            let uniform = Uniform { dims: [len as u32, 0, 0, 0], hyper: case.optimizer.hyper() };
            let mut executor = device.executor(Plan::single(kernel, uniform, infos, bindings).unwrap()).unwrap();
            executor.write(slots[3], 0, &start).unwrap();
            executor.write_words(slots[1], 0, &[0]).unwrap();
            for (step, gradients) in gradients.iter().enumerate() {
                let corrections = case.optimizer.corrections(step as u64).map(|x| x as f32);
                let learning_rate = case.learning_rate;
                let entry = ScheduleEntry { learning_rate, corrections, ..ScheduleEntry::default() };
                executor.write_words(slots[0], 0, bytemuck::cast_slice(&[entry])).unwrap();
                executor.write(slots[2], 0, gradients).unwrap();
                executor.run(&[Phase::Forward], 1).unwrap();
                let Some((_, expected)) = case.parameters.iter().find(|(kept, _)| *kept == step) else { continue };
                let found = executor.read(slots[3], 0..len).unwrap().wait().unwrap();
                assert_eq!(found.len(), expected.len());
                for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
                    // Each step may round by a few units in the last place of a number of about 1.
                    let bound = 4e-7 * (step + 1) as f64;
                    let what = format!("{}: {rule:?}, step {step}, parameter {i}", device.name());
                    assert!((f64::from(found) - expected).abs() <= bound, "{what}: {found}, expected {expected}");
                }
            }
        }
    }
}

fn network() -> Network {
    Network::new(3).dense(6, Activation::Tanh).dense(2, Activation::Linear)
}

fn trainer(device: &Device, options: TrainerOptions) -> Trainer {
    Trainer::new(device, network(), options).unwrap()
}

fn batch() -> ([f32; 12], [f32; 8]) {
    (std::array::from_fn(|i| (i as f32 * 0.9).sin()), std::array::from_fn(|i| (i as f32 * 0.4).cos()))
}

/// Steps one by one, in one call, with few and with many losses kept, and by every planner: the same numbers.
#[test]
fn steps_are_counted_however_they_are_taken() {
    let (inputs, targets) = batch();
    let batch = Batch { inputs: &inputs, targets: &targets };
    let optimizer = Optimizer::Adam(Adam { weight_decay: 0.01, ..Adam::default() });
    let options = TrainerOptions { batch: 4, learning_rate: 0.01, optimizer, ..TrainerOptions::new(Loss::Huber) };
    const STEPS: usize = 1500;
    for device in devices() {
        let mut whole = trainer(&device, options);
        whole.load(&batch).unwrap();
        whole.repeat(STEPS).unwrap();
        let expected = whole.parameters().unwrap();
        assert!(whole.losses().unwrap()[0] < 1e-2, "{}: {:?}", device.name(), whole.losses());

        let mut single = trainer(&device, TrainerOptions { losses_kept: 3000, ..options });
        single.load(&batch).unwrap();
        (0..15).for_each(|_| single.repeat(STEPS / 15).unwrap());
        assert_eq!(single.parameters().unwrap(), expected, "{}", device.name());
        let losses = single.losses().unwrap();
        assert_eq!(losses.len(), STEPS);
        assert_eq!(losses.last(), whole.losses().unwrap().last());

        let mut changed = trainer(&device, options);
        changed.load(&batch).unwrap();
        changed.repeat(700).unwrap();
        changed.set_learning_rate(0.5).unwrap();
        changed.set_learning_rate(0.01).unwrap();
        changed.repeat(STEPS - 700).unwrap();
        assert_eq!(changed.parameters().unwrap(), expected, "{}", device.name());

        let mut fused = trainer(&device, TrainerOptions { planner: Planner::Fused, ..options });
        fused.load(&batch).unwrap();
        fused.repeat(30).unwrap();
        let mut layerwise = trainer(&device, options);
        layerwise.load(&batch).unwrap();
        layerwise.repeat(30).unwrap();
        for (a, b) in fused.parameters().unwrap().iter().zip(layerwise.parameters().unwrap()) {
            assert!((a - b).abs() < 1e-4, "{}: {a}, {b}", device.name());
        }
    }
}

/// Every optimizer trains, by the resident planner too where its state fits.
#[test]
fn every_optimizer_learns() {
    let (inputs, targets) = batch();
    let batch = Batch { inputs: &inputs, targets: &targets };
    for device in devices() {
        for &rule in Rule::ALL {
            for &planner in Planner::ALL {
                let rate = if rule == Rule::Lion { 0.002 } else { 0.02 };
                let options = TrainerOptions {
                    batch: 4,
                    learning_rate: rate,
                    optimizer: rule.optimizer(),
                    planner,
                    ..TrainerOptions::new(Loss::MeanSquaredError)
                };
                let Ok(mut trainer) = Trainer::new(&device, network(), options) else {
                    assert_eq!((planner, rule.states()), (Planner::Resident, 2));
                    continue;
                };
                trainer.load(&batch).unwrap();
                trainer.repeat(1).unwrap();
                let first = trainer.losses().unwrap()[0];
                trainer.repeat(800).unwrap();
                let last = trainer.losses().unwrap()[0];
                assert!(last < 0.5 * first, "{} {rule:?} {planner}: {first} became {last}", device.name());
            }
        }
    }
}

#[test]
fn settings_out_of_range_are_refused() {
    let refused = |optimizer: Optimizer| optimizer.validate().expect_err("refused").to_string();
    assert!(refused(Optimizer::Momentum(Momentum { momentum: 1.0, ..Momentum::default() })).contains("[0, 1)"));
    assert!(refused(Optimizer::Adam(Adam { beta2: -0.1, ..Adam::default() })).contains("beta2 must lie in [0, 1)"));
    assert!(refused(Optimizer::Adam(Adam { epsilon: 0.0, ..Adam::default() })).contains("epsilon must be"));
    assert!(refused(Optimizer::Adam(Adam { weight_decay: f32::NAN, ..Adam::default() })).contains("weight decay"));
}

/// The checker notices each of an update's settings.
#[test]
fn another_setting_is_caught() {
    for device in devices() {
        for &rule in Rule::ALL {
            let kernel = Kernel::Update(rule);
            let settings = match rule {
                Rule::Sgd => 1,
                Rule::Adagrad => 2,
                Rule::Momentum | Rule::RmsProp | Rule::Lion => 3,
                _ => 4,
            };
            for setting in 0..settings {
                let tamper = |plan: &mut Plan| plan.steps[0].uniform.hyper[setting] += 0.05;
                let found = kernels::check(&device, &kernel, Variant::Naive, [256, 0, 0, 0], 0, &tamper).unwrap();
                found.expect_err("another setting passed");
            }
            let honest = kernels::check(&device, &kernel, Variant::Naive, [256, 0, 0, 0], 0, &|_| {}).unwrap();
            assert!(honest.is_ok(), "{honest:?}");
        }
    }
}

/// The rate of each step is what the schedule says: a run by a schedule is one by hand.
#[test]
fn a_schedule_sets_the_rate_of_each_step() {
    let data = wgrad::Dataset {
        name: "made up".into(),
        features: ["a", "b", "c"].map(str::to_owned).to_vec(),
        task: wgrad::data::Task::Regression { outputs: vec!["d".into(), "e".into()] },
        inputs: wgrad::Matrix::new(10, 3, (0..30).map(|i| (i as f32 * 0.9).sin()).collect()).unwrap(),
        targets: wgrad::Matrix::new(10, 2, (0..20).map(|i| (i as f32 * 0.4).cos()).collect()).unwrap(),
        weights: None,
    };
    let schedule: wgrad::Schedule = "warmup:2, cosine".parse().unwrap();
    let options = TrainerOptions { batch: 4, learning_rate: 0.1, ..TrainerOptions::new(Loss::Huber) };
    for device in devices() {
        let mut scheduled = trainer(&device, options);
        scheduled.set_schedule(schedule.clone(), 6);
        scheduled.fit(&data, None, 6, &mut ()).unwrap();

        let mut by_hand = trainer(&device, options);
        let progress = schedule.clone().start(6);
        for epoch in 0..6 {
            for (i, rows) in wgrad::data::epoch_order(10, 0, epoch).chunks(4).enumerate() {
                let batch = data.select(rows);
                let rate = 0.1 * progress.factor(epoch as f64 + i as f64 / 3.0, 1.0 / 3.0) as f32;
                by_hand.set_learning_rate(rate).unwrap();
                by_hand.step(&Batch { inputs: &batch.inputs.data, targets: &batch.targets.data }).unwrap();
            }
        }
        assert_eq!(scheduled.parameters().unwrap(), by_hand.parameters().unwrap(), "{}", device.name());
    }
}
