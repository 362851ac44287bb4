//! Training over a data set, epoch by epoch.

use super::control::{Control, Ended, Run, Watch};
use super::observer::{Moment, Observer};
use super::state::{Fingerprints, State, Within};
use super::sweep::{Flow, Trained};
use super::{Epoch, Trainer};
use crate::data::{Dataset, epoch_order};
use crate::{Error, Result};
use std::cell::{Cell, RefCell};

impl Trainer {
    /// Trains for `epochs` epochs over `data`, shuffled anew for each, and evaluates on `validation` after each. The data
    /// set is put on the device once and batches are gathered there; where it does not fit, its rows are streamed in the
    /// order of the epoch while those before are trained on.
    ///
    /// Returns the epochs that were completed; an observer may stop the run at any time, which keeps the parameters as
    /// they are then. A further call goes on where this one ended: with the optimizer's state, the schedule, and the order of
    /// samples of the next epoch.
    pub fn fit(
        &mut self,
        data: &Dataset,
        validation: Option<&Dataset>,
        epochs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Epoch>> {
        Ok(self.fit_under(&Control::default(), data, validation, epochs, observer)?.epochs)
    }

    /// [`Trainer::fit`], ended early as `control` says. A loss that is not finite ends every run, at the step where it arose.
    pub fn fit_under(
        &mut self,
        control: &Control,
        data: &Dataset,
        validation: Option<&Dataset>,
        epochs: usize,
        observer: &mut dyn Observer,
    ) -> Result<Run> {
        data.validate_for_training()?;
        if let Some(memory) = &self.resumed {
            memory.data.check(&Fingerprints::of(data, validation))?;
        }
        self.upload(data, validation)?;
        let mut watch = Watch::new(*control);
        let mut history = Vec::new();
        let (mut fingerprints, mut skipped_so_far, mut within) = (None, 0, None);
        if let Some(memory) = self.resumed.take() {
            watch.resume(&memory, self.averaged_parameters()?);
            (fingerprints, skipped_so_far, within) = (Some(memory.data), memory.skipped, memory.within);
            history.extend(memory.last);
        }
        let mut done = history.last().map_or(0, |epoch: &Epoch| epoch.number);
        let over = history.last().and_then(|epoch| watch.over(epoch));
        let epochs = if over.is_some() { 0 } else { epochs };
        let mut ended = over.unwrap_or(Ended::Complete);
        // The latest epoch and step, and whether the parameters behind them are known to be finite.
        let mut latest = (done, 0, true);
        for number in done + 1..=epochs {
            // An epoch that goes on has begun before.
            if within.is_none()
                && observer.callback(Moment::Begin(number), &mut self.running(0, data.rows()))?.is_break()
            {
                ended = Ended::Observer;
                break;
            }
            let order = epoch_order(data.rows(), self.options.seed, self.epochs);
            let begun = within.take();
            let skipped_before = match &begun {
                Some(Within { skipped, .. }) => *skipped,
                None => self.skipped_steps()?,
            };
            let Within { losses, steps: stepped, .. } = begun.unwrap_or_default();
            let entries = self.entries(order.len(), self.updates - stepped as u64);
            let steps = data.rows().div_ceil(self.options.batch);
            let stepped = Cell::new(stepped);
            latest = (number, steps, false);
            let observed = RefCell::new(&mut *observer);
            let progress = |trainer: &mut Trainer, part: &[f32]| {
                let mut observer = observed.borrow_mut();
                let done = stepped.get() + part.len();
                stepped.set(done);
                let loss = part.last().copied().unwrap_or(f32::NAN);
                let stopped = observer.progress(number, done, steps, loss).is_break();
                let flow = observer.callback(Moment::Part(number), &mut trainer.running(done, data.rows()))?;
                Ok(match stopped || flow.is_break() {
                    true => Flow::Stop,
                    false if done < steps && observer.wants_state_within(number, done, steps) => Flow::Settle,
                    false => Flow::Go,
                })
            };
            let settled = |trainer: &mut Trainer, losses: &[f32]| {
                let data = fingerprints.get_or_insert_with(|| Fingerprints::of(data, validation)).clone();
                let (losses, steps) = (losses.to_vec(), stepped.get());
                let within = Within { losses, steps, skipped: skipped_before, good: None };
                let run = Some(watch.memory(data, history.last(), skipped_so_far, Some(within)));
                observed.borrow_mut().state(State { run, ..trainer.state()? })
            };
            let trained = self.train_in_order(data, &order, &entries, losses, progress, settled)?;
            let loss = match trained {
                Trained::Whole(loss) => loss,
                Trained::Stopped => {
                    latest.1 = stepped.get();
                    ended = Ended::Observer;
                    break;
                }
                Trained::Diverged(step) => {
                    ended = Ended::Diverged { epoch: number, step, tensor: self.first_not_finite()? };
                    break;
                }
            };
            // The last step's update is in no loss yet.
            let values = match watch.keeps() {
                true => Some(self.averaged_parameters()?),
                false => None,
            };
            if let Some(values) = &values {
                if !values.iter().all(|value| value.is_finite()) {
                    break;
                }
                latest.2 = true;
            }
            let began = self.epochs as f64;
            self.epochs += 1;
            let validated = match validation {
                Some(set) => Some(self.averaged(|trainer| trainer.evaluate_uploaded(set, data.rows(), false))?),
                None => None,
            };
            if let Some(schedule) = &mut self.schedule {
                schedule.observe(began, validated.as_ref().map_or(loss, |validation| validation.loss));
            }
            let skipped = self.skipped_steps()? - skipped_before;
            (done, skipped_so_far) = (number, skipped_so_far + skipped);
            let epoch = Epoch { number, loss, skipped, validation: validated };
            let (best, good) = watch.wants(&epoch);
            if let Some(values) = values {
                watch.good = good.then(|| (number, values.clone()));
                watch.best = if best { Some((number, values)) } else { watch.best };
            }
            let stopped = observer.epoch(&epoch).is_break();
            let flow = observer.callback(Moment::End(&epoch), &mut self.running(0, data.rows()))?;
            let ends = (stopped || flow.is_break()).then_some(Ended::Observer).or_else(|| watch.ends(&epoch));
            if observer.wants_state(&epoch) {
                let data = fingerprints.get_or_insert_with(|| Fingerprints::of(data, validation)).clone();
                let run = Some(watch.memory(data, Some(&epoch), skipped_so_far, None));
                observer.state(State { run, ..self.state()? })?;
            }
            history.push(epoch);
            if let Some(why) = ends {
                ended = why;
                break;
            }
        }
        if let (epoch, step, false) = latest
            && !matches!(ended, Ended::Diverged { .. })
            && let Some(tensor) = self.first_not_finite()?
        {
            ended = Ended::Diverged { epoch, step, tensor: Some(tensor) };
        }
        let restored = match ended {
            Ended::Diverged { .. } => watch.best.or(watch.good),
            _ => watch.best.filter(|(number, _)| *number < done),
        };
        let restored = match restored {
            Some((number, values)) => {
                self.set_parameters(&values)?;
                Some(number)
            }
            None => None,
        };
        Ok(Run { epochs: history, skipped: skipped_so_far, ended, restored })
    }

    /// The first parameter that holds a number that is not finite.
    fn first_not_finite(&mut self) -> Result<Option<String>> {
        let values = self.parameters()?;
        let bad = self.params.tensors.iter().find(|tensor| values[tensor.range()].iter().any(|x| !x.is_finite()));
        Ok(bad.map(|tensor| tensor.name.clone()))
    }

    /// Trains once over `data`, shuffled: an epoch by itself, for data that arrives bit by bit. Each call goes on where the one
    /// before ended, with optimizer, schedule and the order of samples, as calls of [`Trainer::fit`] do: three epochs and
    /// three more are six to the bit.
    ///
    /// # Errors
    /// Those of [`Trainer::fit`], and where the loss is not finite.
    pub fn partial_fit(&mut self, data: &Dataset) -> Result<Epoch> {
        let Run { mut epochs, ended, .. } = self.fit_under(&Control::default(), data, None, 1, &mut ())?;
        let diverged = if let Ended::Diverged { step, .. } = ended { Some(step) } else { None };
        epochs.pop().filter(|_| diverged.is_none()).ok_or_else(|| {
            let step = diverged.unwrap_or_default();
            Error::data(&data.name, format!("what step {step} computes is not finite: the training diverged"))
        })
    }

    /// Trains once over `data` in the order of its rows, batch by batch, and returns the mean loss.
    pub fn fit_in_order(&mut self, data: &Dataset) -> Result<f64> {
        data.validate_for_training()?;
        self.upload(data, None)?;
        let order: Vec<u32> = (0..data.rows() as u32).collect();
        let entries = self.entries(order.len(), self.updates);
        match self.train_in_order(data, &order, &entries, Vec::new(), |_, _| Ok(Flow::Go), |_, _| Ok(()))? {
            Trained::Whole(loss) => Ok(loss),
            Trained::Stopped | Trained::Diverged(_) => Ok(f64::NAN),
        }
    }
}
