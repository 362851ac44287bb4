//! A data set that does not fit is streamed, and nobody can tell by the results; inference in parts; what all of that
//! allocates.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking

mod common;

use std::ops::ControlFlow;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::kernel::{Element, Kernel, Uniform};
use wgrad::optimizer::{Momentum, Optimizer};
use wgrad::plan::{Binding, Phase, Plan, Planner, Slot, SlotInfo, TrainingOptions};
use wgrad::train::{Epoch, Observer};
use wgrad::{Activation, Batch, Device, Loss, Network, Predictor, Trainer, TrainerOptions};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

fn number(i: usize) -> f32 {
    ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5
}

/// `rows` samples of 3 numbers in 2 classes, or with 2 outputs.
fn dataset(rows: usize, classes: bool) -> Dataset {
    let inputs = Matrix::new(rows, 3, (0..3 * rows).map(number).collect()).unwrap();
    let targets = (0..rows).flat_map(|r| {
        let [a, b, c] = [0, 1, 2].map(|j| inputs.row(r)[j]);
        if classes { [f32::from(a > b), f32::from(a <= b)] } else { [(3.0 * a + b).sin(), (c - 2.0 * b).cos()] }
    });
    let targets = Matrix::new(rows, 2, targets.collect()).unwrap();
    let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let task = match classes {
        true => Task::classes(["u", "v"]),
        false => Task::Regression { outputs: names(&["u", "v"]) },
    };
    Dataset { name: "waves".into(), features: names(&["a", "b", "c"]), task, inputs, targets, weights: None }
}

fn network() -> Network {
    Network::new(3).dense(17, Activation::Tanh).dense(9, Activation::Gelu).dense(2, Activation::Linear)
}

/// A batch of 16 rows takes up 320 bytes.
fn options(loss: Loss, data_budget: u64) -> TrainerOptions {
    let optimizer = Optimizer::Momentum(Momentum { momentum: 0.9, nesterov: true, ..Momentum::default() });
    TrainerOptions { optimizer, learning_rate: 0.05, batch: 16, data_budget, ..TrainerOptions::new(loss) }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

/// Everything that a run leaves behind: its epochs and the bits of the parameters.
fn fit(device: &Device, data: &Dataset, validation: &Dataset, options: TrainerOptions) -> (Vec<Epoch>, Vec<u32>) {
    let mut trainer = Trainer::new(device, network(), options).unwrap();
    let history = trainer.fit(data, Some(validation), 4, &mut ()).unwrap();
    (history, bits(&trainer.parameters().unwrap()))
}

#[test]
fn streaming_equals_resident_training_bit_for_bit() {
    for (loss, classes) in [(Loss::SoftmaxCrossEntropy, true), (Loss::MeanSquaredError, false)] {
        let (data, validation) = (dataset(16 * 9 + 5, classes), dataset(16 * 5 + 3, classes));
        for device in devices() {
            let resident = fit(&device, &data, &validation, options(loss, u64::MAX));
            // Regions of one batch, of several, and of one more than the epoch has with the last one short.
            for budget in [0, 320, 3 * 320 + 7, 4600] {
                let streamed = fit(&device, &data, &validation, options(loss, budget));
                assert_eq!(streamed, resident, "{budget} bytes on {}", device.name());
            }
        }
    }
}

/// Whoever wires the step finds its batches in the region.
#[test]
fn every_planner_may_be_streamed_to() {
    let (data, validation) = (dataset(16 * 9 + 5, false), dataset(16 * 5 + 3, false));
    for &planner in Planner::ALL {
        for device in devices() {
            let options = |budget| TrainerOptions { planner, ..options(Loss::MeanSquaredError, budget) };
            let resident = fit(&device, &data, &validation, options(u64::MAX));
            for budget in [0, 3 * 320] {
                let streamed = fit(&device, &data, &validation, options(budget));
                assert!(streamed == resident, "{planner}, {budget} bytes on {}", device.name());
            }
        }
    }
}

/// The comparison above sees a single row in another's place.
#[test]
fn a_misplaced_row_is_caught() {
    let (data, validation) = (dataset(149, false), dataset(40, false));
    let mut order: Vec<u32> = (0..149).collect();
    order.swap(60, 61);
    for device in devices() {
        let resident = fit(&device, &data, &validation, options(Loss::MeanSquaredError, u64::MAX));
        let misplaced = fit(&device, &data.select(&order), &validation, options(Loss::MeanSquaredError, 640));
        assert_ne!(misplaced, resident, "{}", device.name());
    }
}

#[test]
fn streaming_and_resident_runs_may_take_turns() {
    let (small, large) = (dataset(40, false), dataset(300, false));
    for device in devices() {
        let run = |budget| {
            let mut trainer = Trainer::new(&device, network(), options(Loss::Huber, budget)).unwrap();
            let mut all = vec![trainer.fit_in_order(&small).unwrap(), trainer.fit_in_order(&large).unwrap()];
            all.push(trainer.evaluate(&large).unwrap().loss);
            all.push(trainer.fit(&small, Some(&large), 2, &mut ()).unwrap()[1].loss);
            all.push(trainer.evaluate(&small).unwrap().r_squared.unwrap());
            (all, bits(&trainer.parameters().unwrap()))
        };
        assert_eq!(run(1000), run(u64::MAX), "{}", device.name());
    }
}

/// The trainer's schedule holds 2²⁰ steps; an epoch of more goes on with another one.
#[test]
fn an_epoch_longer_than_the_schedule_is_whole() {
    let network = Network::new(1).dense(1, Activation::Tanh);
    let rows = (1 << 20) + 21;
    let inputs = Matrix::new(rows, 1, (0..rows).map(number).collect()).unwrap();
    let data = Dataset {
        name: "long".into(),
        features: vec!["x".into()],
        task: Task::Regression { outputs: vec!["y".into()] },
        targets: inputs.clone(),
        inputs,
        weights: None,
    };
    let options = TrainerOptions { batch: 1, data_budget: 1 << 20, ..TrainerOptions::new(Loss::Huber) };
    let mut whole = Trainer::new(&Device::Cpu, network.clone(), options).unwrap();
    whole.fit_in_order(&data).unwrap();
    let mut parts = Trainer::new(&Device::Cpu, network, options).unwrap();
    for rows in [0..1 << 20, 1 << 20..rows] {
        parts.fit_in_order(&data.select(&rows.map(|row| row as u32).collect::<Vec<_>>())).unwrap();
    }
    assert_eq!(bits(&whole.parameters().unwrap()), bits(&parts.parameters().unwrap()));
}

#[test]
fn an_observer_stops_a_streamed_epoch() {
    struct Stop(usize);
    impl Observer for Stop {
        fn progress(&mut self, epoch: usize, done: usize, steps: usize, _: f32) -> ControlFlow<()> {
            self.0 = done;
            if epoch == 2 && done < steps { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    for device in devices() {
        let mut trainer = Trainer::new(&device, network(), options(Loss::MeanSquaredError, 320)).unwrap();
        let mut stop = Stop(0);
        let history = trainer.fit(&dataset(500, false), None, 9, &mut stop).unwrap();
        assert_eq!((history.len(), stop.0), (1, 1), "the region holds one step");
        // What was in flight is over, and the trainer goes on.
        assert!(trainer.evaluate(&dataset(50, false)).unwrap().loss.is_finite());
    }
}

/// Numbers of its own in every element of the streamed range, whatever lengths the pieces have, and none beside it; also
/// where more is streamed than the ring of staging buffers holds, faster than the device takes it.
#[test]
fn what_is_streamed_arrives_in_order() {
    let len = 3 * (1 << 20) + 77;
    let slots = [(Slot::DataInputs, len), (Slot::Output, 1)];
    let infos = slots.map(|(slot, len)| SlotInfo { slot, len, element: Element::Real }).to_vec();
    let bindings = slots.map(|(slot, _)| Binding { slot, range: 0..1 }).to_vec();
    let uniform = Uniform { dims: [1, 1, 0, 0], ..Uniform::default() };
    let plan = Plan::single(Kernel::ColumnSum, uniform, infos, bindings).unwrap();
    for device in devices() {
        let mut executor = device.executor(plan.clone()).unwrap();
        executor.write(Slot::DataInputs, 0, &vec![-1.0; len]).unwrap();
        let mut sums = Vec::new();
        for round in 0..4_u32 {
            let values: Vec<f32> = (0..len - 9).map(|i| (i as u32 ^ round) as f32).collect();
            let (long, short) = values.split_at(len / 2);
            let mut pieces = long.chunks(1_234_567).chain(short.chunks(13));
            executor.stream(Slot::DataInputs, 4..len - 5, &mut pieces).unwrap();
            executor.stream(Slot::DataInputs, 0..1, &mut [[round as f32, 9.0].as_slice()].into_iter()).unwrap();
            executor.run(&[Phase::Forward], 1).unwrap();
            sums.push(executor.read(Slot::Output, 0..1).unwrap());
            if round == 3 {
                let found = executor.read(Slot::DataInputs, 0..len).unwrap().wait().unwrap();
                assert_eq!(found[4..len - 5], values, "{}", device.name());
                assert_eq!(
                    (&found[..4], &found[len - 5..]),
                    ([3.0, -1.0, -1.0, -1.0].as_slice(), [-1.0; 5].as_slice())
                );
            }
        }
        // Each round's work saw the round's own numbers.
        let sums: Vec<f32> = sums.into_iter().flat_map(|sum| sum.wait().unwrap()).collect();
        assert_eq!(sums, [0.0, 1.0, 2.0, 3.0], "{}", device.name());
        let short = executor.stream(Slot::DataInputs, 0..5, &mut [[0.0; 3].as_slice()].into_iter());
        assert!(short.unwrap_err().to_string().contains("expected 5, found 3"));
        assert!(executor.stream(Slot::DataInputs, len..len + 1, &mut std::iter::once([0.0].as_slice())).is_err());
    }
}

#[test]
fn a_prediction_in_parts_is_the_whole() {
    let data = dataset(1003, false);
    for device in devices() {
        let values = Trainer::new(&device, network(), options(Loss::Huber, 0)).unwrap().parameters().unwrap();
        let predict =
            |batch| Predictor::new(&device, &network(), &values, batch).unwrap().predict(&data.inputs).unwrap();
        let whole = predict(1003).data;
        for batch in [1, 16, 1000] {
            let found = predict(batch).data;
            assert_eq!(found.len(), whole.len());
            // Products of other shapes may add in another order.
            let near = |(a, b): (&f32, &f32)| (a - b).abs() < 1e-5;
            assert!(found.iter().zip(&whole).all(near), "batches of {batch} on {}", device.name());
        }
        let mut taken = Vec::new();
        let mut predictor = Predictor::new(&device, &network(), &values, 100).unwrap();
        predictor
            .predict_each(&data.inputs, |outputs| {
                taken.push(outputs.len());
                Ok(())
            })
            .unwrap();
        assert_eq!(taken, [[200; 10].as_slice(), &[6]].concat());
        let refused = predictor.predict_each(&data.inputs, |_| Err(wgrad::Error::Config("enough".into())));
        assert!(refused.unwrap_err().to_string().contains("enough"));
        assert!(predictor.predict(&Matrix::zeros(3, 4)).is_err());
        assert_eq!(predictor.predict(&Matrix::zeros(0, 3)).unwrap(), Matrix::zeros(0, 2));
    }
}

/// More steps than go into one submit are the same steps.
#[test]
fn steps_in_several_submits_are_the_same_steps() {
    let data = dataset(16, false);
    let batch = Batch { inputs: &data.inputs.data, targets: &data.targets.data };
    for device in devices() {
        let [at_once, one_by_one] = [1, 450].map(|parts| {
            let options = TrainerOptions { losses_kept: 900, ..options(Loss::MeanSquaredError, 0) };
            let mut trainer = Trainer::new(&device, network(), options).unwrap();
            trainer.load(&batch).unwrap();
            for _ in 0..parts {
                trainer.repeat(900 / parts).unwrap();
            }
            assert!(trainer.executor().plan().steps.len() * 900 > 3 * 2048);
            (bits(&trainer.losses().unwrap()), bits(&trainer.parameters().unwrap()))
        });
        assert_eq!(at_once.0.len(), 900);
        assert!(at_once == one_by_one, "{}", device.name());
    }
}

/// What the device allocates for an executor is what its plan says, the steps' uniforms, and the driver's rounding.
#[test]
fn a_device_allocates_what_the_plan_says() {
    let device = common::gpu();
    let Device::Gpu(gpu) = &device else { unreachable!() };
    let plan = Plan::training(&network(), &TrainingOptions::new(4096, Loss::Huber)).unwrap();
    let allocated = || gpu.device().get_internal_counters().hal.buffer_memory.read() as u64;
    let before = allocated();
    let executor = device.executor(plan.clone()).unwrap();
    let found = allocated() - before;
    let planned = executor.plan().bytes() + 256 * plan.steps.len() as u64;
    assert!(found >= planned && found as f64 <= 1.05 * planned as f64, "{found} bytes for {planned}");
    assert!(found as f64 <= 1.1 * plan.needed_bytes() as f64, "{found} bytes for {}", plan.needed_bytes());
}

/// After a first epoch, streamed training and evaluation make nothing anew: what is needed is kept.
#[test]
fn a_steady_stream_creates_nothing_on_the_device() {
    let device = common::gpu();
    let Device::Gpu(gpu) = &device else { unreachable!() };
    let (data, validation) = (dataset(16 * 40, false), dataset(16 * 8, false));
    let mut trainer = Trainer::new(&device, network(), options(Loss::MeanSquaredError, 640)).unwrap();
    trainer.fit(&data, Some(&validation), 3, &mut ()).unwrap();
    let count = || {
        let counters = gpu.device().get_internal_counters().hal;
        [counters.buffers.read(), counters.bind_groups.read(), counters.compute_pipelines.read()]
    };
    let before = count();
    trainer.fit(&data, Some(&validation), 3, &mut ()).unwrap();
    assert_eq!(count(), before, "a streamed epoch after the first ones created something");
}
