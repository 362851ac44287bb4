//! What watches a training run: a line of the terminal or with `--tui` all of it, and with `--log` a folder.

pub mod events;
pub mod log;
pub mod runs;

use crate::progress::Progress;
use crate::tui::Tui;
use log::Log;
use std::ops::ControlFlow;
use std::time::Instant;
use wgrad::train::{Epoch, Moment, Observer, Running};
use wgrad::{Dataset, Result};

/// The norm of the gradient is that of the loss on so many training rows at most.
const SAMPLE: usize = 1024;

/// What is known after an epoch.
#[derive(Clone, Debug, PartialEq)]
pub struct Record {
    pub epoch: usize,
    /// The mean loss in training.
    pub loss: f64,
    pub validation_loss: Option<f64>,
    /// Of the validation, for classes.
    pub accuracy: Option<f64>,
    /// Of the validation, for numbers.
    pub r_squared: Option<f64>,
    /// At the beginning of the epoch.
    pub learning_rate: f32,
    /// Training rows in a second, the validation included.
    pub samples_per_second: f64,
    /// Since the beginning of the run.
    pub seconds: f64,
    /// The Euclidean norm of the gradient of each layer.
    pub gradient_norms: Vec<f64>,
    /// Steps that changed nothing because a gradient overflowed f16.
    pub skipped_steps: usize,
}

impl Record {
    /// The norm of the whole gradient.
    pub fn gradient_norm(&self) -> f64 {
        self.gradient_norms.iter().map(|norm| norm * norm).sum::<f64>().sqrt()
    }
}

/// Makes a [`Record`] of each epoch.
struct Recorder<'a> {
    data: &'a Dataset,
    started: Instant,
    epoch_started: Instant,
    /// At its beginning; unknown of an epoch that a run goes on within.
    learning_rate: Option<f32>,
}

impl<'a> Recorder<'a> {
    fn new(data: &'a Dataset) -> Self {
        let now = Instant::now();
        Recorder { data, started: now, epoch_started: now, learning_rate: None }
    }

    fn begin(&mut self, run: &Running<'_>) {
        self.epoch_started = Instant::now();
        self.learning_rate = Some(run.learning_rate());
    }

    fn end(&self, epoch: &Epoch, run: &mut Running<'_>) -> Result<Record> {
        let took = self.epoch_started.elapsed().as_secs_f64();
        let validation = epoch.validation.as_ref();
        Ok(Record {
            epoch: epoch.number,
            loss: epoch.loss,
            validation_loss: validation.map(|validation| validation.loss),
            accuracy: validation.and_then(|validation| validation.accuracy),
            r_squared: validation.and_then(|validation| validation.r_squared),
            learning_rate: self.learning_rate.unwrap_or_else(|| run.learning_rate()),
            samples_per_second: self.data.rows() as f64 / took.max(1e-9),
            seconds: self.started.elapsed().as_secs_f64(),
            gradient_norms: run.gradient_norms(self.data, SAMPLE)?,
            skipped_steps: epoch.skipped,
        })
    }
}

/// All that watch one run.
pub struct Watchers<'a> {
    pub progress: Progress,
    pub log: Option<Log>,
    pub tui: Option<Tui>,
    /// Where somebody wants records.
    recorder: Option<Recorder<'a>>,
}

impl<'a> Watchers<'a> {
    /// Watches a run on `data`.
    pub fn new(progress: Progress, log: Option<Log>, tui: Option<Tui>, data: &'a Dataset) -> Self {
        let recorder = (log.is_some() || tui.is_some()).then(|| Recorder::new(data));
        Watchers { progress, log, tui, recorder }
    }
}

impl Observer for Watchers<'_> {
    fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) -> ControlFlow<()> {
        if let Some(tui) = &mut self.tui {
            tui.progress(epoch, done, steps, loss);
        }
        self.progress.progress(epoch, done, steps, loss)
    }

    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        self.progress.epoch(epoch)
    }

    fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        let Some(recorder) = &mut self.recorder else { return Ok(ControlFlow::Continue(())) };
        match moment {
            Moment::Begin(_) => recorder.begin(run),
            Moment::Part(_) => {}
            Moment::End(epoch) => {
                let record = recorder.end(epoch, run)?;
                if let Some(log) = &mut self.log {
                    log.write(&record)?;
                }
                if let Some(tui) = &mut self.tui {
                    tui.record(record, run)?;
                }
            }
        }
        let Some(tui) = &mut self.tui else { return Ok(ControlFlow::Continue(())) };
        let flow = tui.callback(moment, run)?;
        recorder.epoch_started += tui.take_paused();
        Ok(flow)
    }
}
