//! Losses with derivatives of the output by the inputs: every gradient against the reference; the reference against the
//! whole network as one graph, which is differentiated node by node and knows nothing of jets.

use super::gradients::{Case, against_differences, twice, wide};
use super::{Outcome, Tally};
use crate::Result;
use crate::activation::Activation;
use crate::compare::{Comparison, compare};
use crate::device::Device;
use crate::graph::{Expr, Graph};
use crate::kernel::jet::sample_equations;
use crate::loss::{Equation, Loss};
use crate::network::{Bias, Network};
use crate::reference::Reference;

/// Networks for an equation, with every smooth activation, every bias mode, and a layer of one unit.
fn networks(equation: Equation) -> Vec<Network> {
    use Activation::{Gelu, Linear, Sigmoid, Silu, Sine, Softplus, Tanh};
    let text = equation.text();
    let (inputs, outputs) = (text.inputs.len(), text.outputs.len());
    let layers = [
        (vec![(7, Tanh), (5, Sigmoid)], Linear, Bias::PerUnit),
        (vec![(4, Sine), (1, Softplus), (3, Gelu)], Linear, Bias::Shared),
        (vec![(17, Silu)], Tanh, Bias::None),
    ];
    let network = |(hidden, output, bias): &(Vec<(usize, Activation)>, Activation, Bias)| {
        let hidden = hidden.iter().fold(Network::new(inputs), |network, &(width, f)| network.dense(width, f));
        hidden.dense(outputs, *output).with_bias(*bias)
    };
    layers.iter().map(network).collect()
}

/// Checks the gradients on `device`, with numbers drawn from `seed`, and the reference; `take` gets each outcome.
pub fn run(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let equations = sample_equations().into_iter().filter_map(|loss| match loss {
        Loss::Equation(equation) => Some((equation, networks(equation))),
        _ => None,
    });
    prove("equations", equations, device, seed, take)
}

/// The same for one equation and networks of it with these activations.
pub(super) fn run_for(
    equation: Equation,
    [hidden, output]: [Activation; 2],
    device: &Device,
    seed: u64,
    take: &mut dyn FnMut(Outcome),
) -> Result<()> {
    let text = equation.text();
    let network = Network::new(text.inputs.len()).dense(7, hidden).dense(6, hidden).dense(text.outputs.len(), output);
    equation.check(&network)?;
    let networks = Bias::ALL.iter().map(|&bias| network.clone().with_bias(bias)).collect();
    prove(&equation.to_string(), std::iter::once((equation, networks)), device, seed, take)
}

fn prove(
    subject: &str,
    equations: impl Iterator<Item = (Equation, Vec<Network>)>,
    device: &Device,
    seed: u64,
    take: &mut dyn FnMut(Outcome),
) -> Result<()> {
    let mut graphs = Tally::new("reference", format!("{subject}: networks as graphs"));
    let mut differences = Tally::new("reference", format!("{subject}: central differences"));
    let mut gradients = Tally::new("gradient", format!("{subject}: bias modes, long batches"));
    let mut repeated = Tally::new("determinism", format!("{subject}: the same bits twice"));
    for (equation, networks) in equations {
        let loss = Loss::Equation(equation);
        for (i, network) in networks.into_iter().enumerate() {
            let case = Case { padding: i, ..Case::new(network, loss, 4 + 29 * i, seed)? };
            gradients.add(case.check(device, &|_| {})?);
            repeated.add(twice(&case, device)?);
            let small = Case::new(case.network, loss, 2, seed)?;
            graphs.add(against_graph(&small, equation)?);
            differences.add(against_differences(&small)?);
        }
    }
    [graphs, differences, gradients, repeated].into_iter().for_each(|tally| take(tally.finish()));
    Ok(())
}

/// Compares the reference with the network as one graph, in f64.
///
/// Both are exact to rounding. The graph has some thousands of nodes, each of which errs by 2⁻⁵³ of numbers up to about a
/// hundred: 10⁻⁹ is thousands of times what they can add up to, and far below any wrong term.
fn against_graph(case: &Case, equation: Equation) -> Result<Result<Vec<Comparison>, String>> {
    let Case { network, rows, .. } = case;
    let (values, inputs, targets) = (wide(&case.values), wide(&case.inputs[1]), wide(&case.targets[1]));
    let reference = Reference::new(network, case.loss)?;
    let expected = reference.gradients(&values, &inputs, &targets, *rows)?;

    let graph = Graph::new();
    let names = |of: &str, len: usize| (0..len).map(|i| format!("{of}{i}")).collect::<Vec<String>>();
    let data = equation.text().data.len();
    let all = [names("p", values.len()), names("x", network.inputs), names("d", data)];
    let [params, x, d] =
        [0, 1, 2].map(|i: usize| -> Vec<Expr<'_>> { all[i].iter().map(|name| graph.variable(name)).collect() });
    let outputs = graph.network(network, &params, &x)?;
    let mut jets = Vec::new();
    for derivative in equation.components().iter() {
        jets.extend(outputs.iter().map(|&u| derivative.iter().fold(u, |u, &i| u.backward().of(x[i]))));
    }
    let residual = graph.call(equation.function(), &[x.clone(), d, jets].concat())?[0];
    let slopes = residual.backward();
    let wanted: Vec<_> = std::iter::once(residual).chain(params.iter().chain(&x).map(|&v| slopes.of(v))).collect();
    let arguments: Vec<&str> = all.iter().flatten().map(String::as_str).collect();
    let function = graph.function(&arguments, &wanted)?;

    let (mut loss, mut by_params, mut by_inputs) = (0.0, vec![0.0; values.len()], Vec::new());
    for r in 0..*rows {
        let sample = [&values, &inputs[r * network.inputs..][..network.inputs], &targets[r * data..][..data]].concat();
        let results: Vec<f64> = function.eval(&sample).into_iter().map(|x| x / *rows as f64).collect();
        loss += results[0];
        by_params.iter_mut().zip(&results[1..]).for_each(|(sum, x)| *sum += x);
        by_inputs.extend_from_slice(&results[1 + values.len()..]);
    }
    let bound = |of: &[f64]| vec![1e-9 * (1.0 + expected.loss.abs()); of.len()];
    let name = |part: &str| format!("{network} {} as a graph, {part}", case.loss);
    let results = [
        compare(&name("loss"), &[loss], &[expected.loss], &bound(&[0.0])),
        compare(&name("∂loss/∂params"), &by_params, &expected.params, &bound(&by_params)),
        compare(&name("∂loss/∂input"), &by_inputs, &expected.input, &bound(&by_inputs)),
    ];
    Ok(results.into_iter().collect())
}
