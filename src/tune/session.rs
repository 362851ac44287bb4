//! One call's measuring, with its budget.

use super::measure::{
    agrees, capped_batch, compiling, compiling_plan, heuristic, is_hopeless, is_software, kernel_seconds,
    raced_seconds, rehearse, seconds,
};
use super::{Effort, Job, Outcome, Source, Verdict, fastest};
use crate::device::Device;
use crate::gpu::{Gpu, VariantChoice};
use crate::kernel::Variant;
use crate::plan::{Plan, Planner};
use crate::{Error, Result};
use std::sync::Arc;
use std::time::{Duration, Instant};

/// How much faster than the heuristic's variant another one has to be: noise must not decide.
const CLEARLY: f64 = 0.95;

/// The shortest expected compilation that says how slow the device compiles; what is run besides takes longer than others.
const LEAST_GUESS: Duration = Duration::from_millis(50);

/// How long measuring may take on a device.
#[derive(Clone, Copy)]
pub(super) struct Limits {
    /// Until then a kernel's candidate has to be done.
    kernels: Duration,
    /// Until then everything has to be: a planner is worth more than a variant, and compiles longer.
    all: Duration,
}

impl Limits {
    pub(super) fn of(effort: Effort, device: &Device) -> Self {
        let (kernels, all) = match (effort, device) {
            (Effort::None | Effort::Recall, _) => (0, 0),
            (Effort::Everything, _) => (3600, 3600),
            (Effort::Budget, Device::Gpu(gpu)) if is_software(gpu) => (3, 10),
            (Effort::Budget, _) => (2, 2),
        };
        Limits { kernels: Duration::from_secs(kernels), all: Duration::from_secs(all) }
    }

    pub(super) fn within(budget: Duration) -> Self {
        Limits { kernels: budget, all: budget }
    }
}

/// One call's measuring, with its budget.
pub(super) struct Session<'a> {
    start: Instant,
    /// What was spent before.
    spent: Duration,
    limits: Limits,
    /// How many candidates of a kernel are measured at most.
    most: usize,
    /// The part of the kernels' limit that may be spent so far.
    pub(super) share: f64,
    /// The longest that a candidate of a kernel took, compilation included.
    longest: Duration,
    /// How much slower than expected a text or a plan was compiled, at the worst: the machine may be busy. At least 1, since
    /// caches make some of it quick.
    slowness: f64,
    tamper: &'a dyn Fn(Variant, &mut Plan),
    pub(super) measured: bool,
    pub(super) incomplete: Option<String>,
}

impl<'a> Session<'a> {
    /// A session of which the time `spent` is over already.
    pub(super) fn new(effort: Effort, limits: Limits, spent: Duration, tamper: &'a dyn Fn(Variant, &mut Plan)) -> Self {
        let incomplete = limits.all.is_zero().then(|| "nothing was to be measured".to_owned());
        Session {
            start: Instant::now(),
            spent,
            limits,
            most: if effort == Effort::Everything { usize::MAX } else { 5 },
            share: 1.0,
            longest: Duration::ZERO,
            slowness: 1.0,
            tamper,
            measured: false,
            incomplete,
        }
    }

    /// Measures nothing where the whole run takes about as long as measuring would.
    pub(super) fn weigh(&mut self, run: f64) {
        if run < 2.0 * self.limits.kernels.as_secs_f64() {
            self.limits = Limits::within(Duration::ZERO);
            self.incomplete = Some("the run is too short to gain from measuring".into());
        }
    }

    pub(super) fn elapsed(&self) -> Duration {
        self.spent + self.start.elapsed()
    }

    /// Whether there is time for a race of planners.
    pub(super) fn may_race(&mut self) -> bool {
        self.ends_before(self.limits.all, Duration::ZERO)
    }

    /// Whether there is time for another candidate of a kernel, should it take as long as the longest one, or to compile
    /// for so long.
    pub(super) fn may_measure(&mut self, compiling: Duration) -> bool {
        let expected = self.longest.max(compiling.mul_f64(self.slowness));
        self.ends_before(self.limits.kernels.mul_f64(self.share), expected)
    }

    /// Learns from a compilation that was expected to take as long as `guess`.
    fn compiled(&mut self, guess: Duration, took: Duration) {
        if guess >= LEAST_GUESS {
            self.slowness = self.slowness.max(took.as_secs_f64() / guess.as_secs_f64());
        }
    }

    fn ends_before(&mut self, limit: Duration, expected: Duration) -> bool {
        let ok = self.elapsed() + expected < limit;
        if !ok && self.incomplete.is_none() {
            self.incomplete = Some(format!("{:.1} s for measuring were spent", self.elapsed().as_secs_f64()));
        }
        ok
    }

    /// Checks and times the candidates of `verdict` as far as there is time, and sets its winner.
    pub(super) fn measure(&mut self, gpu: &Arc<Gpu>, verdict: &mut Verdict) -> Result<()> {
        let device = Device::Gpu(gpu.clone());
        let (kernel, dims) = (verdict.kernel.clone(), verdict.timed_dims);
        let mut best: Option<(Variant, f64)> = None;
        let (most, preferred) = (self.most, verdict.winner);
        let hopeful =
            |(variant, _): &&mut (Variant, _)| most == usize::MAX || !is_hopeless(gpu, &kernel, *variant, preferred);
        for (variant, outcome) in verdict.candidates.iter_mut().filter(hopeful).take(most) {
            let guess = compiling(gpu, &kernel, *variant);
            if !self.may_measure(guess) {
                break;
            }
            self.measured = true;
            let begin = Instant::now();
            let tamper = |plan: &mut Plan| (self.tamper)(*variant, plan);
            let agreed = agrees(&device, &kernel, *variant, &tamper);
            self.compiled(guess, begin.elapsed());
            *outcome = match agreed {
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
            Some((variant, _)) if variant == preferred || self.beats_again(&device, verdict, variant) => {
                verdict.winner = variant;
            }
            Some(_) => {}
            None => verdict.fall_back(gpu)?,
        }
        Ok(())
    }

    /// Whether `rival` is clearly faster than the heuristic's choice when both are timed once more, one right behind the other:
    /// on a busy machine one of them may have met a bad moment. Their outcomes become the better of the two times.
    fn beats_again(&mut self, device: &Device, verdict: &mut Verdict, rival: Variant) -> bool {
        let (kernel, dims, preferred) = (&verdict.kernel, verdict.timed_dims, verdict.winner);
        let mut least = |wanted: Variant| {
            let (_, outcome) = verdict.candidates.iter_mut().find(|(variant, _)| *variant == wanted)?;
            let Outcome::Seconds(seconds) = outcome else { return None };
            if self.may_measure(Duration::ZERO)
                && let Ok(again) = kernel_seconds(device, kernel, wanted, dims, None)
            {
                *seconds = seconds.min(again);
            }
            Some(*seconds)
        };
        match (least(preferred), least(rival)) {
            (Some(preferred), Some(rival)) => rival < preferred * CLEARLY,
            // There is nothing to compare it with.
            (preferred, _) => preferred.is_none(),
        }
    }

    /// Whether there was time, and it was spent.
    pub(super) fn is_exhausted(&self) -> bool {
        !self.limits.kernels.is_zero() && self.incomplete.is_some()
    }

    /// Times a training step by each of the planners that are not timed yet, and says whether it timed any. Specialists are
    /// compared with their twins first, those that compile soonest before others; what may not be done in time is
    /// postponed.
    pub(super) fn race(&mut self, device: &Device, job: &Job<'_>, standings: &mut [(Planner, Outcome)]) -> bool {
        let batch = capped_batch(device, job);
        let open = |(_, (_, outcome)): &(usize, &(Planner, Outcome))| {
            matches!(outcome, Outcome::Unknown | Outcome::Postponed(_))
        };
        let open = standings.iter().enumerate().filter(open);
        let mut contenders: Vec<_> = open.map(|(i, (planner, _))| (i, job.step(*planner, batch))).collect();
        let guess = |plan: &Result<Plan>| plan.as_ref().map_or(Duration::ZERO, |plan| compiling_plan(device, plan));
        contenders.sort_by_key(|(i, plan)| (standings[*i].0 != Planner::default(), guess(plan)));
        let mut timed = false;
        for (i, plan) in contenders {
            let guess = guess(&plan);
            let before = match standings[i].1 {
                Outcome::Postponed(seconds) => seconds,
                _ => 0.0,
            };
            let expected = (self.slowness * guess.as_secs_f64()).max(before);
            let left = self.limits.all.saturating_sub(self.elapsed()).as_secs_f64();
            // The default planner is what others are compared with, and what runs where they do not win.
            if standings[i].0 != Planner::default() && expected >= left {
                self.incomplete = Some(format!(
                    "no time to compare the planner {}, which may take {expected:.1} s to compile where {left:.1} s were left; \
                     wgrad tune takes it",
                    standings[i].0
                ));
                standings[i].1 = Outcome::Postponed(expected);
                continue;
            }
            timed = true;
            let begin = Instant::now();
            let rival = fastest(standings).map(|(_, seconds)| seconds);
            let outcome = plan.and_then(|plan| {
                self.check(device, &plan)?;
                let step = rehearse(device, job, &plan, VariantChoice::Heuristic)?;
                self.compiled(guess, begin.elapsed());
                seconds(step, rival)
            });
            standings[i].1 = Outcome::from(outcome);
        }
        self.measured |= timed;
        timed
    }

    /// Times the step of `planner` once more, with the variants that were measured for it.
    pub(super) fn time(&self, device: &Device, job: &Job<'_>, planner: Planner, variants: VariantChoice) -> Outcome {
        let batch = capped_batch(device, job);
        let step = job.step(planner, batch).and_then(|plan| rehearse(device, job, &plan, variants));
        Outcome::from(step.and_then(|step| seconds(step, None)))
    }

    /// Whether the kernels of a specialist agree with their twins here. Those of the default planner are compared before
    /// they are timed.
    fn check(&self, device: &Device, plan: &Plan) -> Result<()> {
        let Device::Gpu(gpu) = device else { return Ok(()) };
        if plan.planner == Planner::default() {
            return Ok(());
        }
        plan.steps.iter().try_for_each(|step| {
            let variant = heuristic(gpu, step);
            agrees(device, &step.kernel, variant, &|plan| (self.tamper)(variant, plan)).map_err(Error::Device)
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

#[cfg(test)]
mod tests {
    use super::*;

    fn session(spent: u64) -> Session<'static> {
        let limits = Limits::within(Duration::from_secs(10));
        Session::new(Effort::Budget, limits, Duration::from_secs(spent), &|_, _| {})
    }

    #[test]
    fn nothing_is_begun_that_a_busy_machine_ends_too_late() {
        let second = Duration::from_secs(1);
        let mut quiet = session(6);
        quiet.compiled(second, second / 2);
        assert!(quiet.may_measure(3 * second), "quicker than expected is no reason to hope");
        assert!(!quiet.may_measure(4 * second));
        assert!(quiet.incomplete.is_some_and(|why| why.contains("were spent")));

        let mut busy = session(6);
        busy.compiled(second, 3 * second);
        busy.compiled(second, second);
        assert!(busy.may_measure(second));
        assert!(!busy.may_measure(2 * second), "it was seen to take three times as long");

        let mut small = session(6);
        small.compiled(LEAST_GUESS / 2, second);
        assert!(small.may_measure(3 * second), "a small text says nothing of how slow a device compiles");
        assert!(!session(10).may_measure(Duration::ZERO));
    }
}
