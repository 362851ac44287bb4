//! Model files: the parameters as safetensors, and what they belong to as JSON in the file's metadata.
//!
//! A file is read as if an enemy had written it: nothing in it can cause a panic, an allocation beyond a small multiple
//! of the file's own size, or a model that does not hold together.

mod container;
pub(crate) mod number;
mod run;
pub(crate) mod sequential;
mod tensors;

pub use container::save_tensors;
pub use run::Checkpoint;

use crate::data::{Encoding, Scaling, Task};
use crate::error::{did_you_mean, nearest};
use crate::metrics::Probabilities;
use crate::params::{Role, Tensor};
use crate::{Activation, Error, Loss, Network, Params, Result};
use container::TensorFile;
use serde::{Deserialize, Serialize};
use std::collections::HashSet;
use std::path::Path;
#[cfg(any(feature = "npz", feature = "torch"))]
pub(crate) use tensors::Tensors;
pub(crate) use tensors::{Shapes, Source};

/// The key of the description in a file's metadata.
pub(crate) const KEY: &str = "wgrad";

/// The newest version of the description that this library reads. It writes the oldest that can say all there is to say.
const FORMAT: u64 = 2;

/// The version that knows how columns become inputs.
const ENCODES: u64 = 2;

/// A network with its parameters, and what is needed to use it on new data.
#[derive(Clone, Debug, PartialEq)]
pub struct Model {
    /// The architecture.
    pub network: Network,
    /// The parameters: the arena laid out by [`Params::of`] the network. Padding is not saved; it is 0 once loaded.
    pub values: Vec<f32>,
    /// What the outputs mean.
    pub task: Option<Task>,
    /// The names of the inputs; empty where they have none.
    pub features: Vec<String>,
    /// What makes the inputs of the columns of a file; `None` where each column is the input of its name, as it is.
    pub encoding: Option<Encoding>,
    /// How the inputs were scaled before training, after they were encoded.
    pub scaling: Option<Scaling>,
    /// What the network was trained to minimise.
    pub loss: Option<Loss>,
    /// How it was trained, for the record; the library does not interpret it.
    pub training: Option<serde_json::Value>,
}

/// What a model file says about itself besides its tensors.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Description {
    format: u64,
    network: Network,
    task: Option<Task>,
    #[serde(default)]
    features: Vec<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    encoding: Option<Encoding>,
    scaling: Option<Scaling>,
    loss: Option<Loss>,
    training: Option<serde_json::Value>,
}

impl Model {
    /// A model of which nothing is known but the network and its parameters, the arena laid out by [`Params::of`] it.
    pub fn new(network: Network, values: Vec<f32>) -> Result<Model> {
        let model = Model::bare(network, values);
        model.validate()?;
        Ok(model)
    }

    /// Where each parameter lies in [`Model::values`].
    pub fn params(&self) -> Params {
        Params::of(&self.network)
    }

    /// The elements of the tensor called `name`, such as `layers.0.weight`; `None` where there is no such tensor.
    pub fn tensor(&self, name: &str) -> Option<&[f32]> {
        self.values.get(self.params().named(name)?.range())
    }

    /// Writes the model file `path`, whole or not at all. The same model always gives the same bytes.
    ///
    /// What [`Model::load`] would refuse is not written: a model with a number that is not finite, or with parts that
    /// do not fit each other.
    pub fn save(&self, path: &Path) -> Result<()> {
        self.check_finite(path)?;
        let params = self.params();
        let tensors: Vec<_> =
            params.tensors.iter().map(|t| (t.name.as_str(), t.shape(), &self.values[t.range()])).collect();
        let json = self.describe().map_err(|what| refused(path, format!("not written: {what}")))?;
        save_tensors(path, &tensors, &[(KEY.to_owned(), json)])
    }

    /// Checks that the parts fit each other and that every parameter is finite, before the model is written to `path`.
    pub(crate) fn check_finite(&self, path: &Path) -> Result<()> {
        let refuse = |what: String| Err(refused(path, format!("not written: {what}")));
        if let Err(error) = self.validate() {
            return refuse(error.to_string());
        }
        for tensor in &self.params().tensors {
            let values = &self.values[tensor.range()];
            if let Some(i) = values.iter().position(|v| !v.is_finite()) {
                let found = format!("{}{} is {}", tensor.name, position(tensor, i), values[i]);
                return refuse(format!("{found}; a lower learning rate may keep the training from diverging"));
            }
        }
        Ok(())
    }

    /// Everything but the parameters as JSON, or why it cannot be written so.
    pub(crate) fn describe(&self) -> Result<String, String> {
        let description = Description {
            format: if self.encoding.is_some() { ENCODES } else { 1 },
            network: self.network.clone(),
            task: self.task.clone(),
            features: self.features.clone(),
            encoding: self.encoding.clone(),
            scaling: self.scaling.clone(),
            loss: self.loss,
            training: self.training.clone(),
        };
        let json = serde_json::to_string(&description).map_err(|e| e.to_string())?;
        // JSON can be written that is nested too deeply to be read.
        Description::parse(&json)?;
        Ok(json)
    }

    /// The model, still without parameters, that [`Model::describe`] said in `json`.
    #[cfg(feature = "onnx")]
    pub(crate) fn described(json: &str) -> Result<Model, String> {
        let model = Description::parse(json)?.model();
        model.check().map_err(|e| e.to_string())?;
        Ok(model)
    }

    /// What `predict` makes of the outputs for classes.
    pub fn probabilities(&self) -> Probabilities {
        match self.task {
            Some(Task::Classification { .. }) => Probabilities::of(self.loss),
            _ => Probabilities::None,
        }
    }

    /// Reads a model file written by [`Model::save`].
    pub fn load(path: &Path) -> Result<Model> {
        load(path, None)
    }

    /// Reads a model file, or the state dict of a `torch.nn.Sequential` of linear layers, with the given activations:
    /// one for each weight matrix, the output layer's last.
    ///
    /// A state dict does not say which activations it was trained with. Where the file does say, those given here
    /// replace them.
    pub fn load_with_activations(path: &Path, activations: &[Activation]) -> Result<Model> {
        load(path, Some(activations))
    }

    pub(crate) fn bare(network: Network, values: Vec<f32>) -> Model {
        Model {
            network,
            values,
            task: None,
            features: Vec::new(),
            encoding: None,
            scaling: None,
            loss: None,
            training: None,
        }
    }

    /// What makes inputs of the columns of a file. Where the file does not say, columns are numbers: those called like the
    /// inputs, or `c1`, `c2`, … where they have no names.
    pub fn encoding(&self) -> Encoding {
        match (&self.encoding, &self.features[..]) {
            (Some(encoding), _) => encoding.clone(),
            (None, []) => Encoding::numbers(&(1..=self.network.inputs).map(|i| format!("c{i}")).collect::<Vec<_>>()),
            (None, features) => Encoding::numbers(features),
        }
    }

    /// Checks that all parts fit each other.
    pub(crate) fn validate(&self) -> Result<()> {
        self.check()?;
        self.check_length()
    }

    /// Checks that the parts other than the values fit each other, and that the arena can be addressed.
    fn check(&self) -> Result<()> {
        let network = &self.network;
        network.validate()?;
        let same = |what: &str, expected: usize, found: usize| match expected == found {
            true => Ok(()),
            false => Err(Error::shape(what, expected, found)),
        };
        if !self.features.is_empty() {
            same("names of input columns for the network's inputs", network.inputs, self.features.len())?;
        }
        if let Some(encoding) = &self.encoding {
            encoding.validate()?;
            same("inputs that the encoding makes for the network's inputs", network.inputs, encoding.width())?;
        }
        if let Some(Scaling { shift, scale, .. }) = &self.scaling {
            same("shifts in the scaling of the network's inputs", network.inputs, shift.len())?;
            same("factors in the scaling of the network's inputs", network.inputs, scale.len())?;
            if let Some(i) = shift.iter().zip(scale).position(|(a, b)| !(a.is_finite() && b.is_finite())) {
                let found = format!("(x - {}) * {}", shift[i], scale[i]);
                return Err(Error::shape(format!("scaling of input {i}"), "finite 32-bit numbers", found));
            }
        }
        if let Some(task) = &self.task {
            same("outputs of the task for the network's outputs", network.outputs(), task.outputs())?;
        }
        self.loss.map_or(Ok(()), |loss| loss.check_output(network.output_activation()))
    }

    fn check_length(&self) -> Result<()> {
        let (expected, found) = (self.params().len, self.values.len());
        match expected == found {
            true => Ok(()),
            false => Err(Error::shape(format!("values in the arena of the network {}", self.network), expected, found)),
        }
    }
}

impl Description {
    /// The description in `json`, or what is wrong with it.
    fn parse(json: &str) -> Result<Description, String> {
        // Read leniently first: a newer description may have fields that would be refused under another name.
        #[derive(Deserialize)]
        struct Version {
            format: u64,
        }
        let unreadable = |e: serde_json::Error| format!("its wgrad description cannot be read: {e}");
        let version: Version = serde_json::from_str(json).map_err(unreadable)?;
        match version.format {
            1..=FORMAT => serde_json::from_str(json).map_err(unreadable),
            newer if newer > FORMAT => Err(format!(
                "its wgrad description has format {newer}, from a newer wgrad; this one reads formats up to {FORMAT}: \
                 update wgrad"
            )),
            other => Err(format!("its wgrad description has format {other}; expected 1 to {FORMAT}")),
        }
    }

    /// The model described, still without values.
    fn model(self) -> Model {
        let Description { format: _, network, task, features, encoding, scaling, loss, training } = self;
        Model { network, values: Vec::new(), task, features, encoding, scaling, loss, training }
    }
}

fn load(path: &Path, activations: Option<&[Activation]>) -> Result<Model> {
    load_from(&mut TensorFile::open(path)?, path, activations)
}

/// The model whose tensors are in `source`, which was read from `path`; with `activations`, maybe a state dict.
pub(crate) fn load_from(source: &mut impl Source, path: &Path, activations: Option<&[Activation]>) -> Result<Model> {
    let refuse = |what: String| refused(path, what);
    let (mut model, names) = match (source.description(), activations) {
        (Some(json), _) => {
            let model = Description::parse(json).map_err(refuse)?.model();
            let names = sequential::names(&model.network, &source.shapes());
            (model, names)
        }
        (None, Some(activations)) => {
            let (network, names) = sequential::read(&source.shapes(), activations).map_err(refuse)?;
            (Model::bare(network, Vec::new()), Some(names))
        }
        (None, None) => {
            return Err(refused(
                path,
                "this file has no wgrad description; give --activations to load a plain torch.nn.Sequential state dict",
            ));
        }
    };
    if let Some(activations) = activations {
        check_count(model.network.layers.len(), activations).map_err(refuse)?;
        for (layer, activation) in model.network.layers.iter_mut().zip(activations) {
            layer.activation = *activation;
        }
    }
    model.check().map_err(|e| refused(path, e))?;
    let params = model.params();
    let names = names.unwrap_or_else(|| params.tensors.iter().map(|t| t.name.clone()).collect());
    check_tensors(&source.shapes(), &params, &names).map_err(refuse)?;
    model.values = vec![0.0; params.len];
    for (tensor, name) in params.tensors.iter().zip(&names) {
        source.read(name, tensor, &mut model.values[tensor.range()])?;
    }
    Ok(model)
}

/// Checks that the file's tensors are those called `names`, in the shapes that `params` gives them, and no others.
fn check_tensors(shapes: &Shapes<'_>, params: &Params, names: &[String]) -> Result<(), String> {
    let expected: HashSet<&str> = names.iter().map(String::as_str).collect();
    let extra: Vec<&str> = shapes.keys().copied().filter(|name| !expected.contains(name)).collect();
    for (tensor, name) in params.tensors.iter().zip(names) {
        let expected = tensor.shape();
        match shapes.get(name.as_str()) {
            Some(found) if **found == expected => {}
            Some(found) => return Err(format!("the tensor {name:?} should have shape {expected:?}, found {found:?}")),
            None => {
                let similar = nearest(name, extra.iter().copied().map(brief));
                let hint = similar.map_or(String::new(), |similar| format!("; is {similar:?} meant?"));
                return Err(format!("the tensor {name:?} of shape {expected:?} is missing{hint}"));
            }
        }
    }
    extra.first().map_or(Ok(()), |name| {
        let name = brief(name);
        let hint = did_you_mean(name, names.iter().map(|name| brief(name)));
        Err(format!("the tensor {name:?} belongs to no layer of the network{hint}; remove it from the file"))
    })
}

fn check_count(layers: usize, activations: &[Activation]) -> Result<(), String> {
    let found = activations.len();
    match layers == found {
        true => Ok(()),
        false => Err(format!("expected one activation for each of the {layers} weight matrices, found {found}")),
    }
}

/// Where element `i` of `tensor` is: `[row, column]` of a weight, `[unit]` of a vector.
fn position(tensor: &Tensor, i: usize) -> String {
    match tensor.role {
        Role::Weight => format!("[{}, {}]", i / tensor.cols, i % tensor.cols),
        _ => format!("[{i}]"),
    }
}

/// The beginning of a name from a file: a hostile one can be megabytes long, and comparing two names takes memory in
/// proportion to the product of their lengths.
pub(crate) fn brief(name: &str) -> &str {
    name.char_indices().nth(80).map_or(name, |(end, _)| &name[..end])
}

/// The error about the model file `path`. Parts of `what` may come from the file: it is cut to a readable length and
/// cannot steer a terminal.
pub(crate) fn refused(path: &Path, what: impl std::fmt::Display) -> Error {
    const LONGEST: usize = 1000;
    let text = what.to_string();
    let printable = |c: char| if c.is_control() { ' ' } else { c };
    let mut what: String = text.chars().take(LONGEST).map(printable).collect();
    if text.chars().nth(LONGEST).is_some() {
        what.push('…');
    }
    Error::Model { path: path.to_owned(), what }
}
