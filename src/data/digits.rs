//! The bundled digits; `data/README.md` says where they come from.

use super::{Dataset, Matrix, ReadOptions, Survey, Task, TaskHint};

const TEXT: &str = include_str!("../../data/digits.csv");

pub(super) fn load() -> Dataset {
    // The text is part of the program and a test reads it, so the empty data set, which no training accepts, never
    // leaves this function.
    let options = ReadOptions { task: TaskHint::Classification, ..ReadOptions::default() };
    Survey::bundled("digits", TEXT, &options).and_then(|survey| survey.load()).unwrap_or_else(|_| Dataset {
        name: "digits".into(),
        features: Vec::new(),
        task: Task::classes([""; 0]),
        inputs: Matrix::default(),
        targets: Matrix::default(),
        weights: None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn digits_are_whole() {
        let digits = load();
        digits.validate().unwrap();
        assert_eq!((digits.rows(), digits.inputs.cols, digits.targets.cols), (1797, 64, 10));
        assert_eq!((digits.features[0].as_str(), digits.features[63].as_str()), ("p00", "p63"));
        assert!(digits.task.agrees_with(&Task::classes((0..10).map(|d| d.to_string()))));
        assert!(digits.inputs.data.iter().all(|x| (0.0..=16.0).contains(x) && x.fract() == 0.0));
        let labels = digits.labels().unwrap();
        let counts: Vec<_> = (0..10).map(|d| labels.iter().filter(|label| **label == d).count()).collect();
        assert_eq!(counts, [178, 182, 177, 183, 181, 182, 181, 179, 174, 180]);
        assert_eq!(digits.inputs.data.iter().map(|x| f64::from(*x)).sum::<f64>(), 561718.0);
    }
}
