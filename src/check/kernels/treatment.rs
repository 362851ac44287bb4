//! What the kernels around the update are given, and how far they may be from their twins.

use super::Contents;
use crate::kernel::Treatment;
use crate::reference::{Bounded, Number};

/// Settings that matter for the numbers of the check: some of them are clipped, and some are not.
pub(in crate::check) fn hyper(treatment: Treatment) -> [f32; 4] {
    let [first, second] = match treatment {
        Treatment::Penalty => [0.03, 0.2],
        Treatment::ClipValue => [0.7, 0.0],
        Treatment::ClipFactor => [5.0, 0.0],
        Treatment::Average => [0.3, 0.0],
        _ => [0.0; 2],
    };
    [first, second, 0.0, 0.0]
}

pub(super) fn shapes(treatment: Treatment) -> &'static [&'static [u32]] {
    match treatment {
        Treatment::Squares => &[&[1, 64], &[63, 64], &[257, 64], &[1031, 128], &[4096, 64]],
        Treatment::ClipFactor => &[&[1], &[64], &[255], &[257], &[1031]],
        _ => &[&[1], &[255], &[257], &[1028], &[1031]],
    }
}

pub(super) fn contents(
    treatment: Treatment,
    [len, strands]: [usize; 2],
    mut real: impl FnMut(usize, f32) -> Contents,
) -> Vec<Contents> {
    match treatment {
        Treatment::ClipValue => vec![real(len, 2.0)],
        Treatment::Squares => vec![real(len, 2.0), Contents::Poison(strands)],
        Treatment::ClipFactor => {
            let squares = real(len, 3.0).real().iter().map(|x| x.abs()).collect();
            vec![Contents::Real(squares), Contents::Poison(2)]
        }
        Treatment::ClipNorm => vec![Contents::Real(vec![0.37, 7.0]), real(len, 2.0)],
        _ => vec![real(len, 2.0), real(len, 2.0)],
    }
}

pub(super) fn bounds(
    treatment: Treatment,
    [len, strands]: [usize; 2],
    given: impl Fn(usize) -> Vec<Bounded>,
    mut out: Vec<Vec<f64>>,
) -> Vec<Vec<f64>> {
    let [first, second, ..] = hyper(treatment).map(|h| Bounded::given(h.into()));
    let pairs = |change: &dyn Fn(Bounded, Bounded) -> Bounded| -> Vec<f64> {
        given(0).into_iter().zip(given(1)).map(|(a, b)| change(a, b).error).collect()
    };
    let sum = |terms: &[Bounded]| Bounded::sum(terms.iter().copied());
    match treatment {
        Treatment::Penalty => {
            let signed = |w: Bounded| Bounded::given(if w.value == 0.0 { 0.0 } else { w.value.signum() });
            out[1] = pairs(&|w, g| sum(&[g, first * signed(w), second * w]));
        }
        // Either number is there already.
        Treatment::ClipValue => {}
        Treatment::Squares => {
            let gradients = given(0);
            let strand =
                |s: usize| Bounded::sum(gradients[..len].iter().skip(s).step_by(strands).map(|&g| g * g)).error;
            out[1] = (0..strands).map(strand).collect();
        }
        Treatment::ClipFactor => {
            let norm = Bounded::function(|[square]| square.max(0.0).sqrt(), [Bounded::sum(given(0).into_iter())]);
            let limit = first.value;
            let factor = Bounded::function(|[norm]| (limit / (norm + 1e-6)).min(1.0), [norm]);
            out[1] = vec![factor.error, norm.error];
        }
        Treatment::ClipNorm => out[1] = given(1).into_iter().map(|g| (given(0)[0] * g).error).collect(),
        Treatment::Accumulate => out[1] = pairs(&|g, total| sum(&[total, g])),
        Treatment::Total => out[1] = pairs(&|total, g| sum(&[g, total])),
        Treatment::Average => {
            let negated = |x: Bounded| Bounded { value: -x.value, ..x };
            out[1] = pairs(&|p, average| sum(&[average, first * sum(&[p, negated(average)])]));
        }
    }
    out
}
