#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! The proof of computation graphs at length; `wgrad check` runs a part of it.

mod common;

use serde_json::Value;
use wgrad::check::graphs::{everything, random, survey};
use wgrad::graph::Graph;
use wgrad::{Device, compare};

/// First and second derivatives of ten thousand random expressions, and every operation and every rule among them often.
#[test]
fn derivatives_of_random_graphs_equal_central_differences() {
    let found = survey(0, 10_000).unwrap();
    println!("{:?}\n{} skipped\n{:#?}", found.outcome, found.skipped, found.met);
    assert_eq!(found.outcome.failure, None);
    assert!(found.outcome.cases > 100_000 && found.outcome.worst <= 1.0);
    for what in everything() {
        let times = found.met.get(&what).copied().unwrap_or(0);
        assert!(times >= 100, "{what} was met {times} times");
    }
}

#[test]
fn random_graphs_hold_in_f32() {
    for (device, count) in [(Device::Cpu, 4000), (common::gpu(), 256)] {
        let found = random(&device, 1, count).unwrap();
        println!("{}: {found:?}", device.name());
        assert_eq!(found.failure, None, "{}", device.name());
        assert!(found.cases == count && found.worst > 0.1, "the bounds are so wide that nothing comes near them");
    }
}

/// `tests/data/graph/pytorch.py` wrote these. Where PyTorch has no number, because a derivative that it masks with 0 is infinite, ours
/// may have one.
#[test]
fn derivatives_are_those_of_pytorch() {
    let cases: Vec<Value> = serde_json::from_str(include_str!("data/graph/pytorch.json")).unwrap();
    assert!(cases.len() > 140);
    for case in cases {
        let text = case["text"].as_str().unwrap();
        let point: Vec<f64> = case["inputs"].as_array().unwrap().iter().map(|x| x.as_f64().unwrap()).collect();
        let expected = case["outputs"].as_array().unwrap().iter().map(|x| x.as_str().unwrap().parse::<f64>().unwrap());
        let graph = Graph::new();
        let inputs = graph.variables(["x", "y"]);
        let value = graph.parse(text, &["x", "y"]).unwrap();
        let first = value.backward();
        let first = inputs.map(|x| first.of(x));
        let second = first.map(|slope| {
            let second = slope.backward();
            inputs.map(|x| second.of(x))
        });
        let outputs = [&[value], &first[..], second.as_flattened()].concat();
        let found = graph.function(&["x", "y"], &outputs).unwrap().eval(&point);
        for (i, (found, expected)) in found.into_iter().zip(expected).enumerate() {
            let what = format!("{text} at {point:?}, output {i}");
            if expected.is_infinite() {
                assert_eq!(found, expected, "{what}");
            } else if !expected.is_nan() {
                // Some dozens of roundings, each function's among them.
                let bound = 64.0 * f64::EPSILON * (1.0 + expected.abs());
                compare::compare(&what, &[found], &[expected], &[bound]).unwrap_or_else(|failure| panic!("{failure}"));
            }
        }
    }
}
