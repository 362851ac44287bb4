//! Losses that contain derivatives of the network's output with respect to its inputs: residuals of differential
//! equations, the eikonal term of a distance field.

use crate::graph::{Function, Graph, identifiers};
use crate::jet::{Components, Derivative};
use crate::network::Network;
use crate::plan::check_smooth;
use crate::{Error, Result};
use std::collections::{BTreeSet, HashMap};
use std::sync::{LazyLock, Mutex, PoisonError};

/// An equation as text, with the names in it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash)]
pub struct EquationText {
    /// The loss of a sample, as [`Graph::parse`] reads it: `(u_tt + sin(u))^2`.
    pub equation: String,
    /// What the network's inputs are called, in order: `["t"]`.
    pub inputs: Vec<String>,
    /// What its outputs are called, in order: `["u"]`.
    pub outputs: Vec<String>,
    /// What the columns of the targets are called, in order: numbers that each sample brings along.
    pub data: Vec<String>,
}

/// The loss of a sample as an expression of the network's inputs and outputs, of derivatives of those by these, and of
/// numbers that the sample brings along in place of a target.
///
/// A derivative is written as the output's name, `_`, and the names of the inputs: with the inputs `x, y` and the output
/// `u`, `u_xx + u_yy` is the Laplacian. The expression is averaged over the samples. Derivatives may be of any order;
/// each one makes the batch longer by the rows of its component of the [jet](crate::jet).
///
/// Definitions are kept for the life of the program, equal ones once, like the text of a program.
#[derive(Clone, Copy)]
pub struct Equation(&'static Definition);

#[derive(Debug)]
struct Definition {
    text: EquationText,
    components: Components,
    function: Function,
}

static DEFINITIONS: LazyLock<Mutex<HashMap<EquationText, Equation>>> = LazyLock::new(Mutex::default);

impl Equation {
    /// The equation of a text.
    ///
    /// # Errors
    /// [`Error::Expression`] with the place of what cannot be understood; [`Error::Config`] where names clash, a
    /// derivative can be read in two ways, or the loss does not depend on an output.
    pub fn new(text: EquationText) -> Result<Self> {
        let mut definitions = DEFINITIONS.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(known) = definitions.get(&text) {
            return Ok(*known);
        }
        let equation = Equation(Box::leak(Box::new(Definition::new(text.clone())?)));
        definitions.insert(text, equation);
        Ok(equation)
    }

    /// The text with its names.
    pub fn text(self) -> &'static EquationText {
        &self.0.text
    }

    /// The derivatives that it needs.
    pub fn components(self) -> &'static Components {
        &self.0.components
    }

    /// From the inputs, the data and the jet of the outputs, component by component, to the loss, its derivatives by the
    /// jet, and those by the inputs where they stand in the expression themselves.
    pub(crate) fn function(self) -> &'static Function {
        &self.0.function
    }

    /// Checks that the names are as many as the network has inputs and outputs, and that it can be differentiated.
    pub fn check(self, network: &Network) -> Result<()> {
        network.check_plain("a loss with derivatives of the output")?;
        let text = self.text();
        for (what, names, found) in
            [("inputs", &text.inputs, network.inputs), ("outputs", &text.outputs, network.outputs())]
        {
            if names.len() != found {
                return Err(Error::Config(format!(
                    "the equation names {} {what} ({}), but the network {network} has {found}",
                    names.len(),
                    names.join(", ")
                )));
            }
        }
        check_smooth(network, self.components())
    }
}

impl Definition {
    fn new(text: EquationText) -> Result<Self> {
        let EquationText { equation, inputs, outputs, data } = &text;
        let mut names = BTreeSet::new();
        for name in inputs.iter().chain(outputs).chain(data) {
            let whole = identifiers(name).is_ok_and(|all| all.len() == 1 && all[0].len() == name.len());
            if !whole || !names.insert(name) {
                let why = if whole { "stands for two things" } else { "is no name" };
                return Err(Error::Config(format!("{name:?} {why}; the names of an equation are words, each once")));
            }
        }
        // A mixed derivative may be written in any order: `u_tx` is `u_xt`.
        let mut spelled = Vec::new();
        for name in identifiers(equation)?.into_iter().filter(|name| !names.contains(name)) {
            let mut readings = derivatives(&name, inputs, outputs);
            if readings.len() > 1 {
                return Err(Error::Config(format!("{name:?} can be read as two derivatives; rename the inputs")));
            }
            spelled.extend(readings.pop().map(|reading| (name, reading)));
        }
        let components = Components::closure(spelled.iter().map(|(_, (_, derivative))| derivative.clone()));
        let graph = Graph::new();
        let jet: Vec<String> = components.iter().flat_map(|d| outputs.iter().map(|o| written(o, d, inputs))).collect();
        let all: Vec<&str> = inputs.iter().chain(data).chain(&jet).map(String::as_str).collect();
        let plain = inputs.iter().chain(data).chain(outputs).map(|name| (name.clone(), name.clone()));
        let canonical = spelled.iter().map(|(name, (output, d))| (name.clone(), written(output, d, inputs)));
        let (known, canonical): (Vec<String>, Vec<String>) = plain.chain(canonical).unzip();
        let known: Vec<&str> = known.iter().map(String::as_str).collect();
        let as_written = Graph::new();
        let as_written = as_written.function(&known, &[as_written.parse(equation, &known)?])?;
        let arguments: Vec<_> = canonical.iter().map(|name| graph.variable(name)).collect();
        let loss = graph.call(&as_written, &arguments)?[0];
        let gradients = loss.backward();
        let by = |names: &[String]| names.iter().map(|name| gradients.of(graph.variable(name))).collect::<Vec<_>>();
        let outputs_wanted = [vec![loss], by(&jet), by(inputs)].concat();
        let function = graph.function(&all, &outputs_wanted)?;
        if !jet.iter().any(|name| function.uses(name)) {
            return Err(Error::Config(format!(
                "the equation {equation:?} uses no output of the network; expected {} or a derivative such as {}",
                outputs.join(", "),
                written(outputs.first().map_or("u", String::as_str), &[0], inputs)
            )));
        }
        Ok(Definition { components, function, text })
    }
}

/// `u_xx` for the output `u` and the derivative `[0, 0]`.
fn written(output: &str, derivative: &[usize], inputs: &[String]) -> String {
    let inputs: String = derivative.iter().filter_map(|&i| inputs.get(i)).map(String::as_str).collect();
    if derivative.is_empty() { output.to_owned() } else { format!("{output}_{inputs}") }
}

/// Every derivative that a name may stand for, with its output.
fn derivatives(name: &str, inputs: &[String], outputs: &[String]) -> Vec<(String, Derivative)> {
    let behind = |output: &String| Some((output.clone(), name.strip_prefix(output.as_str())?.strip_prefix('_')?));
    let mut found = Vec::new();
    let behind = outputs.iter().filter_map(behind);
    let mut waiting: Vec<_> = behind.map(|(output, rest)| (output, rest, Derivative::new())).collect();
    while let Some((output, rest, derivative)) = waiting.pop() {
        if rest.is_empty() {
            let mut sorted = derivative;
            sorted.sort_unstable();
            let reading = (output, sorted);
            if !reading.1.is_empty() && !found.contains(&reading) {
                found.push(reading);
            }
            continue;
        }
        for (i, input) in inputs.iter().enumerate().filter(|(_, input)| !input.is_empty()) {
            if let Some(rest) = rest.strip_prefix(input.as_str()) {
                waiting.push((output.clone(), rest, [derivative.clone(), vec![i]].concat()));
            }
        }
    }
    found
}

impl PartialEq for Equation {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Equation {}

impl std::hash::Hash for Equation {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.text.hash(state);
    }
}

impl std::fmt::Debug for Equation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.0.text.fmt(f)
    }
}

impl std::fmt::Display for Equation {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(&self.0.text.equation)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn equation(equation: &str, inputs: &[&str], outputs: &[&str], data: &[&str]) -> Result<Equation> {
        let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        Equation::new(EquationText {
            equation: equation.to_owned(),
            inputs: owned(inputs),
            outputs: owned(outputs),
            data: owned(data),
        })
    }

    #[test]
    fn names_say_which_derivatives_are_needed() -> Result<()> {
        let wave = equation("(u_tt - c * u_xx)^2 + w * u^2", &["x", "t"], &["u"], &["c", "w"])?;
        let expected: [&[usize]; 5] = [&[], &[0], &[1], &[0, 0], &[1, 1]];
        assert!(wave.components().iter().map(Vec::as_slice).eq(expected));
        assert_eq!(wave, equation("(u_tt - c * u_xx)^2 + w * u^2", &["x", "t"], &["u"], &["c", "w"])?);
        // x, t, c, w, then u, u_x, u_t, u_xx, u_tt: (7 - 2 · 3)² + 10 · 16
        let values = wave.function().eval(&[0.0, 0.0, 2.0, 10.0, 4.0, 0.0, 0.0, 3.0, 7.0]);
        assert_eq!(values, [161.0, 80.0, 0.0, 0.0, -4.0, 2.0, 0.0, 0.0]);
        let mixed = equation("u_yx + u_xy + 2 * u", &["x", "y"], &["u"], &[])?;
        // x, y, then u, u_x, u_y, u_xy: both spellings are one derivative.
        assert_eq!(mixed.function().eval(&[0.0, 0.0, 5.0, 0.0, 0.0, 3.0])[..5], [16.0, 2.0, 0.0, 0.0, 2.0]);
        assert_eq!(equation("u_longlat^2", &["long", "lat"], &["u"], &[])?.components().len(), 4);
        Ok(())
    }

    #[test]
    fn what_is_wrong_is_said() {
        let refused = |text, inputs: &[&str], outputs: &[&str], data: &[&str]| {
            equation(text, inputs, outputs, data).map(|_| ()).expect_err("refused").to_string()
        };
        assert!(refused("u_z + x", &["x"], &["u"], &[]).contains("unknown name \"u_z\""));
        assert!(
            refused("x^2", &["x"], &["u"], &[])
                .contains("uses no output of the network; expected u or a derivative such as u_x")
        );
        assert!(refused("u", &["u"], &["u"], &[]).contains("\"u\" stands for two things"));
        assert!(refused("u", &["x y"], &["u"], &[]).contains("\"x y\" is no name"));
        assert!(refused("u_xxy", &["x", "xx", "y"], &["u"], &[]).contains("two derivatives"));
        let relu = Network::new(1).dense(3, crate::Activation::Relu).dense(1, crate::Activation::Linear);
        let eikonal = |text| equation(text, &["x"], &["u"], &[]).expect("an equation");
        let error = eikonal("(u_x - 1)^2").check(&relu).expect_err("relu is not smooth").to_string();
        assert!(error.contains("layer 0 has relu"), "{error}");
        assert!(eikonal("(u - 1)^2").check(&relu).is_ok(), "without derivatives any activation will do");
        let wide = Network::new(2).dense(1, crate::Activation::Tanh);
        assert!(eikonal("u_x").check(&wide).is_err_and(|error| error.to_string().contains("names 1 inputs (x), but")));
    }
}
