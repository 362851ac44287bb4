//! The loss of a batch and its derivatives, without training.

use super::{Batch, TrainerOptions, check_batch};
use crate::device::Device;
use crate::loss::Loss;
use crate::network::Network;
use crate::params::Params;
use crate::plan::{Plan, ScheduleEntry, Slot, TrainingOptions};
use crate::{Error, Result};

/// The loss of a batch and its derivative by everything.
#[derive(Clone, Debug, PartialEq)]
pub struct Gradients {
    /// The loss.
    pub loss: f32,
    /// `∂loss/∂parameter`, laid out by [`Params`].
    pub params: Vec<f32>,
    /// `∂loss/∂input`, `[rows, inputs]`.
    pub input: Vec<f32>,
}

/// Forward and backward once on `device`: the loss of `batch` and every gradient, those of frozen parameters too. It is
/// that of a training step: batch normalisation takes the statistics of the batch, and units drop out, always the same.
/// `values` are the parameters, laid out by [`Params::of`].
pub fn gradients(
    device: &Device,
    network: &Network,
    values: &[f32],
    loss: Loss,
    batch: &Batch<'_>,
) -> Result<Gradients> {
    gradients_by(device, network, values, &TrainerOptions::new(loss), batch)
}

pub(super) fn gradients_by(
    device: &Device,
    network: &Network,
    values: &[f32],
    trainer: &TrainerOptions,
    batch: &Batch<'_>,
) -> Result<Gradients> {
    network.validate()?;
    let params = Params::of(network);
    if values.len() != params.len {
        return Err(Error::shape("the parameter arena", params.len, values.len()));
    }
    let rows = check_batch(network, trainer.target_width(network.outputs()), batch, usize::MAX)?;
    let weighted = trainer.weighted;
    let options = TrainingOptions { all_gradients: true, weighted, ..TrainingOptions::new(rows, trainer.loss) };
    let mut executor = device.executor(Plan::training(network, &options)?)?;
    executor.write(Slot::Params, 0, values)?;
    executor.write(Slot::Input, 0, batch.inputs)?;
    executor.write(Slot::Target, 0, batch.targets)?;
    let loss_scale = trainer.reduction().scale(rows, network.outputs()) as f32;
    executor.schedule(&[ScheduleEntry::training(0.0, loss_scale, rows)])?;
    executor.run(options.planner.gradients(), 1)?;
    Ok(Gradients {
        loss: executor.read(Slot::Losses, 0..1)?.wait()?[0],
        params: executor.read(Slot::Gradients, 0..params.len)?.wait()?,
        input: executor.read(Slot::InputGradient, 0..rows * network.inputs)?.wait()?,
    })
}
