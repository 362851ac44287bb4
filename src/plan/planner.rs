//! Who wires a step, and the phases of which it consists.

use super::{TrainingOptions, jets, resident};
use crate::error::did_you_mean;
use crate::kernel::Fused;
use crate::loss::Loss;
use crate::network::Network;
use crate::precision::Precision;
use crate::{Error, Result};

/// Who wires a training step: which kernels run, in which order.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Hash)]
pub enum Planner {
    /// One matrix product per layer forward and two backward. Fits every network.
    #[default]
    LayerWise,
    /// The network stays in one workgroup's memory, where a dispatch trains it for many steps. For tiny networks, which
    /// are launch-bound otherwise. Evaluates layer by layer.
    Resident,
    /// A part of the batch goes through all layers, forward and backward, in one dispatch, and a second one adds up the
    /// parts and updates. Fits networks whose widths are at most 128.
    Fused,
}

impl Planner {
    /// Every planner.
    pub const ALL: &'static [Planner] = &[Planner::LayerWise, Planner::Fused, Planner::Resident];

    /// The name on the command line and in printed plans.
    pub fn name(self) -> &'static str {
        match self {
            Planner::LayerWise => "layerwise",
            Planner::Fused => "fused",
            Planner::Resident => "resident",
        }
    }

    /// The phases of a step on the batch in [`Slot::Input`].
    pub fn step(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise => &[Phase::Forward, Phase::Loss, Phase::Backward, Phase::Update, Phase::Finish],
            Planner::Fused => &[Phase::Fused, Phase::Sum, Phase::Update, Phase::Record],
            Planner::Resident => &[Phase::Steps],
        }
    }

    /// The phases of a step on a batch of the data set.
    pub fn gathered_step(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise => {
                &[Phase::Gather, Phase::Forward, Phase::Loss, Phase::Backward, Phase::Update, Phase::Finish]
            }
            Planner::Resident => &[Phase::GatheredSteps],
            Planner::Fused => &[Phase::FusedGathered, Phase::Sum, Phase::Update, Phase::Record],
        }
    }

    /// The phases of a step on a micro-batch, in [`Slot::Input`] or `gathered` from the data set, behind which others of the
    /// same batch follow: its gradients are kept for the update that comes with the last one. Of plans with
    /// [`TrainingOptions::accumulates`].
    pub fn micro_step(self, gathered: bool) -> &'static [Phase] {
        use Phase::{Accumulate, Backward, Finish, Forward, Fused, FusedGathered, Gather, Loss, Record, Sum};
        match (self, gathered) {
            (Planner::LayerWise, false) => &[Forward, Loss, Backward, Accumulate, Finish],
            (Planner::LayerWise, true) => &[Gather, Forward, Loss, Backward, Accumulate, Finish],
            (Planner::Fused, false) => &[Fused, Sum, Accumulate, Record],
            (Planner::Fused, true) => &[FusedGathered, Sum, Accumulate, Record],
            (Planner::Resident, _) => &[],
        }
    }

    /// The phases that compute the gradients of the batch in [`Slot::Input`]; parameters stay. A resident plan has them
    /// where [`TrainingOptions::all_gradients`] says so.
    pub fn gradients(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise => &[Phase::Forward, Phase::Loss, Phase::Backward, Phase::Finish],
            Planner::Resident => &[Phase::Backward],
            Planner::Fused => &[Phase::Fused, Phase::Backward],
        }
    }

    /// The phases that compute output and loss of a batch of the data set; parameters stay.
    pub fn gathered_loss(self) -> &'static [Phase] {
        match self {
            Planner::LayerWise | Planner::Fused | Planner::Resident => {
                &[Phase::Gather, Phase::Forward, Phase::Loss, Phase::Finish]
            }
        }
    }

    /// Checks that this planner can wire a training step of `network`.
    ///
    /// # Errors
    /// [`Error::Config`] with the reason and the numbers.
    pub fn fits(self, network: &Network, options: &TrainingOptions) -> Result<()> {
        match self {
            Planner::LayerWise if matches!(options.loss, Loss::Equation(_)) => jets::fits(options),
            Planner::LayerWise if options.precision != Precision::F32 => network.check_plain("mixed precision"),
            Planner::LayerWise => Ok(()),
            Planner::Fused | Planner::Resident if matches!(options.loss, Loss::Equation(_)) => {
                Err(Error::Config(format!(
                    "the planner {self} takes losses of output and target alone, found the equation {}; use the planner {}",
                    options.loss,
                    Planner::LayerWise
                )))
            }
            Planner::Resident if options.treats_gradients() || options.average.is_some() => {
                Err(Error::Config(format!(
                    "the planner {self} changes parameters by an optimizer alone, without penalties, clipping, micro-batches and \
                 averages; use the planner {} or {}",
                    Planner::LayerWise,
                    Planner::Fused
                )))
            }
            Planner::Resident if options.precision != Precision::F32 => Err(Error::Config(format!(
                "the planner {self} computes in f32 alone, found the precision {}; use f32, or the planner {} or {}",
                options.precision,
                Planner::LayerWise,
                Planner::Fused
            ))),
            Planner::Fused => Fused::check(network),
            Planner::Resident => resident::fits(network, options),
        }
    }
}

impl std::str::FromStr for Planner {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let names = || Planner::ALL.iter().map(|planner| planner.name());
        Planner::ALL.iter().copied().find(|planner| planner.name() == name).ok_or_else(|| {
            let (nearest, known) = (did_you_mean(name, names()), names().collect::<Vec<_>>().join(", "));
            Error::Config(format!("unknown planner {name:?}{nearest}; known: {known}"))
        })
    }
}

impl std::fmt::Display for Planner {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(self.name())
    }
}

/// The part of a training step that a dispatch belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Phase {
    /// A batch is gathered from the data set.
    Gather,
    /// From the input to the output.
    Forward,
    /// The loss and the delta of the output layer.
    Loss,
    /// From the output's delta to every gradient.
    Backward,
    /// The gradients of a fused step, where more is done to them than an update.
    Sum,
    /// The gradients are kept for the update behind a later micro-batch.
    Accumulate,
    /// Gradients change parameters.
    Update,
    /// The step's loss is recorded and the clock advances.
    Finish,
    /// Whole training steps on the batch in [`Slot::Input`], many in one dispatch.
    Steps,
    /// Whole training steps on batches of the data set, many in one dispatch.
    GatheredSteps,
    /// From the batch to the gradients of its parts, at once.
    Fused,
    /// The same for a batch that is gathered from the data set on the way.
    FusedGathered,
    /// What [`Phase::Finish`] does, from the losses of the parts; in mixed precision the dynamic loss scale adapts, too.
    Record,
}

impl Phase {
    /// Only the output.
    pub const FORWARD: &'static [Phase] = &[Phase::Forward];

    /// The name in a printed plan.
    pub fn name(self) -> &'static str {
        match self {
            Phase::Gather => "gather",
            Phase::Forward => "forward",
            Phase::Loss => "loss",
            Phase::Backward => "backward",
            Phase::Sum => "sum",
            Phase::Accumulate => "accumulate",
            Phase::Update => "update",
            Phase::Finish => "finish",
            Phase::Steps => "steps",
            Phase::GatheredSteps => "gathered steps",
            Phase::Fused => "fused",
            Phase::FusedGathered => "fused, gathered",
            Phase::Record => "record",
        }
    }
}
