//! Checkpoints that a training run writes, and the one that it is gone on from.

use crate::context::note;
use crate::settings::Settings;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};
use wgrad::checkpoint::Checkpoint;
use wgrad::train::{Epoch, Observer, State};
use wgrad::{Error, Model, Result};

/// The checkpoint after the latest epoch.
const LAST: &str = "last.safetensors";

/// The checkpoint after the epoch with the least loss of the validation, or of training where there is none.
const BEST: &str = "best.safetensors";

/// When checkpoints are written, and where.
struct Rhythm {
    folder: PathBuf,
    epochs: Option<usize>,
    time: Option<Duration>,
}

impl Rhythm {
    /// What the settings say; `None` where they want no checkpoints.
    fn of(settings: &Settings, model: &Path) -> Result<Option<Rhythm>> {
        let (every, minutes) = (settings.training.checkpoint_every, settings.training.checkpoint_minutes);
        let folder = settings.output.checkpoints.clone();
        if every.is_none() && minutes.is_none() && folder.is_none() {
            return Ok(None);
        }
        let refuse = |what: String| Err(Error::Config(what));
        if every == Some(0) {
            return refuse("checkpoint_every must be at least 1 epoch, found 0".into());
        }
        let time = match minutes.map(|minutes| Duration::try_from_secs_f64(60.0 * minutes)) {
            Some(Err(_)) => {
                let found = minutes.unwrap_or_default();
                return refuse(format!("checkpoint_minutes must be a number of minutes, at least 0, found {found}"));
            }
            time => time.and_then(|time| time.ok()),
        };
        let folder = folder.unwrap_or_else(|| model.with_extension("checkpoints"));
        if folder == model {
            return refuse(format!(
                "{} cannot be the model and the folder of checkpoints; name another",
                folder.display()
            ));
        }
        let epochs = if time.is_none() { every.or(Some(1)) } else { every };
        Ok(Some(Rhythm { folder, epochs, time }))
    }
}

/// Writes checkpoints while a run goes on, each at the end of an epoch, or within one where that takes long.
pub struct Checkpoints<'a> {
    rhythm: Option<Rhythm>,
    model: &'a dyn Fn(&State) -> Model,
    settings: String,
    last: Option<Arc<State>>,
    best: Option<Arc<State>>,
    written: Instant,
}

impl<'a> Checkpoints<'a> {
    /// As `settings` say; `model` makes the model of a state. Makes the folder.
    pub fn new(settings: &Settings, destination: &Path, model: &'a dyn Fn(&State) -> Model) -> Result<Self> {
        let rhythm = Rhythm::of(settings, destination)?;
        if let Some(Rhythm { folder, .. }) = &rhythm {
            let io = |source| Error::Io { action: "create", path: folder.clone(), source };
            std::fs::create_dir_all(folder).map_err(io)?;
        }
        let settings = settings.to_toml()?;
        Ok(Checkpoints { rhythm, model, settings, last: None, best: None, written: Instant::now() })
    }

    /// Whether there will be any.
    pub fn wanted(&self) -> bool {
        self.rhythm.is_some()
    }

    /// Takes the state before the first epoch, which is written where the run is interrupted in it.
    pub fn begin(&mut self, state: State) {
        self.last = Some(Arc::new(state));
    }

    /// Writes what is not written yet. What fails is said, and the run goes on.
    pub fn flush(&mut self) {
        let Some(Rhythm { folder, .. }) = &self.rhythm else { return };
        for (state, name) in [(self.last.take(), LAST), (self.best.take(), BEST)] {
            let Some(state) = state else { continue };
            let state = Arc::unwrap_or_clone(state);
            let checkpoint = Checkpoint { model: (self.model)(&state), state, settings: Some(self.settings.clone()) };
            if let Err(error) = checkpoint.save(&folder.join(name)) {
                note(format_args!("warning: no checkpoint: {error}"));
            }
        }
        self.written = Instant::now();
    }

    /// Where they are, where there are any.
    pub fn folder(&self) -> Option<&Path> {
        self.rhythm.as_ref().map(|rhythm| rhythm.folder.as_path())
    }
}

impl Observer for Checkpoints<'_> {
    fn wants_state(&mut self, _: &Epoch) -> bool {
        self.wanted()
    }

    fn wants_state_within(&mut self, _: usize, _: usize, _: usize) -> bool {
        let time = self.rhythm.as_ref().and_then(|rhythm| rhythm.time);
        time.is_some_and(|time| self.written.elapsed() >= time)
    }

    fn state(&mut self, state: State) -> Result<()> {
        let Some(Rhythm { epochs, time, .. }) = &self.rhythm else { return Ok(()) };
        let due = epochs.is_some_and(|every| state.steps_within() == 0 && state.epochs().is_multiple_of(every))
            || time.is_some_and(|time| self.written.elapsed() >= time);
        let state = Arc::new(state);
        if state.is_best() {
            self.best = Some(state.clone());
        }
        self.last = Some(state);
        if due {
            self.flush();
        }
        Ok(())
    }
}

/// The checkpoint that a run is gone on from.
pub struct Resumed {
    /// The file.
    pub path: PathBuf,
    /// What is in it.
    pub checkpoint: Checkpoint,
}

impl Resumed {
    /// Reads the checkpoint `place`: a file, or a folder of which it is the last one.
    pub fn load(place: &Path) -> Result<Self> {
        let path = if place.is_dir() { place.join(LAST) } else { place.to_owned() };
        let checkpoint = Checkpoint::load(&path)?;
        Ok(Resumed { path, checkpoint })
    }

    /// The settings of the run, changed by those given now.
    pub fn settings(&self, given: Settings) -> Result<Settings> {
        let mut settings = self.own_settings()?.overridden_by(given)?;
        // Device, planner and kernel variants, for the same bits.
        settings.training.like = Some(self.path.clone());
        Ok(settings)
    }

    /// Whether `folder` is where the run kept its log.
    pub fn logged_to(&self, folder: &Path) -> Result<bool> {
        let log = self.own_settings()?.output.log;
        Ok(log.is_some_and(|log| std::path::absolute(folder).is_ok_and(|folder| folder == log)))
    }

    fn own_settings(&self) -> Result<Settings> {
        let refuse = |what: String| Error::Model { path: self.path.clone(), what };
        let Some(text) = &self.checkpoint.settings else {
            return Err(refuse("it does not say the settings of its run; give the data and all that differs".into()));
        };
        Settings::parse(text).map_err(|what| refuse(format!("the settings in it: {what}")))
    }
}
