use super::{Views, for_row_blocks, light_rows};
use crate::real::Real;

/// `halves[i] = values[i]`; the executor rounds what lies in a slot of halves.
pub(super) fn cast<T: Real>([len, ..]: [usize; 4], mut views: Views<'_, T>) {
    let values = views.read(0);
    for_row_blocks(len, light_rows(1), [(views.write(1), 1)], |first, [halves]| {
        halves.copy_from_slice(&values[first..][..halves.len()]);
    });
}
