//! What kernels are compiled for that hold a whole network: its layers, the loss, the optimizer's rule.

use crate::activation::Activation;
use crate::loss::Loss;
use crate::network::Network;
use crate::optimizer::Rule;
use std::collections::BTreeMap;

/// A network with what its training step needs.
#[derive(Clone, Debug, PartialEq, Eq, Hash)]
pub struct Whole {
    /// The architecture; its frozen parameters are not updated.
    pub network: Network,
    /// The loss.
    pub loss: Loss,
    /// How gradients change parameters.
    pub rule: Rule,
}

impl Whole {
    /// The activation that layer `i` has in training: the loss may contain that of the last layer.
    pub fn activation(&self, i: usize) -> Activation {
        let activation = self.network.layers[i].activation;
        let last = i + 1 == self.network.layers.len();
        if last { self.loss.training_activation(activation) } else { activation }
    }

    /// The activation of every layer.
    pub(super) fn activations(&self) -> impl Iterator<Item = Activation> {
        (0..self.network.layers.len()).map(|i| self.activation(i))
    }
}

/// The hook functions of `activations`, each kind once and under names of its own: `activation_relu(z)`,
/// `activation_derivative_relu(s)`.
pub(super) fn activation_hooks(activations: impl Iterator<Item = Activation>) -> String {
    let kinds: BTreeMap<_, _> = activations.map(|activation| (activation.hook(), activation.wgsl())).collect();
    kinds.into_iter().map(|(hook, wgsl)| suffixed(wgsl, hook)).collect()
}

/// WGSL whose functions bear `_suffix` behind their names, where they are declared and where they are called.
fn suffixed(wgsl: &str, suffix: &str) -> String {
    let declared: Vec<_> = wgsl.split("fn ").skip(1).filter_map(|rest| rest.split_once('(')).collect();
    declared.iter().fold(wgsl.to_owned(), |text, (name, _)| {
        let mut parts = text.split(&format!("{name}(")).map(str::to_owned).collect::<Vec<_>>();
        let last = parts.pop().unwrap_or_default();
        let called = |part: String| match part.chars().next_back() {
            // The end of a longer name is another function.
            Some(c) if c.is_alphanumeric() || c == '_' => format!("{part}{name}("),
            _ => format!("{part}{name}_{suffix}("),
        };
        parts.into_iter().map(called).collect::<String>() + &last
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hooks_bear_names_of_their_own() {
        let hooks = suffixed(Activation::Gelu.wgsl(), "gelu");
        assert!(hooks.contains("fn normal_cdf_gelu(z: f32)"), "{hooks}");
        assert!(hooks.contains("fn activation_gelu(z: f32) -> f32 { return z * normal_cdf_gelu(z); }"), "{hooks}");
        assert!(hooks.contains("fn activation_derivative_gelu(z: f32)"), "{hooks}");
        assert!(hooks.contains("erf("), "functions of others keep their names: {hooks}");
    }
}
