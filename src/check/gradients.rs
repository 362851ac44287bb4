//! Every gradient of every parameter against the reference, for every activation × loss × bias mode; the reference
//! against central differences; and the same bits when repeated.

use super::mixed::SCALER;
use super::{Outcome, Tally};
use crate::Result;
use crate::activation::Activation;
use crate::compare::{Comparison, compare};
use crate::device::Device;
use crate::executor::Executor;
use crate::init::{Init, initialize};
use crate::loss::Loss;
use crate::network::{Bias, Layer, Network, Normalization};
use crate::params::{Params, Role};
use crate::plan::{Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use crate::precision::Precision;
use crate::random::{Purpose, generator};
use crate::reference::{Reference, numerical_gradient};
use crate::treatment::Treatments;
use rand::RngExt;

/// A network, a loss and two batches of numbers.
pub struct Case {
    /// The network.
    pub network: Network,
    /// The loss.
    pub loss: Loss,
    /// What the plan stores matrices in.
    pub precision: Precision,
    /// The parameter arena.
    pub values: Vec<f32>,
    /// Samples in a batch.
    pub rows: usize,
    /// Who wires the plan.
    pub planner: Planner,
    /// Whether the weight of a row stands behind its targets.
    pub weighted: bool,
    /// Rows of the plan's batch past those, filled with numbers that must not matter.
    pub padding: usize,
    /// `[rows, inputs]` of the batch before and of the batch that is checked.
    pub inputs: [Vec<f32>; 2],
    /// `[rows, outputs]` likewise, with the weights one number more.
    pub targets: [Vec<f32>; 2],
}

impl Case {
    /// Draws parameters and batches. No bias is 0 and no scale 1, so that a forgotten one is noticed.
    pub fn new(network: Network, loss: Loss, rows: usize, seed: u64) -> Result<Self> {
        let params = Params::of(&network);
        let mut rng = generator(seed, Purpose::Epoch(network.widths().iter().sum::<usize>() as u64));
        let mut values = initialize(&network, &params, Init::Normal { deviation: 0.6 }, seed)?;
        for tensor in params.tensors.iter().filter(|t| t.role != Role::Weight) {
            let middle = if matches!(tensor.role, Role::Scale | Role::RunningVariance) { 1.0 } else { 0.0 };
            values[tensor.range()].iter_mut().for_each(|b| *b = middle + rng.random_range(-0.5..0.5));
        }
        let mut draw = |cols: usize, low: f32, high: f32| -> [Vec<f32>; 2] {
            [(); 2].map(|()| (0..rows * cols).map(|_| rng.random_range(low..high)).collect())
        };
        let inputs = draw(network.inputs, -1.5, 1.5);
        let targets = draw(loss.target_width(network.outputs()), 0.0, 1.0);
        let (precision, planner) = (Precision::F32, Planner::LayerWise);
        let (padding, weighted) = (0, false);
        Ok(Case { network, loss, values, rows, planner, precision, padding, weighted, inputs, targets })
    }

    /// The same with weights from 0 to 2, the first of them 0.
    pub fn with_weights(self) -> Self {
        let targets = self.targets.map(|targets| {
            let rows = targets.chunks(targets.len() / self.rows).enumerate();
            rows.flat_map(|(r, row)| row.iter().copied().chain([(r * 5 % 9) as f32 / 4.0])).collect()
        });
        Case { weighted: true, targets, ..self }
    }

    fn target_width(&self) -> usize {
        self.loss.target_width(self.network.outputs()) + usize::from(self.weighted)
    }

    fn reference(&self) -> Result<Reference> {
        let reference = Reference::new(&self.network, self.loss)?;
        Ok(if self.weighted { reference.weighted() } else { reference })
    }

    fn options(&self, batch: usize) -> TrainingOptions {
        let (planner, precision, weighted) = (self.planner, self.precision, self.weighted);
        TrainingOptions { planner, precision, weighted, all_gradients: true, ..TrainingOptions::new(batch, self.loss) }
    }

    /// The plan that computes every gradient.
    pub fn plan(&self) -> Result<Plan> {
        let batch = self.rows + self.padding;
        Plan::training(&self.network, &self.options(batch))
    }

    /// Runs `plan` on the batch before and then on the batch to check, gradients poisoned with NaN first.
    pub fn run(&self, executor: &mut dyn Executor) -> Result<[Vec<f32>; 3]> {
        let arena = self.values.len();
        let input = self.rows * self.network.inputs;
        executor.write(Slot::Params, 0, &self.values)?;
        if self.precision == Precision::F16 {
            executor.write(Slot::Scaler, 0, &SCALER)?;
        }
        executor.write(Slot::Gradients, 0, &vec![f32::NAN; arena])?;
        executor.write(Slot::InputGradient, 0, &vec![f32::NAN; input])?;
        executor.write(Slot::Losses, 0, &[f32::NAN])?;
        let loss_scale = self.loss.reduction().scale(self.rows, self.network.outputs()) as f32;
        let entry = ScheduleEntry::training(0.1, loss_scale, self.rows);
        executor.schedule(&[entry])?;
        for (inputs, targets) in self.inputs.iter().zip(&self.targets) {
            for (slot, values, cols) in
                [(Slot::Input, inputs, self.network.inputs), (Slot::Target, targets, self.target_width())]
            {
                executor.write(slot, 0, &[&values[..], &vec![3.5; self.padding * cols]].concat())?;
            }
            executor.run(self.planner.gradients(), 1)?;
        }
        Ok([
            executor.read(Slot::Losses, 0..1)?.wait()?,
            executor.read(Slot::Gradients, 0..arena)?.wait()?,
            executor.read(Slot::InputGradient, 0..input)?.wait()?,
        ])
    }

    /// Compares the loss, every parameter's gradient and the input's gradient with the reference.
    pub fn compare(&self, [loss, params, input]: &[Vec<f32>; 3]) -> Result<Result<Vec<Comparison>, String>> {
        let (values, inputs, targets) = (wide(&self.values), wide(&self.inputs[1]), wide(&self.targets[1]));
        let reference = self.reference()?;
        let expected = reference.gradients(&values, &inputs, &targets, self.rows)?;
        let bounds = match self.precision {
            Precision::F32 => reference.bounds(&values, &inputs, &targets, self.rows)?,
            Precision::F16 => reference.half_bounds(&values, &inputs, &targets, self.rows)?,
        };
        let precision = if self.precision == Precision::F16 { "f16 " } else { "" };
        let name = |part: &str| format!("{precision}{} {} {part}", self.network, self.loss);
        let mut results = vec![
            compare(&name("loss"), loss, &[expected.loss], &[bounds.loss]),
            compare(&name("input gradient"), input, &expected.input, &bounds.input),
        ];
        for tensor in Params::of(&self.network).tensors.into_iter().filter(|tensor| tensor.role.has_gradient()) {
            let range = tensor.range();
            results.push(compare(
                &name(&format!("gradient of {}", tensor.name)),
                &params[range.clone()],
                &expected.params[range.clone()],
                &bounds.params[range],
            ));
        }
        Ok(results.into_iter().collect())
    }

    /// Runs the case on `device` and compares. `tamper` may plant a fault into the plan.
    pub fn check(&self, device: &Device, tamper: &dyn Fn(&mut Plan)) -> Result<Result<Vec<Comparison>, String>> {
        let mut plan = self.plan()?;
        tamper(&mut plan);
        let found = self.run(device.executor(plan)?.as_mut())?;
        self.compare(&found)
    }
}

/// A network of three layers with `activation` everywhere, for `loss`; the output layer is a sigmoid where the loss
/// demands it.
pub fn network(activation: Activation, loss: Loss, bias: Bias) -> Network {
    let output = if loss.check_output(activation).is_ok() { activation } else { Activation::Sigmoid };
    Network::new(5).dense(7, activation).dense(6, activation).dense(4, output).with_bias(bias)
}

/// Widths and batches of 1, primes, and one less and one more than every tile.
fn awkward() -> Vec<(Network, usize)> {
    use Activation::{Gelu, Linear, Relu, Sigmoid, Sine, Tanh};
    let net = |widths: &[usize], hidden, output| {
        let (last, inner) = (widths[widths.len() - 1], &widths[1..widths.len() - 1]);
        inner.iter().fold(Network::new(widths[0]), |network, &w| network.dense(w, hidden)).dense(last, output)
    };
    vec![
        (net(&[1, 1], Linear, Sigmoid), 1),
        (net(&[1, 1, 1], Tanh, Linear), 2),
        (net(&[3, 1, 2], Sigmoid, Linear), 1),
        (net(&[2, 2, 2], Sigmoid, Sigmoid), 1),
        (net(&[7, 13, 17, 5], Gelu, Linear), 11),
        (net(&[15, 16, 17, 10], Relu, Linear), 63),
        (net(&[63, 64, 65, 3], Sigmoid, Linear), 65),
        (net(&[65, 31, 1], Sine, Tanh), 64),
        (net(&[2, 8, 8, 8, 8, 8, 8, 3], Tanh, Linear), 17),
        (net(&[1, 257, 2], Relu, Linear), 33),
        (net(&[129, 3, 127], Sigmoid, Linear), 5),
    ]
}

/// A difference quotient means nothing across a kink of relu, or of the absolute error: with these numbers none lies
/// within its step. The proof is about the reference alone and the same on every device, so one seed does.
const SMOOTH_SEED: u64 = 0;

/// Checks the gradients on `device`, with numbers drawn from `seed`, and the reference; `take` gets each outcome.
pub fn run(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    for &activation in Activation::ALL {
        let mut differences = Tally::new("reference", format!("central differences, {activation}"));
        let mut gradients = Tally::new("gradient", format!("{activation} × losses × bias modes"));
        for &loss in Loss::ALL {
            for &bias in Bias::ALL {
                let case = Case::new(network(activation, loss, bias), loss, 3, seed)?;
                gradients.add(case.check(device, &|_| {})?);
                differences.add(against_differences(&Case::new(case.network, loss, 3, SMOOTH_SEED)?)?);
            }
        }
        take(differences.finish());
        take(gradients.finish());
    }
    blocks(device, seed, take)?;
    weighted(device, seed, take)?;
    around_the_update(device, seed, take)?;
    fused(device, seed, take)?;
    if device.has_half() {
        in_half(device, seed, take)?;
    }
    for &planner in Planner::ALL {
        let mut shapes = Tally::new("gradient", format!("awkward widths and batches, {planner}"));
        let mut repeated = Tally::new("determinism", format!("the same bits twice, {planner}"));
        for (network, rows) in awkward() {
            for loss in [Loss::HalfSumOfSquares, Loss::SoftmaxCrossEntropy] {
                let padding = rows % 3;
                let case = Case { planner, padding, ..Case::new(network.clone(), loss, rows, seed)? };
                if planner.fits(&network, &case.options(rows + padding)).is_ok() {
                    shapes.add(case.check(device, &|_| {})?);
                    repeated.add(twice(&case, device)?);
                }
            }
        }
        take(shapes.finish());
        take(repeated.finish());
    }
    Ok(())
}

/// Networks whose layers have a normalisation, dropout, residual connections, each alone and all of them together.
pub fn with_blocks(activation: Activation, number: usize) -> Network {
    let normalization = Normalization::ALL[number % 3];
    let plain = |outputs| Layer::new(outputs, activation);
    let network = Network::new(6);
    let network = match number / 3 % 4 {
        0 => network.layer(plain(7).normalized(normalization)).layer(plain(5)),
        1 => network.layer(plain(6).residual()).layer(plain(6).normalized(normalization).residual()).layer(plain(5)),
        2 => network.layer(plain(7).dropout(0.25).normalized(normalization)).layer(plain(5).dropout(0.5)),
        _ => {
            let whole = || plain(6).normalized(normalization).residual().dropout(0.3);
            network.layer(whole()).layer(whole()).layer(plain(8).dropout(0.1))
        }
    };
    network.layer(Layer::new(4, Activation::Linear).normalized(Normalization::ALL[(number + number / 12) % 3]))
}

fn blocks(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let mut differences = Tally::new("reference", "central differences, normalisation, dropout, residual");
    let mut gradients = Tally::new("gradient", "normalisation, dropout, residual × activations");
    let mut repeated = Tally::new("determinism", "normalisation, dropout, residual: the same bits twice");
    for number in 0..3 * 4 * 3 {
        let activation = Activation::ALL[number % Activation::ALL.len()];
        let network = with_blocks(activation, number).with_bias(Bias::ALL[number / 5 % Bias::ALL.len()]);
        let loss = [Loss::HalfSumOfSquares, Loss::SoftmaxCrossEntropy, Loss::Huber][number % 3];
        let rows = [5, 33, 66][number / 12];
        let case = Case { padding: number % 3, ..Case::new(network.clone(), loss, rows, seed)? };
        gradients.add(case.check(device, &|_| {})?);
        repeated.add(twice(&case, device)?);
        if rows == 5 {
            differences.add(against_differences(&Case::new(network, loss, rows, SMOOTH_SEED)?)?);
        }
    }
    take(differences.finish());
    take(gradients.finish());
    take(repeated.finish());
    Ok(())
}

/// Rows with weights, for every loss, by every planner, and in mixed precision.
fn weighted(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let mut differences = Tally::new("reference", "central differences, rows with weights");
    for &loss in Loss::ALL {
        let network = network(Activation::Tanh, loss, Bias::PerUnit);
        differences.add(against_differences(&Case::new(network, loss, 4, SMOOTH_SEED)?.with_weights())?);
    }
    take(differences.finish());
    for &planner in Planner::ALL {
        let mut gradients = Tally::new("gradient", format!("rows with weights, {planner}"));
        for (i, &loss) in Loss::ALL.iter().enumerate() {
            // A text of its own each, where it holds a whole network, for a driver to compile.
            if planner != Planner::LayerWise && i % 3 != 0 {
                continue;
            }
            let network = network(Activation::Tanh, loss, Bias::PerUnit);
            let case = Case { planner, padding: i % 3, ..Case::new(network, loss, 7, seed)?.with_weights() };
            gradients.add(case.check(device, &|_| {})?);
            if device.has_half() && planner != Planner::Resident && i % 6 == 0 {
                gradients.add(Case { precision: Precision::F16, ..case }.check(device, &|_| {})?);
            }
        }
        take(gradients.finish());
    }
    Ok(())
}

/// Steps with all that is done around the update: the same parameters twice, and the same average of them.
fn around_the_update(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let loss = Loss::SoftmaxCrossEntropy;
    let case = Case::new(network(Activation::Tanh, loss, Bias::PerUnit), loss, 9, seed)?.with_weights();
    let treatments = Treatments { l1: 0.01, l2: 0.02, clip_value: Some(0.05), clip_norm: Some(0.1) };
    let precisions = [Precision::F32, Precision::F16].into_iter().filter(|&p| p == Precision::F32 || device.has_half());
    for precision in precisions {
        for planner in [Planner::LayerWise, Planner::Fused] {
            let options = TrainingOptions {
                planner,
                precision,
                treatments,
                weighted: true,
                accumulates: true,
                average: Some(0.9),
                ..TrainingOptions::new(9, loss)
            };
            let steps = || -> Result<[Vec<f32>; 2]> {
                let mut executor = device.executor(Plan::training(&case.network, &options)?)?;
                executor.write(Slot::Params, 0, &case.values)?;
                executor.write(Slot::Input, 0, &case.inputs[0])?;
                executor.write(Slot::Target, 0, &case.targets[0])?;
                executor.schedule(&[ScheduleEntry::training(0.1, 1.0 / 9.0, 9)])?;
                for _ in 0..3 {
                    executor.run(planner.micro_step(false), 2)?;
                    executor.run(planner.step(), 1)?;
                }
                let mut read = |slot| executor.read(slot, 0..case.values.len())?.wait();
                Ok([read(Slot::Params)?, read(Slot::Average)?])
            };
            let mut tally = Tally::new("determinism", format!("{precision} around the update, {planner}"));
            let (first, second) = (steps()?, steps()?);
            for (what, i) in [("parameters", 0), ("average", 1)] {
                let result = match wide(&first[i]) == wide(&case.values) {
                    true => Err(format!("{what} did not change")),
                    false => compare(what, &second[i], &wide(&first[i]), &vec![0.0; first[i].len()]),
                };
                tally.add(result.map(|comparison| vec![comparison]));
            }
            take(tally.finish());
        }
    }
    Ok(())
}

/// The fused planner: every activation, every loss and every bias mode, and batches of several parts and slabs.
fn fused(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let mut shapes = Tally::new("gradient", "fused: activations, losses, bias modes, long batches");
    let mut repeated = Tally::new("determinism", "fused: the same bits twice, long batches");
    let mut add = |network: Network, loss, rows: usize| -> Result<()> {
        let case = Case { padding: rows % 3, planner: Planner::Fused, ..Case::new(network, loss, rows, seed)? };
        shapes.add(case.check(device, &|_| {})?);
        repeated.add(twice(&case, device)?);
        Ok(())
    };
    // Each network is a text of its own, which some drivers compile for seconds.
    for (i, &activation) in Activation::ALL.iter().enumerate() {
        let (loss, bias) = (Loss::ALL[i % Loss::ALL.len()], Bias::ALL[i % Bias::ALL.len()]);
        add(network(activation, loss, bias), loss, 3 + 31 * (i % 3))?;
    }
    let wide = Network::new(5).dense(128, Activation::Tanh).dense(3, Activation::Linear);
    add(wide, Loss::HalfSumOfSquares, 333)?;
    take(shapes.finish());
    take(repeated.finish());
    Ok(())
}

/// The gradients of mixed precision, by the bounds of mixed precision.
fn in_half(device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
    let half = |case: Case| Case { precision: Precision::F16, ..case };
    for &activation in Activation::ALL {
        let mut gradients = Tally::new("gradient", format!("f16 {activation} × losses × bias modes"));
        for &loss in Loss::ALL {
            for &bias in Bias::ALL {
                let case = half(Case::new(network(activation, loss, bias), loss, 3, seed)?);
                gradients.add(case.check(device, &|_| {})?);
            }
        }
        take(gradients.finish());
    }
    let mut shapes = Tally::new("gradient", "f16 awkward widths and batches");
    let mut repeated = Tally::new("determinism", "f16 the same bits twice");
    for (network, rows) in awkward() {
        for loss in [Loss::HalfSumOfSquares, Loss::SoftmaxCrossEntropy] {
            let case = half(Case { padding: rows % 3, ..Case::new(network.clone(), loss, rows, seed)? });
            shapes.add(case.check(device, &|_| {})?);
            repeated.add(twice(&case, device)?);
        }
    }
    take(shapes.finish());
    take(repeated.finish());
    let mut shapes = Tally::new("gradient", "f16 fused: activations, losses, bias modes, long batches");
    let mut repeated = Tally::new("determinism", "f16 fused: the same bits twice");
    let mut add = |network: Network, loss, rows: usize| -> Result<()> {
        let case = Case { padding: rows % 3, planner: Planner::Fused, ..Case::new(network, loss, rows, seed)? };
        let case = half(case);
        shapes.add(case.check(device, &|_| {})?);
        repeated.add(twice(&case, device)?);
        Ok(())
    };
    // Three activations a network, each of which is a text of its own to compile.
    for (i, activations) in Activation::ALL.chunks(3).enumerate() {
        let widths = [7, 20, 4].into_iter().zip(activations);
        let hidden = widths.fold(Network::new(5), |network, (width, &activation)| network.dense(width, activation));
        let loss = Loss::ALL[(2 * i + 1) % Loss::ALL.len()];
        let output =
            if loss.check_output(Activation::Linear).is_ok() { Activation::Linear } else { Activation::Sigmoid };
        add(hidden.dense(3, output).with_bias(Bias::ALL[i % Bias::ALL.len()]), loss, 3 + 31 * i)?;
    }
    let wide = Network::new(5).dense(128, Activation::Tanh).dense(3, Activation::Linear);
    add(wide, Loss::HalfSumOfSquares, 333)?;
    take(shapes.finish());
    take(repeated.finish());
    Ok(())
}

/// Compares the reference with central differences of its own loss, in f64.
///
/// The extrapolated difference quotient errs by the rounding of the loss, about `2⁻⁵² |loss| / h` with `h` near 2⁻¹⁴,
/// times the few hundred roundings in it, and by a truncation of the order `h⁴`, far below that.
pub(super) fn against_differences(case: &Case) -> Result<Result<Vec<Comparison>, String>> {
    let (values, inputs, targets) = (wide(&case.values), wide(&case.inputs[1]), wide(&case.targets[1]));
    let reference = case.reference()?;
    let exact = reference.gradients(&values, &inputs, &targets, case.rows)?;
    let by_params = numerical_gradient(|p| reference.loss(p, &inputs, &targets, case.rows), &values)?;
    let by_inputs = numerical_gradient(|x| reference.loss(&values, x, &targets, case.rows), &inputs)?;
    let bound = 1e-9 * (1.0 + exact.loss.abs());
    let name = |part: &str| format!("{} {} {part}", case.network, case.loss);
    let results = [
        compare(&name("∂loss/∂params"), &by_params, &exact.params, &vec![bound; values.len()]),
        compare(&name("∂loss/∂input"), &by_inputs, &exact.input, &vec![bound; inputs.len()]),
    ];
    Ok(results.into_iter().collect())
}

pub(super) fn wide(values: &[f32]) -> Vec<f64> {
    values.iter().map(|&x| f64::from(x)).collect()
}

/// Runs the case on two executors: not a bit may differ.
pub(super) fn twice(case: &Case, device: &Device) -> Result<Result<Vec<Comparison>, String>> {
    let first = case.run(device.executor(case.plan()?)?.as_mut())?;
    let second = case.run(device.executor(case.plan()?)?.as_mut())?;
    let params = Params::of(&case.network);
    let mut results = Vec::new();
    let named = |what: &str| format!("{} {} {what}, run twice", case.network, case.loss);
    let mut same = |what: String, first: &[f32], second: &[f32]| {
        let expected: Vec<f64> = first.iter().map(|&x| f64::from(x)).collect();
        results.push(compare(&what, second, &expected, &vec![0.0; expected.len()]));
    };
    same(named("loss"), &first[0], &second[0]);
    same(named("input gradient"), &first[2], &second[2]);
    for tensor in params.tensors.iter().filter(|tensor| tensor.role.has_gradient()) {
        same(named(&tensor.name), &first[1][tensor.range()], &second[1][tensor.range()]);
    }
    Ok(results.into_iter().collect())
}
