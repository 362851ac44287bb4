//! The proof for an activation and a loss of one's own: their derivatives against central differences, the kernels that are
//! compiled for them against twins, the gradients of a network of them against the reference.

use super::gradients::{Case, twice};
use super::kernels::{check, is_checked, sizes};
use super::{Outcome, Tally, equations};
use crate::Result;
use crate::activation::{Activation, Stored};
use crate::compare::{Comparison, UNIT_ROUNDOFF, compare};
use crate::device::Device;
use crate::graph::Function;
use crate::kernel::fused::{Fused, Pass, Source};
use crate::kernel::resident::{self, DEFAULT_WORKGROUP_MEMORY, Resident};
use crate::kernel::{Epilogue, Form, Kernel, Mixed, Whole};
use crate::loss::{Loss, Reduction};
use crate::network::{Bias, Network};
use crate::optimizer::Rule;
use crate::plan::Planner;
use crate::precision::Precision;
use crate::random::{Purpose, generator};
use crate::reference::{Bounded, Number};
use rand::RngExt;

/// What a network is made of besides its sizes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Functions {
    hidden: Activation,
    output: Activation,
    loss: Loss,
}

impl Functions {
    /// The activation of hidden layers, that of the output layer, and the loss.
    ///
    /// # Errors
    /// [`Error::Config`] where the loss is not defined for the output's activation.
    pub fn new(hidden: Activation, output: Activation, loss: Loss) -> Result<Self> {
        loss.check_output(output)?;
        Ok(Functions { hidden, output, loss })
    }

    /// Functions given as text that stand for all: a smooth one, some with kinks, one that cancels digits, a loss with a
    /// parameter, and one that is summed over the outputs.
    pub fn samples() -> Result<Vec<Functions>> {
        let [mish, bent, ripple] = [
            "mish = x * tanh(softplus(x))",
            "bent = select(x < 0, 0.1 * x, min(x, 1) + 0.2 * max(x - 1, 0)) + 0.1 * abs(x + 2)",
            // Near 0, where the numerator's digits cancel, its error is divided by little.
            "ripple = (1 - cos(x)) / (x^2 + 0.05)",
        ]
        .map(Activation::custom);
        let (mish, bent, ripple) = (mish?, bent?, ripple?);
        let huber = "huber = select(abs(y - t) < d, 0.5 * (y - t)^2, d * (abs(y - t) - 0.5 * d))";
        let huber = Loss::custom(huber, &[("d", 0.5)])?;
        let log_cosh = "e = y - t; log_cosh = e + softplus(-2 * e) - log(2)";
        let log_cosh = Loss::custom_over(Reduction::Samples, log_cosh, &[])?;
        Ok(vec![
            Functions::new(mish, Activation::Linear, huber)?,
            Functions::new(bent, mish, log_cosh)?,
            Functions::new(ripple, Activation::Sigmoid, Loss::SoftmaxCrossEntropy)?,
        ])
    }

    /// A network of three layers.
    pub fn network(&self, bias: Bias) -> Network {
        Network::new(5).dense(7, self.hidden).dense(6, self.hidden).dense(4, self.output).with_bias(bias)
    }

    /// The kernels that are compiled for these functions.
    pub fn kernels(&self) -> Vec<Kernel> {
        let Functions { hidden, output, loss } = *self;
        let output = loss.training_activation(output);
        let forward = |activation: Activation, bias, keep| Kernel::Matmul {
            form: Form::Nt,
            epilogue: Epilogue::Forward { activation, bias, keep },
        };
        let delta = |apart| Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Delta { activation: hidden, apart } };
        let keeps = |activation: Activation| activation.stored() == Stored::Preactivation;
        let mut all = vec![
            forward(hidden, Bias::PerUnit, keeps(hidden)),
            forward(hidden, Bias::Shared, false),
            forward(output, Bias::None, keeps(output)),
            delta(false),
            delta(true),
            Kernel::Loss { loss, activation: output },
        ];
        all.extend(all.clone().into_iter().map(Mixed::of).filter(|kernel| matches!(kernel, Kernel::Mixed(_))));
        let mut network = self.network(Bias::PerUnit);
        if let Some(last) = network.layers.last_mut() {
            last.activation = output;
        }
        let source = Source::Gathered;
        for pass in [Pass::Prediction, Pass::Training { loss, source }] {
            for precision in [Precision::F32, Precision::F16] {
                all.push(Kernel::Fused(Fused { network: network.clone(), pass, precision }.into()));
            }
        }
        // A tiny network has a text of its own, with every number in a register.
        let tiny = Network::new(2).dense(3, self.hidden).dense(2, self.output);
        for network in [self.network(Bias::PerUnit), tiny] {
            let whole = Whole { network, loss, rule: Rule::Momentum };
            let pass = resident::Pass::GatheredSteps;
            all.push(Kernel::Resident(Resident { whole, pass, memory: DEFAULT_WORKGROUP_MEMORY }.into()));
        }
        all
    }

    /// Checks the functions on `device`, with numbers drawn from `seed`; `take` gets each outcome.
    ///
    /// # Errors
    /// Where the device fails as such.
    pub fn run(&self, device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
        self.derivatives(seed).into_iter().for_each(&mut *take);
        if let Loss::Equation(equation) = self.loss {
            return equations::run_for(equation, [self.hidden, self.output], device, seed, take);
        }
        for (number, kernel) in self.kernels().into_iter().enumerate() {
            let mut tally = Tally::new("kernel", kernel.to_string());
            for variant in device.variants(&kernel) {
                if matches!(device, Device::Cpu) || is_checked(&kernel, number, variant) {
                    for dims in sizes(device, &kernel, variant) {
                        tally.add(check(device, &kernel, variant, dims, seed, &|_| {})?);
                    }
                }
            }
            if !tally.is_empty() {
                take(tally.finish());
            }
        }
        self.gradients(device, seed, take)
    }

    /// The derivatives of what is given as text; those of the registry are proven with the reference.
    fn derivatives(&self, seed: u64) -> Vec<Outcome> {
        let mut outcomes = Vec::new();
        let mut prove = |name: &str, expressions: [&Function; 2], draw: &mut dyn FnMut() -> Vec<f32>| {
            let mut tally = Tally::new("derivative", format!("central differences, {name}"));
            for _ in 0..POINTS {
                let compared = against_differences(name, expressions, &draw());
                tally.add(compared.map(|compared| compared.into_iter().collect()));
            }
            outcomes.push(tally.finish());
        };
        let mut rng = generator(seed, Purpose::Epoch(0));
        let Functions { hidden, output, loss } = *self;
        if let Some(expressions) = hidden.expressions() {
            prove(hidden.name(), expressions, &mut || vec![rng.random_range(-6.0..6.0)]);
        }
        if let Some(expressions) = output.expressions().filter(|_| output != hidden) {
            prove(output.name(), expressions, &mut || vec![rng.random_range(-6.0..6.0)]);
        }
        if let Some(expressions) = loss.expressions() {
            let mut draw = || vec![output.value(rng.random_range(-6.0..6.0)), rng.random_range(0.0..1.0)];
            prove(loss.name(), expressions, &mut draw);
        }
        outcomes
    }

    /// Every planner and precision.
    fn gradients(&self, device: &Device, seed: u64, take: &mut dyn FnMut(Outcome)) -> Result<()> {
        for precision in [Precision::F32, Precision::F16] {
            if precision == Precision::F16 && !device.has_half() {
                continue;
            }
            for &planner in Planner::ALL {
                let case = |bias| -> Result<Case> {
                    let case = Case::new(self.network(bias), self.loss, 9, seed)?;
                    Ok(Case { planner, precision, padding: 2, ..case })
                };
                if case(Bias::PerUnit)?.plan().is_err() {
                    continue;
                }
                let name = format!("{precision} {} {}: {planner}", self.hidden.name(), self.loss.name());
                let mut gradients = Tally::new("gradient", &*name);
                let mut repeated = Tally::new("determinism", name);
                // Each network is a text of its own, which some drivers compile for seconds.
                let biases = if planner == Planner::LayerWise { Bias::ALL } else { &Bias::ALL[..1] };
                for &bias in biases {
                    gradients.add(case(bias)?.check(device, &|_| {})?);
                }
                repeated.add(twice(&case(Bias::PerUnit)?, device)?);
                take(gradients.finish());
                take(repeated.finish());
            }
        }
        Ok(())
    }
}

/// Arguments that a derivative is compared at.
const POINTS: usize = 2000;

/// The step of difference quotients, about the fourth root of the f64 precision; what it is added to stays exact.
const STEP: f64 = 1.0 / 8192.0;

/// Compares `derivative` with Richardson's extrapolation of the difference quotients `D(h)` and `D(h/2)` of `value` with
/// respect to its first argument; nothing is compared where a kink lies within `h` of it.
///
/// Where f32 errs by at most `e`, f64 errs by `2⁻²⁹ e`: the quotients by that over `h` and over `h/2`, the extrapolation
/// `(4 D(h/2) − D(h)) / 3` by three times as much over `h`. Its truncation is less than that of `D(h/2)`, which is less than
/// `|D(h) − D(h/2)|`.
fn against_differences(
    name: &str,
    [value, derivative]: [&Function; 2],
    at: &[f32],
) -> Result<Option<Comparison>, String> {
    let moved = |by: f64| move |i: usize| f64::from(at[i]) + if i == 0 { by } else { 0.0 };
    let (here, steps) = (value.sides(moved(0.0)), [-STEP, STEP, -STEP / 2.0, STEP / 2.0]);
    if steps.iter().any(|&by| value.sides(moved(by)) != here) {
        return Ok(None);
    }
    let computed = |f: &Function, by: f64| f.compute(|i| Bounded::given(moved(by)(i)))[0];
    let [before, after, shortly_before, shortly_after] = steps.map(|by| computed(value, by));
    let (wide, narrow) =
        ((after.value - before.value) / (2.0 * STEP), (shortly_after.value - shortly_before.value) / STEP);
    let (at_it, found) = (computed(value, 0.0).value, computed(derivative, 0.0));
    if !at_it.is_finite() {
        return Err(format!("{name} at {at:?} is {at_it}; expected a function that is a number everywhere"));
    }
    let of_value = [before, after, shortly_before, shortly_after].map(|f| f.error).into_iter().fold(0.0, f64::max);
    let rounding = f64::EPSILON / (2.0 * UNIT_ROUNDOFF) * (3.0 * of_value / STEP + found.error);
    let bound = rounding + (wide - narrow).abs();
    compare(&format!("∂{name} at {at:?}"), &[found.value], &[(4.0 * narrow - wide) / 3.0], &[bound]).map(Some)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::compare::function_error;
    use crate::graph::Graph;

    fn function(text: &str) -> Function {
        let graph = Graph::new();
        let value = graph.parse(text, &["x"]).unwrap();
        graph.function(&["x"], &[value]).unwrap()
    }

    fn compared(value: &str, derivative: &str, at: f32) -> Result<Option<Comparison>, String> {
        against_differences(value, [&function(value), &function(derivative)], &[at])
    }

    #[test]
    fn a_wrong_derivative_is_caught() {
        for (value, right, wrong) in [
            ("x^3", "3 * x^2", "3.00001 * x^2"),
            ("tanh(x)", "1 - tanh(x)^2", "1 - tanh(x)"),
            ("select(x < 0, 0.1 * x, x)", "select(x < 0, 0.1, 1)", "select(x < 0, 1, 0.1)"),
            ("log(x)", "1 / x", "1 / abs(x)"),
        ] {
            for at in [-1.7, -0.3, 0.4, 2.5] {
                let right = compared(value, right, at);
                // log is not defined everywhere.
                assert_eq!(right.is_ok(), !(value == "log(x)" && at < 0.0), "{value} at {at}: {right:?}");
                assert!(value == "log(x)" && at > 0.0 || compared(value, wrong, at).is_err(), "{value} at {at}");
            }
        }
        // Within a step of a kink there is nothing to compare.
        assert_eq!(compared("abs(x)", "x", 1e-5), Ok(None));
        assert!(compared("abs(x)", "x", 1e-3).is_err());
    }

    /// An expression that cancels digits is beyond what is known of a registered function, not beyond its running bound.
    #[test]
    fn what_cancels_has_a_bound_of_its_own() {
        let ill = function("(1 - cos(x)) / (x^2 + 1e-4)");
        let mut beyond = 0;
        for i in 1..2000 {
            let x = i as f32 * 1e-4;
            let (found, exact) = (f64::from(ill.eval(&[x])[0]), ill.eval(&[f64::from(x)])[0]);
            let bound = ill.compute(|_| Bounded::given(x.into()))[0].error;
            assert!((found - exact).abs() <= bound, "at {x}: {found}, expected {exact} within {bound}");
            let fixed = function_error(|[x]| ill.eval(&[x])[0], [x.into()], [0.0]);
            beyond += usize::from((found - exact).abs() > fixed);
        }
        assert!(beyond > 100, "{beyond}");
    }

    #[test]
    fn samples_differ() {
        let samples = Functions::samples().unwrap();
        let names: std::collections::BTreeSet<_> =
            samples.iter().flat_map(|f| [f.hidden.name(), f.loss.name()]).collect();
        assert_eq!(names.len(), 6);
    }
}
