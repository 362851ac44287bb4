//! What a plan's buffers are for, and how much of that is needed.

use super::{Phase, Plan, Slot};

/// What a slot is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Group {
    /// The parameters.
    Parameters,
    /// What the loss changes by with them, and with the inputs.
    Gradients,
    /// What the optimizer remembers, and the average of the parameters.
    OptimizerState,
    /// The samples of one step and what they should give.
    Batch,
    /// What layers put out, kept for the backward pass.
    Activations,
    /// `∂loss/∂z` of layers on its way back.
    Deltas,
    /// The data set, or the region that it is streamed through, with its order.
    Data,
    /// Losses, schedule, clock, and what kernels hand to each other.
    Workspace,
}

impl Group {
    /// Every group.
    pub const ALL: &'static [Group] = &[
        Group::Parameters,
        Group::Gradients,
        Group::OptimizerState,
        Group::Batch,
        Group::Activations,
        Group::Deltas,
        Group::Data,
        Group::Workspace,
    ];

    /// The name in a printed report.
    pub fn name(self) -> &'static str {
        match self {
            Group::Parameters => "parameters",
            Group::Gradients => "gradients",
            Group::OptimizerState => "optimizer_state",
            Group::Batch => "batch",
            Group::Activations => "activations",
            Group::Deltas => "deltas",
            Group::Data => "data",
            Group::Workspace => "workspace",
        }
    }
}

impl Slot {
    /// What the slot is for.
    pub fn group(self) -> Group {
        match self {
            Slot::Params | Slot::HalfParams => Group::Parameters,
            Slot::Gradients | Slot::LayerGradients | Slot::GradientSums | Slot::InputGradient => Group::Gradients,
            Slot::State(_) | Slot::Average => Group::OptimizerState,
            Slot::Input | Slot::InputJets | Slot::Target => Group::Batch,
            Slot::Activation(_)
            | Slot::Preactivation(_)
            | Slot::Output
            | Slot::Normal(_)
            | Slot::Statistics(_)
            | Slot::Joined(_) => Group::Activations,
            Slot::Delta(_) | Slot::Flow(_) => Group::Deltas,
            Slot::DataInputs | Slot::DataTargets | Slot::Order => Group::Data,
            Slot::Partials
            | Slot::Scratch
            | Slot::Scaler
            | Slot::Overflow
            | Slot::PartialSums
            | Slot::Squares
            | Slot::Clip
            | Slot::RowLoss
            | Slot::Losses
            | Slot::Schedule
            | Slot::Clock => Group::Workspace,
        }
    }
}

impl Plan {
    /// Bytes of the slots of `group`.
    pub fn bytes_of(&self, group: Group) -> u64 {
        let slots = self.slots.iter().filter(|info| info.slot.group() == group);
        slots.map(|info| (info.element.bytes() * info.len) as u64).sum()
    }

    /// Bytes that a step cannot do without: the parameters, what the optimizer remembers, the batch, the data set where it is
    /// on the device, and activations. Where no backward pass keeps those, they take turns in the same slots, and only what
    /// one dispatch binds of them at most is needed. Gradients and deltas are not counted: a step could do with few of them
    /// at a time.
    pub fn needed_bytes(&self) -> u64 {
        let keeps = self.steps.iter().any(|step| step.phase == Phase::Backward);
        let takes_turns = |slot: Slot| {
            let forward = matches!(slot, Slot::Activation(_) | Slot::Joined(_) | Slot::Normal(_) | Slot::Statistics(_));
            !keeps && forward
        };
        let passes = |slot: Slot| matches!(slot.group(), Group::Gradients | Group::Deltas | Group::Workspace);
        let at_once = self.steps.iter().map(|step| {
            let turns = step.bindings.iter().filter(|binding| takes_turns(binding.slot));
            let element = |slot| self.slot(slot).map_or(4, |info| info.element.bytes());
            turns.map(|binding| (element(binding.slot) * binding.range.len()) as u64).sum::<u64>()
        });
        let kept = self.slots.iter().filter(|info| !passes(info.slot) && !takes_turns(info.slot));
        kept.map(|info| (info.element.bytes() * info.len) as u64).sum::<u64>() + at_once.max().unwrap_or(0)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::plan::TrainingOptions;
    use crate::{Activation, Loss, Network};

    #[test]
    fn bytes_are_counted_by_what_they_are_for() {
        let network =
            Network::new(10).dense(20, Activation::Gelu).dense(30, Activation::Relu).dense(5, Activation::Relu);
        let options = TrainingOptions { data_rows: 1000, ..TrainingOptions::new(8, Loss::Huber) };
        let plan = Plan::training(&network, &options).unwrap();
        let bytes = |group| plan.bytes_of(group);
        assert_eq!(bytes(Group::Batch), 4 * 8 * 15);
        assert_eq!(bytes(Group::Activations), 4 * 8 * (20 + 20 + 30 + 5));
        assert_eq!(bytes(Group::Deltas), 4 * 8 * 30, "products update, and need the output of the second layer still");
        assert_eq!(bytes(Group::Data), 4 * 1000 * 16);
        assert_eq!(bytes(Group::OptimizerState), 0);
        assert_eq!(bytes(Group::Gradients), 0);
        assert_eq!(Group::ALL.iter().map(|&group| bytes(group)).sum::<u64>(), plan.bytes());
        assert_eq!(plan.needed_bytes(), plan.bytes() - bytes(Group::Workspace) - bytes(Group::Deltas));

        let plan = Plan::training(&network, &TrainingOptions { all_gradients: true, ..options }).unwrap();
        assert_eq!(plan.bytes_of(Group::Deltas), 0, "deltas take the places of activations");
        assert_eq!(plan.bytes_of(Group::Parameters) + 4 * 8 * 10, plan.bytes_of(Group::Gradients), "and of the input");

        // In a prediction the widest layers are never there at the same time: what both slots take is more than is needed.
        let network = [40, 1, 1, 40, 1].iter().fold(Network::new(1), |net, &width| net.dense(width, Activation::Relu));
        let plan = Plan::prediction(&network, 8).unwrap();
        assert_eq!(plan.bytes() - plan.needed_bytes(), 4 * 8 * 39);
    }
}
