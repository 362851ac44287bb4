//! How a training run looks while it goes on, and when it must stop.

use crate::context::note;
use crate::interrupt;
use crate::words::{Score, short, thousands};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use std::io::{IsTerminal, stderr};
use std::ops::ControlFlow;
use std::time::{Duration, Instant};
use wgrad::train::{Epoch, Observer};

/// About how many lines a run prints where there is no terminal to draw on.
const LINES: usize = 20;

/// Watches a training run.
pub struct Progress {
    /// Where standard error is a terminal.
    bar: Option<ProgressBar>,
    /// Whether lines are printed where there is no bar.
    lines: bool,
    rows: usize,
    epochs: usize,
    started: Instant,
    /// The epoch that is being trained, counted from 1.
    pub epoch: usize,
    /// The latest loss known: of an epoch, or of a step in one that did not end.
    pub loss: f64,
    /// Loss and score after the latest epoch, in words.
    after: String,
}

impl Progress {
    /// Watches a run of `epochs` epochs over `rows` rows.
    pub fn new(rows: usize, epochs: usize) -> Self {
        let bar = stderr().is_terminal().then(|| {
            let bar = ProgressBar::with_draw_target(None, ProgressDrawTarget::stderr());
            // A message alone is cut to the width of the terminal, so that no line ever wraps.
            bar.with_style(ProgressStyle::with_template("{wide_msg}").unwrap_or(ProgressStyle::default_bar()))
        });
        let started = Instant::now();
        Progress { bar, lines: true, rows, epochs, started, epoch: 1, loss: f64::NAN, after: String::new() }
    }

    /// Follows a run and prints nothing, where something else shows it.
    pub fn silent(rows: usize, epochs: usize) -> Self {
        Progress { bar: None, lines: false, ..Progress::new(rows, epochs) }
    }

    /// Takes the bar away, and says how long the run took.
    pub fn finish(&self) -> Duration {
        if let Some(bar) = &self.bar {
            bar.finish_and_clear();
        }
        self.started.elapsed()
    }

    /// Draws the bar after `done` epochs; what matters most stands first, since a narrow terminal cuts the rest.
    fn draw(&self, done: f64) {
        const CELLS: usize = 20;
        let Some(bar) = &self.bar else { return };
        let epochs = self.epochs as f64;
        let filled = (done / epochs * CELLS as f64) as usize;
        let cells = "#".repeat(filled.min(CELLS)) + &"-".repeat(CELLS.saturating_sub(filled));
        let seconds = self.started.elapsed().as_secs_f64();
        let left = Duration::from_secs((seconds / done.max(1e-9) * (epochs - done)).clamp(0.0, 1e9) as u64);
        bar.set_message(format!(
            "[{cells}] epoch {}/{}  {:#} left  loss {}{}  {} samples/s",
            self.epoch,
            self.epochs,
            indicatif::HumanDuration(left),
            short(self.loss),
            self.after,
            thousands(done * self.rows as f64 / seconds.max(1e-9))
        ));
    }

    /// Notes the loss, and says whether to go on.
    fn see(&mut self, loss: f64) -> ControlFlow<()> {
        self.loss = loss;
        if interrupt::requested() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    }
}

impl Observer for Progress {
    fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) -> ControlFlow<()> {
        self.epoch = epoch;
        let flow = self.see(f64::from(loss));
        self.draw((epoch - 1) as f64 + done as f64 / steps as f64);
        flow
    }

    fn epoch(&mut self, epoch: &Epoch) -> ControlFlow<()> {
        let flow = self.see(epoch.loss);
        self.after = epoch.validation.as_ref().map_or(String::new(), |validation| {
            let score = Score::of(validation).map(|Score { name, value, .. }| format!("  {name} {value:.4}"));
            format!("  validation loss {}{}", short(validation.loss), score.unwrap_or_default())
        });
        self.draw(epoch.number as f64);
        let every = self.epochs.div_ceil(LINES);
        let line_due = epoch.number.is_multiple_of(every) || epoch.number == 1 || epoch.number == self.epochs;
        if self.bar.is_none() && self.lines && line_due {
            let width = self.epochs.to_string().len();
            note(format_args!(
                "epoch {:>width$}/{}  loss {}{}",
                epoch.number,
                self.epochs,
                short(epoch.loss),
                self.after
            ));
        }
        flow
    }
}
