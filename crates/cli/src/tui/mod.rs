//! `--tui`: a training run on the whole terminal, with keys to steer it.

mod view;

use crate::figures::{Plane, is_planar, surface};
use crate::interrupt;
use crate::job::Job;
use crate::watch::Record;
use ratatui::Terminal;
use ratatui::backend::CrosstermBackend;
use ratatui::crossterm::event::{self, Event, KeyCode, KeyEvent, KeyEventKind, KeyModifiers};
use ratatui::crossterm::terminal::{EnterAlternateScreen, LeaveAlternateScreen, disable_raw_mode, enable_raw_mode};
use ratatui::crossterm::{cursor, execute};
use std::io::{self, IsTerminal, Stdout, stdin, stdout};
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::sync::Once;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};
use view::{Answers, State};
use wgrad::data::Task;
use wgrad::train::{Moment, Running, argmax};
use wgrad::{Dataset, Error, Matrix, Model, Predictor, Result};

/// Between two pictures.
const FRAME: Duration = Duration::from_millis(50);

/// Answers are computed anew no sooner than this after they were.
const ANSWERS: Duration = Duration::from_millis(500);

/// So many rows of the validation go into the confusion matrix at most.
const ROWS: usize = 2048;

/// Columns and rows of the decision boundary's grid.
const GRID: (usize, usize) = (64, 32);

/// Of more classes no confusion matrix fits.
const MOST_CLASSES: usize = 12;

/// Whether the terminal is ours.
static ACTIVE: AtomicBool = AtomicBool::new(false);

/// Gives the terminal back as it was, where it is ours. Any thread may call this, at any time.
pub fn restore() {
    if ACTIVE.swap(false, Ordering::SeqCst) {
        // What fails here cannot be mended.
        let _ = disable_raw_mode();
        let _ = execute!(stdout(), LeaveAlternateScreen, cursor::Show);
    }
}

/// What a key asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Action {
    Pause,
    Save,
    LowerRate,
    Stop,
}

impl Action {
    fn of(key: KeyEvent) -> Option<Action> {
        if key.kind == KeyEventKind::Release {
            return None;
        }
        match key.code {
            KeyCode::Char('c') if key.modifiers.contains(KeyModifiers::CONTROL) => Some(Action::Stop),
            // In other programs these do other things: Ctrl-L draws anew.
            _ if key.modifiers.intersects(KeyModifiers::CONTROL | KeyModifiers::ALT) => None,
            KeyCode::Char('p' | ' ') => Some(Action::Pause),
            KeyCode::Char('s') => Some(Action::Save),
            KeyCode::Char('l') => Some(Action::LowerRate),
            KeyCode::Char('q') => Some(Action::Stop),
            _ => None,
        }
    }
}

/// The full-screen view of a run.
pub struct Tui {
    terminal: Terminal<CrosstermBackend<Stdout>>,
    state: State,
    /// The model as it would be saved, but for its values.
    model: Model,
    destination: PathBuf,
    /// Inputs and classes that the confusion matrix is of.
    judged: Option<(Matrix, Vec<u32>)>,
    /// The grid of the decision boundary.
    grid: Option<Matrix>,
    drawn: Instant,
    answered: Option<Instant>,
    /// Time in which nothing was trained, not yet asked for.
    paused: Duration,
}

impl Tui {
    /// Refuses where there is no terminal to draw on.
    pub fn check(json: bool) -> Result<()> {
        if json {
            return Err(Error::Config(
                "--tui draws on standard output, which --json needs; leave one of them out".into(),
            ));
        }
        match stdout().is_terminal() && stdin().is_terminal() {
            true => Ok(()),
            false => {
                let what =
                    "--tui needs a terminal, and standard input or output is none; leave --tui out, or use --log";
                Err(Error::Config(what.into()))
            }
        }
    }

    /// Takes the terminal for the run of `job`, whose model without its values is `model`.
    pub fn start(job: &Job, device: &str, model: Model) -> Result<Tui> {
        static HOOK: Once = Once::new();
        HOOK.call_once(|| {
            let before = std::panic::take_hook();
            std::panic::set_hook(Box::new(move |panic| {
                restore();
                before(panic);
            }));
        });
        let labels = job.validation.as_ref().and_then(Dataset::labels);
        let few = matches!(&job.train.task, Task::Classification { classes, .. } if classes.len() <= MOST_CLASSES);
        let judged = match (&job.validation, labels) {
            (Some(data), Some(labels)) if few => {
                let rows: Vec<u32> = (0..data.rows().min(ROWS) as u32).collect();
                Some((data.inputs.select(&rows), labels[..rows.len()].to_vec()))
            }
            _ => None,
        };
        let grid = match is_planar(&job.network) {
            true => Some(Plane::around(&model, Some(&job.train)).cells(&model, GRID)?),
            false => None,
        };
        let classes = match &job.train.task {
            Task::Classification { classes, .. } => classes.clone(),
            Task::Regression { .. } => Vec::new(),
        };
        let state = State::new(format!("{} · {} · {device}", job.train.name, job.network), job.epochs, classes);

        let io = |source| Error::Io { action: "draw on", path: "the terminal".into(), source };
        enable_raw_mode().map_err(io)?;
        ACTIVE.store(true, Ordering::SeqCst);
        let begun = execute!(stdout(), EnterAlternateScreen, cursor::Hide)
            .and_then(|()| Terminal::new(CrosstermBackend::new(stdout())));
        let terminal = begun.map_err(|error| {
            restore();
            io(error)
        })?;
        let drawn = Instant::now();
        let (destination, answered, paused) = (job.destination.clone(), None, Duration::ZERO);
        let mut tui = Tui { terminal, state, model, destination, judged, grid, drawn, answered, paused };
        tui.draw()?;
        Ok(tui)
    }

    /// Notes a part of an epoch.
    pub fn progress(&mut self, epoch: usize, done: usize, steps: usize, loss: f32) {
        self.state.progress(epoch, done as f64 / steps as f64, f64::from(loss));
    }

    /// Takes what is known after an epoch.
    pub fn record(&mut self, record: Record, run: &mut Running<'_>) -> Result<()> {
        let last = record.epoch == self.state.epochs;
        self.state.record(record);
        if last || self.answered.is_none_or(|at| at.elapsed() > ANSWERS) {
            self.answer(run)?;
        }
        Ok(())
    }

    /// Does what keys ask for, and draws.
    pub fn callback(&mut self, moment: Moment<'_>, run: &mut Running<'_>) -> Result<ControlFlow<()>> {
        self.state.learning_rate = run.learning_rate();
        loop {
            let wait = if self.state.paused.is_some() { Duration::from_millis(100) } else { Duration::ZERO };
            if event::poll(wait).map_err(terminal_error)? {
                match event::read().map_err(terminal_error)? {
                    Event::Key(key) => match Action::of(key) {
                        Some(Action::Stop) => return Ok(ControlFlow::Break(())),
                        Some(action) => self.act(action, run)?,
                        None => {}
                    },
                    Event::Resize(..) => self.draw()?,
                    _ => {}
                }
            } else if self.state.paused.is_none() {
                break;
            }
            if interrupt::requested() {
                return Ok(ControlFlow::Break(()));
            }
        }
        if self.drawn.elapsed() >= FRAME || matches!(moment, Moment::End(epoch) if epoch.number == self.state.epochs) {
            self.draw()?;
        }
        Ok(ControlFlow::Continue(()))
    }

    /// How long the run was paused since this was last asked.
    pub fn take_paused(&mut self) -> Duration {
        std::mem::take(&mut self.paused)
    }

    fn act(&mut self, action: Action, run: &mut Running<'_>) -> Result<()> {
        match action {
            Action::Pause => match self.state.paused.take() {
                None => self.state.paused = Some(Instant::now()),
                Some(since) => {
                    self.paused += since.elapsed();
                    self.state.paused_for += since.elapsed();
                }
            },
            Action::Save => {
                self.model.values = run.parameters()?;
                // A run that diverged, or a full disk, is no reason to end it.
                self.state.message = match self.model.save(&self.destination) {
                    Ok(()) => format!("saved {} in epoch {}", self.destination.display(), self.state.epoch),
                    Err(error) => error.to_string(),
                };
            }
            Action::LowerRate => {
                run.scale_learning_rate(0.5)?;
                self.state.learning_rate = run.learning_rate();
                self.state.message = format!("learning rate halved to {:e}", self.state.learning_rate);
            }
            Action::Stop => {}
        }
        self.draw()
    }

    /// Computes the confusion matrix and the decision boundary of the network as it is.
    fn answer(&mut self, run: &mut Running<'_>) -> Result<()> {
        if self.judged.is_none() && self.grid.is_none() {
            return Ok(());
        }
        self.answered = Some(Instant::now());
        let values = run.parameters()?;
        let predict =
            |inputs: &Matrix| Predictor::new(run.device(), run.network(), &values, inputs.rows)?.predict(inputs);
        if let Some((inputs, labels)) = &self.judged {
            let outputs = predict(inputs)?;
            let classes = outputs.cols;
            let mut counts = vec![vec![0; classes]; classes];
            labels.iter().enumerate().for_each(|(row, &label)| counts[label as usize][argmax(outputs.row(row))] += 1);
            self.state.confusion = Some(counts);
        }
        if let Some(grid) = &self.grid {
            let surface = surface(&self.model, &predict(grid)?);
            self.state.boundary = Some(Answers { grid: GRID, surface });
        }
        Ok(())
    }

    fn draw(&mut self) -> Result<()> {
        self.drawn = Instant::now();
        let state = &self.state;
        self.terminal.draw(|frame| view::draw(frame, state)).map(drop).map_err(terminal_error)
    }
}

impl Drop for Tui {
    fn drop(&mut self) {
        restore();
    }
}

fn terminal_error(source: io::Error) -> Error {
    Error::Io { action: "draw on", path: "the terminal".into(), source }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_ask_for_what_the_help_says() {
        let of = |code, modifiers| Action::of(KeyEvent::new(code, modifiers));
        let plain = |c| of(KeyCode::Char(c), KeyModifiers::NONE);
        assert_eq!([plain(' '), plain('p')], [Some(Action::Pause); 2]);
        assert_eq!((plain('s'), plain('l')), (Some(Action::Save), Some(Action::LowerRate)));
        assert_eq!([plain('q'), of(KeyCode::Char('c'), KeyModifiers::CONTROL)], [Some(Action::Stop); 2]);
        assert_eq!([plain('c'), plain('x'), of(KeyCode::Enter, KeyModifiers::NONE)], [None; 3]);
        let held = |c| [KeyModifiers::CONTROL, KeyModifiers::ALT].map(|modifiers| of(KeyCode::Char(c), modifiers));
        assert_eq!([held('l'), held('s'), held(' ')], [[None; 2]; 3]);
    }
}
