//! How fast training is where the data set is streamed, beside the same run with the data set on the device, the two taking
//! turns, and how long the host is busy for a step: `cargo bench --bench streaming [-- cpu|gpu]`.

#![allow(clippy::panic)] // a benchmark that cannot run has no other way to say so

use std::time::Instant;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::{Activation, Batch, Device, DeviceChoice, Loss, Network, Result, Trainer, TrainerOptions};

/// Runs that are compared, an odd number.
const ROUNDS: usize = 5;

/// Batches in an epoch.
const STEPS: usize = 8;

fn main() -> Result<()> {
    use Activation::{Linear, Relu, Sigmoid};
    let wanted: Vec<String> = std::env::args().skip(1).collect();
    let subjects = [
        (Network::new(784).dense(1024, Sigmoid).dense(1024, Sigmoid).dense(10, Linear), 512, Loss::SoftmaxCrossEntropy),
        (
            Network::new(1024).dense(2048, Sigmoid).dense(2048, Sigmoid).dense(1024, Sigmoid),
            128,
            Loss::MeanSquaredError,
        ),
        (Network::new(784).dense(256, Sigmoid).dense(128, Sigmoid).dense(10, Linear), 128, Loss::SoftmaxCrossEntropy),
        (Network::new(64).dense(64, Relu).dense(64, Relu).dense(3, Linear), 4096, Loss::MeanSquaredError),
    ];
    for (name, choice) in [("cpu", DeviceChoice::Cpu), ("gpu", DeviceChoice::Gpu)] {
        if wanted.iter().any(|word| word == "cpu" || word == "gpu") && !wanted.iter().any(|word| word == name) {
            continue;
        }
        let device = Device::select(&choice)?.device;
        println!("{}", device.name());
        for (network, batch, loss) in &subjects {
            compare(&device, network, *batch, *loss)?;
        }
    }
    Ok(())
}

fn compare(device: &Device, network: &Network, batch: usize, loss: Loss) -> Result<()> {
    let data = dataset(network, STEPS * batch)?;
    // The region holds a quarter of an epoch.
    let budget = 4 * (data.inputs.data.len() + data.targets.data.len()) as u64 / 4;
    let options = |data_budget| TrainerOptions { batch, data_budget, ..TrainerOptions::new(loss) };
    let mut trainers = [
        Trainer::new(device, network.clone(), options(u64::MAX))?,
        Trainer::new(device, network.clone(), options(budget))?,
    ];
    for trainer in &mut trainers {
        trainer.fit(&data, None, 2, &mut ())?;
    }
    let mut ratios = Vec::new();
    let mut samples_per_s = [0.0_f64; 2];
    for _ in 0..ROUNDS {
        let mut times = [0.0; 2];
        for (trainer, time) in trainers.iter_mut().zip(&mut times) {
            let start = Instant::now();
            trainer.fit(&data, None, 2, &mut ())?;
            *time = start.elapsed().as_secs_f64();
        }
        for (best, time) in samples_per_s.iter_mut().zip(times) {
            *best = best.max(2.0 * data.rows() as f64 / time);
        }
        ratios.push(times[0] / times[1]);
    }
    ratios.sort_by(f64::total_cmp);
    let [resident, streamed] = samples_per_s;
    println!(
        "  {network} × {batch}: resident {resident:.0} samples/s, streamed {streamed:.0}; ratio {:.3} (median of {ROUNDS})",
        ratios[ROUNDS / 2]
    );
    let [host, step] = host_time(&mut trainers[0], &data, batch)?;
    println!("    a step takes {:.1} µs, the host is busy for {:.1} µs of them", step * 1e6, host * 1e6);
    Ok(())
}

/// Seconds a step: until it is handed over, and until it is done.
fn host_time(trainer: &mut Trainer, data: &Dataset, batch: usize) -> Result<[f64; 2]> {
    let inputs = &data.inputs.data[..batch * data.inputs.cols];
    let targets = &data.targets.data[..batch * data.targets.cols];
    trainer.load(&Batch { inputs, targets })?;
    trainer.repeat(1)?;
    let _ = trainer.losses()?;
    let start = Instant::now();
    trainer.repeat(STEPS)?;
    let handed_over = start.elapsed();
    let losses = trainer.losses()?;
    let done = start.elapsed();
    assert!(losses.iter().all(|loss| loss.is_finite()));
    Ok([handed_over, done].map(|time| time.as_secs_f64() / STEPS as f64))
}

fn dataset(network: &Network, rows: usize) -> Result<Dataset> {
    let numbers = |len: usize| (0..len).map(|i| (i % 8191) as f32 / 8191.0).collect();
    let names = |len: usize| (0..len).map(|i| i.to_string()).collect();
    let (inputs, outputs) = (network.inputs, network.outputs());
    Ok(Dataset {
        name: "numbers".into(),
        features: names(inputs),
        task: Task::Regression { outputs: names(outputs) },
        inputs: Matrix::new(rows, inputs, numbers(rows * inputs))?,
        targets: Matrix::new(rows, outputs, numbers(rows * outputs))?,
    })
}
