//! The container of a model file, safetensors: `[header length: u64, little-endian] [header: JSON] [the tensors' bytes,
//! one after the other without gaps]`. <https://github.com/huggingface/safetensors#format>

use super::number::{bf16, f16};
use super::{KEY, Shapes, Source, brief, position, refused, run};
use crate::data::write_atomic;
use crate::params::Tensor;
use crate::{Error, Result};
use safetensors::tensor::{Dtype, Metadata, TensorInfo};
use serde::Serialize;
use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;

/// The longest header that is read or written, in bytes: room for 100,000 tensors, and little enough that a header of
/// nothing but brackets cannot exhaust memory when it is parsed.
const HEADER_LIMIT: usize = 16 << 20;

/// An open safetensors file whose header has been checked against the file's length.
pub(super) struct TensorFile<'a> {
    path: &'a Path,
    file: File,
    header: Metadata,
    names: Vec<String>,
    /// Where the tensors' bytes begin.
    start: u64,
}

impl<'a> TensorFile<'a> {
    pub(super) fn open(path: &'a Path) -> Result<Self> {
        let io = |e| Error::io("read", path)(e);
        let refuse = |what: String| Err(refused(path, what));
        // Asked before opening, since opening a pipe waits for a writer.
        let on_disk = std::fs::metadata(path).map_err(io)?;
        if !on_disk.is_file() {
            return refuse("expected a safetensors file, found something that is not a regular file".into());
        }
        let hint = "this is not a safetensors file, or a truncated one (PyTorch writes them with \
                    safetensors.torch.save_file)";
        let len = on_disk.len();
        let Some(rest) = len.checked_sub(8) else {
            let found = if len == 0 { "the file is empty".to_owned() } else { format!("the file has {len} bytes") };
            return refuse(format!("expected at least the 8 bytes that give a header's length, but {found}: {hint}"));
        };
        let mut file = File::open(path).map_err(io)?;
        let mut prefix = [0; 8];
        file.read_exact(&mut prefix).map_err(io)?;
        let header_len = u64::from_le_bytes(prefix);
        if header_len > rest {
            return refuse(format!("expected a header of {header_len} bytes, but only {rest} bytes follow: {hint}"));
        }
        if header_len > HEADER_LIMIT as u64 {
            return refuse(format!("its header has {header_len} bytes; at most {HEADER_LIMIT} are read: {hint}"));
        }
        let mut json = vec![0; header_len as usize];
        file.read_exact(&mut json).map_err(io)?;
        let header: Metadata = match serde_json::from_slice(&json) {
            Ok(header) => header,
            Err(e) if e.is_data() => {
                return refuse(format!(
                    "its header is not that of a safetensors file: {e}; expected tensors one after the other, each as \
                     long as its shape and type demand"
                ));
            }
            Err(e) => return refuse(format!("its header is not JSON ({e}): {hint}")),
        };
        // Compared without adding up: a header can claim tensors that end near u64::MAX.
        let (expected, found) = (header.data_len() as u64, rest - header_len);
        if expected != found {
            let what = if found < expected { "truncated" } else { "damaged" };
            return refuse(format!("the file is {what}: its tensors should take {expected} bytes, found {found}"));
        }
        let names = header.offset_keys();
        Ok(TensorFile { path, file, header, names, start: 8 + header_len })
    }

    /// The metadata under `key`.
    pub(super) fn metadata(&self, key: &str) -> Option<&str> {
        self.header.metadata().as_ref()?.get(key).map(String::as_str)
    }

    /// Whether the tensor `name` is one of those that a checkpoint holds besides the model's.
    fn belongs_to_run(&self, name: &str) -> bool {
        name.starts_with(run::PREFIX) && self.metadata(run::RUN).is_some()
    }

    /// The names of the tensors that a checkpoint holds besides the model's.
    pub(super) fn run_tensors(&self) -> Vec<String> {
        self.names.iter().filter(|name| self.belongs_to_run(name)).cloned().collect()
    }

    /// All the numbers of the tensor `name` in `f32`, finite or not.
    pub(super) fn read_flat(&mut self, name: &str) -> Result<Vec<f32>> {
        let info = self.header.info(name).filter(|info| info.dtype == Dtype::F32);
        let Some(info) = info else {
            return Err(refused(self.path, format!("the tensor {:?} should hold numbers of type F32", brief(name))));
        };
        let (begin, end) = info.data_offsets;
        let mut bytes = vec![0; end - begin];
        self.file
            .seek(SeekFrom::Start(self.start + begin as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(Error::io("read", self.path))?;
        Ok(bytes.as_chunks().0.iter().map(|number| f32::from_le_bytes(*number)).collect())
    }
}

impl Source for TensorFile<'_> {
    fn description(&self) -> Option<&str> {
        self.metadata(KEY)
    }

    fn shapes(&self) -> Shapes<'_> {
        let names = self.names.iter().filter(|name| !self.belongs_to_run(name));
        names.filter_map(|name| Some((name.as_str(), self.header.info(name)?.shape.as_slice()))).collect()
    }

    fn read(&mut self, name: &str, tensor: &Tensor, into: &mut [f32]) -> Result<()> {
        let refuse = |what: String| Err(refused(self.path, format!("the tensor {:?} {what}", brief(name))));
        let Some(info) = self.header.info(name) else { return refuse("is missing".into()) };
        let convert = match info.dtype {
            Dtype::F32 => |bytes: &[u8], into: &mut [f32]| convert(bytes, |b| f32::from_le_bytes(b).into(), into),
            Dtype::F64 => |bytes: &[u8], into: &mut [f32]| convert(bytes, f64::from_le_bytes, into),
            Dtype::F16 => |bytes: &[u8], into: &mut [f32]| convert(bytes, f16, into),
            Dtype::BF16 => |bytes: &[u8], into: &mut [f32]| convert(bytes, bf16, into),
            other => return refuse(format!("should hold numbers of type F32, F64, F16 or BF16, found {other}")),
        };
        let (begin, end) = info.data_offsets;
        let mut bytes = vec![0; end - begin];
        self.file
            .seek(SeekFrom::Start(self.start + begin as u64))
            .and_then(|_| self.file.read_exact(&mut bytes))
            .map_err(Error::io("read", self.path))?;
        match convert(&bytes, into) {
            None => Ok(()),
            Some((i, found)) => {
                refuse(format!("should hold finite 32-bit numbers, found {found:e} at {}", position(tensor, i)))
            }
        }
    }
}

/// Converts `bytes` to `f32`, up to the first number that is not finite then: its index and value are returned.
fn convert<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f64, into: &mut [f32]) -> Option<(usize, f64)> {
    let (numbers, _) = bytes.as_chunks();
    for (i, (number, element)) in numbers.iter().zip(into).enumerate() {
        let value = value(*number);
        *element = value as f32;
        if !element.is_finite() {
            return Some((i, value));
        }
    }
    None
}

/// Ordered maps, so that the same content gives the same bytes.
#[derive(Serialize)]
struct Header<'a> {
    #[serde(rename = "__metadata__", skip_serializing_if = "BTreeMap::is_empty")]
    metadata: BTreeMap<&'a str, &'a str>,
    #[serde(flatten)]
    tensors: BTreeMap<&'a str, TensorInfo>,
}

/// Writes the safetensors file `path`, whole or not at all: `tensors` as name, shape and elements, and `metadata` as key
/// and value. The same content always gives the same bytes.
pub fn save_tensors(path: &Path, tensors: &[(&str, Vec<usize>, &[f32])], metadata: &[(String, String)]) -> Result<()> {
    let mut header = Header { metadata: BTreeMap::new(), tensors: BTreeMap::new() };
    for (key, value) in metadata {
        if header.metadata.insert(key, value).is_some() {
            return Err(refused(path, format!("not written: the metadata key {key:?} is given twice")));
        }
    }
    let mut end = 0;
    for (name, shape, values) in tensors {
        if shape.iter().try_fold(1, |product: usize, n| product.checked_mul(*n)) != Some(values.len()) {
            let found = format!("{} of them", values.len());
            return Err(Error::shape(format!("elements of the tensor {name:?}"), format!("shape {shape:?}"), found));
        }
        let begin = end;
        end += size_of_val(*values);
        let info = TensorInfo { dtype: Dtype::F32, shape: shape.clone(), data_offsets: (begin, end) };
        if *name == "__metadata__" || header.tensors.insert(name, info).is_some() {
            return Err(refused(path, format!("not written: the tensor name {name:?} is taken already")));
        }
    }
    let mut json = serde_json::to_vec(&header).map_err(|e| refused(path, e))?;
    // Readers that map the file into memory want the tensors aligned.
    json.resize(json.len().next_multiple_of(8), b' ');
    if json.len() > HEADER_LIMIT {
        let what = format!("not written: its header would have {} bytes; at most {HEADER_LIMIT} are read", json.len());
        return Err(refused(path, what));
    }
    write_atomic(path, |out| {
        out.write_all(&(json.len() as u64).to_le_bytes())?;
        out.write_all(&json)?;
        for value in tensors.iter().flat_map(|(_, _, values)| *values) {
            out.write_all(&value.to_le_bytes())?;
        }
        Ok(())
    })
}
