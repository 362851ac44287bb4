//! How the learning rate changes over a run: parts in a row, each for some epochs, the last one for the rest.

use crate::error::did_you_mean;
use crate::train::numbers;
use crate::{Error, Result};
use serde::{Deserialize, Serialize};
use std::f64::consts::PI;

/// One part of a [`Schedule`]: the factor on the learning rate, `t` epochs after the part began, of `T` that it takes.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Part {
    /// `1`
    Constant,
    /// `t / T`, a linear warm-up; the first step has the rate of its end.
    Warmup,
    /// `factor ^ ⌊t / every⌋`
    Step {
        /// Epochs between two changes, > 0.
        every: f64,
        /// The change, > 0.
        factor: f64,
    },
    /// `factor ^ t`
    Exponential {
        /// The change in an epoch, > 0.
        factor: f64,
    },
    /// `1 / (1 + decay t)`
    Inverse {
        /// How fast it falls, ≥ 0.
        decay: f64,
    },
    /// `least + (1 - least) (1 + cos(π t / T)) / 2` (Loshchilov and Hutter 2017, without restarts)
    Cosine {
        /// Where it ends, in [0, 1].
        least: f64,
    },
    /// The same, again and again: `(1 + cos(π t′ / T′)) / 2`, `t′` epochs after the latest restart, in periods `T′` of which
    /// each is `growth` times as long as the one before.
    Restarts {
        /// Epochs of the first period, > 0.
        period: f64,
        /// ≥ 1
        growth: f64,
    },
    /// Up by a half cosine from 1/25 to 1 in the first `rise` of the part, then down to 1/250,000 (Smith and Topin 2018, as in
    /// PyTorch's `OneCycleLR`).
    OneCycle {
        /// The share of the part, in (0, 1).
        rise: f64,
    },
    /// `factor` times what it was whenever the loss, that of the validation where there is one, did not fall below 0.9999 of
    /// its least for more than `patience` epochs, as in PyTorch's `ReduceLROnPlateau`.
    Plateau {
        /// The change, in (0, 1).
        factor: f64,
        /// Epochs that are waited for.
        patience: usize,
    },
}

/// Parts in a row, each with its epochs; the last one takes the rest of the run.
///
/// As text, parts are separated by commas, numbers by colons: `warmup:5, cosine`. What stands in brackets may be left out:
///
/// | text | |
/// |---|---|
/// | `constant:EPOCHS` | the learning rate as it is |
/// | `warmup:EPOCHS` | linearly up to it |
/// | `step:EVERY[:FACTOR[:EPOCHS]]` | times a factor, 0.1, every so many epochs |
/// | `exponential:FACTOR[:EPOCHS]` | times a factor in each epoch |
/// | `inverse:DECAY[:EPOCHS]` | over 1 + decay × epochs |
/// | `cosine[:LEAST[:EPOCHS]]` | down to a share of it, 0, along a cosine |
/// | `restarts:PERIOD[:GROWTH[:EPOCHS]]` | down along a cosine again and again |
/// | `one_cycle[:RISE[:EPOCHS]]` | up in a share of the epochs, 0.3, and down |
/// | `plateau[:FACTOR[:PATIENCE[:EPOCHS]]]` | times a factor, 0.1, when the loss has not fallen for 10 epochs |
///
/// A part without epochs takes the rest of the run and comes last.
#[derive(Clone, Debug, PartialEq)]
pub struct Schedule {
    parts: Vec<(Part, Option<f64>)>,
}

/// A schedule on its way through a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Progress {
    schedule: Schedule,
    epochs: f64,
    least: f64,
    waited: usize,
    plateau: f64,
}

impl Schedule {
    /// A schedule of parts with their epochs; only the last one may take the rest.
    ///
    /// # Errors
    /// [`Error::Config`] where there is none, a number is out of range, or a part behind another has nothing left.
    pub fn new(parts: Vec<(Part, Option<f64>)>) -> Result<Self> {
        let wrong = |what: String| Err(Error::Config(what));
        if parts.is_empty() {
            return wrong("a schedule needs at least one part, such as cosine".into());
        }
        for (i, (part, epochs)) in parts.iter().enumerate() {
            part.check()?;
            match epochs {
                Some(epochs) if !(epochs.is_finite() && *epochs > 0.0) => {
                    return wrong(format!("{} takes more than 0 epochs, found {epochs}", part.name()));
                }
                None if i + 1 < parts.len() => {
                    return wrong(format!("{} takes the rest of the run; say its epochs, or put it last", part.name()));
                }
                None if *part == Part::Warmup => return wrong("warmup needs its epochs, as in warmup:5".into()),
                _ => {}
            }
        }
        Ok(Schedule { parts })
    }

    /// The schedule at the start of a run of `epochs`.
    pub fn start(self, epochs: usize) -> Progress {
        Progress { schedule: self, epochs: epochs as f64, least: f64::INFINITY, waited: 0, plateau: 1.0 }
    }

    /// The part that epoch `at` lies in, with the epochs since it began and those that it takes.
    fn part(&self, at: f64, epochs: f64) -> (Part, f64, f64) {
        let mut begin = 0.0;
        let last = self.parts.len() - 1;
        for (i, (part, length)) in self.parts.iter().enumerate() {
            let length = length.unwrap_or(epochs - begin).max(f64::MIN_POSITIVE);
            if i == last || at < begin + length {
                return (*part, at - begin, length);
            }
            begin += length;
        }
        (Part::Constant, at, epochs)
    }
}

/// What a schedule remembers of the epochs that it went through.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub(crate) struct Noted {
    #[serde(with = "numbers")]
    least: f64,
    waited: usize,
    plateau: f64,
}

impl Progress {
    /// The schedule, whatever became of it.
    pub fn schedule(&self) -> &Schedule {
        &self.schedule
    }

    pub(crate) fn noted(&self) -> Noted {
        Noted { least: self.least, waited: self.waited, plateau: self.plateau }
    }

    pub(crate) fn resume(&mut self, noted: &Noted) {
        let Noted { least, waited, plateau } = *noted;
        (self.least, self.waited, self.plateau) = (least, waited, plateau);
    }

    /// The factor on the learning rate for a step that begins `at` so many epochs after the start and is `step` epochs long.
    pub fn factor(&self, at: f64, step: f64) -> f64 {
        let (part, t, length) = self.schedule.part(at, self.epochs);
        self.plateau * part.factor(t, length, step)
    }

    /// Takes the loss of the epoch that begins `at`.
    pub fn observe(&mut self, at: f64, loss: f64) {
        let Part::Plateau { factor, patience } = self.schedule.part(at, self.epochs).0 else { return };
        if loss < 0.9999 * self.least {
            (self.least, self.waited) = (loss, 0);
            return;
        }
        self.waited += 1;
        if self.waited > patience {
            self.plateau *= factor;
            self.waited = 0;
        }
    }
}

impl Part {
    fn factor(self, t: f64, length: f64, step: f64) -> f64 {
        let cosine = |share: f64| (1.0 + (PI * share.clamp(0.0, 1.0)).cos()) / 2.0;
        match self {
            Part::Constant | Part::Plateau { .. } => 1.0,
            Part::Warmup => ((t + step) / length).min(1.0),
            Part::Step { every, factor } => factor.powf((t / every).floor()),
            Part::Exponential { factor } => factor.powf(t),
            Part::Inverse { decay } => 1.0 / (1.0 + decay * t),
            Part::Cosine { least } => least + (1.0 - least) * cosine(t / length),
            Part::Restarts { period, growth } => {
                let (mut t, mut period) = (t, period);
                while t >= period {
                    t -= period;
                    period *= growth;
                }
                cosine(t / period)
            }
            Part::OneCycle { rise } => {
                const START: f64 = 1.0 / 25.0;
                const END: f64 = START * 1e-4;
                let share = t / length;
                match share < rise {
                    true => 1.0 + (START - 1.0) * cosine(share / rise),
                    false => END + (1.0 - END) * cosine((share - rise) / (1.0 - rise)),
                }
            }
        }
    }

    fn name(self) -> &'static str {
        match self {
            Part::Constant => "constant",
            Part::Warmup => "warmup",
            Part::Step { .. } => "step",
            Part::Exponential { .. } => "exponential",
            Part::Inverse { .. } => "inverse",
            Part::Cosine { .. } => "cosine",
            Part::Restarts { .. } => "restarts",
            Part::OneCycle { .. } => "one_cycle",
            Part::Plateau { .. } => "plateau",
        }
    }

    fn numbers(self) -> Vec<f64> {
        match self {
            Part::Constant | Part::Warmup => Vec::new(),
            Part::Step { every, factor } => vec![every, factor],
            Part::Exponential { factor } => vec![factor],
            Part::Inverse { decay } => vec![decay],
            Part::Cosine { least } => vec![least],
            Part::Restarts { period, growth } => vec![period, growth],
            Part::OneCycle { rise } => vec![rise],
            Part::Plateau { factor, patience } => vec![factor, patience as f64],
        }
    }

    fn check(self) -> Result<()> {
        let within = |what: &str, x: f64, ok: bool, range: &str| match ok && x.is_finite() {
            true => Ok(()),
            false => Err(Error::Config(format!("{what} of the schedule {} must be {range}, found {x}", self.name()))),
        };
        match self {
            Part::Constant | Part::Warmup => Ok(()),
            Part::Step { every, factor } => {
                within("the epochs between changes", every, every > 0.0, "more than 0")?;
                within("the factor", factor, factor > 0.0, "more than 0")
            }
            Part::Exponential { factor } => within("the factor", factor, factor > 0.0, "more than 0"),
            Part::Inverse { decay } => within("the decay", decay, decay >= 0.0, "at least 0"),
            Part::Cosine { least } => within("the least share", least, (0.0..=1.0).contains(&least), "from 0 to 1"),
            Part::Restarts { period, growth } => {
                within("the period", period, period >= 1e-3, "at least 0.001")?;
                within("the growth", growth, growth >= 1.0, "at least 1")
            }
            Part::OneCycle { rise } => {
                within("the share of the rise", rise, rise > 0.0 && rise < 1.0, "between 0 and 1")
            }
            Part::Plateau { factor, .. } => {
                within("the factor", factor, factor > 0.0 && factor < 1.0, "between 0 and 1")
            }
        }
    }
}

/// The parts by name, with how many numbers they need and how many they may have, the epochs included.
const NAMES: [(&str, usize, usize); 9] = [
    ("constant", 0, 1),
    ("warmup", 1, 1),
    ("step", 1, 3),
    ("exponential", 1, 2),
    ("inverse", 1, 2),
    ("cosine", 0, 2),
    ("restarts", 1, 3),
    ("one_cycle", 0, 2),
    ("plateau", 0, 3),
];

impl std::str::FromStr for Schedule {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        let part = |text: &str| -> Result<(Part, Option<f64>)> {
            let mut fields = text.split(':').map(str::trim);
            let name = fields.next().unwrap_or_default();
            let Some(&(_, least, most)) = NAMES.iter().find(|(known, ..)| *known == name) else {
                let known: Vec<_> = NAMES.iter().map(|(name, ..)| *name).collect();
                let hint = did_you_mean(name, known.iter().copied());
                return Err(Error::Config(format!("unknown schedule {name:?}{hint}; known: {}", known.join(", "))));
            };
            let number = |text: &str| {
                let wrong = |_| Error::Config(format!("expected a number in the schedule {name}, found {text:?}"));
                text.parse::<f64>().map_err(wrong)
            };
            let numbers = fields.map(number).collect::<Result<Vec<_>>>()?;
            if !(least..=most).contains(&numbers.len()) {
                let range = if least == most { least.to_string() } else { format!("{least} to {most}") };
                let found = numbers.len();
                return Err(Error::Config(format!(
                    "the schedule {name} has {range} numbers behind colons, found {found}"
                )));
            }
            let at = |i: usize, usual: f64| numbers.get(i).copied().unwrap_or(usual);
            let part = match name {
                "warmup" => Part::Warmup,
                "step" => Part::Step { every: at(0, 1.0), factor: at(1, 0.1) },
                "exponential" => Part::Exponential { factor: at(0, 1.0) },
                "inverse" => Part::Inverse { decay: at(0, 0.0) },
                "cosine" => Part::Cosine { least: at(0, 0.0) },
                "restarts" => Part::Restarts { period: at(0, 1.0), growth: at(1, 1.0) },
                "one_cycle" => Part::OneCycle { rise: at(0, 0.3) },
                "plateau" => Part::Plateau { factor: at(0, 0.1), patience: at(1, 10.0).max(0.0) as usize },
                _ => Part::Constant,
            };
            Ok((part, numbers.get(most - 1).copied()))
        };
        Schedule::new(text.split(',').map(|text| part(text.trim())).collect::<Result<_>>()?)
    }
}

impl std::fmt::Display for Schedule {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        for (i, (part, epochs)) in self.parts.iter().enumerate() {
            write!(f, "{}{}", if i > 0 { ", " } else { "" }, part.name())?;
            for number in part.numbers().into_iter().chain(*epochs) {
                write!(f, ":{number}")?;
            }
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn factors<const N: usize>(text: &str, epochs: usize, at: [f64; N]) -> [f64; N] {
        let progress = text.parse::<Schedule>().unwrap().start(epochs);
        at.map(|at| progress.factor(at, 0.5))
    }

    fn near<const N: usize>(found: [f64; N], expected: [f64; N]) {
        let near = found.iter().zip(expected).all(|(a, b)| (a - b).abs() < 1e-12);
        assert!(near, "{found:?}, expected {expected:?}");
    }

    #[test]
    fn factors_follow_their_formulas() {
        near(factors("constant", 10, [0.0, 9.5]), [1.0, 1.0]);
        near(factors("step:3:0.5", 10, [0.0, 2.9, 3.0, 9.0]), [1.0, 1.0, 0.5, 0.125]);
        near(factors("exponential:0.9", 10, [0.0, 1.0, 2.5]), [1.0, 0.9, 0.9f64.powf(2.5)]);
        near(factors("inverse:0.5", 10, [0.0, 2.0]), [1.0, 0.5]);
        near(factors("cosine", 10, [0.0, 5.0, 10.0]), [1.0, 0.5, 0.0]);
        near(factors("cosine:0.2", 10, [0.0, 5.0, 10.0]), [1.0, 0.6, 0.2]);
        near(factors("restarts:2:2", 20, [0.0, 1.0, 2.0, 4.0, 6.0]), [1.0, 0.5, 1.0, 0.5, 1.0]);
        near(factors("one_cycle", 10, [0.0, 1.5, 3.0, 10.0]), [0.04, 0.52, 1.0, 4e-6]);
        near(factors("warmup:4, cosine", 12, [0.0, 1.5, 3.5, 4.0, 8.0]), [0.125, 0.5, 1.0, 1.0, 0.5]);
        near(factors("constant:2, step:1:0.1:2, constant", 9, [1.0, 2.5, 3.5, 4.0]), [1.0, 1.0, 0.1, 1.0]);
    }

    #[test]
    fn a_plateau_is_noticed() {
        let mut progress = "plateau:0.5:2".parse::<Schedule>().unwrap().start(20);
        let losses = [1.0, 0.5, 0.6, 0.5, 0.49999, 0.4, 0.4, 0.4, 0.4];
        let factors: Vec<f64> = losses
            .iter()
            .enumerate()
            .map(|(epoch, &loss)| {
                progress.observe(epoch as f64, loss);
                progress.factor(epoch as f64 + 1.0, 0.1)
            })
            .collect();
        assert_eq!(factors, [1.0, 1.0, 1.0, 1.0, 0.5, 0.5, 0.5, 0.5, 0.25]);
    }

    #[test]
    fn texts_go_both_ways_and_wrong_ones_are_refused() {
        for text in
            ["warmup:5, cosine:0", "step:3:0.5:6, exponential:0.9", "plateau:0.1:10", "restarts:2:1.5:8, constant"]
        {
            assert_eq!(text.parse::<Schedule>().unwrap().to_string(), text);
        }
        let refused = |text: &str| text.parse::<Schedule>().expect_err("refused").to_string();
        assert!(refused("cosin").contains("did you mean \"cosine\""));
        assert!(refused("cosine, constant").contains("cosine takes the rest of the run"));
        assert!(refused("warmup").contains("has 1 numbers behind colons, found 0"));
        assert!(refused("warmup:x").contains("expected a number in the schedule warmup, found \"x\""));
        assert!(refused("warmup:0, cosine").contains("more than 0 epochs"));
        assert!(refused("step:0").contains("must be more than 0"));
        assert!(refused("plateau:2").contains("between 0 and 1"));
        assert!(refused("").contains("unknown schedule"));
    }
}
