//! What is measured rather than assumed: the variant that each kernel runs, the planner that wires the step, the device
//! that trains. **A verdict is made here**, in [`Tuner::tune`] and [`Tuner::select`].
//!
//! A variant is compared with its twin before it is timed, and takes the heuristic one's place only where it is clearly
//! faster. Verdicts are kept by what could change them: the kernel's text, the class of sizes, the adapter and its
//! driver. Variants sum in different orders: whoever needs the same bits again keeps a [`Pinned`] choice, as model files
//! do, and gives it back.

mod cache;
mod measure;
mod select;
mod session;
mod variants;

pub use cache::{Cache, FILE, Record};
pub use measure::{Ceilings, kernel_seconds};
pub use variants::Variants;

use crate::Result;
use crate::device::Device;
use crate::gpu::{Gpu, VariantChoice};
use crate::kernel::{Abilities, Kernel, Variant};
use crate::network::Network;
use crate::plan::{Phase, Plan, Planner, TrainingOptions};
use measure::{capped, guess, guess_step};
use serde::{Deserialize, Serialize};
use session::{Limits, Session};
use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::mem::discriminant;
use std::sync::Arc;
use std::time::Duration;
use variants::sizes;

/// How much a [`Tuner`] may measure.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Effort {
    /// Nothing, and verdicts of before do not count: every choice is the heuristic's.
    None,
    /// Nothing, but verdicts of before count.
    Recall,
    /// What is not known yet, within the budget of the device, and what a run is long enough to gain from.
    Budget,
    /// Every choice that is not measured yet.
    Everything,
}

/// What a measured or recalled candidate came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Outcome {
    /// Seconds of one dispatch or of one training step.
    Seconds(f64),
    /// It is wrong or fails on this device; why.
    Excluded(String),
    /// There was no time for it: it was expected to take so many seconds.
    Postponed(f64),
    /// It was not measured.
    Unknown,
}

/// Why a choice fell as it did.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Source {
    /// Measured now.
    Measured,
    /// Kept from before.
    Recalled,
    /// Nothing was measured: the heuristic's choice.
    Heuristic,
}

impl std::fmt::Display for Source {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.pad(match self {
            Source::Measured => "measured",
            Source::Recalled => "from the cache",
            Source::Heuristic => "heuristic",
        })
    }
}

/// The choice between variants of a kernel for one class of sizes.
#[derive(Clone, Debug, PartialEq)]
pub struct Verdict {
    /// The kernel.
    pub kernel: Kernel,
    /// Its sizes in the plan.
    pub dims: [u32; 4],
    /// The sizes that it was timed at: smaller ones stand for large matrices.
    pub timed_dims: [u32; 4],
    /// The variant to run.
    pub winner: Variant,
    /// Every candidate, the heuristic's first.
    pub candidates: Vec<(Variant, Outcome)>,
    /// Where it comes from.
    pub source: Source,
}

/// All choices for a training step on one device.
#[derive(Clone, Debug, PartialEq)]
pub struct Tuning {
    /// Who wires the step, and which variants it runs.
    pub pinned: Pinned,
    /// The planners that there was a choice between, with the seconds of a step.
    pub planners: Vec<(Planner, Outcome)>,
    /// Where the choice of the planner comes from.
    pub planner_source: Source,
    /// The choice for each kernel of the chosen planner's step that has one; nothing on the CPU.
    pub verdicts: Vec<Verdict>,
    /// What measuring took.
    pub seconds: f64,
    /// Why not everything was measured, as a clause; `None` where it was.
    pub incomplete: Option<String>,
}

/// Choices to repeat: what a model file keeps of how its training step ran.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pinned {
    /// Who wires the step.
    #[serde(with = "planner_name")]
    pub planner: Planner,
    /// Which variants run.
    #[serde(default)]
    pub variants: Variants,
}

impl Pinned {
    /// The variants, for an executor.
    pub fn choice(&self) -> VariantChoice {
        VariantChoice::Pinned(Arc::new(self.variants.clone()))
    }
}

mod planner_name {
    use crate::plan::Planner;
    use serde::{Deserialize, Deserializer, Serializer, de::Error};

    pub fn serialize<S: Serializer>(planner: &Planner, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(planner.name())
    }

    pub fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Planner, D::Error> {
        String::deserialize(deserializer)?.parse().map_err(D::Error::custom)
    }
}

/// A training step to tune for.
#[derive(Clone, Copy, Debug)]
pub struct Job<'a> {
    /// The network.
    pub network: &'a Network,
    /// What its plan is built for. The planner in it counts only where `planner` repeats it.
    pub options: TrainingOptions,
    /// Who has to wire the step; `None` where that is to be measured.
    pub planner: Option<Planner>,
    /// How many steps will be trained; `None` where nobody knows, and measuring always pays.
    pub steps: Option<u64>,
}

impl Job<'_> {
    /// The plan of every planner that has to be considered and can wire this network, the default first.
    fn plans(&self) -> Result<Vec<Plan>> {
        let plan = |planner| Plan::training(self.network, &TrainingOptions { planner, ..self.options });
        if let Some(planner) = self.planner {
            return Ok(vec![plan(planner)?]);
        }
        // The default planner fits every network: what it refuses is an error of the options. The others are specialists.
        let mut plans = vec![plan(Planner::default())?];
        let others = Planner::ALL.iter().filter(|planner| **planner != Planner::default());
        plans.extend(others.filter_map(|&planner| plan(planner).ok()));
        Ok(plans)
    }

    /// The same for what `device` offers.
    fn on(self, device: &Device) -> Self {
        let options = TrainingOptions { workgroup_memory: device.workgroup_memory(), ..self.options };
        Job { options, ..self }
    }

    /// The plan of a training step by `planner` on `batch` rows, and of nothing else: what is not run is not compiled.
    fn step(&self, planner: Planner, batch: usize) -> Result<Plan> {
        let data_rows = self.options.data_rows.min(batch);
        let plan =
            Plan::training(self.network, &TrainingOptions { planner, batch, data_rows, steps: 1, ..self.options })?;
        let phases = plan.training_phases();
        Ok(plan.only(phases))
    }

    /// What a planner's speed depends on besides the device.
    fn key(&self, plans: &[Plan]) -> String {
        let texts = plans.iter().flat_map(|plan| &plan.steps);
        let texts = texts.map(|step| step.kernel.wgsl(step.kernel.heuristic(step.uniform.dims, Abilities::default())));
        let planners: Vec<_> = plans.iter().map(|plan| plan.planner.name()).collect();
        let hash = hash(texts.chain([env!("CARGO_PKG_VERSION").to_owned()]));
        format!("{} {hash} batch {} by {}", self.network, class(self.options.batch), planners.join(","))
    }
}

/// The share of a step below which a kernel's variants are not worth telling apart.
const LEAST_SHARE: f64 = 0.02;

/// Floating-point operations beyond which a naive kernel is not timed.
const LEAST_TILED: f64 = 1e7;

/// The most that tuning is seen to make a step faster, about.
const TUNING_GAINS: f64 = 2.0;

/// Seconds that one timed run may take, about; larger sizes are made smaller.
const LONGEST_RUN: f64 = 0.05;

/// Seconds that one timed training step may take, about; larger batches are made smaller.
const LONGEST_STEP: f64 = 0.2;

/// Measures what is not known yet, and remembers it.
pub struct Tuner {
    cache: Cache,
    effort: Effort,
    budget: Option<Duration>,
    /// What choosing a device spent on each, which counts for the tuning that follows.
    spent: BTreeMap<String, Duration>,
}

impl Tuner {
    /// A tuner that keeps its verdicts in `cache`.
    pub fn new(cache: Cache, effort: Effort) -> Self {
        Tuner { cache, effort, budget: None, spent: BTreeMap::new() }
    }

    /// The same within another budget than usual, which is 2 s, and on a software rasteriser 3 s for kernels and 10 s for
    /// all. A candidate is left out where it is expected to end later. The budget counts for [`Effort::Budget`], and anew
    /// for each call of [`Tuner::tune`].
    pub fn within(self, budget: Duration) -> Self {
        Tuner { budget: Some(budget), ..self }
    }

    fn session<'a>(&self, device: &Device, tamper: &'a dyn Fn(Variant, &mut Plan)) -> Session<'a> {
        let limits = match self.budget.filter(|_| self.effort == Effort::Budget) {
            Some(budget) => Limits::within(budget),
            None => Limits::of(self.effort, device),
        };
        Session::new(self.effort, limits, self.spent(device), tamper)
    }

    fn spent(&self, device: &Device) -> Duration {
        self.spent.get(&device.name()).copied().unwrap_or_default()
    }

    /// What was wrong with the cache, once.
    pub fn warning(&mut self) -> Option<String> {
        self.cache.warning()
    }

    /// Chooses planner and variants for training steps of `job` on `device`.
    ///
    /// # Errors
    /// Where the options are wrong, the device is lost, or no variant of a kernel agrees with its twin there.
    pub fn tune(&mut self, device: &Device, job: &Job<'_>) -> Result<Tuning> {
        self.tune_tampered(device, job, &|_, _| {})
    }

    /// The same, with faults planted into the plans that variants are checked in: a test's way to see that a wrong variant
    /// is found.
    pub fn tune_tampered(
        &mut self,
        device: &Device,
        job: &Job<'_>,
        tamper: &dyn Fn(Variant, &mut Plan),
    ) -> Result<Tuning> {
        let job = &job.on(device);
        let plans = job.plans()?;
        let mut session = self.session(device, tamper);
        if let (Effort::Budget, Some(steps)) = (self.effort, job.steps) {
            session.weigh(guess_step(device, &plans[0]) * steps as f64);
        }
        let key = format!("planner | {} | {}", job.key(&plans), device.name());
        let recalled = self.recall(&key).filter(|record| plans.iter().any(|plan| plan.planner.name() == record.winner));
        let outcome =
            |planner: Planner| recalled.map_or(Outcome::Unknown, |record| Outcome::of(record, planner.name()));
        let mut standings: Vec<_> = plans.iter().map(|plan| (plan.planner, outcome(plan.planner))).collect();
        let mut source = if recalled.is_some() { Source::Recalled } else { Source::Heuristic };
        let raced = plans.len() > 1 && session.may_race() && session.race(device, job, &mut standings);
        let mut leader = fastest(&standings).map_or(0, |(i, _)| i);
        let rivals = |i: &usize| *i == leader || raced && is_near(&standings, *i);
        let finalists: Vec<usize> = (0..plans.len()).filter(rivals).collect();
        let mut verdicts = BTreeMap::new();
        for (done, &i) in finalists.iter().enumerate() {
            session.share = if finalists.len() > 1 { 0.8 * (done + 1) as f64 / finalists.len() as f64 } else { 1.0 };
            verdicts.insert(i, self.variants(&mut session, device, &plans[i], plans[i].training_phases())?);
        }
        session.share = 1.0;
        if finalists.len() > 1 && matches!(device, Device::Gpu(_)) && session.may_measure(Duration::ZERO) {
            for (i, verdicts) in &verdicts {
                let variants = VariantChoice::Pinned(Arc::new(Variants::of(verdicts)));
                standings[*i].1 = session.time(device, job, plans[*i].planner, variants);
            }
            leader = fastest(&standings).map_or(leader, |(i, _)| i);
        }
        // A planner that came to nothing measurable is not remembered.
        if raced && fastest(&standings).is_some() {
            source = Source::Measured;
            self.cache.insert([(key, record(&plans[leader].planner, &standings))]);
        }
        self.spent.remove(&device.name());
        let verdicts = verdicts.remove(&leader).unwrap_or_default();
        Ok(Tuning {
            pinned: Pinned { planner: plans[leader].planner, variants: Variants::of(&verdicts) },
            planners: standings,
            planner_source: source,
            verdicts,
            seconds: if session.measured { session.elapsed().as_secs_f64() } else { 0.0 },
            incomplete: session.incomplete,
        })
    }

    /// Chooses the variants of the kernels of any `plan` on `device`; none on the CPU. What is measured is kept.
    ///
    /// # Errors
    /// As [`Tuner::tune`].
    pub fn tune_plan(&mut self, device: &Device, plan: &Plan) -> Result<Vec<Verdict>> {
        let phases: Vec<_> = plan.steps.iter().map(|step| step.phase).collect();
        self.variants(&mut self.session(device, &|_, _| {}), device, plan, &phases)
    }

    /// The variants to run `plan` by on `device` where nothing is to be measured: as they are `noted`, else as they were
    /// measured before, else by rule of thumb. What is noted and does not run there is passed over.
    ///
    /// # Errors
    /// As [`Tuner::tune`].
    pub fn recall_plan(&mut self, device: &Device, plan: &Plan, noted: &Variants) -> Result<Variants> {
        let mut verdicts = self.tune_plan(device, plan)?;
        for verdict in &mut verdicts {
            let name = noted.get(&verdict.kernel, verdict.dims);
            let there = verdict.candidates.iter().find(|(variant, _)| name == Some(&variant.to_string()));
            verdict.winner = there.map_or(verdict.winner, |(variant, _)| *variant);
        }
        Ok(Variants::of(&verdicts))
    }

    fn recall(&self, key: &str) -> Option<&Record> {
        self.cache.get(key).filter(|_| self.effort != Effort::None)
    }

    /// The verdict for each kernel of `plan` that has more than one variant; those of `phases` are worth measuring.
    fn variants(
        &mut self,
        session: &mut Session<'_>,
        device: &Device,
        plan: &Plan,
        phases: &[Phase],
    ) -> Result<Vec<Verdict>> {
        let Device::Gpu(gpu) = device else { return Ok(Vec::new()) };
        let mut open: Vec<Verdict> = Vec::new();
        let mut costs: BTreeMap<String, f64> = BTreeMap::new();
        for step in &plan.steps {
            let (kernel, dims) = (&step.kernel, step.uniform.dims);
            if phases.contains(&step.phase) {
                *costs.entry(group(kernel, dims)).or_default() += guess(device, kernel, dims);
            }
            let mut candidates = gpu.candidates(kernel, dims);
            // The naive product of large matrices is slow to time, and not the fastest.
            let slow =
                |variant: &Variant| *variant == Variant::Naive && kernel.work(kernel.times(dims, 1)).0 > LEAST_TILED;
            let preferred = candidates.first().copied();
            candidates.retain(|variant| Some(*variant) == preferred || !slow(variant));
            // Relatives of the heuristic's choice are its nearest rivals, and come before a budget ends.
            candidates.sort_by_key(|variant| {
                let is_like = |preferred: Variant| {
                    [
                        *variant == preferred,
                        variant.reads_vectors() == preferred.reads_vectors(),
                        discriminant(variant) == discriminant(&preferred),
                    ]
                };
                Reverse(preferred.map(is_like))
            });
            let known = open.iter().any(|verdict| verdict.kernel == *kernel && verdict.dims == dims);
            if let (false, true, Some(&winner)) = (known, gpu.variants(kernel).len() > 1, candidates.first()) {
                open.push(Verdict {
                    kernel: kernel.clone(),
                    dims,
                    timed_dims: capped(device, kernel, dims, LONGEST_RUN),
                    winner,
                    candidates: candidates.into_iter().map(|variant| (variant, Outcome::Unknown)).collect(),
                    source: Source::Heuristic,
                });
            }
        }
        let total: f64 = costs.values().sum();
        let cost = |verdict: &Verdict| costs.get(&group(&verdict.kernel, verdict.dims)).copied().unwrap_or(0.0);
        // What takes longest is measured first: a budget may end before the list does.
        open.sort_by(|a, b| cost(b).total_cmp(&cost(a)));
        let mut found = Vec::new();
        for verdict in &mut open {
            let worthwhile = cost(verdict) >= LEAST_SHARE * total || self.effort == Effort::Everything;
            found.extend(self.decide(session, gpu, verdict, worthwhile)?);
        }
        self.cache.insert(found);
        Ok(open)
    }

    /// Makes one verdict; what is new is returned, to be kept.
    fn decide(
        &self,
        session: &mut Session<'_>,
        gpu: &Arc<Gpu>,
        verdict: &mut Verdict,
        worthwhile: bool,
    ) -> Result<Option<(String, Record)>> {
        let key = kernel_key(gpu, verdict);
        let recalled = self.recall(&key).filter(|record| {
            let there = |name: &str| verdict.candidates.iter().any(|(variant, _)| variant.to_string() == name);
            there(&record.winner) && (self.effort != Effort::Everything || verdict.is_answered_by(record))
        });
        if let Some(record) = recalled {
            verdict.recall(record);
            return Ok(None);
        }
        if verdict.candidates.len() < 2 || !worthwhile {
            return Ok(None);
        }
        if session.may_measure(Duration::ZERO) {
            session.measure(gpu, verdict)?;
        } else if !session.is_exhausted() {
            return Ok(None);
        }
        // What the budget left out keeps its heuristic choice too, or the next run would have other bits.
        Ok(Some((key, record(&verdict.winner, &verdict.candidates))))
    }
}

impl Verdict {
    /// Floating-point operations and bytes moved, at the least, by what a candidate's seconds are for.
    pub fn work(&self) -> (f64, f64) {
        self.kernel.work(self.kernel.times(self.timed_dims, 1))
    }

    /// Takes over what was found before.
    fn recall(&mut self, record: &Record) {
        self.source = if record.seconds.is_empty() { Source::Heuristic } else { Source::Recalled };
        for (variant, outcome) in &mut self.candidates {
            let name = variant.to_string();
            *outcome = Outcome::of(record, &name);
            if name == record.winner {
                self.winner = *variant;
            }
        }
    }

    fn is_answered_by(&self, record: &Record) -> bool {
        let known = |name: String| record.seconds.contains_key(&name) || record.excluded.contains_key(&name);
        self.candidates.iter().all(|(variant, _)| known(variant.to_string()))
    }
}

impl From<Result<f64>> for Outcome {
    fn from(measured: Result<f64>) -> Self {
        match measured {
            Ok(seconds) => Outcome::Seconds(seconds),
            Err(error) => Outcome::Excluded(error.to_string()),
        }
    }
}

impl Outcome {
    /// What `record` says of the candidate called `name`.
    fn of(record: &Record, name: &str) -> Outcome {
        match (record.seconds.get(name), record.excluded.get(name), record.postponed.get(name)) {
            (Some(seconds), ..) => Outcome::Seconds(*seconds),
            (_, Some(why), _) => Outcome::Excluded(why.clone()),
            (.., Some(expected)) => Outcome::Postponed(*expected),
            _ => Outcome::Unknown,
        }
    }
}

/// What to keep of a choice.
fn record<T: ToString>(winner: &T, candidates: &[(T, Outcome)]) -> Record {
    let mut record = Record { winner: winner.to_string(), ..Record::default() };
    for (candidate, outcome) in candidates {
        match outcome {
            Outcome::Seconds(seconds) => drop(record.seconds.insert(candidate.to_string(), *seconds)),
            Outcome::Excluded(why) => drop(record.excluded.insert(candidate.to_string(), why.clone())),
            Outcome::Postponed(expected) => drop(record.postponed.insert(candidate.to_string(), *expected)),
            Outcome::Unknown => {}
        }
    }
    record
}

/// Whether planner `i` may overtake the fastest once its kernels are tuned.
fn is_near(standings: &[(Planner, Outcome)], i: usize) -> bool {
    match (fastest(standings), &standings[i].1) {
        (Some((_, least)), Outcome::Seconds(seconds)) => *seconds <= TUNING_GAINS * least,
        _ => false,
    }
}

/// The place and the seconds of the fastest.
fn fastest(planners: &[(Planner, Outcome)]) -> Option<(usize, f64)> {
    let timed = planners.iter().enumerate().filter_map(|(i, (_, outcome))| match outcome {
        Outcome::Seconds(seconds) => Some((i, *seconds)),
        _ => None,
    });
    timed.min_by(|a, b| a.1.total_cmp(&b.1))
}

/// What shares a verdict within a plan.
fn group(kernel: &Kernel, dims: [u32; 4]) -> String {
    format!("{kernel} {}", classes(dims))
}

/// All that a kernel's verdict depends on: the texts of its variants, the class of sizes, the adapter and its driver.
fn kernel_key(gpu: &Gpu, verdict: &Verdict) -> String {
    let Verdict { kernel, dims, .. } = verdict;
    let hash = hash(kernel.variants(gpu.abilities()).into_iter().map(|variant| kernel.wgsl(variant)));
    format!("kernel | {kernel} {hash} | {} | {}", classes(*dims), crate::gpu::describe(gpu.info()))
}

fn classes(dims: [u32; 4]) -> String {
    sizes(dims.map(|dim| class(dim as usize) as u32))
}

/// Sizes that share a verdict have the same class: small ones only with themselves, larger ones by their nearest power
/// of two; those that are no multiples of four, which fewer variants take, are apart, at one more.
fn class(size: usize) -> usize {
    match size {
        0..=16 => size,
        _ => (1 << ((size as f64).log2().round() as u32).min(31)) + usize::from(!size.is_multiple_of(4)),
    }
}

/// 64-bit FNV-1a, the same in every build.
pub(crate) fn hash(texts: impl Iterator<Item = String>) -> String {
    let bytes = texts.flat_map(String::into_bytes);
    let hash =
        bytes.fold(0xcbf2_9ce4_8422_2325u64, |hash, byte| (hash ^ u64::from(byte)).wrapping_mul(0x100_0000_01b3));
    format!("{hash:016x}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn near_sizes_share_a_class() {
        assert_eq!(
            [0, 1, 13, 16, 17, 63, 64, 784, 1022, 1024].map(class),
            [0, 1, 13, 16, 17, 65, 64, 1024, 1025, 1024]
        );
        assert_eq!(class(usize::MAX), (1 << 31) + 1);
        // The published test vector of FNV-1a.
        assert_eq!(hash(["foo".to_owned(), "bar".to_owned()].into_iter()), "85944171f73967e8");
    }
}
