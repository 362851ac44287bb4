//! The training step for a loss with derivatives of the output by the inputs: the layer-wise step on [jets](crate::jet),
//! whose components are further rows of every matrix.

use super::{Binding, Phase, Plan, ScheduleEntry, Slot, TrainingOptions, Wiring, whole};
use crate::activation::Activation;
use crate::jet::Components;
use crate::kernel::{Epilogue, Form, Jet, JetPass, Kernel};
use crate::loss::Equation;
use crate::network::{Bias, Network};
use crate::params::{Params, Role};
use crate::precision::Precision;
use crate::{Error, Result};
use std::sync::Arc;

/// Checks that the options suit jets.
pub(super) fn fits(options: &TrainingOptions) -> Result<()> {
    if options.precision == Precision::F32 {
        return Ok(());
    }
    Err(Error::Config(format!(
        "losses with derivatives of the output are computed in f32 alone, found the precision {}",
        options.precision
    )))
}

impl Plan {
    /// `z = W a` for all components at once, then `z + b` and the jet of `f(z)` (kernel `jet_activation`); the loss and its
    /// derivatives by the output's jet (`jet_loss`); back through each `f` (`jet_delta`) and `W`. Weight gradients sum over
    /// the rows of all components, bias gradients over those of the value.
    pub(super) fn jets(network: &Network, options: &TrainingOptions, equation: Equation) -> Result<Plan> {
        equation.check(network)?;
        let components = equation.components();
        let params = Params::of(network);
        let mut plan = Plan { batch: options.batch, params: params.clone(), ..Plan::default() };
        let rows = rows(options.batch, components)?;
        super::check_batch(network, rows)?;
        let (loss, precision) = (Some(options.loss), Precision::F32);
        let keeping = options.keeping(network, &params);
        let biased = options.batch;
        let wiring = Wiring { network, params: &params, batch: rows, biased, loss, precision, keeping };
        let last = network.layers.len() - 1;

        if options.data_rows > 0 {
            plan.gather(network, options)?;
        }
        plan.add(Slot::Params, params.len);
        plan.jet_forward(&wiring, components)?;
        let data = equation.text().data.len();
        let of_rows = vec![
            plan.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            plan.words(Slot::Clock, 1),
            whole(Slot::Input, options.batch * network.inputs),
            whole(Slot::Output, rows * network.outputs()),
            plan.add(Slot::Target, (options.batch * data).max(1)),
        ];
        let dims = [options.batch, network.outputs(), network.inputs, data];
        let bindings =
            [of_rows.clone(), vec![plan.grow(wiring.delta(last)), plan.add(Slot::RowLoss, options.batch)]].concat();
        plan.push(Phase::Loss, jet(components, JetPass::Loss(equation))?, dims, bindings, "loss and its derivatives")?;

        plan.add_gradients(&wiring);
        for i in (0..=last).rev() {
            plan.jet_backward(&wiring, components, i, options.all_gradients)?;
            plan.update_layer(&wiring, i, options)?;
        }
        if options.all_gradients {
            let gradient = whole(Slot::InputGradient, options.batch * network.inputs);
            let bindings = [of_rows, vec![gradient]].concat();
            let kernel = jet(components, JetPass::InputGradient(equation))?;
            plan.push(Phase::Backward, kernel, dims, bindings, "input gradient of the equation itself")?;
        }
        plan.change(&params, keeping, options)?;
        plan.record(Phase::Finish, Kernel::LossSum, whole(Slot::RowLoss, options.batch), options.batch)?;
        plan.validate()?;
        Ok(plan)
    }

    /// The forward pass alone, on the jets of `components`: the output slot holds one component behind the other.
    ///
    /// # Errors
    /// [`Error::Config`] where an activation is not smooth, or the batch is too large.
    pub fn jet_prediction(network: &Network, batch: usize, components: &Components) -> Result<Plan> {
        network.validate()?;
        check_smooth(network, components)?;
        let rows = rows(batch, components)?;
        super::check_batch(network, rows)?;
        let params = Params::of(network);
        let mut plan = Plan { batch, params: params.clone(), ..Plan::default() };
        let wiring = Wiring::of_prediction(network, &params, rows, batch);
        plan.add(Slot::Params, params.len);
        plan.jet_forward(&wiring, components)?;
        plan.validate()?;
        Ok(plan)
    }

    /// The jets of the inputs and what the layers make of them.
    fn jet_forward(&mut self, wiring: &Wiring<'_>, components: &Components) -> Result<()> {
        let input = self.add(Slot::Input, wiring.biased * wiring.network.inputs);
        if components.len() > 1 {
            let bindings = vec![input, self.add(Slot::InputJets, wiring.batch * wiring.network.inputs)];
            let dims = [wiring.biased, wiring.network.inputs];
            self.push(Phase::Forward, jet(components, JetPass::Input)?, dims, bindings, "jets of the input")?;
        }
        (0..wiring.network.layers.len()).try_for_each(|i| self.jet_layer(wiring, components, i))
    }

    fn jet_layer(&mut self, wiring: &Wiring<'_>, components: &Components, i: usize) -> Result<()> {
        let layer = &wiring.network.layers[i];
        let z = self.grow(preactivation(wiring, i));
        let product = Kernel::Matmul { form: Form::Nt, epilogue: Epilogue::Store };
        let dims = [wiring.batch, layer.outputs, wiring.network.layer_inputs(i)];
        let bindings = vec![wiring.input(i), wiring.weight(i)?, z.clone()];
        self.push(Phase::Forward, product, dims, bindings, format!("layers.{i} product"))?;
        let mut bindings = vec![z, self.grow(wiring.output(i))];
        if layer.bias != Bias::None {
            bindings.push(wiring.param(i, Role::Bias)?);
        }
        let pass = JetPass::Activation { activation: layer.activation, bias: layer.bias };
        let dims = [wiring.biased, layer.outputs];
        self.push(Phase::Forward, jet(components, pass)?, dims, bindings, format!("layers.{i} activation"))
    }

    fn jet_backward(&mut self, wiring: &Wiring<'_>, components: &Components, i: usize, all: bool) -> Result<()> {
        let layer = &wiring.network.layers[i];
        // Behind a linear unit the two are the same.
        if layer.activation != Activation::Linear {
            let bindings = vec![preactivation(wiring, i), wiring.delta(i)];
            let pass = JetPass::Delta { activation: layer.activation };
            let dims = [wiring.biased, layer.outputs];
            self.push(Phase::Backward, jet(components, pass)?, dims, bindings, format!("layers.{i} delta"))?;
        }
        self.weight_gradient(wiring, i, all)?;
        self.bias_gradient(wiring, i, all)?;
        let product = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store };
        let inputs = wiring.network.layer_inputs(i);
        if i > 0 && (all || wiring.trainable_below(i)) {
            let bindings = vec![wiring.delta(i), wiring.weight(i)?, wiring.delta(i - 1)];
            let dims = [wiring.batch, inputs, layer.outputs];
            self.push(Phase::Backward, product, dims, bindings, format!("layers.{} arriving", i - 1))?;
        } else if i == 0 && all {
            // Only the value depends on the input: its derivatives by the inputs are ones and zeros.
            let value = Binding { range: 0..wiring.biased * layer.outputs, ..wiring.delta(0) };
            let bindings = vec![value, wiring.weight(0)?, self.add(Slot::InputGradient, wiring.biased * inputs)];
            let dims = [wiring.biased, inputs, layer.outputs];
            self.push(Phase::Backward, product, dims, bindings, "input gradient")?;
        }
        Ok(())
    }
}

/// Rows of a matrix of jets.
fn rows(batch: usize, components: &Components) -> Result<usize> {
    let rows = batch.checked_mul(components.len()).filter(|&rows| u32::try_from(rows).is_ok());
    rows.ok_or_else(|| {
        Error::Config(format!(
            "a batch of {batch} rows with {} derivatives each is more than 2³² - 1 rows; use a smaller batch",
            components.len()
        ))
    })
}

/// Checks that every derivative of every order exists.
pub(crate) fn check_smooth(network: &Network, components: &Components) -> Result<()> {
    for (i, layer) in network.layers.iter().enumerate() {
        if components.len() > 1 && !layer.activation.is_smooth()? {
            return Err(Error::Config(format!(
                "derivatives of the output need smooth activations, but layer {i} has {}, whose derivative jumps; use \
                 tanh, sine, softplus, silu or gelu",
                layer.activation
            )));
        }
    }
    Ok(())
}

fn jet(components: &Components, pass: JetPass) -> Result<Kernel> {
    Ok(Kernel::Jet(Arc::new(Jet::new(components.clone(), pass)?)))
}

fn preactivation(wiring: &Wiring<'_>, i: usize) -> Binding {
    whole(Slot::Preactivation(i), wiring.batch * wiring.network.layers[i].outputs)
}
