//! Where each parameter lies: name → (offset, shape) in one flat arena.
//!
//! Initialisation, update, checkpoint and gradient comparison are each one loop over this table.

use crate::network::{Network, Normalization};

/// Tensors start at multiples of this many elements (256 bytes, WebGPU's largest storage-offset alignment), so that
/// each can be bound by itself.
pub const ALIGNMENT: usize = 64;

/// What a tensor is in its layer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Role {
    /// `[outputs, inputs]`
    Weight,
    /// `[outputs]`, or `[1]` where the layer shares one
    Bias,
    /// `[outputs]`, the factor of normalised sums
    Scale,
    /// `[outputs]`, what is added to normalised sums
    Shift,
    /// `[outputs]`, the running mean of a batch normalisation, which has no gradient
    RunningMean,
    /// `[outputs]`, its running variance, which has no gradient
    RunningVariance,
}

impl Role {
    /// Whether the loss has a derivative by it; a running statistic is none of training's business.
    pub fn has_gradient(self) -> bool {
        !matches!(self, Role::RunningMean | Role::RunningVariance)
    }
}

/// One parameter tensor's place in the arena.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Tensor {
    /// `layers.{i}.` and `weight`, `bias`, `scale`, `shift`, `running_mean` or `running_variance`
    pub name: String,
    /// The layer, counted from 0.
    pub layer: usize,
    /// What it is there.
    pub role: Role,
    /// The first element, a multiple of [`ALIGNMENT`].
    pub offset: usize,
    /// Rows of a weight; 1 for a vector.
    pub rows: usize,
    /// Columns of a weight; the length of a vector.
    pub cols: usize,
    /// Whether training changes it.
    pub trainable: bool,
}

impl Tensor {
    /// The number of elements.
    pub fn len(&self) -> usize {
        self.rows * self.cols
    }

    /// Whether there are no elements; never so for a valid network.
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// The elements' range in the arena.
    pub fn range(&self) -> std::ops::Range<usize> {
        self.offset..self.offset + self.len()
    }

    /// The shape in files: `[rows, cols]` of a weight, `[len]` of a vector.
    pub fn shape(&self) -> Vec<usize> {
        match self.role {
            Role::Weight => vec![self.rows, self.cols],
            _ => vec![self.cols],
        }
    }
}

/// The layout of a network's parameters in one arena.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Params {
    /// The tensors in order of their offsets.
    pub tensors: Vec<Tensor>,
    /// Elements in the arena, padding included.
    pub len: usize,
}

impl Params {
    /// Lays out the parameters of `network`: for each layer the weight, then the bias and what its normalisation has, if any.
    pub fn of(network: &Network) -> Self {
        let mut params = Params::default();
        for (i, layer) in network.layers.iter().enumerate() {
            let weight = (layer.outputs, network.layer_inputs(i));
            params.push(i, Role::Weight, "weight", weight, !layer.freeze_weight);
            let bias = layer.bias.len(layer.outputs);
            if bias > 0 {
                params.push(i, Role::Bias, "bias", (1, bias), !layer.freeze_bias);
            }
            let vector = (1, layer.outputs);
            if layer.normalization != Normalization::None {
                params.push(i, Role::Scale, "scale", vector, !layer.freeze_weight);
                params.push(i, Role::Shift, "shift", vector, !layer.freeze_bias);
            }
            if layer.normalization == Normalization::Batch {
                params.push(i, Role::RunningMean, "running_mean", vector, false);
                params.push(i, Role::RunningVariance, "running_variance", vector, false);
            }
        }
        params
    }

    fn push(&mut self, layer: usize, role: Role, kind: &str, (rows, cols): (usize, usize), trainable: bool) {
        let name = format!("layers.{layer}.{kind}");
        self.tensors.push(Tensor { name, layer, role, offset: self.len, rows, cols, trainable });
        self.len = (self.len + rows * cols).next_multiple_of(ALIGNMENT);
    }

    /// The tensor that layer `i` has in this role; `None` where there is none.
    pub fn get(&self, layer: usize, role: Role) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.layer == layer && t.role == role)
    }

    /// The tensor called `name`.
    pub fn named(&self, name: &str) -> Option<&Tensor> {
        self.tensors.iter().find(|t| t.name == name)
    }

    /// How many parameters there are, padding not counted.
    pub fn count(&self) -> usize {
        self.tensors.iter().map(Tensor::len).sum()
    }

    /// Maximal runs of neighbouring trainable tensors, as ranges of the arena: what the optimizer walks over.
    pub fn trainable_runs(&self) -> Vec<std::ops::Range<usize>> {
        let mut runs: Vec<std::ops::Range<usize>> = Vec::new();
        for tensor in self.tensors.iter().filter(|t| t.trainable) {
            match runs.last_mut() {
                Some(run) if run.end.next_multiple_of(ALIGNMENT) == tensor.offset => run.end = tensor.range().end,
                _ => runs.push(tensor.range()),
            }
        }
        runs
    }
}
