//! When a run ends, and which weights it leaves.

use super::Epoch;
use super::state::{Fingerprints, Memory, Within};
use std::time::{Duration, Instant};

/// When [`Trainer::fit_under`](super::Trainer::fit_under) ends a run before its last epoch. The default never does, and keeps
/// no weights aside.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Control {
    /// Ends the run where the validation's loss, or that of training where there is none, did not reach a new least value for
    /// more than so many epochs, and restores the weights that had the least.
    pub patience: Option<usize>,
    /// Ends the run after the first epoch whose mean loss in training is at most this.
    pub stop_at: Option<f64>,
    /// Ends the run after the first epoch that ends later than this.
    pub time: Option<Duration>,
    /// Keeps the weights after each epoch aside, and restores them where a later one diverges.
    pub keep_good: bool,
}

/// Why a run ended.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Ended {
    /// It had all its epochs.
    Complete,
    /// The observer stopped it.
    Observer,
    /// There was no new least loss for longer than [`Control::patience`].
    Patience,
    /// The loss reached [`Control::stop_at`].
    Threshold,
    /// [`Control::time`] was up.
    Time,
    /// A loss was not finite, or a parameter after the last step of an epoch whose weights are kept, or of the run.
    Diverged {
        /// The epoch, counted from 1.
        epoch: usize,
        /// The step in it, counted from 1.
        step: usize,
        /// The first parameter with a number that is not finite, from the input on; `None` where all are finite.
        tensor: Option<String>,
    },
}

/// A run that ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Run {
    /// The epochs that were completed; of a run that went on from a [`State`](super::State), from the last one before it on.
    pub epochs: Vec<Epoch>,
    /// Steps in all completed epochs whose gradients overflowed f16 and changed nothing; 0 in f32.
    pub skipped: usize,
    /// Why there are no more.
    pub ended: Ended,
    /// The epoch whose weights the trainer has now, where that is not the last one.
    pub restored: Option<usize>,
}

impl Run {
    /// How many epochs were completed, those before a checkpoint too.
    pub fn done(&self) -> usize {
        self.epochs.last().map_or(0, |epoch| epoch.number)
    }
}

/// What a run under control remembers.
pub(super) struct Watch {
    control: Control,
    started: Instant,
    least: f64,
    waited: usize,
    /// The weights to restore, with their epoch.
    pub(super) best: Option<(usize, Vec<f32>)>,
    /// The weights after the latest epoch.
    pub(super) good: Option<(usize, Vec<f32>)>,
}

impl Watch {
    pub(super) fn new(control: Control) -> Self {
        Watch { control, started: Instant::now(), least: f64::INFINITY, waited: 0, best: None, good: None }
    }

    /// Goes on from what a run remembered, whose weights are `values` now.
    pub(super) fn resume(&mut self, memory: &Memory, values: Vec<f32>) {
        (self.least, self.waited) = (memory.least, memory.waited);
        let best = |epoch| (epoch, memory.best.as_ref().unwrap_or(&values).clone());
        self.best = memory.best_epoch.map(best);
        let good = match &memory.within {
            None => Some(values),
            Some(within) => within.good.clone(),
        };
        self.good = good.filter(|_| self.control.keep_good).map(|good| (memory.done(), good));
    }

    /// What it remembers after the epoch `last`, with so many steps `skipped` until then, or `within` the one behind it.
    pub(super) fn memory(
        &self,
        data: Fingerprints,
        last: Option<&Epoch>,
        skipped: usize,
        within: Option<Within>,
    ) -> Memory {
        let best_epoch = self.best.as_ref().map(|(epoch, _)| *epoch);
        let done = last.map_or(0, |epoch| epoch.number);
        let earlier = self.best.as_ref().filter(|(epoch, _)| *epoch < done || within.is_some());
        let good = || self.good.as_ref().map(|(_, values)| values.clone());
        Memory {
            data,
            last: last.cloned(),
            within: within.map(|within| Within { good: good(), ..within }),
            skipped,
            least: self.least,
            waited: self.waited,
            best_epoch,
            best: earlier.map(|(_, values)| values.clone()),
        }
    }

    /// Whether weights are kept aside.
    pub(super) fn keeps(&self) -> bool {
        self.control.patience.is_some() || self.control.keep_good
    }

    /// Whether the weights after `epoch` are to be kept as the best ones, and as good ones.
    pub(super) fn wants(&mut self, epoch: &Epoch) -> (bool, bool) {
        let loss = epoch.validation.as_ref().map_or(epoch.loss, |validation| validation.loss);
        let better = loss < self.least;
        if better {
            (self.least, self.waited) = (loss, 0);
        } else {
            self.waited += 1;
        }
        (better && self.control.patience.is_some(), self.control.keep_good)
    }

    /// Why the run ends after `epoch`, if it does.
    pub(super) fn ends(&self, epoch: &Epoch) -> Option<Ended> {
        let late = || self.control.time.is_some_and(|time| self.started.elapsed() > time).then_some(Ended::Time);
        self.over(epoch).or_else(late)
    }

    /// Why the run has come to its end with `epoch`, whenever that was.
    pub(super) fn over(&self, epoch: &Epoch) -> Option<Ended> {
        if self.control.stop_at.is_some_and(|least| epoch.loss <= least) {
            return Some(Ended::Threshold);
        }
        self.control.patience.is_some_and(|patience| self.waited > patience).then_some(Ended::Patience)
    }
}
