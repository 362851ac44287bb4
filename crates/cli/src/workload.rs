//! The benchmark workloads W1–W5, with the numbers that other libraries' benchmark programs start from, so that losses
//! can be compared between them: a counter-based splitmix64, written out here.

use wgrad::init::initialize;
use wgrad::plan::{Plan, TrainingOptions};
use wgrad::{Activation, Init, Layer, Loss, Network, Params, Result};

const SEED: u64 = 20_250_101;

/// A network with initial parameters and one fixed batch.
pub struct Workload {
    pub network: Network,
    pub loss: Loss,
    pub batch: usize,
    pub learning_rate: f32,
    /// The parameter arena.
    pub values: Vec<f32>,
    /// `[batch, inputs]`
    pub inputs: Vec<f32>,
    /// `[batch, outputs]`
    pub targets: Vec<f32>,
    /// `check_loss` is the loss after so many updates.
    pub check_steps: usize,
}

/// What a workload is drawn for.
pub struct Shape {
    pub widths: Vec<usize>,
    pub hidden: Activation,
    pub output: Activation,
    pub loss: Loss,
    pub batch: usize,
    pub learning_rate: f32,
    pub check_steps: usize,
}

/// The names that `--workload` takes for training steps.
pub const NAMES: [&str; 5] = ["W1", "W2", "W3", "W4", "W5"];

impl Workload {
    /// The workload called `name`; `None` where there is none.
    pub fn named(name: &str) -> Option<Result<Workload>> {
        use Activation::{Linear, Relu, Sigmoid};
        let shape = |widths: &[usize], hidden, output, loss, batch, learning_rate, check_steps| Shape {
            widths: widths.to_vec(),
            hidden,
            output,
            loss,
            batch,
            learning_rate,
            check_steps,
        };
        let softmax = Loss::SoftmaxCrossEntropy;
        let square = Loss::MeanSquaredError;
        Some(Workload::new(match name {
            "W1" => shape(&[784, 256, 128, 10], Sigmoid, Linear, softmax, 128, 0.5, 10),
            "W2" => shape(&[784, 1024, 1024, 10], Sigmoid, Linear, softmax, 8192, 0.02, 3),
            "W3" => shape(&[64, 64, 64, 64, 64, 3], Relu, Linear, square, 65536, 0.5, 10),
            "W4" => return Some(Ok(Workload::mazur())),
            "W5" => shape(&[1024, 2048, 2048, 1024], Sigmoid, Sigmoid, square, 2048, 50.0, 3),
            _ => return None,
        }))
    }

    /// Draws parameters and a batch for `shape`.
    pub fn new(shape: Shape) -> Result<Workload> {
        let Shape { widths, hidden, output, loss, batch, learning_rate, check_steps } = shape;
        let mut network = Network::new(widths[0]);
        for (i, &width) in widths[1..].iter().enumerate() {
            network = network.dense(width, if i + 2 == widths.len() { output } else { hidden });
        }
        // A plan finds what is out of range before anything of its size is allocated.
        Plan::training(&network, &TrainingOptions::new(batch, loss))?;
        let params = Params::of(&network);
        let mut values = initialize(&network, &params, Init::Auto, 0)?;
        for (stream, tensor) in (100..).zip(&params.tensors) {
            let bound = 1.0 / (network.layer_inputs(tensor.layer) as f64).sqrt();
            for (i, value) in values[tensor.range()].iter_mut().enumerate() {
                *value = ((2.0 * uniform(stream, i as u64) - 1.0) * bound) as f32;
            }
        }
        let outputs = network.outputs();
        let fill = |stream, len: usize| (0..len as u64).map(|i| uniform(stream, i) as f32).collect::<Vec<f32>>();
        let inputs = fill(1, batch * widths[0]);
        let targets = if loss == Loss::SoftmaxCrossEntropy {
            let mut targets = vec![0.0; batch * outputs];
            for row in 0..batch {
                targets[row * outputs + (uniform(2, row as u64) * outputs as f64) as usize] = 1.0;
            }
            targets
        } else {
            fill(2, batch * outputs)
        };
        Ok(Workload { network, loss, batch, learning_rate, values, inputs, targets, check_steps })
    }

    /// The two–two–two network worked by Mazur, biases trained.
    fn mazur() -> Workload {
        let layer = || Layer::new(2, Activation::Sigmoid);
        let network = Network::new(2).layer(layer()).layer(layer());
        let params = Params::of(&network);
        let mut values = vec![0.0; params.len];
        let given: [&[f32]; 4] = [&[0.15, 0.20, 0.25, 0.30], &[0.35; 2], &[0.40, 0.45, 0.50, 0.55], &[0.60; 2]];
        for (tensor, given) in params.tensors.iter().zip(given) {
            values[tensor.range()].copy_from_slice(given);
        }
        Workload {
            network,
            loss: Loss::HalfSumOfSquares,
            batch: 1,
            learning_rate: 0.5,
            values,
            inputs: vec![0.05, 0.10],
            targets: vec![0.01, 0.99],
            check_steps: 10,
        }
    }
}

/// The operands of an `n × n` matrix product: `[n, n]` each.
pub fn square_matrices(n: usize) -> [Vec<f32>; 2] {
    [1, 2].map(|stream| (0..(n * n) as u64).map(|i| uniform(stream, i) as f32).collect())
}

/// Number `i` of `stream`: splitmix64 (Steele, Lea and Flood 2014) by counter, uniform in [0, 1) on a grid of 2⁻²⁴.
fn uniform(stream: u64, i: u64) -> f64 {
    let mut z = SEED
        .wrapping_add(stream.wrapping_mul(0xD1B5_4A32_D192_ED03))
        .wrapping_add((i + 1).wrapping_mul(0x9E37_79B9_7F4A_7C15));
    z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
    z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
    z ^= z >> 31;
    (z >> 40) as f64 / f64::from(1u32 << 24)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_generator_gives_the_numbers_of_the_other_programs() {
        let first: Vec<f64> = (0..3).map(|i| uniform(1, i)).collect();
        assert_eq!(first, [0.29282915592193604, 0.4149423837661743, 0.683977484703064]);
    }

    #[test]
    fn every_name_is_a_workload_that_trains() {
        for name in NAMES {
            let workload = Workload::named(name).expect(name).expect(name);
            workload.network.validate().expect(name);
            assert_eq!(workload.inputs.len(), workload.batch * workload.network.inputs);
            assert_eq!(workload.targets.len(), workload.batch * workload.network.outputs());
            let plan = Plan::training(&workload.network, &TrainingOptions::new(workload.batch, workload.loss));
            // Of a few megabytes it does not matter how many are needed.
            let large = |plan: &Plan| plan.bytes() > 16 << 20;
            for (plan, most) in [(plan, 1.2), (Plan::prediction(&workload.network, workload.batch), 1.05)] {
                let plan = plan.expect(name);
                let ratio = plan.bytes() as f64 / plan.needed_bytes() as f64;
                assert!(ratio < most || !large(&plan), "{name} takes {ratio} times the memory that it needs");
            }
        }
        assert!(Workload::named("W9").is_none());
    }
}
