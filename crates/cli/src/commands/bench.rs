//! `wgrad bench`: how fast training steps are, for the built-in workloads or any network.

use crate::context::{Context, note};
use crate::tuning::{PlannerChoice, TuneArgs, duration, report, sizes, to_json, warn};
use crate::words::table;
use crate::workload::{NAMES, Shape, Workload, square_matrices};
use serde_json::{Value, json};
use std::process::ExitCode;
use std::time::{Duration, Instant};
use wgrad::device::{DeviceChoice, Selection};
use wgrad::executor::Executor;
use wgrad::kernel::{Epilogue, Form, Kernel, Uniform, Variant};
use wgrad::plan::{Binding, Phase, Plan, Planner, Slot, SlotInfo, TrainingOptions};
use wgrad::tune::{Ceilings, Effort, Job, Pinned, Source, Tuner, Tuning, Variants, kernel_seconds};
use wgrad::{Activation, Batch, Device, Error, Loss, Result, Trainer, TrainerOptions};

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
    /// Who wires the step: auto (the fastest, measured) or a planner's name
    #[arg(long, default_value_t = PlannerChoice::Auto)]
    planner: PlannerChoice,
    #[command(flatten)]
    tune: TuneArgs,
    /// Time each kernel by itself too, beside the adapter's own ceilings: a copy and the best matrix product
    #[arg(long)]
    kernels: bool,
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
    /// The planner and the kernel variants that ran, and what choosing them took.
    tuning: Tuning,
    /// The kernels by themselves, where that was asked for.
    kernels: Option<Kernels>,
}

/// Runs the benchmark.
pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let mut bench =
        Bench { args, choice: context.choice(), tuner: args.tune.tuner(Effort::Budget), start: Instant::now() };
    let measured = bench.run()?;
    warn(&mut bench.tuner);
    context.say(&measured)?;
    report(&measured.tuning, context)?;
    if let Some(kernels) = &measured.kernels {
        context.say(format_args!("\n{kernels}"))?;
    }
    context.result(|| measured.json())?;
    Ok(ExitCode::SUCCESS)
}

fn shape(args: &Args, widths: &str) -> Result<Shape> {
    let (loss, output): (Loss, Activation) = (args.loss.parse()?, args.output_activation.parse()?);
    loss.check_output(output)?;
    let widths = crate::widths::parse(widths)?;
    let hidden = args.activation.parse()?;
    Ok(Shape { widths, hidden, output, loss, batch: args.batch, learning_rate: 0.01, check_steps: 3 })
}

/// A benchmark under way.
struct Bench<'a> {
    args: &'a Args,
    choice: DeviceChoice,
    tuner: Tuner,
    start: Instant,
}

impl Bench<'_> {
    fn run(&mut self) -> Result<Measured> {
        let args = self.args;
        if !(args.seconds >= 0.0 && args.seconds.is_finite()) {
            return Err(Error::Config(format!("--seconds must be finite and at least 0, found {}", args.seconds)));
        }
        match args.workload.as_deref() {
            Some("W6-1024") => self.product(1024),
            Some("W6-2048") => self.product(2048),
            Some(name) => {
                let workload = Workload::named(name).ok_or_else(|| {
                    Error::Config(format!("unknown workload {name:?}; known: {}, W6-1024, W6-2048", NAMES.join(", ")))
                })?;
                self.training(name, workload?)
            }
            None => {
                let text = args.widths.as_deref().unwrap_or_default();
                self.training(text, Workload::new(shape(args, text)?)?)
            }
        }
    }

    fn training(&mut self, name: &str, workload: Workload) -> Result<Measured> {
        let Workload { network, loss, batch, learning_rate, values, inputs, targets, check_steps } = workload;
        let flops = network.training_flops(batch);
        let options = TrainingOptions::new(batch, loss);
        let job = Job { network: &network, options, planner: self.args.planner.named(), steps: None };
        let selection = self.tuner.select(&self.choice, &job)?;
        let device = announced(selection);
        let tuning = self.tuner.tune(&device, &job)?;
        let planner = tuning.pinned.planner;
        let options = TrainerOptions { batch, learning_rate, planner, ..TrainerOptions::new(loss) };
        let mut trainer = Trainer::with_variants(&device, network, &values, options, tuning.pinned.choice())?;
        trainer.load(&Batch { inputs: &inputs, targets: &targets })?;
        let plan = trainer.executor().plan().clone();
        let dispatches = plan.dispatches(planner.step());
        let measured = self.measure(&device, &plan, tuning, &mut trainer, check_steps)?;
        Ok(Measured { workload: name.to_owned(), batch, flops, dispatches, ..measured })
    }

    fn product(&mut self, n: usize) -> Result<Measured> {
        let kernel = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store };
        let slots = [Slot::Input, Slot::Params, Slot::Output];
        let infos = slots.iter().zip(kernel.bindings());
        let infos = infos.map(|(&slot, spec)| SlotInfo { slot, len: n * n, element: spec.element }).collect();
        let bindings = slots.iter().map(|&slot| Binding { slot, range: 0..n * n }).collect();
        let uniform = Uniform { dims: [n as u32, n as u32, n as u32, 0], ..Uniform::default() };
        let plan = Plan::single(kernel, uniform, infos, bindings)?;
        let device = announced(Device::select(&self.choice)?);
        let begin = Instant::now();
        let verdicts = self.tuner.tune_plan(&device, &plan)?;
        let tuning = Tuning {
            pinned: Pinned { planner: Planner::default(), variants: Variants::of(&verdicts) },
            planners: Vec::new(),
            planner_source: Source::Heuristic,
            verdicts,
            seconds: begin.elapsed().as_secs_f64(),
            incomplete: None,
        };
        let mut executor = device.executor_with(plan.clone(), tuning.pinned.choice())?;
        for (slot, values) in slots.into_iter().zip(square_matrices(n)) {
            executor.write(slot, 0, &values)?;
        }
        let flops = 2.0 * (n as f64).powi(3);
        let measured = self.measure(&device, &plan, tuning, &mut Product(executor), 0)?;
        Ok(Measured { workload: format!("W6-{n}"), flops, dispatches: 1, ..measured })
    }

    /// The protocol of the other libraries' programs: one step cold, a few for the check, growing blocks for two seconds,
    /// then blocks of half a second, each ended by reading a result.
    fn measure(
        &self,
        device: &Device,
        plan: &Plan,
        tuning: Tuning,
        subject: &mut dyn Subject,
        check_steps: usize,
    ) -> Result<Measured> {
        const WARM_UP: f64 = 2.0;
        const BLOCK: f64 = 0.5;
        const LEAST_BLOCKS: usize = 3;
        let first_loss = subject.run(1)?;
        let first_step = self.start.elapsed();
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
            if rounds >= 2 && warm.elapsed().as_secs_f64() >= WARM_UP.min(self.args.seconds) {
                break block.elapsed().as_secs_f64() / steps as f64;
            }
            steps *= 2;
        };
        let steps = ((BLOCK / step_s).round() as usize).max(1);
        let (mut blocks, mut final_loss) = (Vec::new(), first_loss);
        let timed = Instant::now();
        while blocks.len() < LEAST_BLOCKS || timed.elapsed().as_secs_f64() < self.args.seconds {
            let block = Instant::now();
            final_loss = subject.run(steps)?;
            blocks.push(block.elapsed().as_secs_f64() / steps as f64);
        }
        blocks.sort_by(f64::total_cmp);
        let kernels = match self.args.kernels {
            true => Some(Kernels::measure(device, plan, &tuning.pinned)?),
            false => None,
        };
        Ok(Measured {
            workload: String::new(),
            device: device.name(),
            batch: 0,
            flops: 0.0,
            dispatches: 0,
            first_step,
            first_loss,
            check_loss,
            final_loss,
            blocks,
            tuning,
            kernels,
        })
    }
}

/// Says on standard error which device was taken.
fn announced(Selection { device, reason }: Selection) -> Device {
    note(format_args!("{:<12}{}: {reason}", "device", device.name()));
    device
}

/// Each kernel of a step by itself, and what the adapter can do at best.
struct Kernels {
    ceilings: Ceilings,
    timed: Vec<Timed>,
}

struct Timed {
    kernel: Kernel,
    dims: [u32; 4],
    variant: Variant,
    seconds: f64,
}

impl Timed {
    /// Floating-point operations and bytes moved in one run.
    fn work(&self) -> (f64, f64) {
        self.kernel.work(self.kernel.times(self.dims, 1))
    }

    /// The larger of the shares of the two ceilings that the kernel reaches, and which one it is of.
    fn share(&self, ceilings: &Ceilings) -> (f64, &'static str) {
        let (flops, bytes) = self.work();
        let product = flops / self.seconds / ceilings.product_flops_per_s;
        let copy = bytes / self.seconds / ceilings.copy_bytes_per_s;
        if product > copy { (product, "product") } else { (copy, "copy") }
    }
}

impl Kernels {
    fn measure(device: &Device, plan: &Plan, pinned: &Pinned) -> Result<Kernels> {
        let Device::Gpu(gpu) = device else {
            return Err(Error::Config("--kernels needs an adapter, found the CPU; use --device gpu".into()));
        };
        let ceilings = Ceilings::measure(gpu)?;
        let mut timed: Vec<Timed> = Vec::new();
        for step in &plan.steps {
            let (kernel, dims) = (&step.kernel, step.uniform.dims);
            if timed.iter().any(|other| other.kernel == *kernel && other.dims == dims) {
                continue;
            }
            let candidates = gpu.candidates(kernel, dims);
            let chosen = pinned.variants.get(kernel, dims);
            let named = candidates.iter().find(|variant| Some(variant.to_string().as_str()) == chosen);
            let Some(&variant) = named.or(candidates.first()) else { continue };
            let seconds = kernel_seconds(device, kernel, variant, dims, None)?;
            timed.push(Timed { kernel: kernel.clone(), dims, variant, seconds });
        }
        Ok(Kernels { ceilings, timed })
    }

    fn json(&self) -> Value {
        let timed = self.timed.iter().map(|timed| {
            let (flops, bytes) = timed.work();
            let (share, of) = timed.share(&self.ceilings);
            json!({
                "kernel": timed.kernel.to_string(),
                "dims": timed.dims,
                "variant": timed.variant.to_string(),
                "seconds": timed.seconds,
                "gflops": flops / timed.seconds / 1e9,
                "gbytes_per_s": bytes / timed.seconds / 1e9,
                "share": share,
                "share_of": of,
            })
        });
        json!({
            "copy_gbytes_per_s": self.ceilings.copy_bytes_per_s / 1e9,
            "product_gflops": self.ceilings.product_flops_per_s / 1e9,
            "timed": timed.collect::<Vec<_>>(),
        })
    }
}

impl std::fmt::Display for Kernels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Ceilings { copy_bytes_per_s: copy, product_flops_per_s: product } = self.ceilings;
        writeln!(f, "ceilings: a copy {:.1} GB/s, the best product {:.1} GFLOP/s\n", copy / 1e9, product / 1e9)?;
        let mut rows = vec![
            ["kernel", "sizes", "variant", "time", "GFLOP/s", "GB/s", "of its ceiling"].map(String::from).to_vec(),
        ];
        for timed in &self.timed {
            let (flops, bytes) = timed.work();
            let (share, of) = timed.share(&self.ceilings);
            rows.push(vec![
                timed.kernel.to_string(),
                sizes(timed.dims),
                timed.variant.to_string(),
                duration(timed.seconds),
                format!("{:.2}", flops / timed.seconds / 1e9),
                format!("{:.2}", bytes / timed.seconds / 1e9),
                format!("{:.0} % of {of}", 100.0 * share),
            ]);
        }
        f.write_str(&table(&rows))
    }
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
            "planner": self.tuning.pinned.planner.name(),
            "variants": self.tuning.pinned.variants,
            "tuning_s": self.tuning.seconds,
            "tuning": to_json(&self.tuning),
            "kernels": self.kernels.as_ref().map(Kernels::json),
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
        writeln!(f, "{} on {}", self.workload, self.device)?;
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
