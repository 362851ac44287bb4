#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Metrics against scikit-learn's numbers.

use serde::Deserialize;
use serde_json::Value;
use wgrad::data::Task;
use wgrad::metrics::RocCurve;
use wgrad::{Dataset, Loss, Matrix, Metrics};

/// What `tests/data/metrics/scikit_learn.py` stored.
#[derive(Deserialize)]
struct Stored {
    classification: Vec<Classification>,
    regression: Vec<Regression>,
}

#[derive(Deserialize)]
struct Classification {
    loss: Loss,
    labels: Vec<usize>,
    outputs: Vec<Vec<f32>>,
    metrics: Value,
}

#[derive(Deserialize)]
struct Regression {
    targets: Vec<Vec<f32>>,
    outputs: Vec<Vec<f32>>,
    metrics: Value,
}

fn stored() -> Stored {
    serde_json::from_str(include_str!("data/metrics/scikit_learn.json")).unwrap()
}

fn matrix(rows: &[Vec<f32>]) -> Matrix {
    Matrix::new(rows.len(), rows[0].len(), rows.concat()).unwrap()
}

fn dataset(task: Task, targets: Matrix) -> Dataset {
    let inputs = Matrix::zeros(targets.rows, 1);
    Dataset { name: "stored".into(), features: vec!["x".into()], task, inputs, targets, weights: None }
}

fn classes(labels: &[usize], count: usize) -> Dataset {
    let mut targets = Matrix::zeros(labels.len(), count);
    labels.iter().enumerate().for_each(|(row, label)| targets.data[row * count + label] = 1.0);
    dataset(Task::classes((0..count).map(|class| class.to_string())), targets)
}

/// Everything that is expected is found, at the same place, and within rounding.
fn check(place: &str, found: &Value, expected: &Value) {
    match expected {
        Value::Object(expected) => expected.iter().for_each(|(key, value)| check(key, &found[key], value)),
        Value::Array(expected) => {
            assert_eq!(found.as_array().map(Vec::len), Some(expected.len()), "{place}");
            expected.iter().enumerate().for_each(|(i, value)| check(&format!("{place}, {i}"), &found[i], value));
        }
        _ => {
            let (found, expected) = (found.as_f64().unwrap_or(f64::NAN), expected.as_f64().unwrap());
            assert!((found - expected).abs() <= 1e-12 * expected.abs().max(1.0), "{place}: {found}, not {expected}");
        }
    }
}

#[test]
fn metrics_are_those_of_scikit_learn() {
    let Stored { classification, regression } = stored();
    assert_eq!((classification.len(), regression.len()), (5, 2));
    for Classification { loss, labels, outputs, metrics } in classification {
        let outputs = matrix(&outputs);
        let found = Metrics::of(&classes(&labels, outputs.cols), &outputs, Some(loss)).unwrap();
        check("classification", &serde_json::to_value(found).unwrap(), &metrics);
    }
    for Regression { targets, outputs, metrics } in regression {
        let task = Task::Regression { outputs: (0..targets[0].len()).map(|i| format!("y{i}")).collect() };
        let found = Metrics::of(&dataset(task, matrix(&targets)), &matrix(&outputs), None).unwrap();
        check("regression", &serde_json::to_value(found).unwrap(), &metrics);
    }
}

#[test]
fn what_cannot_be_told_is_left_out() {
    let of = |data: &Dataset, outputs: &[f32]| {
        Metrics::of(data, &Matrix::new(data.rows(), outputs.len() / data.rows(), outputs.to_vec()).unwrap(), None)
    };
    let Metrics::Classification(one) = of(&classes(&[1, 1], 3), &[0.0, 1.0, 0.0, 2.0, 2.0, 0.0]).unwrap() else {
        panic!("classes have the metrics of a regression")
    };
    assert_eq!((one.accuracy, one.roc_auc, one.log_loss), (0.5, None, None));
    // The class that neither occurs nor is answered has no part in the mean.
    assert_eq!((one.top_k_accuracy, one.macro_average.precision), (vec![0.5, 1.0, 1.0], 0.5));

    let Metrics::Classification(nan) = of(&classes(&[0, 1], 2), &[f32::NAN, 1.0, 0.0, 1.0]).unwrap() else {
        panic!("classes have the metrics of a regression")
    };
    assert_eq!(nan.roc_auc, None);

    let same = dataset(Task::Regression { outputs: vec!["y".into()] }, Matrix::new(2, 1, vec![3.0, 3.0]).unwrap());
    let Metrics::Regression(same_targets) = of(&same, &[3.0, 5.0]).unwrap() else {
        panic!("numbers have the metrics of classes")
    };
    assert_eq!((same_targets.all.r_squared, same_targets.all.mae), (None, 1.0));
    let wrong = of(&same, &[1.0, 2.0, 3.0, 4.0]).unwrap_err().to_string();
    assert!(wrong.contains("expected 2 rows of 1, found 2 rows of 2"), "{wrong}");
}

#[test]
fn roc_curves_enclose_scikit_learns_area() {
    let mut compared = 0;
    for case in stored().classification {
        let outputs = matrix(&case.outputs);
        let data = classes(&case.labels, outputs.cols);
        let Some(expected) = case.metrics["roc_auc"].as_f64() else { continue };
        let curves = RocCurve::of(&data, &outputs, Some(case.loss)).unwrap();
        for curve in &curves {
            assert_eq!((curve.points.first(), curve.points.last()), (Some(&(0.0, 0.0)), Some(&(1.0, 1.0))));
            assert!(curve.points.is_sorted(), "{curve:?}");
        }
        let mean = curves.iter().map(RocCurve::area).sum::<f64>() / curves.len() as f64;
        assert!((mean - expected).abs() < 1e-12, "{mean}, not {expected}");
        compared += 1;
    }
    assert!(compared >= 2, "{compared} areas were compared");

    let data = classes(&[0, 1, 1], 2);
    let curve = &RocCurve::of(&data, &matrix(&[vec![0.0, 1.0], vec![0.0, 1.0], vec![0.0, 2.0]]), None).unwrap()[0];
    assert_eq!((curve.class.as_str(), &curve.points[..]), ("1", &[(0.0, 0.0), (0.0, 0.5), (1.0, 1.0)][..]));
    let nan = RocCurve::of(&data, &matrix(&[vec![0.0, 1.0], vec![0.0, f32::NAN], vec![0.0, 2.0]]), None);
    assert!(nan.unwrap_err().to_string().contains("row 2"));
    assert!(RocCurve::of(&data, &matrix(&[vec![0.0, 1.0]]), None).is_err());
}
