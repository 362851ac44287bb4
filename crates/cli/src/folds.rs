//! `wgrad train --folds`: cross-validation.

use crate::context::Context;
use crate::interrupt;
use crate::job::Job;
use crate::progress::Progress;
use crate::words::{Score, describe, short};
use serde_json::{Value, json};
use wgrad::train::{Ended, Evaluation};
use wgrad::tune::Pinned;
use wgrad::{Device, Error, Result};

/// What the folds came to.
pub struct Folds {
    evaluations: Vec<Evaluation>,
    seconds: f64,
}

/// Mean and standard deviation (that of the folds themselves, as in NumPy) of `values`.
fn spread(values: &[f64]) -> [f64; 2] {
    let mean = |values: &mut dyn Iterator<Item = f64>, count: usize| values.sum::<f64>() / count as f64;
    let center = mean(&mut values.iter().copied(), values.len());
    let variance = mean(&mut values.iter().map(|value| (value - center).powi(2)), values.len());
    [center, variance.sqrt()]
}

/// Trains a network anew on each fold's other rows and judges it by the fold; `None` where it was interrupted.
pub fn cross_validate(job: &Job, device: &Device, pinned: &Pinned, context: &Context) -> Result<Option<Folds>> {
    let jobs = job.fold_jobs()?;
    let count = jobs.len();
    let mut folds = Folds { evaluations: Vec::new(), seconds: 0.0 };
    for (number, job) in (1..).zip(jobs) {
        let job = job()?;
        let mut trainer = job.trainer(device, pinned)?;
        let mut progress = Progress::new(job.train.rows(), job.epochs);
        let fitted = trainer.fit_under(&job.control()?, &job.train, job.validation.as_ref(), job.epochs, &mut progress);
        folds.seconds += progress.finish().as_secs_f64();
        let place = format!("fold {number} of {count}");
        match fitted?.ended {
            Ended::Observer if interrupt::requested() => return Ok(None),
            Ended::Diverged { epoch, step, .. } => {
                let what = format!(
                    "the loss is not finite in epoch {epoch}, step {step}: the training diverged; try a smaller --lr than {}",
                    job.options.learning_rate
                );
                return Err(Error::Data { place, what });
            }
            _ => {}
        }
        let test = job.test.as_ref().ok_or_else(|| Error::Config(format!("{place} has no rows")))?;
        let evaluation = trainer.evaluate(test)?;
        let rows = test.rows();
        context.tell(&format!("fold {number}/{count}"), format_args!("{} on {rows} rows", describe(&evaluation)))?;
        folds.evaluations.push(evaluation);
    }
    Ok(Some(folds))
}

impl Folds {
    /// Mean and deviation of the loss, and of the score where every fold has one.
    fn summary(&self) -> ([f64; 2], Option<(Score, [f64; 2])>) {
        let losses: Vec<f64> = self.evaluations.iter().map(|evaluation| evaluation.loss).collect();
        let scores: Option<Vec<Score>> = self.evaluations.iter().map(Score::of).collect();
        let score = scores.and_then(|mut scores| {
            let values: Vec<f64> = scores.iter().map(|score| score.value).collect();
            Some((scores.pop()?, spread(&values)))
        });
        (spread(&losses), score)
    }

    /// Says mean and standard deviation.
    pub fn report(&self, context: &Context) -> Result<()> {
        let ([loss, deviation], score) = self.summary();
        let score = score.map(|(Score { name, .. }, [mean, deviation])| format!("{name} {mean:.4} ± {deviation:.4}, "));
        context.tell(
            "folds",
            format_args!(
                "{}loss {} ± {} over {} folds (mean ± standard deviation) in {:.1} s",
                score.unwrap_or_default(),
                short(loss),
                short(deviation),
                self.evaluations.len(),
                self.seconds
            ),
        )
    }

    /// The machine-readable form.
    pub fn to_json(&self) -> Value {
        let fold = |evaluation: &Evaluation| {
            let mut value = json!({ "test_loss": evaluation.loss });
            if let Some(Score { key, value: score, .. }) = Score::of(evaluation) {
                value[format!("test_{key}")] = json!(score);
            }
            value
        };
        let (loss, score) = self.summary();
        let mut all = json!({
            "folds": self.evaluations.iter().map(fold).collect::<Vec<_>>(),
            "mean": { "test_loss": loss[0] },
            "deviation": { "test_loss": loss[1] },
            "seconds": self.seconds,
        });
        if let Some((Score { key, .. }, [mean, deviation])) = score {
            all["mean"][format!("test_{key}")] = json!(mean);
            all["deviation"][format!("test_{key}")] = json!(deviation);
        }
        all
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// NumPy: `np.mean([1, 2, 4, 9]), np.std([1, 2, 4, 9])`
    #[test]
    fn the_spread_is_that_of_numpy() {
        let [mean, deviation] = spread(&[1.0, 2.0, 4.0, 9.0]);
        assert_eq!(mean, 4.0);
        assert!((deviation - 3.082_207_001_484_488).abs() < 1e-12, "{deviation}");
        assert_eq!(spread(&[0.5; 3]), [0.5, 0.0]);
    }
}
