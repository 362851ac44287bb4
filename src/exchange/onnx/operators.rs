//! The operators that are read.

use super::schema::{AttributeProto, NodeProto};
use crate::error::did_you_mean;
use crate::graph::{Binary, Expr, Function, Graph, Id};
use crate::{Activation, Result};
use std::collections::HashMap;

/// Operators that are read besides [`FUNCTIONS`] and [`BINARY`].
const OTHERS: [&str; 15] = [
    "Gemm",
    "MatMul",
    "Softmax",
    "Scaler",
    "Constant",
    "Identity",
    "Dropout",
    "Cast",
    "Flatten",
    "Reshape",
    "Transpose",
    "Clip",
    "PRelu",
    "Where",
    "Not",
];

/// Functions of one number: [`function`].
const FUNCTIONS: [&str; 24] = [
    "Relu",
    "Sigmoid",
    "Tanh",
    "LeakyRelu",
    "Elu",
    "Softplus",
    "Gelu",
    "Sin",
    "Cos",
    "Exp",
    "Log",
    "Sqrt",
    "Abs",
    "Neg",
    "Erf",
    "Reciprocal",
    "Selu",
    "Celu",
    "HardSigmoid",
    "HardSwish",
    "Mish",
    "Softsign",
    "Swish",
    "ThresholdedRelu",
];

/// Functions of two numbers, and whether the operands change places.
const BINARY: [(&str, Binary, bool); 12] = [
    ("Add", Binary::Add, false),
    ("Sub", Binary::Subtract, false),
    ("Mul", Binary::Multiply, false),
    ("Div", Binary::Divide, false),
    ("Pow", Binary::Power, false),
    ("Min", Binary::Min, false),
    ("Max", Binary::Max, false),
    ("Less", Binary::Less, false),
    ("LessOrEqual", Binary::LessEqual, false),
    ("Greater", Binary::Less, true),
    ("GreaterOrEqual", Binary::LessEqual, true),
    ("Equal", Binary::Equal, false),
];

/// How exporters write functions for which they have no operator.
const SPELLINGS: [(&str, Activation); 12] = [
    ("1 / (1 + exp(-x))", Activation::Sigmoid),
    ("log(1 + exp(x))", Activation::Softplus),
    ("max(x, 0)", Activation::Relu),
    ("select(x < 0, 0.01 * x, x)", Activation::LeakyRelu),
    ("select(x >= 0, x, 0.01 * x)", Activation::LeakyRelu),
    ("x / (1 + exp(-x))", Activation::Silu),
    ("x * (1 + erf(x / sqrt(2))) * 0.5", Activation::Gelu),
    ("x * (0.5 * (1 + erf(x / sqrt(2))))", Activation::Gelu),
    ("x * (0.5 + 0.5 * erf(x / sqrt(2)))", Activation::Gelu),
    ("0.5 * x * (1 + erf(x * 0.70710678118654752))", Activation::Gelu),
    ("x * (1 + erf(x * 0.70710678118654752)) * 0.5", Activation::Gelu),
    ("x * (0.5 * (1 + erf(x * 0.70710678118654752)))", Activation::Gelu),
];

/// The node's operator, which is one of those that are read.
pub(super) fn find(node: &NodeProto) -> Result<&str, String> {
    let known = || OTHERS.iter().chain(&FUNCTIONS).copied().chain(BINARY.iter().map(|(name, ..)| *name));
    let operator = node.op_type.as_str();
    let domain = match operator {
        "Scaler" => node.domain == "ai.onnx.ml",
        _ => ["", "ai.onnx"].contains(&node.domain.as_str()),
    };
    match domain && known().any(|name| name == operator) {
        true => Ok(operator),
        false => {
            let mut names: Vec<_> = known().collect();
            names.sort_unstable();
            let place = if node.domain.is_empty() { String::new() } else { format!(" of {:?}", node.domain) };
            let hint = did_you_mean(operator, names.iter().copied());
            Err(format!("the operator {operator:?}{place} is not supported{hint}; supported are {}", names.join(", ")))
        }
    }
}

/// The function of two numbers of this name, and whether the operands change places.
pub(super) fn binary(operator: &str) -> Option<(Binary, bool)> {
    BINARY.iter().find(|(name, ..)| *name == operator).map(|&(_, op, exchanged)| (op, exchanged))
}

/// The function of one number that `operator` is, as text in `x`; its formulas are those of
/// <https://onnx.ai/onnx/operators/>.
pub(super) fn function(operator: &str, attributes: &Attributes<'_>) -> Result<Option<String>, String> {
    let number = |name: &str, usual: f64| attributes.optional_float(name).map_or(usual, decimal);
    let alpha = |usual: f64| number("alpha", usual);
    let text = match operator {
        "Relu" => "relu(x)".into(),
        "LeakyRelu" => format!("select(x > 0, x, ({}) * x)", alpha(0.01)),
        "Elu" => format!("select(x > 0, x, ({}) * (exp(x) - 1))", alpha(1.0)),
        "Gelu" => match attributes.text("approximate").unwrap_or(b"none") {
            b"none" => "0.5 * x * (1 + erf(x / sqrt(2)))".into(),
            b"tanh" => "0.5 * x * (1 + tanh(0.7978845608028654 * (x + 0.044715 * x^3)))".into(),
            other => {
                return Err(format!("approximates by {:?}; expected none or tanh", String::from_utf8_lossy(other)));
            }
        },
        "Sigmoid" | "Tanh" | "Softplus" | "Sin" | "Cos" | "Exp" | "Log" | "Sqrt" | "Abs" | "Erf" => {
            format!("{}(x)", operator.to_lowercase())
        }
        "Neg" => "-x".into(),
        "Reciprocal" => "1 / x".into(),
        "Selu" => {
            let (alpha, gamma) = (alpha(1.673_263_192_176_818_8), number("gamma", 1.050_701_022_148_132_3));
            format!("({gamma}) * select(x > 0, x, ({alpha}) * (exp(x) - 1))")
        }
        "Celu" => {
            let alpha = alpha(1.0);
            format!("max(x, 0) + min(0, ({alpha}) * (exp(x / ({alpha})) - 1))")
        }
        "HardSigmoid" => format!("max(0, min(1, ({}) * x + ({})))", alpha(0.2), number("beta", 0.5)),
        "HardSwish" => "x * max(0, min(1, x / 6 + 0.5))".into(),
        "Mish" => "x * tanh(softplus(x))".into(),
        "Softsign" => "x / (1 + abs(x))".into(),
        "Swish" => format!("x * sigmoid(({}) * x)", alpha(1.0)),
        "ThresholdedRelu" => format!("select(x > ({}), x, 0)", alpha(1.0)),
        _ => return Ok(None),
    };
    Ok(Some(text))
}

/// The function of `x` that `text` says.
pub(super) fn parsed(text: &str) -> Result<Function> {
    let graph = Graph::new();
    let value = graph.parse(text, &["x"])?;
    graph.function(&["x"], &[value])
}

/// `activation` of `x`, with the constants that a file of `f32` can hold.
pub(super) fn rounded<'g>(activation: Activation, x: Expr<'g>) -> Result<Expr<'g>> {
    call(&activation.function()?, x)
}

/// `function` of `x`, likewise.
pub(super) fn call<'g>(function: &Function, x: Expr<'g>) -> Result<Expr<'g>> {
    let function = function.with_constants(|constant| decimal(constant as f32));
    Ok(x.graph().call(&function, &[x])?.first().copied().unwrap_or(x))
}

/// The registered activations by their expressions of the variable `x`, in every way in which they are written.
pub(super) fn known(graph: &Graph) -> Result<HashMap<Id, Activation>> {
    let x = graph.variable("x");
    let mut known = HashMap::new();
    for (text, activation) in SPELLINGS {
        known.insert(call(&parsed(text)?, x)?.id(), activation);
    }
    for &activation in Activation::ALL {
        known.insert(rounded(activation, x)?.id(), activation);
    }
    Ok(known)
}

/// The number that the shortest digits of `x` say: 0.01 for the `f32` that is nearest to it.
pub(super) fn decimal(x: f32) -> f64 {
    x.to_string().parse().unwrap_or(x.into())
}

/// A node's attributes.
pub(super) struct Attributes<'a>(pub(super) &'a [AttributeProto]);

impl<'a> Attributes<'a> {
    fn find(&self, name: &str) -> Option<&'a AttributeProto> {
        self.0.iter().find(|attribute| attribute.name == name)
    }

    pub(super) fn optional_float(&self, name: &str) -> Option<f32> {
        self.find(name)?.f
    }

    pub(super) fn float(&self, name: &str, usual: f32) -> f32 {
        self.optional_float(name).unwrap_or(usual)
    }

    pub(super) fn floats(&self, name: &str) -> Option<Vec<f64>> {
        let found = self.find(name).filter(|attribute| !attribute.floats.is_empty());
        found.map(|attribute| attribute.floats.iter().map(|&x| x.into()).collect())
    }

    pub(super) fn int(&self, name: &str, usual: i64) -> i64 {
        self.find(name).and_then(|attribute| attribute.i).unwrap_or(usual)
    }

    fn text(&self, name: &str) -> Option<&'a [u8]> {
        self.find(name)?.s.as_deref()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_function_is_one() -> Result<()> {
        for name in FUNCTIONS {
            let text = function(name, &Attributes(&[])).map_err(crate::Error::Config)?;
            parsed(&text.unwrap_or_default())?;
        }
        Ok(())
    }

    /// Whatever the spelling, the values are those of the activation.
    #[test]
    fn spellings_are_the_activations() -> Result<()> {
        for (text, activation) in SPELLINGS {
            let f = parsed(text)?;
            for x in (-60..=60).map(|i| f64::from(i) * 0.125) {
                let (found, expected) = (f.eval(&[x])[0], activation.value(x));
                assert!((found - expected).abs() <= 1e-14 * (1.0 + expected.abs()), "{text} at {x}");
            }
        }
        Ok(())
    }
}
