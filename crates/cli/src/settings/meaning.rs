//! What settings come to, with the usual ones in their gaps.

use super::{Hidden, MicroBatch, NetworkSettings, ReductionChoice, Settings, Surroundings, TrainingSettings};
use wgrad::data::Task;
use wgrad::optimizer::Rule;
use wgrad::{
    Activation, Bias, Dataset, Error, Loss, Network, Normalization, Optimizer, Result, TrainerOptions, Treatments,
};

impl TrainingSettings {
    /// All about a training step that does not depend on data; these may decide the loss.
    pub fn step(&mut self) -> Result<TrainerOptions> {
        Ok(TrainerOptions {
            optimizer: self.rule()?,
            batch: at_least_1("batch", *self.batch.get_or_insert(32))?,
            treatments: self.treatments(),
            reduction: self.reduction.and_then(ReductionChoice::replaces),
            average: self.average.map(|decay| decay as f32),
            micro_batch: match self.micro_batch {
                Some(MicroBatch::Rows(rows)) => Some(rows),
                _ => None,
            },
            ..TrainerOptions::new(self.loss.unwrap_or(Loss::SoftmaxCrossEntropy))
        })
    }

    /// The optimizer with the settings that were given, which have to be among its own; the others are its usual ones.
    fn rule(&mut self) -> Result<Optimizer> {
        let rule = *self.optimizer.get_or_insert(Rule::Momentum);
        let refuse = |error: serde_json::Error| Error::Config(format!("the optimizer {}: {error}", rule.name()));
        let mut settings = serde_json::to_value(rule.optimizer()).map_err(refuse)?;
        let lacks = |name: &str, settings: &serde_json::Value| {
            let own = settings.as_object().into_iter().flat_map(|own| own.keys()).filter(|name| *name != "kind");
            let own: Vec<_> = own.map(String::as_str).collect();
            Err(Error::Config(format!("{} has no {name}; it has {}", rule.name(), own.join(", "))))
        };
        for (name, setting) in self.optimizer_settings() {
            match (settings.get(name).and_then(|usual| usual.as_f64()), &setting) {
                (None, None) => {}
                (None, Some(_)) => return lacks(name, &settings),
                (Some(_), Some(given)) => settings[name] = serde_json::json!(given),
                // The digits of an f32, without those that f64 adds.
                (Some(usual), None) => *setting = (usual as f32).to_string().parse().ok(),
            }
        }
        match (settings.get("nesterov").is_some(), self.nesterov) {
            (true, given) => {
                settings["nesterov"] = serde_json::json!(*self.nesterov.get_or_insert(given == Some(true)))
            }
            (false, Some(true)) => return lacks("nesterov", &settings),
            (false, _) => {}
        }
        let optimizer: Optimizer = serde_json::from_value(settings).map_err(refuse)?;
        optimizer.validate()?;
        Ok(optimizer)
    }

    /// The learning rate to train a `task` with.
    pub fn learning_rate(&mut self, task: &Task) -> Result<f32> {
        let by_task = |classes: f64, numbers: f64| match task {
            Task::Classification { .. } => classes,
            Task::Regression { .. } => numbers,
        };
        // Momentum makes steps in one direction ten times as long; numbers can be far larger than probabilities.
        let default = match self.optimizer {
            Some(Rule::Sgd) => by_task(0.1, 0.01),
            Some(Rule::Adam | Rule::AdamW | Rule::RmsProp) => 0.001,
            Some(Rule::Adagrad) => 0.01,
            Some(Rule::Lion) => 0.0001,
            _ => by_task(0.01, 0.001),
        };
        let found = *self.learning_rate.get_or_insert(default);
        let rate = found as f32;
        match rate.is_finite() && rate >= 0.0 {
            true => Ok(rate),
            false => Err(Error::Config(format!("the learning rate must be finite and at least 0, found {found}"))),
        }
    }

    /// What is done to the gradient of a batch.
    fn treatments(&self) -> Treatments {
        let number = |value: Option<f64>| value.map(|value| value as f32);
        Treatments {
            l1: number(self.l1).unwrap_or(0.0),
            l2: number(self.l2).unwrap_or(0.0),
            clip_value: number(self.clip_value),
            clip_norm: number(self.clip_norm),
        }
    }

    /// Weighs the classes of the rows to train on, and smooths their labels.
    pub fn teach(&self, train: &mut Dataset) -> Result<()> {
        if let Some(weights) = &self.class_weights {
            train.weigh_classes(weights)?;
        }
        self.label_smoothing.map_or(Ok(()), |epsilon| train.smooth_labels(epsilon as f32))
    }
}

impl NetworkSettings {
    /// The network for inputs and targets as wide as these; `what` needs them.
    pub fn network(&mut self, inputs: usize, targets: usize, loss: Loss, what: &str) -> Result<Network> {
        let NetworkSettings { hidden, activation, output_activation, bias, normalization, residual, dropout, layers } =
            self;
        // Derivatives need a smooth function.
        let (outputs, smooth) = match loss {
            Loss::Equation(equation) => (equation.text().outputs.len(), true),
            _ => (targets, false),
        };
        let network = if let Some(layers) = layers {
            let whole = hidden.is_some() || activation.is_some() || output_activation.is_some() || bias.is_some();
            if whole || normalization.is_some() || residual.is_some() || dropout.is_some() {
                let all = "[[network.layers]] says all about the layers; remove the other keys of [network]";
                return Err(Error::Config(all.into()));
            }
            Network { inputs, layers: layers.clone() }
        } else {
            let hidden = hidden.get_or_insert_with(|| Hidden(vec![128]));
            let activation = *activation.get_or_insert(if smooth { Activation::Tanh } else { Activation::Relu });
            let on_logits = loss != Loss::LogisticCrossEntropy;
            let output =
                *output_activation.get_or_insert(if on_logits { Activation::Linear } else { Activation::Sigmoid });
            let bias = *bias.get_or_insert(Bias::PerUnit);
            let surroundings = Surroundings {
                normalization: Some(*normalization.get_or_insert(Normalization::None)),
                residual: Some(*residual.get_or_insert(false)),
                dropout: Some(*dropout.get_or_insert(0.0) as f32),
            };
            let mut network =
                hidden.0.iter().fold(Network::new(inputs), |network, &width| network.dense(width, activation));
            surroundings.give(&mut network.layers, Some(inputs));
            network.dense(outputs, output).with_bias(bias)
        };
        network.validate()?;
        match network.outputs() == outputs {
            true => Ok(network),
            false => Err(Error::Config(format!(
                "the network {network} has {} outputs, but {what} needs {outputs}; change the last of the layers",
                network.outputs()
            ))),
        }
    }
}

impl Settings {
    /// Refuses settings of data, layers and files to write, where nothing is read or written and `who` says the layers.
    pub fn refuse_all_but_the_step(&self, who: &str) -> Result<()> {
        let settings = Settings { training: TrainingSettings::default(), ..self.clone() };
        let tables = toml::Table::try_from(settings).map_err(|error| Error::Config(error.to_string()))?;
        let keys = tables.values().filter_map(|table| table.as_table()).flat_map(|table| table.keys());
        match keys.map(|key| if key == "model" { "out" } else { key }.replace('_', "-")).next() {
            None => Ok(()),
            Some(flag) => Err(Error::Config(format!("{who}, and no data are read; leave --{flag} out"))),
        }
    }
}

/// A count that must not be 0.
pub fn at_least_1(what: &str, found: usize) -> Result<usize> {
    match found {
        0 => Err(Error::Config(format!("{what} must be at least 1, found 0"))),
        _ => Ok(found),
    }
}
