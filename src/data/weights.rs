//! Targets and rows that do not count as they are: smoothed labels, classes with weights.

use super::{Dataset, Task};
use crate::error::did_you_mean;
use crate::{Error, Result};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

/// How much the rows of each class count: `balanced`, or `LABEL:WEIGHT` for some of them, separated by commas.
#[derive(Clone, Debug, PartialEq)]
pub enum ClassWeights {
    /// `n / (K n_k)` for the n_k of n rows that have class k out of the K classes with rows, as in scikit-learn: all classes
    /// count the same together.
    Balanced,
    /// The weight of each label that is named, ≥ 0; 1 for the others.
    Given(Vec<(String, f32)>),
}

impl FromStr for ClassWeights {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text.trim() == "balanced" {
            return Ok(ClassWeights::Balanced);
        }
        let refuse = |pair: &str| {
            let what =
                "expected `balanced`, or LABEL:WEIGHT for each class, separated by commas, with weights of at least 0";
            Error::Config(format!("class weights: {what}, found {pair:?}"))
        };
        let pair = |pair: &str| {
            // A label may have a colon of its own.
            let (label, weight) = pair.rsplit_once(':').ok_or_else(|| refuse(pair))?;
            let weight = weight.trim().parse::<f32>().ok().filter(|weight| weight.is_finite() && *weight >= 0.0);
            Ok((label.trim().to_owned(), weight.ok_or_else(|| refuse(pair))?))
        };
        let pairs: Vec<_> = text.split(',').map(pair).collect::<Result<_>>()?;
        let twice =
            pairs.iter().enumerate().find(|(i, (label, _))| pairs[..*i].iter().any(|(other, _)| other == label));
        match twice {
            None => Ok(ClassWeights::Given(pairs)),
            Some((_, (label, _))) => Err(Error::Config(format!("class weights: {label:?} has two weights"))),
        }
    }
}

impl Display for ClassWeights {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            ClassWeights::Balanced => f.write_str("balanced"),
            ClassWeights::Given(pairs) => {
                let pairs: Vec<_> = pairs.iter().map(|(label, weight)| format!("{label}:{weight}")).collect();
                f.write_str(&pairs.join(","))
            }
        }
    }
}

impl ClassWeights {
    /// The weight of each class of `data`.
    ///
    /// # Errors
    /// Where the data set has no classes, or none of a label that is named.
    pub fn of(&self, data: &Dataset) -> Result<Vec<f32>> {
        let (Task::Classification { classes, .. }, Some(labels)) = (&data.task, data.each_label()) else {
            let what = "class weights are for classes, but its targets are numbers; leave them out, or set the task";
            return Err(Error::data(&data.name, what.to_owned()));
        };
        match self {
            ClassWeights::Balanced => {
                let mut counts = vec![0usize; classes.len()];
                labels.for_each(|label| counts[label as usize] += 1);
                let present = counts.iter().filter(|&&count| count > 0).count();
                let weight = |count: usize| (data.rows() as f64 / (present * count) as f64) as f32;
                Ok(counts.into_iter().map(|count| if count > 0 { weight(count) } else { 1.0 }).collect())
            }
            ClassWeights::Given(pairs) => {
                let mut weights = vec![1.0; classes.len()];
                for (label, weight) in pairs {
                    let Some(class) = classes.iter().position(|class| class == label) else {
                        let hint = did_you_mean(label, classes.iter().map(String::as_str));
                        let what = format!(
                            "it has no class {label:?}{hint}, which has a class weight; known: {}",
                            classes.join(", ")
                        );
                        return Err(Error::data(&data.name, what));
                    };
                    weights[class] = *weight;
                }
                Ok(weights)
            }
        }
    }
}

impl Dataset {
    /// Multiplies the weight of each row by that of its class.
    ///
    /// # Errors
    /// Those of [`ClassWeights::of`], and where no row would count.
    pub fn weigh_classes(&mut self, weights: &ClassWeights) -> Result<()> {
        let of_class = weights.of(self)?;
        let mut rows = self.weights.take().unwrap_or_else(|| vec![1.0; self.rows()]);
        let labels = self.each_label().into_iter().flatten();
        rows.iter_mut().zip(labels).for_each(|(weight, label)| *weight *= of_class[label as usize]);
        self.weights = Some(rows);
        self.validate()
    }

    /// Smooths the targets of classes: `t (1 - ε) + ε / K` for K classes, or toward ½ where a single output says which of
    /// two. `epsilon` lies in [0, 1).
    ///
    /// Szegedy et al., *Rethinking the Inception Architecture for Computer Vision* (2015).
    ///
    /// # Errors
    /// Where `epsilon` is out of range, or the targets are numbers.
    pub fn smooth_labels(&mut self, epsilon: f32) -> Result<()> {
        if !(0.0..1.0).contains(&epsilon) {
            return Err(Error::Config(format!("label smoothing must be at least 0 and less than 1, found {epsilon}")));
        }
        if let Task::Regression { .. } = self.task {
            let what = "label smoothing is for classes, but its targets are numbers; leave it out, or set the task";
            return Err(Error::data(&self.name, what.to_owned()));
        }
        let classes = self.targets.cols.max(2) as f64;
        let smooth = |t: f32| (f64::from(t) * (1.0 - f64::from(epsilon)) + f64::from(epsilon) / classes) as f32;
        self.targets.data.iter_mut().for_each(|t| *t = smooth(*t));
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;
    use crate::data::Matrix;

    /// Three classes, of which the last has no row.
    fn data(labels: &[usize]) -> Dataset {
        let one_hot = labels.iter().flat_map(|&label| (0..3).map(move |k| f32::from(u8::from(k == label))));
        Dataset {
            name: "made up".into(),
            features: vec!["x".into()],
            task: Task::classes(["no", "yes", "a:b"]),
            inputs: Matrix::new(labels.len(), 1, vec![0.0; labels.len()]).unwrap(),
            targets: Matrix::new(labels.len(), 3, one_hot.collect()).unwrap(),
            weights: None,
        }
    }

    /// scikit-learn: `compute_class_weight("balanced", classes=[0, 1], y=[0, 0, 0, 1])` is `[0.6667, 2]`.
    #[test]
    fn balanced_classes_count_the_same() {
        let mut data = data(&[0, 0, 0, 1]);
        assert_eq!(ClassWeights::Balanced.of(&data).unwrap(), [2.0 / 3.0, 2.0, 1.0]);
        data.weights = Some(vec![3.0, 1.0, 1.0, 0.5]);
        data.weigh_classes(&ClassWeights::Balanced).unwrap();
        assert_eq!(data.weights.unwrap(), [2.0, 2.0 / 3.0, 2.0 / 3.0, 1.0]);
    }

    #[test]
    fn weights_are_read_and_written() {
        let given: ClassWeights = "yes:5, a:b:0.25".parse().unwrap();
        assert_eq!(given, ClassWeights::Given(vec![("yes".into(), 5.0), ("a:b".into(), 0.25)]));
        assert_eq!(given.to_string().parse::<ClassWeights>().unwrap(), given);
        assert_eq!(given.of(&data(&[0, 1])).unwrap(), [1.0, 5.0, 0.25]);
        assert_eq!("balanced".parse::<ClassWeights>().unwrap(), ClassWeights::Balanced);
        for bad in ["", "yes", "yes:", "yes:x", "yes:-1", "yes:NaN", "yes:inf", "yes:1,", "yes:1,yes:2"] {
            let error = bad.parse::<ClassWeights>().unwrap_err().to_string();
            assert!(error.contains("class weights:"), "{bad:?}: {error}");
        }
        let unknown: ClassWeights = "yse:5".parse().unwrap();
        let error = unknown.of(&data(&[0, 1])).unwrap_err().to_string();
        assert!(error.contains("no class \"yse\"") && error.contains("known: no, yes, a:b"), "{error}");
        let nothing: ClassWeights = "no:0,yes:0".parse().unwrap();
        let error = data(&[0, 1]).weigh_classes(&nothing).unwrap_err().to_string();
        assert!(error.contains("weight 0"), "{error}");
    }

    #[test]
    fn smoothing_moves_labels_toward_all_the_same() {
        let mut smoothed = data(&[1]);
        smoothed.smooth_labels(0.3).unwrap();
        let expected = [0.1, 0.8, 0.1];
        assert!(smoothed.targets.data.iter().zip(expected).all(|(t, e)| (t - e).abs() < 1e-7));
        assert_eq!(smoothed.labels(), Some(vec![1]));
        let mut binary = data(&[1]);
        binary.targets = Matrix::new(1, 1, vec![1.0]).unwrap();
        binary.smooth_labels(0.5).unwrap();
        assert_eq!(binary.targets.data, [0.75]);
        for bad in [-0.1, 1.0, f32::NAN] {
            assert!(data(&[1]).smooth_labels(bad).unwrap_err().to_string().contains("label smoothing must be"));
        }
        let numbers = Task::Regression { outputs: vec![] };
        let mut numbers = Dataset { task: numbers, ..data(&[1]) };
        assert!(numbers.smooth_labels(0.1).unwrap_err().to_string().contains("is for classes"));
        assert!(numbers.weigh_classes(&ClassWeights::Balanced).unwrap_err().to_string().contains("are for classes"));
    }
}
