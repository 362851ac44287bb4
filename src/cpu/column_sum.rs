use super::elementwise::add_rows;
use super::{Views, at_least, for_row_blocks, light_rows};
use crate::real::Real;

/// `sums[j] = Σ_r matrix[r, j]`
pub(super) fn column_sum<T: Real>([rows, cols, ..]: [usize; 4], mut views: Views<'_, T>, scratch: &mut Vec<T>) {
    views.write(1)[..cols].copy_from_slice(sum_columns(&views.read(0)[..rows * cols], cols, scratch));
}

/// The sums of the `cols` columns of `matrix`, in `scratch`: of blocks of rows first, then of the blocks, each in order.
pub(super) fn sum_columns<'a, T: Real>(matrix: &[T], cols: usize, scratch: &'a mut Vec<T>) -> &'a [T] {
    let (rows, block) = (matrix.len() / cols, light_rows(cols));
    let blocks = rows.div_ceil(block);
    let (sums, parts) = at_least(scratch, (1 + blocks) * cols).split_at_mut(cols);
    for_row_blocks(blocks, 1, [(&mut *parts, cols)], |i, [sums]| {
        sums.fill(T::zero());
        add_rows(sums, &matrix[i * block * cols..rows.min((i + 1) * block) * cols]);
    });
    sums.fill(T::zero());
    add_rows(sums, parts);
    sums
}
