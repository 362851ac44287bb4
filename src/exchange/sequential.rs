//! safetensors for PyTorch: the state dict of a `torch.nn.Sequential`.
//!
//! ```python
//! from torch import nn; from safetensors.torch import load_file
//! network = nn.Sequential(nn.Linear(64, 128), nn.ReLU(), nn.Linear(128, 10))
//! network.load_state_dict(load_file("digits.safetensors"))
//! ```
//!
//! Each activation but the linear one takes a place in the sequence, so that tensors are called `0.weight`, `0.bias`, `2.weight`
//! and so on. A bias that a layer's units share becomes one for each. The inputs are those that the network takes: where the
//! model scales them, scale them too, or fold the scaling into the weights first by [`fold_scaling`](super::fold_scaling).

use crate::checkpoint::{self, refused, save_tensors};
use crate::params::Role;
use crate::{Activation, Bias, Dropout, Error, Model, Network, Params, Result};
use std::path::Path;

/// Writes the parameters of `model` as the safetensors file `path`, whole or not at all. [`Model::load`] reads it too.
///
/// # Errors
/// Those of [`Model::save`], and where a layer has a normalisation or a residual connection. Dropout has no part in a model's
/// answers.
pub fn export(model: &Model, path: &Path) -> Result<()> {
    model.check_finite(path)?;
    let mut answering = model.network.clone();
    answering.layers.iter_mut().for_each(|layer| layer.dropout = Dropout::default());
    answering.check_plain("a torch.nn.Sequential")?;
    let model = unshared(model)?;
    let names = checkpoint::sequential::places(&model.network);
    let params = model.params();
    let tensors = params.tensors.iter().zip(&names);
    let tensors: Vec<_> = tensors.map(|(t, name)| (name.as_str(), t.shape(), &model.values[t.range()])).collect();
    let description = model.describe().map_err(|what| refused(path, format!("not written: {what}")))?;
    let metadata = [("format", "pt".to_owned()), (checkpoint::KEY, description)];
    save_tensors(path, &tensors, &metadata.map(|(key, value)| (key.to_owned(), value)))
}

/// The same model with a bias for each unit where the units of a layer share one.
fn unshared(model: &Model) -> Result<Model> {
    let mut network = model.network.clone();
    for layer in network.layers.iter_mut().filter(|layer| layer.bias == Bias::Shared) {
        layer.bias = Bias::PerUnit;
    }
    let (old, new) = (model.params(), Params::of(&network));
    let mut values = vec![0.0; new.len];
    for (from, to) in old.tensors.iter().zip(&new.tensors) {
        let from = &model.values[from.range()];
        match from.len() == to.len() {
            true => values[to.range()].copy_from_slice(from),
            false => values[to.range()].fill(from[0]),
        }
    }
    let model = Model { network, values, ..model.clone() };
    model.validate()?;
    Ok(model)
}

/// What to write in Python for `network`.
pub fn constructor(network: &Network) -> String {
    let layer = |i: usize| {
        let layer = &network.layers[i];
        let bias = if layer.bias == Bias::None { ", bias=False" } else { "" };
        let linear = format!("nn.Linear({}, {}{bias})", network.layer_inputs(i), layer.outputs);
        match module(layer.activation) {
            Some(module) => format!("{linear}, {module}"),
            None => linear,
        }
    };
    let layers: Vec<_> = (0..network.layers.len()).map(layer).collect();
    format!("nn.Sequential({})", layers.join(", "))
}

fn module(activation: Activation) -> Option<String> {
    Some(match activation {
        Activation::Linear => return None,
        Activation::Sigmoid => "nn.Sigmoid()".into(),
        Activation::Tanh => "nn.Tanh()".into(),
        Activation::Relu => "nn.ReLU()".into(),
        Activation::LeakyRelu => "nn.LeakyReLU(0.01)".into(),
        Activation::Softplus => "nn.Softplus()".into(),
        Activation::Silu => "nn.SiLU()".into(),
        Activation::Gelu => "nn.GELU()".into(),
        Activation::Elu => "nn.ELU()".into(),
        // PyTorch has no module for these: a class of one's own.
        Activation::Sine => "Sine()".into(),
        Activation::Custom(_) => "Activation()".into(),
    })
}

/// The same function of inputs as they are in the data: `W (s (x - m)) = (W s) x - (W s) m`, computed in `f64`.
///
/// Where a column is far from 0 in terms of its deviation, the two terms cancel, and about so many digits are lost.
pub(super) fn folded(model: &Model) -> Result<Model> {
    let Some(scaling) = model.scaling.as_ref().filter(|scaling| !scaling.is_identity()) else {
        return Ok(Model { scaling: None, ..model.clone() });
    };
    let mut network = model.network.clone();
    let old = model.params();
    let Some(first) = network.layers.first_mut() else { return Ok(model.clone()) };
    if first.residual {
        let what = "the scaling cannot be folded into weights that the inputs go by: layer 0 has a residual connection";
        return Err(Error::Config(what.into()));
    }
    first.bias = Bias::PerUnit;
    let new = Params::of(&network);
    let mut values = vec![0.0; new.len];
    for to in &new.tensors {
        if let (Some(from), true) =
            (old.get(to.layer, to.role), to.layer > 0 || !matches!(to.role, Role::Weight | Role::Bias))
        {
            values[to.range()].copy_from_slice(&model.values[from.range()]);
        }
    }
    let tensor = |params: &Params, role| params.get(0, role).map(|t| t.range());
    let weight = tensor(&old, Role::Weight).unwrap_or_default();
    let bias = tensor(&old, Role::Bias).unwrap_or_default();
    let (to_weight, to_bias) = (tensor(&new, Role::Weight), tensor(&new, Role::Bias));
    let (to_weight, to_bias) = (to_weight.unwrap_or_default().start, to_bias.unwrap_or_default().start);
    for (unit, row) in model.values[weight].chunks_exact(network.inputs).enumerate() {
        let given = &model.values[bias.clone()];
        let mut sum = given.get(if given.len() == 1 { 0 } else { unit }).map_or(0.0, |&b| f64::from(b));
        for (i, &w) in row.iter().enumerate() {
            let scaled = f64::from(w) * f64::from(scaling.scale[i]);
            values[to_weight + unit * network.inputs + i] = scaled as f32;
            sum -= scaled * f64::from(scaling.shift[i]);
        }
        values[to_bias + unit] = sum as f32;
    }
    let model = Model { network, values, scaling: None, ..model.clone() };
    model.validate()?;
    Ok(model)
}
