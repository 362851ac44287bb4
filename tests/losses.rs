#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! Losses against PyTorch's numbers; and by their kernel at the ends of f32, on the GPU and on the CPU.

mod common;

use serde::Deserialize;
use wgrad::kernel::{Kernel, Uniform};
use wgrad::loss::Row;
use wgrad::plan::{Binding, Phase, Plan, ScheduleEntry, Slot, SlotInfo};
use wgrad::{Activation, Device, Loss};

/// What `tests/data/losses/pytorch.py` stored.
#[derive(Deserialize)]
struct Case {
    loss: Loss,
    outputs: Vec<Vec<f64>>,
    targets: Vec<Vec<f64>>,
    value: f64,
    gradient: Vec<Vec<f64>>,
}

#[test]
fn values_and_gradients_are_those_of_pytorch() {
    let cases: Vec<Case> = serde_json::from_str(include_str!("data/losses/pytorch.json")).unwrap();
    for &loss in Loss::ALL {
        assert!(cases.iter().any(|case| case.loss == loss), "PyTorch's numbers lack {loss}");
    }
    for Case { loss, outputs, targets, value, gradient } in cases {
        let near = |what: &str, found: f64, expected: f64| {
            // A few roundings in f64, here and there, of which some cancel digits of numbers up to 40.
            let bound = 1e-13 * (1.0 + expected.abs());
            assert!((found - expected).abs() <= bound, "{loss}, {what}: {found:e}, expected {expected:e}");
        };
        let scale = loss.reduction().scale(outputs.len(), outputs[0].len());
        let mut total = 0.0;
        for (r, (y, t)) in outputs.iter().zip(&targets).enumerate() {
            let log_sum_exp = y.iter().map(|y| y.exp()).sum::<f64>().ln();
            let row = Row { log_sum_exp, target_sum: t.iter().sum() };
            for (j, (&y, &t)) in y.iter().zip(t).enumerate() {
                total += loss.value(y, t, row);
                near(&format!("gradient [{r}, {j}]"), scale * loss.derivative(y, t, row), gradient[r][j]);
            }
        }
        near("value", scale * total, value);
    }
}

/// Finite numbers give no NaN, however large or small they are.
#[test]
fn no_finite_number_gives_nan() {
    let numbers = [0.0, 1e-40, f32::MIN_POSITIVE, 1e-3, 0.5, 1.0, 89.0, 1e9, 1e10, 1e19, 1e30, f32::MAX];
    let numbers = numbers.map(|x| [x, -x]).concat();
    let pairs = numbers.iter().flat_map(|&y| numbers.iter().map(move |&t| (y, t)));
    let (outputs, targets): (Vec<f32>, Vec<f32>) = pairs.unzip();
    let rows = outputs.len();
    for device in [Device::Cpu, common::gpu()] {
        for &loss in Loss::ALL {
            let kernel = Kernel::Loss { loss, activation: Activation::Linear };
            let slots: Vec<Slot> = (0..kernel.bindings().len()).map(Slot::State).collect();
            let lengths = [ScheduleEntry::WORDS, 1, rows, rows, rows];
            let infos = kernel.bindings().into_iter().zip(&slots).zip(lengths);
            let infos = infos.map(|((spec, &slot), len)| SlotInfo { slot, len, element: spec.element }).collect();
            let bindings = slots.iter().zip(lengths).map(|(&slot, len)| Binding { slot, range: 0..len }).collect();
            let uniform = Uniform { dims: [rows as u32, 1, 0, 0], ..Uniform::default() };
            let mut executor = device.executor(Plan::single(kernel, uniform, infos, bindings).unwrap()).unwrap();
            let entry = ScheduleEntry { loss_scale: 1.0, rows: rows as u32, ..ScheduleEntry::default() };
            executor.write_words(slots[0], 0, bytemuck::cast_slice(&[entry])).unwrap();
            executor.write_words(slots[1], 0, &[0]).unwrap();
            executor.write(slots[2], 0, &outputs).unwrap();
            executor.write(slots[3], 0, &targets).unwrap();
            executor.run(&[Phase::Forward], 1).unwrap();
            for (what, slot) in [("derivative", slots[2]), ("value", slots[4])] {
                let found = executor.read(slot, 0..rows).unwrap().wait().unwrap();
                let bad = found.iter().position(|x| x.is_nan()).map(|at| (outputs[at], targets[at]));
                assert_eq!(bad, None, "{loss}, {what} of output and target, on {}", device.name());
            }
        }
    }
}
