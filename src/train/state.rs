//! Where a run is, so that it can be gone on with.

use super::{Epoch, Trainer, TrainerOptions};
use crate::data::Dataset;
use crate::plan::Slot;
use crate::schedule::{Noted, Schedule};
use crate::{Error, Network, Result};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;

/// Everything that a trainer has besides its settings. A trainer with the same settings that [`Trainer::restore`]s it goes on as
/// this one would have, to the bit.
#[derive(Clone, Debug, PartialEq)]
pub struct State {
    /// What the trainer is for, each part in words, or in JSON where it has many.
    pub(crate) setup: BTreeMap<String, String>,
    /// The slots that outlive a step, by the names that the plan prints.
    pub(crate) slots: BTreeMap<String, Vec<f32>>,
    pub(crate) counts: Counts,
    /// The run that goes on; `None` between runs.
    pub(crate) run: Option<Memory>,
    /// The averaged parameters, where there are such and it was not read from a file, which has them as its model.
    pub(crate) averaged: Option<Vec<f32>>,
}

/// What a trainer counts, and what changes from epoch to epoch.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Counts {
    pub(crate) updates: u64,
    pub(crate) epochs: u64,
    pub(crate) learning_rate: f32,
    pub(crate) schedule: Option<Noted>,
}

/// What a run remembers.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Memory {
    /// What [`fingerprint`] says of the data sets.
    pub(crate) data: Fingerprints,
    /// The last epoch that was completed.
    pub(crate) last: Option<Epoch>,
    /// Where it is in the epoch that goes on; `None` between epochs.
    pub(crate) within: Option<Within>,
    /// Steps so far that changed nothing.
    pub(crate) skipped: usize,
    #[serde(with = "numbers")]
    pub(crate) least: f64,
    pub(crate) waited: usize,
    /// The epoch whose weights are the best ones, which are those of the slots where it is the last epoch.
    pub(crate) best_epoch: Option<usize>,
    /// The weights of an earlier best epoch.
    #[serde(skip)]
    pub(crate) best: Option<Vec<f32>>,
}

/// How far an epoch is.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Within {
    /// The losses of its steps so far, one for each micro-batch.
    #[serde(skip)]
    pub(crate) losses: Vec<f32>,
    /// Batches that it has trained on.
    pub(crate) steps: usize,
    /// Steps that had changed nothing when it began.
    pub(crate) skipped: usize,
    /// The weights after the epoch before, where they are kept aside.
    #[serde(skip)]
    pub(crate) good: Option<Vec<f32>>,
}

impl Memory {
    /// How many epochs were completed.
    pub(crate) fn done(&self) -> usize {
        self.last.as_ref().map_or(0, |epoch| epoch.number)
    }
}

/// Of the data to train on and of the validation's.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Fingerprints {
    pub(crate) training: String,
    pub(crate) validation: Option<String>,
}

impl Fingerprints {
    pub(super) fn of(data: &Dataset, validation: Option<&Dataset>) -> Self {
        Fingerprints { training: fingerprint(data), validation: validation.map(fingerprint) }
    }

    /// Checks that these, of the checkpoint, are those of the data given.
    pub(super) fn check(&self, found: &Fingerprints) -> Result<()> {
        let words = |text: &Option<String>| text.as_deref().unwrap_or("none").to_owned();
        let parts = [
            ("the data", self.training.clone(), found.training.clone()),
            ("the validation's data", words(&self.validation), words(&found.validation)),
        ];
        match parts.into_iter().find(|(_, old, new)| old != new) {
            None => Ok(()),
            Some((what, old, new)) => Err(Error::Config(format!(
                "cannot go on with the run: {what} changed: {old} then, {new} now; give the data that it was begun with"
            ))),
        }
    }
}

/// Rows and columns of a data set, and a hash of its numbers (FNV-1a over words of 32 bits).
fn fingerprint(data: &Dataset) -> String {
    let numbers = data.inputs.data.iter().chain(&data.targets.data).chain(data.weights.iter().flatten());
    let hash = numbers.fold(0xcbf2_9ce4_8422_2325u64, |hash, number| {
        (hash ^ u64::from(number.to_bits())).wrapping_mul(0x0000_0100_0000_01b3)
    });
    format!("{} rows, {} inputs, {} targets, number {hash:016x}", data.rows(), data.inputs.cols, data.targets.cols)
}

impl State {
    /// Steps trained so far.
    pub fn updates(&self) -> u64 {
        self.counts.updates
    }

    /// The epochs that the run completed; of all runs, where none goes on.
    pub fn epochs(&self) -> usize {
        self.run.as_ref().map_or(self.counts.epochs as usize, Memory::done)
    }

    /// The steps of the epoch behind those, where it is within one; 0 between epochs.
    pub fn steps_within(&self) -> usize {
        self.run.as_ref().and_then(|run| run.within.as_ref()).map_or(0, |within| within.steps)
    }

    /// The parameters to keep, averaged where the trainer averages them, laid out by [`Params`](crate::Params).
    pub fn parameters(&self) -> &[f32] {
        if let Some(averaged) = &self.averaged {
            return averaged;
        }
        self.slots.get(&Slot::Params.to_string()).map_or(&[], Vec::as_slice)
    }

    /// Whether it is that after an epoch, and none of the run had a smaller loss: the validation's, or that of training where
    /// there is none.
    pub fn is_best(&self) -> bool {
        self.run.as_ref().is_some_and(|run| run.waited == 0 && run.within.is_none())
    }

    /// Checks that it was made with these settings, whatever may depend on the device: the planner, the precision and
    /// the micro-batch, which [`Trainer::restore`] checks.
    ///
    /// # Errors
    /// [`Error::Config`] that names what differs.
    pub fn check_settings(
        &self,
        network: &Network,
        options: &TrainerOptions,
        schedule: Option<&Schedule>,
    ) -> Result<()> {
        let mut now = setup(network, options, options.learning_rate, schedule)?;
        for name in ["planner", "precision", "micro-batch"] {
            now.remove(name);
            now.extend(self.setup.get_key_value(name).map(|(name, value)| (name.clone(), value.clone())));
        }
        self.check(&now)
    }

    /// Checks that it was made with the setup `now`; what differs is named.
    fn check(&self, now: &BTreeMap<String, String>) -> Result<()> {
        let brief = |text: Option<&String>| match text {
            None => "nothing".to_owned(),
            Some(text) if text.chars().count() > 160 => format!("{}…", text.chars().take(160).collect::<String>()),
            Some(text) => text.clone(),
        };
        let names: std::collections::BTreeSet<_> = self.setup.keys().chain(now.keys()).collect();
        let changed = |name: &&&String| self.setup.get(**name) != now.get(**name);
        let differences: Vec<String> = names
            .iter()
            .filter(changed)
            .map(|name| format!("{name} was {} and is {}", brief(self.setup.get(*name)), brief(now.get(*name))))
            .collect();
        match differences.is_empty() {
            true => Ok(()),
            false => Err(Error::Config(format!(
                "cannot go on with the run: the {}; only the number of epochs and when to stop may change",
                differences.join("; the ")
            ))),
        }
    }
}

impl Trainer {
    /// Where training is. Waits for the steps handed over so far.
    ///
    /// Taken from within [`Trainer::fit_under`], by [`Observer::state`](super::Observer::state), it holds where the run is too.
    pub fn state(&mut self) -> Result<State> {
        let mut slots = BTreeMap::new();
        for info in self.executor.plan().state() {
            slots.insert(info.slot.to_string(), self.executor.read(info.slot, 0..info.len)?.wait()?);
        }
        let schedule = self.schedule.as_ref().map(|schedule| schedule.noted());
        let learning_rate = self.options.learning_rate;
        let counts = Counts { updates: self.updates, epochs: self.epochs, learning_rate, schedule };
        let averaged = if self.has_average() { Some(self.averaged_parameters()?) } else { None };
        Ok(State { setup: self.setup()?, slots, counts, run: None, averaged })
    }

    /// Takes everything over from `state`, which a trainer with the same settings was in: what follows is what would have
    /// followed there, to the bit on the same device with the same kernel variants. Where a run was going on, the next
    /// [`Trainer::fit_under`] goes on with it, counts its epochs on, and wants the same data.
    ///
    /// # Errors
    /// [`Error::Config`] where the settings were others: the message says which.
    pub fn restore(&mut self, state: &State) -> Result<()> {
        state.check(&self.setup()?)?;
        let slots = self.executor.plan().state();
        for info in &slots {
            let name = info.slot.to_string();
            let values = state.slots.get(&name).map_or(0, Vec::len);
            if values != info.len {
                return Err(Error::shape(format!("the state {name}"), info.len, values));
            }
        }
        if state.slots.len() != slots.len() {
            return Err(Error::shape("the slots of a state", slots.len(), state.slots.len()));
        }
        let best = state.run.as_ref().and_then(|run| run.best.as_ref());
        if let Some(best) = best.filter(|best| best.len() != self.params.len) {
            return Err(Error::shape("the best weights of a state", self.params.len, best.len()));
        }
        for info in slots {
            self.executor.write(info.slot, 0, &state.slots[&info.slot.to_string()])?;
        }
        self.set_learning_rate(state.counts.learning_rate)?;
        if let (Some(schedule), Some(noted)) = (&mut self.schedule, &state.counts.schedule) {
            schedule.resume(noted);
        }
        (self.updates, self.epochs) = (state.counts.updates, state.counts.epochs);
        // The schedule on the device is that of other steps.
        (self.scheduled, self.clock) = (None, 0);
        self.resumed = state.run.clone();
        Ok(())
    }

    fn setup(&self) -> Result<BTreeMap<String, String>> {
        let schedule = self.schedule.as_ref().map(|schedule| schedule.schedule());
        setup(&self.network, &self.options, self.learning_rate, schedule)
    }
}

/// What has to be the same where a run goes on.
fn setup(
    network: &Network,
    options: &TrainerOptions,
    learning_rate: f32,
    schedule: Option<&Schedule>,
) -> Result<BTreeMap<String, String>> {
    let json = |value: serde_json::Result<String>| value.map_err(|e| Error::Config(e.to_string()));
    let parts = [
        ("network", format!("{network} {}", json(serde_json::to_string(&network.layers))?)),
        ("loss", json(serde_json::to_string(&options.loss))?),
        ("optimizer", json(serde_json::to_string(&options.optimizer))?),
        ("learning rate", learning_rate.to_string()),
        ("schedule", schedule.map_or("constant".to_owned(), Schedule::to_string)),
        ("batch", options.batch.to_string()),
        ("micro-batch", format!("{:?}", options.micro_batch)),
        ("reduction of the loss", format!("{:?}", options.reduction)),
        ("weights of rows", if options.weighted { "given" } else { "none" }.to_owned()),
        ("treatment of gradients", format!("{:?}", options.treatments)),
        ("average of the parameters", format!("{:?}", options.average)),
        ("seed", options.seed.to_string()),
        ("precision", options.precision.to_string()),
        ("planner", options.planner.to_string()),
    ];
    Ok(parts.into_iter().map(|(name, value)| (name.to_owned(), value)).collect())
}

/// Numbers that may be infinite or NaN, which JSON has no words for: then they are texts.
pub(crate) mod numbers {
    use serde::{Deserialize, Deserializer, Serialize, Serializer, de::Error};

    #[derive(Serialize, Deserialize)]
    #[serde(untagged)]
    enum Number {
        Finite(f64),
        Text(String),
    }

    pub(crate) fn serialize<S: Serializer>(number: &f64, serializer: S) -> Result<S::Ok, S::Error> {
        match number.is_finite() {
            true => Number::Finite(*number).serialize(serializer),
            false => Number::Text(number.to_string()).serialize(serializer),
        }
    }

    pub(crate) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
        match Number::deserialize(deserializer)? {
            Number::Finite(number) => Ok(number),
            Number::Text(text) => text.parse().map_err(D::Error::custom),
        }
    }
}
