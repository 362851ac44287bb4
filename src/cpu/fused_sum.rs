use super::elementwise::add;
use super::mixed::log_scale;
use super::unscale::scale_by;
use super::{Views, for_row_blocks, update, vectorized};
use crate::kernel::FusedSum;
use crate::precision::Precision;
use crate::real::Real;

/// Elements whose sums stay in the nearest cache.
const BLOCK: usize = 1 << 11;

/// The gradients of a range of the arena, summed over the parts in order and less the dynamic loss scale, and the update
/// with them, where no part reported an overflow.
pub(super) fn fused_sum<T: Real>(
    [parts, first, len, _]: [usize; 4],
    kernel: &FusedSum,
    hyper: [f32; 4],
    mut views: Views<'_, T>,
) {
    let (tensors, stride) = kernel.tensors();
    let (partials, rates) = match kernel.rule {
        None => (views.read(0), [T::zero(); 3]),
        Some(_) => (views.read(2), views.entry(0).rates()),
    };
    let half = kernel.precision == Precision::F16;
    let scaler = kernel.rule.map_or(2, |rule| 4 + rule.states());
    let inverse_scale = half.then(|| T::of((-f64::from(log_scale(views.read(scaler)))).exp2()));
    let overflows = if half && kernel.rule.is_some() { &partials[parts * (stride + 1)..][..parts] } else { &[] };
    if overflows.iter().any(|&overflow| overflow > T::zero()) {
        return;
    }
    let hyper = hyper.map(|h| T::of(f64::from(h)));
    let arenas = match kernel.rule {
        None => [views.write(1), &mut [], &mut []],
        Some(_) => [views.write(3), views.write(4), views.write(5)],
    };
    let [params, velocity, second] = arenas;
    let width = |state: usize| usize::from(kernel.rule.is_some_and(|rule| state <= rule.states()));
    for (tensor, at, padded) in tensors {
        let (start, end) = (tensor.offset.max(first), tensor.range().end.min(first + len));
        if start >= end {
            continue;
        }
        let arenas = [
            (&mut params[start..end], 1),
            (&mut velocity[width(1) * start..width(1) * end], width(1)),
            (&mut second[width(2) * start..width(2) * end], width(2)),
        ];
        for_row_blocks(end - start, BLOCK, arenas, |block, [params, velocity, second]| {
            let mut gradients = [T::zero(); BLOCK];
            let gradients = &mut gradients[..params.len()];
            let mut done = 0;
            while done < gradients.len() {
                // As many as lie together in a part: a row, or all where rows are not padded.
                let i = start - tensor.offset + block + done;
                let (row, col) = (i / tensor.cols, i % tensor.cols);
                let together = if padded == tensor.cols { usize::MAX } else { tensor.cols - col };
                let rest = gradients.len() - done;
                let sums = &mut gradients[done..][..rest.min(together)];
                for part in 0..parts {
                    add(sums, &partials[part * stride + at + row * padded + col..]);
                }
                done += sums.len();
            }
            inverse_scale.map(|inverse| scale_by(inverse, gradients));
            match kernel.rule {
                None => params.copy_from_slice(gradients),
                Some(rule) => vectorized(
                    #[inline(always)]
                    || update::apply(rule, rates, hyper, gradients, [params, velocity, second]),
                ),
            }
        });
    }
}
