use super::{PARALLEL_FROM, Views};
use crate::optimizer::Rule;
use crate::real::Real;
use rayon::prelude::*;

/// Changes every parameter of a run by its gradient and the optimizer's state.
pub(super) fn update<T: Real>(_dims: [usize; 4], rule: Rule, hyper: [f32; 4], mut views: Views<'_, T>) {
    let learning_rate = T::of(f64::from(views.entry(0).learning_rate));
    let hyper = hyper.map(|h| T::of(f64::from(h)));
    let (gradients, params) = (views.read(2), views.write(3));
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
    let mut states: Vec<_> = (0..rule.states()).map(|i| views.write(4 + i)).collect();
    let mut state = vec![T::zero(); states.len()];
    for (i, (p, &g)) in params.iter_mut().zip(gradients).enumerate() {
        state.iter_mut().zip(&states).for_each(|(s, all)| *s = all[i]);
        one(p, g, &mut state);
        states.iter_mut().zip(&state).for_each(|(all, &s)| all[i] = s);
    }
}
