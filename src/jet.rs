//! Derivatives of a network's output with respect to its inputs, carried along with the values: a *jet*.
//!
//! A jet of `u` holds `u` and those of its partial derivatives that somebody wants, say `u, u_x, u_xx`, with all lower ones
//! that they need. A dense layer takes the jet of its input to that of its pre-activation by the same matrix,
//! `∂z = W ∂a`, so the components of a jet are further rows of the batch. Behind an activation `a = f(z)` the chain rule
//! mixes them: `a_x = f′ z_x`, `a_xx = f″ z_x² + f′ z_xx`. Those formulas, of any order, and what flows back through
//! them come from the computation graph.
//!
//! Griewank and Walther, *Evaluating Derivatives* (2nd ed.), chapter 13.

use crate::activation::Activation;
use crate::graph::{Expr, Function, Graph};
use crate::{Error, Result};

/// A partial derivative, by the numbers of the inputs that it is taken by, in ascending order: `[0, 0]` is `∂²/∂x₀²`. The
/// value itself is `[]`.
pub type Derivative = Vec<usize>;

/// The components of a jet: the value first, then partial derivatives, each behind those that it is computed from.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Components(Vec<Derivative>);

impl Components {
    /// The value and `wanted`, with every lower derivative that they need.
    pub fn closure(wanted: impl IntoIterator<Item = Derivative>) -> Self {
        let mut all = vec![Derivative::new()];
        let mut waiting: Vec<Derivative> = wanted.into_iter().collect();
        while let Some(mut derivative) = waiting.pop() {
            derivative.sort_unstable();
            if all.contains(&derivative) {
                continue;
            }
            waiting.extend((0..derivative.len()).map(|i| without(&derivative, i)));
            all.push(derivative);
        }
        all.sort_by(|a, b| (a.len(), a).cmp(&(b.len(), b)));
        Components(all)
    }

    /// How many there are, the value included.
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Never: the value is always there.
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// Each component.
    pub fn iter(&self) -> impl Iterator<Item = &Derivative> {
        self.0.iter()
    }

    /// Which component a derivative is.
    pub fn position(&self, derivative: &[usize]) -> Option<usize> {
        self.0.iter().position(|known| known == derivative)
    }

    /// Which component has one more derivative by `input` than component `of`.
    fn raised(&self, of: usize, input: usize) -> Option<usize> {
        let mut derivative = self.0[of].clone();
        derivative.push(input);
        derivative.sort_unstable();
        self.position(&derivative)
    }

    /// The jet of `f(z)` from that of `z`, as expressions.
    fn compose<'g>(&self, activation: Activation, z: &[Expr<'g>]) -> Result<Vec<Expr<'g>>> {
        let mut a = vec![activation.on(z[0])?];
        for derivative in &self.0[1..] {
            let (&input, lower) = derivative.split_last().ok_or_else(|| Error::shape("a derivative's order", 1, 0))?;
            let parent = self.position(lower).ok_or_else(|| missing(lower))?;
            // ∂/∂x of an expression of the jet: each component moves by the one that has one more derivative by x.
            let gradients = a[parent].backward();
            let mut total: Option<Expr<'g>> = None;
            for k in (0..z.len()).filter(|&k| gradients.depends_on(z[k])) {
                let raised = self.raised(k, input).ok_or_else(|| missing(derivative))?;
                let term = gradients.of(z[k]) * z[raised];
                total = Some(total.map_or(term, |total| total + term));
            }
            a.push(total.unwrap_or_else(|| z[0].graph().constant(0.0)));
        }
        Ok(a)
    }

    /// The function from the jet of `z` to that of `f(z)`.
    ///
    /// # Errors
    /// Those of [`Activation::on`].
    pub fn forward(&self, activation: Activation) -> Result<Function> {
        let graph = Graph::new();
        let names = self.names("z");
        let names: Vec<&str> = names.iter().map(String::as_str).collect();
        let z: Vec<_> = names.iter().map(|name| graph.variable(name)).collect();
        graph.function(&names, &self.compose(activation, &z)?)
    }

    /// The function from the jet of `z`, and the derivatives of something by the jet of `f(z)`, to its derivatives by the
    /// jet of `z`.
    ///
    /// # Errors
    /// Those of [`Activation::on`].
    pub fn backward(&self, activation: Activation) -> Result<Function> {
        let graph = Graph::new();
        let (z_names, g_names) = (self.names("z"), self.names("g"));
        let names: Vec<&str> = z_names.iter().chain(&g_names).map(String::as_str).collect();
        let variables: Vec<_> = names.iter().map(|name| graph.variable(name)).collect();
        let (z, g) = variables.split_at(self.len());
        let terms = self.compose(activation, z)?.into_iter().zip(g).map(|(a, &g)| g * a);
        let total = terms.reduce(|sum, term| sum + term).unwrap_or_else(|| graph.constant(0.0));
        let gradients = total.backward();
        let outputs: Vec<_> = z.iter().map(|&z| gradients.of(z)).collect();
        graph.function(&names, &outputs)
    }

    fn names(&self, of: &str) -> Vec<String> {
        (0..self.len()).map(|i| format!("{of}{i}")).collect()
    }
}

fn without(derivative: &[usize], i: usize) -> Derivative {
    [&derivative[..i], &derivative[i + 1..]].concat()
}

fn missing(derivative: &[usize]) -> Error {
    Error::Config(format!("a jet lacks the derivative by inputs {derivative:?}, which others are computed from"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_derivative_needs_comes_before_it() {
        let components = Components::closure([vec![1, 0, 0]]);
        let expected: [&[usize]; 6] = [&[], &[0], &[1], &[0, 0], &[0, 1], &[0, 0, 1]];
        assert!(components.iter().map(Vec::as_slice).eq(expected), "{components:?}");
        assert_eq!(Components::closure([]).len(), 1);
    }

    /// `a = tanh z` with `z = sin x`: the chain rule against differences of the composed function.
    #[test]
    fn jets_compose() -> Result<()> {
        let components = Components::closure([vec![0, 0, 0]]);
        let f = components.forward(Activation::Tanh)?;
        let x: f64 = 0.7;
        let found = f.eval(&[x.sin(), x.cos(), -x.sin(), -x.cos()]);
        let graph = Graph::new();
        let variable = graph.variable("x");
        let mut derivative = variable.sin().tanh();
        let mut expected = Vec::new();
        for _ in 0..4 {
            expected.push(derivative);
            derivative = derivative.backward().of(variable);
        }
        let expected = graph.function(&["x"], &expected)?.eval(&[x]);
        assert!(found.iter().zip(&expected).all(|(a, b)| (a - b).abs() < 1e-13), "{found:?}, {expected:?}");
        Ok(())
    }
}
