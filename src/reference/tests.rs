use super::*;
use crate::activation::Stored;
use crate::compare::{Comparison, compare};
use crate::loss::Row;
use crate::network::Bias;
use crate::random::{Purpose, generator};
use rand::RngExt;

/// An arena with the given weights and biases, in order, at their places.
fn arena(network: &Network, numbers: &[f64]) -> Vec<f64> {
    let params = Params::of(network);
    assert_eq!(params.count(), numbers.len());
    let mut arena = vec![0.0; params.len];
    let places = params.tensors.iter().flat_map(Tensor::range);
    places.zip(numbers).for_each(|(place, &x)| arena[place] = x);
    arena
}

/// The parameters of an arena in order, padding left out.
fn dense(network: &Network, arena: &[f64]) -> Vec<f64> {
    Params::of(network).tensors.iter().flat_map(Tensor::range).map(|place| arena[place]).collect()
}

fn assert_near(what: &str, actual: &[f64], expected: &[f64], relative: f64, absolute: f64) {
    assert_eq!(actual.len(), expected.len(), "{what}");
    for (i, (a, e)) in actual.iter().zip(expected).enumerate() {
        assert!((a - e).abs() <= relative * e.abs() + absolute, "{what}[{i}] is {a:e}, expected {e:e}");
    }
}

/// Plain gradient descent on one sample, for the worked cases that give numbers after many updates.
struct Descent {
    network: Network,
    reference: Reference,
    values: Vec<f64>,
    sample: (Vec<f64>, Vec<f64>),
    learning_rate: f64,
}

impl Descent {
    fn gradients(&self) -> Result<Gradients> {
        self.reference.gradients(&self.values, &self.sample.0, &self.sample.1, 1)
    }

    fn output(&self) -> Result<Vec<f64>> {
        self.reference.forward(&self.values, &self.sample.0, 1)
    }

    fn loss(&self) -> Result<f64> {
        self.reference.loss(&self.values, &self.sample.0, &self.sample.1, 1)
    }

    fn update(&mut self, steps: usize) -> Result<()> {
        let runs = Params::of(&self.network).trainable_runs();
        for _ in 0..steps {
            let gradient = self.gradients()?.params;
            for i in runs.iter().cloned().flatten() {
                self.values[i] -= self.learning_rate * gradient[i];
            }
        }
        Ok(())
    }
}

fn case_a(bias: Bias, freeze_bias: bool) -> Result<Descent> {
    let layer = Layer { bias, freeze_bias, ..Layer::new(2, Activation::Sigmoid) };
    let network = Network::new(2).layer(layer.clone()).layer(layer);
    let (b1, b2) = (vec![0.35; bias.len(2)], vec![0.60; bias.len(2)]);
    let values = arena(&network, &[&[0.15, 0.20, 0.25, 0.30], &*b1, &[0.40, 0.45, 0.50, 0.55], &b2].concat());
    let reference = Reference::new(&network, Loss::HalfSumOfSquares)?;
    let sample = (vec![0.05, 0.10], vec![0.01, 0.99]);
    Ok(Descent { network, reference, values, sample, learning_rate: 0.5 })
}

#[test]
fn case_a_step_by_step() -> Result<()> {
    let mut case = case_a(Bias::PerUnit, true)?;
    let hidden = case.reference.pass::<f64>(&case.values, &case.sample.0, true).inputs[1].clone();
    assert_near("hidden", &hidden, &[0.593269992, 0.596884378], 0.0, 5e-10);
    assert_near("outputs", &case.output()?, &[0.75136507, 0.772928465], 0.0, 5e-9);
    let gradients = case.gradients()?;
    assert_near("E", &[gradients.loss, case.loss()?], &[0.298371109; 2], 0.0, 5e-10);
    assert_near("δ2", &gradients.deltas[1], &[0.13849856, -0.03809824], 0.0, 5e-9);
    assert_near("δ1", &gradients.deltas[0], &[0.00877135, 0.00995425], 0.0, 5e-9);
    let dense = dense(&case.network, &gradients.params);
    assert_near("∂E/∂W1", &dense[..4], &[0.00043857, 0.00087714, 0.00049771, 0.00099543], 0.0, 5e-9);
    assert_near("∂E/∂W2", &dense[6..10], &[0.08216704, 0.08266763, -0.02260254, -0.02274024], 0.0, 5e-9);
    assert_near("∂E/∂b", &[&dense[4..6], &dense[10..]].concat(), &gradients.deltas.concat(), 0.0, 0.0);
    case.update(1)?;
    let after = self::dense(&case.network, &case.values);
    assert_near("W1", &after[..4], &[0.14978072, 0.19956143, 0.24975114, 0.29950229], 0.0, 5e-9);
    assert_near("W2", &after[6..10], &[0.35891648, 0.40866619, 0.51130127, 0.56137012], 0.0, 5e-9);
    Ok(())
}

#[test]
fn case_a_to_the_end() -> Result<()> {
    for (bias, frozen, once, finally) in [
        (Bias::PerUnit, true, 0.291027773694, 3.510187783e-05),
        (Bias::PerUnit, false, 0.280471446791, 2.447562236e-06),
        (Bias::Shared, false, 0.285750886699, 4.355321066e-06),
    ] {
        let mut case = case_a(bias, frozen)?;
        case.update(1)?;
        assert_near("E after 1 update", &[case.loss()?], &[once], 0.0, 5e-13);
        case.update(9_999)?;
        assert_near("E after 10,000 updates", &[case.loss()?], &[finally], 1e-9, 0.0);
        if frozen {
            assert_near("outputs", &case.output()?, &[0.01591362, 0.98406427], 0.0, 5e-9);
        }
    }
    Ok(())
}

#[test]
fn case_b() -> Result<()> {
    let network = Network::new(2).dense(2, Activation::Sigmoid).dense(1, Activation::Linear).with_bias(Bias::Shared);
    let reference = Reference::new(&network, Loss::HalfSumOfSquares)?;
    let values = arena(&network, &[0.2, 0.2, 0.2, 0.2, 0.5, 0.2, 0.2, 0.5]);
    let sample = (vec![0.02, 0.03], vec![7.0]);
    let mut case = Descent { network, reference, values, sample, learning_rate: 0.001 };
    let at = |case: &Descent| -> Result<_> { Ok([case.output()?[0], case.loss()?]) };

    assert_near("at the start", &at(&case)?, &[0.7499225897873717, 19.5317338168251], 1e-12, 0.0);
    let gradient = dense(&case.network, &case.gradients()?.params);
    let (w, v) = ([-0.00586066, -0.00879098], -3.90508883);
    assert_near("∂E/∂w", &[&gradient[..4], &gradient[5..7]].concat(), &[w[0], w[1], w[0], w[1], v, v], 0.0, 5e-9);
    assert_near("∂E/∂b", &[gradient[4], gradient[7]], &[-0.5860656185312628, -6.250077410212628], 1e-12, 0.0);
    case.update(1)?;
    assert_near("after 1 update", &at(&case)?, &[0.7611085770873101, 19.46188309344677], 1e-12, 0.0);
    case.update(999)?;
    assert_near("after 1,000 updates", &at(&case)?, &[6.427045079337592, 0.16413867055563303], 1e-9, 0.0);
    case.update(3_010)?;
    assert!(case.loss()? >= 1e-8);
    case.update(1)?;
    assert!(case.loss()? < 1e-8);
    assert_near("after 4,011 updates", &case.output()?, &[6.9998589272324345], 1e-9, 0.0);
    let after = dense(&case.network, &case.values);
    let weights = [0.21161863, 0.21742795, 0.21161863, 0.21742795, 2.20520809, 2.20520809];
    assert_near("w", &[&after[..4], &after[5..7]].concat(), &weights, 0.0, 5e-9);
    assert_near("b", &[after[4], after[7]], &[1.6618630043698253, 3.2866211168374355], 1e-9, 0.0);
    Ok(())
}

/// A network with random numbers for it, all of them exact in f32.
struct Trial {
    network: Network,
    loss: Loss,
    values: Vec<f32>,
    inputs: Vec<f32>,
    targets: Vec<f32>,
    rows: usize,
}

impl Trial {
    /// Parameters within ±`scale`, inputs within ±1, targets within [0, 1).
    fn new(network: Network, loss: Loss, rows: usize, scale: f32, seed: u64) -> Self {
        let mut rng = generator(seed, Purpose::Weights);
        let mut draw = |n: usize, low: f32, high: f32| (0..n).map(|_| rng.random_range(low..high)).collect::<Vec<_>>();
        let values = draw(Params::of(&network).len, -scale, scale);
        let (inputs, targets) = (draw(rows * network.inputs, -1.0, 1.0), draw(rows * network.outputs(), 0.0, 1.0));
        Trial { network, loss, values, inputs, targets, rows }
    }

    fn reference(&self) -> Result<Reference> {
        Reference::new(&self.network, self.loss)
    }

    fn exact(&self) -> [Vec<f64>; 3] {
        [&self.values, &self.inputs, &self.targets].map(|x| x.iter().copied().map(f64::from).collect())
    }

    /// Whether every pre-activation is further than 1e-3 from 0, every error from 0 and ±1, and every output from ±1: where a
    /// kink may be.
    fn is_smooth(&self) -> Result<bool> {
        let [values, inputs, targets] = self.exact();
        let forward = self.reference()?.pass::<f64>(&values, &inputs, true);
        let away = |x: f64, kink: f64| (x.abs() - kink).abs() > 1e-3;
        let mut outputs = forward.output.iter().zip(&targets);
        Ok(forward.z.iter().flatten().all(|&z| away(z, 0.0))
            && outputs.all(|(y, t)| away(y - t, 0.0) && away(y - t, 1.0) && away(*y, 1.0)))
    }

    /// Whether the loss depends on the input: some unit of every layer is not dead.
    fn is_alive(&self) -> Result<bool> {
        Ok(self.gradients()?.input.iter().any(|g| g.abs() > 1e-3))
    }

    fn gradients(&self) -> Result<Gradients> {
        let [values, inputs, targets] = self.exact();
        self.reference()?.gradients(&values, &inputs, &targets, self.rows)
    }

    /// How an f32 result compares in its outputs, its loss, its parameters' gradients and its input gradient.
    fn compare(&self, actual: &Single) -> Result<[Result<Comparison, String>; 4]> {
        let (reference, [values, inputs, targets]) = (self.reference()?, self.exact());
        let output = reference.forward(&values, &inputs, self.rows)?;
        let output_bounds = reference.forward_bounds(&values, &inputs, self.rows)?;
        let expected = self.gradients()?;
        let bounds = reference.bounds(&values, &inputs, &targets, self.rows)?;
        Ok([
            compare("output", &actual.output, &output, &output_bounds),
            compare("loss", &[actual.loss], &[expected.loss], &[bounds.loss]),
            compare("params", &actual.params, &expected.params, &bounds.params),
            compare("input", &actual.input, &expected.input, &bounds.input),
        ])
    }
}

/// Every pair that fits: the activation in all layers, but for a loss that names its output activation.
fn pairs() -> impl Iterator<Item = (Activation, Activation, Loss)> {
    let pairs = Loss::ALL.iter().flat_map(|&loss| Activation::ALL.iter().map(move |&f| (f, loss)));
    pairs.map(|(f, loss)| (f, if loss.check_output(f).is_ok() { f } else { Activation::Sigmoid }, loss))
}

#[test]
fn gradients_are_those_of_central_differences() -> Result<()> {
    for (hidden, output, loss) in pairs() {
        for &bias in Bias::ALL {
            let network = Network::new(3).dense(4, hidden).dense(3, output).with_bias(bias);
            let mut seed = 0;
            let trial = loop {
                let trial = Trial::new(network.clone(), loss, 3, 1.0, seed);
                if trial.is_smooth()? && trial.is_alive()? {
                    break trial;
                }
                seed += 1;
            };
            let (reference, [values, inputs, targets]) = (trial.reference()?, trial.exact());
            let gradients = trial.gradients()?;
            let params = numerical_gradient(|values| reference.loss(values, &inputs, &targets, 3), &values)?;
            let input = numerical_gradient(|inputs| reference.loss(&values, inputs, &targets, 3), &inputs)?;
            let what = format!("{hidden}, {output}, {loss}, {bias:?}");
            // A denominator that bends within a tenth leaves more of the truncation.
            let near = if matches!(loss, Loss::RelativeL2 | Loss::Smape) { 1e-8 } else { 1e-10 };
            assert_near(&what, &gradients.params, &params, near, near);
            assert_near(&what, &gradients.input, &input, near, near);
        }
    }
    Ok(())
}

#[test]
fn shapes_are_checked() -> Result<()> {
    let network = Network::new(2).dense(2, Activation::Sigmoid);
    let reference = Reference::new(&network, Loss::MeanSquaredError)?;
    let values = vec![0.5; Params::of(&network).len];
    let message = |result: Result<Gradients>| result.map_or_else(|e| e.to_string(), |_| String::new());
    for (result, text) in [
        (reference.gradients(&values[1..], &[0.0; 2], &[0.0; 2], 1), "parameter arena: expected 128, found 127"),
        (reference.gradients(&values, &[0.0; 3], &[0.0; 2], 1), "inputs: expected 2, found 3"),
        (reference.bounds(&values, &[0.0; 2], &[0.0; 4], 1), "targets: expected 2, found 4"),
        (reference.gradients(&values, &[], &[], 0), "rows of the batch: expected at least 1, found 0"),
    ] {
        let found = message(result);
        assert!(found.contains(text), "{found}");
    }
    assert!(Reference::new(&Network::new(2).dense(1, Activation::Tanh), Loss::LogisticCrossEntropy).is_err());
    assert!(Reference::new(&Network::new(2), Loss::MeanSquaredError).is_err());
    Ok(())
}

/// What can be wrong with a backward pass.
#[derive(Clone, Copy, Debug, PartialEq)]
enum Fault {
    TransposedWeight,
    MissingDerivative,
    WrongSign,
    StaleOutput,
    BatchOffByOne,
    UpdatedWeights,
}

impl Fault {
    const ALL: [Fault; 6] = [
        Fault::TransposedWeight,
        Fault::MissingDerivative,
        Fault::WrongSign,
        Fault::StaleOutput,
        Fault::BatchOffByOne,
        Fault::UpdatedWeights,
    ];
}

/// How an f32 dot product is computed.
#[derive(Clone, Copy, Debug)]
struct Order {
    fused: bool,
    reversed: bool,
}

impl Order {
    const ALL: [Order; 3] = [
        Order { fused: false, reversed: false },
        Order { fused: true, reversed: false },
        Order { fused: true, reversed: true },
    ];

    fn dot(self, pairs: impl DoubleEndedIterator<Item = (f32, f32)>) -> f32 {
        let add = |sum: f32, (a, b): (f32, f32)| if self.fused { a.mul_add(b, sum) } else { sum + a * b };
        if self.reversed { pairs.rfold(0.0, add) } else { pairs.fold(0.0, add) }
    }
}

/// What a naive f32 implementation, honest or with a planted fault, finds.
struct Single {
    output: Vec<f32>,
    loss: f32,
    params: Vec<f32>,
    input: Vec<f32>,
}

impl Single {
    fn new(trial: &Trial, order: Order, fault: Option<Fault>) -> Self {
        let Trial { network, loss, values, inputs, targets, rows } = trial;
        let (table, rows, last, outputs) = (Params::of(network), *rows, network.layers.len() - 1, network.outputs());
        let training = |l: usize| {
            let f = network.layers[l].activation;
            if l == last { loss.training_activation(f) } else { f }
        };
        let place = |l: usize, role| table.get(l, role).map_or(0..0, Tensor::range);
        let shape = |l: usize| (network.layer_inputs(l), network.layers[l].outputs);

        let forward = |inputs: &[f32]| {
            let (mut a, mut z) = (vec![inputs.to_vec()], Vec::new());
            for l in 0..=last {
                let ((n, m), weight, bias) = (shape(l), place(l, Role::Weight).start, &values[place(l, Role::Bias)]);
                let unit = |r: usize, o: usize| {
                    let products = (0..n).map(|i| (values[weight + o * n + i], a[l][r * n + i]));
                    order.dot(products) + bias.iter().cycle().nth(o).unwrap_or(&0.0)
                };
                let logits: Vec<f32> = (0..rows * m).map(|at| unit(at / m, at % m)).collect();
                a.push(logits.iter().map(|&z| training(l).value(z)).collect());
                z.push(logits);
            }
            (a, z)
        };
        let (mut a, z) = forward(inputs);

        let (mut total, mut arriving) = (0.0, Vec::new());
        let scale = loss.reduction().scale(rows, outputs) as f32;
        let sign = if fault == Some(Fault::WrongSign) { -scale } else { scale };
        for (y, t) in a[last + 1].chunks(outputs).zip(targets.chunks(outputs)) {
            let max = y.iter().copied().fold(f32::NEG_INFINITY, f32::max);
            let log_sum_exp = max + y.iter().map(|y| (y - max).exp()).sum::<f32>().ln();
            let row = Row { log_sum_exp, target_sum: t.iter().sum() };
            total += y.iter().zip(t).map(|(&y, &t)| loss.value(y, t, row)).sum::<f32>();
            arriving.extend(y.iter().zip(t).map(|(&y, &t)| sign * loss.derivative(y, t, row)));
        }

        if fault == Some(Fault::StaleOutput) {
            // A batch that hardly differs is the hardest to notice.
            let previous: Vec<f32> = inputs.iter().map(|x| 0.9 * x).collect();
            a[last] = forward(&previous).0.swap_remove(last);
        }
        let summed = if fault == Some(Fault::BatchOffByOne) { rows - 1 } else { rows };
        let mut params = vec![0.0; table.len];
        for l in (0..=last).rev() {
            let ((n, m), weight, bias) = (shape(l), place(l, Role::Weight).start, place(l, Role::Bias));
            let slope = |at: usize| match training(l).stored() {
                _ if fault == Some(Fault::MissingDerivative) && l < last => 1.0,
                Stored::Output => training(l).derivative(a[l + 1][at]),
                Stored::Preactivation => training(l).derivative(z[l][at]),
            };
            let delta: Vec<f32> = (0..rows * m).map(|at| arriving[at] * slope(at)).collect();
            for (o, i) in (0..m).flat_map(|o| (0..n).map(move |i| (o, i))) {
                params[weight + o * n + i] = order.dot((0..summed).map(|r| (delta[r * m + o], a[l][r * n + i])));
            }
            for o in 0..bias.len() {
                let units = (0..rows * m / bias.len()).map(|k| (delta[k * bias.len() + o], 1.0));
                params[bias.start + o] = order.dot(units);
            }
            let w = |o: usize, i: usize| match fault {
                Some(Fault::TransposedWeight) => values[weight + i * m + o],
                Some(Fault::UpdatedWeights) => values[weight + o * n + i] - 0.1 * params[weight + o * n + i],
                _ => values[weight + o * n + i],
            };
            let back = |r: usize, i: usize| order.dot((0..m).map(|o| (w(o, i), delta[r * m + o])));
            arriving = (0..rows * n).map(|at| back(at / n, at % n)).collect();
        }
        let output = z[last].iter().map(|&z| network.output_activation().value(z)).collect();
        Single { output, loss: scale * total, params, input: arriving }
    }
}

fn narrow(hidden: Activation, output: Activation) -> Network {
    Network::new(7).dense(13, hidden).dense(5, hidden).dense(3, output)
}

/// Networks of several sizes; the weights of the last two saturate their activations.
fn trials() -> Vec<Trial> {
    use Activation::{Linear, Relu, Sigmoid, Silu, Softplus, Tanh};
    let tiny = Network::new(2).dense(3, Sigmoid).dense(2, Sigmoid);
    let wide = |hidden, output| Network::new(64).dense(64, hidden).dense(64, hidden).dense(10, output);
    vec![
        Trial::new(tiny.clone(), Loss::HalfSumOfSquares, 4, 1.0, 0),
        Trial::new(tiny.with_bias(Bias::Shared), Loss::LogisticCrossEntropy, 4, 1.0, 1),
        Trial::new(narrow(Tanh, Linear), Loss::SoftmaxCrossEntropy, 5, 0.7, 2),
        Trial::new(narrow(Silu, Softplus).with_bias(Bias::None), Loss::MeanSquaredError, 5, 0.7, 3),
        Trial::new(wide(Relu, Linear), Loss::SoftmaxCrossEntropy, 33, 0.2, 4),
        Trial::new(wide(Tanh, Linear), Loss::Huber, 33, 0.2, 5),
        Trial::new(wide(Sigmoid, Sigmoid), Loss::LogisticCrossEntropy, 33, 0.2, 6),
        Trial::new(narrow(Tanh, Sigmoid), Loss::HalfSumOfSquares, 5, 5.0, 7),
        Trial::new(wide(Tanh, Linear), Loss::SoftmaxCrossEntropy, 33, 1.0, 8),
    ]
}

#[test]
fn honest_f32_stays_within_the_bounds() -> Result<()> {
    let every_pair = pairs().map(|(hidden, output, loss)| Trial::new(narrow(hidden, output), loss, 5, 0.7, 9));
    for trial in trials().into_iter().chain(every_pair) {
        for order in Order::ALL {
            for compared in trial.compare(&Single::new(&trial, order, None))? {
                assert!(compared.is_ok(), "{} {} {order:?}: {compared:?}", trial.network, trial.loss);
            }
        }
    }
    Ok(())
}

#[test]
fn planted_faults_exceed_the_bounds() -> Result<()> {
    for trial in trials() {
        for fault in Fault::ALL {
            let [.., params, input] = trial.compare(&Single::new(&trial, Order::ALL[0], Some(fault)))?;
            assert!(params.is_err(), "{} {}: {fault:?} in the parameters: {params:?}", trial.network, trial.loss);
            let reaches_input = !matches!(fault, Fault::BatchOffByOne | Fault::StaleOutput);
            assert!(!reaches_input || input.is_err(), "{} {}: {fault:?}: {input:?}", trial.network, trial.loss);
        }
    }
    Ok(())
}
