// On the logit of a sigmoid output the formula is that of `binary_cross_entropy`; only the reduction differs.
pub(super) use super::binary_cross_entropy::{derivative, value};

pub(super) const REDUCTION: super::Reduction = super::Reduction::Samples;
