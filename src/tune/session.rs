//! One call's measuring, with its budget.

use super::measure::{agrees, capped_batch, is_software, raced_seconds, step_seconds, trains};
use super::{Effort, Job, LONGEST_STEP, Outcome, Source, Verdict, fastest};
use crate::device::Device;
use crate::gpu::{Gpu, VariantChoice};
use crate::kernel::Variant;
use crate::plan::{Plan, Planner};
use crate::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much faster than the heuristic's variant another one has to be: noise must not decide.
const CLEARLY: f64 = 0.95;

/// One call's measuring, with its budget.
pub(super) struct Session<'a> {
    start: Instant,
    budget: Duration,
    /// How many candidates of a kernel are measured at most.
    most: usize,
    /// The part of the budget that may be spent so far.
    pub(super) share: f64,
    /// The longest that a candidate took, compilation included.
    longest: Duration,
    tamper: &'a dyn Fn(Variant, &mut Plan),
    pub(super) measured: bool,
    pub(super) incomplete: Option<String>,
}

impl<'a> Session<'a> {
    pub(super) fn new(
        effort: Effort,
        budget: Option<Duration>,
        device: &Device,
        tamper: &'a dyn Fn(Variant, &mut Plan),
    ) -> Self {
        let usual = match (effort, device) {
            (Effort::None | Effort::Recall, _) => 0,
            (Effort::Everything, _) => 3600,
            (Effort::Budget, Device::Gpu(gpu)) if is_software(gpu) => 3,
            (Effort::Budget, _) => 2,
        };
        let budget = budget.filter(|_| effort == Effort::Budget).unwrap_or(Duration::from_secs(usual));
        let incomplete = budget.is_zero().then(|| "nothing was to be measured".to_owned());
        Session {
            start: Instant::now(),
            budget,
            most: if effort == Effort::Everything { usize::MAX } else { 5 },
            share: 1.0,
            longest: Duration::ZERO,
            tamper,
            measured: false,
            incomplete,
        }
    }

    /// Measures nothing where the whole run takes about as long as measuring would.
    pub(super) fn weigh(&mut self, run: f64) {
        if run < 2.0 * self.budget.as_secs_f64() {
            self.budget = Duration::ZERO;
            self.incomplete = Some("the run is too short to gain from measuring".into());
        }
    }

    /// Whether there is time for another candidate, should it take as long as the longest one.
    pub(super) fn may_measure(&mut self) -> bool {
        let ok = self.start.elapsed() + self.longest < self.budget.mul_f64(self.share);
        if !ok && self.incomplete.is_none() {
            self.incomplete = Some(format!("{} s for measuring were spent", self.budget.as_secs_f64()));
        }
        ok
    }

    /// Checks and times the candidates of `verdict` as far as there is time, and sets its winner.
    pub(super) fn measure(&mut self, gpu: &Arc<Gpu>, verdict: &mut Verdict) -> Result<()> {
        let device = Device::Gpu(gpu.clone());
        let (kernel, dims) = (verdict.kernel.clone(), verdict.timed_dims);
        let mut best: Option<(Variant, f64)> = None;
        for (variant, outcome) in verdict.candidates.iter_mut().take(self.most) {
            if !self.may_measure() {
                break;
            }
            self.measured = true;
            let begin = Instant::now();
            let tamper = |plan: &mut Plan| (self.tamper)(*variant, plan);
            *outcome = match agrees(&device, &kernel, *variant, &tamper) {
                Ok(()) => match raced_seconds(&device, &kernel, *variant, dims, best.map(|(_, seconds)| seconds)) {
                    Ok(seconds) => Outcome::Seconds(seconds),
                    Err(error) => Outcome::Excluded(error.to_string()),
                },
                Err(failure) => Outcome::Excluded(failure),
            };
            // A lost device fails every candidate; its own error says more than theirs.
            gpu.check()?;
            if let Outcome::Seconds(seconds) = *outcome
                && best
                    .is_none_or(|(first, least)| seconds < least * if first == verdict.winner { CLEARLY } else { 1.0 })
            {
                best = Some((*variant, seconds));
            }
            self.longest = self.longest.max(begin.elapsed());
        }
        verdict.source = Source::Measured;
        match best {
            Some((variant, _)) => verdict.winner = variant,
            None => verdict.fall_back(gpu)?,
        }
        Ok(())
    }

    /// Whether a budget was there and was spent.
    pub(super) fn is_exhausted(&self) -> bool {
        !self.budget.is_zero() && self.incomplete.is_some()
    }

    /// Times a training step by each of `plans`, `variants` by its place among them.
    pub(super) fn race(
        &mut self,
        device: &Device,
        job: &Job<'_>,
        plans: &[Plan],
        variants: &dyn Fn(usize) -> VariantChoice,
    ) -> Vec<(Planner, Outcome)> {
        self.measured = true;
        let batch = capped_batch(device, job.network, &job.options, LONGEST_STEP);
        let mut standings = Vec::new();
        for (i, plan) in plans.iter().enumerate() {
            let begin = Instant::now();
            let rival = fastest(&standings).map(|(_, seconds)| seconds);
            let seconds = || step_seconds(device, job.network, &job.with(plan.planner, batch), variants(i), rival);
            let outcome = match self.check(device, plan).and_then(|()| seconds().map_err(|error| error.to_string())) {
                Ok(seconds) => Outcome::Seconds(seconds),
                Err(why) => Outcome::Excluded(why),
            };
            standings.push((plan.planner, outcome));
            self.longest = self.longest.max(begin.elapsed());
        }
        standings
    }

    /// Whether the kernels of a specialist agree with their twins here. Those of the default planner are compared before
    /// they are timed.
    fn check(&self, device: &Device, plan: &Plan) -> Result<(), String> {
        if plan.planner == Planner::default() {
            return Ok(());
        }
        let Device::Gpu(gpu) = device else { return Ok(()) };
        plan.steps.iter().filter(|step| trains(plan, step)).try_for_each(|step| {
            let variant = gpu.candidates(&step.kernel, step.uniform.dims).first().copied().unwrap_or(Variant::Naive);
            agrees(device, &step.kernel, variant, &|plan| (self.tamper)(variant, plan))
        })
    }
}

impl Verdict {
    /// Where no candidate could be taken: the specification, if that works.
    fn fall_back(&mut self, gpu: &Arc<Gpu>) -> Result<()> {
        let untried = self.candidates.iter().find(|(_, outcome)| *outcome == Outcome::Unknown);
        let tried = |variant: Variant| self.candidates.iter().any(|(tried, _)| *tried == variant);
        let naive = (!tried(Variant::Naive) && gpu.candidates(&self.kernel, self.dims).contains(&Variant::Naive))
            .then_some(Variant::Naive);
        if let Some(variant) = naive.or(untried.map(|(variant, _)| *variant)) {
            self.winner = variant;
            return Ok(());
        }
        let why = self.candidates.iter().map(|(variant, outcome)| match outcome {
            Outcome::Excluded(why) => format!("{variant}: {why}"),
            _ => variant.to_string(),
        });
        let why: Vec<_> = why.collect();
        Err(Error::Device(format!(
            "no variant of {} works on {}: {}; update the driver, choose another adapter, or use --device cpu",
            self.kernel,
            gpu.info().name,
            why.join("; ")
        )))
    }
}
