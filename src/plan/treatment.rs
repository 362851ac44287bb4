//! From the gradients to changed parameters: what is done to gradients, the update, the average.

use super::layerwise::LONG_SUM;
use super::{Binding, Phase, Plan, Planner, Slot, TrainingOptions, Wiring, whole};
use crate::activation::Stored;
use crate::kernel::treatment::CLIP_LEN;
use crate::kernel::{Kernel, Treatment};
use crate::loss::Loss;
use crate::network::{Bias, Layer, Network};
use crate::params::{Params, Role};
use crate::precision::Precision;
use crate::{Error, Result};
use std::ops::Range;

/// Checks that the settings are in range.
pub(super) fn validate(options: &TrainingOptions) -> Result<()> {
    options.treatments.validate()?;
    if let (Loss::Equation(equation), true) = (options.loss, options.weighted) {
        return Err(Error::Config(format!(
            "an equation takes no weights beside it, found {equation}; multiply it by a column of the data instead"
        )));
    }
    match options.average.filter(|decay| !(*decay > 0.0 && *decay < 1.0)) {
        None => Ok(()),
        Some(decay) => {
            Err(Error::Config(format!("the average's decay must be more than 0 and less than 1, found {decay}")))
        }
    }
}

/// Parameters from which on a layer-wise step updates layer by layer: 4 MiB of gradients. Fewer save little memory, and a
/// small step would feel the further dispatches.
const LAYER_BY_LAYER_FROM: usize = 1 << 20;

/// The ranges of the arena that are trained, as whole vectors of four: behind a tensor there is room, with gradients of 0.
pub(super) fn runs(params: &Params) -> impl Iterator<Item = Range<usize>> + use<> {
    params.trainable_runs().into_iter().map(|run| run.start..run.end.next_multiple_of(4))
}

impl TrainingOptions {
    /// How many numbers stand in a row of targets: the target's, and its weight.
    pub fn target_width(&self, network: &Network) -> usize {
        self.loss.target_width(network.outputs()) + usize::from(self.weighted)
    }

    /// Whether gradients are needed by themselves, for more than an update.
    pub(super) fn treats_gradients(&self) -> bool {
        self.treatments.any() || self.accumulates
    }

    /// Where a layer-wise step keeps gradients. Together where something needs them so: the caller, a norm, a sum over
    /// micro-batches, or the overflow that skips a step of mixed precision. Else nowhere, where the products can update and
    /// the deltas, which need places apart then, take less room than the gradients would.
    pub(super) fn keeping(&self, network: &Network, params: &Params) -> Keeping {
        let together = self.all_gradients || self.treats_gradients() || self.precision == Precision::F16;
        if self.planner != Planner::LayerWise || together {
            return Keeping::Together;
        }
        let layer_len = |layer: usize| {
            let tensors = params.tensors.iter().filter(|tensor| tensor.layer == layer && tensor.trainable);
            tensors.map(|tensor| tensor.len()).sum::<usize>()
        };
        let (keeping, gradients) = match params.len >= LAYER_BY_LAYER_FROM {
            true => (Keeping::InTurns, (0..network.layers.len()).map(layer_len).max().unwrap_or(0)),
            false => (Keeping::Together, params.len),
        };
        let hidden = network.layers.split_last().map_or(&[][..], |(_, hidden)| hidden);
        // Where the pre-activation is stored, the delta can take its place.
        let apart = |layer: &Layer| if layer.activation.stored() == Stored::Output { layer.outputs } else { 0 };
        let widest = |turn: usize| hidden.iter().skip(turn).step_by(2).map(apart).max().unwrap_or(0);
        let deltas = self.batch * (widest(0) + widest(1));
        match self.products_update(network, params) && deltas <= gradients {
            true => Keeping::Nowhere,
            false => keeping,
        }
    }

    /// Whether the product that sums a weight's gradient can update the weight, and the bias behind it. Long sums come in parts
    /// or strands, which another dispatch adds.
    fn products_update(&self, network: &Network, params: &Params) -> bool {
        let of_layer = |i: usize| {
            let trains = |role| params.get(i, role).map(|tensor| tensor.trainable);
            let bias = network.layers[i].bias != Bias::Shared && trains(Role::Bias) != Some(false);
            trains(Role::Weight) == Some(true) && bias
        };
        let plain = network.is_plain() && !matches!(self.loss, Loss::Equation(_));
        plain && self.batch < LONG_SUM && (0..network.layers.len()).all(of_layer)
    }
}

/// Where a layer-wise step keeps gradients until the update.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Keeping {
    /// In a slot for all of them.
    Together,
    /// In a slot for one layer's: each layer is updated as soon as nothing needs its old weights any more.
    InTurns,
    /// Nowhere: the product that sums a gradient updates the parameters. The delta that needs the old weights goes before it,
    /// so that it cannot take the place of what the layer below put out, which the product needs.
    Nowhere,
}

impl Plan {
    /// What is done to gradients that lie together, in mixed precision without the loss scale, the update of the parameters
    /// that no layer's step has updated, and the average.
    pub(super) fn change(&mut self, params: &Params, keeping: Keeping, options: &TrainingOptions) -> Result<()> {
        self.accumulate(params, options)?;
        self.penalty(params, options)?;
        self.clip(params, options)?;
        let together = runs(params).filter(|_| keeping == Keeping::Together);
        for run in together {
            let gradients = Binding { slot: Slot::Gradients, range: run.clone() };
            self.update(run, gradients, options, "update")?;
        }
        if options.precision == Precision::F16 && self.dispatches(&[Phase::Update]) > 0 {
            self.adapt()?;
        }
        self.average(params, options)
    }

    /// Room for the gradients of all parameters, where they are needed together.
    pub(super) fn add_gradients(&mut self, wiring: &Wiring<'_>) {
        if wiring.keeping == Keeping::Together {
            self.add(Slot::Gradients, wiring.params.len);
        }
    }

    /// The update of layer `i` behind the last step that reads its weights, where gradients take turns.
    pub(super) fn update_layer(&mut self, wiring: &Wiring<'_>, i: usize, options: &TrainingOptions) -> Result<()> {
        let mut runs: Vec<Range<usize>> = Vec::new();
        let trained = wiring.params.tensors.iter().filter(|tensor| tensor.layer == i && tensor.trainable);
        for tensor in trained.filter(|_| wiring.keeping == Keeping::InTurns) {
            match runs.last_mut() {
                // Where there is room between two tensors, another layer may have left its gradients in it.
                Some(run) if run.end == tensor.offset => run.end = tensor.range().end,
                _ => runs.push(tensor.range()),
            }
        }
        for run in runs {
            let gradients = wiring.gradient(i, run.clone());
            self.update(run, gradients, options, format!("layers.{i} update"))?;
        }
        Ok(())
    }

    fn accumulate(&mut self, params: &Params, options: &TrainingOptions) -> Result<()> {
        let pushed = [(Phase::Accumulate, Treatment::Accumulate), (Phase::Update, Treatment::Total)];
        for (phase, treatment) in pushed.into_iter().filter(|_| options.accumulates) {
            self.add(Slot::GradientSums, params.len);
            for run in runs(params) {
                let slots = match treatment {
                    Treatment::Total => [Slot::GradientSums, Slot::Gradients],
                    _ => [Slot::Gradients, Slot::GradientSums],
                };
                self.treat(phase, treatment, &run, &slots, [0.0; 2], "gradients of micro-batches")?;
            }
        }
        Ok(())
    }

    fn penalty(&mut self, params: &Params, options: &TrainingOptions) -> Result<()> {
        let factors = [options.treatments.l1, options.treatments.l2];
        if factors == [0.0; 2] {
            return Ok(());
        }
        for weight in params.tensors.iter().filter(|tensor| tensor.trainable && tensor.role == Role::Weight) {
            let run = weight.range().start..weight.range().end.next_multiple_of(4);
            let slots = [Slot::Params, Slot::Gradients];
            self.treat(Phase::Update, Treatment::Penalty, &run, &slots, factors, &format!("{} penalty", weight.name))?;
        }
        Ok(())
    }

    fn clip(&mut self, params: &Params, options: &TrainingOptions) -> Result<()> {
        if let Some(limit) = options.treatments.clip_value {
            for run in runs(params) {
                let factors = [limit, 0.0];
                self.treat(Phase::Update, Treatment::ClipValue, &run, &[Slot::Gradients], factors, "clip by value")?;
            }
        }
        let Some(limit) = options.treatments.clip_norm else { return Ok(()) };
        let mut count = 0;
        for run in runs(params) {
            let strands = Treatment::strands(run.len());
            let squares = self.grow(Binding { slot: Slot::Squares, range: count..count + strands });
            let (dims, gradients) = ([run.len(), strands], Binding { slot: Slot::Gradients, range: run });
            let kernel = Kernel::Treatment(Treatment::Squares);
            self.push(Phase::Update, kernel, dims, vec![gradients, squares], "squares of gradients")?;
            count += strands;
        }
        if count > 0 {
            let bindings = vec![whole(Slot::Squares, count), self.add(Slot::Clip, CLIP_LEN)];
            let kernel = Kernel::Treatment(Treatment::ClipFactor);
            self.push(Phase::Update, kernel, [count], bindings, "norm of the gradient")?;
            self.set_hyper([limit, 0.0, 0.0, 0.0]);
        }
        for run in runs(params) {
            let bindings = vec![whole(Slot::Clip, CLIP_LEN), Binding { slot: Slot::Gradients, range: run.clone() }];
            let kernel = Kernel::Treatment(Treatment::ClipNorm);
            self.push(Phase::Update, kernel, [run.len()], bindings, "clip by norm")?;
        }
        Ok(())
    }

    /// The moving average of the parameters, behind their update.
    pub(super) fn average(&mut self, params: &Params, options: &TrainingOptions) -> Result<()> {
        let Some(decay) = options.average else { return Ok(()) };
        self.add(Slot::Average, params.len);
        for run in runs(params) {
            let (slots, rate) = ([Slot::Params, Slot::Average], 1.0 - f64::from(decay));
            self.treat(
                Phase::Update,
                Treatment::Average,
                &run,
                &slots,
                [rate as f32, 0.0],
                "average of the parameters",
            )?;
        }
        Ok(())
    }

    /// A dispatch over the same range of every one of `slots`.
    fn treat(
        &mut self,
        phase: Phase,
        treatment: Treatment,
        run: &Range<usize>,
        slots: &[Slot],
        hyper: [f32; 2],
        label: &str,
    ) -> Result<()> {
        let bindings = slots.iter().map(|&slot| Binding { slot, range: run.clone() }).collect();
        self.push(phase, Kernel::Treatment(treatment), [run.len()], bindings, label)?;
        self.set_hyper([hyper[0], hyper[1], 0.0, 0.0]);
        Ok(())
    }

    /// Gives the step that was just pushed its settings.
    pub(super) fn set_hyper(&mut self, hyper: [f32; 4]) {
        if let Some(step) = self.steps.last_mut() {
            step.uniform.hyper = hyper;
        }
    }
}
