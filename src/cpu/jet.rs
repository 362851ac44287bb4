use super::{PARALLEL_FROM, Views};
use crate::jet::Components;
use crate::kernel::jet::{Jet, JetPass};
use crate::loss::Equation;
use crate::network::Bias;
use crate::real::Real;
use rayon::prelude::*;

pub(super) fn jet<T: Real>(dims: [usize; 4], kernel: &Jet, mut views: Views<'_, T>, scratch: &mut Vec<T>) {
    let [batch, cols, ..] = dims;
    let size = batch * cols;
    match kernel.pass {
        JetPass::Input => input(size, cols, &kernel.components, views.read(0), views.write(1)),
        JetPass::Activation { bias, .. } => {
            let (z, a, biases) = (views.write(0), views.write(1), views.read(2));
            for (z, j) in z[..size].iter_mut().zip((0..cols).cycle()) {
                *z += match bias {
                    Bias::PerUnit => biases[j],
                    Bias::Shared => biases[0],
                    Bias::None => T::zero(),
                };
            }
            elementwise(kernel, size, &[z], a);
        }
        JetPass::Delta { .. } => {
            let (z, delta) = (views.read(0), views.write(1));
            scratch.clear();
            scratch.extend_from_slice(delta);
            elementwise(kernel, size, &[z, scratch], delta);
        }
        JetPass::Loss(of) => {
            let (scale, live) = scale_and_rows(&views, batch);
            equation(dims, kernel, of, live, [views.read(2), views.read(3), views.read(4)], scratch);
            let (delta, row_loss) = (views.write(5), views.write(6));
            row_loss.fill(T::zero());
            delta.fill(T::zero());
            let mut results = scratch.chunks_exact(live);
            let losses = results.next().unwrap_or_default();
            row_loss.iter_mut().zip(losses).for_each(|(row_loss, &loss)| *row_loss = scale * loss);
            for delta in delta.chunks_exact_mut(size) {
                for (o, gradients) in results.by_ref().take(cols).enumerate() {
                    let delta = delta.iter_mut().skip(o).step_by(cols);
                    delta.zip(gradients).for_each(|(delta, &gradient)| *delta = scale * gradient);
                }
            }
        }
        JetPass::InputGradient(of) => {
            let (scale, live) = scale_and_rows(&views, batch);
            equation(dims, kernel, of, live, [views.read(2), views.read(3), views.read(4)], scratch);
            let total = views.write(5);
            let own = scratch.chunks_exact(live).skip(1 + kernel.components.len() * cols);
            for (i, gradients) in own.enumerate() {
                let total = total.iter_mut().skip(i).step_by(dims[2]);
                total.zip(gradients).for_each(|(total, &gradient)| *total += scale * gradient);
            }
        }
    }
}

/// The factor on the loss, and the rows of the batch that are no padding: at least one, as a step has.
fn scale_and_rows<T: Real>(views: &Views<'_, T>, batch: usize) -> (T, usize) {
    let entry = views.entry(0);
    (T::of(f64::from(entry.loss_scale)), (entry.rows as usize).clamp(1, batch))
}

/// The jets of the inputs by themselves.
fn input<T: Real>(size: usize, cols: usize, components: &Components, input: &[T], jets: &mut [T]) {
    jets[..size].copy_from_slice(&input[..size]);
    for (derivative, jets) in components.iter().zip(jets.chunks_exact_mut(size)).skip(1) {
        for (jet, i) in jets.iter_mut().zip((0..cols).cycle()) {
            *jet = if derivative[..] == [i] { T::one() } else { T::zero() };
        }
    }
}

/// The kernel's function of each element's components; those of every argument lie one behind the other.
fn elementwise<T: Real>(kernel: &Jet, size: usize, arguments: &[&[T]], results: &mut [T]) {
    let Some(function) = kernel.function() else { return };
    let block = PARALLEL_FROM / 4;
    let arguments: Vec<&[T]> = arguments.iter().flat_map(|all| all.chunks_exact(size)).collect();
    let mut columns: Vec<_> = results.chunks_exact_mut(size).map(|column| column.chunks_mut(block)).collect();
    let blocks = (0..size).step_by(block).map(|first| {
        let results: Vec<&mut [T]> = columns.iter_mut().filter_map(|column| column.next()).collect();
        (first, results)
    });
    let blocks: Vec<_> = blocks.collect();
    blocks.into_par_iter().for_each_init(Vec::new, |scratch, (first, mut results)| {
        let arguments: Vec<&[T]> = arguments.iter().map(|column| &column[first..size.min(first + block)]).collect();
        // Columns are as many and as long as the function has arguments, by construction.
        let _ = function.eval_columns(&arguments, &mut results, scratch);
    });
}

/// What the equation and its derivatives are, row by row of the batch: the columns of its results in `scratch`, of `live`
/// numbers each, for the inputs, the jets of the outputs and the data.
fn equation<T: Real>(
    [batch, outputs, inputs, data]: [usize; 4],
    kernel: &Jet,
    equation: Equation,
    live: usize,
    [input, output, target]: [&[T]; 3],
    scratch: &mut Vec<T>,
) {
    let function = equation.function();
    let arguments = function.inputs().len();
    scratch.clear();
    let mut column = |from: &[T], width: usize, j: usize| scratch.extend(from.iter().skip(j).step_by(width).take(live));
    (0..inputs).for_each(|i| column(input, inputs, i));
    (0..data).for_each(|k| column(target, data, k));
    for c in 0..kernel.components.len() {
        (0..outputs).for_each(|o| column(&output[c * batch * outputs..], outputs, o));
    }
    scratch.resize((arguments + function.outputs().len()) * live, T::zero());
    let (columns, results) = scratch.split_at_mut(arguments * live);
    let columns: Vec<&[T]> = columns.chunks_exact(live).collect();
    let mut results: Vec<&mut [T]> = results.chunks_exact_mut(live).collect();
    // Columns are as many and as long as the function has arguments, by construction.
    let _ = function.eval_columns(&columns, &mut results, &mut Vec::new());
    scratch.drain(..arguments * live);
}
