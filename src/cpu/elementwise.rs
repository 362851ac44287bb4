//! Loops over numbers that lie in a row, as vector instructions. They are `for` loops, and what they call is always inlined:
//! what the compiler leaves as a function of its own knows nothing of the instructions that `vectorized` switches on.

use super::vectorized;
use crate::activation::Activation;
use crate::real::Real;

/// `z ← f(z)`
pub(super) fn activate<T: Real>(activation: Activation, values: &mut [T]) {
    if let Some([value, _]) = activation.expressions() {
        return value.each(values, &[], |z, value| *z = value);
    }
    vectorized(
        #[inline(always)]
        || {
            with_constant!(activation, Activation::ALL, |f: Activation| {
                for z in &mut *values {
                    *z = f.value(*z);
                }
            });
        },
    );
}

/// `s ← f′(s)`
pub(super) fn differentiate<T: Real>(activation: Activation, stored: &mut [T]) {
    if let Some([_, derivative]) = activation.expressions() {
        return derivative.each(stored, &[], |s, slope| *s = slope);
    }
    vectorized(
        #[inline(always)]
        || {
            with_constant!(activation, Activation::ALL, |f: Activation| {
                for s in &mut *stored {
                    *s = f.derivative(*s);
                }
            });
        },
    );
}

/// `d ← d f′(s)`
pub(super) fn multiply_by_derivative<T: Real>(activation: Activation, values: &mut [T], stored: &[T]) {
    if let Some([_, derivative]) = activation.expressions() {
        return derivative.each(values, &[stored], |d, slope| *d *= slope);
    }
    vectorized(
        #[inline(always)]
        || {
            with_constant!(activation, Activation::ALL, |f: Activation| {
                for (d, &s) in values.iter_mut().zip(stored) {
                    *d *= f.derivative(s);
                }
            });
        },
    );
}

/// `sums[j] ← sums[j] + Σ_r matrix[r, j]`, in the order of the rows.
pub(super) fn add_rows<T: Real>(sums: &mut [T], matrix: &[T]) {
    vectorized(
        #[inline(always)]
        || {
            for row in matrix.chunks_exact(sums.len()) {
                for (sum, &x) in sums.iter_mut().zip(row) {
                    *sum += x;
                }
            }
        },
    );
}

/// `Σ_j term(a_j, b_j)`: the sums of every sixteenth term first, so that they can be added as vectors.
#[inline(always)]
pub(super) fn sum<T: Real>(a: &[T], b: &[T], term: impl Fn(T, T) -> T) -> T {
    const LANES: usize = 16;
    let (a, b) = (a.chunks_exact(LANES), b.chunks_exact(LANES));
    let rest: T = a.remainder().iter().zip(b.remainder()).map(|(&a, &b)| term(a, b)).sum();
    if a.len() == 0 {
        // Lanes that are all 0 would be added up for nothing, which takes longer than a short sum.
        return rest;
    }
    let mut lanes = [T::zero(); LANES];
    for (a, b) in a.zip(b) {
        for (lane, (&a, &b)) in lanes.iter_mut().zip(a.iter().zip(b)) {
            *lane += term(a, b);
        }
    }
    lanes.into_iter().sum::<T>() + rest
}

/// `values[i] ← values[i] · factors[i]`
pub(super) fn multiply<T: Real>(values: &mut [T], factors: &[T]) {
    vectorized(
        #[inline(always)]
        || {
            for (x, &factor) in values.iter_mut().zip(factors) {
                *x *= factor;
            }
        },
    );
}

/// `sums[i] ← sums[i] + terms[i]`
pub(super) fn add<T: Real>(sums: &mut [T], terms: &[T]) {
    vectorized(
        #[inline(always)]
        || {
            for (sum, &x) in sums.iter_mut().zip(terms) {
                *sum += x;
            }
        },
    );
}
