//! A plan as people read it.

use super::{Binding, Plan, Slot, Step};
use crate::kernel::Access;
use crate::params::Tensor;
use std::fmt;

impl fmt::Display for Plan {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let names: Vec<_> = self.steps.iter().map(|step| step.kernel.to_string()).collect();
        let width = |texts: &mut dyn Iterator<Item = &str>| texts.map(|t| t.chars().count()).max().unwrap_or(0);
        let label_width = width(&mut self.steps.iter().map(|step| step.label.as_str()));
        let kernel_width = width(&mut names.iter().map(String::as_str));
        let mut phase = None;
        for (number, (step, kernel)) in self.steps.iter().zip(&names).enumerate() {
            if phase != Some(step.phase) {
                writeln!(f, "{}", step.phase.name())?;
                phase = Some(step.phase);
            }
            let sizes: Vec<_> = step.uniform.dims.iter().filter(|&&d| d > 0).map(u32::to_string).collect();
            let (reads, writes) = self.reads_and_writes(step);
            let sizes = sizes.join(" × ");
            writeln!(f, "  {number:>3}  {:<label_width$}  {kernel:<kernel_width$}  [{sizes}]", step.label)?;
            writeln!(f, "         {} → {}", reads.join(", "), writes.join(", "))?;
        }
        Ok(())
    }
}

impl Plan {
    /// What a step reads and what it writes, as people call it: a slot, or a parameter, or `∂` and a parameter for its
    /// gradient.
    pub fn reads_and_writes(&self, step: &Step) -> (Vec<String>, Vec<String>) {
        let (mut reads, mut writes) = (Vec::new(), Vec::new());
        for (spec, binding) in step.kernel.bindings().iter().zip(&step.bindings) {
            let side = if spec.access == Access::Write { &mut writes } else { &mut reads };
            side.push(self.describe(binding));
        }
        (reads, writes)
    }

    fn describe(&self, binding: &Binding) -> String {
        let within = |tensor: &&Tensor| {
            binding.range.start <= tensor.offset && tensor.range().end <= binding.range.end && !binding.range.is_empty()
        };
        let tensors: Vec<_> = self.params.tensors.iter().filter(within).collect();
        let names = |prefix: &str| tensors.iter().map(|t| format!("{prefix}{}", t.name)).collect::<Vec<_>>().join(", ");
        let of_a_layer = match (tensors.first(), tensors.last()) {
            (Some(first), Some(last)) => first.layer == last.layer && (first.offset..last.range().end) == binding.range,
            _ => false,
        };
        match binding.slot {
            Slot::Params if of_a_layer => names(""),
            Slot::Gradients if of_a_layer => names("∂"),
            slot => slot.to_string(),
        }
    }
}
