//! The trainer on the CPU and on the GPU: what a step allocates, what it leaves alone, and that its bits repeat.
#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking

mod common;

use std::ops::ControlFlow;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::kernel::{Element, Form, Kernel};
use wgrad::optimizer::{Momentum, Optimizer};
use wgrad::plan::{Binding, Phase, Plan, Planner, Slot, SlotInfo, Step, TrainingOptions};
use wgrad::train::{Epoch, Observer, gradients};
use wgrad::{Activation, Batch, Device, Error, Layer, Loss, Network, Params, Predictor, Trainer, TrainerOptions};

fn devices() -> [Device; 2] {
    [Device::Cpu, common::gpu()]
}

/// `sin` of a mix of the inputs: `rows` samples of 3 numbers, 2 outputs.
fn dataset(rows: usize) -> Dataset {
    let x = |i: usize| ((i * 7919 + 13) % 1009) as f32 / 1009.0 - 0.5;
    let inputs = Matrix::new(rows, 3, (0..3 * rows).map(x).collect()).unwrap();
    let targets = (0..rows).flat_map(|r| {
        let [a, b, c] = [0, 1, 2].map(|j| inputs.row(r)[j]);
        [(3.0 * a + b).sin(), (c - 2.0 * b).cos()]
    });
    let targets = Matrix::new(rows, 2, targets.collect()).unwrap();
    let names = |all: &[&str]| all.iter().map(|&name| name.to_owned()).collect::<Vec<_>>();
    let task = Task::Regression { outputs: names(&["u", "v"]) };
    Dataset { name: "waves".into(), features: names(&["a", "b", "c"]), task, inputs, targets, weights: None }
}

fn network() -> Network {
    Network::new(3).dense(17, Activation::Tanh).dense(9, Activation::Gelu).dense(2, Activation::Linear)
}

fn options() -> TrainerOptions {
    let optimizer = Optimizer::Momentum(Momentum { momentum: 0.9, nesterov: true, ..Momentum::default() });
    TrainerOptions { optimizer, learning_rate: 0.05, batch: 16, ..TrainerOptions::new(Loss::MeanSquaredError) }
}

fn bits(values: &[f32]) -> Vec<u32> {
    values.iter().map(|x| x.to_bits()).collect()
}

#[test]
fn training_repeats_bit_for_bit() {
    for device in devices() {
        let train = || {
            let mut trainer = Trainer::new(&device, network(), options()).unwrap();
            trainer.fit(&dataset(101), Some(&dataset(23)), 5, &mut ()).unwrap();
            bits(&trainer.parameters().unwrap())
        };
        assert_eq!(train(), train(), "{}", device.name());
        let mut other = Trainer::new(&device, network(), TrainerOptions { seed: 1, ..options() }).unwrap();
        other.fit(&dataset(101), None, 5, &mut ()).unwrap();
        assert_ne!(bits(&other.parameters().unwrap()), train(), "the seed has no effect");
    }
}

/// Batches gathered on the device and batches from the host are the same steps, the smaller last one included.
#[test]
fn gathered_batches_equal_batches_from_the_host() {
    let data = dataset(16 * 3 + 5);
    for device in devices() {
        let mut gathered = Trainer::new(&device, network(), options()).unwrap();
        gathered.fit_in_order(&data).unwrap();
        let mut stepped = Trainer::new(&device, network(), options()).unwrap();
        for (inputs, targets) in data.inputs.data.chunks(16 * 3).zip(data.targets.data.chunks(16 * 2)) {
            stepped.step(&Batch { inputs, targets }).unwrap();
        }
        let [gathered, stepped] = [gathered, stepped].map(|mut trainer| bits(&trainer.parameters().unwrap()));
        assert_eq!(gathered, stepped, "{}", device.name());
    }
}

#[test]
fn fitting_learns_and_predicts_what_it_evaluates() {
    let (data, test) = (dataset(400), dataset(57));
    for device in devices() {
        let mut trainer = Trainer::new(&device, network(), options()).unwrap();
        let before = trainer.evaluate(&test).unwrap();
        let history = trainer.fit(&data, Some(&test), 30, &mut ()).unwrap();
        let after = trainer.evaluate(&test).unwrap();
        assert_eq!(history.len(), 30);
        // The metrics are for an evaluation alone.
        let watched = history[29].validation.as_ref().unwrap();
        assert!(after.metrics.is_some() && watched.metrics.is_none());
        assert_eq!((watched.loss, watched.r_squared), (after.loss, after.r_squared));
        assert!(after.r_squared.unwrap() > 0.98, "{before:?} → {after:?}");

        let values = trainer.parameters().unwrap();
        let outputs = Predictor::new(&device, &network(), &values, 10).unwrap().predict(&test.inputs).unwrap();
        let squares: f64 = outputs.data.iter().zip(&test.targets.data).map(|(y, t)| f64::from(y - t).powi(2)).sum();
        let loss = squares / outputs.data.len() as f64;
        approx::assert_relative_eq!(loss, after.loss, max_relative = 1e-5);
    }
}

#[test]
fn frozen_parameters_stay_and_cost_nothing() {
    let frozen = Layer { freeze_weight: true, ..Layer::new(9, Activation::Tanh) };
    let network = network();
    let network = Network::new(3)
        .layer(Layer { freeze_weight: true, freeze_bias: true, ..network.layers[0].clone() })
        .layer(frozen)
        .layer(network.layers[2].clone());
    let params = Params::of(&network);
    let plan = Plan::training(&network, &TrainingOptions::new(16, Loss::MeanSquaredError)).unwrap();
    let labels: Vec<_> = plan.steps.iter().map(|step| step.label.as_str()).collect();
    assert!(!labels.contains(&"layers.0.weight gradient") && !labels.contains(&"layers.0 delta"), "{labels:?}");
    assert!(labels.contains(&"layers.1.bias gradient") && labels.contains(&"layers.1 delta"), "{labels:?}");
    for device in devices() {
        let mut trainer = Trainer::new(&device, network.clone(), options()).unwrap();
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
fn an_observer_stops_the_run() {
    struct Stop(usize);
    impl Observer for Stop {
        fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
            if epoch.number == self.0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
        }
    }
    let mut trainer = Trainer::new(&Device::Cpu, network(), options()).unwrap();
    assert_eq!(trainer.fit(&dataset(64), None, 50, &mut Stop(3)).unwrap().len(), 3);
}

#[test]
fn a_steady_step_creates_nothing_on_the_device() {
    let device = common::gpu();
    let Device::Gpu(gpu) = &device else { unreachable!() };
    let network = Network::new(784)
        .dense(1024, Activation::Sigmoid)
        .dense(1024, Activation::Sigmoid)
        .dense(10, Activation::Linear);
    let batch = 8192;
    let options = TrainerOptions { batch, ..TrainerOptions::new(Loss::SoftmaxCrossEntropy) };
    let mut trainer = Trainer::new(&device, network, options).unwrap();
    let inputs: Vec<f32> = (0..784 * batch).map(|i| (i % 97) as f32 / 97.0).collect();
    let targets: Vec<f32> = (0..10 * batch).map(|i| f32::from(u8::from(i % 10 == i / 10 % 10))).collect();
    trainer.load(&Batch { inputs: &inputs, targets: &targets }).unwrap();
    trainer.repeat(1).unwrap();
    let first = trainer.losses().unwrap();
    let count = || {
        let counters = gpu.device().get_internal_counters().hal;
        let pipelines = gpu.pipeline_count() as isize;
        [
            ("pipelines", pipelines),
            ("buffers", counters.buffers.read()),
            ("bind groups", counters.bind_groups.read()),
            ("shader modules", counters.shader_modules.read()),
            ("compute pipelines", counters.compute_pipelines.read()),
            ("bytes in buffers", counters.buffer_memory.read()),
            ("memory allocations", counters.memory_allocations.read()),
        ]
    };
    let before = count();
    assert!(before[1].1 > 10 && before[4].1 > 5, "the counters count: {before:?}");
    trainer.repeat(1).unwrap();
    let second = trainer.losses().unwrap();
    assert_eq!(count(), before, "a step after the first one created something");
    assert_ne!(first, second, "the second step did nothing");
}

#[test]
fn a_device_of_the_callers_is_shared_with_its_buffers() {
    let (adapter, device, queue) = pollster::block_on(async {
        let adapter = wgrad::gpu::list_adapters().await.into_iter().next().expect("an adapter").adapter;
        let descriptor = wgpu::DeviceDescriptor::default();
        let (device, queue) = adapter.request_device(&descriptor).await.unwrap();
        (adapter, device, queue)
    });
    let own = Device::from_wgpu(&adapter, device.clone(), queue.clone());
    let mut trainer = Trainer::new(&own, network(), options()).unwrap();
    // The caller overwrites the parameters on its own queue, without a copy through wgrad.
    let len = trainer.params().len;
    let values: Vec<f32> = (0..len).map(|i| i as f32).collect();
    queue.write_buffer(trainer.parameter_buffer().unwrap(), 0, bytemuck::cast_slice(&values));
    assert_eq!(trainer.parameters().unwrap(), values);
    assert!(Trainer::new(&Device::Cpu, network(), options()).unwrap().parameter_buffer().is_none());
}

#[test]
fn a_network_too_large_for_the_adapter_is_refused_with_numbers() {
    let device = common::gpu();
    let network = Network::new(1 << 20).dense(1 << 16, Activation::Relu);
    let error = Predictor::new(&device, &network, &[], 1).err().map(|e| e.to_string());
    assert!(error.is_some());
    let Err(Error::Device(text)) = device.executor(Plan::prediction(&network, 1).unwrap()) else {
        panic!("an arena of 256 GiB was accepted")
    };
    assert!(text.contains("274878169088 bytes") && text.contains("allows"), "{text}");
}

#[test]
fn settings_out_of_range_are_refused() {
    let with = |change: &dyn Fn(&mut TrainerOptions)| {
        let mut options = options();
        change(&mut options);
        Trainer::new(&Device::Cpu, network(), options).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(with(&|o| o.batch = 0).contains("batch"));
    assert!(with(&|o| o.batch = usize::MAX).contains("smaller batch"));
    assert!(with(&|o| o.learning_rate = f32::NAN).contains("learning rate"));
    assert!(with(&|o| o.learning_rate = -0.1).contains("learning rate"));
    assert!(with(&|o| o.losses_kept = 0).contains("losses_kept"));
    let optimizer = Optimizer::Momentum(Momentum { momentum: 1.0, nesterov: false, ..Momentum::default() });
    assert!(with(&|o| o.optimizer = optimizer).contains("momentum"));
    assert!(with(&|o| o.loss = Loss::LogisticCrossEntropy).contains("sigmoid"));
    assert!(Trainer::new(&Device::Cpu, Network::new(3), options()).is_err());
    assert!(Trainer::new(&Device::Cpu, Network::new(0).dense(1, Activation::Linear), options()).is_err());

    let mut trainer = Trainer::new(&Device::Cpu, network(), options()).unwrap();
    let mut step = |inputs: usize, targets: usize| {
        let (inputs, targets) = (vec![0.0; inputs], vec![0.0; targets]);
        trainer.step(&Batch { inputs: &inputs, targets: &targets }).err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(step(0, 0).contains("1 to 16 rows"));
    assert!(step(4, 2).contains("rows of 3"));
    assert!(step(3, 3).contains("1 rows of 2"));
    assert!(step(17 * 3, 17 * 2).contains("1 to 16 rows"));
    assert!(step(6, 4).is_empty());
    assert!(trainer.repeat(1).is_ok());
    let mut fresh = Trainer::new(&Device::Cpu, network(), options()).unwrap();
    assert!(fresh.repeat(1).is_err(), "there is no batch yet");
}

#[test]
fn losses_are_kept_in_order() {
    for device in devices() {
        let options = TrainerOptions { losses_kept: 5, ..options() };
        let mut trainer = Trainer::new(&device, network(), options).unwrap();
        let data = dataset(16);
        let batch = Batch { inputs: &data.inputs.data, targets: &data.targets.data };
        let mut one_by_one = Vec::new();
        let mut other = Trainer::new(&device, network(), options).unwrap();
        for _ in 0..13 {
            other.step(&batch).unwrap();
            one_by_one.push(*other.losses().unwrap().last().unwrap());
        }
        trainer.load(&batch).unwrap();
        trainer.repeat(3).unwrap();
        assert_eq!(bits(&trainer.losses().unwrap()), bits(&one_by_one[..3]));
        trainer.repeat(10).unwrap();
        assert_eq!(bits(&trainer.losses().unwrap()), bits(&one_by_one[8..]), "{}", device.name());
    }
}

#[test]
fn a_trainer_goes_on_after_fitting() {
    let data = dataset(48);
    let batch = |rows: usize| Batch { inputs: &data.inputs.data[..3 * rows], targets: &data.targets.data[..2 * rows] };
    for device in devices() {
        let mut trainer = Trainer::new(&device, network(), TrainerOptions { losses_kept: 2, ..options() }).unwrap();
        trainer.fit(&data, None, 2, &mut ()).unwrap();
        assert!(trainer.losses().unwrap().is_empty(), "fitting records no steps");
        assert!(trainer.repeat(1).is_err(), "a gathered batch is not a loaded one");
        trainer.load(&batch(16)).unwrap();
        trainer.repeat(3).unwrap();
        assert_eq!(trainer.losses().unwrap().len(), 2);
        // A smaller batch does not forget the losses before it, and averages over its own rows.
        let values = trainer.parameters().unwrap();
        trainer.step(&batch(5)).unwrap();
        let expected = gradients(&device, &network(), &values, Loss::MeanSquaredError, &batch(5)).unwrap().loss;
        approx::assert_relative_eq!(trainer.losses().unwrap()[1], expected, max_relative = 1e-5);
        // A rate of 0 moves nothing but the velocity.
        trainer.set_learning_rate(0.0).unwrap();
        let before = trainer.parameters().unwrap();
        trainer.repeat(1).unwrap();
        assert_eq!(bits(&trainer.parameters().unwrap()), bits(&before));
        assert!(trainer.set_learning_rate(f32::INFINITY).is_err());
    }
}

#[test]
fn a_network_that_is_frozen_as_a_whole_still_evaluates() {
    let frozen = |outputs| Layer { freeze_weight: true, freeze_bias: true, ..Layer::new(outputs, Activation::Tanh) };
    let network = Network::new(3).layer(frozen(4)).layer(frozen(2));
    for device in devices() {
        let mut trainer = Trainer::new(&device, network.clone(), options()).unwrap();
        let before = trainer.parameters().unwrap();
        trainer.fit(&dataset(40), None, 2, &mut ()).unwrap();
        assert!(trainer.evaluate(&dataset(7)).unwrap().loss.is_finite());
        assert_eq!(bits(&trainer.parameters().unwrap()), bits(&before));
    }
}

/// More rows than 65,535 workgroups of the naive kernel have: a grid that is folded.
#[test]
fn a_batch_of_a_million_rows_is_computed() {
    let network = Network::new(1).dense(1, Activation::Sine);
    let rows = 16 * 65_535 + 77;
    let inputs: Vec<f32> = (0..rows).map(|i| (i % 1000) as f32 / 500.0 - 1.0).collect();
    let mut outputs = devices().map(|device| {
        let values = [&[1.5][..], &[0.0; 63], &[0.25]].concat();
        let values = [values, vec![0.0; 63]].concat();
        let inputs = Matrix::new(rows, 1, inputs.clone()).unwrap();
        Predictor::new(&device, &network, &values, rows).unwrap().predict(&inputs).unwrap().data
    });
    let gpu = std::mem::take(&mut outputs[1]);
    for (i, (cpu, gpu)) in outputs[0].iter().zip(&gpu).enumerate() {
        assert!((cpu - gpu).abs() < 1e-5, "row {i}: {cpu} and {gpu}");
    }
}

/// More rows than some drivers have loop iterations: every sum over the batch is whole, or the driver is refused.
#[test]
fn sums_over_a_long_batch_are_whole() {
    let network = Network::new(4).dense(9, Activation::Tanh).dense(3, Activation::Linear);
    let (device, rows) = (common::gpu(), 70_001);
    let number = |i: usize| (i * 7919 % 1009) as f32 / 1009.0;
    let inputs: Vec<f32> = (0..4 * rows).map(number).collect();
    let targets: Vec<f32> = (0..3 * rows).map(|i| 1.0 + number(i)).collect();
    let batch = Batch { inputs: &inputs, targets: &targets };
    let values = Trainer::new(&Device::Cpu, network.clone(), options()).unwrap().parameters().unwrap();
    let found =
        [&Device::Cpu, &device].map(|d| gradients(d, &network, &values, Loss::MeanSquaredError, &batch).unwrap());
    for (i, (cpu, gpu)) in found[0].params.iter().zip(&found[1].params).enumerate() {
        assert!((cpu - gpu).abs() <= 1e-4 * (1.0 + cpu.abs()), "parameter {i}: {cpu} and {gpu}");
    }
    approx::assert_relative_eq!(found[0].loss, found[1].loss, max_relative = 1e-4);

    let far = Plan::single(
        Kernel::ColumnSum,
        wgrad::kernel::Uniform { dims: [1 << 22, 1, 0, 0], ..Default::default() },
        [(0, 1 << 22), (1, 1)].map(|(i, len)| SlotInfo { slot: Slot::State(i), len, element: Element::Real }).to_vec(),
        [(0, 1 << 22), (1, 1)].map(|(i, len)| Binding { slot: Slot::State(i), range: 0..len }).to_vec(),
    );
    match device.executor(far.unwrap()) {
        Ok(mut executor) => {
            executor.write(Slot::State(0), 0, &vec![1.0; 1 << 22]).unwrap();
            executor.run(&[Phase::Forward], 1).unwrap();
            assert_eq!(executor.read(Slot::State(1), 0..1).unwrap().wait().unwrap(), [(1 << 22) as f32]);
        }
        Err(error) => assert!(error.to_string().contains("loop iterations"), "{error}"),
    }
}

#[test]
fn a_plan_refuses_what_webgpu_refuses() {
    let network = network();
    let plan = || Plan::training(&network, &TrainingOptions::new(4, Loss::Huber)).unwrap();
    let refused = |change: &dyn Fn(&mut Plan)| {
        let mut plan = plan();
        change(&mut plan);
        plan.validate().err().map(|e| e.to_string()).unwrap_or_default()
    };
    assert!(refused(&|p| p.steps[0].bindings[2] = p.steps[0].bindings[0].clone()).contains("bound a second time"));
    assert!(refused(&|p| p.steps[0].bindings[0].range.end += 10_000).contains("outside"));
    assert!(refused(&|p| p.steps[0].bindings[1].range.start += 1).contains("multiple of 64"));
    assert!(refused(&|p| p.steps[0].bindings.truncate(2)).contains("bindings"));
    assert!(refused(&|p| p.slots.clear()).contains("no slot"));
    assert!(refused(&|p| p.steps[0].uniform.dims[2] += 1).contains("elements, found"));
    let other_form = refused(&|p| {
        let updates = |step: &&mut Step| step.phase == Phase::Update;
        let Kernel::Matmul { form, .. } = &mut p.steps.iter_mut().find(updates).unwrap().kernel else { return };
        *form = Form::Nn;
    });
    assert!(other_form.contains("updates a weight in the form tn, found nn"), "{other_form}");
    assert_eq!(refused(&|_| {}), "");
    assert_eq!(plan().dispatches(Planner::LayerWise.step()), plan().steps.len());
}
