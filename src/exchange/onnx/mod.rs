//! ONNX: <https://onnx.ai>.
//!
//! What is written has one input `inputs`, `[batch, inputs]`, unscaled as in the data, and one output, `[batch, outputs]`:
//! `probabilities` where [`Model::probabilities`] makes some of the network's outputs, else `outputs`. The metadata hold
//! `features` and `classes` as JSON lists, and under `wgrad` the description of the model, from which it is read again as it was.
//!
//! Graphs are read that are dense layers one behind the other: Gemm, or MatMul with or without Add; behind each any function of
//! its units that is made of the operators that [`import`] names where it meets another one; in front of them a scaling of the input
//! by constants; at the end perhaps Softmax.

mod constant;
mod export;
mod import;
mod operators;
mod schema;

use crate::checkpoint::refused;
use crate::data::write_atomic;
use crate::{Error, Model, Result};
use prost::Message;
use std::path::Path;

/// The key of the model's description among the metadata.
const DESCRIPTION: &str = "wgrad";

/// The versions of the format and of the operators: what onnxruntime reads since its version 1.4.
const VERSIONS: [i64; 2] = [7, 13];

/// Those with LayerNormalization, which onnxruntime reads since its version 1.12.
const VERSIONS_WITH_LAYER_NORMALIZATION: [i64; 2] = [8, 17];

/// Writes `model` as the ONNX file `path`, whole or not at all. The same model always gives the same bytes.
///
/// # Errors
/// Those of [`Model::save`], and where the file would have more than 2 GB.
pub fn export(model: &Model, path: &Path) -> Result<()> {
    model.check_finite(path)?;
    let bytes = export::encode(model, path)?;
    write_atomic(path, |out| out.write_all(&bytes))
}

/// Reads the ONNX file `path`.
///
/// A function of a layer's units that is no registered activation becomes a custom one. Softmax at the end becomes the loss
/// that takes logits for classes, named by their numbers unless the file says more.
///
/// # Errors
/// [`Error::Model`] where it is no ONNX file, or its graph is none of dense layers; the message names node, operator and what is
/// supported.
pub fn import(path: &Path) -> Result<Model> {
    let bytes = read(path)?;
    let file = schema::ModelProto::decode(bytes.as_slice())
        .map_err(|e| refused(path, format!("this is not an ONNX file, or a damaged one ({e})")))?;
    import::decode(&file, path)
}

/// The bytes of the regular file `path`.
fn read(path: &Path) -> Result<Vec<u8>> {
    // Asked before opening, since opening a pipe waits for a writer.
    match std::fs::metadata(path).map_err(Error::io("read", path))?.is_file() {
        true => std::fs::read(path).map_err(Error::io("read", path)),
        false => Err(refused(path, "expected an ONNX file, found something that is not a regular file")),
    }
}
