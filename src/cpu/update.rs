use super::{Views, for_row_blocks, light_rows, vectorized};
use crate::optimizer::Rule;
use crate::plan::ScheduleEntry;
use crate::real::Real;

/// Changes every parameter of a run by its gradient and the optimizer's state.
pub(super) fn update<T: Real>([len, ..]: [usize; 4], rule: Rule, hyper: [f32; 4], mut views: Views<'_, T>) {
    let gradients = &views.read(2)[..len];
    let arenas = [views.write(3), views.write(4), views.write(5)].map(|arena| part(arena, 0, len));
    Update::new(rule, views.entry(0), hyper).run(gradients, arenas);
}

/// `len` elements of `arena` from `first` on; none of a state that the rule lacks.
pub(super) fn part<T>(arena: &mut [T], first: usize, len: usize) -> &mut [T] {
    arena.get_mut(first..first + len).unwrap_or_default()
}

/// A step of an optimizer's rule.
pub(super) struct Update<T> {
    rule: Rule,
    rates: [T; 3],
    hyper: [T; 4],
}

impl<T: Real> Update<T> {
    pub(super) fn new(rule: Rule, entry: ScheduleEntry, hyper: [f32; 4]) -> Self {
        Update { rule, rates: entry.rates(), hyper: hyper.map(|h| T::of(f64::from(h))) }
    }

    /// Elements of each arena for one of a parameter: of the parameters and both states.
    pub(super) fn widths(&self) -> [usize; 3] {
        [0, 1, 2].map(|state| usize::from(state <= self.rule.states()))
    }

    /// The update of `[params, first state, second state]`, split over threads.
    pub(super) fn run(&self, gradients: &[T], arenas: [&mut [T]; 3]) {
        let [params, first, second] = arenas;
        let [of_params, of_first, of_second] = self.widths();
        let arenas = [(params, of_params), (first, of_first), (second, of_second)];
        for_row_blocks(gradients.len(), light_rows(1), arenas, |start, arenas| {
            self.run_alone(&gradients[start..][..arenas[0].len()], arenas);
        });
    }

    /// The same by this thread.
    pub(super) fn run_alone(&self, gradients: &[T], arenas: [&mut [T]; 3]) {
        vectorized(
            #[inline(always)]
            || apply(self.rule, self.rates, self.hyper, gradients, arenas),
        );
    }
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
