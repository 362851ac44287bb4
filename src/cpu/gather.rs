use super::{Views, for_row_blocks, light_rows};
use crate::real::Real;

/// `input[r] = data_inputs[order[first + r]]`, likewise the targets; rows past the batch's end become 0.
pub(super) fn gather<T: Real>([rows, inputs, outputs, _]: [usize; 4], mut views: Views<'_, T>) {
    let entry = views.entry(0);
    let order = views.words(2);
    for (from, to, cols) in [(3, 5, inputs), (4, 6, outputs)] {
        let data = views.read(from);
        for_row_blocks(rows, light_rows(cols), [(views.write(to), cols)], |first, [block]| {
            for (r, row) in block.chunks_exact_mut(cols).enumerate() {
                let r = first + r;
                if r < entry.rows as usize {
                    let sample = order[entry.first as usize + r] as usize;
                    row.copy_from_slice(&data[sample * cols..][..cols]);
                } else {
                    row.fill(T::zero());
                }
            }
        });
    }
}
