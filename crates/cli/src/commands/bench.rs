//! `wgrad bench`: how fast training steps are, for the built-in workloads or any network.

use crate::workload::{NAMES, Shape, Workload, square_matrices};
use std::time::{Duration, Instant};
use wgrad::executor::Executor;
use wgrad::kernel::{Epilogue, Form, Kernel, Mixed, Uniform};
use wgrad::plan::{Binding, Phase, Plan, Planner, Slot, SlotInfo};
use wgrad::{Activation, Batch, Device, Error, Loss, Precision, PrecisionChoice, Result, Trainer, TrainerOptions};

/// What to time.
#[derive(clap::Args)]
#[command(
    after_help = "Example:\n  wgrad bench --workload W1 --device cpu\n  wgrad bench --widths 784-256-10 --activation sigmoid --batch 512"
)]
pub struct Args {
    /// W1 to W5 (training steps), W6-1024 or W6-2048 (a matrix product)
    #[arg(long, value_name = "NAME", conflicts_with = "widths")]
    workload: Option<String>,
    /// The widths of a network, from the input to the output
    #[arg(long, value_name = "N-N-N", required_unless_present = "workload")]
    widths: Option<String>,
    /// The activation of the hidden layers
    #[arg(long, default_value = "relu", conflicts_with = "workload")]
    activation: String,
    /// The activation of the output layer
    #[arg(long, default_value = "linear", conflicts_with = "workload")]
    output_activation: String,
    /// The loss
    #[arg(long, default_value = "mean_squared_error", conflicts_with = "workload")]
    loss: String,
    /// Samples in a batch
    #[arg(long, default_value_t = 128, conflicts_with = "workload")]
    batch: usize,
    /// Who wires the step
    #[arg(long, default_value_t = Planner::LayerWise)]
    planner: Planner,
    /// What matrices are stored in: f32, f16 or auto
    #[arg(long, default_value_t = PrecisionChoice::F32, value_name = "f32|f16|auto")]
    precision: PrecisionChoice,
    /// The least time to measure, after a warm-up of two seconds or as long as this
    #[arg(long, default_value_t = 5.0)]
    seconds: f64,
}

/// What is repeated.
trait Subject {
    /// Does `times` steps and waits for them; the loss of the last one.
    fn run(&mut self, times: usize) -> Result<f32>;
}

impl Subject for Trainer {
    fn run(&mut self, times: usize) -> Result<f32> {
        self.repeat(times)?;
        Ok(self.losses()?.last().copied().unwrap_or(f32::NAN))
    }
}

struct Product(Box<dyn Executor>);

impl Subject for Product {
    fn run(&mut self, times: usize) -> Result<f32> {
        self.0.run(&[Phase::Forward], times)?;
        Ok(self.0.read(Slot::Output, 0..1)?.wait()?[0])
    }
}

/// What was measured.
pub struct Measured {
    workload: String,
    device: String,
    planner: Planner,
    precision: Precision,
    /// Samples in a step; 0 for a matrix product.
    batch: usize,
    flops: f64,
    dispatches: usize,
    first_step: Duration,
    first_loss: f32,
    check_loss: f32,
    final_loss: f32,
    /// Seconds a step, one number a block, sorted.
    blocks: Vec<f64>,
}

/// Runs the benchmark.
pub fn run(args: &Args, device: &Device) -> Result<Measured> {
    if !(args.seconds >= 0.0 && args.seconds.is_finite()) {
        return Err(Error::Config(format!("--seconds must be finite and at least 0, found {}", args.seconds)));
    }
    match args.workload.as_deref() {
        Some("W6-1024") => product(args, device, 1024),
        Some("W6-2048") => product(args, device, 2048),
        Some(name) => {
            let workload = Workload::named(name).ok_or_else(|| {
                Error::Config(format!("unknown workload {name:?}; known: {}, W6-1024, W6-2048", NAMES.join(", ")))
            })?;
            training(args, device, name, workload?)
        }
        None => {
            let text = args.widths.as_deref().unwrap_or_default();
            training(args, device, text, Workload::new(shape(args, text)?)?)
        }
    }
}

fn shape(args: &Args, widths: &str) -> Result<Shape> {
    let (loss, output): (Loss, Activation) = (args.loss.parse()?, args.output_activation.parse()?);
    loss.check_output(output)?;
    let widths = crate::widths::parse(widths)?;
    let hidden = args.activation.parse()?;
    Ok(Shape { widths, hidden, output, loss, batch: args.batch, learning_rate: 0.01, check_steps: 3 })
}

fn training(args: &Args, device: &Device, name: &str, workload: Workload) -> Result<Measured> {
    let start = Instant::now();
    let Workload { network, loss, batch, learning_rate, values, inputs, targets, check_steps } = workload;
    let flops = network.training_flops(batch);
    let options = TrainerOptions {
        batch,
        learning_rate,
        planner: args.planner,
        precision: device.precision(args.precision)?.0,
        ..TrainerOptions::new(loss)
    };
    let mut trainer = Trainer::with_parameters(device, network, &values, options)?;
    trainer.load(&Batch { inputs: &inputs, targets: &targets })?;
    let dispatches = trainer.executor().plan().dispatches(args.planner.step());
    measure(args, device, start, &mut trainer, check_steps, |measured| Measured {
        workload: name.to_owned(),
        batch,
        flops,
        dispatches,
        ..measured
    })
}

fn product(args: &Args, device: &Device, n: usize) -> Result<Measured> {
    let start = Instant::now();
    let kernel = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store };
    let kernel = match device.precision(args.precision)?.0 {
        Precision::F32 => kernel,
        Precision::F16 => Mixed::of(kernel),
    };
    let slots = [Slot::Input, Slot::Params, Slot::Output];
    let infos = slots.iter().zip(kernel.bindings());
    let infos = infos.map(|(&slot, spec)| SlotInfo { slot, len: n * n, element: spec.element }).collect();
    let bindings = slots.iter().map(|&slot| Binding { slot, range: 0..n * n }).collect();
    let uniform = Uniform { dims: [n as u32, n as u32, n as u32, 0], ..Uniform::default() };
    let mut executor = device.executor(Plan::single(kernel, uniform, infos, bindings)?)?;
    for (slot, values) in slots.into_iter().zip(square_matrices(n)) {
        executor.write(slot, 0, &values)?;
    }
    let flops = 2.0 * (n as f64).powi(3);
    measure(args, device, start, &mut Product(executor), 0, |measured| Measured {
        workload: format!("W6-{n}"),
        flops,
        dispatches: 1,
        ..measured
    })
}

/// The protocol of the other libraries' programs: one step cold, a few for the check, growing blocks for two seconds,
/// then blocks of half a second, each ended by reading a result.
fn measure(
    args: &Args,
    device: &Device,
    start: Instant,
    subject: &mut dyn Subject,
    check_steps: usize,
    describe: impl FnOnce(Measured) -> Measured,
) -> Result<Measured> {
    const WARM_UP: f64 = 2.0;
    const BLOCK: f64 = 0.5;
    const LEAST_BLOCKS: usize = 3;
    let first_loss = subject.run(1)?;
    let first_step = start.elapsed();
    let mut check_loss = first_loss;
    for _ in 0..check_steps {
        check_loss = subject.run(1)?;
    }
    let warm = Instant::now();
    let (mut steps, mut rounds) = (1, 0);
    let step_s = loop {
        let block = Instant::now();
        subject.run(steps)?;
        rounds += 1;
        if rounds >= 2 && warm.elapsed().as_secs_f64() >= WARM_UP.min(args.seconds) {
            break block.elapsed().as_secs_f64() / steps as f64;
        }
        steps *= 2;
    };
    let steps = ((BLOCK / step_s).round() as usize).max(1);
    let (mut blocks, mut final_loss) = (Vec::new(), first_loss);
    let timed = Instant::now();
    while blocks.len() < LEAST_BLOCKS || timed.elapsed().as_secs_f64() < args.seconds {
        let block = Instant::now();
        final_loss = subject.run(steps)?;
        blocks.push(block.elapsed().as_secs_f64() / steps as f64);
    }
    blocks.sort_by(f64::total_cmp);
    Ok(describe(Measured {
        workload: String::new(),
        device: device.name(),
        planner: args.planner,
        precision: device.precision(args.precision)?.0,
        batch: 0,
        flops: 0.0,
        dispatches: 0,
        first_step,
        first_loss,
        check_loss,
        final_loss,
        blocks,
    }))
}

impl Measured {
    fn median(&self) -> f64 {
        let middle = self.blocks.len() / 2;
        if self.blocks.len() % 2 == 1 {
            self.blocks[middle]
        } else {
            0.5 * (self.blocks[middle - 1] + self.blocks[middle])
        }
    }

    fn spread(&self) -> (f64, f64) {
        (self.blocks[0], self.blocks[self.blocks.len() - 1])
    }

    /// The machine-readable object.
    pub fn json(&self) -> serde_json::Value {
        let (median, (least, most)) = (self.median(), self.spread());
        serde_json::json!({
            "workload": self.workload,
            "device": self.device,
            "planner": self.planner.name(),
            "precision": self.precision.name(),
            "step_ms_median": median * 1e3,
            "step_ms_min": least * 1e3,
            "step_ms_max": most * 1e3,
            "steps_per_s": 1.0 / median,
            "samples_per_s": self.batch as f64 / median,
            "gflops": self.flops / median / 1e9,
            "first_loss": self.first_loss,
            "check_loss": self.check_loss,
            "final_loss": self.final_loss,
            "first_step_s": self.first_step.as_secs_f64(),
            "blocks": self.blocks.len(),
            "dispatches_per_step": self.dispatches,
        })
    }
}

impl std::fmt::Display for Measured {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let (median, (least, most)) = (self.median(), self.spread());
        writeln!(f, "{} on {} in {}", self.workload, self.device, self.precision)?;
        let blocks = self.blocks.len();
        writeln!(
            f,
            "  step        {:.4} ms (median of {blocks} blocks; {:.4} to {:.4})",
            median * 1e3,
            least * 1e3,
            most * 1e3
        )?;
        writeln!(f, "  steps/s     {:.1}", 1.0 / median)?;
        if self.batch > 0 {
            writeln!(f, "  samples/s   {:.0}", self.batch as f64 / median)?;
        }
        writeln!(f, "  GFLOP/s     {:.2}", self.flops / median / 1e9)?;
        writeln!(f, "  dispatches  {} per step", self.dispatches)?;
        writeln!(f, "  first step  {:.3} s after the start, compilation included", self.first_step.as_secs_f64())?;
        write!(f, "  loss        {} first, {} at last", self.first_loss, self.final_loss)
    }
}
