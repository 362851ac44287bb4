use super::{PARALLEL_FROM, Views};
use crate::optimizer::Rule;
use crate::real::Real;
use rayon::prelude::*;

/// Changes every parameter of a run by its gradient and the optimizer's state.
pub(super) fn update<T: Real>([len, ..]: [usize; 4], rule: Rule, hyper: [f32; 4], mut views: Views<'_, T>) {
    let learning_rate = T::of(f64::from(views.entry(0).learning_rate));
    let hyper = hyper.map(|h| T::of(f64::from(h)));
    let (gradients, params) = (&views.read(2)[..len], &mut views.write(3)[..len]);
    let one = |p: &mut T, g: T, state: &mut [T]| *p = rule.update(*p, g, learning_rate, hyper, state);
    if rule.states() == 0 {
        let block = |(params, gradients): (&mut [T], &[T])| {
            params.iter_mut().zip(gradients).for_each(|(p, &g)| one(p, g, &mut []));
        };
        if params.len() < PARALLEL_FROM {
            return block((params, gradients));
        }
        return params.par_chunks_mut(PARALLEL_FROM).zip(gradients.par_chunks(PARALLEL_FROM)).for_each(block);
    }
    let [first, second] = [views.write(4), views.write(5)];
    for (i, (p, &g)) in params.iter_mut().zip(gradients).enumerate() {
        let mut state = [first[i], second.get(i).copied().unwrap_or_default()];
        one(p, g, &mut state);
        first[i] = state[0];
        if let Some(second) = second.get_mut(i) {
            *second = state[1];
        }
    }
}
