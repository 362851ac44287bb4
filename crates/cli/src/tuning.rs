//! Measured choices on the command line: what may be measured, where verdicts are kept, how they are shown.

use crate::context::{Context, note};
use crate::words::{short, table};
use serde_json::{Value, json};
use std::env;
use std::fmt::{self, Display, Formatter};
use std::path::PathBuf;
use std::str::FromStr;
use wgrad::kernel::Variant;
use wgrad::plan::Planner;
use wgrad::tune::{Cache, Effort, FILE, Outcome, Source, Tuner, Tuning, Verdict};
use wgrad::{Error, Result};

/// The flag that switches measuring off.
#[derive(clap::Args, Clone, Copy, Debug)]
pub struct TuneArgs {
    /// Measure nothing and ignore what was measured before: devices, planner and kernel variants by rule of thumb
    #[arg(long)]
    pub no_tune: bool,
}

impl TuneArgs {
    /// A tuner on the user's cache that does at most what `effort` says.
    pub fn tuner(self, effort: Effort) -> Tuner {
        if self.no_tune {
            return Tuner::new(Cache::default(), Effort::None);
        }
        let mut tuner = Tuner::new(Cache::open(cache_folder().map(|folder| folder.join(FILE))), effort);
        warn(&mut tuner);
        tuner
    }
}

/// Says what is wrong with the cache, where something is.
pub fn warn(tuner: &mut Tuner) {
    if let Some(warning) = tuner.warning() {
        note(format_args!("warning: {warning}"));
    }
}

/// Where the user keeps what can be found out again; `None` where the system does not say. An empty variable is one that
/// a script unset.
fn cache_folder() -> Option<PathBuf> {
    let variable = |name: &str| env::var_os(name).filter(|value| !value.is_empty()).map(PathBuf::from);
    if let Some(folder) = variable("WGRAD_CACHE_DIR") {
        return Some(folder);
    }
    let caches = if cfg!(windows) {
        variable("LOCALAPPDATA")
    } else if cfg!(target_os = "macos") {
        env::home_dir().map(|home| home.join("Library").join("Caches"))
    } else {
        variable("XDG_CACHE_HOME").filter(|path| path.is_absolute()).or(env::home_dir().map(|home| home.join(".cache")))
    };
    caches.map(|folder| folder.join("wgrad"))
}

/// Who wires a training step, as it is asked for.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum PlannerChoice {
    /// The one that was measured to be fastest.
    #[default]
    Auto,
    /// This one.
    Named(Planner),
}

impl PlannerChoice {
    /// The planner asked for; `None` where it is to be measured.
    pub fn named(self) -> Option<Planner> {
        match self {
            PlannerChoice::Auto => None,
            PlannerChoice::Named(planner) => Some(planner),
        }
    }
}

impl FromStr for PlannerChoice {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        match text {
            "auto" => Ok(PlannerChoice::Auto),
            name => name.parse().map(PlannerChoice::Named),
        }
    }
}

impl Display for PlannerChoice {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.pad(self.named().map_or("auto", Planner::name))
    }
}

/// What was chosen, in one line: `planner layerwise; 5 kernels measured in 1.2 s`.
pub fn summary(tuning: &Tuning) -> String {
    let count = |source| tuning.verdicts.iter().filter(|verdict| verdict.source == source).count();
    let kernels = [Source::Measured, Source::Recalled, Source::Heuristic].into_iter().filter_map(|source| {
        let plural = |count| if count == 1 { "kernel" } else { "kernels" };
        (count(source) > 0).then(|| format!("{} {} {source}", count(source), plural(count(source))))
    });
    let mut parts = vec![format!("planner {}", tuning.pinned.planner)];
    parts.extend(kernels);
    let took = if tuning.seconds > 0.0 { format!("; took {:.1} s", tuning.seconds) } else { String::new() };
    let known = |outcome: &Outcome| matches!(outcome, Outcome::Seconds(_) | Outcome::Excluded(_));
    let open = tuning.planners.len() > 1 && tuning.planners.iter().any(|(_, outcome)| !known(outcome));
    let why = tuning.incomplete.as_ref().filter(|_| open || count(Source::Heuristic) > 0);
    format!("{}{took}{}", parts.join(", "), why.map_or(String::new(), |why| format!("; {why}")))
}

/// The choices as tables: of the planners where there were several, of the variants of each kernel.
pub fn report(tuning: &Tuning, context: &Context) -> Result<()> {
    let header = |words: &[&str]| words.iter().map(|word| (*word).to_owned()).collect::<Vec<_>>();
    if tuning.planners.len() > 1 {
        let mut rows = vec![header(&["planner", "step", "verdict"])];
        for (planner, outcome) in &tuning.planners {
            let chosen =
                if *planner == tuning.pinned.planner { tuning.planner_source.to_string() } else { String::new() };
            rows.push(vec![planner.to_string(), time(outcome), chosen]);
        }
        context.say(format_args!("\n{}", table(&rows)))?;
    }
    if tuning.verdicts.is_empty() {
        return Ok(());
    }
    let mut rows = vec![header(&["kernel", "sizes", "variant", "time", "GFLOP/s", "verdict"])];
    for verdict in &tuning.verdicts {
        // What nothing is known of, and is not taken, says nothing.
        let telling =
            |(variant, outcome): &&(Variant, Outcome)| *variant == verdict.winner || *outcome != Outcome::Unknown;
        for (i, (variant, outcome)) in verdict.candidates.iter().filter(telling).enumerate() {
            let first = |text: String| if i == 0 { text } else { String::new() };
            let chosen = *variant == verdict.winner;
            rows.push(vec![
                first(verdict.kernel.to_string()),
                first(sizes(verdict.dims)),
                variant.to_string(),
                time(outcome),
                gflops(verdict, outcome),
                if chosen { verdict.source.to_string() } else { String::new() },
            ]);
        }
    }
    context.say(format_args!("\n{}", table(&rows)))
}

/// `128×256×784`
pub fn sizes(dims: [u32; 4]) -> String {
    dims.iter().filter(|&&dim| dim > 0).map(u32::to_string).collect::<Vec<_>>().join("×")
}

fn time(outcome: &Outcome) -> String {
    match outcome {
        Outcome::Seconds(seconds) => duration(*seconds),
        Outcome::Excluded(_) => "excluded".into(),
        Outcome::Postponed(_) => "postponed".into(),
        Outcome::Unknown => "-".into(),
    }
}

/// `12.34 µs`
pub fn duration(seconds: f64) -> String {
    match seconds {
        s if s < 1e-3 => format!("{:.2} µs", s * 1e6),
        s if s < 1.0 => format!("{:.2} ms", s * 1e3),
        s => format!("{s:.2} s"),
    }
}

fn gflops(verdict: &Verdict, outcome: &Outcome) -> String {
    match (outcome, verdict.work().0) {
        (Outcome::Seconds(seconds), flops) if flops > 0.0 => short(flops / seconds / 1e9),
        _ => String::new(),
    }
}

/// The machine-readable form.
pub fn to_json(tuning: &Tuning) -> Value {
    let outcome = |outcome: &Outcome| match outcome {
        Outcome::Seconds(seconds) => json!({ "seconds": seconds }),
        Outcome::Excluded(why) => json!({ "excluded": why }),
        Outcome::Postponed(expected) => json!({ "postponed_s": expected }),
        Outcome::Unknown => json!({}),
    };
    let candidate = |(variant, found): &(Variant, Outcome)| {
        let mut value = outcome(found);
        value["variant"] = json!(variant.to_string());
        value
    };
    let verdict = |verdict: &Verdict| {
        json!({
            "kernel": verdict.kernel.to_string(),
            "dims": verdict.dims,
            "timed_dims": verdict.timed_dims,
            "variant": verdict.winner.to_string(),
            "source": verdict.source.to_string(),
            "candidates": verdict.candidates.iter().map(candidate).collect::<Vec<_>>(),
        })
    };
    let planners = tuning.planners.iter().map(|(planner, found)| {
        let mut value = outcome(found);
        value["planner"] = json!(planner.name());
        value
    });
    json!({
        "planner": tuning.pinned.planner.name(),
        "planners": planners.collect::<Vec<_>>(),
        "kernels": tuning.verdicts.iter().map(verdict).collect::<Vec<_>>(),
        "tuning_s": tuning.seconds,
        "incomplete": tuning.incomplete,
    })
}
