//! The steps on the batches of a data set: what is scheduled, put on the device, run, and read back.

use super::evaluation::{Evaluation, Tally};
use super::micro::Micro;
use super::observer::Running;
use super::{Trainer, feed, plan_options, streamed_rows};
use crate::activation::Activation;
use crate::data::Dataset;
use crate::loss::{Loss, Reduction};
use crate::plan::{Phase, Plan, ScheduleEntry, Slot};
use crate::random::step_seed;
use crate::{Error, Result};
use std::ops::{ControlFlow, Range};
use std::time::Instant;

/// Steps in one schedule of a data set at most; longer epochs take several.
const SCHEDULED: usize = 1 << 20;

/// Bytes of outputs in one read-back of an evaluation, unless one batch has more.
const OUTPUTS_READ: usize = 16 << 20;

impl Trainer {
    /// The entry of a step on `rows` samples from `first` on, with `step` steps before it.
    pub(super) fn entry(&self, rows: usize, first: usize, step: u64) -> ScheduleEntry {
        ScheduleEntry {
            learning_rate: self.options.learning_rate,
            corrections: self.options.optimizer.corrections(step).map(|x| x as f32),
            loss_scale: self.options.reduction().scale(rows, self.network.outputs()) as f32,
            rows: rows as u32,
            first: first as u32,
            seed: step_seed(self.options.seed, step),
            flags: ScheduleEntry::TRAINING,
        }
    }

    /// The entries of the batches of `rows` samples, one for each micro-batch; the last batch may be smaller. In place of a
    /// rate they have the schedule's factor.
    pub(super) fn entries(&self, rows: usize, updates: u64) -> Vec<ScheduleEntry> {
        let (batch, micro) = (self.options.batch, Micro::of(&self.options));
        let place = |first| self.region.map_or(first, |region| first % region);
        let step = 1.0 / rows.div_ceil(batch) as f64;
        let entry = |(i, first): (usize, usize)| {
            let mut entry = self.entry(batch.min(rows - first), place(first), updates + i as u64);
            entry.learning_rate = self.factor(self.epochs as f64 + i as f64 * step, step);
            parts_of(micro, entry)
        };
        (0..rows).step_by(batch).enumerate().flat_map(entry).collect()
    }

    /// The schedule's factor on the learning rate, after `at` epochs and before a step that is the part `step` of one.
    fn factor(&self, at: f64, step: f64) -> f32 {
        self.schedule.as_ref().map_or(1.0, |schedule| schedule.factor(at, step) as f32)
    }

    pub(super) fn rate_at(&self, at: f64, step: f64) -> f32 {
        self.options.learning_rate * self.factor(at, step)
    }

    /// The run as an observer sees it, `done` steps into an epoch over `rows` rows.
    pub(super) fn running(&mut self, done: usize, rows: usize) -> Running<'_> {
        let step = 1.0 / rows.div_ceil(self.options.batch) as f64;
        Running { at: self.epochs as f64 + done as f64 * step, step, trainer: self }
    }

    /// `entries`, whose rates are factors, at the learning rate as it is now.
    fn at_rate(&self, entries: &[ScheduleEntry]) -> Vec<ScheduleEntry> {
        let rate = self.options.learning_rate;
        entries.iter().map(|entry| ScheduleEntry { learning_rate: rate * entry.learning_rate, ..*entry }).collect()
    }

    /// Puts data sets on the device, one behind the other, growing the plan's slots where they are too small; where they
    /// do not fit, gets ready to stream them.
    pub(super) fn upload(&mut self, data: &Dataset, validation: Option<&Dataset>) -> Result<()> {
        let sets = || std::iter::once(data).chain(validation);
        for set in sets() {
            set.validate()?;
            let (expected, found) = (self.network.inputs, set.inputs.cols);
            if expected != found {
                return Err(Error::shape(format!("inputs in {}", set.name), expected, found));
            }
            let (expected, found) = (self.options.loss.target_width(self.network.outputs()), set.targets.cols);
            if expected != found {
                return Err(Error::shape(format!("columns of targets in {}", set.name), expected, found));
            }
            if set.weights.is_some() && !self.options.weighted {
                return Err(Error::Config(format!(
                    "{} has weights of its rows, but the trainer takes none; set TrainerOptions::weighted, or leave them out",
                    set.name
                )));
            }
        }
        let rows: usize = sets().map(Dataset::rows).sum();
        let most = sets().map(Dataset::rows).max().unwrap_or(0);
        let micro = Micro::of(&self.options);
        let steps = micro.steps(most).min(SCHEDULED).max(self.options.losses_kept * micro.count);
        self.region = streamed_rows(&self.network, &self.options, rows, self.device.most_slot_bytes());
        let held = self.region.unwrap_or(rows);
        let room = |slot, needed| self.executor.plan().slot(slot).is_some_and(|info| info.len >= needed);
        if !(room(Slot::Order, held) && room(Slot::Losses, steps)) {
            self.rebuild((self.wire)(
                &self.network,
                &plan_options(&self.device, &self.network, &self.options, steps, held)?,
            )?)?;
        }
        if self.region.is_some() {
            // Rows arrive in the order of training.
            let order: Vec<u32> = (0..held as u32).collect();
            self.executor.write_words(Slot::Order, 0, &order)?;
        } else {
            let mut first = 0;
            for set in sets() {
                self.executor.write(Slot::DataInputs, first * self.network.inputs, &set.inputs.data)?;
                match self.options.weighted {
                    false => self.executor.write(Slot::DataTargets, first * self.targets(), &set.targets.data)?,
                    true => {
                        let range = first * self.targets()..(first + set.rows()) * self.targets();
                        let mut rows = (0..set.rows()).flat_map(|row| feed::target(set, row, true));
                        self.executor.stream(Slot::DataTargets, range, &mut rows)?;
                    }
                }
                first += set.rows();
            }
        }
        // Gathered batches go where a loaded one was, and have a schedule and a clock of their own.
        self.loaded_rows = 0;
        self.scheduled = None;
        self.clock = 0;
        Ok(())
    }

    /// Moves to another plan of the same network, taking along what training left behind.
    fn rebuild(&mut self, plan: Plan) -> Result<()> {
        let kept = self.kept()?;
        self.executor = self.device.executor_with(plan, self.variants.clone())?;
        self.put_back(kept)
    }

    /// The slots that a run carries from step to step, with their numbers. Waits for the steps handed over so far.
    pub(super) fn kept(&mut self) -> Result<Vec<(Slot, Vec<f32>)>> {
        let slots = self.executor.plan().state().into_iter();
        slots.map(|info| Ok((info.slot, self.executor.read(info.slot, 0..info.len)?.wait()?))).collect()
    }

    pub(super) fn put_back(&mut self, kept: Vec<(Slot, Vec<f32>)>) -> Result<()> {
        kept.into_iter().try_for_each(|(slot, values)| self.executor.write(slot, 0, &values))
    }

    /// Trains over the rows of `data` in `order`, a step for each of `entries`, whose rates are factors on the learning rate; those
    /// that `losses` were already computed by are left out. `progress` gets the losses of each part, and where it asks to
    /// settle, `settled` gets those of all steps so far once no more are under way.
    pub(super) fn train_in_order(
        &mut self,
        data: &Dataset,
        order: &[u32],
        entries: &[ScheduleEntry],
        mut losses: Vec<f32>,
        mut progress: impl FnMut(&mut Trainer, &[f32]) -> Result<Flow>,
        mut settled: impl FnMut(&mut Trainer, &[f32]) -> Result<()>,
    ) -> Result<Trained> {
        if self.region.is_none() {
            self.executor.write_words(Slot::Order, 0, order)?;
        }
        let (micro, phases) = (Micro::of(&self.options), self.options.planner.gathered_step());
        let from = losses.len();
        losses.reserve(entries.len() - from);
        let mut diverged = None;
        let flow = self.sweep(phases, Course { data, order, entries, from }, false, |trainer, part| {
            let Part::Done { losses: part, .. } = part else {
                settled(trainer, &losses)?;
                return Ok(Flow::Go);
            };
            let before = losses.len();
            let bad = part.iter().position(|loss| !loss.is_finite());
            diverged = bad.map(|step| micro.batch_of(before + step) + 1);
            losses.extend_from_slice(&part[..bad.unwrap_or(part.len())]);
            let ended = micro.ended(before, entries.len())..micro.ended(losses.len(), entries.len());
            let parts = losses[ended.start * micro.count..].chunks(micro.count);
            let batches: Vec<f32> = parts.take(ended.len()).map(|parts| parts.iter().sum()).collect();
            let flow = if batches.is_empty() { Flow::Go } else { progress(trainer, &batches)? };
            Ok(if diverged.is_some() { Flow::Stop } else { flow })
        });
        if micro.count > 1 && !matches!(flow, Ok(ControlFlow::Continue(()))) {
            // The batch that did not end leaves no gradients to the next one, nor an overflow of theirs.
            self.executor.write(Slot::GradientSums, 0, &vec![0.0; self.params.len])?;
            if self.executor.plan().slot(Slot::Overflow).is_some() {
                self.executor.write_words(Slot::Overflow, 0, &[0])?;
            }
        }
        Ok(match (diverged, flow?) {
            (Some(step), _) => Trained::Diverged(step),
            (None, ControlFlow::Break(())) => Trained::Stopped,
            (None, ControlFlow::Continue(())) => Trained::Whole(self.whole_loss(&losses, entries)),
        })
    }

    /// Evaluates on a data set that begins at row `first` of the uploaded ones, with or without metrics.
    pub(super) fn evaluate_uploaded(&mut self, data: &Dataset, first: usize, metrics: bool) -> Result<Evaluation> {
        let order: Vec<u32> = match self.region {
            Some(_) => (0..data.rows() as u32).collect(),
            None => (first as u32..(first + data.rows()) as u32).collect(),
        };
        if self.region.is_none() {
            self.executor.write_words(Slot::Order, 0, &order)?;
        }
        let mut entries = self.entries(data.rows(), self.updates);
        entries.iter_mut().for_each(|entry| entry.flags = 0);
        let mut losses = Vec::with_capacity(entries.len());
        let phases = self.options.planner.gathered_loss();
        let course = Course { data, order: &order, entries: &entries, from: 0 };
        if let Loss::Equation(_) = self.options.loss {
            // Its data are no targets that outputs could be compared with.
            let _ = self.sweep(phases, course, false, |_, part| {
                losses.extend_from_slice(part.losses());
                Ok(Flow::Go)
            })?;
            let loss = self.whole_loss(&losses, &entries);
            return Ok(Evaluation { loss, accuracy: None, r_squared: None, metrics: None });
        }
        let output = self.network.output_activation();
        // The output slot holds logits where the loss contains the last activation.
        let logits = self.options.loss.training_activation(output) == Activation::Linear;
        let mut tally = Tally::new(data, if logits { output } else { Activation::Linear }, metrics);
        let _ = self.sweep(phases, course, true, |_, part| {
            losses.extend_from_slice(part.losses());
            if let Part::Done { rows, outputs, .. } = part {
                tally.add(rows, outputs);
            }
            Ok(Flow::Go)
        })?;
        tally.finish(self.whole_loss(&losses, &entries), self.options.loss)
    }

    /// Runs the `steps` of all `count` on batches of the data set; behind those of micro-batches that others follow there is
    /// no update.
    fn run(&mut self, phases: &'static [Phase], steps: &Range<usize>, count: usize) -> Result<()> {
        let (micro, planner) = (Micro::of(&self.options), self.options.planner);
        if micro.count == 1 || phases != planner.gathered_step() {
            return self.executor.run(phases, steps.len());
        }
        let mut kept = 0;
        for step in steps.clone() {
            if !micro.is_last(step, count) {
                kept += 1;
                continue;
            }
            if kept > 0 {
                self.executor.run(planner.micro_step(true), kept)?;
            }
            self.executor.run(phases, 1)?;
            kept = 0;
        }
        if kept > 0 { self.executor.run(planner.micro_step(true), kept) } else { Ok(()) }
    }

    /// The loss of all batches in `entries` together: by a mean they weigh as many as they have rows.
    fn whole_loss(&self, losses: &[f32], entries: &[ScheduleEntry]) -> f64 {
        if self.options.reduction() == Reduction::Sum {
            return losses.iter().map(|&loss| f64::from(loss)).sum();
        }
        let rows = |entries: &[ScheduleEntry]| entries.iter().map(|entry| f64::from(entry.rows)).sum::<f64>();
        let count = Micro::of(&self.options).count;
        let loss = |losses: &[f32]| losses.iter().map(|&loss| f64::from(loss)).sum::<f64>();
        let batches = losses.chunks(count).zip(entries.chunks(count));
        batches.map(|(losses, entries)| loss(losses) * rows(entries)).sum::<f64>() / rows(entries)
    }

    /// Runs `phases` on every batch of the course, in parts as long as their [`Pace`] says. While one part
    /// runs, `take` gets the part before, with its outputs where `outputs` are wanted, and the rows of the next part are
    /// streamed. Where `take` changes the learning rate, the parts to come have the new one; where it asks to settle, it
    /// gets [`Part::Settled`] at the end of a batch with nothing under way.
    fn sweep(
        &mut self,
        phases: &'static [Phase],
        Course { data, order, entries, from }: Course<'_>,
        outputs: bool,
        mut take: impl FnMut(&mut Trainer, Part<'_>) -> Result<Flow>,
    ) -> Result<ControlFlow<()>> {
        let micro = Micro::of(&self.options);
        let rows = |steps: &Range<usize>| micro.rows_of(steps, order.len());
        let output = micro.rows * self.network.outputs();
        let scheduled = self.schedule_len();
        let most = self.region.map_or(usize::MAX, |region| region / self.options.batch * micro.count);
        let most = if outputs { most.min(OUTPUTS_READ / (4 * output)).max(1) } else { most };
        let mut pace = self.paces.get(phases).copied().unwrap_or_default();
        let mut since = Instant::now();
        let mut pending = None;
        let (mut done, mut settling) = (from, false);
        while done < entries.len() || pending.is_some() {
            let whole = done.is_multiple_of(micro.count);
            let handed_over = if done < entries.len() && !(settling && whole) {
                let at = done % scheduled;
                if at == 0 || done == from {
                    let first = done - at;
                    let entries = self.at_rate(&entries[first..entries.len().min(first + scheduled)]);
                    self.executor.schedule(&entries)?;
                    self.executor.write_words(Slot::Clock, 0, &[at as u32])?;
                }
                let next = pace.steps().min(most).min(scheduled - at).min(entries.len() - done);
                let next = if settling { next.min(micro.count - done % micro.count) } else { next };
                let steps = done..done + next;
                if let Some(region) = self.region {
                    feed::feed(self.executor.as_mut(), (region, self.options.weighted), data, order, rows(&steps))?;
                }
                let outputs = if outputs {
                    Some(self.executor.run_and_read(phases, next, Slot::Output, 0..output)?)
                } else {
                    self.run(phases, &steps, entries.len())?;
                    None
                };
                done += next;
                if phases == self.options.planner.gathered_step() {
                    self.updates += steps.clone().filter(|&step| micro.is_last(step, entries.len())).count() as u64;
                }
                Some((steps, self.executor.read(Slot::Losses, at..at + next)?, outputs))
            } else {
                None
            };
            if let Some((steps, losses, outputs)) = std::mem::replace(&mut pending, handed_over) {
                let losses = losses.wait()?;
                let mut outputs = outputs.map_or(Ok(Vec::new()), |outputs| outputs.wait())?;
                if micro.count > 1 && !outputs.is_empty() {
                    // Behind a micro-batch there may be padding.
                    let cols = self.network.outputs();
                    let parts = entries[steps.clone()].iter().zip(outputs.chunks(output));
                    outputs = parts.flat_map(|(entry, part)| part[..entry.rows as usize * cols].to_vec()).collect();
                }
                pace.took(steps.len(), since.elapsed());
                since = Instant::now();
                self.paces.insert(phases, pace);
                let rate = self.options.learning_rate;
                match take(self, Part::Done { rows: rows(&steps), losses: &losses, outputs: &outputs })? {
                    Flow::Go => {}
                    Flow::Settle => settling = true,
                    Flow::Stop => return Ok(ControlFlow::Break(())),
                }
                if self.options.learning_rate != rate && done % scheduled > 0 {
                    let first = done - done % scheduled;
                    let entries = self.at_rate(&entries[first..entries.len().min(first + scheduled)]);
                    self.executor.write_words(Slot::Schedule, 0, bytemuck::cast_slice(&entries))?;
                }
            }
            if settling && whole && pending.is_none() && done < entries.len() {
                settling = false;
                if let Flow::Stop = take(self, Part::Settled)? {
                    return Ok(ControlFlow::Break(()));
                }
            }
        }
        Ok(ControlFlow::Continue(()))
    }
}

/// The entries of the micro-batches of a batch that has `entry`.
pub(super) fn parts_of(micro: Micro, entry: ScheduleEntry) -> Vec<ScheduleEntry> {
    let part = |at: u32| {
        let rows = (entry.rows - at).min(micro.rows as u32);
        // Each part draws random numbers of its own.
        ScheduleEntry { rows, first: entry.first + at, seed: entry.seed.wrapping_add(at), ..entry }
    };
    (0..entry.rows).step_by(micro.rows).map(part).collect()
}

/// The batches of a sweep.
#[derive(Clone, Copy)]
struct Course<'a> {
    data: &'a Dataset,
    order: &'a [u32],
    entries: &'a [ScheduleEntry],
    /// The number of the first batch; those before are done.
    from: usize,
}

/// What comes of a sweep.
pub(super) enum Part<'a> {
    /// Steps that were run.
    Done {
        /// The numbers of their rows in the order.
        rows: Range<usize>,
        losses: &'a [f32],
        /// Where they are wanted.
        outputs: &'a [f32],
    },
    /// Nothing is under way.
    Settled,
}

impl Part<'_> {
    fn losses(&self) -> &[f32] {
        match self {
            Part::Done { losses, .. } => losses,
            Part::Settled => &[],
        }
    }
}

/// How a sweep goes on.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Flow {
    /// With the next part.
    Go,
    /// With the next part once nothing was under way for a moment.
    Settle,
    /// Not at all.
    Stop,
}

/// What became of an epoch.
pub(super) enum Trained {
    /// It ended, with this mean loss.
    Whole(f64),
    /// The observer stopped it.
    Stopped,
    /// The loss of this step, counted from 1, was not finite.
    Diverged(usize),
}
