//! Case D: the four equations of backpropagation for two costs at any depth, and what one layer cannot learn but two can.

use super::place::{Place, Problem, arena};
use super::table::Table;
use rand::RngExt;
use wgrad::init::initialize;
use wgrad::random::{Purpose, generator};
use wgrad::reference::Reference;
use wgrad::{Activation, Init, Loss, Network, Params, Result};

pub fn check(place: &dyn Place) -> Result<Table> {
    let mut table = Table::new(format!("Case D, four equations and XOR, on the {}", place.name()));
    for cost in [Loss::HalfSumOfSquares, Loss::LogisticCrossEntropy] {
        for depth in 1..=5 {
            equations(place, &mut table, cost, depth)?;
        }
    }
    gates(place, &mut table)?;
    one_unit(place, &mut table)?;
    two_layers(place, &mut table)?;
    Ok(table)
}

const SAMPLES: usize = 8;
const CLASSES: usize = 3;

/// The cost, every gradient, and the deltas where `place` gives them, against the equations.
pub fn equations(place: &dyn Place, table: &mut Table, cost: Loss, depth: usize) -> Result<()> {
    let (problem, values) = random_problem(cost, depth)?;
    let expected = written_out(&problem, &values);
    let found = place.gradients(&problem, &values)?;
    let what = |quantity: &str| format!("{cost}, depth {depth}: {quantity}");
    let relative = |expected: &[f64]| expected.iter().map(|x| x.abs() * place.single_step()).collect::<Vec<_>>();
    table.within(&what("C"), expected.cost, found.loss, expected.cost * place.single_step());
    if place.is_double() {
        table.worst(&what("∂C/∂W, ∂C/∂b"), &expected.params, &found.params, &relative(&expected.params));
    } else {
        // Samples that pull both ways leave a sum that is small beside what was rounded: the largest gradient of the
        // same weights measures that, and the bounds derived by the reference measure it exactly.
        let mut bounds = vec![0.0; values.len()];
        for tensor in Params::of(&problem.network).tensors {
            let largest = expected.params[tensor.range()].iter().fold(0.0, |largest: f64, x| largest.max(x.abs()));
            bounds[tensor.range()].fill(largest * place.single_step());
        }
        table.worst(&what("∂C/∂W, ∂C/∂b"), &expected.params, &found.params, &bounds);
        let reference = Reference::new(&problem.network, cost)?;
        let of_reference = reference.gradients(&values, &problem.inputs, &problem.targets, SAMPLES)?;
        let bounds = reference.bounds(&values, &problem.inputs, &problem.targets, SAMPLES)?;
        table.worst(&what("by the reference"), &of_reference.params, &found.params, &bounds.params);
    }
    if !found.deltas.is_empty() {
        let (expected, found) = (expected.deltas.concat(), found.deltas.concat());
        table.worst(&what("δ"), &expected, &found, &relative(&expected));
    }
    Ok(())
}

/// A network of sigmoids and samples of one-hot classes, at random. Every number is one of f32.
fn random_problem(loss: Loss, depth: usize) -> Result<(Problem, Vec<f64>)> {
    let hidden = [5, 7, 4, 6].into_iter().take(depth - 1);
    let network =
        hidden.chain([CLASSES]).fold(Network::new(4), |network, width| network.dense(width, Activation::Sigmoid));
    let mut generator = generator(depth as u64, Purpose::Weights);
    let mut draw = |n: usize| (0..n).map(|_| f64::from(generator.random_range(-1.5f32..1.5))).collect::<Vec<_>>();
    let values = arena(&network, &draw(Params::of(&network).count()))?;
    let inputs = draw(SAMPLES * network.inputs);
    let one_hot = |sample: usize| (0..CLASSES).map(move |class| if class == sample % CLASSES { 1.0 } else { 0.0 });
    let targets = (0..SAMPLES).flat_map(one_hot).collect();
    Ok((Problem { network, loss, learning_rate: 0.0, inputs, targets }, values))
}

struct Written {
    cost: f64,
    /// `[samples, units]` of each layer
    deltas: Vec<Vec<f64>>,
    params: Vec<f64>,
}

/// The equations as they are written, one sample after the other; the cost averages over the samples.
fn written_out(problem: &Problem, values: &[f64]) -> Written {
    let Problem { network, loss, inputs, targets, .. } = problem;
    let (widths, depth) = (network.widths(), network.layers.len());
    let offsets: Vec<usize> = Params::of(network).tensors.iter().map(|tensor| tensor.offset).collect();
    let share = 1.0 / problem.rows() as f64;
    let mut written = Written { cost: 0.0, deltas: vec![Vec::new(); depth], params: vec![0.0; values.len()] };
    for (x, t) in inputs.chunks(network.inputs).zip(targets.chunks(network.outputs())) {
        // a_l = σ(W_l a_{l−1} + b_l), with a_0 = x
        let mut a = vec![x.to_vec()];
        for l in 1..=depth {
            let (w, b) = (offsets[2 * l - 2], offsets[2 * l - 1]);
            let mut layer = Vec::new();
            for j in 0..widths[l] {
                let mut z = values[b + j];
                for k in 0..widths[l - 1] {
                    z += values[w + j * widths[l - 1] + k] * a[l - 1][k];
                }
                layer.push(1.0 / (1.0 + (-z).exp()));
            }
            a.push(layer);
        }
        // 1. δ_L = ∇_a C ⊙ σ′(z_L), with σ′(z) = a (1 − a)
        let mut delta = Vec::new();
        for (&a, &t) in a[depth].iter().zip(t) {
            let (cost, slope) = match loss {
                Loss::LogisticCrossEntropy => (-(t * a.ln() + (1.0 - t) * (1.0 - a).ln()), (a - t) / (a * (1.0 - a))),
                _ => ((a - t) * (a - t) / 2.0, a - t),
            };
            written.cost += share * cost;
            delta.push(share * slope * a * (1.0 - a));
        }
        for l in (1..=depth).rev() {
            let (w, b) = (offsets[2 * l - 2], offsets[2 * l - 1]);
            let mut arriving = vec![0.0; widths[l - 1]];
            for j in 0..widths[l] {
                // 3. ∂C/∂b_l = δ_l
                written.params[b + j] += delta[j];
                for k in 0..widths[l - 1] {
                    // 4. ∂C/∂W_l = δ_l a_{l−1}ᵀ
                    written.params[w + j * widths[l - 1] + k] += delta[j] * a[l - 1][k];
                    arriving[k] += values[w + j * widths[l - 1] + k] * delta[j];
                }
            }
            // 2. δ_l = (W_{l+1}ᵀ δ_{l+1}) ⊙ σ′(z_l)
            written.deltas[l - 1].extend(delta);
            delta = arriving.iter().zip(&a[l - 1]).map(|(arriving, a)| arriving * a * (1.0 - a)).collect();
        }
    }
    written
}

/// The four inputs of a gate, and what XOR and XNOR make of them.
const INPUTS: [f64; 8] = [0.0, 0.0, 0.0, 1.0, 1.0, 0.0, 1.0, 1.0];
const XOR: [f64; 4] = [0.0, 1.0, 1.0, 0.0];
const XNOR: [f64; 4] = [1.0, 0.0, 0.0, 1.0];

/// What weights chosen by hand compute: |z| ≥ 10 in every unit, so that an output is within σ(−10) = 4.54e-5 of 0 or 1;
/// where it comes from two such outputs, z is off by 40 times that at most, which makes 4.55e-5 of it.
fn gates(place: &dyn Place, table: &mut Table) -> Result<()> {
    // Two weights, then the bias.
    let (and, or, nor) = ([20.0, 20.0, -30.0], [20.0, 20.0, -10.0], [-20.0, -20.0, 10.0]);
    let bounds = [4.6e-5; 4];
    let unit = unit();
    for (name, gate, truth) in
        [("AND", and, [0.0, 0.0, 0.0, 1.0]), ("OR", or, [0.0, 1.0, 1.0, 1.0]), ("NOR", nor, [1.0, 0.0, 0.0, 0.0])]
    {
        let outputs = place.forward(&unit, &arena(&unit, &gate)?, &INPUTS)?;
        table.worst(&format!("{name} by one unit"), &truth, &outputs, &bounds);
    }
    let composed = hidden_layer(2);
    let hidden = [&and[..2], &nor[..2], &[and[2], nor[2]]].concat();
    let outputs = place.forward(&composed, &arena(&composed, &[&hidden[..], &or].concat())?, &INPUTS)?;
    table.worst("XNOR as OR(AND, NOR)", &XNOR, &outputs, &bounds);
    Ok(())
}

fn unit() -> Network {
    Network::new(2).dense(1, Activation::Sigmoid)
}

fn hidden_layer(width: usize) -> Network {
    Network::new(2).dense(width, Activation::Sigmoid).dense(1, Activation::Sigmoid)
}

/// The gate `truth` to learn, and weights at random to start from.
fn gate(network: Network, truth: [f64; 4], seed: u64) -> Result<(Problem, Vec<f64>)> {
    let start = initialize(&network, &Params::of(&network), Init::Normal { deviation: 1.0 }, seed)?;
    let (inputs, targets) = (INPUTS.to_vec(), truth.to_vec());
    let problem = Problem { network, loss: Loss::LogisticCrossEntropy, learning_rate: 3.0, inputs, targets };
    Ok((problem, start.into_iter().map(f64::from).collect()))
}

/// How many of the four inputs a network with the parameters `values` gets right.
fn right(place: &dyn Place, problem: &Problem, values: &[f64]) -> Result<usize> {
    let outputs = place.forward(&problem.network, values, &problem.inputs)?;
    Ok(outputs.iter().zip(&problem.targets).filter(|&(output, target)| (*output > 0.5) == (*target > 0.5)).count())
}

/// The best that single units reach at any of many moments of a long training. No line parts (0, 0) and (1, 1) from the
/// other two inputs, so that it is 3.
fn one_unit(place: &dyn Place, table: &mut Table) -> Result<()> {
    for (name, truth) in [("XOR", XOR), ("XNOR", XNOR)] {
        let mut best = 0;
        for seed in 0..3 {
            let (problem, mut values) = gate(unit(), truth, seed)?;
            for steps in [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000] {
                best = right(place, &problem, &values)?.max(best);
                values = place.train(&problem, &values, steps)?.values;
            }
            best = right(place, &problem, &values)?.max(best);
        }
        table.within(&format!("{name} by one unit, best of 4"), 3.0, best as f64, 0.0);
    }
    Ok(())
}

/// Of ten seeds, how many learn all four.
fn two_layers(place: &dyn Place, table: &mut Table) -> Result<()> {
    for (name, truth) in [("XOR", XOR), ("XNOR", XNOR)] {
        let mut learned = 0;
        for seed in 0..10 {
            let (problem, start) = gate(hidden_layer(8), truth, seed)?;
            let values = place.train(&problem, &start, 300)?.values;
            learned += usize::from(right(place, &problem, &values)? == 4);
        }
        table.within(&format!("{name} by 2-8-1, seeds of 10 with 4 of 4"), 10.0, learned as f64, 0.0);
    }
    Ok(())
}
