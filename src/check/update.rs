//! What optimizers' updates are checked on, and how far they may err.

use super::kernels::{self, Contents};
use crate::compare::{UNIT_ROUNDOFF, product_error};
use crate::kernel::{Epilogue, Kernel, Mixed};
use crate::optimizer::Rule;
use crate::reference::Bounded;

/// The corrections of every step that is checked.
pub(super) const CORRECTIONS: [f32; 2] = [1.5, 1.25];

/// Settings for a kernel that updates: the usual ones, or, where `every` setting is to count, none of them 0.
pub(super) fn hyper(kernel: &Kernel, every: bool) -> [f32; 4] {
    let rule = match kernel {
        Kernel::Treatment(treatment) => return kernels::treatment::hyper(*treatment),
        Kernel::Update(rule) | Kernel::Mixed(Mixed::Update(rule)) => Some(*rule),
        Kernel::Matmul { epilogue: Epilogue::Update { rule, .. }, .. } => Some(*rule),
        Kernel::FusedSum(sum) => sum.rule,
        Kernel::Resident(resident) => Some(resident.whole.rule),
        _ => None,
    };
    let usual = rule.map_or([0.0; 4], |rule| rule.optimizer().hyper());
    usual.map(|setting| if every && setting == 0.0 { 0.1 } else { setting })
}

/// The state that a rule is given: means and sums of squares are not negative.
pub(super) fn states(rule: Rule, mut real: impl FnMut() -> Contents) -> Vec<Contents> {
    let state = |name: &&str| match real() {
        Contents::Real(values) if ["second_moment", "sum_of_squares"].contains(name) => {
            Contents::Real(values.into_iter().map(f32::abs).collect())
        }
        other => other,
    };
    rule.state_names().iter().map(state).collect()
}

/// More roundings in a row than any rule has on the way from an argument to a mean or a sum of squares, in units of that
/// argument.
const ROUNDINGS: f64 = 8.0;

/// The roundings of a quotient with a root and a few products, of which an update's change is one: WGSL lets a division err
/// by 2½ units in the last place, each at most 2u, and a root by as much.
const CHANGE_ROUNDINGS: f64 = 16.0;

/// The parameter and the state that an update leaves. Each argument may be off by its error and by the roundings that it
/// takes part in; the change is then rounded as a quotient is, and added to the parameter.
pub(super) fn updated(
    rule: Rule,
    hyper: [f32; 4],
    learning_rate: f32,
    p: Bounded,
    g: Bounded,
    state: [Bounded; 2],
) -> (Bounded, [Bounded; 2]) {
    let rates = [learning_rate, CORRECTIONS[0], CORRECTIONS[1]].map(f64::from);
    let hyper = hyper.map(f64::from);
    let apply = |[p, g, first, second]: [f64; 4]| {
        let mut state = [first, second];
        let p = rule.update(p, g, rates, hyper, &mut state);
        [p, state[0], state[1]]
    };
    let given = [p, g, state[0], state[1]];
    let values = given.map(|x| x.value);
    let results = apply(values);
    let mut errors = results.map(|x| 2.0 * product_error(x));
    errors[0] += CHANGE_ROUNDINGS * product_error(results[0] - p.value) + 2.0 * product_error(p.value);
    for (k, x) in given.iter().enumerate() {
        let reach = x.error + ROUNDINGS * UNIT_ROUNDOFF * x.value.abs();
        let moved = [reach, -reach].map(|shift| {
            let mut values = values;
            values[k] += shift;
            apply(values)
        });
        for (i, error) in errors.iter_mut().enumerate() {
            let deviations = moved.map(|moved| (moved[i] - results[i]).abs());
            // Where an argument may be one that gives no number there is no bound.
            let known = deviations.iter().all(|deviation| !deviation.is_nan());
            *error += if known { deviations[0].max(deviations[1]) } else { f64::INFINITY };
        }
    }
    let bounded = |i: usize| Bounded { value: results[i], error: errors[i] };
    (bounded(0), [bounded(1), bounded(2)])
}

/// The bounds of what an update writes by `gradients`, each with its place in the arenas: the bindings `params` and, from
/// `states` on, the rule's state. What has no gradient stays as it is.
pub(super) fn bounds(
    rule: Rule,
    hyper: [f32; 4],
    gradients: impl Iterator<Item = (usize, Bounded)>,
    given: &dyn Fn(usize) -> Vec<Bounded>,
    (params, states): (usize, usize),
    out: &mut [Vec<f64>],
) {
    let p = given(params);
    let all_states: Vec<_> = (0..rule.states()).map(|s| given(states + s)).collect();
    out[params] = vec![0.0; p.len()];
    out[states..states + rule.states()].iter_mut().for_each(|bounds| *bounds = vec![0.0; p.len()]);
    for (i, gradient) in gradients {
        let state = |s: usize| all_states.get(s).map_or(Bounded { value: 0.0, error: 0.0 }, |state| state[i]);
        let (p, state) = updated(rule, hyper, kernels::LEARNING_RATE, p[i], gradient, [state(0), state(1)]);
        out[params][i] = p.error;
        (0..rule.states()).for_each(|s| out[states + s][i] = state[s].error);
    }
}
