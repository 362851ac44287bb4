//! Who watches a run, and what a watcher may do to it.

use super::{Batch, Epoch, Gradients, State, Trainer, feed};
use crate::{Dataset, Device, Network, Result};
use std::ops::ControlFlow;

/// Watches a training run and may stop it.
pub trait Observer {
    /// After a part of an epoch: `done` of `steps` steps.
    fn progress(&mut self, _epoch: usize, _done: usize, _steps: usize, _loss: f32) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// After an epoch.
    fn epoch(&mut self, _epoch: &Epoch) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }

    /// At every [`Moment`] of a run, after [`Observer::progress`] or [`Observer::epoch`] told of it: what [`Running`] gives can
    /// be looked at and changed. An error ends the run and is the run's.
    fn callback(&mut self, _moment: Moment<'_>, _run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        Ok(ControlFlow::Continue(()))
    }

    /// Whether [`Observer::state`] is to be called after this epoch.
    fn wants_state(&mut self, _epoch: &Epoch) -> bool {
        false
    }

    /// Whether [`Observer::state`] is to be called within this epoch, after `done` of `steps` steps or soon behind them.
    fn wants_state_within(&mut self, _epoch: usize, _done: usize, _steps: usize) -> bool {
        false
    }

    /// Takes where the run is after an epoch, or within one: a trainer that restores it goes on to the bit.
    fn state(&mut self, _state: State) -> Result<()> {
        Ok(())
    }
}

impl Observer for () {}

/// Two observers of one run; each may stop it.
impl<A: Observer, B: Observer> Observer for (A, B) {
    fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) -> ControlFlow<()> {
        either(self.0.progress(epoch, done, steps, loss), self.1.progress(epoch, done, steps, loss))
    }

    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        either(self.0.epoch(epoch), self.1.epoch(epoch))
    }

    fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        Ok(either(self.0.callback(moment, run)?, self.1.callback(moment, run)?))
    }

    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        let first = self.0.wants_state(epoch);
        self.1.wants_state(epoch) || first
    }

    fn wants_state_within(&mut self, epoch: usize, done: usize, steps: usize) -> bool {
        let first = self.0.wants_state_within(epoch, done, steps);
        self.1.wants_state_within(epoch, done, steps) || first
    }

    fn state(&mut self, state: State) -> Result<()> {
        self.0.state(state.clone())?;
        self.1.state(state)
    }
}

impl<O: Observer> Observer for Option<O> {
    fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) -> ControlFlow<()> {
        self.as_mut().map_or(ControlFlow::Continue(()), |observer| observer.progress(epoch, done, steps, loss))
    }

    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        self.as_mut().map_or(ControlFlow::Continue(()), |observer| observer.epoch(epoch))
    }

    fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        self.as_mut().map_or(Ok(ControlFlow::Continue(())), |observer| observer.callback(moment, run))
    }

    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        self.as_mut().is_some_and(|observer| observer.wants_state(epoch))
    }

    fn wants_state_within(&mut self, epoch: usize, done: usize, steps: usize) -> bool {
        self.as_mut().is_some_and(|observer| observer.wants_state_within(epoch, done, steps))
    }

    fn state(&mut self, state: State) -> Result<()> {
        self.as_mut().map_or(Ok(()), |observer| observer.state(state))
    }
}

impl<O: Observer + ?Sized> Observer for &mut O {
    fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) -> ControlFlow<()> {
        (**self).progress(epoch, done, steps, loss)
    }

    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        (**self).epoch(epoch)
    }

    fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        (**self).callback(moment, run)
    }

    fn wants_state(&mut self, epoch: &Epoch) -> bool {
        (**self).wants_state(epoch)
    }

    fn wants_state_within(&mut self, epoch: usize, done: usize, steps: usize) -> bool {
        (**self).wants_state_within(epoch, done, steps)
    }

    fn state(&mut self, state: State) -> Result<()> {
        (**self).state(state)
    }
}

fn either(a: ControlFlow<()>, b: ControlFlow<()>) -> ControlFlow<()> {
    if a.is_break() { a } else { b }
}

/// Where a run is when [`Observer::callback`] is called.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Moment<'a> {
    /// Before the first step of this epoch, counted from 1.
    Begin(usize),
    /// After a part of this epoch, while the next part is computed.
    Part(usize),
    /// After this epoch.
    End(&'a Epoch),
}

/// A run that goes on, as an observer may look at it and change it.
pub struct Running<'a> {
    pub(super) trainer: &'a mut Trainer,
    /// Epochs, with a fraction, that the trainer has behind it.
    pub(super) at: f64,
    /// A step as a part of an epoch.
    pub(super) step: f64,
}

impl Running<'_> {
    /// The architecture.
    pub fn network(&self) -> &Network {
        &self.trainer.network
    }

    /// The device that trains.
    pub fn device(&self) -> &Device {
        &self.trainer.device
    }

    /// The learning rate of the next step, the factor of the schedule included.
    pub fn learning_rate(&self) -> f32 {
        self.trainer.rate_at(self.at, self.step)
    }

    /// Multiplies the learning rate of all steps that are not handed to the device yet by `factor`, finite and ≥ 0.
    pub fn scale_learning_rate(&mut self, factor: f32) -> Result<()> {
        self.trainer.set_learning_rate(self.trainer.options.learning_rate * factor)
    }

    /// The parameters to save, or to compute outputs with, laid out by [`Params::of`](crate::Params::of) the network:
    /// their average where the trainer averages them. Waits for the steps handed over so far.
    pub fn parameters(&mut self) -> Result<Vec<f32>> {
        self.trainer.averaged_parameters()
    }

    /// The loss and every gradient on `batch`, as [`Trainer::gradients`] computes them.
    pub fn gradients(&mut self, batch: &Batch<'_>) -> Result<Gradients> {
        self.trainer.gradients(batch)
    }

    /// The Euclidean norm of the gradient of each layer, its weight and its bias together, where the loss is that on the first
    /// rows of `data`, `most` at most.
    pub fn gradient_norms(&mut self, data: &Dataset, most: usize) -> Result<Vec<f64>> {
        let rows = most.min(data.rows());
        let weighted = self.trainer.options.weighted;
        let targets: Vec<f32> =
            (0..rows).flat_map(|row| feed::target(data, row, weighted)).flatten().copied().collect();
        let batch = Batch { inputs: &data.inputs.data[..rows * data.inputs.cols], targets: &targets };
        let gradients = self.gradients(&batch)?.params;
        let mut squares = vec![0.0; self.trainer.network.layers.len()];
        for tensor in &self.trainer.params.tensors {
            squares[tensor.layer] += gradients[tensor.range()].iter().map(|&g| f64::from(g).powi(2)).sum::<f64>();
        }
        Ok(squares.into_iter().map(f64::sqrt).collect())
    }
}
