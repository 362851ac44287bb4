#![allow(clippy::unwrap_used, clippy::panic)] // a test says what failed by panicking
//! The worked cases A to D on the f64 reference, on the CPU executor in f64 and in f32, and on the GPU; and that a wrong
//! number in any of them is noticed.

mod common;
#[path = "../examples/cases"]
mod cases {
    pub mod a;
    pub mod b;
    pub mod c;
    pub mod d;
    pub mod place;
    pub mod table;
}

use cases::place::{Oracle, Place, Problem, Twins};
use cases::table::Table;
use cases::{a, b, c, d};
use wgrad::compare::{Comparison, UNIT_ROUNDOFF, compare};
use wgrad::reference::Gradients;
use wgrad::{Device, Loss, Network, Params, Result};

type Case = fn(&dyn Place) -> Result<Table>;

fn demand(case: Case, place: &dyn Place) {
    let table = case(place).unwrap();
    assert!(table.holds(), "{table}");
}

#[test]
fn case_a_on_the_reference() {
    demand(a::check, &Oracle);
}

#[test]
fn case_a_on_the_cpu_in_f64() {
    demand(a::check, &Twins);
}

#[test]
fn case_a_on_the_cpu() {
    demand(a::check, &Device::Cpu);
}

#[test]
fn case_a_on_the_gpu() {
    demand(a::check, &common::gpu());
}

#[test]
fn case_b_on_the_reference() {
    demand(b::check, &Oracle);
}

#[test]
fn case_b_on_the_cpu_in_f64() {
    demand(b::check, &Twins);
}

#[test]
fn case_b_on_the_cpu() {
    demand(b::check, &Device::Cpu);
}

#[test]
fn case_b_on_the_gpu() {
    demand(b::check, &common::gpu());
}

#[test]
fn case_c_on_the_reference() {
    demand(c::check, &Oracle);
}

#[test]
fn case_c_on_the_cpu() {
    demand(c::check, &Device::Cpu);
}

#[test]
fn case_c_on_the_gpu() {
    demand(c::check, &common::gpu());
}

#[test]
fn case_d_on_the_reference() {
    demand(d::check, &Oracle);
}

#[test]
fn case_d_on_the_cpu_in_f64() {
    demand(d::check, &Twins);
}

#[test]
fn case_d_on_the_cpu() {
    demand(d::check, &Device::Cpu);
}

#[test]
fn case_d_on_the_gpu() {
    demand(d::check, &common::gpu());
}

/// What each row of a table that holds compares.
fn comparisons(table: &Table) -> Vec<Comparison> {
    table.rows.iter().map(|row| row.outcome.clone().unwrap()).collect()
}

/// Demands that each comparison fails once the fifth digit of what it expects is changed by `change`, up or down.
fn demand_fifth_digit(comparisons: &[Comparison], change: f64) {
    for Comparison { actual, expected, bound, .. } in comparisons {
        let unit = 10f64.powf(expected.abs().log10().floor() - 4.0);
        for wrong in [expected + change * unit, expected - change * unit] {
            let outcome = compare("planted", &[*actual], &[wrong], &[*bound]);
            assert!(outcome.is_err(), "{actual} passes for {wrong} instead of {expected}");
        }
    }
}

#[test]
fn a_changed_fifth_digit_fails_in_f64() {
    for case in [a::check, b::check] {
        demand_fifth_digit(&comparisons(&case(&Oracle).unwrap()), 1.0);
    }
}

/// In f32 the 2e-5 of a single step are up to two units of the fifth digit.
#[test]
fn a_changed_fifth_digit_of_a_single_step_fails_in_f32() {
    let all = [a::check, b::check].map(|case| comparisons(&case(&Device::Cpu).unwrap())).concat();
    let single_step = |row: &Comparison| row.bound <= 2.0001e-5 * row.expected.abs();
    let rows: Vec<_> = all.into_iter().filter(single_step).collect();
    assert!(rows.len() >= 50, "only {} numbers of single steps", rows.len());
    demand_fifth_digit(&rows, 3.0);
}

/// The reference with a fault in its gradients, judged as strictly as any place that rounds by `roundoff`.
struct Faulty {
    fault: fn(&Problem, &[f64], &mut Gradients),
    roundoff: f64,
}

impl Place for Faulty {
    fn name(&self) -> String {
        "faulty reference".into()
    }

    fn roundoff(&self) -> f64 {
        self.roundoff
    }

    fn learning_rate(&self, rate: f64) -> f64 {
        rate
    }

    fn forward(&self, network: &Network, values: &[f64], inputs: &[f64]) -> Result<Vec<f64>> {
        Oracle.forward(network, values, inputs)
    }

    fn gradients(&self, problem: &Problem, values: &[f64]) -> Result<Gradients> {
        let mut gradients = Oracle.gradients(problem, values)?;
        (self.fault)(problem, values, &mut gradients);
        Ok(gradients)
    }
}

const NO_FAULT: fn(&Problem, &[f64], &mut Gradients) = |_, _, _| {};

fn range(network: &Network, name: &str) -> std::ops::Range<usize> {
    Params::of(network).named(name).unwrap().range()
}

/// The quantities of a table that are wrong.
fn wrong(table: &Table) -> Vec<&str> {
    table.rows.iter().filter(|row| row.outcome.is_err()).map(|row| row.quantity.as_str()).collect()
}

/// The second layer's weights change first, and the first layer's gradient is taken through them.
fn through_updated_weights(problem: &Problem, values: &[f64], gradients: &mut Gradients) {
    if problem.network.layers.len() != 2 {
        return;
    }
    let (w1, w2) = (range(&problem.network, "layers.0.weight"), range(&problem.network, "layers.1.weight"));
    let updated: Vec<f64> = w2.clone().map(|i| values[i] - problem.learning_rate * gradients.params[i]).collect();
    let delta = &gradients.deltas[1];
    let arriving = |weight: &[f64], unit: usize| weight[unit] * delta[0] + weight[2 + unit] * delta[1];
    for (i, gradient) in gradients.params[w1].iter_mut().enumerate() {
        *gradient *= arriving(&updated, i / 2) / arriving(&values[w2.clone()], i / 2);
    }
}

#[test]
fn propagating_through_updated_weights_fails_case_a() {
    for roundoff in [Oracle.roundoff(), UNIT_ROUNDOFF] {
        demand(a::check, &Faulty { fault: NO_FAULT, roundoff });
        let table = a::check(&Faulty { fault: through_updated_weights, roundoff }).unwrap();
        for unit in 1..=4 {
            let quantity = format!("W1 after 1 update {unit}");
            assert!(wrong(&table).contains(&quantity.as_str()), "{quantity} passes\n{table}");
        }
    }
}

#[test]
fn a_shared_bias_that_averages_fails_case_b() {
    let fault = |problem: &Problem, _: &[f64], gradients: &mut Gradients| {
        gradients.params[range(&problem.network, "layers.0.bias")][0] /= 2.0;
    };
    let table = b::check(&Faulty { fault, roundoff: Oracle.roundoff() }).unwrap();
    for quantity in ["∂E/∂b1", "out after 1 update", "updates until E < 1e-8", "b1 there"] {
        assert!(wrong(&table).contains(&quantity), "{quantity} passes\n{table}");
    }
}

#[test]
fn swapped_inputs_and_a_wrong_sign_fail_case_c() {
    let swapped = |_: &Problem, _: &[f64], gradients: &mut Gradients| gradients.params.swap(0, 1);
    let sign = |problem: &Problem, _: &[f64], gradients: &mut Gradients| {
        gradients.params[range(&problem.network, "layers.0.bias")][0] *= -1.0;
    };
    let rows = |fault| {
        let mut table = Table::new("case C".into());
        c::half_plane(&Faulty { fault, roundoff: UNIT_ROUNDOFF }, &mut table, 0).unwrap();
        table
    };
    let table = rows(NO_FAULT);
    assert!(table.holds(), "{table}");
    assert_eq!(wrong(&rows(swapped)).len(), 3);
    assert!(wrong(&rows(sign)).contains(&"seed 0, w and b by the rule"));
}

/// The largest gradient of each network's first weights is changed in its fifth digit; the bounds are those of f32.
#[test]
fn one_gradient_changed_in_its_fifth_digit_fails_case_d() {
    let fault = |problem: &Problem, _: &[f64], gradients: &mut Gradients| {
        let weights = &mut gradients.params[range(&problem.network, "layers.0.weight")];
        let largest = weights.iter_mut().max_by(|a, b| a.abs().total_cmp(&b.abs())).unwrap();
        *largest *= 1.0 + 3e-5;
    };
    for cost in [Loss::HalfSumOfSquares, Loss::LogisticCrossEntropy] {
        for depth in 1..=5 {
            let rows = |fault| {
                let mut table = Table::new("case D".into());
                d::equations(&Faulty { fault, roundoff: UNIT_ROUNDOFF }, &mut table, cost, depth).unwrap();
                table
            };
            let table = rows(NO_FAULT);
            assert!(table.holds(), "{table}");
            let quantity = format!("{cost}, depth {depth}: ∂C/∂W, ∂C/∂b");
            assert_eq!(wrong(&rows(fault))[0], quantity);
        }
    }
}
