//! The wiring of the layer-wise planner, in [`Plan::layer_wise`].

use super::treatment::Keeping;
use super::{Binding, Phase, Plan, ScheduleEntry, Slot, TrainingOptions, check_batch, dimension, treatment, whole};
use crate::activation::{Activation, Stored};
use crate::kernel::mixed::SCALER_LEN;
use crate::kernel::{Block, Epilogue, Form, Kernel, Mixed};
use crate::loss::Loss;
use crate::network::{Bias, Network, Normalization};
use crate::optimizer::Rule;
use crate::params::{Params, Role, Tensor};
use crate::precision::Precision;
use crate::{Error, Result};
use std::ops::Range;

impl Plan {
    /// The layer-wise training step: one matrix product per layer forward, two backward, and the update.
    ///
    /// Where gradients are kept, and with them deltas, [`Keeping`] says.
    ///
    /// The four equations, with ⊙ the element-wise product: `δ_L = ∇_a C ⊙ f′(z_L)` (kernel `loss`),
    /// `δ_l = (δ_{l+1} W_{l+1}) ⊙ f′(z_l)` (`matmul_nn × f′`), `∂C/∂b_l = Σ_rows δ_l` (`column_sum`),
    /// `∂C/∂W_l = δ_lᵀ a_{l-1}` (`matmul_tn`). Rows of a matrix are samples.
    pub(super) fn layer_wise(network: &Network, options: &TrainingOptions) -> Result<Plan> {
        let params = Params::of(network);
        let mut plan = Plan { batch: options.batch, params: params.clone(), ..Plan::default() };
        let (batch, loss, precision) = (options.batch, Some(options.loss), options.precision);
        let keeping = options.keeping(network, &params);
        let wiring = Wiring { network, params: &params, batch, biased: batch, loss, precision, keeping };
        let last = network.layers.len() - 1;

        if options.data_rows > 0 {
            plan.gather(network, options)?;
        }
        plan.add(Slot::Params, params.len);
        plan.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS);
        if precision == Precision::F16 {
            plan.cast()?;
        }
        for i in 0..=last {
            plan.forward(&wiring, i)?;
        }

        let activation = wiring.activation(last);
        let mut bindings = vec![
            plan.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            plan.words(Slot::Clock, 1),
            wiring.delta(last),
            plan.add(Slot::Target, options.batch * options.target_width(network)),
            plan.add(Slot::RowLoss, options.batch),
        ];
        if activation.stored() == Stored::Preactivation {
            bindings.push(wiring.stored(last));
        }
        bindings.extend((precision == Precision::F16).then(|| plan.add(Slot::Scaler, SCALER_LEN)));
        plan.push(
            Phase::Loss,
            precision.of(Kernel::Loss { loss: options.loss, activation }),
            [options.batch, network.outputs(), options.weighted.into()],
            bindings,
            "loss and output delta",
        )?;

        plan.add_gradients(&wiring);
        for i in (0..=last).rev() {
            plan.backward(&wiring, i, options.all_gradients)?;
            match keeping {
                Keeping::Together => {}
                Keeping::InTurns => plan.update_layer(&wiring, i, options)?,
                Keeping::Nowhere => plan.update_by_product(&wiring, i, options)?,
            }
        }
        if precision == Precision::F16 {
            let gradients = match options.all_gradients {
                true => vec![whole(Slot::Gradients, params.len)],
                false => treatment::runs(&params).map(|range| Binding { slot: Slot::Gradients, range }).collect(),
            };
            let input = plan.slot(Slot::InputGradient).map(|info| whole(Slot::InputGradient, info.len));
            plan.unscale(Phase::Backward, gradients.into_iter().chain(input))?;
        }
        plan.change(&params, keeping, options)?;
        plan.running_statistics(&wiring, options.accumulates)?;
        plan.record(Phase::Finish, Kernel::LossSum, whole(Slot::RowLoss, options.batch), options.batch)?;
        plan.validate()?;
        Ok(plan)
    }

    /// The forward pass alone, without storing what only a backward pass needs.
    pub fn prediction(network: &Network, batch: usize) -> Result<Plan> {
        network.validate()?;
        check_batch(network, batch)?;
        let params = Params::of(network);
        let mut plan = Plan { batch, params: params.clone(), ..Plan::default() };
        plan.add(Slot::Params, params.len);
        let wiring = Wiring::of_prediction(network, &params, batch, batch);
        for i in 0..network.layers.len() {
            plan.forward(&wiring, i)?;
        }
        plan.validate()?;
        Ok(plan)
    }

    pub(super) fn gather(&mut self, network: &Network, options: &TrainingOptions) -> Result<()> {
        let (batch, rows) = (options.batch, options.data_rows);
        let targets = options.target_width(network);
        let bindings = vec![
            self.words(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            self.words(Slot::Clock, 1),
            self.words(Slot::Order, rows),
            self.add(Slot::DataInputs, rows * network.inputs),
            self.add(Slot::DataTargets, (rows * targets).max(1)),
            self.add(Slot::Input, batch * network.inputs),
            self.add(Slot::Target, (batch * targets).max(1)),
        ];
        let dims = [batch, network.inputs, targets];
        self.push(Phase::Gather, options.precision.of(Kernel::Gather), dims, bindings, "batch by index")
    }

    fn forward(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        let layer = &wiring.network.layers[i];
        let normalizes = layer.normalization != Normalization::None;
        let (activation, keep, output) = match normalizes {
            false => (wiring.activation(i), wiring.keeps(i), wiring.output(i)),
            true => (Activation::Linear, false, wiring.normal(i)),
        };
        let mut bindings = vec![self.grow(wiring.input(i)), wiring.weight(i)?, self.grow(output)];
        if layer.bias != Bias::None {
            bindings.push(wiring.param(i, Role::Bias)?);
        }
        if keep {
            bindings.push(self.grow(wiring.stored(i)));
        }
        let epilogue = Epilogue::Forward { activation, bias: layer.bias, keep };
        self.push(
            Phase::Forward,
            wiring.precision.of(Kernel::Matmul { form: Form::Nt, epilogue }),
            [wiring.batch, layer.outputs, wiring.network.layer_inputs(i)],
            bindings,
            format!("layers.{i} forward"),
        )?;
        self.begin_weight(wiring, i)?;
        if normalizes {
            self.normalize(wiring, i)?;
        }
        if wiring.joins(i) { self.join(wiring, i) } else { Ok(()) }
    }

    fn backward(&mut self, wiring: &Wiring<'_>, i: usize, all: bool) -> Result<()> {
        if wiring.network.layers[i].normalization != Normalization::None && (all || wiring.trainable_below(i + 1)) {
            self.normalize_backward(wiring, i)?;
        }
        if wiring.keeping != Keeping::Nowhere {
            self.weight_gradient(wiring, i, all)?;
            self.bias_gradient(wiring, i, all)?;
        }
        let (batch, outputs, inputs) = (wiring.batch, wiring.network.layers[i].outputs, wiring.network.layer_inputs(i));
        let weight = wiring.weight(i)?;
        if i > 0 && (all || wiring.trainable_below(i)) && wiring.flows(i - 1) {
            let dims = [batch, inputs, outputs];
            let product = Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store };
            let bindings = vec![wiring.delta(i), weight, self.grow(wiring.flow(i - 1))];
            self.push(Phase::Backward, product, dims, bindings, format!("layers.{} flow", i - 1))?;
            self.join_backward(wiring, i - 1)?;
        } else if i > 0 && (all || wiring.trainable_below(i)) {
            let apart = wiring.delta(i - 1) != wiring.stored(i - 1);
            let epilogue = Epilogue::Delta { activation: wiring.activation(i - 1), apart };
            let mut bindings = vec![wiring.delta(i), weight, self.grow(wiring.delta(i - 1))];
            bindings.extend(apart.then(|| wiring.stored(i - 1)));
            self.push(
                Phase::Backward,
                wiring.precision.of(Kernel::Matmul { form: Form::Nn, epilogue }),
                [batch, inputs, outputs],
                bindings,
                format!("layers.{} delta", i - 1),
            )?;
            self.begin_weight(wiring, i)?;
        } else if i == 0 && all {
            let gradient = self.add(Slot::InputGradient, batch * inputs);
            let residual = wiring.network.layers[0].residual;
            let through = if residual { self.grow(wiring.flow_through()) } else { gradient.clone() };
            self.push(
                Phase::Backward,
                wiring.precision.of(Kernel::Matmul { form: Form::Nn, epilogue: Epilogue::Store }),
                [batch, inputs, outputs],
                vec![wiring.delta(0), weight, through.clone()],
                "input gradient",
            )?;
            self.begin_weight(wiring, i)?;
            if residual {
                let join = Kernel::Block(Block::Join { residual, dropout: false });
                let bindings = vec![through, gradient, wiring.flow(0)];
                self.push(Phase::Backward, join, [batch, inputs], bindings, "input gradient with the residual's")?;
            }
        }
        Ok(())
    }

    /// `∂C/∂W = δᵀ a`, where it is wanted.
    pub(super) fn weight_gradient(&mut self, wiring: &Wiring<'_>, i: usize, all: bool) -> Result<()> {
        let (batch, outputs, inputs) = (wiring.batch, wiring.network.layers[i].outputs, wiring.network.layer_inputs(i));
        let wanted = |t: &&Tensor| all || t.trainable;
        if let Some(weight) = wiring.params.get(i, Role::Weight).filter(wanted) {
            let gradient = self.grow(wiring.gradient(i, weight.range()));
            let label = format!("{} gradient", weight.name);
            let parts = gradient_parts(outputs * inputs, batch);
            let epilogue = if parts > 1 { Epilogue::Parts } else { Epilogue::Store };
            let product = wiring.precision.of(Kernel::Matmul { form: Form::Tn, epilogue });
            if parts > 1 {
                let sums = self.grow(whole(Slot::PartialSums, parts * outputs * inputs));
                let bindings = vec![wiring.delta(i), wiring.input(i), sums.clone()];
                self.push(
                    Phase::Backward,
                    product,
                    [outputs, inputs, batch, parts],
                    bindings,
                    format!("{label} in parts"),
                )?;
                let dims = [parts, outputs * inputs];
                self.push(Phase::Backward, Kernel::ColumnSum, dims, vec![sums, gradient], label)?;
            } else {
                let bindings = vec![wiring.delta(i), wiring.input(i), gradient];
                self.push(Phase::Backward, product, [outputs, inputs, batch], bindings, label)?;
            }
        }
        Ok(())
    }

    /// `∂C/∂b = Σ_rows δ` over the rows that have a bias, where it is wanted.
    pub(super) fn bias_gradient(&mut self, wiring: &Wiring<'_>, i: usize, all: bool) -> Result<()> {
        let (batch, outputs) = (wiring.biased, wiring.network.layers[i].outputs);
        let wanted = |t: &&Tensor| all || t.trainable;
        let column_sum = wiring.precision.of(Kernel::ColumnSum);
        let delta = Binding { range: 0..batch * outputs, ..wiring.delta(i) };
        if let Some(bias) = wiring.params.get(i, Role::Bias).filter(wanted) {
            let gradient = self.grow(wiring.gradient(i, bias.range()));
            let label = format!("{} gradient", bias.name);
            if wiring.network.layers[i].bias == Bias::Shared {
                let sums = self.grow(whole(Slot::PartialSums, outputs));
                let bindings = vec![delta, sums.clone()];
                let units = format!("{} gradient per unit", bias.name);
                self.push(Phase::Backward, column_sum, [batch, outputs], bindings, units)?;
                self.push(Phase::Backward, Kernel::ColumnSum, [outputs, 1], vec![sums, gradient], label)?;
            } else {
                // The sums of every `strands`th row, then their sum: the same kernel on the same numbers, read as wider rows.
                let strands = gradient_strands(outputs, batch);
                let (mut delta, mut sum) = (delta, column_sum);
                if strands > 1 {
                    let sums = self.grow(whole(Slot::PartialSums, strands * outputs));
                    let dims = [batch / strands, strands * outputs];
                    let bindings = vec![delta, sums.clone()];
                    self.push(Phase::Backward, sum, dims, bindings, format!("{label} in parts"))?;
                    (delta, sum) = (sums, Kernel::ColumnSum);
                }
                let rows = if strands > 1 { strands } else { batch };
                self.push(Phase::Backward, sum, [rows, outputs], vec![delta, gradient], label)?;
            }
        }
        Ok(())
    }

    /// The update of the weight and the bias of layer `i` by the product whose sums are the gradient.
    fn update_by_product(&mut self, wiring: &Wiring<'_>, i: usize, options: &TrainingOptions) -> Result<()> {
        let (batch, outputs, inputs) = (wiring.batch, wiring.network.layers[i].outputs, wiring.network.layer_inputs(i));
        let (rule, bias) = (options.optimizer.rule(), wiring.network.layers[i].bias != Bias::None);
        let kernel = Kernel::Matmul { form: Form::Tn, epilogue: Epilogue::Update { rule, bias } };
        let mut run = wiring.param(i, Role::Weight)?.range;
        if bias {
            run.end = wiring.param(i, Role::Bias)?.range.end;
        }
        let mut bindings = vec![
            wiring.delta(i),
            wiring.input(i),
            Binding { slot: Slot::Params, range: run.clone() },
            whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            whole(Slot::Clock, 1),
        ];
        bindings.extend(self.optimizer_state(rule, &run));
        self.push(Phase::Update, kernel, [outputs, inputs, batch], bindings, format!("layers.{i} update"))?;
        self.set_hyper(options.optimizer.hyper());
        Ok(())
    }

    /// What the rule remembers of the parameters `run`.
    fn optimizer_state(&mut self, rule: Rule, run: &Range<usize>) -> Vec<Binding> {
        let states = (0..rule.states()).map(Slot::State);
        states
            .map(|slot| {
                self.add(slot, self.params.len);
                Binding { slot, range: run.clone() }
            })
            .collect()
    }

    /// The update of the parameters `run` by `gradients`.
    pub(super) fn update(
        &mut self,
        run: Range<usize>,
        gradients: Binding,
        options: &TrainingOptions,
        label: impl Into<String>,
    ) -> Result<()> {
        let rule = options.optimizer.rule();
        let mut bindings = vec![
            whole(Slot::Schedule, options.steps * ScheduleEntry::WORDS),
            whole(Slot::Clock, 1),
            gradients,
            Binding { slot: Slot::Params, range: run.clone() },
        ];
        bindings.extend(self.optimizer_state(rule, &run));
        bindings.extend((options.precision == Precision::F16).then(|| whole(Slot::Overflow, 1)));
        self.push(Phase::Update, options.precision.of(Kernel::Update(rule)), [run.len()], bindings, label)?;
        self.set_hyper(options.optimizer.hyper());
        Ok(())
    }

    /// The parameters, which the optimizer changes in f32, as the products take them.
    fn cast(&mut self) -> Result<()> {
        let len = self.params.len;
        let bindings = vec![whole(Slot::Params, len), self.add(Slot::HalfParams, len)];
        self.push(Phase::Forward, Kernel::Mixed(Mixed::Cast), [len], bindings, "parameters to f16")
    }

    /// The weight of layer `i` begins inside the binding of the step that was just pushed, where that is of all weights.
    fn begin_weight(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        if let (Precision::F16, Some(step)) = (wiring.precision, self.steps.last_mut()) {
            let first = wiring.param(i, Role::Weight)?.range.start;
            step.uniform.dims[3] = dimension(first)?;
        }
        Ok(())
    }

    /// Takes the dynamic loss scale out of `gradients`, and notes whether one of them overflowed.
    pub(super) fn unscale(&mut self, phase: Phase, gradients: impl Iterator<Item = Binding>) -> Result<()> {
        for gradient in gradients {
            let dims = [gradient.range.len()];
            let bindings = vec![whole(Slot::Scaler, SCALER_LEN), self.words(Slot::Overflow, 1), gradient];
            self.push(phase, Kernel::Mixed(Mixed::Unscale), dims, bindings, "gradients unscaled")?;
        }
        Ok(())
    }

    pub(super) fn adapt(&mut self) -> Result<()> {
        let bindings = vec![whole(Slot::Scaler, SCALER_LEN), whole(Slot::Overflow, 1)];
        self.push(Phase::Update, Kernel::Mixed(Mixed::Adapt), [1], bindings, "dynamic loss scale")
    }
}

/// Into how many parts to split the sums of a weight gradient of `elements` elements over `batch` samples. Where the
/// elements are few, their tiles alone would leave most of a GPU idle, and the sums get long; where they are some more, a few
/// parts do.
fn gradient_parts(elements: usize, batch: usize) -> usize {
    match batch / 1024 {
        _ if batch < LONG_SUM => 1,
        parts if elements <= FEW_SUMS => parts,
        parts => parts.min(MANY_SUMS / elements).max(1),
    }
}

/// Likewise for a bias gradient of `outputs` elements; a divisor of `batch`.
fn gradient_strands(outputs: usize, batch: usize) -> usize {
    let divisors = (0..8).rev().map(|power| 1 << power);
    let fitting = |strands: &usize| batch.is_multiple_of(*strands) && strands * outputs <= FEW_SUMS;
    if batch >= LONG_SUM { divisors.into_iter().find(fitting).unwrap_or(1) } else { 1 }
}

const FEW_SUMS: usize = 1 << 16;

/// Sums whose tiles fill a large GPU.
const MANY_SUMS: usize = 1 << 20;

/// Rows from which on sums over a batch are long.
pub(super) const LONG_SUM: usize = 4096;

/// Which slot a layer reads and writes.
pub(super) struct Wiring<'a> {
    pub(super) network: &'a Network,
    pub(super) params: &'a Params,
    /// Rows of every matrix.
    pub(super) batch: usize,
    /// Those of them that a bias is added to: the first ones, where rows are components of jets.
    pub(super) biased: usize,
    /// `None` in a prediction.
    pub(super) loss: Option<Loss>,
    pub(super) precision: Precision,
    /// Where gradients are.
    pub(super) keeping: Keeping,
}

impl<'a> Wiring<'a> {
    /// `batch` rows, a bias added to the first `biased` of them.
    pub(super) fn of_prediction(network: &'a Network, params: &'a Params, batch: usize, biased: usize) -> Self {
        Wiring { network, params, batch, biased, loss: None, precision: Precision::F32, keeping: Keeping::Together }
    }

    /// Where the gradients of `range` go, which are parameters of layer `i`.
    pub(super) fn gradient(&self, i: usize, range: Range<usize>) -> Binding {
        let first = self.params.tensors.iter().find(|tensor| tensor.layer == i).map_or(0, |tensor| tensor.offset);
        match self.keeping {
            Keeping::InTurns => Binding { slot: Slot::LayerGradients, range: range.start - first..range.end - first },
            Keeping::Together | Keeping::Nowhere => Binding { slot: Slot::Gradients, range },
        }
    }

    fn is_last(&self, i: usize) -> bool {
        i + 1 == self.network.layers.len()
    }

    pub(super) fn activation(&self, i: usize) -> Activation {
        let activation = self.network.layers[i].activation;
        match self.loss {
            Some(loss) if self.is_last(i) => loss.training_activation(activation),
            _ => activation,
        }
    }

    pub(super) fn keeps(&self, i: usize) -> bool {
        self.loss.is_some() && self.activation(i).stored() == Stored::Preactivation
    }

    pub(super) fn input(&self, i: usize) -> Binding {
        match i {
            0 if self.biased < self.batch => whole(Slot::InputJets, self.batch * self.network.inputs),
            0 => whole(Slot::Input, self.batch * self.network.inputs),
            _ if self.joins(i - 1) => self.joined(i - 1),
            _ => self.output(i - 1),
        }
    }

    pub(super) fn output(&self, i: usize) -> Binding {
        let len = self.batch * self.network.layers[i].outputs;
        match self.loss {
            _ if self.is_last(i) => whole(Slot::Output, len),
            Some(_) => whole(Slot::Activation(i), len),
            // Without a backward pass two buffers take turns.
            None => whole(Slot::Activation(i % 2), len),
        }
    }

    pub(super) fn stored(&self, i: usize) -> Binding {
        match self.activation(i).stored() {
            Stored::Output => self.output(i),
            Stored::Preactivation => whole(Slot::Preactivation(i), self.batch * self.network.layers[i].outputs),
        }
    }

    /// Where `δ = ∂loss/∂z` of layer `i` goes: in place of what it is computed from element by element, and nothing needs
    /// any more. Where products update, what a hidden layer puts out is needed behind its delta too, and two slots take turns.
    /// An equation takes other outputs than the one whose delta it writes, so the last layer's has a place of its own there; in
    /// the layers below, the jets of the pre-activations are what derivatives need.
    pub(super) fn delta(&self, i: usize) -> Binding {
        match (self.loss, self.is_last(i)) {
            (Some(Loss::Equation(_)), true) => whole(Slot::Delta(0), self.batch * self.network.outputs()),
            (Some(Loss::Equation(_)), false) | (_, true) => self.output(i),
            (_, false) if self.keeping == Keeping::Nowhere && self.stored(i) == self.output(i) => {
                whole(Slot::Delta(i % 2), self.batch * self.network.layers[i].outputs)
            }
            (_, false) => self.stored(i),
        }
    }

    pub(super) fn trainable_below(&self, i: usize) -> bool {
        self.params.tensors.iter().any(|t| t.layer < i && t.trainable)
    }

    /// The weight as products take it: in f16 all of them are bound, since one need not begin where a binding may.
    pub(super) fn weight(&self, i: usize) -> Result<Binding> {
        match self.precision {
            Precision::F32 => self.param(i, Role::Weight),
            Precision::F16 => Ok(whole(Slot::HalfParams, self.params.len)),
        }
    }

    pub(super) fn param(&self, i: usize, role: Role) -> Result<Binding> {
        let missing = || Error::Config(format!("layer {i} has no {role:?}"));
        let tensor = self.params.get(i, role).ok_or_else(missing)?;
        Ok(Binding { slot: Slot::Params, range: tensor.range() })
    }
}
