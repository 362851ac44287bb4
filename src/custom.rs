//! What activations and losses share that are given as text: an expression with its derivative.

use crate::graph::{Expr, Function, Graph, one_line};
use crate::real::Real;
use crate::{Error, Result};
use std::collections::BTreeMap;
use std::fmt::{self, Debug, Formatter};
use std::hash::{Hash, Hasher};
use std::sync::{Mutex, PoisonError};

/// Characters of a text. What is much longer no shader compiler takes.
const LONGEST: usize = 4096;

/// What a text has to define.
pub(crate) struct Kind {
    /// For messages: `an activation`.
    pub(crate) what: &'static str,
    /// The variables; the derivative is that with respect to the first.
    pub(crate) inputs: &'static [&'static str],
    /// The WGSL functions of value and derivative, up to the brace.
    pub(crate) signatures: [&'static str; 2],
}

/// A function that was given as text. Equal texts have one definition, which stays for the life of the program, as a
/// literal does: so it is a plain value, and everything that holds one is.
#[derive(Clone, Copy)]
pub(crate) struct Custom(&'static Definition);

struct Definition {
    text: String,
    name: String,
    parameters: Vec<(String, f64)>,
    value: Function,
    derivative: Function,
    hook: String,
    wgsl: String,
}

/// A text without surplus space, with its parameters by their bits.
type Key = (String, Vec<(String, u64)>);

static KNOWN: Mutex<BTreeMap<Key, &'static Definition>> = Mutex::new(BTreeMap::new());

impl Custom {
    /// Reads `text`, an expression of the inputs of `kind` and of `parameters`.
    ///
    /// # Errors
    /// [`Error::Expression`] with the place; [`Error::Config`] for parameters that the text does not use or that are not
    /// finite, and for a text of more than 4096 characters.
    pub(crate) fn new(kind: &Kind, text: &str, parameters: &[(&str, f64)]) -> Result<Self> {
        let found = text.chars().count();
        if found > LONGEST {
            let what = kind.what;
            return Err(Error::Config(format!("{what} may have {LONGEST} characters at the most, found {found}")));
        }
        let mut parameters: Vec<_> = parameters.iter().map(|&(name, value)| (name.to_owned(), value)).collect();
        parameters.sort_by(|a, b| a.0.cmp(&b.0));
        let bits = parameters.iter().map(|(name, value)| (name.clone(), value.to_bits()));
        let key = (one_line(text), bits.collect());
        let mut known = KNOWN.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(definition) = known.get(&key) {
            return Ok(Custom(definition));
        }
        let definition = Definition::read(kind, text, key.0.clone(), parameters)?;
        Ok(Custom(known.entry(key).or_insert(Box::leak(Box::new(definition)))))
    }

    /// The text, on one line.
    pub(crate) fn text(self) -> &'static str {
        &self.0.text
    }

    /// What the text calls its result; the text itself where it does not.
    pub(crate) fn name(self) -> &'static str {
        &self.0.name
    }

    /// The parameters, by name.
    pub(crate) fn parameters(self) -> &'static [(String, f64)] {
        &self.0.parameters
    }

    /// The function.
    pub(crate) fn value(self) -> &'static Function {
        &self.0.value
    }

    /// Its derivative with respect to the first input.
    pub(crate) fn derivative(self) -> &'static Function {
        &self.0.derivative
    }

    /// A word that WGSL takes for the function, the same in every run.
    pub(crate) fn hook(self) -> &'static str {
        &self.0.hook
    }

    /// The WGSL of both functions.
    pub(crate) fn wgsl(self) -> &'static str {
        &self.0.wgsl
    }
}

impl Definition {
    fn read(kind: &Kind, text: &str, tidied: String, parameters: Vec<(String, f64)>) -> Result<Self> {
        for (i, (name, value)) in parameters.iter().enumerate() {
            let what = if kind.inputs.contains(&name.as_str()) || parameters[..i].iter().any(|(other, _)| other == name)
            {
                "has another meaning already; choose another name".to_owned()
            } else if !(*value as f32).is_finite() {
                format!("is {value}, no finite 32-bit number")
            } else {
                continue;
            };
            return Err(Error::Config(format!("the parameter {name:?} of {:?} {what}", tidied)));
        }
        let names: Vec<&str> = kind.inputs.iter().copied().chain(parameters.iter().map(|(name, _)| &**name)).collect();
        let written = Graph::new();
        let (name, value) = written.parse_named(text, &names)?;
        let refuse = |what: String| Error::Expression { text: tidied.clone(), column: 1, what };
        let general = written.function(&names, &[value]).map_err(|error| refuse(error.to_string()))?;
        if let Some(unused) = parameters.iter().find(|(name, _)| !general.uses(name)) {
            return Err(refuse(format!("the parameter {:?} is not used; leave it out", unused.0)));
        }
        let graph = Graph::new();
        let variables = kind.inputs.iter().map(|name| graph.variable(name));
        let inputs: Vec<Expr<'_>> =
            variables.chain(parameters.iter().map(|(_, value)| graph.constant(*value))).collect();
        let cut = |output| graph.function(kind.inputs, &[output]);
        let value = graph.call(&general, &inputs)?[0];
        let derivative = cut(value.backward().of(inputs[0]))
            .map_err(|error| refuse(format!("its derivative cannot be computed: {error}")))?;
        let value = cut(value).map_err(|error| refuse(error.to_string()))?;
        if !value.uses(kind.inputs[0]) {
            let (what, input) = (kind.what, kind.inputs[0]);
            return Err(refuse(format!("{what} is a function of {input}, but this does not depend on {input}")));
        }
        let functions = [&value, &derivative].into_iter().zip(kind.signatures);
        let wgsl = functions.map(|(function, signature)| function.wgsl_as(signature)).collect();
        let hook = format!("custom_{}", crate::tune::hash(std::iter::once(tidied.clone())));
        let name = name.unwrap_or_else(|| tidied.clone());
        Ok(Definition { text: tidied, name, parameters, value, derivative, hook, wgsl })
    }
}

/// Whether a word that is no name of a registry is meant as an expression: names have letters, digits, `_` and `-`.
pub(crate) fn is_expression(text: &str) -> bool {
    text.contains(|c: char| !c.is_alphanumeric() && !matches!(c, '_' | '-' | ' '))
}

/// `f(inputs)`
#[inline(never)]
pub(crate) fn scalar<T: Real>(function: &Function, inputs: &[T]) -> T {
    function.eval(inputs)[0]
}

impl PartialEq for Custom {
    fn eq(&self, other: &Self) -> bool {
        std::ptr::eq(self.0, other.0)
    }
}

impl Eq for Custom {}

impl Hash for Custom {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.text().hash(state);
    }
}

impl Debug for Custom {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{:?} {:?}", self.text(), self.parameters())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use crate::{Activation, Error, Loss, loss::Reduction};
    use std::collections::HashSet;

    #[test]
    fn equal_texts_are_one_function() {
        let mish = Activation::custom("mish = x * tanh(softplus(x))").unwrap();
        assert_eq!(Activation::custom("  mish =\tx * tanh(softplus(x))\u{2028}\n").unwrap(), mish);
        assert_ne!(Activation::custom("mash = x * tanh(softplus(x))").unwrap(), mish);
        assert_eq!(mish.to_string().parse::<Activation>().unwrap(), mish);
        assert_eq!("x * sigmoid(x)".parse::<Activation>().unwrap().name(), "x * sigmoid(x)");

        let text = "a * abs(y - t) + b * (y - t)^2";
        let loss = Loss::custom(text, &[("a", 1.0), ("b", 2.0)]).unwrap();
        assert_eq!(Loss::custom(text, &[("b", 2.0), ("a", 1.0)]).unwrap(), loss);
        let others = [
            Loss::custom(text, &[("a", 1.0), ("b", 2.5)]).unwrap(),
            Loss::custom_over(Reduction::Samples, text, &[("a", 1.0), ("b", 2.0)]).unwrap(),
        ];
        assert_eq!(others.into_iter().chain([loss]).collect::<HashSet<_>>().len(), 3);
        assert_eq!(loss.to_string(), format!("{text}, a = 1, b = 2"));
    }

    #[test]
    fn lines_are_definitions() {
        let f = Activation::custom("\n s = sigmoid(x)\n\n\n swish = x * s \r\n").unwrap();
        assert_eq!((f.to_string().as_str(), f.name()), ("s = sigmoid(x); swish = x * s", "swish"));
        assert_eq!((f.value(3.0), f.derivative(0.0)), (Activation::Silu.value(3.0), 0.5));
    }

    #[test]
    fn what_is_no_activation_is_refused() {
        let cases = [
            ("f = 3 + 1", 1, "an activation is a function of x, but this does not depend on x"),
            ("f = x * yy", 9, "unknown name \"yy\"; known: x"),
            ("f = tahn(x)", 5, "unknown function \"tahn\" (did you mean \"tanh\"?)"),
            ("x + 1e39", 5, "1e39 is not a finite 32-bit number"),
            ("3e38 * (2 * x)", 1, "its derivative cannot be computed: the constant 6e38 is not a finite 32-bit number"),
            ("log(x)", 1, "the value at x = 0 is -inf"),
            ("sqrt(x)", 1, "the derivative at x = 0 is inf"),
        ];
        for (text, at, words) in cases {
            match Activation::custom(text) {
                Err(Error::Expression { column, what, .. }) if column == at && what.starts_with(words) => {}
                other => unreachable!("{text}: {other:?}"),
            }
        }
        let long = Activation::custom(&format!("x{}", " + x".repeat(2000))).unwrap_err().to_string();
        assert!(long.contains("4096 characters at the most, found 8001"), "{long}");
        let unknown = "mish".parse::<Activation>().unwrap_err().to_string();
        assert!(unknown.starts_with("unknown activation \"mish\"") && unknown.contains("an expression"), "{unknown}");
    }

    #[test]
    fn what_is_no_loss_is_refused() {
        let refusal = |text: &str, parameters: &[(&str, f64)]| match Loss::custom(text, parameters) {
            Ok(loss) => format!("{loss} was taken"),
            Err(error) => error.to_string(),
        };
        for (text, parameters, words) in [
            ("t^2", &[][..], "a loss is a function of y, but this does not depend on y"),
            ("(y - x)^2", &[], "unknown name \"x\"; known: y, t"),
            ("(y - t)^2", &[("d", 1.0)], "the parameter \"d\" is not used; leave it out"),
            ("d * (y - t)^2", &[("d", f64::NAN)], "the parameter \"d\" of \"d * (y - t)^2\" is NaN"),
            ("d * (y - t)^2", &[("d", 1.0), ("d", 2.0)], "has another meaning already"),
            ("(y - t)^2", &[("y", 1.0)], "has another meaning already"),
            ("(y - t)^2 / d", &[("d", 0.0)], "gives no finite number"),
            ("exp(100 * d) * y", &[("d", 1.0)], "is not a finite 32-bit number"),
        ] {
            let found = refusal(text, parameters);
            assert!(found.contains(words), "{text}: {found}");
        }
    }
}
