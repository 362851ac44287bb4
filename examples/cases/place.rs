//! Where a case is computed: the f64 reference, the CPU twins in f64, a device in f32.

use wgrad::cpu::{CpuExecutor, Products};
use wgrad::executor::Executor;
use wgrad::plan::{Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use wgrad::reference::{Gradients, Reference};
use wgrad::{
    Batch, Dataset, Device, Error, Loss, Matrix, Network, Params, Predictor, Result, Trainer, TrainerOptions, data,
    train,
};

/// A network, a loss, and samples to learn by plain gradient descent.
#[derive(Clone)]
pub struct Problem {
    pub network: Network,
    pub loss: Loss,
    pub learning_rate: f64,
    /// `[rows, inputs]`
    pub inputs: Vec<f64>,
    /// `[rows, outputs]`
    pub targets: Vec<f64>,
}

impl Problem {
    pub fn rows(&self) -> usize {
        self.inputs.len() / self.network.inputs
    }

    /// Row `i` alone.
    fn row(&self, i: usize) -> Problem {
        let row = |all: &[f64], width: usize| all[i * width..][..width].to_vec();
        let (inputs, targets) = (row(&self.inputs, self.network.inputs), row(&self.targets, self.network.outputs()));
        Problem { inputs, targets, ..self.clone() }
    }
}

/// Parameters after training.
pub struct Trained {
    /// An arena laid out by [`Params`].
    pub values: Vec<f64>,
    /// The loss before each update.
    pub losses: Vec<f64>,
}

pub trait Place {
    fn name(&self) -> String;

    /// The relative error of rounding a parameter: 2⁻⁵³ or 2⁻²⁴.
    fn roundoff(&self) -> f64;

    /// Whether it computes in f64; in f32 otherwise.
    fn is_double(&self) -> bool {
        self.roundoff() < f64::from(f32::EPSILON) / 2.0
    }

    /// How near the numbers of a single step must come, relatively.
    fn single_step(&self) -> f64 {
        if self.is_double() { 1e-9 } else { 2e-5 }
    }

    /// The learning rate that the place uses for `rate`.
    fn learning_rate(&self, rate: f64) -> f64;

    /// What `network` with the parameters `values` puts out, `[rows, outputs]`.
    fn forward(&self, network: &Network, values: &[f64], inputs: &[f64]) -> Result<Vec<f64>>;

    /// The loss and its derivatives, those by frozen parameters too. Only the reference gives deltas.
    fn gradients(&self, problem: &Problem, values: &[f64]) -> Result<Gradients>;

    /// `steps` updates from `values` on, each by the gradient over all samples.
    fn train(&self, problem: &Problem, values: &[f64], steps: usize) -> Result<Trained> {
        let mut trained = Trained { values: values.to_vec(), losses: Vec::with_capacity(steps) };
        for _ in 0..steps {
            let gradients = self.gradients(problem, &trained.values)?;
            update(problem, &mut trained.values, &gradients.params);
            trained.losses.push(gradients.loss);
        }
        Ok(trained)
    }

    /// The parameters after one update per sample, in order, from `values` on.
    fn train_in_order(&self, problem: &Problem, values: &[f64]) -> Result<Vec<f64>> {
        let mut values = values.to_vec();
        for i in 0..problem.rows() {
            let gradients = self.gradients(&problem.row(i), &values)?;
            update(problem, &mut values, &gradients.params);
        }
        Ok(values)
    }
}

/// `p ← p − lr ∂C/∂p` for the parameters that are not frozen.
fn update(problem: &Problem, values: &mut [f64], gradients: &[f64]) {
    for i in Params::of(&problem.network).tensors.iter().filter(|tensor| tensor.trainable).flat_map(|t| t.range()) {
        values[i] -= problem.learning_rate * gradients[i];
    }
}

/// The library's oracle. It updates by the textbook, in f64 throughout.
pub struct Oracle;

impl Place for Oracle {
    fn name(&self) -> String {
        "f64 reference".into()
    }

    fn roundoff(&self) -> f64 {
        f64::EPSILON / 2.0
    }

    fn learning_rate(&self, rate: f64) -> f64 {
        rate
    }

    fn forward(&self, network: &Network, values: &[f64], inputs: &[f64]) -> Result<Vec<f64>> {
        Reference::new(network, Loss::HalfSumOfSquares)?.forward(values, inputs, inputs.len() / network.inputs)
    }

    fn gradients(&self, problem: &Problem, values: &[f64]) -> Result<Gradients> {
        let reference = Reference::new(&problem.network, problem.loss)?;
        reference.gradients(values, &problem.inputs, &problem.targets, problem.rows())
    }
}

/// The plan and the CPU twins that devices are held to, in f64 instead of f32: shows that the steps are right where
/// f32 would blur the digits. The plan's schedule holds the learning rate in f32.
pub struct Twins;

impl Twins {
    fn executor(&self, problem: &Problem, values: &[f64], steps: usize) -> Result<CpuExecutor<f64>> {
        let Problem { network, loss, inputs, targets, .. } = problem;
        let rows = problem.rows();
        let options = TrainingOptions { steps, all_gradients: true, ..TrainingOptions::new(rows, *loss) };
        let mut executor = CpuExecutor::new(Plan::training(network, &options)?, Products::Naive)?;
        for (slot, values) in [(Slot::Params, values), (Slot::Input, inputs), (Slot::Target, targets)] {
            executor.write_values(slot, 0, values)?;
        }
        let loss_scale = loss.reduction().scale(rows, network.outputs()) as f32;
        let learning_rate = problem.learning_rate as f32;
        executor.schedule(&vec![ScheduleEntry::training(learning_rate, loss_scale, rows); steps])?;
        Ok(executor)
    }
}

impl Place for Twins {
    fn name(&self) -> String {
        "f64 CPU executor".into()
    }

    fn roundoff(&self) -> f64 {
        Oracle.roundoff()
    }

    fn learning_rate(&self, rate: f64) -> f64 {
        f64::from(rate as f32)
    }

    fn forward(&self, network: &Network, values: &[f64], inputs: &[f64]) -> Result<Vec<f64>> {
        let plan = Plan::prediction(network, inputs.len() / network.inputs)?;
        let mut executor = CpuExecutor::new(plan, Products::Naive)?;
        executor.write_values(Slot::Params, 0, values)?;
        executor.write_values(Slot::Input, 0, inputs)?;
        executor.run(Phase::FORWARD, 1)?;
        Ok(executor.values(Slot::Output)?.to_vec())
    }

    fn gradients(&self, problem: &Problem, values: &[f64]) -> Result<Gradients> {
        let mut executor = self.executor(problem, values, 1)?;
        executor.run(Planner::LayerWise.gradients(), 1)?;
        Ok(Gradients {
            loss: executor.values(Slot::Losses)?[0],
            params: executor.values(Slot::Gradients)?.to_vec(),
            input: executor.values(Slot::InputGradient)?.to_vec(),
            deltas: Vec::new(),
        })
    }

    fn train(&self, problem: &Problem, values: &[f64], steps: usize) -> Result<Trained> {
        let mut executor = self.executor(problem, values, steps)?;
        executor.run(Planner::LayerWise.step(), steps)?;
        let (values, losses) = (executor.values(Slot::Params)?, executor.values(Slot::Losses)?);
        Ok(Trained { values: values.to_vec(), losses: losses.to_vec() })
    }
}

/// The library as users meet it, in f32.
impl Place for Device {
    fn name(&self) -> String {
        Device::name(self)
    }

    fn roundoff(&self) -> f64 {
        wgrad::compare::UNIT_ROUNDOFF
    }

    fn learning_rate(&self, rate: f64) -> f64 {
        Twins.learning_rate(rate)
    }

    fn forward(&self, network: &Network, values: &[f64], inputs: &[f64]) -> Result<Vec<f64>> {
        let rows = inputs.len() / network.inputs;
        let inputs = Matrix::new(rows, network.inputs, single(inputs))?;
        Ok(double(&Predictor::new(self, network, &single(values), rows)?.predict(&inputs)?.data))
    }

    fn gradients(&self, problem: &Problem, values: &[f64]) -> Result<Gradients> {
        let (inputs, targets) = (&single(&problem.inputs), &single(&problem.targets));
        let batch = Batch { inputs, targets };
        let found = train::gradients(self, &problem.network, &single(values), problem.loss, &batch)?;
        let (params, input) = (double(&found.params), double(&found.input));
        Ok(Gradients { loss: found.loss.into(), params, input, deltas: Vec::new() })
    }

    /// Nothing is read back between the steps.
    fn train(&self, problem: &Problem, values: &[f64], steps: usize) -> Result<Trained> {
        let mut trainer = trainer(self, problem, values, problem.rows(), steps)?;
        trainer.load(&Batch { inputs: &single(&problem.inputs), targets: &single(&problem.targets) })?;
        trainer.repeat(steps)?;
        Ok(Trained { values: double(&trainer.parameters()?), losses: double(&trainer.losses()?) })
    }

    fn train_in_order(&self, problem: &Problem, values: &[f64]) -> Result<Vec<f64>> {
        let mut trainer = trainer(self, problem, values, 1, 1)?;
        trainer.fit_in_order(&dataset(problem)?)?;
        Ok(double(&trainer.parameters()?))
    }
}

fn trainer(device: &Device, problem: &Problem, values: &[f64], batch: usize, losses_kept: usize) -> Result<Trainer> {
    let learning_rate = problem.learning_rate as f32;
    let options = TrainerOptions { learning_rate, batch, losses_kept, ..TrainerOptions::new(problem.loss) };
    Trainer::with_parameters(device, problem.network.clone(), &single(values), options)
}

fn dataset(problem: &Problem) -> Result<Dataset> {
    let matrix = |cols: usize, data: &[f64]| Matrix::new(problem.rows(), cols, single(data));
    let names = |what: &str, cols: usize| (0..cols).map(|i| format!("{what} {i}")).collect();
    let (inputs, outputs) = (problem.network.inputs, problem.network.outputs());
    Ok(Dataset {
        name: "samples".into(),
        features: names("input", inputs),
        task: data::Task::Regression { outputs: names("output", outputs) },
        inputs: matrix(inputs, &problem.inputs)?,
        targets: matrix(outputs, &problem.targets)?,
        weights: None,
    })
}

fn single(values: &[f64]) -> Vec<f32> {
    values.iter().map(|&x| x as f32).collect()
}

fn double(values: &[f32]) -> Vec<f64> {
    values.iter().copied().map(f64::from).collect()
}

/// The parameters of `network` in an arena, from their numbers in order.
pub fn arena(network: &Network, numbers: &[f64]) -> Result<Vec<f64>> {
    let params = Params::of(network);
    if params.count() != numbers.len() {
        return Err(Error::Config(format!("{network} has {} parameters, given are {}", params.count(), numbers.len())));
    }
    let mut arena = vec![0.0; params.len];
    params.tensors.iter().flat_map(|tensor| tensor.range()).zip(numbers).for_each(|(i, &x)| arena[i] = x);
    Ok(arena)
}

/// The part of an arena called `name`; empty where there is none.
pub fn tensor<'a>(network: &Network, arena: &'a [f64], name: &str) -> &'a [f64] {
    Params::of(network).named(name).map_or(&[], |tensor| &arena[tensor.range()])
}
