//! A model as a graph of ONNX operators.

use super::schema::*;
use super::{DESCRIPTION, VERSIONS, VERSIONS_WITH_LAYER_NORMALIZATION};
use crate::checkpoint::refused;
use crate::graph::{Binary, Function, Id, Node, Unary};
use crate::metrics::Probabilities;
use crate::network::Normalization;
use crate::params::Role;
use crate::{Activation, Model, Result};
use prost::Message;
use std::collections::HashMap;
use std::path::Path;

/// The name of the graph's input, `[batch, inputs]`.
const INPUT: &str = "inputs";

/// The model as the bytes of an ONNX file: [`export`](super::export).
pub(super) fn encode(model: &Model, path: &Path) -> Result<Vec<u8>> {
    let refuse = |what: String| refused(path, format!("not written: {what}"));
    let description = model.describe().map_err(refuse)?;
    let mut graph = Builder::default();
    let mut at = INPUT.to_owned();
    if let Some(scaling) = model.scaling.as_ref().filter(|scaling| !scaling.is_identity()) {
        let shift = graph.vector("scaling.shift", &scaling.shift);
        let scale = graph.vector("scaling.scale", &scaling.scale);
        at = graph.node("Sub", &[&at, &shift], "scaling.shifted", Vec::new());
        at = graph.node("Mul", &[&at, &scale], "scaling.scaled", Vec::new());
    }
    let params = model.params();
    for (i, layer) in model.network.layers.iter().enumerate() {
        let below = at.clone();
        let mut inputs = vec![at];
        for tensor in [Role::Weight, Role::Bias].iter().filter_map(|&role| params.get(i, role)) {
            inputs.push(graph.tensor(&tensor.name, &tensor.shape(), &model.values[tensor.range()]));
        }
        let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
        let transposed = integer("transB", 1);
        at = graph.node("Gemm", &inputs, &format!("layers.{i}.sum"), vec![transposed]);
        if layer.normalization != Normalization::None {
            let roles = [Role::Scale, Role::Shift, Role::RunningMean, Role::RunningVariance];
            let mut inputs = vec![at];
            for tensor in roles.iter().filter_map(|&role| params.get(i, role)) {
                inputs.push(graph.vector(&tensor.name, &model.values[tensor.range()]));
            }
            let inputs: Vec<_> = inputs.iter().map(String::as_str).collect();
            let operator = match layer.normalization {
                Normalization::Batch => "BatchNormalization",
                Normalization::Layer | Normalization::None => "LayerNormalization",
            };
            let epsilon = float("epsilon", Normalization::EPSILON);
            at = graph.node(operator, &inputs, &format!("layers.{i}.normalized"), vec![epsilon]);
        }
        at = graph.activation(layer.activation, &at, i)?;
        if layer.residual {
            at = graph.node("Add", &[&below, &at], &format!("layers.{i}.joined"), Vec::new());
        }
    }
    let name = match model.probabilities() {
        Probabilities::Softmax => {
            at = graph.node("Softmax", &[&at], "probabilities", vec![integer("axis", -1)]);
            "probabilities"
        }
        Probabilities::Sigmoid => {
            at = graph.node("Sigmoid", &[&at], "probabilities", Vec::new());
            "probabilities"
        }
        Probabilities::AsTheyAre => "probabilities",
        Probabilities::None => "outputs",
    };
    graph.rename(&at, name);
    let metadata = |key: &str, value: String| StringStringEntryProto { key: key.to_owned(), value };
    let classes = match &model.task {
        Some(crate::data::Task::Classification { classes, .. }) => classes.as_slice(),
        _ => &[],
    };
    let list = |names: &[String]| serde_json::Value::from(names.to_vec()).to_string();
    let lists = [("features", model.features.as_slice()), ("classes", classes)];
    let lists = lists.into_iter().filter(|(_, names)| !names.is_empty()).map(|(key, names)| metadata(key, list(names)));
    let normalizes_layers = model.network.layers.iter().any(|layer| layer.normalization == Normalization::Layer);
    let [ir_version, version] = if normalizes_layers { VERSIONS_WITH_LAYER_NORMALIZATION } else { VERSIONS };
    let model = ModelProto {
        ir_version,
        producer_name: "wgrad".into(),
        producer_version: env!("CARGO_PKG_VERSION").into(),
        opset_import: vec![OperatorSetIdProto { domain: String::new(), version }],
        metadata_props: std::iter::once(metadata(DESCRIPTION, description)).chain(lists).collect(),
        graph: Some(GraphProto {
            node: graph.nodes,
            name: "network".into(),
            initializer: graph.initializers,
            input: vec![matrix(INPUT, model.network.inputs)],
            output: vec![matrix(name, model.network.outputs())],
        }),
    };
    // Protocol buffers count in 31 bits.
    match model.encoded_len() <= i32::MAX as usize {
        true => Ok(model.encode_to_vec()),
        false => Err(refuse("ONNX files have 2 GB at the most; export .safetensors instead".into())),
    }
}

/// The type `float [batch, cols]`.
fn matrix(name: &str, cols: usize) -> ValueInfoProto {
    let batch = DimensionProto { dim_param: Some("batch".into()), dim_value: None };
    let cols = DimensionProto { dim_value: Some(cols as i64), dim_param: None };
    let shape = Some(TensorShapeProto { dim: vec![batch, cols] });
    let tensor_type = Some(TensorTypeProto { elem_type: data_type::FLOAT, shape });
    ValueInfoProto { name: name.to_owned(), r#type: Some(TypeProto { tensor_type }) }
}

fn integer(name: &str, value: i64) -> AttributeProto {
    AttributeProto { name: name.to_owned(), i: Some(value), kind: INT_ATTRIBUTE, ..Default::default() }
}

fn float(name: &str, value: f32) -> AttributeProto {
    AttributeProto { name: name.to_owned(), f: Some(value), kind: FLOAT_ATTRIBUTE, ..Default::default() }
}

/// A graph that grows by one operator at a time. Each puts out one value, which bears the operator's name.
#[derive(Default)]
struct Builder {
    nodes: Vec<NodeProto>,
    initializers: Vec<TensorProto>,
    /// The names of scalars by their bits.
    scalars: HashMap<u32, String>,
}

impl Builder {
    fn node(&mut self, operator: &str, inputs: &[&str], name: &str, attribute: Vec<AttributeProto>) -> String {
        self.nodes.push(NodeProto {
            input: inputs.iter().map(|&input| input.to_owned()).collect(),
            output: vec![name.to_owned()],
            name: name.to_owned(),
            op_type: operator.to_owned(),
            attribute,
            domain: String::new(),
        });
        name.to_owned()
    }

    fn tensor(&mut self, name: &str, shape: &[usize], values: &[f32]) -> String {
        self.initializers.push(TensorProto {
            dims: shape.iter().map(|&n| n as i64).collect(),
            data_type: data_type::FLOAT,
            name: name.to_owned(),
            raw_data: Some(values.iter().flat_map(|value| value.to_le_bytes()).collect()),
            ..Default::default()
        });
        name.to_owned()
    }

    fn vector(&mut self, name: &str, values: &[f32]) -> String {
        self.tensor(name, &[values.len()], values)
    }

    fn scalar(&mut self, value: f64) -> String {
        let value = value as f32;
        if let Some(name) = self.scalars.get(&value.to_bits()) {
            return name.clone();
        }
        let name = self.tensor(&format!("constants.{value:?}"), &[], &[value]);
        self.scalars.insert(value.to_bits(), name.clone());
        name
    }

    fn activation(&mut self, activation: Activation, x: &str, layer: usize) -> Result<String> {
        let word = if matches!(activation, Activation::Custom(_)) { "activation" } else { activation.name() };
        let name = format!("layers.{layer}.{word}");
        let (operator, attributes) = match activation {
            Activation::Linear => return Ok(x.to_owned()),
            Activation::Sigmoid => ("Sigmoid", Vec::new()),
            Activation::Tanh => ("Tanh", Vec::new()),
            Activation::Relu => ("Relu", Vec::new()),
            Activation::LeakyRelu => ("LeakyRelu", vec![float("alpha", 0.01)]),
            Activation::Softplus => ("Softplus", Vec::new()),
            Activation::Elu => ("Elu", vec![float("alpha", 1.0)]),
            Activation::Sine => ("Sin", Vec::new()),
            Activation::Silu | Activation::Gelu | Activation::Custom(_) => {
                return Ok(self.function(&activation.function()?, x, &name));
            }
        };
        Ok(self.node(operator, &[x], &name, attributes))
    }

    /// The first output of a function of one variable.
    fn function(&mut self, function: &Function, x: &str, name: &str) -> String {
        let mut names: Vec<String> = Vec::with_capacity(function.nodes().len());
        for (place, &node) in function.nodes().iter().enumerate() {
            let here = format!("{name}.{place}");
            let operands: Vec<String> = node.operands().map(|id: Id| names[id.index()].clone()).collect();
            let mut operands: Vec<&str> = operands.iter().map(String::as_str).collect();
            let exponent;
            let operator = match node {
                Node::Variable(_) => {
                    names.push(x.to_owned());
                    continue;
                }
                Node::Constant(bits) => {
                    names.push(self.scalar(f64::from_bits(bits)));
                    continue;
                }
                Node::Unary(Unary::Power(n), _) => {
                    exponent = self.scalar(n.into());
                    operands.push(&exponent);
                    "Pow"
                }
                Node::Unary(op, _) => unary(op),
                Node::Binary(Binary::NotEqual, ..) => {
                    let equal = self.node("Equal", &operands, &format!("{here}.equal"), Vec::new());
                    names.push(self.node("Not", &[&equal], &here, Vec::new()));
                    continue;
                }
                Node::Binary(op, ..) => binary(op),
                Node::Select(..) => "Where",
            };
            names.push(self.node(operator, &operands, &here, Vec::new()));
        }
        function.outputs().first().map_or_else(|| x.to_owned(), |id| names[id.index()].clone())
    }

    /// Makes `name` of the value that comes last; where that is no operator's, by one that changes nothing.
    fn rename(&mut self, last: &str, name: &str) {
        match self.nodes.last_mut().filter(|node| node.output[0] == last) {
            Some(node) => name.clone_into(&mut node.output[0]),
            None => {
                self.node("Identity", &[last], name, Vec::new());
            }
        }
    }
}

fn unary(op: Unary) -> &'static str {
    match op {
        Unary::Negate => "Neg",
        Unary::Power(_) => "Pow",
        Unary::Exp => "Exp",
        Unary::Log => "Log",
        Unary::Sqrt => "Sqrt",
        Unary::Abs => "Abs",
        Unary::Sin => "Sin",
        Unary::Cos => "Cos",
        Unary::Tanh => "Tanh",
        Unary::Sigmoid => "Sigmoid",
        Unary::Softplus => "Softplus",
        Unary::Relu => "Relu",
        Unary::Erf => "Erf",
    }
}

fn binary(op: Binary) -> &'static str {
    match op {
        Binary::Add => "Add",
        Binary::Subtract => "Sub",
        Binary::Multiply => "Mul",
        Binary::Divide => "Div",
        Binary::Power => "Pow",
        Binary::Min => "Min",
        Binary::Max => "Max",
        Binary::Less => "Less",
        Binary::LessEqual => "LessOrEqual",
        Binary::Equal => "Equal",
        Binary::NotEqual => "Not",
    }
}
