use super::elementwise::{multiply_by_derivative, sum};
use super::{PerThread, Views, for_row_blocks, light_rows, vectorized};
use crate::activation::{Activation, Stored};
use crate::loss::{Loss, Row};
use crate::real::Real;

/// `row_loss[r] = scale Σ_j loss(y, t)` and, in place of y, `delta_scale scale ∂loss/∂y ⊙ f′`; rows past the batch's end
/// give 0.
pub(super) fn loss<T: Real>(
    [rows, cols, weights, _]: [usize; 4],
    loss: Loss,
    activation: Activation,
    delta_scale: T,
    mut views: Views<'_, T>,
    scratch: &mut Vec<T>,
) {
    let entry = views.entry(0);
    let (target, preactivations) = (views.read(3), views.read(5));
    let scale = T::of(f64::from(entry.loss_scale));
    let delta_scale = delta_scale * scale;
    let matrices = [(views.write(2), cols), (views.write(4), 1)];
    let block = light_rows(4 * cols).min(rows);
    let outputs = PerThread::new(scratch, block * cols);
    for_row_blocks(rows, block, matrices, |first, [delta, row_loss]| {
        let live = (entry.rows as usize).saturating_sub(first).min(row_loss.len());
        let (delta, padding) = delta.split_at_mut(live * cols);
        padding.fill(T::zero());
        let (row_loss, padding) = row_loss.split_at_mut(live);
        padding.fill(T::zero());
        let t = &target[first * (cols + weights)..][..live * (cols + weights)];
        let scales = [scale, delta_scale];
        outputs.with(|y| {
            let y = &mut y[..delta.len()];
            y.copy_from_slice(delta);
            match weights {
                0 => rows_of(loss, scales, cols, [y, t], delta, row_loss),
                _ => weighted_rows_of(loss, scales, cols, [y, t], delta, row_loss),
            }
            match activation.stored() {
                Stored::Output => multiply_by_derivative(activation, delta, y),
                Stored::Preactivation => multiply_by_derivative(activation, delta, &preactivations[first * cols..]),
            }
        });
    });
}

/// [`rows_of`] where a row's weight stands behind its targets, `[rows, cols + 1]`, and multiplies both results.
pub(super) fn weighted_rows_of<T: Real>(
    loss: Loss,
    scales: [T; 2],
    cols: usize,
    [y, targets]: [&[T]; 2],
    delta: &mut [T],
    row_loss: &mut [T],
) {
    let t: Vec<T> = targets.chunks_exact(cols + 1).flat_map(|row| &row[..cols]).copied().collect();
    rows_of(loss, scales, cols, [y, &t], delta, row_loss);
    for ((delta, value), row) in delta.chunks_exact_mut(cols).zip(row_loss).zip(targets.chunks_exact(cols + 1)) {
        delta.iter_mut().for_each(|d| *d *= row[cols]);
        *value *= row[cols];
    }
}

/// The loss of each row, times the first factor, and `∂loss/∂y`, times the second; matrices are `[rows, cols]`.
pub(super) fn rows_of<T: Real>(
    loss: Loss,
    [scale, delta_scale]: [T; 2],
    cols: usize,
    [y, t]: [&[T]; 2],
    delta: &mut [T],
    row_loss: &mut [T],
) {
    if let Some([value, derivative]) = loss.expressions() {
        value.each(delta, &[y, t], |term, value| *term = value);
        for (value, terms) in row_loss.iter_mut().zip(delta.chunks_exact(cols)) {
            *value = scale * sum(terms, terms, |term, _| term);
        }
        return derivative.each(delta, &[y, t], |d, slope| *d = delta_scale * slope);
    }
    vectorized(
        #[inline(always)]
        || {
            with_constant!(loss, Loss::ALL, |loss: Loss| {
                let derive = |delta: &mut [T], y: &[T], t: &[T], row| {
                    for (d, (&y, &t)) in delta.iter_mut().zip(y.iter().zip(t)) {
                        *d = delta_scale * loss.derivative(y, t, row);
                    }
                };
                let rows = row_loss.iter_mut().zip(delta.chunks_exact_mut(cols));
                for ((value, delta), (y, t)) in rows.zip(y.chunks_exact(cols).zip(t.chunks_exact(cols))) {
                    let row = if loss.uses_softmax() { softmax_row(y, t) } else { Row::default() };
                    *value = scale * sum(y, t, |y, t| loss.value(y, t, row));
                    if loss.uses_softmax() {
                        derive(delta, y, t, row);
                    }
                }
                // Without anything of the row, all rows are one loop: a short one each is no vector.
                if !loss.uses_softmax() {
                    derive(delta, y, t, Row::default());
                }
            });
        },
    );
}

#[inline(always)]
pub(super) fn softmax_row<T: Real>(y: &[T], t: &[T]) -> Row<T> {
    let largest = y.iter().copied().fold(T::neg_infinity(), T::max);
    let total = sum(y, y, |y, _| (y - largest).exp());
    Row { log_sum_exp: largest + total.ln(), target_sum: sum(t, t, |t, _| t) }
}
