//! What surrounds `f(W x + b)` in a layer-wise step: normalisation, dropout, residual connections.
//!
//! With n for the normalised sums, m for the mask of dropout and x for the layer's input, a layer puts out
//! `y = x + m ⊙ f(n)`. Backward, what arrives at y is the *flow* `g = ∂C/∂y`: the delta of the layer above through its weights,
//! and where that layer has a residual connection, its own flow too. Then `∂C/∂n = g ⊙ m ⊙ f′(n)`, and `∂C/∂z` from that by the
//! two sums of Ioffe and Szegedy's equations.

use super::{Binding, Phase, Plan, ScheduleEntry, Slot, Wiring, whole};
use crate::kernel::{Block, Kernel, Over};
use crate::network::{Layer, Normalization};
use crate::params::Role;
use crate::{Error, Result};

impl Plan {
    /// `a = f(n)` from the sums in [`Slot::Normal`], which become `x̂`.
    pub(super) fn normalize(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        let (batch, cols, over) = (wiring.batch, wiring.network.layers[i].outputs, wiring.over(i));
        let trains = wiring.loss.is_some();
        let normal = wiring.normal(i);
        // A prediction takes the running statistics from where they lie.
        let (statistics, second) = match over {
            Over::Columns if !trains => wiring.running(i)?,
            _ => (self.grow(wiring.statistics(i)), over.items(batch, cols)),
        };
        match over {
            Over::Rows => {
                let bindings = vec![normal.clone(), statistics.clone()];
                let kernel = Kernel::Block(Block::Statistics(over));
                self.push(Phase::Forward, kernel, [batch, cols], bindings, format!("layers.{i} statistics"))?;
            }
            Over::Columns if trains => {
                let (running, apart) = wiring.running(i)?;
                let [schedule, clock] = self.step();
                let bindings = vec![schedule, clock, normal.clone(), statistics.clone(), running];
                let kernel = Kernel::Block(Block::Statistics(over));
                self.push(Phase::Forward, kernel, [batch, cols, apart], bindings, format!("layers.{i} statistics"))?;
            }
            Over::Columns => {}
        }
        let (activation, keep) = (wiring.activation(i), wiring.keeps(i));
        let (scale, shift) = (wiring.param(i, Role::Scale)?, wiring.param(i, Role::Shift)?);
        let mut bindings = vec![statistics, scale, shift, normal];
        bindings.extend(keep.then(|| self.grow(wiring.stored(i))));
        bindings.push(self.grow(wiring.output(i)));
        let kernel = Kernel::Block(Block::Normalize { over, activation, keep });
        self.push(Phase::Forward, kernel, [batch, cols, second], bindings, format!("layers.{i} normalize"))
    }

    /// `y = x + m ⊙ a`
    pub(super) fn join(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        let layer = &wiring.network.layers[i];
        let dropout = wiring.drops(i);
        let mut bindings = if dropout { self.step().to_vec() } else { Vec::new() };
        bindings.extend([wiring.output(i), self.grow(wiring.joined(i))]);
        bindings.extend(layer.residual.then(|| wiring.input(i)));
        let kernel = Kernel::Block(Block::Join { residual: layer.residual, dropout });
        self.push(Phase::Forward, kernel, [wiring.batch, layer.outputs], bindings, format!("layers.{i} join"))?;
        self.mask(layer, i);
        Ok(())
    }

    /// The delta of layer `i` from the flow that a product left.
    pub(super) fn join_backward(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        let layer = &wiring.network.layers[i];
        let (activation, dropout) = (wiring.activation(i), wiring.drops(i));
        let residual = wiring.network.layers[i + 1].residual;
        let mut bindings = if dropout { self.step().to_vec() } else { Vec::new() };
        bindings.extend([wiring.flow(i), wiring.delta(i)]);
        bindings.extend(residual.then(|| wiring.flow(i + 1)));
        let kernel = Kernel::Block(Block::JoinDelta { activation, residual, dropout });
        self.push(Phase::Backward, kernel, [wiring.batch, layer.outputs], bindings, format!("layers.{i} delta"))?;
        self.mask(layer, i);
        Ok(())
    }

    /// The gradients of scale and shift, then the delta of the sums in place of that of the normalised ones.
    pub(super) fn normalize_backward(&mut self, wiring: &Wiring<'_>, i: usize) -> Result<()> {
        let (batch, cols, over) = (wiring.batch, wiring.network.layers[i].outputs, wiring.over(i));
        let (scale, shift) = (wiring.param(i, Role::Scale)?, wiring.param(i, Role::Shift)?);
        let gradients = self.grow(wiring.gradient(i, scale.range.start..shift.range.end));
        let apart = shift.range.start - scale.range.start;
        let (delta, normal) = (wiring.delta(i), wiring.normal(i));
        let kernel = Kernel::Block(Block::NormalizeSums { over: Over::Columns, weighted: false });
        let bindings = vec![delta.clone(), normal.clone(), gradients.clone()];
        let label = format!("layers.{i} scale and shift gradients");
        self.push(Phase::Backward, kernel, [batch, cols, apart], bindings, label)?;
        let (sums, second) = match over {
            Over::Columns => (gradients, apart),
            Over::Rows => {
                let sums = self.grow(whole(Slot::PartialSums, 2 * batch));
                let kernel = Kernel::Block(Block::NormalizeSums { over, weighted: true });
                let bindings = vec![delta.clone(), normal.clone(), sums.clone(), scale.clone()];
                self.push(Phase::Backward, kernel, [batch, cols, batch], bindings, format!("layers.{i} sums"))?;
                (sums, batch)
            }
        };
        let mut bindings = if over == Over::Columns { self.step().to_vec() } else { Vec::new() };
        bindings.extend([sums, wiring.statistics(i), scale, normal, delta]);
        let kernel = Kernel::Block(Block::NormalizeDelta(over));
        self.push(Phase::Backward, kernel, [batch, cols, second], bindings, format!("layers.{i} delta of the sums"))
    }

    /// The running statistics of every batch normalisation follow a step that trains, be it on a micro-batch.
    pub(super) fn running_statistics(&mut self, wiring: &Wiring<'_>, accumulates: bool) -> Result<()> {
        let layers = wiring.network.layers.iter().enumerate();
        for (i, layer) in layers.filter(|(_, layer)| layer.normalization == Normalization::Batch) {
            let (running, apart) = wiring.running(i)?;
            let [schedule, clock] = self.step();
            let bindings = vec![schedule, clock, wiring.statistics(i), running];
            for phase in accumulates.then_some(Phase::Accumulate).into_iter().chain([Phase::Update]) {
                let kernel = Kernel::Block(Block::RunningStatistics);
                let label = format!("layers.{i} running statistics");
                self.push(phase, kernel, [layer.outputs, apart], bindings.clone(), label)?;
            }
        }
        Ok(())
    }

    /// The schedule and the clock, as the slots are by now.
    fn step(&mut self) -> [Binding; 2] {
        let len = self.slot(Slot::Schedule).map_or(ScheduleEntry::WORDS, |info| info.len);
        [self.words(Slot::Schedule, len), self.words(Slot::Clock, 1)]
    }

    /// Tells the step that was just pushed how layer `i` drops out.
    fn mask(&mut self, layer: &Layer, i: usize) {
        if let Some(step) = self.steps.last_mut() {
            step.uniform.hyper = [layer.dropout.0, layer.dropout.factor(), i as f32, 0.0];
        }
    }
}

impl Wiring<'_> {
    /// Whether layer `i` puts out something else than its activation: in a prediction nothing drops out.
    pub(super) fn joins(&self, i: usize) -> bool {
        self.network.layers[i].residual || self.drops(i)
    }

    fn drops(&self, i: usize) -> bool {
        self.loss.is_some() && !self.network.layers[i].dropout.is_off()
    }

    /// Whether the derivative by what layer `i` puts out is needed by itself.
    pub(super) fn flows(&self, i: usize) -> bool {
        self.joins(i) || self.network.layers.get(i + 1).is_some_and(|above| above.residual)
    }

    fn over(&self, i: usize) -> Over {
        match self.network.layers[i].normalization {
            Normalization::Batch => Over::Columns,
            Normalization::Layer | Normalization::None => Over::Rows,
        }
    }

    fn of_layer(&self, i: usize, slot: fn(usize) -> Slot) -> Binding {
        whole(slot(i), self.batch * self.network.layers[i].outputs)
    }

    /// What only a backward pass needs a second time has one place for each layer, else for all.
    fn kept(&self, i: usize) -> usize {
        if self.loss.is_some() { i } else { 0 }
    }

    pub(super) fn normal(&self, i: usize) -> Binding {
        Binding { slot: Slot::Normal(self.kept(i)), ..self.of_layer(i, Slot::Normal) }
    }

    fn statistics(&self, i: usize) -> Binding {
        let items = self.over(i).items(self.batch, self.network.layers[i].outputs);
        whole(Slot::Statistics(self.kept(i)), 2 * items)
    }

    pub(super) fn joined(&self, i: usize) -> Binding {
        let turn = if self.loss.is_some() { i } else { i % 2 };
        Binding { slot: Slot::Joined(turn), ..self.of_layer(i, Slot::Joined) }
    }

    pub(super) fn flow(&self, i: usize) -> Binding {
        Binding { slot: Slot::Flow(i % 2), ..self.of_layer(i, Slot::Flow) }
    }

    /// What comes through the weights of the first layer, before its residual connection's share.
    pub(super) fn flow_through(&self) -> Binding {
        whole(Slot::Flow(1), self.batch * self.network.inputs)
    }

    /// The running statistics of layer `i` in the parameters, and where the variances begin behind the means.
    fn running(&self, i: usize) -> Result<(Binding, usize)> {
        let missing = || Error::Config(format!("layer {i} has no running statistics"));
        let place = |role| self.params.get(i, role).ok_or_else(missing);
        let (mean, variance) = (place(Role::RunningMean)?, place(Role::RunningVariance)?);
        let range = mean.offset..variance.range().end;
        Ok((Binding { slot: Slot::Params, range }, variance.offset - mean.offset))
    }
}
