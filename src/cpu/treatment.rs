use super::{Views, elementwise, for_row_blocks, light_rows, vectorized};
use crate::kernel::Treatment;
use crate::real::Real;

/// What is done around the update.
pub(super) fn treatment<T: Real>(
    [len, strands, ..]: [usize; 4],
    treatment: Treatment,
    hyper: [f32; 4],
    mut views: Views<'_, T>,
) {
    let [first, second, ..] = hyper.map(|h| T::of(f64::from(h)));
    match treatment {
        Treatment::Penalty => pairs(len, views.read(0), views.write(1), |w, g| {
            let sign = if w > T::zero() {
                T::one()
            } else if w < T::zero() {
                -T::one()
            } else {
                T::zero()
            };
            g + (first * sign + second * w)
        }),
        Treatment::ClipValue => for_row_blocks(len, light_rows(1), [(views.write(0), 1)], |_, [gradients]| {
            // NaN is neither: it stays.
            let clip = |g: T| if g > first { first } else { g };
            gradients.iter_mut().for_each(|g| *g = if *g < -first { -first } else { clip(*g) });
        }),
        Treatment::Squares => {
            let gradients = views.read(0);
            let sums = &mut views.write(1)[..strands];
            sums.fill(T::zero());
            for row in gradients[..len].chunks(strands) {
                vectorized(
                    #[inline(always)]
                    || {
                        for (sum, &g) in sums.iter_mut().zip(row) {
                            *sum += g * g;
                        }
                    },
                );
            }
        }
        Treatment::ClipFactor => {
            let (squares, clip) = (&views.read(0)[..len], views.write(1));
            let norm = elementwise::sum(squares, squares, |x, _| x).sqrt();
            let factor = first / (norm + T::of(1e-6));
            // NaN is no factor.
            clip[0] = if factor < T::one() { factor } else { T::one() };
            clip[1] = norm;
        }
        Treatment::ClipNorm => {
            let factor = views.read(0)[0];
            for_row_blocks(len, light_rows(1), [(views.write(1), 1)], |_, [gradients]| {
                gradients.iter_mut().for_each(|g| *g *= factor);
            });
        }
        Treatment::Accumulate => pairs(len, views.read(0), views.write(1), |g, sum| sum + g),
        Treatment::Total => {
            let arenas = [(views.write(0), 1), (views.write(1), 1)];
            for_row_blocks(len, light_rows(1), arenas, |_, [sums, gradients]| {
                elementwise::add(gradients, sums);
                sums.fill(T::zero());
            });
        }
        Treatment::Average => pairs(len, views.read(0), views.write(1), |p, average| average + first * (p - average)),
    }
}

/// `to ← change(from, to)` of every element.
fn pairs<T: Real>(len: usize, from: &[T], to: &mut [T], change: impl Fn(T, T) -> T + Sync) {
    for_row_blocks(len, light_rows(1), [(to, 1)], |start, [to]| {
        let from = &from[start..][..to.len()];
        vectorized(
            #[inline(always)]
            || {
                for (to, &from) in to.iter_mut().zip(from) {
                    *to = change(from, *to);
                }
            },
        );
    });
}
