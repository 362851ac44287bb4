//! State dicts in PyTorch's own format: `torch.save(model.state_dict(), "model.pt")`, a zip file with a pickle that says which
//! tensors lie where.

mod pickle;

use super::archive::Archive;
use crate::checkpoint::number::{bf16, f16};
use crate::checkpoint::{Tensors, brief, load_from, refused};
use crate::{Activation, Model, Result};
use pickle::{Object, Objects, Storage, Tensor};
use std::collections::HashMap;
use std::path::Path;

/// Bytes of the pickle at the most.
const PICKLE_LIMIT: u64 = 16 << 20;

/// Under which keys training programs keep the state dict.
const WITHIN: [&str; 3] = ["state_dict", "model_state_dict", "model"];

/// How often a number may belong to a tensor, on average.
const SHARED: usize = 16;

/// Reads the state dict of a `torch.nn.Sequential` of linear layers from the file `path`, with the given activations: one for each
/// weight matrix, the output layer's last.
///
/// Tensors may be of 16, 32 or 64 bits and lie in any order; the state dict may be the entry `state_dict` or
/// `model_state_dict` of a dictionary. Nothing in the file is ever run: what is neither dictionary nor tensor is refused.
///
/// # Errors
/// [`Error::Model`](crate::Error::Model) where it is no such file; the message says what was found.
pub fn import(path: &Path, activations: &[Activation]) -> Result<Model> {
    let mut tensors = read(path).map_err(|what| refused(path, what))?;
    load_from(&mut tensors, path, Some(activations))
}

fn read(path: &Path) -> Result<Tensors, String> {
    let hint = "this is not a file that torch.save writes since PyTorch 1.6; save the state dict again";
    let mut archive = Archive::open(path, hint)?;
    let names = archive.names();
    let Some(folder) = names.iter().find_map(|name| name.strip_suffix("data.pkl")).map(str::to_owned) else {
        return Err(format!("it has no data.pkl: {hint}"));
    };
    if let Some(order) = archive.read(&format!("{folder}byteorder"), 16)?
        && order != b"little"
    {
        return Err(
            "it was written on a machine with the bytes of numbers in the other order; save it as .safetensors".into(),
        );
    }
    let pickle = archive.read(&format!("{folder}data.pkl"), PICKLE_LIMIT)?.unwrap_or_default();
    let (object, objects) = pickle::read(&pickle)?;
    let found = state_dict(&object, &objects)?;

    let mut storages = HashMap::new();
    for (_, tensor) in &found {
        let Storage { kind, key, len } = &*tensor.storage;
        if storages.contains_key(key) {
            continue;
        }
        let (size, convert) = number(kind)?;
        let member = format!("{folder}data/{key}");
        let expected = len.checked_mul(size).ok_or("it claims more numbers than fit in any file")?;
        let bytes =
            archive.read(&member, expected as u64)?.ok_or_else(|| format!("its member {member:?} is missing"))?;
        if bytes.len() != expected {
            return Err(format!(
                "its member {member:?} should have {expected} bytes, found {}: it is truncated",
                bytes.len()
            ));
        }
        storages.insert(key.clone(), convert(&bytes));
    }

    let mut left = storages.values().map(Vec::len).sum::<usize>().saturating_mul(SHARED);
    let mut tensors = Tensors::new(path);
    for (name, tensor) in found {
        let refuse = |what: &str| format!("the tensor {:?} {what}", brief(name));
        let numbers = storages.get(&tensor.storage.key).map_or(&[][..], Vec::as_slice);
        let count = tensor.shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n));
        // Views can claim any number of elements by a stride of 0.
        match count {
            Some(count) if count <= numbers.len() && count <= left => left -= count,
            _ => return Err(refuse("has more elements than numbers are there; save a copy of it, made by clone()")),
        }
        let values = elements(tensor, numbers).ok_or_else(|| refuse("reaches beyond the numbers that are there"))?;
        if tensors.tensors.insert(name.to_owned(), (tensor.shape.clone(), values)).is_some() {
            return Err(refuse("is there twice"));
        }
    }
    Ok(tensors)
}

/// The names and tensors of the state dict that `object` is or has.
fn state_dict<'a>(object: &'a Object, objects: &'a Objects) -> Result<Vec<(&'a str, &'a Tensor)>, String> {
    let entries = |object: &Object| match object {
        Object::Dict(place) => Some(objects.of(*place).as_chunks::<2>().0),
        _ => None,
    };
    let all = entries(object).ok_or("expected a dictionary of tensors; save model.state_dict()")?;
    let within = all.iter().find_map(|[key, value]| match key {
        Object::Text(key) if WITHIN.contains(&&**key) => entries(value),
        _ => None,
    });
    let tensors = within.unwrap_or(all).iter().map(|[key, value]| match (key, value) {
        (Object::Text(name), Object::Tensor(tensor)) => Ok((&**name, &**tensor)),
        (Object::Text(name), _) => Err(format!("the entry {:?} is no tensor; save model.state_dict()", brief(name))),
        _ => Err("an entry has no name; save model.state_dict()".to_owned()),
    });
    tensors.collect()
}

/// The elements of a tensor in the order of rows; `None` where one lies outside.
fn elements(tensor: &Tensor, numbers: &[f32]) -> Option<Vec<f32>> {
    // Beside a 0, a shape can claim anything.
    if tensor.shape.contains(&0) {
        return Some(Vec::new());
    }
    let mut places = vec![tensor.offset];
    for (&n, &stride) in tensor.shape.iter().zip(&tensor.strides) {
        let steps = (0..n).map(|i| i.checked_mul(stride)).collect::<Option<Vec<usize>>>()?;
        let next = |place: &usize| steps.iter().map(|step| place.checked_add(*step)).collect::<Vec<_>>();
        places = places.iter().flat_map(next).collect::<Option<_>>()?;
    }
    places.iter().map(|&place| numbers.get(place).copied()).collect()
}

type Convert = fn(&[u8]) -> Vec<f32>;

/// The size of a storage's numbers in bytes, and how they become `f32`.
fn number(kind: &str) -> Result<(usize, Convert), String> {
    fn each<const N: usize>(bytes: &[u8], value: fn([u8; N]) -> f64) -> Vec<f32> {
        bytes.as_chunks().0.iter().map(|number| value(*number) as f32).collect()
    }
    Ok(match kind {
        "FloatStorage" => (4, |bytes| each(bytes, |b| f32::from_le_bytes(b).into())),
        "DoubleStorage" => (8, |bytes| each(bytes, f64::from_le_bytes)),
        "HalfStorage" => (2, |bytes| each(bytes, f16)),
        "BFloat16Storage" => (2, |bytes| each(bytes, bf16)),
        other => {
            let other = brief(other);
            return Err(format!(
                "its numbers are in a {other}; expected tensors of float32, float64, float16 or bfloat16"
            ));
        }
    })
}
