//! Networks as graphs: every unit a node.

use super::{Expr, Graph};
use crate::network::{Bias, Network};
use crate::params::{Params, Role};
use crate::{Error, Result};

impl Graph {
    /// The outputs of `network` for `inputs`, from its parameters, which are laid out by [`Params::of`]: every unit is a
    /// node, so that anything can be done with it. For small networks.
    ///
    /// # Errors
    /// [`Error::Shape`] where there are too few or too many inputs or parameters; [`Error::Config`] where a layer has a
    /// normalisation, dropout or a residual connection.
    pub fn network<'g>(&'g self, network: &Network, params: &[Expr<'g>], inputs: &[Expr<'g>]) -> Result<Vec<Expr<'g>>> {
        network.check_plain("a graph of units")?;
        let places = Params::of(network);
        for (what, expected, found) in
            [("inputs", network.inputs, inputs.len()), ("parameters", places.len, params.len())]
        {
            if expected != found {
                return Err(Error::shape(format!("{what} of the network {network}"), expected, found));
            }
        }
        let mut a = inputs.to_vec();
        for (l, layer) in network.layers.iter().enumerate() {
            let of = |role| places.get(l, role).map_or(&[][..], |tensor| &params[tensor.range()]);
            let (weight, bias) = (of(Role::Weight), of(Role::Bias));
            let unit = |o: usize| {
                let products = weight[o * a.len()..][..a.len()].iter().zip(&a).map(|(&w, &a)| w * a);
                let bias = match layer.bias {
                    Bias::PerUnit => bias.get(o),
                    Bias::Shared => bias.first(),
                    Bias::None => None,
                };
                let sum = products.chain(bias.copied()).reduce(|sum, term| sum + term);
                layer.activation.on(sum.unwrap_or_else(|| self.constant(0.0)))
            };
            let units = (0..layer.outputs).map(unit).collect::<Result<Vec<_>>>()?;
            a = units;
        }
        Ok(a)
    }
}
