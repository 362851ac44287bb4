//! A graph of ONNX operators as a network. The nodes that lead to the output are walked in order, and each value is known as
//! what it is of the network: the scaled input, a layer's sum, or a function of that sum.

use super::constant::Constant;
use super::schema::*;
use super::{DESCRIPTION, operators};
use crate::checkpoint::refused;
use crate::data::{Scaling, ScalingKind, Task};
use crate::error::did_you_mean;
use crate::graph::{Binary, Condition, Expr, Graph, Id};
use crate::metrics::Probabilities;
use crate::params::Role;
use crate::{Activation, Bias, Layer, Loss, Model, Network, Result};
use std::collections::{HashMap, HashSet};
use std::path::Path;
use std::rc::Rc;

/// The model in the graph of `file`, which was read from `path`.
pub(super) fn decode(file: &ModelProto, path: &Path) -> Result<Model> {
    let refuse = |what: String| refused(path, what);
    let Some(graph) = &file.graph else {
        return Err(refuse(
            "expected an ONNX model, found no graph in it: this is another file, or a damaged one".into(),
        ));
    };
    let expressions = Graph::new();
    let mut walk = Walk::new(graph, &expressions, path).map_err(refuse)?;
    let output = output(graph).map_err(refuse)?;
    for node in needed(graph, output).map_err(refuse)? {
        let value = walk.node(node).map_err(|what| refuse(format!("the node {}: {what}", call(node))))?;
        let name = node.output.first().ok_or_else(|| refuse(format!("the node {} has no output", call(node))))?;
        walk.values.insert(name, value);
    }
    let output = walk.value(output).map_err(refuse)?;
    let softmax = matches!(output, Value::Softmax { .. });
    walk.finish(output).map_err(refuse)?;
    let description = file.metadata_props.iter().find(|entry| entry.key == DESCRIPTION);
    let described = description.and_then(|entry| Model::described(&entry.value).ok());
    walk.model(softmax, described).map_err(refuse)
}

/// The first output of floating-point numbers: classifiers may put out a label too.
fn output(graph: &GraphProto) -> Result<&str, String> {
    let numbers = |value: &&ValueInfoProto| {
        let kind = value.r#type.as_ref().and_then(|kind| kind.tensor_type.as_ref()).map(|kind| kind.elem_type);
        kind.is_none_or(|kind| [0, data_type::FLOAT, data_type::FLOAT16, data_type::DOUBLE].contains(&kind))
    };
    let found = graph.output.iter().find(numbers);
    found.map(|value| value.name.as_str()).ok_or_else(|| "the graph puts out no floating-point numbers".into())
}

/// The nodes that `output` is computed from, in the order of the file.
fn needed<'a>(graph: &'a GraphProto, output: &'a str) -> Result<Vec<&'a NodeProto>, String> {
    let mut makers = HashMap::new();
    for (place, node) in graph.node.iter().enumerate() {
        for name in node.output.iter().filter(|name| !name.is_empty()) {
            if makers.insert(name.as_str(), place).is_some() {
                return Err(format!("two nodes make the value {name:?}"));
            }
        }
    }
    let mut needed = HashSet::new();
    let mut open = vec![output];
    while let Some(name) = open.pop() {
        if let Some(&place) = makers.get(name)
            && needed.insert(place)
        {
            open.extend(graph.node[place].input.iter().map(String::as_str));
        }
    }
    Ok(graph.node.iter().enumerate().filter(|(place, _)| needed.contains(place)).map(|(_, node)| node).collect())
}

/// A node for messages.
fn call(node: &NodeProto) -> String {
    let name = if node.name.is_empty() { node.output.first() } else { Some(&node.name) };
    format!("{:?} (operator {})", name.map_or("", String::as_str), node.op_type)
}

/// What a value is.
#[derive(Clone)]
enum Value<'g> {
    /// `(x - shift) * scale` of the network's input `x`; one number for all columns, or one for each.
    Input { shift: Vec<f64>, scale: Vec<f64> },
    /// Numbers that are in the file.
    Constant(Rc<Constant>),
    /// `W x` of a layer, to which a bias may be added.
    Product { layer: usize },
    /// A function of a layer's sum `W x + b`.
    Units { layer: usize, value: Expr<'g> },
    /// A comparison of two functions of a layer's sum, or the contrary.
    Condition { layer: usize, op: Binary, operands: [Expr<'g>; 2], holds: bool },
    /// The softmax of a layer's sum.
    Softmax { layer: usize, value: Expr<'g> },
}

/// A layer whose activation becomes known when the next one takes it.
struct Dense<'g> {
    inputs: usize,
    outputs: usize,
    weight: Vec<f32>,
    /// `None` until it is known whether there is one.
    bias: Option<Vec<f32>>,
    activation: Option<Expr<'g>>,
}

/// How often a weight may be shared by layers, on average: each has a copy of its own.
const SHARED: usize = 16;

struct Walk<'a, 'g> {
    path: &'a Path,
    graph: &'g Graph,
    /// The sum of a layer, whichever.
    x: Expr<'g>,
    /// The activations by their expressions.
    known: HashMap<Id, Activation>,
    initializers: HashMap<&'a str, &'a TensorProto>,
    values: HashMap<&'a str, Value<'g>>,
    /// Names that nodes make.
    made: HashSet<&'a str>,
    scaling: Option<(Vec<f64>, Vec<f64>)>,
    layers: Vec<Dense<'g>>,
    /// The numbers in each weight by its name.
    weights: HashMap<String, usize>,
}

impl<'a, 'g> Walk<'a, 'g> {
    fn new(file: &'a GraphProto, graph: &'g Graph, path: &'a Path) -> Result<Self, String> {
        let x = graph.variable("x");
        let known = operators::known(graph).map_err(|e| e.to_string())?;
        let initializers: HashMap<_, _> =
            file.initializer.iter().map(|tensor| (tensor.name.as_str(), tensor)).collect();
        let inputs: Vec<_> = file.input.iter().filter(|v| !initializers.contains_key(v.name.as_str())).collect();
        let [input] = inputs[..] else {
            return Err(format!("the graph should have one input, found {}", inputs.len()));
        };
        let input = (input.name.as_str(), Value::Input { shift: vec![0.0], scale: vec![1.0] });
        let made = file.node.iter().flat_map(|node| &node.output).map(String::as_str).collect();
        let values = HashMap::from([input]);
        Ok(Walk {
            path,
            graph,
            x,
            known,
            initializers,
            values,
            made,
            scaling: None,
            layers: Vec::new(),
            weights: HashMap::new(),
        })
    }

    fn value(&self, name: &str) -> Result<Value<'g>, String> {
        if let Some(value) = self.values.get(name) {
            return Ok(value.clone());
        }
        if let Some(tensor) = self.initializers.get(name) {
            return Ok(Value::Constant(Rc::new(Constant::read(tensor, self.path)?)));
        }
        Err(match self.made.contains(name) {
            true => format!("needs {name:?}, which no node before it makes: the graph is cyclic or not in order"),
            false => {
                let hint = did_you_mean(name, self.initializers.keys().copied().take(1000));
                format!("needs {name:?}, which is neither made by a node nor an initializer{hint}")
            }
        })
    }

    /// The input of this number; `None` where it is left out.
    fn input(&self, node: &NodeProto, i: usize) -> Result<Option<Value<'g>>, String> {
        node.input.get(i).filter(|name| !name.is_empty()).map(|name| self.value(name)).transpose()
    }

    fn required(&self, node: &NodeProto, i: usize) -> Result<Value<'g>, String> {
        self.input(node, i)?.ok_or_else(|| format!("its input {} is missing", i + 1))
    }

    fn required_constant(&self, node: &NodeProto, i: usize) -> Result<Rc<Constant>, String> {
        match self.required(node, i)? {
            Value::Constant(constant) => Ok(constant),
            _ => Err(format!("its input {} should be an initializer, found a computed value", i + 1)),
        }
    }

    fn node(&mut self, node: &'a NodeProto) -> Result<Value<'g>, String> {
        let operator = operators::find(node)?;
        let attributes = operators::Attributes(&node.attribute);
        if let Some(text) = operators::function(operator, &attributes)? {
            let value = self.required(node, 0)?;
            let (layer, x) = self.units(value)?;
            let value = operators::parsed(&text).and_then(|function| operators::call(&function, x));
            return value.map(|value| Value::Units { layer, value }).map_err(|e| e.to_string());
        }
        match operator {
            "Constant" => {
                let tensor = node.attribute.iter().find_map(|attribute| attribute.t.as_ref());
                let constant =
                    match (tensor, attributes.float("value_float", f32::NAN), attributes.floats("value_floats")) {
                        (Some(tensor), ..) => Constant::read(tensor, self.path)?,
                        (None, number, None) if !number.is_nan() => Constant::scalar(number.into()),
                        (None, _, Some(numbers)) => Constant::vector(numbers),
                        _ => return Err("expected a tensor or floating-point numbers in it".into()),
                    };
                let name = node.output.first().cloned().unwrap_or_default();
                Ok(Value::Constant(Rc::new(Constant { name, ..constant })))
            }
            "Identity" | "Dropout" => self.required(node, 0),
            "Cast" => match attributes.int("to", 0) as i32 {
                data_type::FLOAT | data_type::DOUBLE | data_type::FLOAT16 | data_type::BFLOAT16 => {
                    self.required(node, 0)
                }
                other => Err(format!("casts to the type {other}; expected floating-point numbers")),
            },
            "Flatten" => match attributes.int("axis", 1) {
                1 | -1 => self.required(node, 0),
                other => Err(format!("flattens from axis {other} on; expected 1")),
            },
            "Reshape" => self.reshape(node),
            "Transpose" => Ok(Value::Constant(Rc::new(self.required_constant(node, 0)?.transposed()?))),
            "Gemm" => self.gemm(node, &attributes),
            "MatMul" => {
                let weight = self.required_constant(node, 1)?;
                let data = self.required(node, 0)?;
                let layer = self.dense(data, weight.transposed()?)?;
                Ok(Value::Product { layer })
            }
            "Softmax" => {
                let value = self.required(node, 0)?;
                let (layer, value) = self.units(value)?;
                match attributes.int("axis", -1) {
                    1 | -1 => Ok(Value::Softmax { layer, value }),
                    other => Err(format!("goes along axis {other}; expected 1, the classes")),
                }
            }
            "Scaler" => {
                let one = |name: &str, usual: f64| attributes.floats(name).unwrap_or_else(|| vec![usual]);
                let (offset, factor) = (one("offset", 0.0), one("scale", 1.0));
                let shifted = self.rescale(self.required(node, 0)?, Binary::Subtract, &offset)?;
                self.rescale(shifted, Binary::Multiply, &factor)
            }
            "Clip" => {
                let bound = |i: usize, name: &str| -> Result<Option<f64>, String> {
                    match self.input(node, i)? {
                        Some(Value::Constant(constant)) => constant.number().map(Some),
                        Some(_) => Err(format!("its input {} should be an initializer", i + 1)),
                        None => Ok(attributes.optional_float(name).map(operators::decimal)),
                    }
                };
                let (low, high) = (bound(1, "min")?, bound(2, "max")?);
                let value = self.required(node, 0)?;
                let (layer, mut value) = self.units(value)?;
                value = low.map_or(value, |low| value.max(low));
                value = high.map_or(value, |high| value.min(high));
                Ok(Value::Units { layer, value })
            }
            "PRelu" => {
                let slope = self.required_constant(node, 1)?.number()?;
                let value = self.required(node, 0)?;
                let (layer, x) = self.units(value)?;
                Ok(Value::Units { layer, value: self.graph.constant(0.0).less(x).select(x, x * slope) })
            }
            "Where" => {
                let Value::Condition { layer, op, operands: [x, y], holds } = self.required(node, 0)? else {
                    return Err("its first input should be a comparison".into());
                };
                let (a, b) = (self.required(node, 1)?, self.required(node, 2)?);
                let (a, b) = (self.beside(a, layer)?, self.beside(b, layer)?);
                let (a, b) = if holds { (a, b) } else { (b, a) };
                Ok(Value::Units { layer, value: Condition::of(op, x, y).select(a, b) })
            }
            "Not" => match self.required(node, 0)? {
                Value::Condition { layer, op: Binary::Equal, operands, holds } => {
                    Ok(Value::Condition { layer, op: Binary::NotEqual, operands, holds })
                }
                Value::Condition { layer, op, operands, holds } => {
                    Ok(Value::Condition { layer, op, operands, holds: !holds })
                }
                _ => Err("its input should be a comparison".into()),
            },
            _ => self.element_wise(node, operator),
        }
    }

    fn reshape(&self, node: &NodeProto) -> Result<Value<'g>, String> {
        let shape = self.required_constant(node, 1)?;
        let value = self.required(node, 0)?;
        let width = match value {
            Value::Units { layer, .. } | Value::Product { layer } => Some(self.layers[layer].outputs as f64),
            _ => None,
        };
        match shape.values[..] {
            [rows, cols] if rows <= 0.0 && (cols == -1.0 || width.is_none_or(|width| width == cols)) => Ok(value),
            _ => Err(format!("its shape is {:?}; expected [-1, columns]", shape.values)),
        }
    }

    fn gemm(&mut self, node: &NodeProto, attributes: &operators::Attributes<'_>) -> Result<Value<'g>, String> {
        if attributes.int("transA", 0) != 0 {
            return Err("transA should be 0, since rows are samples".into());
        }
        let weight = self.required_constant(node, 1)?;
        let weight = match attributes.int("transB", 0) {
            0 => weight.transposed()?,
            _ => (*weight).clone(),
        };
        let bias = match self.input(node, 2)? {
            None => None,
            Some(Value::Constant(bias)) => Some(bias.times(attributes.float("beta", 1.0))),
            Some(_) => return Err("its input 3, the bias, should be an initializer".into()),
        };
        let data = self.required(node, 0)?;
        let layer = self.dense(data, weight.times(attributes.float("alpha", 1.0)))?;
        match bias {
            None => Ok(Value::Product { layer }),
            Some(bias) => {
                self.layers[layer].bias = Some(self.bias(layer, &bias)?);
                Ok(Value::Units { layer, value: self.x })
            }
        }
    }

    /// Adds a layer with `weight`, `[outputs, inputs]`, behind `data`.
    fn dense(&mut self, data: Value<'g>, weight: Constant) -> Result<usize, String> {
        let [outputs, inputs] = weight.dims[..] else {
            return Err(format!("the weight {:?} should have two dimensions, found {:?}", weight.name, weight.dims));
        };
        if inputs == 0 || outputs == 0 {
            return Err(format!("the weight {:?} of shape {:?} is empty", weight.name, weight.dims));
        }
        match data {
            Value::Constant(_) => return Err("multiplies two constants".into()),
            Value::Input { .. } if !self.layers.is_empty() => {
                return Err(
                    "takes the graph's input, which an earlier layer takes too: only layers one behind the other are \
                            supported"
                        .into(),
                );
            }
            Value::Input { shift, scale } => {
                let scaled = |numbers: Vec<f64>| -> Result<Vec<f64>, String> {
                    match numbers.len() {
                        1 => Ok(vec![numbers[0]; inputs]),
                        n if n == inputs => Ok(numbers),
                        n => Err(format!("takes {inputs} inputs, but the scaling before it has {n}")),
                    }
                };
                if (&shift[..], &scale[..]) != (&[0.0], &[1.0]) {
                    self.scaling = Some((scaled(shift)?, scaled(scale)?));
                }
            }
            other => {
                let (layer, value) = self.units(other)?;
                let width = self.layers[layer].outputs;
                if layer + 1 != self.layers.len() {
                    return Err(
                        "takes a layer that another one takes too: only layers one behind the other are supported"
                            .into(),
                    );
                }
                if width != inputs {
                    return Err(format!("takes {inputs} inputs, but the layer before it has {width} outputs"));
                }
                self.layers[layer].activation = Some(value);
            }
        }
        self.weights.insert(weight.name.clone(), weight.values.len());
        let taken = self.layers.iter().map(|layer| layer.weight.len()).sum::<usize>() + weight.values.len();
        if taken / SHARED > self.weights.values().sum() {
            return Err(format!("shares its weight {:?} with more layers than are read", weight.name));
        }
        let weight = weight.finite()?;
        self.layers.push(Dense { inputs, outputs, weight, bias: None, activation: None });
        Ok(self.layers.len() - 1)
    }

    /// The bias of a layer: one number for each unit, or one for all; empty where there is none.
    fn bias(&self, layer: usize, bias: &Constant) -> Result<Vec<f32>, String> {
        let outputs = self.layers[layer].outputs;
        match bias.values.len() {
            n if n == 1 || n == outputs && bias.dims.last() == Some(&n) => bias.finite(),
            _ => Err(format!("the bias {:?} should have shape [{outputs}] or [1], found {:?}", bias.name, bias.dims)),
        }
    }

    /// A layer's units, where a product has got no bias until now.
    fn units(&mut self, value: Value<'g>) -> Result<(usize, Expr<'g>), String> {
        match value {
            Value::Units { layer, value } => Ok((layer, value)),
            Value::Product { layer } => {
                let bias = &mut self.layers[layer].bias;
                match bias.get_or_insert_default().is_empty() {
                    true => Ok((layer, self.x)),
                    false => Err("takes a layer's product, of which another node takes the sum with its bias".into()),
                }
            }
            Value::Input { .. } => {
                Err("takes the graph's input; in front of the first layer only Sub, Add, Mul, Div and \
                                        Scaler by constants are supported"
                    .into())
            }
            Value::Constant(_) => Err("is applied to constants; simplify the graph first".into()),
            Value::Condition { .. } => Err("takes a comparison, which only Where does".into()),
            Value::Softmax { .. } => Err("takes the softmax, which has to come last".into()),
        }
    }

    /// `value` as an expression of the units of `layer`.
    fn beside(&mut self, value: Value<'g>, layer: usize) -> Result<Expr<'g>, String> {
        if let Value::Constant(constant) = value {
            return Ok(self.graph.constant(constant.number()?));
        }
        match self.units(value)? {
            (found, value) if found == layer => Ok(value),
            _ => Err("joins two layers; only layers one behind the other are supported".into()),
        }
    }

    /// An operator on two values, or several.
    fn element_wise(&mut self, node: &NodeProto, operator: &str) -> Result<Value<'g>, String> {
        let (op, exchanged) = operators::binary(operator).ok_or("is not supported here")?;
        let mut all = Vec::new();
        for i in 0..node.input.len() {
            all.push(self.required(node, i)?);
        }
        if exchanged {
            all.reverse();
        }
        let mut all = all.into_iter();
        let first = all.next().ok_or("has no inputs")?;
        let variadic = matches!(op, Binary::Min | Binary::Max);
        match all.len() {
            1 => {}
            _ if variadic => {}
            n => return Err(format!("should have 2 inputs, found {}", n + 1)),
        }
        all.try_fold(first, |a, b| self.pair(op, a, b))
    }

    fn pair(&mut self, op: Binary, a: Value<'g>, b: Value<'g>) -> Result<Value<'g>, String> {
        match (a, b) {
            (input @ Value::Input { .. }, Value::Constant(c)) => self.rescale(input, op, &c.values),
            (Value::Constant(c), input @ Value::Input { .. }) if matches!(op, Binary::Add | Binary::Multiply) => {
                self.rescale(input, op, &c.values)
            }
            (Value::Product { layer }, Value::Constant(c)) | (Value::Constant(c), Value::Product { layer })
                if op == Binary::Add && self.layers[layer].bias.is_none() =>
            {
                self.layers[layer].bias = Some(self.bias(layer, &c)?);
                Ok(Value::Units { layer, value: self.x })
            }
            (Value::Constant(_), Value::Constant(_)) => Err("is applied to constants; simplify the graph first".into()),
            (Value::Constant(c), b) => {
                let (layer, b) = self.units(b)?;
                let c = self.graph.constant(c.number()?);
                Ok(self.combine(op, layer, c, b))
            }
            (a, b) => {
                let (layer, a) = self.units(a)?;
                let b = self.beside(b, layer)?;
                Ok(self.combine(op, layer, a, b))
            }
        }
    }

    fn combine(&self, op: Binary, layer: usize, a: Expr<'g>, b: Expr<'g>) -> Value<'g> {
        match op.is_comparison() {
            true => Value::Condition { layer, op, operands: [a, b], holds: true },
            false => Value::Units { layer, value: a.binary(op, b) },
        }
    }

    /// Another step of the input's scaling.
    fn rescale(&self, input: Value<'g>, op: Binary, by: &[f64]) -> Result<Value<'g>, String> {
        let Value::Input { shift, scale } = input else { return Err("only the graph's input can be scaled".into()) };
        let len = shift.len().max(scale.len()).max(by.len());
        if [shift.len(), scale.len(), by.len()].iter().any(|&n| n != 1 && n != len) {
            return Err(format!("{} numbers stand beside {} columns", by.len(), shift.len().max(scale.len())));
        }
        let at = |numbers: &[f64], i: usize| numbers[if numbers.len() == 1 { 0 } else { i }];
        let each = |f: &dyn Fn(f64, f64, f64) -> f64| {
            (0..len).map(|i| f(at(&shift, i), at(&scale, i), at(by, i))).collect::<Vec<_>>()
        };
        let (shift, scale) = match op {
            Binary::Subtract => (each(&|shift, scale, c| shift + c / scale), each(&|_, scale, _| scale)),
            Binary::Add => (each(&|shift, scale, c| shift - c / scale), each(&|_, scale, _| scale)),
            Binary::Multiply => (each(&|shift, _, _| shift), each(&|_, scale, c| scale * c)),
            Binary::Divide => (each(&|shift, _, _| shift), each(&|_, scale, c| scale / c)),
            _ => return Err("in front of the first layer only Sub, Add, Mul and Div by constants are supported".into()),
        };
        Ok(Value::Input { shift, scale })
    }

    /// Takes the graph's output.
    fn finish(&mut self, output: Value<'g>) -> Result<(), String> {
        let (layer, value) = match output {
            Value::Softmax { layer, value } => (layer, value),
            other => self.units(other).map_err(|what| format!("the graph's output {what}"))?,
        };
        if layer + 1 != self.layers.len() {
            return Err("the graph's output is not that of its last layer".into());
        }
        self.layers[layer].activation = Some(value);
        Ok(())
    }

    /// The activation that an expression is, or one of its own.
    fn activation(&self, value: Expr<'g>) -> Result<Activation> {
        if let Some(known) = self.known.get(&value.id()) {
            return Ok(*known);
        }
        Activation::custom(&self.graph.function(&["x"], &[value])?.text())
    }

    fn model(self, softmax: bool, described: Option<Model>) -> Result<Model, String> {
        let inputs = self.layers.first().map_or(0, |layer| layer.inputs);
        let mut network = Network::new(inputs);
        let described = described.filter(|model| self.is(model, softmax));
        for (i, dense) in self.layers.iter().enumerate() {
            let bias = match dense.bias.as_deref() {
                None | Some([]) => Bias::None,
                Some(bias) if bias.len() == dense.outputs => Bias::PerUnit,
                Some(_) => Bias::Shared,
            };
            let failed = |e| format!("the activation of layer {i}: {e}");
            let activation = match &described {
                // Among those that are the same function, the one it was.
                Some(_) => Activation::Linear,
                None => self.activation(dense.activation.unwrap_or(self.x)).map_err(failed)?,
            };
            network = network.layer(Layer { bias, ..Layer::new(dense.outputs, activation) });
        }
        let scaling = self.scaling.as_ref().map(|(shift, scale)| Scaling {
            kind: ScalingKind::Standard,
            shift: shift.iter().map(|&x| x as f32).collect(),
            scale: scale.iter().map(|&x| x as f32).collect(),
        });
        let mut model = match described {
            Some(described) => {
                let same = |a: &Scaling, b: &Scaling| a.shift == b.shift && a.scale == b.scale;
                let scaling = match (&described.scaling, scaling) {
                    (Some(old), Some(new)) if same(old, &new) => described.scaling.clone(),
                    (Some(old), None) if old.is_identity() => described.scaling.clone(),
                    (_, new) => new,
                };
                Model { scaling, ..described }
            }
            None => {
                let classes = Task::classes((0..network.outputs()).map(|class| class.to_string()));
                let mut model = Model::bare(network, Vec::new());
                if softmax {
                    model.task = Some(classes);
                    model.loss = Some(Loss::SoftmaxCrossEntropy);
                }
                Model { scaling, ..model }
            }
        };
        model.network.validate().map_err(|e| e.to_string())?;
        let params = model.params();
        model.values = vec![0.0; params.len];
        for tensor in &params.tensors {
            let dense = &self.layers[tensor.layer];
            let values = match tensor.role {
                Role::Weight => &dense.weight,
                // An imported layer has no other tensors.
                _ => dense.bias.as_ref().unwrap_or(&dense.weight),
            };
            model.values[tensor.range()].copy_from_slice(&values[..tensor.len()]);
        }
        model.validate().map_err(|e| e.to_string())?;
        Ok(model)
    }

    /// Whether the graph is what `model` is exported as.
    fn is(&self, model: &Model, softmax: bool) -> bool {
        let layers = &model.network.layers;
        let probabilities = model.probabilities();
        let same = |(i, (dense, layer)): (usize, (&Dense<'g>, &Layer))| {
            let bias = dense.bias.as_ref().map_or(0, Vec::len);
            let mut activation = operators::rounded(layer.activation, self.x);
            if i + 1 == layers.len() && probabilities == Probabilities::Sigmoid {
                activation = activation.map(Expr::sigmoid);
            }
            let activation = activation.is_ok_and(|activation| Some(activation.id()) == dense.activation.map(Expr::id));
            dense.outputs == layer.outputs && bias == layer.bias.len(layer.outputs) && activation
        };
        self.layers.len() == layers.len()
            && self.layers.first().map(|layer| layer.inputs) == Some(model.network.inputs)
            && softmax == (probabilities == Probabilities::Softmax)
            && self.layers.iter().zip(layers).enumerate().all(same)
    }
}
