#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! What a training step takes of the device's memory, and that taking turns in it changes no bit.

mod common;

use wgrad::network::{Layer, Normalization};
use wgrad::optimizer::Rule;
use wgrad::params::ALIGNMENT;
use wgrad::plan::{Plan, Planner, ScheduleEntry, Slot, SlotInfo, TrainingOptions};
use wgrad::{Activation, Bias, Device, Loss, Network, Params, Treatments};

fn ratio(plan: &Plan) -> f64 {
    plan.bytes() as f64 / plan.needed_bytes() as f64
}

/// Needed are parameters, state, batch and what layers put out, counted by hand; of all else there is little.
#[test]
fn a_large_step_allocates_little_more_than_it_needs() {
    use Activation::{Linear, Sigmoid};
    let net =
        |inputs, [a, b, c]: [usize; 3], last| Network::new(inputs).dense(a, Sigmoid).dense(b, Sigmoid).dense(c, last);
    let cases = [
        (net(784, [1024, 1024, 10], Linear), Loss::SoftmaxCrossEntropy, 8192, 1.05),
        (net(1024, [2048, 2048, 1024], Sigmoid), Loss::MeanSquaredError, 2048, 1.2),
        (net(784, [256, 128, 10], Linear), Loss::SoftmaxCrossEntropy, 128, 1.15),
    ];
    for (network, loss, batch, most) in cases {
        let params = Params::of(&network).len;
        for rule in [Rule::Sgd, Rule::Momentum, Rule::Adam] {
            let options = TrainingOptions { optimizer: rule.optimizer(), ..TrainingOptions::new(batch, loss) };
            let plan = Plan::training(&network, &options).unwrap();
            let columns = network.widths().iter().sum::<usize>() + network.outputs();
            let needed = 4 * (params * (1 + rule.states()) + batch * columns);
            assert_eq!(plan.needed_bytes(), needed as u64, "{network} {rule:?}");
            assert!(ratio(&plan) < most, "{network} {rule:?}: {} times what is needed", ratio(&plan));
        }
    }
}

/// More parts keep a large GPU busy, but what they scribble on has to be a binding that every device takes.
#[test]
fn parts_for_a_large_gpu_fit_a_binding() {
    let wide = [128; 3].into_iter().fold(Network::new(3), |net, width| net.dense(width, Activation::Gelu));
    let small = Network::new(64).dense(64, Activation::Relu);
    for (network, parts) in [(small, 256), (wide, 253)] {
        let network = network.dense(1, Activation::Linear);
        for batch in [1 << 10, 1 << 14, 1 << 15] {
            let options =
                TrainingOptions { planner: Planner::Fused, ..TrainingOptions::new(batch, Loss::MeanSquaredError) };
            let plan = Plan::training(&network, &options).unwrap();
            for info in plan.slots.iter().filter(|info| matches!(info.slot, Slot::Scratch | Slot::Partials)) {
                assert!(info.len * 4 <= 128 << 20, "{network}, {batch} rows: {} has {} elements", info.slot, info.len);
            }
            let found = plan.steps.iter().find(|step| step.kernel.stem() == "fused").unwrap().uniform.dims;
            assert!(found[0].div_ceil(found[1]) as usize <= parts, "{network}, {batch} rows in parts of {}", found[1]);
        }
    }
}

/// Where all gradients are needed together they are there together. Else they are nowhere, where the batch is small beside
/// the weights; with a larger one the gradients of a large network take turns, and a small network keeps its one update.
#[test]
fn gradients_are_kept_only_where_something_needs_them() {
    let wide = Network::new(1024).dense(1024, Activation::Relu).dense(4, Activation::Linear);
    let narrow = Network::new(1000).dense(1000, Activation::Relu).dense(4, Activation::Linear);
    let plain = TrainingOptions::new(4, Loss::Huber);
    let labels = |network: &Network, options: &TrainingOptions| -> (Vec<Slot>, Vec<String>) {
        let plan = Plan::training(network, options).unwrap();
        let updates = plan.steps.into_iter().map(|step| step.label).filter(|label| label.contains("update"));
        let kept = [Slot::Gradients, Slot::LayerGradients, Slot::Delta(0)];
        let slots = plan.slots.iter().map(|info| info.slot).filter(|slot| kept.contains(slot));
        (slots.collect(), updates.collect())
    };
    let layers = ["layers.1 update", "layers.0 update"].map(str::to_owned).to_vec();
    let together = (vec![Slot::Gradients], vec!["update".to_owned()]);
    for network in [&wide, &narrow] {
        assert_eq!(labels(network, &plain), (vec![Slot::Delta(0)], layers.clone()));
    }
    let larger = TrainingOptions { batch: 1200, ..plain };
    assert_eq!(labels(&wide, &larger), (vec![Slot::LayerGradients], layers.clone()));
    assert_eq!(labels(&narrow, &larger), together);
    // A single layer has no delta to keep; sums over a batch as long as this come in parts.
    let single = Network::new(64).dense(4, Activation::Linear);
    assert_eq!(
        labels(&single, &TrainingOptions { batch: 4095, ..plain }),
        (vec![], vec!["layers.0 update".to_owned()])
    );
    assert_eq!(labels(&single, &TrainingOptions { batch: 4096, ..plain }), together);
    // What a product cannot update by itself.
    let mut frozen = wide.clone();
    frozen.layers[0].freeze_weight = true;
    let mut dropout = wide.clone();
    dropout.layers[0].dropout = Layer::new(4, Activation::Relu).dropout(0.5).dropout;
    for network in [frozen, dropout, wide.clone().with_bias(Bias::Shared)] {
        assert_eq!(labels(&network, &plain), (vec![Slot::LayerGradients], layers.clone()), "{network}");
    }
    let clipped = Treatments { clip_norm: Some(1.0), ..Treatments::default() };
    for options in [
        TrainingOptions { all_gradients: true, ..plain },
        TrainingOptions { accumulates: true, ..plain },
        TrainingOptions { treatments: clipped, ..plain },
        TrainingOptions { precision: wgrad::Precision::F16, ..plain },
    ] {
        assert_eq!(labels(&wide, &options), together, "{options:?}");
    }
}

/// Networks with a million parameters and the rows of a batch: one of which products update, and others whose layers have a
/// normalisation, dropout, residual connections, frozen parameters and biases that do not fill their place in the arena, and one
/// on jets.
fn networks() -> Vec<(Network, Loss, usize)> {
    use Activation::{Gelu, Linear, Tanh};
    let layer = |outputs, activation| Layer::new(outputs, activation);
    let plain = Network::new(601).dense(1000, Tanh).dense(501, Gelu).dense(3, Linear);
    let mut surrounded = Network::new(703)
        .layer(layer(703, Tanh).normalized(Normalization::Batch).residual())
        .layer(layer(801, Gelu).normalized(Normalization::Layer).dropout(0.25))
        .layer(layer(5, Linear));
    surrounded.layers[1].freeze_bias = true;
    let mut frozen = Network::new(601).dense(1000, Tanh).dense(501, Gelu).dense(3, Linear);
    frozen.layers[0].freeze_weight = true;
    let equation = Loss::equation("(u_t - u_xx)^2 + w * (u - d)^2", &["x", "t"], &["u"], &["w", "d"]).unwrap();
    vec![
        (plain.clone(), Loss::SoftmaxCrossEntropy, 5),
        (plain, Loss::SoftmaxCrossEntropy, 640),
        (surrounded, Loss::MeanSquaredError, 5),
        (frozen, Loss::Huber, 5),
        (Network::new(2).dense(1024, Tanh).dense(1024, Tanh).dense(1, Linear), equation, 5),
    ]
}

/// What `steps` steps make of parameters and state.
fn trained(device: &Device, network: &Network, plan: Plan) -> Vec<(Slot, Vec<u32>)> {
    const STEPS: usize = 3;
    let (state, params) = (plan.state(), plan.params.clone());
    let mut executor = device.executor(plan).unwrap();
    for SlotInfo { slot, len, .. } in executor.plan().slots.clone() {
        let scale = match slot {
            Slot::Params => 0.05,
            Slot::Input | Slot::Target => 1.0,
            _ => continue,
        };
        let number = |i: usize| scale * (((i * 7919) % 1009) as f32 / 1009.0 - 0.4);
        let mut numbers: Vec<_> = (0..len).map(number).collect();
        if slot == Slot::Params {
            // Room between tensors is nobody's: an update may go over it or not.
            let ends = params.tensors.iter().map(|tensor| tensor.range().end);
            ends.for_each(|end| numbers[end..end.next_multiple_of(ALIGNMENT).min(len)].fill(0.0));
        }
        executor.write(slot, 0, &numbers).unwrap();
    }
    let batch = executor.plan().batch;
    let entries = [ScheduleEntry::training(0.01, 1.0 / (batch * network.outputs()) as f32, batch); STEPS];
    executor.schedule(&entries).unwrap();
    executor.run(Planner::LayerWise.step(), STEPS).unwrap();
    let read = |info: SlotInfo| {
        let values = executor.read(info.slot, 0..info.len).unwrap().wait().unwrap();
        assert!(values.iter().all(|x| x.is_finite()), "{}", info.slot);
        (info.slot, values.into_iter().map(f32::to_bits).collect())
    };
    state.into_iter().map(read).collect()
}

/// The same sums in the same order, whether a layer is updated by the product that sums its gradient, at once, or behind the
/// backward pass; and a layer that is updated before the delta went through its weights is noticed.
#[test]
fn updating_layer_by_layer_changes_no_bit() {
    for (number, (network, loss, batch)) in networks().into_iter().enumerate() {
        let optimizer = [Rule::Adam, Rule::Momentum, Rule::Sgd][number % 3].optimizer();
        let options = TrainingOptions { optimizer, steps: 3, ..TrainingOptions::new(batch, loss) };
        let plan = |options| Plan::training(&network, &options).unwrap();
        let layer_by_layer = plan(options);
        assert!(layer_by_layer.slot(Slot::Gradients).is_none());
        assert_eq!(layer_by_layer.slot(Slot::LayerGradients).is_none(), number == 0, "{network}");
        let together = plan(TrainingOptions { all_gradients: true, ..options });
        let mut early = layer_by_layer.clone();
        let update = early.steps.iter().position(|step| step.label == "layers.1 update").unwrap();
        let update = early.steps.remove(update);
        let below = |label: &str| ["layers.0 delta", "layers.0 flow", "layers.0 arriving"].contains(&label);
        let first = early.steps.iter().position(|step| below(&step.label)).unwrap();
        early.steps.insert(first, update);
        for device in [Device::Cpu, common::gpu()] {
            let [found, expected, wrong] =
                [&layer_by_layer, &together, &early].map(|plan| trained(&device, &network, plan.clone()));
            assert!(found == expected, "{}: {network} {loss}", device.name());
            assert!(found != wrong, "{}: {network} {loss}: an early update passed", device.name());
        }
    }
}

/// The same for every rule, on rows that are whole vectors and on others, with biases and without.
#[test]
fn products_update_as_every_optimizer_does() {
    use Activation::{Gelu, Linear, Tanh};
    let vectors = Network::new(64).dense(64, Tanh).dense(48, Gelu).dense(12, Linear);
    let numbers = Network::new(63).dense(65, Tanh).dense(33, Gelu).dense(3, Linear).with_bias(Bias::None);
    for network in [vectors, numbers] {
        for &rule in Rule::ALL {
            let options =
                TrainingOptions { optimizer: rule.optimizer(), steps: 3, ..TrainingOptions::new(16, Loss::Huber) };
            let plan = |options| Plan::training(&network, &options).unwrap();
            let [by_products, by_gradients] = [false, true].map(|all_gradients| {
                let plan = plan(TrainingOptions { all_gradients, ..options });
                assert_eq!(plan.slot(Slot::Gradients).is_some(), all_gradients);
                plan
            });
            for device in [Device::Cpu, common::gpu()] {
                let [found, expected] =
                    [&by_products, &by_gradients].map(|plan| trained(&device, &network, plan.clone()));
                assert!(found == expected, "{}: {network} {rule:?}", device.name());
            }
        }
    }
}
