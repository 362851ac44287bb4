use super::elementwise::{activate, add, add_rows, multiply_by_derivative, sum};
use super::matmul::add_bias;
use super::mixed::log_scale;
use super::unscale::scale_by;
use super::{Products, Views, loss, vectorized};
use crate::activation::Stored;
use crate::kernel::fused::{Fused, Layout, Pass, Place, Source, padded};
use crate::network::Bias;
use crate::plan::ScheduleEntry;
use crate::precision::Precision;
use crate::real::{Real, Strided};
use rayon::prelude::*;

/// Forward, or forward, loss and backward, of each part of the batch. A slab of rows at a time goes all the way, so that
/// it stays in a core's cache. `scratch` is for parameters whose weights are rounded.
pub(super) fn fused<T: Real>(
    [batch, part_rows, weights, _]: [usize; 4],
    kernel: &Fused,
    products: Products,
    mut views: Views<'_, T>,
    scratch: &mut Vec<T>,
) {
    let layout = kernel.layout();
    let (inputs, outputs) = (kernel.network.inputs, kernel.network.outputs());
    let starts = (0..batch).step_by(part_rows);
    let Pass::Training { source, .. } = kernel.pass else {
        let (input, params) = (views.read(0), rounded_weights(kernel, &layout, views.read(1), scratch));
        let parts = starts.zip(views.write(3)[..batch * outputs].chunks_mut(part_rows * outputs));
        return in_parallel(parts.collect(), |slab: &mut Slab<T>, (start, output)| {
            for (at, output) in (start..).step_by(layout.slab).zip(output.chunks_mut(layout.slab * outputs)) {
                let rows = output.len() / outputs;
                slab.input.clear();
                slab.input.extend_from_slice(&input[at * inputs..][..rows * inputs]);
                kernel.round(&mut slab.input);
                slab.forward(kernel, &layout, params, rows, products);
                if let Some(activations) = slab.activations.last() {
                    output.copy_from_slice(&activations[..rows * outputs]);
                }
            }
        });
    };
    let training = Training {
        kernel,
        layout: &layout,
        products,
        entry: views.entry(0),
        inputs: views.read(2),
        targets: views.read(3),
        weights,
        order: (source == Source::Gathered).then(|| views.words(7)),
        params: rounded_weights(kernel, &layout, views.read(4), scratch),
        log_scale: match kernel.precision {
            Precision::F32 => 0,
            Precision::F16 => log_scale(views.read(if source == Source::Batch { 7 } else { 8 })),
        },
    };
    let partials = views.write(6);
    let input_gradient = if source == Source::EveryGradient { views.write(7) } else { &mut [] };
    let count = batch.div_ceil(part_rows);
    let (gradients, results) = partials.split_at_mut(count * layout.partials);
    let (losses, overflows) = results.split_at_mut(count);
    let mut overflows = overflows.iter_mut();
    let mut input_gradients = input_gradient.chunks_mut(part_rows * inputs);
    let parts = starts.zip(gradients.chunks_mut(layout.partials).zip(losses)).map(|(start, (gradients, loss))| {
        let rows = part_rows.min(batch - start);
        let overflow = overflows.next().filter(|_| kernel.precision == Precision::F16);
        (start..start + rows, gradients, [Some(loss), overflow], input_gradients.next().unwrap_or_default())
    });
    in_parallel(parts.collect(), |slab: &mut Slab<T>, (rows, gradients, results, input_gradient)| {
        let found = training.part(rows, slab, gradients, input_gradient);
        results.into_iter().zip(found).for_each(|(place, found)| place.into_iter().for_each(|place| *place = found));
    });
}

impl Fused {
    /// Rounds what is stored to f16 where the precision says so.
    fn round<T: Real>(&self, values: &mut [T]) {
        if self.precision == Precision::F16 {
            T::round_to_half(values);
        }
    }
}

/// The parameters, their weights as products take them.
fn rounded_weights<'a, T: Real>(kernel: &Fused, layout: &Layout, params: &'a [T], scratch: &'a mut Vec<T>) -> &'a [T] {
    if kernel.precision == Precision::F32 {
        return params;
    }
    scratch.clear();
    scratch.extend_from_slice(params);
    for place in &layout.layers {
        kernel.round(&mut scratch[place.weight..][..place.outputs * place.inputs]);
    }
    scratch
}

/// Each part on some thread, with memory that the thread keeps from part to part.
fn in_parallel<S: Default, P: Send>(parts: Vec<P>, work: impl Fn(&mut S, P) + Sync + Send) {
    if parts.len() == 1 {
        parts.into_iter().for_each(|part| work(&mut S::default(), part));
    } else {
        parts.into_par_iter().for_each_init(S::default, work);
    }
}

/// What is known of a slab of rows, matrices without padding.
#[derive(Default)]
struct Slab<T> {
    input: Vec<T>,
    target: Vec<T>,
    /// The output of each layer; in a prediction too, since a slab is small.
    activations: Vec<Vec<T>>,
    preactivations: Vec<Vec<T>>,
    /// δ of the layer at hand, and of the one below.
    deltas: [Vec<T>; 2],
    product: Vec<T>,
    row_loss: Vec<T>,
}

impl<T: Real> Slab<T> {
    fn forward(&mut self, kernel: &Fused, layout: &Layout, params: &[T], rows: usize, products: Products) {
        let layers = layout.layers.len();
        self.activations.resize_with(layers, Vec::new);
        self.preactivations.resize_with(layers, Vec::new);
        for (i, place) in layout.layers.iter().enumerate() {
            let (below, above) = self.activations.split_at_mut(i);
            let input = below.last().unwrap_or(&self.input);
            let Place { inputs, outputs, .. } = *place;
            let z = &mut above[0];
            z.resize(rows * outputs, T::zero());
            let weight = Operand { values: &params[place.weight..], row: 1, col: inputs };
            product(products, [rows, outputs, inputs], z, Operand::rows(input, inputs), weight);
            add_bias(z, outputs, place.bias_mode, &params[place.bias..]);
            let activation = kernel.network.layers[i].activation;
            if kernel.pass != Pass::Prediction && activation.stored() == Stored::Preactivation {
                self.preactivations[i].clone_from(z);
                kernel.round(&mut self.preactivations[i]);
            }
            activate(activation, z);
            kernel.round(z);
        }
    }
}

struct Training<'a, T> {
    kernel: &'a Fused,
    layout: &'a Layout,
    products: Products,
    entry: ScheduleEntry,
    inputs: &'a [T],
    targets: &'a [T],
    /// Numbers behind the targets of a row: its weight, or none.
    weights: usize,
    order: Option<&'a [u32]>,
    params: &'a [T],
    /// The logarithm to base 2 of the dynamic loss scale, which deltas carry.
    log_scale: i32,
}

impl<T: Real> Training<'_, T> {
    /// The gradients of a part; returns its loss, and 1 where a gradient overflowed.
    fn part(
        &self,
        rows: std::ops::Range<usize>,
        slab: &mut Slab<T>,
        gradients: &mut [T],
        input_gradient: &mut [T],
    ) -> [T; 2] {
        let (inputs, end) = (self.kernel.network.inputs, rows.end.min(self.entry.rows as usize));
        gradients.fill(T::zero());
        // Rows past the batch's end have no gradient.
        input_gradient.fill(T::zero());
        let mut loss = T::zero();
        for first in rows.clone().step_by(self.layout.slab).take_while(|&first| first < end) {
            let count = self.layout.slab.min(end - first);
            self.load(first, count, slab);
            slab.forward(self.kernel, self.layout, self.params, count, self.products);
            loss += self.output_delta(count, slab);
            let input_gradient = input_gradient.get_mut((first - rows.start) * inputs..).unwrap_or_default();
            self.backward(count, slab, gradients, input_gradient);
        }
        let overflowed = self.kernel.precision == Precision::F16 && !scale_by(T::one(), gradients);
        scale_by(T::of((-f64::from(self.log_scale)).exp2()), input_gradient);
        for place in self.layout.layers.iter().filter(|place| place.bias_mode == Bias::Shared) {
            let units = &mut gradients[place.bias_gradient..][..place.outputs];
            units[0] = units.iter().copied().sum();
        }
        [loss, if overflowed { T::one() } else { T::zero() }]
    }

    fn load(&self, first: usize, rows: usize, slab: &mut Slab<T>) {
        let network = &self.kernel.network;
        let targets = network.outputs() + self.weights;
        let matrices = [(&mut slab.input, self.inputs, network.inputs), (&mut slab.target, self.targets, targets)];
        for (to, from, cols) in matrices {
            to.clear();
            match self.order {
                None => to.extend_from_slice(&from[first * cols..][..rows * cols]),
                Some(order) => order[self.entry.first as usize + first..][..rows]
                    .iter()
                    .for_each(|&sample| to.extend_from_slice(&from[sample as usize * cols..][..cols])),
            }
        }
        self.kernel.round(&mut slab.input);
    }

    fn output_delta(&self, rows: usize, slab: &mut Slab<T>) -> T {
        let Pass::Training { loss, .. } = self.kernel.pass else { return T::zero() };
        let last = self.layout.layers.len() - 1;
        let cols = self.layout.layers[last].outputs;
        let scale = T::of(f64::from(self.entry.loss_scale));
        let delta_scale = scale * T::of(f64::from(self.log_scale).exp2());
        let (delta, row_loss) = (&mut slab.deltas[0], &mut slab.row_loss);
        delta.resize(rows * cols, T::zero());
        row_loss.resize(rows, T::zero());
        let rows_of = if self.weights == 0 { loss::rows_of } else { loss::weighted_rows_of };
        rows_of(loss, [scale, delta_scale], cols, [&slab.activations[last], &slab.target], delta, row_loss);
        let activation = self.kernel.network.layers[last].activation;
        let stored = stored(activation.stored(), &slab.activations[last], &slab.preactivations[last]);
        multiply_by_derivative(activation, delta, stored);
        self.kernel.round(delta);
        vectorized(
            #[inline(always)]
            || sum(row_loss, row_loss, |x, _| x),
        )
    }

    /// Adds the slab's gradients; δ of the output layer is known.
    fn backward(&self, rows: usize, slab: &mut Slab<T>, gradients: &mut [T], input_gradient: &mut [T]) {
        for (i, place) in self.layout.layers.iter().enumerate().skip(self.layout.lowest).rev() {
            let Place { inputs, outputs, .. } = *place;
            let [delta, below] = &mut slab.deltas;
            let input = if i == 0 { &slab.input } else { &slab.activations[i - 1] };
            if place.wants_weight {
                slab.product.resize(outputs * inputs, T::zero());
                let transposed = Operand { values: delta, row: 1, col: outputs };
                let operands = (transposed, Operand::rows(input, inputs));
                product(self.products, [outputs, inputs, rows], &mut slab.product, operands.0, operands.1);
                let stride = padded(inputs);
                let gradient = &mut gradients[place.weight_gradient..][..outputs * stride];
                if stride == inputs {
                    add(gradient, &slab.product);
                } else {
                    let terms = slab.product.chunks_exact(inputs);
                    gradient.chunks_exact_mut(stride).zip(terms).for_each(|(sums, terms)| add(sums, terms));
                }
            }
            if place.wants_bias {
                add_rows(&mut gradients[place.bias_gradient..][..outputs], delta);
            }
            if place.wants_below {
                let weight = Operand::rows(&self.params[place.weight..], inputs);
                below.resize(rows * inputs, T::zero());
                product(self.products, [rows, inputs, outputs], below, Operand::rows(delta, outputs), weight);
                if i == 0 {
                    input_gradient[..rows * inputs].copy_from_slice(below);
                } else {
                    let activation = self.kernel.network.layers[i - 1].activation;
                    let stored = stored(activation.stored(), &slab.activations[i - 1], &slab.preactivations[i - 1]);
                    multiply_by_derivative(activation, below, stored);
                    self.kernel.round(below);
                }
                slab.deltas.swap(0, 1);
            }
        }
    }
}

fn stored<'a, T>(stored: Stored, output: &'a [T], preactivation: &'a [T]) -> &'a [T] {
    match stored {
        Stored::Output => output,
        Stored::Preactivation => preactivation,
    }
}

/// A matrix in memory: elements from one row to the next and from one column to the next.
#[derive(Clone, Copy)]
struct Operand<'a, T> {
    values: &'a [T],
    row: usize,
    col: usize,
}

impl<'a, T> Operand<'a, T> {
    /// A matrix of rows of `cols` elements.
    fn rows(values: &'a [T], cols: usize) -> Self {
        Operand { values, row: cols, col: 1 }
    }

    fn covers(&self, rows: usize, cols: usize) -> bool {
        (rows - 1) * self.row + (cols - 1) * self.col < self.values.len()
    }
}

/// `c = A · B`, `A` as `[m, k]`, `B` as `[k, n]`, `c` as `[m, n]`, none of them empty.
fn product<T: Real>(products: Products, [m, n, k]: [usize; 3], c: &mut [T], a: Operand<'_, T>, b: Operand<'_, T>) {
    if products == Products::Naive {
        for (at, value) in c.iter_mut().enumerate() {
            let (i, j) = (at / n, at % n);
            *value = (0..k).map(|l| a.values[i * a.row + l * a.col] * b.values[l * b.row + j * b.col]).sum();
        }
        return;
    }
    assert!(c.len() == m * n && a.covers(m, k) && b.covers(k, n), "a plan bound too little");
    // SAFETY: the matrices were just checked to lie inside their slices; `c` is borrowed mutably.
    unsafe {
        T::gemm(
            [m, n, k],
            Strided { first: c.as_mut_ptr(), row: n, col: 1 },
            Strided { first: a.values.as_ptr(), row: a.row, col: a.col },
            Strided { first: b.values.as_ptr(), row: b.row, col: b.col },
            false,
        );
    }
}
