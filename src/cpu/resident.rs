use super::loss::softmax_row;
use super::update::apply;
use super::{Views, elementwise, vectorized};
use crate::activation::Activation;
use crate::kernel::resident::{Dense, Pass, Resident};
use crate::loss::{Loss, Row};
use crate::network::Bias;
use crate::plan::ScheduleEntry;
use crate::real::Real;

/// Trains a network for many steps, row by row of each batch, or computes its gradients.
pub(super) fn resident<T: Real>(
    [batch, steps, data_rows, weights]: [usize; 4],
    kernel: &Resident,
    hyper: [f32; 4],
    mut views: Views<'_, T>,
    scratch: &mut Vec<T>,
) {
    let (layers, loss, rule) = (kernel.layers(), kernel.whole.loss, kernel.whole.rule);
    let hyper = hyper.map(|h| T::of(f64::from(h)));
    let schedule: &[ScheduleEntry] = bytemuck::cast_slice(views.words(0));
    let clock = views.write_words(1);
    let at = usize::from(kernel.pass == Pass::GatheredSteps);
    let order = if at == 1 { Some((views.words(2), data_rows)) } else { None };
    let samples = Samples { order, inputs: views.read(2 + at), targets: views.read(3 + at), weights };
    let losses = views.write(5 + at);

    let columns = |of: fn(&Dense) -> usize| layers.iter().map(of).sum::<usize>();
    let (inputs, outputs) = (columns(|layer| layer.inputs), columns(|layer| layer.outputs));
    let widest = layers.iter().map(|layer| layer.inputs).max().unwrap_or(0);
    let activations = inputs + kernel.whole.network.outputs();
    let arena = layers.iter().map(|layer| layer.weight.end.max(layer.bias_range.end)).max().unwrap_or(0);
    scratch.clear();
    scratch.resize(arena + activations + outputs + widest, T::zero());
    let (gradients, rest) = scratch.split_at_mut(arena);
    let (activations, rest) = rest.split_at_mut(activations);
    let (deltas, arriving) = rest.split_at_mut(outputs);
    let mut chip = Chip { gradients, activations, deltas, arriving };
    let entry = |step: u32| schedule[(step as usize).min(schedule.len() - 1)];
    let mut record = |clock: &mut u32, loss: T| {
        losses[*clock as usize % losses.len()] = loss;
        *clock = clock.wrapping_add(1);
    };

    if kernel.pass == Pass::Gradients {
        let (params, gradients, input_gradient) = (views.read(4), views.write(6), views.write(7));
        let width = kernel.whole.network.inputs;
        for _ in 0..steps {
            let entry = entry(clock[0]);
            let live = (entry.rows as usize).min(batch);
            let (input_gradient, padding) = input_gradient.split_at_mut(live * width);
            let loss = backpropagate(&layers, loss, &samples, entry, live, params, &mut chip, input_gradient);
            record(&mut clock[0], loss);
            padding.fill(T::zero());
            for range in layers.iter().flat_map(|layer| [&layer.weight, &layer.bias_range]) {
                gradients[range.clone()].copy_from_slice(&chip.gradients[range.clone()]);
            }
        }
        return;
    }
    let [params, first, second] = [views.write(4 + at), views.write(6 + at), views.write(7 + at)];
    vectorized(
        #[inline(always)]
        || {
            for _ in 0..steps {
                let entry = entry(clock[0]);
                let live = (entry.rows as usize).min(batch);
                record(&mut clock[0], backpropagate(&layers, loss, &samples, entry, live, params, &mut chip, &mut []));
                let rates = entry.rates();
                for layer in &layers {
                    let tensors = [(layer.derive_weight, &layer.weight), (layer.derive_bias, &layer.bias_range)];
                    for (_, range) in tensors.into_iter().filter(|(derived, _)| *derived) {
                        let gradients = &chip.gradients[range.clone()];
                        let first = first.get_mut(range.clone()).unwrap_or_default();
                        let second = second.get_mut(range.clone()).unwrap_or_default();
                        apply(rule, rates, hyper, gradients, [&mut params[range.clone()], first, second]);
                    }
                }
            }
        },
    );
}

/// Where the rows of a batch come from.
struct Samples<'a, T> {
    /// Row numbers of the data set and how many rows it has; `None` where the batch lies by itself.
    order: Option<(&'a [u32], usize)>,
    inputs: &'a [T],
    targets: &'a [T],
    /// Numbers behind the targets of a row: its weight, or none.
    weights: usize,
}

impl<T: Real> Samples<'_, T> {
    /// Row `row` of the batch: its inputs, its targets and its weight. A number that lies outside the data set is held inside.
    #[inline(always)]
    fn row(&self, first: u32, row: usize, [inputs, outputs]: [usize; 2]) -> (&[T], &[T], Option<T>) {
        let row = match self.order {
            Some((order, rows)) => (order[(first as usize + row).min(order.len() - 1)] as usize).min(rows - 1),
            None => row,
        };
        let targets = &self.targets[row * (outputs + self.weights)..];
        (&self.inputs[row * inputs..][..inputs], &targets[..outputs], (self.weights > 0).then(|| targets[outputs]))
    }
}

/// What a workgroup keeps on the chip besides parameters and state, for one row of a batch.
struct Chip<'a, T> {
    /// Laid out like the parameters.
    gradients: &'a mut [T],
    /// The input of every layer, then the output of the last.
    activations: &'a mut [T],
    /// `δ` of every layer; before that the pre-activation where the derivative needs it.
    deltas: &'a mut [T],
    /// `∂loss/∂a` of the layer below.
    arriving: &'a mut [T],
}

/// Leaves the gradients of a batch on the chip and returns its loss.
#[expect(clippy::too_many_arguments)]
#[inline(always)]
fn backpropagate<T: Real>(
    layers: &[Dense],
    loss: Loss,
    samples: &Samples<'_, T>,
    entry: ScheduleEntry,
    live: usize,
    params: &[T],
    chip: &mut Chip<'_, T>,
    input_gradient: &mut [T],
) -> T {
    let [Some(first), Some(last)] = [layers.first(), layers.last()] else {
        return T::zero();
    };
    let Chip { gradients, activations, deltas, arriving } = chip;
    let widths = [first.inputs, last.outputs];
    let scale = T::of(f64::from(entry.loss_scale));
    let mut total = T::zero();
    if live == 0 {
        gradients.fill(T::zero());
    }
    for row in 0..live {
        let (inputs, targets, weight) = samples.row(entry.first, row, widths);
        let scale = weight.map_or(scale, |weight| scale * weight);
        activations[..inputs.len()].copy_from_slice(inputs);
        for layer in layers {
            forward(layer, params, activations, &mut deltas[layer.delta_at..][..layer.outputs]);
        }
        let y = &activations[last.output_at()..];
        total += output_delta(last, loss, scale, y, targets, &mut deltas[last.delta_at..]);
        for (i, layer) in layers.iter().enumerate().rev() {
            let (below, delta) = deltas.split_at_mut(layer.delta_at);
            let a = &activations[layer.input_at..][..layer.inputs];
            let delta = &delta[..layer.outputs];
            if layer.derive_weight {
                let units = gradients[layer.weight.clone()].chunks_exact_mut(layer.inputs);
                for (gradients, &d) in units.zip(delta) {
                    let pairs = gradients.iter_mut().zip(a);
                    // The first row of a batch sets what the others add to.
                    match row {
                        0 => pairs.for_each(|(g, &a)| *g = d * a),
                        _ => pairs.for_each(|(g, &a)| *g += d * a),
                    }
                }
            }
            if layer.derive_bias {
                let gradients = &mut gradients[layer.bias_range.clone()];
                match (layer.bias, row) {
                    (Bias::Shared, 0) => gradients[0] = delta.iter().copied().sum(),
                    (Bias::Shared, _) => gradients[0] += delta.iter().copied().sum::<T>(),
                    (_, 0) => gradients.copy_from_slice(delta),
                    _ => gradients.iter_mut().zip(delta).for_each(|(g, &d)| *g += d),
                }
            }
            if layer.pass_on {
                let arriving = &mut arriving[..layer.inputs];
                let units = params[layer.weight.clone()].chunks_exact(layer.inputs).zip(delta);
                for (unit, (weight, &d)) in units.enumerate() {
                    let pairs = arriving.iter_mut().zip(weight);
                    match unit {
                        0 => pairs.for_each(|(sum, &w)| *sum = d * w),
                        _ => pairs.for_each(|(sum, &w)| *sum += d * w),
                    }
                }
                match i.checked_sub(1).map(|i| &layers[i]) {
                    None => input_gradient[row * first.inputs..][..first.inputs].copy_from_slice(arriving),
                    Some(layer_below) => {
                        let below = &mut below[layer_below.delta_at..];
                        slopes(layer_below, below, a);
                        below.iter_mut().zip(arriving).for_each(|(d, sum)| *d *= *sum);
                    }
                }
            }
        }
    }
    total
}

/// `a = f(W x + b)`; the pre-activation too where the derivative needs it.
#[inline(always)]
fn forward<T: Real>(layer: &Dense, params: &[T], activations: &mut [T], z: &mut [T]) {
    let (x, a) = activations[layer.input_at..].split_at_mut(layer.inputs);
    let a = &mut a[..layer.outputs];
    let weight = params[layer.weight.clone()].chunks_exact(layer.inputs);
    let bias = &params[layer.bias_range.clone()];
    for (j, (a, weight)) in a.iter_mut().zip(weight).enumerate() {
        let product = elementwise::sum(weight, x, |w, x| w * x);
        *a = match layer.bias {
            Bias::PerUnit => product + bias[j],
            Bias::Shared => product + bias[0],
            Bias::None => product,
        };
    }
    if layer.keeps() {
        z.copy_from_slice(a);
    }
    if let Some([value, _]) = layer.activation.expressions() {
        return value.each(a, &[], |a, value| *a = value);
    }
    with_constant!(layer.activation, Activation::ALL, |f: Activation| {
        for a in &mut *a {
            *a = f.value(*a);
        }
    });
}

/// The output layer's `δ = scale ∂loss/∂y ⊙ f′`, and the row's part of the loss.
#[inline(always)]
fn output_delta<T: Real>(layer: &Dense, loss: Loss, scale: T, y: &[T], targets: &[T], delta: &mut [T]) -> T {
    slopes(layer, delta, y);
    if let Some([value, derivative]) = loss.expressions() {
        let mut total = T::zero();
        value.each(delta, &[y, targets], |_, term| total += term);
        derivative.each(delta, &[y, targets], |d, slope| *d *= scale * slope);
        return scale * total;
    }
    with_constant!(loss, Loss::ALL, |loss: Loss| {
        let row = if loss.uses_softmax() { softmax_row(y, targets) } else { Row::default() };
        for (d, (&y, &t)) in delta.iter_mut().zip(y.iter().zip(targets)) {
            *d *= scale * loss.derivative(y, t, row);
        }
        scale * elementwise::sum(y, targets, |y, t| loss.value(y, t, row))
    })
}

/// `f′`, from the pre-activation in its place or from the output `a`.
#[inline(always)]
fn slopes<T: Real>(layer: &Dense, slopes: &mut [T], a: &[T]) {
    if !layer.keeps() {
        slopes.copy_from_slice(a);
    }
    if let Some([_, derivative]) = layer.activation.expressions() {
        return derivative.each(slopes, &[], |slope, derivative| *slope = derivative);
    }
    with_constant!(layer.activation, Activation::ALL, |f: Activation| {
        for slope in &mut *slopes {
            *slope = f.derivative(*slope);
        }
    });
}
