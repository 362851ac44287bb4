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

/// What the sums of a layer are normalised over before its activation: `n = γ (z - mean) / √(variance + ε) + β`, with a scale
/// γ and a shift β per unit that are trained, and ε = [`Normalization::EPSILON`].
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Normalization {
    /// Sums are taken as they are.
    #[default]
    None,
    /// Over the units of the layer, for each sample by itself. Ba, Kiros and Hinton, *Layer Normalization* (2016).
    Layer,
    /// Over the samples of the batch, for each unit by itself; prediction and evaluation take running means of both
    /// statistics, which move by [`Normalization::MOMENTUM`] with each step. Ioffe and Szegedy, *Batch Normalization* (2015).
    Batch,
}

impl Normalization {
    /// Every kind.
    pub const ALL: &'static [Normalization] = &[Normalization::None, Normalization::Layer, Normalization::Batch];

    /// What is added to a variance.
    pub const EPSILON: f32 = 1e-5;

    /// The share of a batch's statistics in the running ones after its step; of its variance the unbiased one, as in PyTorch.
    pub const MOMENTUM: f32 = 0.1;
}

/// The share of a layer's outputs that training sets to 0 at random, in [0, 1); the others are divided by 1 less that share.
/// Which ones follows from the seed, the number of the step, the layer and the place in the batch, on every device alike.
/// Srivastava et al., *Dropout* (2014).
#[derive(Clone, Copy, Debug, Default, Deserialize)]
#[serde(transparent)]
pub struct Dropout(pub f32);

impl Serialize for Dropout {
    /// As the shortest decimal number that means it, also where a format knows only `f64`.
    fn serialize<S: serde::Serializer>(&self, serializer: S) -> std::result::Result<S::Ok, S::Error> {
        let short = self.0.to_string().parse().unwrap_or(f64::from(self.0));
        serializer.serialize_f64(short)
    }
}

impl Dropout {
    /// Whether nothing is dropped.
    pub fn is_off(&self) -> bool {
        self.0 == 0.0
    }

    /// What an output that stays is multiplied by.
    pub fn factor(self) -> f32 {
        1.0 / (1.0 - self.0)
    }
}

impl PartialEq for Dropout {
    fn eq(&self, other: &Self) -> bool {
        self.0.to_bits() == other.0.to_bits()
    }
}

impl Eq for Dropout {}

impl std::hash::Hash for Dropout {
    fn hash<H: std::hash::Hasher>(&self, state: &mut H) {
        self.0.to_bits().hash(state);
    }
}

/// One dense layer: `z = W x + b`, `a = f(z)`, with `W` as `[outputs, inputs]`; where it is asked for, z is normalised first,
/// outputs drop out, and the layer's input is added last: `y = x + dropout(f(normalised z))`.
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
    /// What z is normalised over. The scale is frozen with the weights, the shift with the bias.
    #[serde(default, skip_serializing_if = "is_default")]
    pub normalization: Normalization,
    /// Adds the layer's input to its output, which has to be as wide; not for the last layer. He et al., *Deep Residual
    /// Learning* (2015).
    #[serde(default, skip_serializing_if = "is_default")]
    pub residual: bool,
    /// The share of outputs that drop out in training; 0 for the last layer.
    #[serde(default, skip_serializing_if = "is_default")]
    pub dropout: Dropout,
}

fn is_default<T: Default + PartialEq>(value: &T) -> bool {
    *value == T::default()
}

impl Layer {
    /// A layer of `outputs` units with one trained bias each.
    pub fn new(outputs: usize, activation: Activation) -> Self {
        Layer {
            outputs,
            activation,
            bias: Bias::PerUnit,
            freeze_weight: false,
            freeze_bias: false,
            normalization: Normalization::None,
            residual: false,
            dropout: Dropout(0.0),
        }
    }

    /// With its sums normalised.
    pub fn normalized(self, normalization: Normalization) -> Self {
        Layer { normalization, ..self }
    }

    /// With its input added to its output.
    pub fn residual(self) -> Self {
        Layer { residual: true, ..self }
    }

    /// With a share of its outputs dropped in training, in [0, 1).
    pub fn dropout(self, rate: f32) -> Self {
        Layer { dropout: Dropout(rate), ..self }
    }

    /// Whether it is nothing but `f(W x + b)`.
    pub fn is_plain(&self) -> bool {
        self.normalization == Normalization::None && !self.joins()
    }

    /// Whether what it puts out is not just its activation.
    pub(crate) fn joins(&self) -> bool {
        self.residual || !self.dropout.is_off()
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

    /// Whether units drop out in training.
    pub fn drops_out(&self) -> bool {
        self.layers.iter().any(|layer| !layer.dropout.is_off())
    }

    /// Whether every layer is nothing but `f(W x + b)`, as mixed precision needs it.
    pub fn is_plain(&self) -> bool {
        self.layers.iter().all(Layer::is_plain)
    }

    /// Checks that every layer is nothing but `f(W x + b)`, for `what`, which takes no others.
    pub(crate) fn check_plain(&self, what: &str) -> Result<()> {
        let Some((i, layer)) = self.layers.iter().enumerate().find(|(_, layer)| !layer.is_plain()) else {
            return Ok(());
        };
        let has = match layer {
            Layer { normalization: Normalization::Layer | Normalization::Batch, .. } => "a normalisation",
            Layer { residual: true, .. } => "a residual connection",
            _ => "dropout",
        };
        Err(Error::Config(format!("{what} takes layers f(W x + b) alone, but layer {i} has {has}")))
    }

    /// Checks that there is a layer, that no width is 0, that layers have what they can have, and that the parameters can be
    /// addressed.
    pub fn validate(&self) -> Result<()> {
        if self.layers.is_empty() {
            return Err(Error::Config("a network needs at least one layer, found none".into()));
        }
        if let Some(i) = self.widths().iter().position(|&w| w == 0) {
            let place = if i == 0 { "the input".to_owned() } else { format!("layer {}", i - 1) };
            return Err(Error::Config(format!("a width must be at least 1, but {place} has width 0")));
        }
        for (i, layer) in self.layers.iter().enumerate() {
            self.check_layer(i, layer)?;
        }
        let elements = self.layers.iter().enumerate().try_fold(0usize, |sum, (i, layer)| {
            let weight = self.layer_inputs(i).checked_mul(layer.outputs)?;
            // A weight, and vectors of the bias and of a normalisation.
            sum.checked_add(weight)?.checked_add(layer.outputs.checked_mul(5)?)?.checked_add(6 * ALIGNMENT)
        });
        match elements {
            Some(elements) if elements <= isize::MAX as usize / size_of::<f64>() => Ok(()),
            _ => Err(Error::Config(format!("the network {self} has more parameters than memory can ever hold"))),
        }
    }
}

impl Network {
    fn check_layer(&self, i: usize, layer: &Layer) -> Result<()> {
        let refuse = |what: String| Err(Error::Config(format!("layer {i}: {what}")));
        let Dropout(rate) = layer.dropout;
        if !(0.0..1.0).contains(&rate) {
            return refuse(format!("the share of outputs that drop out must lie in [0, 1), found {rate}"));
        }
        if layer.joins() && i + 1 == self.layers.len() {
            return refuse(
                "the last layer has neither dropout nor a residual connection; give them to a hidden layer".into(),
            );
        }
        let (inputs, outputs) = (self.layer_inputs(i), layer.outputs);
        if layer.residual && inputs != outputs {
            return refuse(format!(
                "a residual connection needs as many inputs as outputs, found {inputs} and {outputs}"
            ));
        }
        Ok(())
    }
}

impl std::fmt::Display for Network {
    /// `64-128-10`
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let widths: Vec<_> = self.widths().iter().map(usize::to_string).collect();
        f.pad(&widths.join("-"))
    }
}
