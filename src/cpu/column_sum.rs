use super::{PARALLEL_FROM, Views};
use crate::real::Real;
use rayon::prelude::*;

/// `sums[j] = Σ_r matrix[r, j]`, in the order of the rows.
pub(super) fn column_sum<T: Real>([rows, cols, ..]: [usize; 4], mut views: Views<'_, T>) {
    let (matrix, sums) = (&views.read(0)[..rows * cols], &mut views.write(1)[..cols]);
    let sum_block = |first: usize, block: &mut [T]| {
        block.fill(T::zero());
        for row in matrix.chunks_exact(cols) {
            block.iter_mut().zip(&row[first..]).for_each(|(sum, &x)| *sum += x);
        }
    };
    if rows * cols < PARALLEL_FROM {
        return sum_block(0, sums);
    }
    let width = cols.div_ceil(rayon::current_num_threads()).max(16);
    sums.par_chunks_mut(width).enumerate().for_each(|(i, block)| sum_block(i * width, block));
}
