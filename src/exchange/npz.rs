//! NumPy's `.npz`: the parameters as arrays, each under its name.
//!
//! ```python
//! import numpy as np
//! arrays = np.load("model.npz")
//! hidden = np.maximum(x @ arrays["layers.0.weight"].T + arrays["layers.0.bias"], 0)
//! ```
//!
//! Weights are `[outputs, inputs]`. Where the inputs are scaled, to `(x - shift) * scale`, the arrays `scaling.shift` and
//! `scaling.scale` hold a number for each. The array `wgrad` holds the model's description, JSON in UTF-8:
//! `bytes(arrays["wgrad"]).decode()`.

use super::archive::Archive;
use crate::checkpoint::{Tensors, brief, load_from, refused};
use crate::data::{read_npy_bytes, write_atomic};
use crate::{Activation, Error, Model, Result};
use ndarray::{ArrayViewD, IxDyn};
use ndarray_npy::{WritableElement, WriteNpyExt};
use std::io::{self, Cursor};
use std::path::Path;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

/// The array of the description.
const DESCRIPTION: &str = "wgrad";

type Zip = ZipWriter<Cursor<Vec<u8>>>;

/// Arrays that the description says too.
const SCALING: [&str; 2] = ["scaling.shift", "scaling.scale"];

/// Writes the parameters of `model` as the file `path`, whole or not at all. The same model always gives the same bytes.
///
/// # Errors
/// Those of [`Model::save`].
pub fn export(model: &Model, path: &Path) -> Result<()> {
    model.check_finite(path)?;
    let description = model.describe().map_err(|what| refused(path, format!("not written: {what}")))?;
    let write = || -> io::Result<Vec<u8>> {
        let mut zip: Zip = ZipWriter::new(Cursor::new(Vec::new()));
        for tensor in &model.params().tensors {
            add(&mut zip, &tensor.name, &tensor.shape(), &model.values[tensor.range()])?;
        }
        if let Some(scaling) = &model.scaling {
            for (name, values) in SCALING.into_iter().zip([&scaling.shift, &scaling.scale]) {
                add(&mut zip, name, &[values.len()], values)?;
            }
        }
        add(&mut zip, DESCRIPTION, &[description.len()], description.as_bytes())?;
        Ok(zip.finish()?.into_inner())
    };
    let bytes = write().map_err(Error::io("write", path))?;
    write_atomic(path, |out| out.write_all(&bytes))
}

fn add<T: WritableElement>(zip: &mut Zip, name: &str, shape: &[usize], values: &[T]) -> io::Result<()> {
    let options = SimpleFileOptions::default().compression_method(CompressionMethod::Stored).large_file(true);
    zip.start_file(format!("{name}.npy"), options)?;
    let array = ArrayViewD::from_shape(IxDyn(shape), values).map_err(io::Error::other)?;
    array.write_npy(zip).map_err(io::Error::other)
}

/// Reads the file `path`, which [`export`] wrote. With `activations`, one for each weight, it may hold nothing but the parameters
/// of a `torch.nn.Sequential` under the names of its state dict; where the file says the activations, those given replace them.
///
/// # Errors
/// [`Error::Model`] where it is no such file; the message says what was found.
pub fn import(path: &Path, activations: Option<&[Activation]>) -> Result<Model> {
    let refuse = |what: String| refused(path, what);
    let hint = "this is not an .npz file";
    let mut archive = Archive::open(path, hint).map_err(refuse)?;
    let mut tensors = Tensors::new(path);
    for member in archive.names() {
        let Some(name) = member.strip_suffix(".npy") else {
            return Err(refuse(format!("expected arrays of NumPy, found {:?}; {hint}", brief(&member))));
        };
        let bytes = archive.read(&member, u64::MAX).map_err(refuse)?.unwrap_or_default();
        let failed = |what: String| refuse(format!("the array {:?}: {what}", brief(name)));
        let (shape, values) = read_npy_bytes(&bytes).map_err(failed)?;
        match name {
            DESCRIPTION => {
                let text = values.iter().map(|&byte| byte as u8).collect();
                let text = String::from_utf8(text).map_err(|e| failed(format!("expected a text in UTF-8: {e}")))?;
                tensors.description = Some(text);
            }
            _ if SCALING.contains(&name) => {}
            _ => {
                tensors.tensors.insert(name.to_owned(), (shape, values));
            }
        }
    }
    load_from(&mut tensors, path, activations)
}
