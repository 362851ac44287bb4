//! Case B: a 2-2-1 regression whose layers share one bias each, trained until its loss falls below a threshold.

use super::place::{Oracle, Place, Problem, Trained, Twins, arena, tensor};
use super::table::{Table, Within};
use wgrad::{Activation, Bias, Loss, Network, Result};

const LEARNING_RATE: f64 = 0.001;
const THRESHOLD: f64 = 1e-8;
/// In f64, until the loss is below the threshold.
const UPDATES: usize = 4011;
/// More than are needed anywhere.
const MOST_UPDATES: usize = 4100;

/// The least share of the error `y − out` that an update takes away, `lr Σ (∂out/∂p)²`: at the start.
const SLOWEST: f64 = 1.79e-3;
/// The largest such share: at the end.
const FASTEST: f64 = 2.77e-3;
/// `Σ |p ∂out/∂p|` at the end, where it is largest: parameters that are off by the share `u` move `out` by this many `u`.
const LEVERAGE: f64 = 8.0;
/// How many `u` the forward pass may be off by, computed near `out = 7`: 36 as WGSL lets σ err by 4 units in its last
/// place, which count `2 w5` in `out`; 12 as its sum of three is rounded, each time by 4 at most.
const FORWARD: f64 = 48.0;

pub fn check(place: &dyn Place) -> Result<Table> {
    let mut table = Table::new(format!("Case B, one bias per layer, on the {}", place.name()));
    let (problem, start) = problem()?;
    let network = &problem.network;
    let step = Within::Relative(place.single_step());
    let output = |values: &[f64]| place.forward(network, values, &problem.inputs);
    let loss = |values: &[f64]| Ok::<_, wgrad::Error>([place.gradients(&problem, values)?.loss]);
    let after = |updates| Ok::<_, wgrad::Error>(place.train(&problem, &start, updates)?.values);

    table.given("out at the start", "0.7499225897873717", &output(&start)?, step);
    let gradients = place.gradients(&problem, &start)?;
    table.given("E at the start", "19.5317338168251", &[gradients.loss], step);
    let of = |name| tensor(network, &gradients.params, name);
    table.given("∂E/∂w", "-0.00586066 -0.00879098 -0.00586066 -0.00879098", of("layers.0.weight"), step);
    table.given("∂E/∂w5, w6", "-3.90508883 -3.90508883", of("layers.1.weight"), step);
    table.given("∂E/∂b1", "-0.5860656185312628", of("layers.0.bias"), step);
    table.given("∂E/∂b2", "-6.250077410212628", of("layers.1.bias"), step);
    let once = after(1)?;
    table.given("out after 1 update", "0.7611085770873101", &output(&once)?, step);
    table.given("E after 1 update", "19.46188309344677", &loss(&once)?, step);

    let (thousand, error) = (after(1000)?, 7.0 - 6.427045079337592);
    let drift = drift(place, 1000.0, error);
    table.given("out after 1000 updates", "6.427045079337592", &output(&thousand)?, Within::Absolute(1e-9 + drift));
    let within = Within::Relative(1e-9 + 2.0 * drift / error);
    table.given("E after 1000 updates", "0.16413867055563303", &loss(&thousand)?, within);

    let losses = place.train(&problem, &start, MOST_UPDATES)?.losses;
    let count = losses.iter().position(|&loss| loss < THRESHOLD).unwrap_or(MOST_UPDATES);
    let end = after(count)?;
    let (out_within, within) = if place.is_double() {
        table.within("updates until E < 1e-8", UPDATES as f64, count as f64, 0.0);
        (step, step)
    } else {
        let u = place.roundoff();
        let error = (2.0 * THRESHOLD).sqrt();
        // The forward pass may see the error too large or too small by a share, for which so many updates make up.
        let early_or_late = FORWARD * u / error / SLOWEST;
        let expected = updates_with_rounded_parameters(&problem, &start)?;
        let quantity = format!("updates until E < 1e-8 ({UPDATES} in f64)");
        table.within(&quantity, expected as f64, count as f64, early_or_late);
        // One update crosses the threshold. The parameters were rounded after each, and the curvature of the loss across
        // the descent, exp(Σ lr (y − out) ‖∇²out‖) < 2, may have widened that.
        (Within::Absolute(FASTEST * error + (LEVERAGE + FORWARD) * u), Within::Relative(2.0 * UPDATES as f64 * u))
    };
    let of = |name| tensor(network, &end, name);
    table.given("out there", "6.9998589272324345", &output(&end)?, out_within);
    table.given("w there", "0.21161863 0.21742795 0.21161863 0.21742795", of("layers.0.weight"), within);
    table.given("w5, w6 there", "2.20520809 2.20520809", of("layers.1.weight"), within);
    table.given("b1 there", "1.6618630043698253", of("layers.0.bias"), within);
    table.given("b2 there", "3.2866211168374355", of("layers.1.bias"), within);
    Ok(table)
}

fn problem() -> Result<(Problem, Vec<f64>)> {
    let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Linear).with_bias(Bias::Shared);
    let values = arena(&network, &[0.2, 0.2, 0.2, 0.2, 0.5, 0.2, 0.2, 0.5])?;
    let (inputs, targets) = (vec![0.02, 0.03], vec![7.0]);
    Ok((Problem { network, loss: Loss::HalfSumOfSquares, learning_rate: LEARNING_RATE, inputs, targets }, values))
}

/// How far `out` may be from that of exact arithmetic after `updates`, with the error `error` left.
///
/// Every update rounds the parameters, follows an error that the forward pass has blurred, and takes a share of what this
/// has moved `out` by away again. A learning rate that is itself rounded acts as so many more or fewer updates.
fn drift(place: &dyn Place, updates: f64, error: f64) -> f64 {
    let rate = place.learning_rate(LEARNING_RATE) / LEARNING_RATE - 1.0;
    (LEVERAGE + FORWARD * FASTEST) * place.roundoff() / SLOWEST + updates * rate.abs() * FASTEST * error
}

/// Where the loss falls below the threshold when the parameters are kept in f32 and all else is f64: after 3972 updates.
///
/// Near the end an update moves b2, w5 and w6 by about half of what their last digit counts, and is rounded to nothing or
/// to all of it.
fn updates_with_rounded_parameters(problem: &Problem, start: &[f64]) -> Result<usize> {
    let problem = Problem { learning_rate: Twins.learning_rate(LEARNING_RATE), ..problem.clone() };
    let round = |values: &[f64]| values.iter().map(|&p| f64::from(p as f32)).collect::<Vec<_>>();
    let mut rounded = round(start);
    for updates in 0..MOST_UPDATES {
        let Trained { values, losses } = Oracle.train(&problem, &rounded, 1)?;
        if losses[0] < THRESHOLD {
            return Ok(updates);
        }
        rounded = round(&values);
    }
    Ok(MOST_UPDATES)
}
