//! Tensors by name, wherever they come from.

#[cfg(any(feature = "npz", feature = "torch"))]
use super::{brief, position, refused};
use crate::Result;
use crate::params::Tensor;
use std::collections::BTreeMap;
#[cfg(any(feature = "npz", feature = "torch"))]
use std::path::{Path, PathBuf};

/// The shapes of tensors by name.
pub(crate) type Shapes<'a> = BTreeMap<&'a str, &'a [usize]>;

/// A file of tensors.
pub(crate) trait Source {
    /// The description of the model that they belong to.
    fn description(&self) -> Option<&str>;
    /// What there is.
    fn shapes(&self) -> Shapes<'_>;
    /// Reads the tensor `name` as the finite elements of `tensor`, of which it has as many.
    fn read(&mut self, name: &str, tensor: &Tensor, into: &mut [f32]) -> Result<()>;
}

/// Tensors in memory, of which each was read whole.
#[cfg(any(feature = "npz", feature = "torch"))]
pub(crate) struct Tensors {
    path: PathBuf,
    pub(crate) description: Option<String>,
    pub(crate) tensors: BTreeMap<String, (Vec<usize>, Vec<f32>)>,
}

#[cfg(any(feature = "npz", feature = "torch"))]
impl Tensors {
    /// None yet, from the file `path`.
    pub(crate) fn new(path: &Path) -> Self {
        Tensors { path: path.to_owned(), description: None, tensors: BTreeMap::new() }
    }
}

#[cfg(any(feature = "npz", feature = "torch"))]
impl Source for Tensors {
    fn description(&self) -> Option<&str> {
        self.description.as_deref()
    }

    fn shapes(&self) -> Shapes<'_> {
        self.tensors.iter().map(|(name, (shape, _))| (name.as_str(), shape.as_slice())).collect()
    }

    fn read(&mut self, name: &str, tensor: &Tensor, into: &mut [f32]) -> Result<()> {
        let refuse = |what: String| Err(refused(&self.path, format!("the tensor {:?} {what}", brief(name))));
        let Some((_, values)) = self.tensors.get(name).filter(|(_, values)| values.len() == into.len()) else {
            return refuse("is missing".into());
        };
        into.copy_from_slice(values);
        match into.iter().position(|value| !value.is_finite()) {
            None => Ok(()),
            Some(i) => {
                refuse(format!("should hold finite 32-bit numbers, found {} at {}", into[i], position(tensor, i)))
            }
        }
    }
}
