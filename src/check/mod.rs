//! The proof, on this machine and driver: every kernel and variant against its twin, every gradient of every parameter
//! against the reference, the reference against central differences, and the same for expressions.
//!
//! `wgrad check` prints what [`run`] finds; the tests demand that all of it passes, and that planted faults do not.

pub mod equations;
mod functions;
pub mod gradients;
pub mod graphs;
pub mod kernels;
mod mixed;
mod resident;
mod update;

use crate::Result;
use crate::compare::Comparison;
use crate::device::Device;

pub use functions::Functions;

/// What the cases of one subject came to.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// `kernel`, `gradient`, `graph`, `reference`, `derivative` or `determinism`.
    pub group: &'static str,
    /// What was checked: a kernel with its variant, an activation.
    pub subject: String,
    /// How many arrays were compared.
    pub cases: usize,
    /// The largest error in units of its derived bound: at most 1 where nothing failed.
    pub worst: f64,
    /// The first failure.
    pub failure: Option<String>,
}

/// Everything that was checked on a device.
#[derive(Clone, Debug, PartialEq)]
pub struct Report {
    /// The device's name.
    pub device: String,
    /// In the order of checking.
    pub outcomes: Vec<Outcome>,
}

impl Report {
    /// How many subjects passed.
    pub fn passed(&self) -> usize {
        self.outcomes.len() - self.failed()
    }

    /// How many subjects failed.
    pub fn failed(&self) -> usize {
        self.outcomes.iter().filter(|outcome| outcome.failure.is_some()).count()
    }
}

/// Collects the cases of one subject.
struct Tally(Outcome);

impl Tally {
    fn new(group: &'static str, subject: impl Into<String>) -> Self {
        Tally(Outcome { group, subject: subject.into(), cases: 0, worst: 0.0, failure: None })
    }

    fn is_empty(&self) -> bool {
        self.0.cases == 0
    }

    fn add(&mut self, result: Result<Vec<Comparison>, String>) {
        match result {
            Ok(comparisons) => {
                self.0.cases += comparisons.len();
                self.0.worst = comparisons.iter().fold(self.0.worst, |worst, c| worst.max(c.worst));
            }
            Err(failure) => {
                self.0.cases += 1;
                self.0.worst = f64::INFINITY;
                self.0.failure.get_or_insert(failure);
            }
        }
    }

    fn finish(mut self) -> Outcome {
        if self.0.cases == 0 {
            self.0.failure = Some("nothing was compared".into());
        }
        self.0
    }
}

/// Checks everything on `device`, with numbers drawn from `seed`; `watch` sees each outcome as it comes.
///
/// # Errors
/// Where the device fails as such; wrong results are outcomes, not errors.
pub fn run(device: &Device, seed: u64, watch: &mut dyn FnMut(&Outcome)) -> Result<Report> {
    report(device, watch, |take| {
        kernels::run(device, seed, take)?;
        gradients::run(device, seed, take)?;
        equations::run(device, seed, take)?;
        graphs::run(device, seed, take)?;
        Functions::samples()?.iter().try_for_each(|functions| functions.run(device, seed, take))
    })
}

/// Checks what `functions` are computed with, and nothing else; otherwise like [`run`].
///
/// # Errors
/// Those of [`run`].
pub fn run_for(functions: &[Functions], device: &Device, seed: u64, watch: &mut dyn FnMut(&Outcome)) -> Result<Report> {
    report(device, watch, |take| functions.iter().try_for_each(|functions| functions.run(device, seed, take)))
}

fn report(
    device: &Device,
    watch: &mut dyn FnMut(&Outcome),
    run: impl FnOnce(&mut dyn FnMut(Outcome)) -> Result<()>,
) -> Result<Report> {
    let mut outcomes = Vec::new();
    run(&mut |outcome| {
        watch(&outcome);
        outcomes.push(outcome);
    })?;
    Ok(Report { device: device.name(), outcomes })
}
