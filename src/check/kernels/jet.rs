//! What kernels of jets are checked on, and how far they may err: their function in [`Bounded`] numbers.

use super::{Contents, live_rows, schedule};
use crate::kernel::jet::{Jet, JetPass};
use crate::network::Bias;
use crate::reference::{Bounded, Number};

pub(super) fn shapes(kernel: &Jet) -> Vec<[u32; 4]> {
    match kernel.pass {
        JetPass::Loss(equation) | JetPass::InputGradient(equation) => {
            let text = equation.text();
            let [outputs, inputs, data] = [&text.outputs, &text.inputs, &text.data].map(|names| names.len() as u32);
            [1, 5, 67].map(|batch| [batch, outputs, inputs, data]).to_vec()
        }
        _ => [[1, 1], [5, 3], [17, 10], [65, 7]].map(|[batch, cols]| [batch, cols, 0, 0]).to_vec(),
    }
}

pub(super) fn contents(
    kernel: &Jet,
    [batch, cols, inputs, data]: [usize; 4],
    mut real: impl FnMut(usize, f32) -> Contents,
) -> Vec<Contents> {
    let jets = kernel.components.len() * batch * cols;
    let mut rows = || {
        let [schedule, clock] = schedule(batch);
        let target = real((batch * data).max(1), 1.5);
        vec![schedule, clock, real(batch * inputs, 2.0), real(jets, 2.0), target]
    };
    match kernel.pass {
        JetPass::Input => vec![real(batch * cols, 2.0), Contents::Poison(jets)],
        JetPass::Activation { bias, .. } => {
            let mut all = vec![real(jets, 2.0), Contents::Poison(jets)];
            all.extend((bias != Bias::None).then(|| real(bias.len(cols), 2.0)));
            all
        }
        JetPass::Delta { .. } => vec![real(jets, 2.0), real(jets, 2.0)],
        JetPass::Loss(_) => [rows(), vec![Contents::Poison(jets), Contents::Poison(batch)]].concat(),
        JetPass::InputGradient(_) => [rows(), vec![real(batch * inputs, 2.0)]].concat(),
    }
}

pub(super) fn bounds(
    kernel: &Jet,
    [batch, cols, inputs, data]: [usize; 4],
    given: impl Fn(usize) -> Vec<Bounded>,
    mut out: Vec<Vec<f64>>,
) -> Vec<Vec<f64>> {
    let size = batch * cols;
    let components = kernel.components.len();
    let Some(function) = kernel.function() else {
        // Copies are exact.
        return out;
    };
    let scale = Bounded::given(f64::from(0.37f32));
    let row = |r: usize| -> Vec<Bounded> {
        let (input, output, target) = (given(2), given(3), given(4));
        let jet = (0..components).flat_map(|c| output[(c * batch + r) * cols..][..cols].to_vec());
        let own = input[r * inputs..][..inputs].iter().chain(&target[r * data..][..data]).copied();
        let arguments: Vec<Bounded> = own.chain(jet).collect();
        function.compute(|i| arguments[i])
    };
    match kernel.pass {
        JetPass::Input => {}
        JetPass::Activation { bias, .. } => {
            let (mut z, biases) = (given(0), if bias == Bias::None { Vec::new() } else { given(2) });
            for e in 0..if bias == Bias::None { 0 } else { size } {
                z[e] = Bounded::sum([z[e], biases[if bias == Bias::Shared { 0 } else { e % cols }]].into_iter());
            }
            out[1] = vec![0.0; components * size];
            for e in 0..size {
                let results = function.compute(|c| z[c * size + e]);
                results.iter().enumerate().for_each(|(c, result)| out[1][c * size + e] = result.error);
            }
            out[0] = z.iter().map(|z| z.error).collect();
        }
        JetPass::Delta { .. } => {
            let arguments = [given(0), given(1)].concat();
            out[1] = vec![0.0; components * size];
            for e in 0..size {
                let results = function.compute(|i| arguments[i * size + e]);
                results.iter().enumerate().for_each(|(c, result)| out[1][c * size + e] = result.error);
            }
        }
        JetPass::Loss(_) => {
            out[5] = vec![0.0; components * size];
            out[6] = vec![0.0; batch];
            for r in 0..live_rows(batch) {
                let results = row(r);
                out[6][r] = (scale * results[0]).error;
                for (j, &gradient) in results[1..][..components * cols].iter().enumerate() {
                    out[5][((j / cols) * batch + r) * cols + j % cols] = (scale * gradient).error;
                }
            }
        }
        JetPass::InputGradient(_) => {
            let before = given(5);
            out[5] = vec![0.0; batch * inputs];
            for r in 0..live_rows(batch) {
                for (i, &own) in row(r)[1 + components * cols..].iter().enumerate() {
                    let sum = Bounded::sum([before[r * inputs + i], scale * own].into_iter());
                    out[5][r * inputs + i] = sum.error;
                }
            }
        }
    }
    out
}
