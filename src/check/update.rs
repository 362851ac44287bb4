//! What optimizers' updates are checked on, and how far they may err.

use super::kernels::Contents;
use crate::kernel::{Kernel, Mixed};
use crate::optimizer::Rule;
use crate::reference::{Bounded, Number};

/// The corrections of every step that is checked.
pub(super) const CORRECTIONS: [f32; 2] = [1.5, 1.25];

/// Settings for a kernel that updates: the usual ones, or, where `every` setting is to count, none of them 0.
pub(super) fn hyper(kernel: &Kernel, every: bool) -> [f32; 4] {
    let rule = match kernel {
        Kernel::Update(rule) | Kernel::Mixed(Mixed::Update(rule)) => Some(*rule),
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

/// The parameter and the state that an update leaves, as a function of its arguments, which takes no more roundings in a row
/// than one of the registry.
pub(super) fn updated(
    rule: Rule,
    hyper: [f32; 4],
    learning_rate: f32,
    p: Bounded,
    g: Bounded,
    state: [Bounded; 2],
) -> (Bounded, [Bounded; 2]) {
    let rates = [learning_rate, CORRECTIONS[0], CORRECTIONS[1]].map(f64::from);
    let result = |which: usize| {
        let f = |[p, g, first, second]: [f64; 4]| {
            let mut state = [first, second];
            let p = rule.update(p, g, rates, hyper.map(f64::from), &mut state);
            [p, state[0], state[1]][which]
        };
        Bounded::function(f, [p, g, state[0], state[1]])
    };
    (result(0), [result(1), result(2)])
}
