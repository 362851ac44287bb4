//! The forward pass alone.

use crate::data::Matrix;
use crate::device::Device;
use crate::executor::Executor;
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
        let plan = Plan::prediction_by(planner, network, batch)?;
        let params = Params::of(network);
        if values.len() != params.len {
            return Err(Error::shape("the parameter arena", params.len, values.len()));
        }
        let mut executor = device.executor(plan)?;
        executor.write(Slot::Params, 0, values)?;
        Ok(Predictor { network: network.clone(), executor })
    }

    /// The outputs `[rows, outputs]` for `inputs` as `[rows, inputs]`.
    pub fn predict(&mut self, inputs: &Matrix) -> Result<Matrix> {
        if inputs.cols != self.network.inputs {
            return Err(Error::shape("inputs per row", self.network.inputs, inputs.cols));
        }
        let (batch, outputs) = (self.executor.plan().batch, self.network.outputs());
        let mut all = Vec::with_capacity(inputs.rows * outputs);
        for rows in inputs.data.chunks(batch * inputs.cols) {
            self.executor.write(Slot::Input, 0, rows)?;
            self.executor.run(Phase::FORWARD, 1)?;
            let count = rows.len() / inputs.cols * outputs;
            all.extend(self.executor.read(Slot::Output, 0..count)?.wait()?);
        }
        Matrix::new(inputs.rows, outputs, all)
    }
}
