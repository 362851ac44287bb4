//! A printed plan documents backpropagation; this one is that of worked case A with trained biases.
#![allow(clippy::panic)] // a test says what failed by panicking
#![allow(clippy::unwrap_used)]

use wgrad::plan::{Plan, Planner, TrainingOptions};
use wgrad::{Activation, Bias, Loss, Network};

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
