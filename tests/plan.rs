//! A printed plan documents backpropagation; this one is that of worked case A with trained biases.
#![allow(clippy::panic)] // a test says what failed by panicking
#![allow(clippy::unwrap_used)]

use wgrad::kernel::{Element, Epilogue, Form, Kernel, Uniform};
use wgrad::plan::{Binding, Phase, Plan, Planner, Slot, SlotInfo, TrainingOptions};
use wgrad::{Activation, Bias, Device, Loss, Network};

/// Where gradients are kept there is a step for each of the four equations; else the products that sum them update.
#[test]
fn the_plan_of_two_two_two_reads_as_the_four_equations() {
    let network = Network::new(2).dense(2, Activation::Sigmoid).dense(2, Activation::Sigmoid);
    let usual = TrainingOptions::new(1, Loss::HalfSumOfSquares);
    let every = TrainingOptions { all_gradients: true, ..usual };
    for (options, expected) in [(every, include_str!("gradients_2_2_2.txt")), (usual, include_str!("plan_2_2_2.txt"))] {
        let plan = Plan::training(&network, &options).unwrap();
        assert_eq!(plan.to_string(), expected, "\n{plan}");
    }
}

#[test]
fn a_shared_bias_takes_one_more_sum_and_no_bias_none() {
    let steps = |bias| {
        let network = Network::new(2).dense(3, Activation::Silu).dense(1, Activation::Linear).with_bias(bias);
        let options = TrainingOptions { all_gradients: true, ..TrainingOptions::new(4, Loss::Huber) };
        Plan::training(&network, &options).unwrap().steps.len()
    };
    assert_eq!(steps(Bias::Shared), steps(Bias::PerUnit) + 2);
    assert_eq!(steps(Bias::None), steps(Bias::PerUnit) - 2);
}

#[test]
fn a_prediction_keeps_nothing_for_a_backward_pass() {
    let network = (0..6).fold(Network::new(8), |network, _| network.dense(32, Activation::Silu));
    let predict = Plan::prediction(&network, 100).unwrap();
    let names: Vec<_> = predict.slots.iter().map(|info| info.slot.to_string()).collect();
    assert_eq!(names, ["params", "input", "activation.0", "activation.1", "output"]);
}

#[test]
fn functions_given_as_text_take_no_dispatch_of_their_own() {
    let mish = Activation::custom("x * tanh(softplus(x))").unwrap();
    let huber =
        Loss::custom("select(abs(y - t) < d, 0.5 * (y - t)^2, d * (abs(y - t) - 0.5 * d))", &[("d", 2.0)]).unwrap();
    for &planner in Planner::ALL {
        let plan = |activation, loss| {
            let network = Network::new(3).dense(5, activation).dense(4, activation).dense(2, activation);
            let options = TrainingOptions { planner, data_rows: 100, ..TrainingOptions::new(8, loss) };
            Plan::training(&network, &options).unwrap()
        };
        let (custom, registered) = (plan(mish, huber), plan(Activation::Gelu, Loss::Huber));
        assert_eq!(
            custom.dispatches(planner.gathered_step()),
            registered.dispatches(planner.gathered_step()),
            "{planner}"
        );
        assert_eq!(custom.steps.len(), registered.steps.len(), "{planner}");
        assert_eq!(custom.bytes(), registered.bytes(), "{planner}");
    }
}

/// On the CPU threads share the parts where there are more parts than threads, and each part where there are fewer.
#[test]
fn products_in_parts_have_the_same_bits_on_any_number_of_threads() {
    let kernel = Kernel::Matmul { form: Form::Tn, epilogue: Epilogue::Parts };
    let dims = [250, 270, 4100, 3];
    let lengths = kernel.lengths(dims);
    let slots =
        lengths.iter().enumerate().map(|(i, &len)| SlotInfo { slot: Slot::State(i), len, element: Element::Real });
    let slots: Vec<_> = slots.collect();
    let bindings = slots.iter().map(|info| Binding { slot: info.slot, range: 0..info.len }).collect();
    let plan = Plan::single(kernel, Uniform { dims, ..Uniform::default() }, slots, bindings).unwrap();
    let on = |threads: usize| {
        let pool = rayon::ThreadPoolBuilder::new().num_threads(threads).build().unwrap();
        pool.install(|| {
            let mut executor = Device::Cpu.executor(plan.clone()).unwrap();
            for (slot, factor) in [(0, 0.37), (1, 0.61)] {
                let numbers: Vec<_> = (0..lengths[slot]).map(|i| (i as f32 * factor).sin()).collect();
                executor.write(Slot::State(slot), 0, &numbers).unwrap();
            }
            executor.run(&[Phase::Forward], 1).unwrap();
            executor.read(Slot::State(2), 0..lengths[2]).unwrap().wait().unwrap()
        })
    };
    let one = on(1);
    assert!(one.iter().all(|x| x.is_finite()) && one.iter().any(|x| x.abs() > 1.0));
    for threads in [2, 3, 4, 8] {
        assert_eq!(on(threads), one, "{threads} threads");
    }
}
