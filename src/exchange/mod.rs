//! Models in the files of other programs.
//!
//! | | written | read | feature |
//! |---|---|---|---|
//! | ONNX | [`onnx::export`] | [`onnx::import`] | `onnx` |
//! | NumPy's `.npz` | [`npz::export`] | [`npz::import`] | `npz` |
//! | safetensors for a `torch.nn.Sequential` | [`sequential::export`] | [`Model::load_with_activations`] | |
//! | PyTorch's `.pt` | | [`torch::import`] | `torch` |
//!
//! Every file is read as if an enemy had written it: nothing in it can cause a panic, run code, or allocate more than a
//! multiple of what is there.

#[cfg(any(feature = "npz", feature = "torch"))]
mod archive;
#[cfg(feature = "npz")]
pub mod npz;
#[cfg(feature = "onnx")]
pub mod onnx;
pub mod sequential;
#[cfg(feature = "torch")]
pub mod torch;

use crate::{Model, Result};

/// The same model without a scaling, for programs that know of none: it is in the weights and biases of the first layer, which
/// gets a bias for each unit.
///
/// # Errors
/// [`Error::Shape`](crate::Error::Shape) where the parts of the model do not fit each other, [`Error::Config`](crate::Error::Config)
/// where the first layer has a residual connection.
pub fn fold_scaling(model: &Model) -> Result<Model> {
    model.validate()?;
    sequential::folded(model)
}
