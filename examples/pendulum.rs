//! A network solves the pendulum's equation `u'' + sin u = 0` from its residual and the values at the start alone: no point
//! of the solution is given. It is compared with a Runge–Kutta solution.
//!
//! `cargo run --release --example pendulum [auto|gpu|cpu]`

use wgrad::optimizer::Momentum;
use wgrad::{Activation, Batch, Device, DeviceChoice, Loss, Matrix, Network, Optimizer, Predictor, Trainer};
use wgrad::{Result, TrainerOptions};

/// The time that is solved for, a little more than half a period.
const END: f64 = 4.0;

/// The angle at the start, where the pendulum is at rest.
const ANGLE: f64 = 1.0;

/// Points at which the equation has to hold.
const POINTS: usize = 64;

const STEPS: usize = 1500;

/// The network's angle and that of Runge and Kutta at each of these times.
pub struct Solution {
    /// From 0 on.
    pub times: Vec<f64>,
    /// What was learned.
    pub network: Vec<f64>,
    /// What Runge and Kutta say.
    pub exact: Vec<f64>,
}

impl Solution {
    /// The largest difference.
    pub fn worst(&self) -> f64 {
        self.network.iter().zip(&self.exact).map(|(a, b)| (a - b).abs()).fold(0.0, f64::max)
    }
}

/// Trains the network and computes it at the times of the Runge–Kutta solution.
pub fn solve(device: &Device) -> Result<Solution> {
    // Each sample says by `inside` and `start` which part of the loss it is for, and how much it counts.
    let equation = "inside * (u_tt + sin(u))^2 + start * ((u - angle)^2 + u_t^2)";
    let loss = Loss::equation(equation, &["t"], &["u"], &["inside", "start", "angle"])?;
    let mut inputs: Vec<f32> = (0..POINTS).map(|i| (END * i as f64 / (POINTS - 1) as f64) as f32).collect();
    let mut data = [1.0, 0.0, 0.0].repeat(POINTS);
    inputs.push(0.0);
    data.extend([0.0, 20.0, ANGLE as f32]);

    let network = Network::new(1).dense(24, Activation::Tanh).dense(24, Activation::Tanh).dense(1, Activation::Linear);
    let options = TrainerOptions {
        batch: inputs.len(),
        learning_rate: 0.01,
        optimizer: Optimizer::Momentum(Momentum { momentum: 0.98, nesterov: true, ..Momentum::default() }),
        ..TrainerOptions::new(loss)
    };
    let mut trainer = Trainer::new(device, network.clone(), options)?;
    trainer.load(&Batch { inputs: &inputs, targets: &data })?;
    trainer.repeat(STEPS)?;

    let (times, exact) = runge_kutta();
    let mut predictor = Predictor::new(device, &network, &trainer.parameters()?, times.len())?;
    let at = Matrix { rows: times.len(), cols: 1, data: times.iter().map(|&t| t as f32).collect() };
    let network = predictor.predict(&at)?.data.into_iter().map(f64::from).collect();
    Ok(Solution { times, network, exact })
}

/// The classical fourth-order scheme with a step so small that its error is below 10⁻¹⁰.
fn runge_kutta() -> (Vec<f64>, Vec<f64>) {
    const STEPS: usize = 400;
    let h = END / STEPS as f64;
    let slope = |[u, v]: [f64; 2]| [v, -u.sin()];
    let moved = |[u, v]: [f64; 2], [du, dv]: [f64; 2], by: f64| [u + by * du, v + by * dv];
    let mut state = [ANGLE, 0.0];
    let (mut times, mut angles) = (vec![0.0], vec![ANGLE]);
    for step in 1..=STEPS {
        let first = slope(state);
        let second = slope(moved(state, first, h / 2.0));
        let third = slope(moved(state, second, h / 2.0));
        let fourth = slope(moved(state, third, h));
        let mean = [0, 1].map(|i| (first[i] + 2.0 * second[i] + 2.0 * third[i] + fourth[i]) / 6.0);
        state = moved(state, mean, h);
        times.push(h * step as f64);
        angles.push(state[0]);
    }
    (times, angles)
}

#[allow(dead_code)] // the tests include this file
fn main() -> Result<()> {
    let choice = std::env::args().nth(1).unwrap_or_default();
    let device = Device::select(&DeviceChoice::from(choice.as_str()))?.device;
    println!("{}", device.name());
    let solution = solve(&device)?;
    println!("{:>6}  {:>9}  {:>11}", "t", "network", "Runge-Kutta");
    let rows = solution.times.iter().zip(solution.network.iter().zip(&solution.exact));
    for (t, (network, exact)) in rows.step_by(50) {
        println!("{t:>6.2}  {network:>9.5}  {exact:>11.5}");
    }
    println!("largest difference {:.1e}", solution.worst());
    Ok(())
}
