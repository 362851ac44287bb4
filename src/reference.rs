//! The oracle: textbook forward and backward in f64, with wiring of its own.
//!
//! The chain of trust is central differences ([`numerical_gradient`]) → [`Reference`] → every other implementation.
//! How far f32 may be from it follows from the same equations, computed with [`Bounded`] numbers.

mod block;
mod half;
mod jets;
pub(crate) mod number;

use block::{Normal, Normalized};
use half::HalfBounded;
pub use number::{Bounded, Number};

use crate::activation::Activation;
use crate::loss::{Loss, Reduction};
use crate::network::{Dropout, Layer, Network};
use crate::params::{Params, Role, Tensor};
use crate::{Error, Result};
use std::ops::Range;

/// The loss of a batch and its derivatives, or bounds on how far f32 may be from them.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// `C`
    pub loss: f64,
    /// `∂C/∂W` and `∂C/∂b` in an arena laid out by [`Params`], frozen ones included; 0 in the padding.
    pub params: Vec<f64>,
    /// `∂C/∂x`, `[rows, inputs]`
    pub input: Vec<f64>,
    /// `δ_l = ∂C/∂z_l` of each layer, `[rows, outputs]`, with z the sums before any normalisation
    pub deltas: Vec<Vec<f64>>,
}

/// A network and a loss, computed by the textbook from an arena of parameters that [`Params`] lays out.
#[derive(Clone, Debug)]
pub struct Reference {
    layers: Vec<Dense>,
    loss: Loss,
    reduction: Reduction,
    /// Whether the weight of a row stands behind its targets.
    weighted: bool,
    /// The output activation of predictions; the last of `layers` has that of training.
    output: Activation,
    inputs: usize,
    outputs: usize,
    arena: usize,
    /// What the masks of dropout are drawn by.
    seed: u32,
}

/// Where a layer's parameters lie, and what it computes in training.
#[derive(Clone, Debug)]
struct Dense {
    /// `[outputs, inputs]`
    weight: Range<usize>,
    /// `[outputs]`, `[1]` where the units share one, empty where there is none
    bias: Range<usize>,
    inputs: usize,
    outputs: usize,
    activation: Activation,
    number: u32,
    dropout: Dropout,
    residual: bool,
    normalized: Option<Normalized>,
}

/// What the forward pass leaves for the backward pass.
struct Forward<N> {
    /// `a_{l−1}` of each layer l, `[rows, inputs]`
    inputs: Vec<Vec<N>>,
    /// What the activation of each layer l is applied to, `[rows, outputs]`: `z_l`, or the same normalised.
    z: Vec<Vec<N>>,
    /// What the normalisation of each layer leaves.
    normal: Vec<Option<Normal<N>>>,
    /// `a_L`, `[rows, outputs]`
    output: Vec<N>,
}

/// [`Gradients`] in either kind of number.
pub(crate) struct Backward<N> {
    pub(crate) loss: N,
    pub(crate) params: Vec<N>,
    pub(crate) input: Vec<N>,
    deltas: Vec<Vec<N>>,
}

impl Reference {
    /// The reference for `network` under `loss`; an error where the two do not fit.
    pub fn new(network: &Network, loss: Loss) -> Result<Self> {
        network.validate()?;
        let output = network.output_activation();
        loss.check_output(output)?;
        if let Loss::Equation(equation) = loss {
            equation.check(network)?;
        }
        let params = Params::of(network);
        let place = |layer, role| params.get(layer, role).map_or(0..0, Tensor::range);
        let dense = |(l, layer): (usize, &Layer)| Dense {
            weight: place(l, Role::Weight),
            bias: place(l, Role::Bias),
            inputs: network.layer_inputs(l),
            outputs: layer.outputs,
            activation: layer.activation,
            number: l as u32,
            dropout: layer.dropout,
            residual: layer.residual,
            normalized: Normalized::of(&params, l, layer),
        };
        let mut layers: Vec<_> = network.layers.iter().enumerate().map(dense).collect();
        if let Some(last) = layers.last_mut() {
            last.activation = loss.training_activation(output);
        }
        let (inputs, outputs, arena) = (network.inputs, network.outputs(), params.len);
        let reduction = loss.reduction();
        Ok(Reference { layers, loss, reduction, weighted: false, output, inputs, outputs, arena, seed: 0 })
    }

    /// The same for a step whose random numbers are drawn by `seed`.
    pub fn with_seed(self, seed: u32) -> Self {
        Reference { seed, ..self }
    }

    /// The same where a row of targets has the weight of its loss as one more number at its end. Not for equations.
    pub fn weighted(self) -> Self {
        Reference { weighted: true, ..self }
    }

    /// The same with `reduction` for the sum of the loss. Not for equations.
    pub fn reduced_by(self, reduction: Reduction) -> Self {
        Reference { reduction, ..self }
    }

    /// What the network predicts, `[rows, outputs]`, from the arena `values` and `inputs`, `[rows, inputs]`.
    pub fn forward(&self, values: &[f64], inputs: &[f64], rows: usize) -> Result<Vec<f64>> {
        self.predict(values, inputs, rows)
    }

    /// How far a correct f32 prediction may be from [`Reference::forward`], `[rows, outputs]`.
    pub fn forward_bounds(&self, values: &[f64], inputs: &[f64], rows: usize) -> Result<Vec<f64>> {
        Ok(errors(&self.predict(values, inputs, rows)?))
    }

    /// [`Reference::forward_bounds`] for mixed precision, the prediction stored in f16.
    pub fn half_forward_bounds(&self, values: &[f64], inputs: &[f64], rows: usize) -> Result<Vec<f64>> {
        let predicted = self.predict::<HalfBounded>(values, inputs, rows)?;
        Ok(predicted.into_iter().map(|x| x.stored().0.error).collect())
    }

    /// The loss of a batch with `inputs`, `[rows, inputs]`, and `targets`, `[rows, outputs]`.
    pub fn loss(&self, values: &[f64], inputs: &[f64], targets: &[f64], rows: usize) -> Result<f64> {
        self.check(values, inputs, Some(targets), rows)?;
        if let Loss::Equation(equation) = self.loss {
            return Ok(self.jets(equation, values, inputs, targets, rows)?.loss);
        }
        Ok(self.cost(&self.pass(values, inputs, true).output, targets, rows).0)
    }

    /// The loss of a batch and all its derivatives, by the four equations of backpropagation.
    ///
    /// With `C` the reduced loss, ⊙ the element-wise product, and sums over the rows of the batch, in order:
    ///
    /// 1. `δ_L = ∇_a C ⊙ f_L′(z_L)`
    /// 2. `δ_l = (W_{l+1}ᵀ δ_{l+1}) ⊙ f_l′(z_l)`, and likewise `∂C/∂x = W_1ᵀ δ_1`
    /// 3. `∂C/∂b_l = Σ δ_l`, summed over the units as well where they share one bias
    /// 4. `∂C/∂W_l = Σ δ_l a_{l−1}ᵀ`
    ///
    /// Nielsen, *Neural Networks and Deep Learning*, chapter 2.
    pub fn gradients(&self, values: &[f64], inputs: &[f64], targets: &[f64], rows: usize) -> Result<Gradients> {
        let Backward { loss, params, input, deltas } = match self.loss {
            Loss::Equation(equation) => self.jets(equation, values, inputs, targets, rows)?,
            _ => self.backpropagate(values, inputs, targets, rows)?,
        };
        Ok(Gradients { loss, params, input, deltas })
    }

    /// How far correct f32 arithmetic on these numbers, which f32 must hold exactly, may be from
    /// [`Reference::gradients`], in any order of summation; derived at [`Bounded`].
    pub fn bounds(&self, values: &[f64], inputs: &[f64], targets: &[f64], rows: usize) -> Result<Gradients> {
        Ok(errors_of(self.bounded(&given(values), inputs, targets, rows)?, |x| x.error))
    }

    /// [`Reference::bounds`] for mixed precision: weights for products, inputs, activations and deltas in f16, at a
    /// dynamic loss scale of at least 1. Infinite where f16 may overflow.
    pub fn half_bounds(&self, values: &[f64], inputs: &[f64], targets: &[f64], rows: usize) -> Result<Gradients> {
        let bounded = self.backpropagate::<HalfBounded>(&given(values), inputs, targets, rows)?;
        Ok(errors_of(bounded, |x| x.0.error))
    }

    /// The loss and all its derivatives, each with its bound, where the parameters have bounds too: after a step, say.
    pub(crate) fn bounded(
        &self,
        values: &[Bounded],
        inputs: &[f64],
        targets: &[f64],
        rows: usize,
    ) -> Result<Backward<Bounded>> {
        match self.loss {
            Loss::Equation(equation) => self.jets(equation, values, inputs, targets, rows),
            _ => self.backpropagate(values, inputs, targets, rows),
        }
    }

    fn check<N>(&self, values: &[N], inputs: &[f64], targets: Option<&[f64]>, rows: usize) -> Result<()> {
        if rows == 0 {
            return Err(Error::shape("rows of the batch", "at least 1", rows));
        }
        let check = |what, expected, found| {
            if expected == found { Ok(()) } else { Err(Error::shape(what, expected, found)) }
        };
        check("length of the parameter arena", self.arena, values.len())?;
        check("length of the inputs", rows * self.inputs, inputs.len())?;
        let width = self.loss.target_width(self.outputs) + usize::from(self.weighted);
        targets.map_or(Ok(()), |targets| check("length of the targets", rows * width, targets.len()))
    }

    fn predict<N: Number>(&self, values: &[f64], inputs: &[f64], rows: usize) -> Result<Vec<N>> {
        self.check(values, inputs, None, rows)?;
        let logits = self.pass(&given(values), inputs, false).z.pop().unwrap_or_default();
        Ok(logits.iter().map(|&z| N::activation(self.output, z)).collect())
    }

    /// `z_l = W_l a_{l−1} + b_l` and `a_l = f_l(z_l)` for each layer l, with `a_0 = x`; in between, normalisation, and last
    /// dropout, where it `trains`, and the residual connection.
    fn pass<N: Number>(&self, values: &[N], inputs: &[f64], trains: bool) -> Forward<N> {
        let output = inputs.iter().map(|&x| N::given(x).stored()).collect();
        let mut forward = Forward { inputs: Vec::new(), z: Vec::new(), normal: Vec::new(), output };
        for layer in &self.layers {
            let mut z = layer.forward(values, &forward.output);
            let normal = layer.normalized.as_ref().map(|normalized| normalized.forward(values, &mut z, trains));
            let mut a: Vec<N> = z.iter().map(|&z| N::activation(layer.activation, z).stored()).collect();
            if trains {
                layer.drop_out(self.seed, &mut a);
            }
            layer.add(&forward.output, &mut a);
            forward.inputs.push(std::mem::replace(&mut forward.output, a));
            forward.z.push(z);
            forward.normal.push(normal);
        }
        forward
    }

    /// `C` and `∇_a C`, `[rows, outputs]`, for the outputs `y`.
    fn cost<N: Number>(&self, y: &[N], targets: &[f64], rows: usize) -> (N, Vec<N>) {
        let reduction = N::factor(self.reduction.scale(rows, self.outputs));
        let (mut terms, mut gradient) = (Vec::new(), Vec::new());
        let width = self.outputs + usize::from(self.weighted);
        for (y, t) in y.chunks(self.outputs).zip(targets.chunks(width)) {
            let (t, weight) = t.split_at(self.outputs);
            let scale = weight.first().map_or(reduction, |&weight| reduction * N::given(weight));
            let log_sum_exp = N::log_sum_exp(y);
            let target_sum = N::sum(t.iter().map(|&t| N::given(t)));
            for (&y, &t) in y.iter().zip(t) {
                let [value, derivative] = N::loss(self.loss, y, N::given(t), [log_sum_exp, target_sum]);
                terms.push(weight.first().map_or(value, |&weight| N::given(weight) * value));
                gradient.push(scale * derivative);
            }
        }
        (reduction * N::sum(terms.into_iter()), gradient)
    }

    fn backpropagate<N: Number>(
        &self,
        values: &[N],
        inputs: &[f64],
        targets: &[f64],
        rows: usize,
    ) -> Result<Backward<N>> {
        self.check(values, inputs, Some(targets), rows)?;
        let forward = self.pass(values, inputs, true);
        let (loss, mut arriving) = self.cost(&forward.output, targets, rows);
        let mut params = vec![N::given(0.0); self.arena];
        let mut deltas = Vec::new();
        let passed = forward.inputs.iter().zip(&forward.z).zip(&forward.normal);
        for (layer, ((a, z), normal)) in self.layers.iter().zip(passed).rev() {
            let beside = arriving.clone();
            layer.drop_out(self.seed, &mut arriving);
            let delta = arriving.iter().zip(z).map(|(&g, &z)| (g * N::slope(layer.activation, z)).stored());
            let mut delta: Vec<N> = delta.collect();
            if let (Some(normalized), Some(normal)) = (&layer.normalized, normal) {
                normalized.backward(values, normal, &mut delta, &mut params);
            }
            layer.bias_gradient(&delta, &mut params[layer.bias.clone()]);
            layer.weight_gradient(&delta, a, &mut params[layer.weight.clone()]);
            arriving = layer.input_gradient(values, &delta);
            layer.add(&beside, &mut arriving);
            deltas.push(delta);
        }
        deltas.reverse();
        Ok(Backward { loss, params, input: arriving, deltas })
    }
}

impl Dense {
    /// `z = W a + b`: `[rows, inputs]` → `[rows, outputs]`
    fn forward<N: Number>(&self, values: &[N], a: &[N]) -> Vec<N> {
        let (weight, bias) = (&values[self.weight.clone()], &values[self.bias.clone()]);
        let unit = |a: &[N], o: usize| {
            let products = weight[o * self.inputs..][..self.inputs].iter().zip(a).map(|(&w, &a)| w.stored() * a);
            let bias = bias.get(if bias.len() == 1 { 0 } else { o });
            N::sum(products.chain(bias.copied()))
        };
        a.chunks(self.inputs).flat_map(|a| (0..self.outputs).map(move |o| unit(a, o))).collect()
    }

    /// `∂C/∂b = Σ δ`, over the rows, and over the units where they share the bias.
    fn bias_gradient<N: Number>(&self, delta: &[N], gradient: &mut [N]) {
        let biases = gradient.len();
        for (o, gradient) in gradient.iter_mut().enumerate() {
            *gradient = N::sum(delta.iter().skip(o).step_by(biases).copied());
        }
    }

    /// `∂C/∂W = Σ δ aᵀ`, over the rows: `[outputs, inputs]`
    fn weight_gradient<N: Number>(&self, delta: &[N], a: &[N], gradient: &mut [N]) {
        for (o, gradient) in gradient.chunks_mut(self.inputs).enumerate() {
            for (i, gradient) in gradient.iter_mut().enumerate() {
                let rows = delta.chunks(self.outputs).zip(a.chunks(self.inputs));
                *gradient = N::sum(rows.map(|(delta, a)| delta[o] * a[i]));
            }
        }
    }

    /// `∂C/∂a = Wᵀ δ`: `[rows, outputs]` → `[rows, inputs]`
    fn input_gradient<N: Number>(&self, values: &[N], delta: &[N]) -> Vec<N> {
        let weight = &values[self.weight.clone()];
        let input = |delta: &[N], i: usize| {
            N::sum(weight.chunks(self.inputs).zip(delta).map(|(w, &delta)| w[i].stored() * delta))
        };
        delta.chunks(self.outputs).flat_map(|delta| (0..self.inputs).map(move |i| input(delta, i))).collect()
    }
}

fn given<N: Number>(values: &[f64]) -> Vec<N> {
    values.iter().map(|&x| N::given(x)).collect()
}

fn errors_of<N: Number>(numbers: Backward<N>, error: impl Fn(N) -> f64) -> Gradients {
    let errors = |numbers: &[N]| numbers.iter().map(|&x| error(x)).collect();
    Gradients {
        loss: error(numbers.loss),
        params: errors(&numbers.params),
        input: errors(&numbers.input),
        deltas: numbers.deltas.iter().map(|delta| errors(delta)).collect(),
    }
}

fn errors(numbers: &[Bounded]) -> Vec<f64> {
    numbers.iter().map(|x| x.error).collect()
}

/// The gradient of `f` at `x` by central differences, which know nothing of `f` but its values.
///
/// `D(h) = (f(x + h) − f(x − h)) / 2h` errs by `O(h²)`, Richardson's `(4 D(h/2) − D(h)) / 3` by `O(h⁴)`. The step
/// `h = 2⁻¹⁴ max(1, |x_k|)`, about the fourth root of the f64 precision, keeps the truncation far below the rounding, which
/// is about 10⁻¹¹ of `f`. `f` must be smooth within `h`.
pub fn numerical_gradient(f: impl Fn(&[f64]) -> Result<f64>, x: &[f64]) -> Result<Vec<f64>> {
    let mut at = x.to_vec();
    let mut value = |k: usize, moved: f64| {
        at[k] = moved;
        let value = f(&at);
        at[k] = x[k];
        value
    };
    let mut difference = |k: usize, h: f64| {
        let (above, below) = (x[k] + h, x[k] - h);
        Ok((value(k, above)? - value(k, below)?) / (above - below))
    };
    let richardson = |k: usize| {
        let h = x[k].abs().max(1.0) / 16384.0;
        Ok((4.0 * difference(k, h / 2.0)? - difference(k, h)?) / 3.0)
    };
    (0..x.len()).map(richardson).collect()
}

#[cfg(test)]
mod tests;
