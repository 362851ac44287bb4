use super::Verdict;
use crate::kernel::{Abilities, Kernel, Variant};
use crate::plan::Plan;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// The variant that each kernel of a plan runs, by name: what a model file keeps, so that a rerun repeats it. Variants sum
/// in different orders, so the last bits of a result depend on which of them ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Variants(BTreeMap<String, String>);

impl Variants {
    /// The winners of `verdicts`.
    pub fn of(verdicts: &[Verdict]) -> Self {
        let mut variants = Variants::default();
        verdicts.iter().for_each(|verdict| variants.insert(&verdict.kernel, verdict.dims, verdict.winner));
        variants
    }

    /// Has `kernel` run `variant` over `dims`.
    pub fn insert(&mut self, kernel: &Kernel, dims: [u32; 4], variant: Variant) {
        self.0.insert(place(kernel, dims), variant.to_string());
    }

    /// The name of the variant that `kernel` runs over `dims`, where one is given.
    pub fn get(&self, kernel: &Kernel, dims: [u32; 4]) -> Option<&str> {
        self.0.get(&place(kernel, dims)).map(String::as_str)
    }

    /// The first place of `plan` with a choice between variants that is not made here.
    pub fn missing(&self, plan: &Plan) -> Option<String> {
        let open = plan.steps.iter().filter(|step| step.kernel.variants(Abilities::default()).len() > 1);
        let mut places = open.map(|step| place(&step.kernel, step.uniform.dims));
        places.find(|place| !self.0.contains_key(place))
    }
}

/// `matmul_nt + bias + sigmoid 128×256×784`
pub(super) fn place(kernel: &Kernel, dims: [u32; 4]) -> String {
    format!("{kernel} {}", sizes(dims))
}

/// `128×256×784`
pub(super) fn sizes(dims: [u32; 4]) -> String {
    let sizes: Vec<_> = dims.iter().filter(|&&d| d > 0).map(u32::to_string).collect();
    sizes.join("×")
}
