//! State dicts of a `torch.nn.Sequential` of linear layers: `0.weight`, `0.bias`, `2.weight`, …, where the numbers left
//! out belong to the activations, which have no parameters. A common prefix (`layers.0.weight`) is allowed.

use super::{Shapes, brief, check_count};
use crate::params::Role;
use crate::{Activation, Bias, Layer, Network};
use std::collections::BTreeMap;

/// The names of the tensors of `network` in a state dict of a `torch.nn.Sequential`, in which each activation but the linear
/// one takes a place, in the order of the arena.
pub(crate) fn places(network: &Network) -> Vec<String> {
    let (mut names, mut place) = (Vec::new(), 0);
    for layer in &network.layers {
        names.push(format!("{place}.weight"));
        names.extend((layer.bias != Bias::None).then(|| format!("{place}.bias")));
        place += 1 + usize::from(layer.activation != Activation::Linear);
    }
    names
}

/// The names of the tensors of `network` in the file with these `shapes`, where it was written for a `torch.nn.Sequential`.
pub(super) fn names(network: &Network, shapes: &Shapes<'_>) -> Option<Vec<String>> {
    let names = places(network);
    names.iter().all(|name| shapes.contains_key(name.as_str())).then_some(names)
}

/// The network with tensors of these `shapes`, and their names in the order of the arena; or what is wrong with them.
pub(super) fn read(shapes: &Shapes<'_>, activations: &[Activation]) -> Result<(Network, Vec<String>), String> {
    let (weights, biases) = group(shapes)?;
    check_count(weights.len(), activations)?;
    let mut network = Network::new(0);
    let mut names = Vec::new();
    for ((number, weight), &activation) in weights.iter().zip(activations) {
        let (outputs, inputs) = match shapes.get(weight) {
            Some(&&[outputs, inputs]) => (outputs, inputs),
            other => {
                let found = other.copied().unwrap_or_default();
                return Err(format!(
                    "the tensor {weight:?} of a linear layer should have two dimensions, found {found:?}"
                ));
            }
        };
        match names.last() {
            None => network.inputs = inputs,
            Some(_) if network.outputs() == inputs => {}
            Some(before) => {
                let width = network.outputs();
                return Err(format!(
                    "the layer of {before:?} has {width} outputs, but {weight:?} takes {inputs} inputs"
                ));
            }
        }
        names.push(weight.to_string());
        let bias = biases.get(number);
        let mode = match bias.and_then(|bias| shapes.get(bias)) {
            None => Bias::None,
            Some(&&[n]) if n == outputs => Bias::PerUnit,
            Some(&[1]) => Bias::Shared,
            Some(found) => {
                let name = bias.copied().unwrap_or_default();
                return Err(format!("the tensor {name:?} should have shape [{outputs}] or [1], found {found:?}"));
            }
        };
        names.extend(bias.map(|bias| bias.to_string()));
        network = network.layer(Layer { bias: mode, ..Layer::new(outputs, activation) });
    }
    Ok((network, names))
}

/// Names of tensors by the number of their layer.
type Names<'a> = BTreeMap<u64, &'a str>;

/// The file's weights and biases.
fn group<'a>(shapes: &Shapes<'a>) -> Result<(Names<'a>, Names<'a>), String> {
    let (mut weights, mut biases) = (Names::new(), Names::new());
    let mut first: Option<(&str, &str)> = None;
    for &name in shapes.keys() {
        let Some((prefix, number, role)) = parse(name) else {
            let name = brief(name);
            return Err(format!("expected tensors called 0.weight, 0.bias, 2.weight and so on, found {name:?}"));
        };
        let (first_prefix, first_name) = *first.get_or_insert((prefix, name));
        if prefix != first_prefix {
            let names = format!("{:?} and {:?}", brief(first_name), brief(name));
            return Err(format!("expected the layers of one torch.nn.Sequential, found the tensors {names}"));
        }
        let names = if role == Role::Weight { &mut weights } else { &mut biases };
        names.insert(number, name);
    }
    Ok((weights, biases))
}

/// `prefix.3.weight` → `("prefix", 3, Weight)`. Numbers such as `03` are refused, so that no two names mean the same.
fn parse(name: &str) -> Option<(&str, u64, Role)> {
    let (stem, kind) = name.rsplit_once('.')?;
    let role = match kind {
        "weight" => Role::Weight,
        "bias" => Role::Bias,
        _ => return None,
    };
    let (prefix, digits) = stem.rsplit_once('.').unwrap_or(("", stem));
    let number: u64 = digits.parse().ok()?;
    (number.to_string() == digits).then_some((prefix, number, role))
}
