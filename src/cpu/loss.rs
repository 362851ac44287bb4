use super::{Views, for_row_blocks};
use crate::activation::{Activation, Stored};
use crate::loss::{Loss, Row};
use crate::real::Real;

/// `row_loss[r] = scale Σ_j loss(y, t)` and `delta = scale ∂loss/∂y ⊙ f′`; rows past the batch's end give 0.
pub(super) fn loss<T: Real>([rows, cols, ..]: [usize; 4], loss: Loss, activation: Activation, mut views: Views<'_, T>) {
    let entry = views.entry(0);
    let (output, target) = (views.read(2), views.read(3));
    let stored = match activation.stored() {
        Stored::Output => output,
        Stored::Preactivation => views.read(6),
    };
    let scale = T::of(f64::from(entry.loss_scale));
    let (delta, row_loss) = (&mut views.write(4)[..rows * cols], &mut views.write(5)[..rows]);
    let live = entry.rows as usize;

    let row_of = |r: usize| {
        let range = r * cols..(r + 1) * cols;
        let (y, t) = (&output[range.clone()], &target[range.clone()]);
        (if loss.uses_softmax() { softmax_row(y, t) } else { Row::default() }, y, t, range)
    };
    for_row_blocks(delta, cols, |first, block| {
        for (r, deltas) in block.chunks_exact_mut(cols).enumerate() {
            if first + r >= live {
                deltas.fill(T::zero());
                continue;
            }
            let (row, y, t, range) = row_of(first + r);
            for ((d, (&y, &t)), &s) in deltas.iter_mut().zip(y.iter().zip(t)).zip(&stored[range]) {
                *d = scale * loss.derivative(y, t, row) * activation.derivative(s);
            }
        }
    });
    for_row_blocks(row_loss, 1, |first, block| {
        for (r, value) in block.iter_mut().enumerate() {
            *value = T::zero();
            if first + r < live {
                let (row, y, t, _) = row_of(first + r);
                *value = scale * y.iter().zip(t).map(|(&y, &t)| loss.value(y, t, row)).sum();
            }
        }
    });
}

fn softmax_row<T: Real>(y: &[T], t: &[T]) -> Row<T> {
    let largest = y.iter().copied().fold(T::neg_infinity(), T::max);
    let sum: T = y.iter().map(|&y| (y - largest).exp()).sum();
    Row { log_sum_exp: largest + sum.ln(), target_sum: t.iter().copied().sum() }
}
