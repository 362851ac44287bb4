//! What a training run may be told. Flags and configuration files say the same things, so both are one type:
//! [`Settings`]. What neither says is filled in by [`Job::resolve`](crate::job::Job::resolve).

mod choices;
mod keys;
mod meaning;
mod text;

pub use choices::{MicroBatch, ReductionChoice};
pub use meaning::at_least_1;

use crate::context::Context;
use crate::size::Size;
use crate::sources::{Given, Source, Start};
use crate::tuning::PlannerChoice;
use clap::builder::{PossibleValue, TypedValueParser};
use clap::{Arg, Args, Command, ValueEnum};
use serde::de::IntoDeserializer;
use serde::{Deserialize, Serialize};
use std::ffi::OsStr;
use std::fs;
use std::path::{Path, PathBuf};
use std::str::FromStr;
use wgrad::data::{ClassWeights, Format, Missing, ReadOptions, ScalingKind, TaskHint, Unknown};
use wgrad::optimizer::Rule;
use wgrad::{Activation, Bias, Dropout, Error, Layer, Loss, Normalization, PrecisionChoice, Result, Schedule};

/// Everything about a training run, each part a table of the configuration.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    #[command(flatten)]
    pub data: DataSettings,
    #[command(flatten)]
    pub network: NetworkSettings,
    #[command(flatten)]
    pub training: TrainingSettings,
    #[command(flatten)]
    pub output: OutputSettings,
}

/// What to learn from.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Data")]
pub struct DataSettings {
    #[arg(skip)]
    #[serde(with = "text")]
    pub source: Option<Source>,
    /// The format of the data: csv, tsv, csv:; (for another separator), npy, npz, npz:x,y (some of its arrays), idx, parquet,
    /// arrow, jsonl or images (a folder with a folder for each class) [default: by the name, else by the first bytes]
    #[arg(long, value_name = "NAME")]
    #[serde(with = "text")]
    pub format: Option<Format>,
    /// The column to predict; several, separated by commas, for a regression with several outputs [default: the last]
    #[arg(long, value_name = "COLUMN")]
    pub target: Option<String>,
    /// A file with the answers, for data that have none of their own, such as a .npy file; a row for each row of the data
    #[arg(long, value_name = "FILE")]
    pub labels: Option<PathBuf>,
    /// The column that says how much each row counts: numbers of at least 0
    #[arg(long, value_name = "COLUMN")]
    pub weights: Option<String>,
    /// Columns to leave out, separated by commas
    #[arg(long, value_name = "COLUMNS")]
    pub ignore: Option<Names>,
    /// Columns of numbers that are categories, such as codes, separated by commas; columns of texts are
    #[arg(long, value_name = "COLUMNS")]
    pub categorical: Option<Names>,
    /// What becomes of missing values (empty, NA, NaN, null, ?): error, mean, median, most_frequent or constant:VALUE; in
    /// columns of categories all but the last mean the most frequent one. Fitted on the training rows and saved with the
    /// model [default: error]
    #[arg(long, value_name = "HOW")]
    #[serde(with = "text")]
    pub missing: Option<Missing>,
    /// What the model makes of a category that it has not seen: error, column (an input of its own) or ignore (all inputs of
    /// the column are 0) [default: error]
    #[arg(long, value_name = "HOW")]
    #[serde(with = "text")]
    pub unknown: Option<Unknown>,
    /// What the target is [default: inferred from its values]
    #[arg(long)]
    pub task: Option<TaskKind>,
    /// How input columns of numbers are scaled; fitted on the training rows and saved with the model: none, standard (mean 0,
    /// deviation 1), min_max (0 to 1) or range:LOW:HIGH [default: standard]
    #[arg(long, value_name = "KIND", allow_hyphen_values = true)]
    #[serde(with = "text")]
    pub scaling: Option<ScalingKind>,
    /// What training is watched by: a share of the rows left after the test's, or a file with the same columns [default: 0.1]
    #[arg(long, value_name = "SHARE|FILE", allow_negative_numbers = true)]
    pub validation: Option<Validation>,
    /// How much memory the rows of a file may take up, as in 512MiB; where they need more, they lie in temporary files beside
    /// the data, which changes no result [default: 1GiB]
    #[arg(long, value_name = "SIZE")]
    #[serde(with = "text")]
    pub memory: Option<Size>,
    /// The share of the rows that the trained network is judged by [default: 0.2]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub test: Option<f64>,
    /// Cross-validate: train so many times, each time on all rows but one of so many parts, which it is judged by; classes keep
    /// their shares. With --out a model is then trained on all rows
    #[arg(long, value_name = "COUNT")]
    pub folds: Option<usize>,
}

/// The network, either by `hidden` and what goes with it, or layer by layer.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Network")]
pub struct NetworkSettings {
    /// The widths of the hidden layers, separated by commas, or `none` [default: 128]
    #[arg(long, value_name = "WIDTHS")]
    pub hidden: Option<Hidden>,
    /// The activation of the hidden layers: a name, or an expression in x such as "x * tanh(softplus(x))" [default: relu]
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = activation_names())]
    #[serde(with = "text")]
    pub activation: Option<Activation>,
    /// The activation of the output layer, likewise [default: linear; sigmoid for logistic_cross_entropy]
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = activation_names(), hide_possible_values = true)]
    #[serde(with = "text")]
    pub output_activation: Option<Activation>,
    /// How the units of every layer are biased: per_unit, shared (one number a layer) or none [default: per_unit]
    #[arg(long, value_name = "MODE", value_parser = parse_bias)]
    pub bias: Option<Bias>,
    /// What the sums of the hidden layers are normalised over, before the activation: none, layer or batch [default: none]
    #[arg(long, value_name = "KIND", value_parser = parse_normalization)]
    pub normalization: Option<Normalization>,
    /// Residual connections: each hidden layer that is as wide as its input adds that to its output
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub residual: Option<bool>,
    /// The share of the hidden layers' outputs that drop out in training [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub dropout: Option<f64>,
    #[arg(skip)]
    pub layers: Option<Vec<Layer>>,
}

/// How to train.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Training")]
pub struct TrainingSettings {
    /// What the output is compared with the target by: a name, or an expression in one output y and its target t, averaged
    /// over everything, such as "abs(y - t)^1.5" [default: softmax_cross_entropy for classes, mean_squared_error for
    /// numbers]
    #[arg(long, value_name = "NAME|EXPRESSION", value_parser = loss_names())]
    pub loss: Option<Loss>,
    /// How gradients change parameters [default: momentum]
    #[arg(long, value_name = "NAME", value_parser = optimizer_names())]
    pub optimizer: Option<Rule>,
    /// The share of its velocity that momentum keeps [default: 0.9]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub momentum: Option<f64>,
    /// Nesterov's correction of the momentum
    #[arg(long, num_args = 0..=1, require_equals = true, default_missing_value = "true", value_name = "BOOL")]
    pub nesterov: Option<bool>,
    /// The weight decay: an L2 penalty; decoupled from the gradient for adamw and lion [default: 0; 0.01 for adamw]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    pub weight_decay: Option<f64>,
    /// The share of the mean gradient that adam, adamw and lion keep [default: 0.9]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub beta1: Option<f64>,
    /// The share of the mean square that adam and adamw keep, of the mean gradient for lion [default: 0.999; 0.99 for lion]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub beta2: Option<f64>,
    /// The share of the mean square that rmsprop keeps [default: 0.99]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub alpha: Option<f64>,
    /// What is added to the root of the mean square [default: 1e-8; 1e-10 for adagrad]
    #[arg(long, value_name = "NUMBER", allow_negative_numbers = true)]
    pub epsilon: Option<f64>,
    /// The learning rate [default: 0.001 for adam, adamw and rmsprop, 0.01 for adagrad, 0.0001 for lion; for momentum 0.01 for
    /// classes, 0.001 for numbers; ten times that for sgd]
    #[arg(long = "lr", alias = "learning-rate", value_name = "RATE", allow_negative_numbers = true)]
    pub learning_rate: Option<f64>,
    /// How the learning rate changes: parts in a row such as "warmup:5, cosine", with their epochs; constant, warmup:EPOCHS,
    /// step:EVERY[:FACTOR], exponential:FACTOR, inverse:DECAY, cosine[:LEAST], restarts:PERIOD[:GROWTH], one_cycle[:RISE],
    /// plateau[:FACTOR[:PATIENCE]], each with [:EPOCHS] behind unless it takes the rest [default: constant]
    #[arg(long, value_name = "PARTS")]
    #[serde(with = "text")]
    pub schedule: Option<Schedule>,
    /// Rows in a batch [default: 32]
    #[arg(long, value_name = "ROWS")]
    pub batch: Option<usize>,
    /// Rows of a batch that are on the device at a time, or auto (as many as fit): gradients are summed until the batch is
    /// whole [default: the batch]
    #[arg(long, value_name = "ROWS|auto")]
    #[serde(with = "text")]
    pub micro_batch: Option<MicroBatch>,
    /// What the sum of the loss is divided by; by a sum, gradients grow with the batch, and an epoch's loss is that of all its
    /// rows together [default: mean]
    #[arg(long)]
    pub reduction: Option<ReductionChoice>,
    /// How much the rows of a class count: balanced, or LABEL:WEIGHT for some of them, as in "0:1,1:5"; in training alone
    #[arg(long, value_name = "balanced|LABEL:WEIGHT,...")]
    #[serde(with = "text")]
    pub class_weights: Option<ClassWeights>,
    /// How far the targets of classes are moved toward all the same, 0 to 1; in training alone [default: 0]
    #[arg(long, value_name = "SHARE", allow_negative_numbers = true)]
    pub label_smoothing: Option<f64>,
    /// A penalty on weights, L1 times the sum of their magnitudes; no part of the loss that is shown [default: 0]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    pub l1: Option<f64>,
    /// A penalty on weights, half of L2 times the sum of their squares; no part of the loss that is shown [default: 0]
    #[arg(long, value_name = "FACTOR", allow_negative_numbers = true)]
    pub l2: Option<f64>,
    /// The largest magnitude of a number of the gradient; larger ones are cut
    #[arg(long, value_name = "LIMIT", allow_negative_numbers = true)]
    pub clip_value: Option<f64>,
    /// The largest norm of the whole gradient; a longer one is shortened
    #[arg(long, value_name = "LIMIT", allow_negative_numbers = true)]
    pub clip_norm: Option<f64>,
    /// Average the parameters over the updates, keeping so much of the average each time, as in 0.999; the average is what is
    /// validated, tested and saved
    #[arg(long, value_name = "DECAY", allow_negative_numbers = true)]
    pub average: Option<f64>,
    /// How often to go through the training rows [default: 40]
    #[arg(long, value_name = "COUNT")]
    pub epochs: Option<usize>,
    /// Stop early where the validation's loss (that of training without a validation) had no new least value for more than so
    /// many epochs, and keep the weights that had the least
    #[arg(long, value_name = "EPOCHS")]
    pub patience: Option<usize>,
    /// Stop after the first epoch whose loss is at most this
    #[arg(long, value_name = "LOSS", allow_negative_numbers = true)]
    pub stop_at: Option<f64>,
    /// Stop after the first epoch that ends later than so many seconds
    #[arg(long, value_name = "SECONDS")]
    pub max_seconds: Option<f64>,
    /// Write a checkpoint after every so many epochs, from which --resume goes on [default: 1 where --checkpoints says where]
    #[arg(long, value_name = "EPOCHS")]
    pub checkpoint_every: Option<usize>,
    /// Write a checkpoint so many minutes after the last one, within an epoch too
    #[arg(long, value_name = "MINUTES", allow_negative_numbers = true)]
    pub checkpoint_minutes: Option<f64>,
    /// The initial weights: auto, xavier_uniform, xavier_normal, he_uniform, he_normal, uniform:BOUND,
    /// normal:DEVIATION, or a model file to go on from, whose scaling is kept [default: auto]
    #[arg(long, value_name = "NAME|MODEL")]
    #[serde(with = "text")]
    pub init: Option<Start>,
    /// How much of the device's memory the data may take up, as in 64MiB; what is larger is streamed, which changes no
    /// result [default: as much as the device lets a shader bind]
    #[arg(long, value_name = "SIZE")]
    #[serde(with = "text")]
    pub data_memory: Option<Size>,
    /// Who wires the training step: auto (the fastest, measured) or a planner's name [default: auto]
    #[arg(long, value_name = "NAME")]
    #[serde(with = "text")]
    pub planner: Option<PlannerChoice>,
    /// Repeat the device, planner and kernel variants that this model was trained with, for the same bits
    #[arg(long, value_name = "MODEL")]
    pub like: Option<PathBuf>,
    /// What matrices are stored in: f32, f16 (mixed precision: sums, gradients and the weights that are kept stay f32), or
    /// auto (f16 where the adapter has cooperative matrices that pass a self-test) [default: f32]
    #[arg(long, value_name = "f32|f16|auto")]
    #[serde(with = "text")]
    pub precision: Option<PrecisionChoice>,
    #[arg(skip)]
    pub seed: Option<u64>,
    #[arg(skip)]
    pub device: Option<String>,
}

/// Where the result goes.
#[derive(Args, Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
#[command(next_help_heading = "Output")]
pub struct OutputSettings {
    /// The model file to write [default: model.safetensors]
    #[arg(long = "out", value_name = "MODEL")]
    pub model: Option<PathBuf>,
    /// Keep a log in this folder, which must not hold one yet: metrics.csv, TensorBoard's events, configuration, model;
    /// for `wgrad plot` and `wgrad report`
    #[arg(long, value_name = "DIR")]
    pub log: Option<PathBuf>,
    /// The folder of the checkpoints last.safetensors and best.safetensors [default: beside the model, its name ending in
    /// .checkpoints]
    #[arg(long, value_name = "DIR")]
    pub checkpoints: Option<PathBuf>,
}

impl OutputSettings {
    /// The model file to write.
    pub fn destination(&mut self) -> &Path {
        self.model.get_or_insert("model.safetensors".into())
    }
}

/// What the target column holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum TaskKind {
    Classification,
    Regression,
}

/// What the rows of a file may take up in memory, where nothing else is said.
pub const MEMORY: Size = Size(1 << 30);

impl DataSettings {
    /// How the file is read.
    pub fn read_options(&self) -> ReadOptions {
        let names = |names: &Option<Names>| names.as_ref().map_or(Vec::new(), |names| names.0.clone());
        ReadOptions {
            format: self.format.clone(),
            labels: self.labels.clone(),
            target: self.target.clone(),
            task: match self.task {
                None => TaskHint::Infer,
                Some(TaskKind::Classification) => TaskHint::Classification,
                Some(TaskKind::Regression) => TaskHint::Regression,
            },
            weights: self.weights.clone(),
            ignore: names(&self.ignore),
            categorical: names(&self.categorical),
            missing: self.missing.clone().unwrap_or_default(),
            unknown: self.unknown.unwrap_or_default(),
            memory: Some(self.memory.unwrap_or(MEMORY).0),
        }
    }
}

/// Names of columns.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Names(pub Vec<String>);

impl FromStr for Names {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(Names(text.split(',').map(|name| name.trim().to_owned()).collect()))
    }
}

/// What training is watched by.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(untagged)]
pub enum Validation {
    /// A share of the rows.
    Share(f64),
    /// A file.
    File(PathBuf),
}

impl FromStr for Validation {
    type Err = std::convert::Infallible;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        Ok(text.parse().map_or_else(|_| Validation::File(text.into()), Validation::Share))
    }
}

/// The widths of the hidden layers.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Hidden(pub Vec<usize>);

impl FromStr for Hidden {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self> {
        if text == "none" {
            return Ok(Hidden(Vec::new()));
        }
        let widths = text.split(',').map(|width| width.trim().parse());
        widths.collect::<Result<_, _>>().map(Hidden).map_err(|_| {
            Error::Config(format!("expected widths separated by commas, as in 128,64, or `none`, found {text:?}"))
        })
    }
}

/// Takes an activation, and knows the names of the registry for help.
pub fn activation_names() -> impl TypedValueParser<Value = Activation> {
    Registry {
        names: || Activation::ALL.iter().map(|activation| activation.name()).collect(),
        parse: Activation::from_str,
    }
}

/// Takes an optimizer's name, and knows those of the registry for help.
fn optimizer_names() -> impl TypedValueParser<Value = Rule> {
    Registry { names: || Rule::ALL.iter().map(|rule| rule.name()).collect(), parse: Rule::from_str }
}

/// Takes a loss, and knows the names of the registry for help.
pub fn loss_names() -> impl TypedValueParser<Value = Loss> {
    Registry { names: || Loss::ALL.iter().map(|loss| loss.name()).collect(), parse: Loss::from_str }
}

/// Takes the names of a registry, and other texts too.
#[derive(Clone)]
struct Registry<T> {
    names: fn() -> Vec<&'static str>,
    parse: fn(&str) -> Result<T>,
}

impl<T: Clone + Send + Sync + 'static> TypedValueParser for Registry<T> {
    type Value = T;

    fn parse_ref(&self, command: &Command, arg: Option<&Arg>, value: &OsStr) -> Result<T, clap::Error> {
        TypedValueParser::parse_ref(&self.parse, command, arg, value)
    }

    fn possible_values(&self) -> Option<Box<dyn Iterator<Item = PossibleValue> + '_>> {
        Some(Box::new((self.names)().into_iter().map(PossibleValue::new)))
    }
}

fn parse_bias(name: &str) -> Result<Bias, serde::de::value::Error> {
    Bias::deserialize(name.into_deserializer())
}

fn parse_normalization(name: &str) -> Result<Normalization, serde::de::value::Error> {
    Normalization::deserialize(name.into_deserializer())
}

impl Settings {
    /// What `given` and the flags say together: a flag overrides a configuration.
    pub fn gather(given: &Given, flags: Settings, context: &Context) -> Result<Settings> {
        let mut flags = flags.with_globals(context);
        match given {
            Given::Toml(path) => Settings::read(path)?.overridden_by(flags),
            Given::Source(source) => {
                flags.data.source = Some(source.clone());
                Ok(flags)
            }
        }
    }

    /// These, with the seed and the device that every command takes.
    pub fn with_globals(mut self, context: &Context) -> Settings {
        self.training.seed = context.seed;
        self.training.device = context.device.clone();
        self
    }

    /// Reads a configuration. Paths in it are relative to the file.
    pub fn read(path: &Path) -> Result<Settings> {
        let io = |source| Error::Io { action: "read", path: path.to_owned(), source };
        let text = fs::read_to_string(path).map_err(io)?;
        let refuse = |(at, what): (Option<usize>, String)| {
            let line = |at| text.bytes().take(at).filter(|byte| *byte == b'\n').count() + 1;
            let line = at.map_or(String::new(), |at| format!(", line {}", line(at)));
            Error::Config(format!("{}{line}: {what}", path.display()))
        };
        keys::check(&text, known_keys).map_err(refuse)?;
        let parse = |text: &str| toml::from_str(text).map_err(keys::place_and_message);
        let mut settings: Settings = parse(&text).map_err(refuse)?;
        let folder = path.parent().unwrap_or(Path::new(""));
        settings.relocate(|file| Ok(folder.join(file)))?;
        Ok(settings)
    }

    /// The configuration that says the same wherever it is stored.
    pub fn to_toml(&self) -> Result<String> {
        let mut settings = self.clone();
        settings.relocate(|file| {
            let io = |source| Error::Io { action: "find the folder of", path: file.clone(), source };
            std::path::absolute(&file).map_err(io)
        })?;
        toml::to_string(&settings).map_err(|error| Error::Config(error.to_string()))
    }

    /// Replaces the path of every file that is mentioned.
    fn relocate(&mut self, place: impl Fn(PathBuf) -> Result<PathBuf>) -> Result<()> {
        if let Some(Source::File(path)) = &mut self.data.source
            && path != Path::new("-")
        {
            *path = place(std::mem::take(path))?;
        }
        if let Some(path) = &mut self.data.labels {
            *path = place(std::mem::take(path))?;
        }
        if let Some(Validation::File(path)) = &mut self.data.validation {
            *path = place(std::mem::take(path))?;
        }
        if let Some(Start::File(path)) = &mut self.training.init {
            *path = place(std::mem::take(path))?;
        }
        if let Some(path) = &mut self.training.like {
            *path = place(std::mem::take(path))?;
        }
        for path in [&mut self.output.model, &mut self.output.checkpoints].into_iter().flatten() {
            *path = place(std::mem::take(path))?;
        }
        if let Some(path) = &mut self.output.log {
            *path = place(std::mem::take(path))?;
        }
        Ok(())
    }

    /// What [`Settings::to_toml`] wrote.
    pub fn parse(text: &str) -> Result<Settings, String> {
        toml::from_str(text).map_err(|error| error.message().to_owned())
    }

    /// These, where `flags` do not say otherwise.
    pub fn overridden_by(mut self, mut flags: Settings) -> Result<Settings> {
        self.network.make_room_for(&mut flags.network);
        if flags.training.optimizer.is_some() {
            self.training.optimizer_settings().into_iter().for_each(|(_, setting)| *setting = None);
            self.training.nesterov = None;
        }
        let table = |settings: &Settings| toml::Table::try_from(settings);
        let merged = table(&self).and_then(|mut file| {
            merge(&mut file, table(&flags)?);
            Ok(file)
        });
        let unwritable = |error: toml::ser::Error| Error::Config(error.to_string());
        merged
            .map_err(unwritable)?
            .try_into()
            .map_err(|error: toml::de::Error| Error::Config(error.message().to_owned()))
    }
}

impl TrainingSettings {
    /// The numbers that only some optimizers have, by the names that they have there.
    pub fn optimizer_settings(&mut self) -> [(&'static str, &mut Option<f64>); 6] {
        [
            ("momentum", &mut self.momentum),
            ("weight_decay", &mut self.weight_decay),
            ("beta1", &mut self.beta1),
            ("beta2", &mut self.beta2),
            ("alpha", &mut self.alpha),
            ("epsilon", &mut self.epsilon),
        ]
    }
}

/// What surrounds `f(W x + b)` in the hidden layers; `None` leaves it as it is.
#[derive(Clone, Copy, Debug)]
pub struct Surroundings {
    pub normalization: Option<Normalization>,
    pub residual: Option<bool>,
    pub dropout: Option<f32>,
}

impl Surroundings {
    /// Gives it to the hidden layers of a network with so many inputs; where these are not known, the first layer has no
    /// residual connection.
    pub fn give(self, hidden: &mut [Layer], inputs: Option<usize>) {
        let mut before = inputs;
        for layer in hidden {
            layer.normalization = self.normalization.unwrap_or(layer.normalization);
            layer.dropout = self.dropout.map_or(layer.dropout, Dropout);
            if let Some(residual) = self.residual {
                layer.residual = residual && before == Some(layer.outputs);
            }
            before = Some(layer.outputs);
        }
    }
}

impl NetworkSettings {
    /// Lets flags change what the configuration says layer by layer.
    fn make_room_for(&mut self, flags: &mut NetworkSettings) {
        if flags.hidden.is_some() {
            self.layers = None;
        }
        let Some((last, hidden)) = self.layers.as_mut().and_then(|layers| layers.split_last_mut()) else { return };
        let surroundings = Surroundings {
            normalization: flags.normalization.take(),
            residual: flags.residual.take(),
            dropout: flags.dropout.take().map(|rate| rate as f32),
        };
        surroundings.give(hidden, None);
        if let Some(activation) = flags.activation.take() {
            hidden.iter_mut().for_each(|layer| layer.activation = activation);
        }
        if let Some(activation) = flags.output_activation.take() {
            last.activation = activation;
        }
        if let Some(bias) = flags.bias.take() {
            hidden.iter_mut().chain([last]).for_each(|layer| layer.bias = bias);
        }
    }
}

fn merge(base: &mut toml::Table, over: toml::Table) {
    for (key, value) in over {
        match (base.get_mut(&key), value) {
            (Some(toml::Value::Table(base)), toml::Value::Table(over)) => merge(base, over),
            (_, value) => {
                base.insert(key, value);
            }
        }
    }
}

/// The keys that the table called `name` may have; `None` where no table of this name belongs.
fn known_keys(name: &str) -> Option<&'static [&'static str]> {
    Some(match name {
        "" => keys::of::<Settings>(),
        "data" => keys::of::<DataSettings>(),
        "network" => keys::of::<NetworkSettings>(),
        "network.layers" => keys::of::<Layer>(),
        "training" => keys::of::<TrainingSettings>(),
        "output" => keys::of::<OutputSettings>(),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn keys_are_the_fields() {
        assert_eq!(known_keys("").unwrap(), ["data", "network", "training", "output"]);
        assert_eq!(known_keys("output").unwrap(), ["model", "log", "checkpoints"]);
        let layer =
            ["outputs", "activation", "bias", "freeze_weight", "freeze_bias", "normalization", "residual", "dropout"];
        assert_eq!(known_keys("network.layers").unwrap(), layer);
        assert_eq!(known_keys("training.loss"), None);
    }

    #[test]
    fn flags_override_a_file() {
        let file = "[training]\nbatch = 16\nmomentum = 0.5\n[[network.layers]]\noutputs = 3\nactivation = 'tanh'\n\
                    [[network.layers]]\noutputs = 2\nactivation = 'linear'";
        let file: Settings = toml::from_str(file).unwrap();
        let mut flags = Settings::default();
        flags.training.learning_rate = Some(0.25);
        flags.training.optimizer = Some(Rule::Sgd);
        flags.network.activation = Some(Activation::Sine);
        flags.network.bias = Some(Bias::None);
        let both = file.clone().overridden_by(flags.clone()).unwrap();
        assert_eq!((both.training.batch, both.training.learning_rate), (Some(16), Some(0.25)));
        assert_eq!(both.training.momentum, None);
        let layers = both.network.layers.unwrap();
        assert_eq!(layers[0], Layer { bias: Bias::None, ..Layer::new(3, Activation::Sine) });
        assert_eq!(layers[1], Layer { bias: Bias::None, ..Layer::new(2, Activation::Linear) });

        flags.network.hidden = Some(Hidden(vec![7]));
        let both = file.overridden_by(flags).unwrap();
        assert_eq!((both.network.layers, both.network.hidden), (None, Some(Hidden(vec![7]))));
    }

    #[test]
    fn paths_are_relative_to_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.toml");
        fs::write(&path, "[data]\nsource = 'b.csv'\n[training]\ninit = 'c.safetensors'").unwrap();
        let settings = Settings::read(&path).unwrap();
        assert_eq!(settings.data.source, Some(Source::File(folder.path().join("b.csv"))));
        assert_eq!(settings.training.init, Some(Start::File(folder.path().join("c.safetensors"))));
    }
}
