//! The device that trains a network fastest.

use super::measure::{capped_batch, guess_step, rehearse, seconds};
use super::{Effort, Job, Outcome, Record, TUNING_GAINS, Tuner, fastest};
use crate::device::{Device, DeviceChoice, Selection, choose};
use crate::gpu::{AdapterEntry, Gpu, list_adapters};
use crate::{Error, Result, cpu};
use std::time::Instant;

impl Tuner {
    /// Chooses and opens the device for `job`; blocks until it is open. For [`DeviceChoice::Auto`] the network trains a
    /// moment on every device where one may be faster than another, and the reason says how fast it was.
    ///
    /// # Errors
    /// As [`Device::select`].
    pub fn select(&mut self, choice: &DeviceChoice, job: &Job<'_>) -> Result<Selection> {
        if *choice != DeviceChoice::Auto || self.effort == Effort::None {
            return Device::select(choice);
        }
        let adapters = pollster::block_on(list_adapters());
        if adapters.is_empty() {
            let (_, reason) = choose(&adapters, choice)?;
            return Ok(Selection { device: Device::Cpu, reason });
        }
        let plans = job.plans()?;
        let expected = job.steps.map(|steps| steps as f64 * guess_step(&Device::Cpu, &plans[0]));
        if self.effort == Effort::Budget && expected.is_some_and(|seconds| seconds < SHORT_RUN) {
            let reason = "the run is over on the CPU before a GPU could be compared with it".into();
            return Ok(Selection { device: Device::Cpu, reason });
        }
        self.spent.clear();
        let candidates = distinct(&adapters);
        let names: Vec<_> =
            std::iter::once(cpu::name()).chain(candidates.iter().map(|entry| entry.describe())).collect();
        let key = format!("device | {} | {}", job.key(&plans), names.join(" | "));
        if let Some(record) = self.recall(&key).cloned()
            && let Some(i) = names.iter().position(|name| *name == record.winner)
        {
            return Ok(Selection { device: open(i, &candidates)?, reason: reason(job, &record, "measured before") });
        }
        if self.effort == Effort::Recall {
            let Selection { device, reason } = Device::select(choice)?;
            return Ok(Selection { device, reason: format!("{reason}; not measured yet") });
        }
        let mut record = Record::default();
        let mut devices = Vec::new();
        for (i, name) in names.iter().enumerate() {
            let (device, outcome) = match open(i, &candidates) {
                Ok(device) => {
                    let outcome = self.plain_seconds(&device, job);
                    (Some(device), outcome)
                }
                Err(error) => (None, Err(error)),
            };
            match outcome {
                Ok(seconds) => drop(record.seconds.insert(name.clone(), seconds)),
                Err(error) => drop(record.excluded.insert(name.clone(), error.to_string())),
            }
            devices.push(device);
        }
        let leader = |record: &Record| record.seconds.iter().min_by(|a, b| a.1.total_cmp(b.1)).map(|(_, least)| *least);
        // Tuning may let an adapter overtake, so it has its turn before it loses.
        for (name, device) in names.iter().zip(&devices) {
            let least = leader(&record);
            let near = |seconds: f64| least.is_some_and(|least| least < seconds && seconds <= TUNING_GAINS * least);
            if let (Some(device @ Device::Gpu(_)), Some(seconds)) = (device, record.seconds.get_mut(name))
                && near(*seconds)
                && let Ok(tuned) = self.tuned_seconds(device, job)
            {
                *seconds = seconds.min(tuned);
            }
        }
        let least = leader(&record);
        let winner = names.iter().position(|name| record.seconds.get(name).copied() == least && least.is_some());
        let winner = winner.unwrap_or(0);
        record.winner = names[winner].clone();
        let device = devices.swap_remove(winner).unwrap_or(Device::Cpu);
        let reason = reason(job, &record, "measured");
        if !record.excluded.contains_key(&record.winner) {
            self.cache.insert([(key, record)]);
        }
        Ok(Selection { device, reason })
    }

    /// Seconds a sample in training on `device`, by the planner that is fastest there, with the heuristic's variants.
    fn plain_seconds(&mut self, device: &Device, job: &Job<'_>) -> Result<f64> {
        let job = &job.on(device);
        let mut standings: Vec<_> = job.plans()?.iter().map(|plan| (plan.planner, Outcome::Unknown)).collect();
        let mut session = self.session(device, &|_, _| {});
        session.race(device, job, &mut standings);
        self.spent.insert(device.name(), session.elapsed());
        match (fastest(&standings), standings.into_iter().next()) {
            (Some((_, seconds)), _) => Ok(seconds / capped_batch(device, job) as f64),
            (None, Some((_, Outcome::Excluded(why)))) => Err(Error::Device(why)),
            (None, _) => Err(Error::Device("no planner could be timed".into())),
        }
    }

    /// The same once planner and variants are tuned.
    fn tuned_seconds(&mut self, device: &Device, job: &Job<'_>) -> Result<f64> {
        let (start, spent) = (Instant::now(), self.spent(device));
        let pinned = self.tune(device, job)?.pinned;
        self.spent.insert(device.name(), spent + start.elapsed());
        let job = &job.on(device);
        let step = rehearse(device, job, &job.step(pinned.planner, capped_batch(device, job))?, pinned.choice())?;
        Ok(seconds(step, None)? / capped_batch(device, job) as f64)
    }
}

/// A run that the CPU ends within so many seconds, guessed generously, is not worth a comparison of devices.
const SHORT_RUN: f64 = 0.5;

/// The adapters without those that are an earlier one through another back end.
fn distinct(adapters: &[AdapterEntry]) -> Vec<&AdapterEntry> {
    let mut all: Vec<&AdapterEntry> = Vec::new();
    for entry in adapters {
        let same = |other: &&AdapterEntry| {
            let (a, b) = (&entry.info, &other.info);
            (a.vendor, a.device) == (b.vendor, b.device) || (entry.is_software() && other.is_software())
        };
        if !all.iter().any(same) {
            all.push(entry);
        }
    }
    all
}

/// Device `i`: the CPU, then the adapters.
fn open(i: usize, adapters: &[&AdapterEntry]) -> Result<Device> {
    match i.checked_sub(1) {
        None => Ok(Device::Cpu),
        Some(i) => Ok(Device::Gpu(pollster::block_on(Gpu::open(&adapters[i].adapter))?)),
    }
}

/// `measured: 1.20 M samples/s against 0.30 M on NVIDIA …`
fn reason(job: &Job<'_>, record: &Record, how: &str) -> String {
    let rate = |name: &String| record.seconds.get(name).map(|seconds| samples(1.0 / seconds));
    let others = record.seconds.iter().filter(|(name, _)| **name != record.winner);
    let others = others.map(|(name, seconds)| format!("{} on {name}", samples(1.0 / seconds)));
    let failed = record.excluded.iter().map(|(name, why)| format!("{name} failed: {why}"));
    let others: Vec<_> = others.chain(failed).collect();
    match rate(&record.winner) {
        Some(rate) => format!("{how} for {}: {rate} samples/s against {}", job.network, others.join(", ")),
        None => format!("no device could be measured: {}", others.join(", ")),
    }
}

fn samples(rate: f64) -> String {
    match rate {
        rate if rate >= 1e6 => format!("{:.2} M", rate / 1e6),
        rate if rate >= 1e4 => format!("{:.0} k", rate / 1e3),
        rate => format!("{rate:.0}"),
    }
}
