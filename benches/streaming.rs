//! How fast training is where the data set is streamed, beside the same run with the data set on the device, the two taking
//! turns, and how long the host is busy for a step: `cargo bench --bench streaming
//! [-- cpu|gpu 784-1024]`.

#![allow(clippy::panic)] // a benchmark that cannot run has no other way to say so

use std::ops::ControlFlow;
use std::time::Instant;
use wgrad::data::{Dataset, Matrix, Task};
use wgrad::train::{Epoch, Observer};
use wgrad::{Activation, Batch, Device, DeviceChoice, Loss, Network, Result, Trainer, TrainerOptions};

/// Runs that are compared, an odd number.
const ROUNDS: usize = 5;

/// Batches in an epoch.
const STEPS: usize = 8;

fn main() -> Result<()> {
    use Activation::{Linear, Relu, Sigmoid};
    let words: Vec<String> = std::env::args().skip(1).filter(|word| !word.starts_with('-')).collect();
    let (devices, networks): (Vec<_>, Vec<_>) = words.into_iter().partition(|word| word == "cpu" || word == "gpu");
    let wanted = |all: &[String], text: &str| all.is_empty() || all.iter().any(|word| text.contains(word.as_str()));
    let subjects = [
        (Network::new(784).dense(1024, Sigmoid).dense(1024, Sigmoid).dense(10, Linear), 128, Loss::SoftmaxCrossEntropy),
        (Network::new(1024).dense(2048, Sigmoid).dense(2048, Sigmoid).dense(1024, Sigmoid), 32, Loss::MeanSquaredError),
        (Network::new(784).dense(256, Sigmoid).dense(128, Sigmoid).dense(10, Linear), 128, Loss::SoftmaxCrossEntropy),
        (Network::new(64).dense(64, Relu).dense(64, Relu).dense(3, Linear), 4096, Loss::MeanSquaredError),
    ];
    for (name, choice) in [("cpu", DeviceChoice::Cpu), ("gpu", DeviceChoice::Gpu)] {
        if wanted(&devices, name) {
            let device = Device::select(&choice)?.device;
            println!("{}", device.name());
            for (network, batch, loss) in &subjects {
                if wanted(&networks, &network.to_string()) {
                    compare(&device, network, *batch, *loss)?;
                }
            }
        }
    }
    Ok(())
}

/// Times the epochs but the first, which puts the data in place.
#[derive(Default)]
struct Epochs(Vec<Instant>);

impl Observer for Epochs {
    fn epoch(&mut self, _: &Epoch) -> ControlFlow<()> {
        self.0.push(Instant::now());
        ControlFlow::Continue(())
    }
}

fn seconds_an_epoch(trainer: &mut Trainer, data: &Dataset) -> Result<f64> {
    let mut epochs = Epochs::default();
    trainer.fit(data, None, 3, &mut epochs)?;
    Ok((epochs.0[2] - epochs.0[0]).as_secs_f64() / 2.0)
}

fn compare(device: &Device, network: &Network, batch: usize, loss: Loss) -> Result<()> {
    let data = dataset(network, STEPS * batch)?;
    // The region holds a quarter of an epoch.
    let budget = (data.inputs.data.len() + data.targets.data.len()) as u64;
    let options = |data_budget| TrainerOptions { batch, data_budget, ..TrainerOptions::new(loss) };
    let mut resident = Trainer::new(device, network.clone(), options(u64::MAX))?;
    let mut streamed = Trainer::new(device, network.clone(), options(budget))?;
    let (mut ratios, mut best) = (Vec::new(), [f64::INFINITY; 2]);
    for _ in 0..=ROUNDS {
        let times = [seconds_an_epoch(&mut resident, &data)?, seconds_an_epoch(&mut streamed, &data)?];
        ratios.push(times[0] / times[1]);
        best = [best[0].min(times[0]), best[1].min(times[1])];
    }
    // The first round finds the pace.
    ratios.remove(0);
    ratios.sort_by(f64::total_cmp);
    let [resident_rate, streamed_rate] = best.map(|seconds| data.rows() as f64 / seconds);
    println!(
        "  {network} × {batch}: {resident_rate:.0} samples/s resident, {streamed_rate:.0} streamed; ratio {:.3}, of bests {:.3}",
        ratios[ROUNDS / 2],
        best[0] / best[1]
    );
    let [host, step] = host_time(&mut resident, &data, batch)?;
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
        weights: None,
    })
}
