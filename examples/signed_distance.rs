//! A network learns the signed distance to a shape from points on its outline: the field is 0 there, grows along the
//! outward normal, and its slope is 1 everywhere, the eikonal equation `|∇u| = 1`. No distance is given.
//! Gropp et al., *Implicit Geometric Regularization for Learning Shapes*, 2020.
//!
//! `cargo run --release --example signed_distance [auto|gpu|cpu]`

use rand::RngExt;
use wgrad::data::Task;
use wgrad::optimizer::Momentum;
use wgrad::random::{Purpose, generator};
use wgrad::{Activation, Dataset, Device, DeviceChoice, Loss, Matrix, Network, Optimizer, Predictor, Trainer};
use wgrad::{Result, TrainerOptions};

/// Points on the outline.
const OUTLINE: usize = 256;

/// Points anywhere in the square from -1 to 1, where only the slope is known.
const SPACE: usize = 768;

/// Learning rates, and for how many epochs.
const PHASES: [(f32, usize); 2] = [(0.01, 300), (0.002, 100)];

/// Rows and columns of the grid on which the field is looked at.
const GRID: usize = 41;

/// A box with half the sides `BOX`, its corners rounded by `ROUND`, turned by `ANGLE`.
const BOX: [f64; 2] = [0.45, 0.2];
const ROUND: f64 = 0.15;
const ANGLE: f64 = 0.5;

/// The learned field and the exact distance at each point of the grid, row by row.
pub struct Field {
    /// What was learned.
    pub network: Vec<f64>,
    /// The distance.
    pub exact: Vec<f64>,
}

impl Field {
    /// The mean of the differences.
    pub fn mean_error(&self) -> f64 {
        let sum: f64 = self.network.iter().zip(&self.exact).map(|(a, b)| (a - b).abs()).sum();
        sum / self.network.len() as f64
    }

    /// The share of points that lie on the right side of the outline.
    pub fn right_side(&self) -> f64 {
        let right = self.network.iter().zip(&self.exact).filter(|(a, b)| (**a < 0.0) == (**b < 0.0)).count();
        right as f64 / self.network.len() as f64
    }
}

/// Trains the field and computes it on the grid.
pub fn learn(device: &Device) -> Result<Field> {
    // The last term keeps the field from being 0 away from the outline, as Sitzmann et al. (SIREN, 2020) do.
    let equation = "surface * (20 * u^2 + (u_x - nx)^2 + (u_y - ny)^2)
        + space * ((sqrt(u_x^2 + u_y^2) - 1)^2 + 0.2 * exp(-20 * abs(u)))";
    let data = ["surface", "space", "nx", "ny"];
    let loss = Loss::equation(equation, &["x", "y"], &["u"], &data)?;
    let network = Network::new(2).dense(32, Activation::Sine).dense(32, Activation::Sine).dense(1, Activation::Linear);
    let options = TrainerOptions {
        batch: 128,
        optimizer: Optimizer::Momentum(Momentum { momentum: 0.95, nesterov: true, ..Momentum::default() }),
        ..TrainerOptions::new(loss)
    };
    let mut trainer = Trainer::new(device, network.clone(), options)?;
    let points = points(&data);
    for (rate, epochs) in PHASES {
        trainer.set_learning_rate(rate)?;
        trainer.fit(&points, None, epochs, &mut ())?;
    }

    let at = |i: usize| 2.0 * i as f64 / (GRID - 1) as f64 - 1.0;
    let grid: Vec<[f64; 2]> = (0..GRID * GRID).map(|i| [at(i % GRID), -at(i / GRID)]).collect();
    let inputs = Matrix { rows: grid.len(), cols: 2, data: grid.iter().flatten().map(|&x| x as f32).collect() };
    let mut predictor = Predictor::new(device, &network, &trainer.parameters()?, grid.len())?;
    let network = predictor.predict(&inputs)?.data.into_iter().map(f64::from).collect();
    Ok(Field { network, exact: grid.into_iter().map(|point| distance(point).0).collect() })
}

/// The exact signed distance of a point and the normal there, which is the distance's gradient.
fn distance([x, y]: [f64; 2]) -> (f64, [f64; 2]) {
    let (sin, cos) = ANGLE.sin_cos();
    let turned = [cos * x + sin * y, cos * y - sin * x];
    let beyond = [turned[0].abs() - BOX[0], turned[1].abs() - BOX[1]];
    let outside = beyond.map(|b| b.max(0.0));
    let length = outside[0].hypot(outside[1]);
    let inside = beyond[0].max(beyond[1]).min(0.0);
    let normal = match length > 0.0 {
        true => outside.map(|b| b / length),
        false if beyond[0] > beyond[1] => [1.0, 0.0],
        false => [0.0, 1.0],
    };
    let normal = [normal[0].copysign(turned[0]), normal[1].copysign(turned[1])];
    (length + inside - ROUND, [cos * normal[0] - sin * normal[1], sin * normal[0] + cos * normal[1]])
}

/// Points of the outline, where a random point goes along its normal, and of the space around.
fn points(data: &[&str]) -> Dataset {
    let mut rng = generator(0, Purpose::Epoch(0));
    let mut anywhere = || [rng.random_range(-1.0..1.0), rng.random_range(-1.0..1.0)];
    let (mut inputs, mut targets) = (Vec::new(), Vec::new());
    while inputs.len() < 2 * OUTLINE {
        let point: [f64; 2] = anywhere();
        let (d, [nx, ny]) = distance(point);
        // From deep inside the nearest point of the outline is another one than the normal leads to.
        if d > -0.1 {
            inputs.extend([(point[0] - d * nx) as f32, (point[1] - d * ny) as f32]);
            targets.extend([1.0, 0.0, nx as f32, ny as f32]);
        }
    }
    for _ in 0..SPACE {
        inputs.extend(anywhere().map(|x| x as f32));
        targets.extend([0.0, 1.0, 0.0, 0.0]);
    }
    let names = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    Dataset {
        name: "outline".into(),
        features: names(&["x", "y"]),
        task: Task::Regression { outputs: names(data) },
        inputs: Matrix { rows: OUTLINE + SPACE, cols: 2, data: inputs.into() },
        targets: Matrix { rows: OUTLINE + SPACE, cols: data.len(), data: targets.into() },
        weights: None,
    }
}

#[allow(dead_code)] // the tests include this file
fn main() -> Result<()> {
    let choice = std::env::args().nth(1).unwrap_or_default();
    let device = Device::select(&DeviceChoice::from(choice.as_str()))?.device;
    println!("{}", device.name());
    let field = learn(&device)?;
    // Digits count the distance in tenths: inside with a dark background, outside as they are.
    for row in field.network.chunks(GRID).step_by(2) {
        let sign = |u: &f64| if *u < 0.0 { '#' } else { char::from_digit((u * 10.0) as u32 % 10, 10).unwrap_or('+') };
        println!("{}", row.iter().map(sign).collect::<String>());
    }
    println!("mean error of the distance {:.4}", field.mean_error());
    println!("on the right side of the outline {:.2} %", 100.0 * field.right_side());
    Ok(())
}
