//! The architecture of a network as plain data: widths, activations, bias mode, frozen parameters.

use crate::activation::Activation;
use crate::params::ALIGNMENT;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};

/// How a layer's units are biased.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Bias {
    /// One bias per unit, `[outputs]`.
    #[default]
    PerUnit,
    /// One number shared by all units of the layer, `[1]`; its gradient is the sum over the units.
    Shared,
    /// No bias.
    None,
}

impl Bias {
    /// Every bias mode.
    pub const ALL: &'static [Bias] = &[Bias::PerUnit, Bias::Shared, Bias::None];

    /// How many numbers the bias of a layer with `outputs` units has.
    pub fn len(self, outputs: usize) -> usize {
        match self {
            Bias::PerUnit => outputs,
            Bias::Shared => 1,
            Bias::None => 0,
        }
    }
}

/// One dense layer: `z = W x + b`, `a = f(z)`, with `W` as `[outputs, inputs]`.
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// How many units the layer has, ≥ 1.
    pub outputs: usize,
    /// The function `f`.
    pub activation: Activation,
    /// How the units are biased.
    #[serde(default)]
    pub bias: Bias,
    /// Training leaves the weights as they are.
    #[serde(default)]
    pub freeze_weight: bool,
    /// Training leaves the bias as it is.
    #[serde(default)]
    pub freeze_bias: bool,
}

impl Layer {
    /// A layer of `outputs` units with one trained bias each.
    pub fn new(outputs: usize, activation: Activation) -> Self {
        Layer { outputs, activation, bias: Bias::PerUnit, freeze_weight: false, freeze_bias: false }
    }
}

/// A feed-forward network of dense layers. Building one computes nothing and touches no device.
///
/// ```
/// use wgrad::{Activation, Network};
/// let network = Network::new(64).dense(128, Activation::Relu).dense(10, Activation::Linear);
/// assert_eq!(network.widths(), [64, 128, 10]);
/// ```
#[derive(Clone, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// How many numbers a sample has, ≥ 1.
    pub inputs: usize,
    /// The layers, from the input on; at least one.
    pub layers: Vec<Layer>,
}

impl Network {
    /// A network without layers yet, for samples of `inputs` numbers.
    pub fn new(inputs: usize) -> Self {
        Network { inputs, layers: Vec::new() }
    }

    /// Adds a layer of `outputs` units with one trained bias each.
    pub fn dense(self, outputs: usize, activation: Activation) -> Self {
        self.layer(Layer::new(outputs, activation))
    }

    /// Adds a layer.
    pub fn layer(mut self, layer: Layer) -> Self {
        self.layers.push(layer);
        self
    }

    /// Gives every layer the same bias mode.
    pub fn with_bias(mut self, bias: Bias) -> Self {
        self.layers.iter_mut().for_each(|layer| layer.bias = bias);
        self
    }

    /// How many numbers the network puts out.
    pub fn outputs(&self) -> usize {
        self.layers.last().map_or(self.inputs, |layer| layer.outputs)
    }

    /// The width of the input followed by that of every layer.
    pub fn widths(&self) -> Vec<usize> {
        std::iter::once(self.inputs).chain(self.layers.iter().map(|layer| layer.outputs)).collect()
    }

    /// The number of inputs of layer `i`, counted from 0.
    pub fn layer_inputs(&self, i: usize) -> usize {
        if i == 0 { self.inputs } else { self.layers[i - 1].outputs }
    }

    /// The activation of the output layer.
    pub fn output_activation(&self) -> Activation {
        self.layers.last().map_or(Activation::Linear, |layer| layer.activation)
    }

    /// Floating-point operations of the matrix products in one training step on `batch` samples: `2·m·n·k` for the
    /// forward product and the weight gradient of every layer and for the delta of all but the first.
    pub fn training_flops(&self, batch: usize) -> f64 {
        let product = |i: usize| 2.0 * batch as f64 * self.layer_inputs(i) as f64 * self.layers[i].outputs as f64;
        (0..self.layers.len()).map(|i| product(i) * if i == 0 { 2.0 } else { 3.0 }).sum()
    }

    /// Checks that there is a layer, that no width is 0, and that the parameters can be addressed.
    pub fn validate(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::Config("a network needs at least one layer, found none".into()));
        }
        if let Some(i) = self.widths().iter().position(|&w| w == 0) {
            let place = if i == 0 { "the input".to_owned() } else { format!("layer {}", i - 1) };
            return Err(Error::Config(format!("a width must be at least 1, but {place} has width 0")));
        }
        let elements = self.layers.iter().enumerate().try_fold(0usize, |sum, (i, layer)| {
            let weight = self.layer_inputs(i).checked_mul(layer.outputs)?;
            sum.checked_add(weight)?.checked_add(layer.outputs)?.checked_add(2 * ALIGNMENT)
        });
        match elements {
            Some(elements) if elements <= isize::MAX as usize / size_of::<f64>() => Ok(()),
            _ => Err(Error::Config(format!("the network {self} has more parameters than memory can ever hold"))),
        }
    }
}

impl std::fmt::Display for Network {
    /// `64-128-10`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths: Vec<_> = self.widths().iter().map(usize::to_string).collect();
        f.pad(&widths.join("-"))
    }
}
