//! The resident training step: one dispatch, and many steps in it. What only evaluates runs layer by layer.

use super::{Phase, Plan, Planner, ScheduleEntry, Slot, TrainingOptions};
use crate::kernel::resident::Pass;
use crate::kernel::{Kernel, Resident, Whole};
use crate::network::Network;
use crate::params::Params;
use crate::{Error, Result};
use std::sync::Arc;

/// WebGPU's default limit on storage buffers.
const MOST_BINDINGS: usize = 8;

fn kernel(network: &Network, options: &TrainingOptions, pass: Pass) -> Resident {
    let whole = Whole { network: network.clone(), loss: options.loss, rule: options.optimizer.rule() };
    Resident { whole, pass, memory: options.workgroup_memory }
}

/// Whether parameters, gradients and state lie in a workgroup's memory with a row of the batch at least, and a step is
/// soon done.
pub(super) fn fits(network: &Network, options: &TrainingOptions) -> Result<()> {
    network.validate()?;
    network.check_plain("the planner resident")?;
    let refuse = |why: String| {
        let instead = "use the planner layerwise";
        Err(Error::Config(format!("the network {network} cannot stay in a workgroup's memory: {why}; {instead}")))
    };
    let resident = kernel(network, options, Pass::GatheredSteps);
    if resident.rows() == 0 {
        let (needed, allowed) = (resident.least_memory(), options.workgroup_memory);
        return refuse(format!("it needs {needed} bytes with its gradients and one sample, there are {allowed}"));
    }
    if resident.most_steps(options.batch) == 0 {
        return refuse(format!("a step on {} rows is too long for one dispatch", options.batch));
    }
    let bindings = Kernel::Resident(Arc::new(resident)).bindings().len();
    if bindings > MOST_BINDINGS {
        let name = options.optimizer.rule().name();
        return refuse(format!("the state of {name} makes {bindings} buffers, and {MOST_BINDINGS} can be bound"));
    }
    Ok(())
}

impl Plan {
    pub(super) fn resident(network: &Network, options: &TrainingOptions) -> Result<Plan> {
        let mut plan = Plan { batch: options.batch, params: Params::of(network), ..Plan::default() };
        if options.data_rows > 0 {
            plan = Plan::layer_wise(network, &TrainingOptions { all_gradients: false, ..*options })?;
            plan = plan.only(Planner::Resident.gathered_loss());
            plan.whole_network(network, options, Pass::GatheredSteps)?;
        }
        plan.planner = Planner::Resident;
        plan.whole_network(network, options, Pass::Steps)?;
        if options.all_gradients {
            plan.whole_network(network, options, Pass::Gradients)?;
        }
        plan.validate()?;
        Ok(plan)
    }

    fn whole_network(&mut self, network: &Network, options: &TrainingOptions, pass: Pass) -> Result<()> {
        let (batch, rows, arena) = (options.batch, options.data_rows, self.params.len);
        let targets = options.target_width(network);
        let kernel = kernel(network, options, pass);
        let mut bindings =
            vec![self.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS), self.words(Slot::Clock, 1)];
        match pass {
            Pass::GatheredSteps => bindings.extend([
                self.words(Slot::Order, rows),
                self.add(Slot::DataInputs, rows * network.inputs),
                self.add(Slot::DataTargets, rows * targets),
            ]),
            Pass::Steps | Pass::Gradients => bindings
                .extend([self.add(Slot::Input, batch * network.inputs), self.add(Slot::Target, batch * targets)]),
        }
        bindings.extend([self.add(Slot::Params, arena), self.add(Slot::Losses, options.steps)]);
        let (phase, steps, label) = match pass {
            Pass::Steps => (Phase::Steps, kernel.most_steps(batch), "training steps"),
            Pass::GatheredSteps => (Phase::GatheredSteps, kernel.most_steps(batch), "training steps by index"),
            Pass::Gradients => (Phase::Backward, 1, "every gradient"),
        };
        if pass == Pass::Gradients {
            let input = self.add(Slot::InputGradient, batch * network.inputs);
            bindings.extend([self.add(Slot::Gradients, arena), input]);
        } else {
            bindings.extend((0..kernel.whole.rule.states()).map(|i| self.add(Slot::State(i), arena)));
        }
        let dims = [batch, steps as usize, rows, options.weighted.into()];
        self.push(phase, Kernel::Resident(Arc::new(kernel)), dims, bindings, label)?;
        if let Some(step) = self.steps.last_mut() {
            step.uniform.hyper = options.optimizer.hyper();
        }
        Ok(())
    }
}
