//! The textbook for losses with derivatives of the output by the inputs: the derivatives are carried along forward, layer
//! by layer, and what flows back through each of them is added up.

use super::{Backward, Number, Reference};
use crate::Result;
use crate::graph::Arithmetic;
use crate::loss::Equation;

impl Reference {
    pub(super) fn jets<N: Number + Arithmetic>(
        &self,
        equation: Equation,
        values: &[N],
        inputs: &[f64],
        targets: &[f64],
        rows: usize,
    ) -> Result<Backward<N>> {
        self.check(values, inputs, Some(targets), rows)?;
        let components = equation.components();
        // Of each component `[rows, width]`: x itself, 1 for its own derivative, 0 for all else.
        let mut a: Vec<Vec<N>> = Vec::new();
        for derivative in components.iter() {
            let element = |(e, &x): (usize, &f64)| match derivative[..] {
                [] => N::given(x),
                [i] if e % self.inputs == i => N::given(1.0),
                _ => N::given(0.0),
            };
            a.push(inputs.iter().enumerate().map(element).collect());
        }
        let (mut arguments, mut preactivations) = (Vec::new(), Vec::new());
        for layer in &self.layers {
            let mut plain = layer.clone();
            plain.bias = 0..0;
            let product =
                |(c, a): (usize, &Vec<N>)| if c == 0 { layer.forward(values, a) } else { plain.forward(values, a) };
            let z: Vec<Vec<N>> = a.iter().enumerate().map(product).collect();
            let f = components.forward(layer.activation)?;
            let jets = (0..z[0].len()).map(|e| f.compute(|c| z[c][e]));
            arguments.push(std::mem::replace(&mut a, transposed(jets, components.len())));
            preactivations.push(z);
        }

        // A sample's loss, and its derivatives by the components of the output.
        let scale = N::factor(1.0 / rows as f64);
        let data = equation.text().data.len();
        let (mut terms, mut own) = (Vec::new(), Vec::new());
        let mut arriving = vec![Vec::new(); components.len()];
        for r in 0..rows {
            let given = |all: &[f64], width: usize| -> Vec<N> {
                all[r * width..][..width].iter().map(|&x| N::given(x)).collect()
            };
            let outputs = a.iter().flat_map(|a| a[r * self.outputs..][..self.outputs].to_vec());
            let sample: Vec<N> =
                [given(inputs, self.inputs), given(targets, data)].concat().into_iter().chain(outputs).collect();
            let results = equation.function().compute(|i| sample[i]);
            terms.push(results[0]);
            let (by_jets, by_inputs) = results[1..].split_at(components.len() * self.outputs);
            for (arriving, gradients) in arriving.iter_mut().zip(by_jets.chunks(self.outputs)) {
                arriving.extend(gradients.iter().map(|&gradient| scale * gradient));
            }
            own.extend(by_inputs.iter().map(|&gradient| scale * gradient));
        }
        let loss = scale * N::sum(terms.into_iter());

        let mut params = vec![N::given(0.0); self.arena];
        let mut deltas = Vec::new();
        for ((layer, a), z) in self.layers.iter().zip(&arguments).zip(&preactivations).rev() {
            let back = components.backward(layer.activation)?;
            let jets = (0..z[0].len()).map(|e| {
                back.compute(|i| if i < components.len() { z[i][e] } else { arriving[i - components.len()][e] })
            });
            let delta = transposed(jets, components.len());
            layer.bias_gradient(&delta[0], &mut params[layer.bias.clone()]);
            layer.weight_gradient(&delta.concat(), &a.concat(), &mut params[layer.weight.clone()]);
            arriving = delta.iter().map(|delta| layer.input_gradient(values, delta)).collect();
            deltas.push(delta.into_iter().next().unwrap_or_default());
        }
        deltas.reverse();
        let input = arriving[0].iter().zip(own).map(|(&through, own)| N::sum([through, own].into_iter())).collect();
        Ok(Backward { loss, params, input, deltas })
    }
}

/// One list for each component from one jet for each element.
fn transposed<N: Copy>(jets: impl Iterator<Item = Vec<N>>, components: usize) -> Vec<Vec<N>> {
    let mut all = vec![Vec::new(); components];
    for jet in jets {
        all.iter_mut().zip(jet).for_each(|(component, x)| component.push(x));
    }
    all
}
