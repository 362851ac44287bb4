//! Whole training steps on the CPU executor and on the best adapter: `cargo bench --bench steps`. Elements a second are
//! samples a second. `wgrad bench` measures the same for any network, with losses to compare.

#![allow(clippy::panic)] // a benchmark that cannot run has no other way to say so

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use wgrad::{Activation, Batch, Device, DeviceChoice, Loss, Network, Trainer, TrainerOptions};

fn subjects() -> Vec<(Network, usize, Loss)> {
    use Activation::{Linear, Relu, Sigmoid};
    vec![
        (Network::new(2).dense(2, Sigmoid).dense(2, Sigmoid), 1, Loss::HalfSumOfSquares),
        (Network::new(64).dense(128, Relu).dense(10, Linear), 32, Loss::SoftmaxCrossEntropy),
        (Network::new(784).dense(256, Sigmoid).dense(128, Sigmoid).dense(10, Linear), 128, Loss::SoftmaxCrossEntropy),
        (Network::new(64).dense(64, Relu).dense(64, Relu).dense(3, Linear), 4096, Loss::MeanSquaredError),
    ]
}

fn steps(criterion: &mut Criterion) {
    let gpu = Device::select(&DeviceChoice::Gpu);
    if let Err(error) = &gpu {
        eprintln!("only the CPU is timed: {error}");
    }
    let devices = [Some(Device::Cpu), gpu.ok().map(|selection| selection.device)];
    for device in devices.iter().flatten() {
        let mut group = criterion.benchmark_group(device.name());
        for (network, batch, loss) in subjects() {
            group.throughput(Throughput::Elements(batch as u64));
            let options = TrainerOptions { batch, learning_rate: 0.01, ..TrainerOptions::new(loss) };
            let trainer = Trainer::new(device, network.clone(), options);
            let mut trainer = trainer.unwrap_or_else(|error| panic!("{network}: {error}"));
            let numbers = |len: usize| (0..len).map(|i| (i % 89) as f32 / 89.0).collect::<Vec<_>>();
            let (inputs, targets) = (numbers(batch * network.inputs), numbers(batch * network.outputs()));
            let loaded = trainer.load(&Batch { inputs: &inputs, targets: &targets });
            assert!(loaded.is_ok(), "{loaded:?}");
            group.bench_function(BenchmarkId::new(network.to_string(), batch), |bencher| {
                bencher.iter_custom(|times| {
                    let start = std::time::Instant::now();
                    let losses = trainer.repeat(times as usize).and_then(|()| trainer.losses());
                    assert!(losses.is_ok_and(|losses| losses[0].is_finite()));
                    start.elapsed()
                });
            });
        }
        group.finish();
    }
}

criterion_group! {
    name = benches;
    config = Criterion::default().sample_size(10).measurement_time(std::time::Duration::from_secs(2));
    targets = steps
}
criterion_main!(benches);
