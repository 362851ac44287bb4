use super::{Views, for_row_blocks, light_rows, vectorized};
use crate::optimizer::Rule;
use crate::real::Real;

/// Changes every parameter of a run by its gradient and the optimizer's state.
pub(super) fn update<T: Real>([len, ..]: [usize; 4], rule: Rule, hyper: [f32; 4], mut views: Views<'_, T>) {
    let rates = views.entry(0).rates();
    let hyper = hyper.map(|h| T::of(f64::from(h)));
    let gradients = views.read(2);
    let [params, first, second] = [views.write(3), views.write(4), views.write(5)];
    let width = |state: usize| usize::from(state <= rule.states());
    let arenas = [(params, 1), (first, width(1)), (second, width(2))];
    for_row_blocks(len, light_rows(1), arenas, |start, [params, first, second]| {
        let gradients = &gradients[start..][..params.len()];
        vectorized(
            #[inline(always)]
            || apply(rule, rates, hyper, gradients, [params, first, second]),
        );
    });
}

/// The rule on every element of `[params, first state, second state]`; a state that it lacks may be empty.
#[inline(always)]
pub(super) fn apply<T: Real>(
    rule: Rule,
    rates: [T; 3],
    hyper: [T; 4],
    gradients: &[T],
    [params, first, second]: [&mut [T]; 3],
) {
    with_constant!(rule, Rule::ALL, |rule: Rule| {
        let pairs = params.iter_mut().zip(gradients);
        match rule.states() {
            0 => {
                for (p, &g) in pairs {
                    *p = rule.update(*p, g, rates, hyper, &mut []);
                }
            }
            1 => {
                for ((p, &g), state) in pairs.zip(first) {
                    *p = rule.update(*p, g, rates, hyper, std::slice::from_mut(state));
                }
            }
            _ => {
                for ((p, &g), (first, second)) in pairs.zip(first.iter_mut().zip(second)) {
                    let mut state = [*first, *second];
                    *p = rule.update(*p, g, rates, hyper, &mut state);
                    [*first, *second] = state;
                }
            }
        }
    });
}
