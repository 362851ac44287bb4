//! Numbers that are in a file.

use super::schema::{EXTERNAL, TensorProto, data_type};
use crate::checkpoint::{brief, number};
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::{Component, Path};

/// A tensor with its numbers in the order of rows.
#[derive(Clone, Debug)]
pub(super) struct Constant {
    pub name: String,
    pub dims: Vec<usize>,
    pub values: Vec<f64>,
}

impl Constant {
    pub(super) fn scalar(value: f64) -> Self {
        Constant { name: String::new(), dims: Vec::new(), values: vec![value] }
    }

    pub(super) fn vector(values: Vec<f64>) -> Self {
        Constant { name: String::new(), dims: vec![values.len()], values }
    }

    /// The numbers of `tensor` in the model file `path`.
    pub(super) fn read(tensor: &TensorProto, path: &Path) -> Result<Self, String> {
        let name = brief(&tensor.name).to_owned();
        let refuse = |what: String| format!("the initializer {name:?} {what}");
        let dims: Option<Vec<usize>> = tensor.dims.iter().map(|&n| usize::try_from(n).ok()).collect();
        let count = dims.as_ref().and_then(|dims| dims.iter().try_fold(1usize, |product, &n| product.checked_mul(n)));
        let (Some(dims), Some(count)) = (dims, count) else {
            return Err(refuse(format!("has the impossible shape {:?}", tensor.dims)));
        };
        let raw = match tensor.data_location {
            EXTERNAL => Some(external(tensor, path).map_err(refuse)?),
            _ => tensor.raw_data.clone(),
        };
        let values = match raw {
            Some(bytes) => raw_values(tensor.data_type, &bytes),
            None => typed_values(tensor),
        };
        let values = values.map_err(refuse)?;
        match values.len() == count {
            true => Ok(Constant { name, dims, values }),
            false => Err(refuse(format!("of shape {dims:?} should have {count} numbers, found {}", values.len()))),
        }
    }

    /// The one number that it is: a scalar, or the same everywhere.
    pub(super) fn number(&self) -> Result<f64, String> {
        match self.values.split_first() {
            Some((&first, rest)) if rest.iter().all(|&value| value == first) => {
                Ok(super::operators::decimal(first as f32))
            }
            _ => Err(format!(
                "takes {} different numbers, but behind a layer's bias only one for all units is supported",
                self.values.len()
            )),
        }
    }

    /// As finite `f32`.
    pub(super) fn finite(&self) -> Result<Vec<f32>, String> {
        let values: Vec<f32> = self.values.iter().map(|&value| value as f32).collect();
        match values.iter().position(|value| !value.is_finite()) {
            None => Ok(values),
            Some(i) => Err(format!(
                "the initializer {:?} should hold finite 32-bit numbers, found {} at {i}",
                self.name, self.values[i]
            )),
        }
    }

    pub(super) fn times(&self, factor: f32) -> Self {
        let values = self.values.iter().map(|value| value * f64::from(factor)).collect();
        Constant { values, ..self.clone() }
    }

    pub(super) fn transposed(&self) -> Result<Self, String> {
        let [rows, cols] = self.dims[..] else {
            return Err(format!("the weight {:?} should have two dimensions, found {:?}", self.name, self.dims));
        };
        let values = (0..cols).flat_map(|col| (0..rows).map(move |row| row * cols + col)).map(|i| self.values[i]);
        Ok(Constant { name: self.name.clone(), dims: vec![cols, rows], values: values.collect() })
    }
}

fn raw_values(kind: i32, bytes: &[u8]) -> Result<Vec<f64>, String> {
    fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f64) -> Result<Vec<f64>, String> {
        match bytes.as_chunks() {
            (numbers, []) => Ok(numbers.iter().map(|number| value(*number)).collect()),
            _ => Err(format!("has {} bytes, where each number takes {N}", bytes.len())),
        }
    }
    match kind {
        data_type::FLOAT => each(bytes, |b| f32::from_le_bytes(b).into()),
        data_type::DOUBLE => each(bytes, f64::from_le_bytes),
        data_type::FLOAT16 => each(bytes, number::f16),
        data_type::BFLOAT16 => each(bytes, number::bf16),
        data_type::INT64 => each(bytes, |b| i64::from_le_bytes(b) as f64),
        other => Err(unknown(other)),
    }
}

fn typed_values(tensor: &TensorProto) -> Result<Vec<f64>, String> {
    // Halves lie in the low bits of integers.
    let halves =
        |value: fn([u8; 2]) -> f64| tensor.int32_data.iter().map(|&n| value((n as u16).to_le_bytes())).collect();
    Ok(match tensor.data_type {
        data_type::FLOAT => tensor.float_data.iter().map(|&value| value.into()).collect(),
        data_type::DOUBLE => tensor.double_data.clone(),
        data_type::FLOAT16 => halves(number::f16),
        data_type::BFLOAT16 => halves(number::bf16),
        data_type::INT64 => tensor.int64_data.iter().map(|&value| value as f64).collect(),
        other => return Err(unknown(other)),
    })
}

fn unknown(kind: i32) -> String {
    format!("has numbers of type {kind}; expected float, double, float16, bfloat16 or int64")
}

/// The bytes of a tensor that lies in a file of its own, beside the model or in a folder below.
fn external(tensor: &TensorProto, path: &Path) -> Result<Vec<u8>, String> {
    let entry =
        |key: &str| tensor.external_data.iter().find(|entry| entry.key == key).map(|entry| entry.value.as_str());
    let location = Path::new(entry("location").unwrap_or_default());
    let inside = location.components().all(|part| matches!(part, Component::Normal(_)));
    if !inside || location.as_os_str().is_empty() {
        return Err(format!("should lie in a file beside the model, found the place {location:?}"));
    }
    let file = path.parent().unwrap_or(Path::new("")).join(location);
    let failed = |e: std::io::Error| format!("lies in {}, which cannot be read: {e}", file.display());
    let number =
        |key: &str| entry(key).map(|value| value.parse::<u64>().map_err(|_| format!("has the {key} {value:?}")));
    let offset = number("offset").transpose()?.unwrap_or(0);
    let on_disk = std::fs::metadata(&file).map_err(failed)?;
    if !on_disk.is_file() {
        return Err(format!("lies in {}, which is not a regular file", file.display()));
    }
    let rest = on_disk.len().saturating_sub(offset);
    let length = number("length").transpose()?.unwrap_or(rest);
    if length > rest {
        return Err(format!("should have {length} bytes in {}, found {rest}", file.display()));
    }
    let mut bytes = Vec::new();
    let mut file = File::open(&file).map_err(failed)?;
    file.seek(SeekFrom::Start(offset)).map_err(failed)?;
    file.take(length).read_to_end(&mut bytes).map_err(failed)?;
    Ok(bytes)
}
