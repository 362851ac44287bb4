//! Checkpoints of a training run: a model file, with which `predict` and all others work, that holds besides where the run is.

use super::container::TensorFile;
use super::{KEY, Model, load_from, refused, save_tensors};
use crate::Result;
use crate::plan::Slot;
use crate::train::{Counts, Memory, State};
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::path::Path;

/// The key in the metadata of where the run is.
pub(super) const RUN: &str = "wgrad.run";

/// What the names of tensors begin with that belong to the run and not to the model.
pub(super) const PREFIX: &str = "run.";

/// The weights of the best epoch, where that is not the last.
const BEST: &str = "run.best";

/// The losses of the steps of an epoch that goes on.
const LOSSES: &str = "run.losses";

/// The weights before that epoch, where they are kept aside.
const GOOD: &str = "run.good";

/// The version of the format.
const FORMAT: u64 = 1;

/// A training run that can be gone on with.
#[derive(Clone, Debug, PartialEq)]
pub struct Checkpoint {
    /// The model as it is, with the parameters of `state`.
    pub model: Model,
    /// Where the run is.
    pub state: State,
    /// The settings of the run, for the program that trains; the library does not interpret them.
    pub settings: Option<String>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u64,
    setup: BTreeMap<String, String>,
    counts: Counts,
    run: Option<Memory>,
    settings: Option<String>,
}

impl Checkpoint {
    /// Writes the file `path`, whole or not at all. The same checkpoint always gives the same bytes.
    ///
    /// # Errors
    /// Those of [`Model::save`].
    pub fn save(&self, path: &Path) -> Result<()> {
        self.model.check_finite(path)?;
        let refuse = |what: String| refused(path, format!("not written: {what}"));
        let State { setup, slots, counts, run, averaged } = &self.state;
        if *self.state.parameters() != self.model.values {
            return Err(refuse("its model has not the parameters of its state".into()));
        }
        let params = self.model.params();
        let model = params.tensors.iter().map(|t| (t.name.clone(), t.shape(), &self.model.values[t.range()]));
        // The model has the parameters, unless it has their average.
        let slots = slots.iter().filter(|(name, _)| averaged.is_some() || **name != Slot::Params.to_string());
        let slots = slots.map(|(name, values)| (format!("{PREFIX}{name}"), vec![values.len()], values.as_slice()));
        let best = run.as_ref().and_then(|run| Some((BEST, run.best.as_ref()?)));
        let within = run.as_ref().and_then(|run| run.within.as_ref());
        let losses = within.map(|within| (LOSSES, &within.losses));
        let good = within.and_then(|within| Some((GOOD, within.good.as_ref()?)));
        let of_run = [best, losses, good].into_iter().flatten();
        let of_run = of_run.map(|(name, values)| (name.to_owned(), vec![values.len()], values.as_slice()));
        let tensors: Vec<_> = model.chain(slots).chain(of_run).collect();
        let tensors: Vec<_> = tensors.iter().map(|(name, shape, values)| (&**name, shape.clone(), *values)).collect();
        let description = Description {
            format: FORMAT,
            setup: setup.clone(),
            counts: counts.clone(),
            run: run.clone(),
            settings: self.settings.clone(),
        };
        let json = serde_json::to_string(&description).map_err(|e| refuse(e.to_string()))?;
        let metadata = [(KEY.to_owned(), self.model.describe().map_err(refuse)?), (RUN.to_owned(), json)];
        save_tensors(path, &tensors, &metadata)
    }

    /// Reads the checkpoint `path`.
    ///
    /// # Errors
    /// [`Error::Model`](crate::Error::Model) where it is no checkpoint, or a damaged one.
    pub fn load(path: &Path) -> Result<Checkpoint> {
        let mut file = TensorFile::open(path)?;
        let refuse = |what: String| refused(path, what);
        let Some(json) = file.metadata(RUN) else {
            let what = "this file is no checkpoint; expected one that `train --checkpoint-every` wrote, such as last.safetensors";
            return Err(refuse(what.into()));
        };
        let unreadable = |e: serde_json::Error| refuse(format!("its description of the run cannot be read: {e}"));
        let value: serde_json::Value = serde_json::from_str(json).map_err(unreadable)?;
        if value["format"] != FORMAT {
            let found = &value["format"];
            return Err(refuse(format!("its description of the run has format {found}; this wgrad reads {FORMAT}")));
        }
        let Description { format: _, setup, counts, mut run, settings } =
            serde_json::from_value(value).map_err(unreadable)?;
        let model = load_from(&mut file, path, None)?;
        let mut slots = BTreeMap::new();
        let (mut best, mut losses, mut good) = (None, None, None);
        for name in file.run_tensors() {
            let values = file.read_flat(&name)?;
            match &*name {
                BEST => best = Some(values),
                LOSSES => losses = Some(values),
                GOOD => good = Some(values),
                _ => drop(slots.insert(name[PREFIX.len()..].to_owned(), values)),
            }
        }
        let averaged = slots.contains_key(&Slot::Params.to_string()).then(|| model.values.clone());
        if averaged.is_none() {
            slots.insert(Slot::Params.to_string(), model.values.clone());
        }
        if let Some(run) = &mut run {
            run.best = best;
            let (epochs, len, between) = (run.done(), model.values.len(), run.within.is_none());
            let sound = match (run.best_epoch, &run.best) {
                (None, None) => true,
                (Some(epoch), None) => epoch == epochs && between,
                (Some(epoch), Some(best)) => epoch < epochs + usize::from(!between) && best.len() == len,
                (None, Some(_)) => false,
            };
            if !sound {
                return Err(refuse("the weights of its best epoch are missing or of another network".into()));
            }
            if let Some(within) = &mut run.within {
                within.losses = losses.filter(|losses| losses.len() >= within.steps).unwrap_or_default();
                within.good = good.filter(|good| good.len() == len);
                if within.losses.is_empty() {
                    return Err(refuse("the losses of the epoch that it is in are missing".into()));
                }
            }
        }
        Ok(Checkpoint { model, state: State { setup, slots, counts, run, averaged }, settings })
    }
}
