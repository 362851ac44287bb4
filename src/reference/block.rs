//! What surrounds `f(W x + b)` in a layer, by the textbook.

use super::Dense;
use super::number::{Number, minus, reach};
use crate::network::{Layer, Normalization};
use crate::params::{Params, Role, Tensor};
use crate::random::stays;
use std::ops::Range;

/// A normalisation of sums, with where its parameters lie.
#[derive(Clone, Debug)]
pub(super) struct Normalized {
    over_rows: bool,
    units: usize,
    scale: Range<usize>,
    shift: Range<usize>,
    /// Both empty for a layer normalisation.
    mean: Range<usize>,
    variance: Range<usize>,
}

/// What a normalisation leaves for the backward pass.
pub(super) struct Normal<N> {
    /// `x̂`, `[rows, units]`
    normal: Vec<N>,
    /// `1 / √(variance + ε)` of each row, or of each unit.
    reach: Vec<N>,
}

impl Normalized {
    pub(super) fn of(params: &Params, l: usize, layer: &Layer) -> Option<Self> {
        let place = |role| params.get(l, role).map_or(0..0, Tensor::range);
        (layer.normalization != Normalization::None).then(|| Normalized {
            over_rows: layer.normalization == Normalization::Layer,
            units: layer.outputs,
            scale: place(Role::Scale),
            shift: place(Role::Shift),
            mean: place(Role::RunningMean),
            variance: place(Role::RunningVariance),
        })
    }

    /// The elements of each row, or of each unit, of a matrix of so many elements.
    fn items(&self, elements: usize) -> Vec<Vec<usize>> {
        let rows = elements / self.units;
        match self.over_rows {
            true => (0..rows).map(|r| (r * self.units..(r + 1) * self.units).collect()).collect(),
            false => (0..self.units).map(|j| (0..rows).map(|r| r * self.units + j).collect()).collect(),
        }
    }

    /// `z ← γ x̂ + β` with `x̂ = (z - mean) / √(variance + ε)`
    pub(super) fn forward<N: Number>(&self, values: &[N], z: &mut [N], trains: bool) -> Normal<N> {
        let mut left = Normal { normal: z.to_vec(), reach: Vec::new() };
        for (item, members) in self.items(z.len()).into_iter().enumerate() {
            let (mean, variance) = if self.over_rows || trains {
                let share = N::factor(1.0 / members.len() as f64);
                let mean = share * N::sum(members.iter().map(|&i| z[i]));
                let square = |&i: &usize| {
                    let difference = N::sum([z[i], minus(mean)].into_iter());
                    difference * difference
                };
                (mean, share * N::sum(members.iter().map(square)))
            } else {
                (values[self.mean.start + item], values[self.variance.start + item])
            };
            let reach = reach(variance);
            left.reach.push(reach);
            for i in members {
                let (scale, shift) =
                    (values[self.scale.start + i % self.units], values[self.shift.start + i % self.units]);
                left.normal[i] = N::sum([z[i], minus(mean)].into_iter()) * reach;
                z[i] = N::sum([scale * left.normal[i], shift].into_iter());
            }
        }
        left
    }

    /// From `δ = ∂C/∂n` to the gradients of γ and β and, in place, to
    /// `∂C/∂z = (γ δ - mean(γ δ) - x̂ mean(γ δ x̂)) / √(variance + ε)`, the means over what was normalised over.
    pub(super) fn backward<N: Number>(&self, values: &[N], normal: &Normal<N>, delta: &mut [N], params: &mut [N]) {
        let x = &normal.normal;
        for j in 0..self.units {
            let column = (j..delta.len()).step_by(self.units);
            params[self.scale.start + j] = N::sum(column.clone().map(|i| delta[i] * x[i]));
            params[self.shift.start + j] = N::sum(column.map(|i| delta[i]));
        }
        for (members, &reach) in self.items(delta.len()).iter().zip(&normal.reach) {
            let scale = |i: usize| values[self.scale.start + i % self.units];
            let share = N::factor(1.0 / members.len() as f64);
            let plain = share * N::sum(members.iter().map(|&i| scale(i) * delta[i]));
            let along = share * N::sum(members.iter().map(|&i| scale(i) * delta[i] * x[i]));
            for &i in members {
                let terms = [scale(i) * delta[i], minus(plain), minus(x[i] * along)];
                delta[i] = reach * N::sum(terms.into_iter());
            }
        }
    }
}

impl Dense {
    /// `a ← m ⊙ a`, with the mask that dropout draws for a step with this seed.
    pub(super) fn drop_out<N: Number>(&self, seed: u32, a: &mut [N]) {
        if self.dropout.is_off() {
            return;
        }
        for (i, a) in a.iter_mut().enumerate() {
            let stays = stays(seed, self.number, i as u32, self.dropout.0);
            *a = N::given(if stays { f64::from(self.dropout.factor()) } else { 0.0 }) * *a;
        }
    }

    /// `y ← x + y`, where there is a residual connection.
    pub(super) fn add<N: Number>(&self, x: &[N], y: &mut [N]) {
        if self.residual {
            y.iter_mut().zip(x).for_each(|(y, &x)| *y = N::sum([*y, x].into_iter()));
        }
    }
}
