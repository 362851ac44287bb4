//! An activation and a loss of one's own: a curve is learnt from points of which every fifth is far off, by a loss that
//! large errors hardly matter to. `cargo run --release --example custom`

use wgrad::data::Task;
use wgrad::{Activation, Dataset, Device, DeviceChoice, Loss, Matrix, Model, Network, Result, Trainer, TrainerOptions};

fn curve(x: f32) -> f32 {
    (3.0 * x).sin() + 0.5 * x
}

/// Points of the curve; where `spoilt`, every fifth is wrong by 2.
fn points(spoilt: bool) -> Result<Dataset> {
    let inputs: Vec<f32> = (0..400).map(|i| i as f32 / 200.0 - 1.0).collect();
    let off = |i: usize| if spoilt && i.is_multiple_of(5) { 2.0 } else { 0.0 };
    let targets = inputs.iter().enumerate().map(|(i, &x)| curve(x) + off(i)).collect();
    Ok(Dataset {
        name: "curve".into(),
        features: vec!["x".into()],
        task: Task::Regression { outputs: vec!["y".into()] },
        inputs: Matrix::new(400, 1, inputs)?,
        targets: Matrix::new(400, 1, targets)?,
        weights: None,
    })
}

/// How far a network trained with `loss` is from the curve: the share of its variance that it misses.
fn missed(device: &Device, network: &Network, loss: Loss) -> Result<(f64, Vec<f32>)> {
    let options = TrainerOptions { learning_rate: 0.1, batch: 40, ..TrainerOptions::new(loss) };
    let mut trainer = Trainer::new(device, network.clone(), options)?;
    trainer.fit(&points(true)?, None, 300, &mut ())?;
    let found = trainer.evaluate(&points(false)?)?.r_squared.unwrap_or(f64::NAN);
    Ok((1.0 - found, trainer.parameters()?))
}

fn main() -> Result<()> {
    let device = Device::select(&DeviceChoice::Auto)?.device;
    let mish = Activation::custom("mish = x * tanh(softplus(x))")?;
    let network = Network::new(1).dense(16, mish).dense(16, mish).dense(1, Activation::Linear);
    // Barron, A General and Adaptive Robust Loss Function: Cauchy's, of width c.
    let cauchy = Loss::custom("cauchy = c^2 * log(1 + ((y - t) / c)^2)", &[("c", 0.25)])?;

    let (by_squares, _) = missed(&device, &network, Loss::MeanSquaredError)?;
    let (by_cauchy, values) = missed(&device, &network, cauchy)?;
    println!("misses {:.2} % of the variance by squares, {:.2} % by {cauchy}", 100.0 * by_squares, 100.0 * by_cauchy);
    assert!(by_cauchy < 0.02 && by_squares > 5.0 * by_cauchy);

    // The texts are in the model file: it needs nothing else.
    let path = std::env::temp_dir().join(format!("custom-{}.safetensors", std::process::id()));
    Model { loss: Some(cauchy), ..Model::new(network, values)? }.save(&path)?;
    let model = Model::load(&path)?;
    assert_eq!((model.network.layers[0].activation, model.loss), (mish, Some(cauchy)));
    std::fs::remove_file(&path).map_err(|source| wgrad::Error::Io { action: "remove", path, source })
}
