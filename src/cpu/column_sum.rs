use super::elementwise::add_rows;
use super::{Views, at_least, for_row_blocks, light_rows};
use crate::real::Real;

/// `sums[j] = Σ_r matrix[r, j]`: blocks of rows first, then the sums of the blocks, each in order.
pub(super) fn column_sum<T: Real>([rows, cols, ..]: [usize; 4], mut views: Views<'_, T>, scratch: &mut Vec<T>) {
    let (matrix, sums) = (&views.read(0)[..rows * cols], &mut views.write(1)[..cols]);
    let block = light_rows(cols);
    let blocks = rows.div_ceil(block);
    let parts = at_least(scratch, blocks * cols);
    for_row_blocks(blocks, 1, [(parts, cols)], |i, [sums]| {
        sums.fill(T::zero());
        add_rows(sums, &matrix[i * block * cols..rows.min((i + 1) * block) * cols]);
    });
    sums.fill(T::zero());
    add_rows(sums, &scratch[..blocks * cols]);
}
