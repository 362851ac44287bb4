//! The forward pass alone: outputs, and their derivatives by the inputs.

use crate::data::Matrix;
use crate::device::Device;
use crate::executor::{Executor, Readback};
use crate::gpu::VariantChoice;
use crate::jet::{Components, Derivative};
use crate::network::Network;
use crate::params::Params;
use crate::plan::{Phase, Plan, Planner, Slot};
use crate::{Error, Result};

/// Computes a network's outputs, in batches, without storing what only training needs.
pub struct Predictor {
    network: Network,
    executor: Box<dyn Executor>,
}

impl Predictor {
    /// A predictor that takes `batch` rows at a time. `values` are the parameters, laid out by [`Params::of`].
    pub fn new(device: &Device, network: &Network, values: &[f32], batch: usize) -> Result<Self> {
        Self::by(Planner::LayerWise, device, network, values, batch)
    }

    /// A predictor whose plan is wired by `planner`.
    ///
    /// # Errors
    /// Where the planner does not take the network, or the device cannot hold it.
    pub fn by(planner: Planner, device: &Device, network: &Network, values: &[f32], batch: usize) -> Result<Self> {
        Self::with_variants(planner, device, network, values, batch, VariantChoice::Heuristic)
    }

    /// The same with given kernel variants, such as a [`Tuner`](crate::tune::Tuner) recalls.
    pub fn with_variants(
        planner: Planner,
        device: &Device,
        network: &Network,
        values: &[f32],
        batch: usize,
        variants: VariantChoice,
    ) -> Result<Self> {
        let plan = Plan::prediction_by(planner, network, batch)?;
        let params = Params::of(network);
        if values.len() != params.len {
            return Err(Error::shape("the parameter arena", params.len, values.len()));
        }
        let mut executor = device.executor_with(plan, variants)?;
        executor.write(Slot::Params, 0, values)?;
        Ok(Predictor { network: network.clone(), executor })
    }

    /// The outputs `[rows, outputs]` for `inputs` as `[rows, inputs]`.
    pub fn predict(&mut self, inputs: &Matrix) -> Result<Matrix> {
        let mut all = Vec::with_capacity(inputs.rows * self.network.outputs());
        self.predict_each(inputs, |outputs| {
            all.extend_from_slice(outputs);
            Ok(())
        })?;
        Matrix::new(inputs.rows, self.network.outputs(), all)
    }

    /// Hands the outputs for `inputs`, `[rows, inputs]`, to `take` batch by batch, in order: one batch is computed and the
    /// next one streamed while `take` works. Neither device nor host hold more than two batches.
    pub fn predict_each(&mut self, inputs: &Matrix, mut take: impl FnMut(&[f32]) -> Result<()>) -> Result<()> {
        if inputs.cols != self.network.inputs {
            return Err(Error::shape("inputs per row", self.network.inputs, inputs.cols));
        }
        let (batch, outputs) = (self.executor.plan().batch, self.network.outputs());
        let mut pending: Option<Readback> = None;
        for rows in inputs.data.chunks(batch * inputs.cols) {
            self.executor.stream(Slot::Input, 0..rows.len(), &mut std::iter::once(rows))?;
            inputs.data.release();
            let range = 0..rows.len() / inputs.cols * outputs;
            let next = self.executor.run_and_read(Phase::FORWARD, 1, Slot::Output, range)?;
            if let Some(before) = pending.replace(next) {
                take(&before.wait()?)?;
            }
        }
        pending.map_or(Ok(()), |last| take(&last.wait()?))
    }
}

/// Rows that [`derivatives`] computes at a time.
const ROWS: usize = 1024;

/// Derivatives of a network's outputs with respect to its inputs, in one matrix `[rows, outputs]` for each that is `wanted`:
/// `[0, 0]` is `∂²/∂x₀²`, `[]` the outputs themselves. `values` are the parameters, laid out by [`Params::of`], `inputs` is
/// `[rows, inputs]`.
///
/// # Errors
/// Where an activation is not smooth, an input does not exist, or the device cannot hold the network.
pub fn derivatives(
    device: &Device,
    network: &Network,
    values: &[f32],
    inputs: &Matrix,
    wanted: &[Derivative],
) -> Result<Vec<Matrix>> {
    if inputs.cols != network.inputs {
        return Err(Error::shape("inputs per row", network.inputs, inputs.cols));
    }
    if let Some(&input) = wanted.iter().flatten().find(|&&input| input >= network.inputs) {
        let expected = format!("one of the inputs 0 to {}", network.inputs - 1);
        return Err(Error::shape("a derivative's input", expected, input));
    }
    let components = Components::closure(wanted.iter().cloned());
    let batch = inputs.rows.clamp(1, ROWS);
    let plan = Plan::jet_prediction(network, batch, &components)?;
    if values.len() != plan.params.len {
        return Err(Error::shape("the parameter arena", plan.params.len, values.len()));
    }
    let mut executor = device.executor(plan)?;
    executor.write(Slot::Params, 0, values)?;
    let size = batch * network.outputs();
    let mut found = vec![Vec::with_capacity(inputs.rows * network.outputs()); wanted.len()];
    for rows in inputs.data.chunks(batch * inputs.cols) {
        executor.write(Slot::Input, 0, rows)?;
        let jets = executor.run_and_read(Phase::FORWARD, 1, Slot::Output, 0..components.len() * size)?.wait()?;
        for (found, derivative) in found.iter_mut().zip(wanted) {
            let mut sorted = derivative.clone();
            sorted.sort_unstable();
            let component = components.position(&sorted).unwrap_or(0);
            found.extend_from_slice(&jets[component * size..][..rows.len() / inputs.cols * network.outputs()]);
        }
    }
    found.into_iter().map(|found| Matrix::new(inputs.rows, network.outputs(), found)).collect()
}
