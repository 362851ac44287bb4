//! Arrays in NumPy's `.npy` files.

use std::fs::File;
use std::io::{BufReader, Read, Seek};
use std::path::Path;

use ndarray::{ArrayD, ArrayView2};
use ndarray_npy::npy::header::Header;
use ndarray_npy::{ReadNpyError, ReadNpyExt, ReadableElement, WriteNpyExt};

use super::{Matrix, write_atomic};
use crate::{Error, Result};

/// Reads a matrix from a `.npy` file.
///
/// An array of one dimension becomes one column. Numbers are `float32`, `float64`, any integer or `bool`, in either
/// byte order and in C or Fortran order; all become `f32`, so whole numbers beyond 2^24 are rounded. NaN and infinity
/// are errors.
pub fn read_npy(path: &Path) -> Result<Matrix> {
    let (matrix, _) = read(path)?;
    matrix.check_finite(&path.display().to_string())?;
    Ok(matrix)
}

/// Reads the targets of a network with `outputs` outputs from a `.npy` file.
///
/// One column of integers (or `bool`), where there is more than one output, holds classes counted from 0, and becomes
/// one-hot rows. Otherwise the array is read as by [`read_npy`] and must have `outputs` columns.
pub fn read_npy_targets(path: &Path, outputs: usize) -> Result<Matrix> {
    let (matrix, kind) = read(path)?;
    let place = path.display().to_string();
    if outputs > 1 && matrix.cols == 1 && !kind.starts_with('f') {
        let label = |(row, x): (usize, &f32)| {
            // Rounding to f32 cannot bring a label into range: below 2^24 it is exact.
            if *x >= 0.0 && (*x as usize) < outputs {
                return Ok(*x as usize);
            }
            let what = format!("label {x} in row {} is out of range 0..={}", row + 1, outputs - 1);
            Err(Error::data(&place, what))
        };
        let labels: Vec<usize> = matrix.data.iter().enumerate().map(label).collect::<Result<_>>()?;
        return Ok(Matrix::one_hot(&labels, outputs));
    }
    if matrix.cols != outputs {
        let integers = if outputs > 1 { ", or one column of integer labels" } else { "" };
        let what = format!("expected {outputs} column(s) of targets{integers}, found {} of {kind}", matrix.cols);
        return Err(Error::data(place, what));
    }
    matrix.check_finite(&place)?;
    Ok(matrix)
}

/// The shape and the numbers, in the order of rows, of an array in the bytes of a `.npy` file; or what is wrong with them.
#[cfg(feature = "npz")]
pub(crate) fn read_npy_bytes(bytes: &[u8]) -> Result<(Vec<usize>, Vec<f32>), String> {
    let (header, length) = parse_header(bytes)?;
    let shape = header.shape.clone();
    let count = shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n));
    let load = checked_loader(&header, count, bytes.len() as u64 - length)?.1;
    let values = load(&mut &*bytes).map_err(|error| format!("cannot be read as a NumPy array: {error}"))?;
    Ok((shape, values))
}

/// Writes `matrix` to a `.npy` file of `float32`, by [`write_atomic`].
pub fn write_npy(path: &Path, matrix: &Matrix) -> Result<()> {
    let array = ArrayView2::from_shape((matrix.rows, matrix.cols), &matrix.data).map_err(|_| {
        let found = format!("{} numbers", matrix.data.len());
        Error::shape("the numbers of a matrix", format!("{} rows of {}", matrix.rows, matrix.cols), found)
    })?;
    write_atomic(path, |writer| array.write_npy(writer).map_err(std::io::Error::other))
}

/// The matrix in a file and its element type, as in `f4`.
fn read(path: &Path) -> Result<(Matrix, String)> {
    let bad = |what: String| Error::data(path.display().to_string(), what);
    let mut file = File::open(path).map_err(Error::io("read", path))?;
    let length = file.metadata().map_err(Error::io("read", path))?.len();
    let mut head = Vec::new();
    file.by_ref().take(HEADER_LIMIT).read_to_end(&mut head).map_err(Error::io("read", path))?;
    let (header, header_length) = parse_header(&head).map_err(bad)?;

    let (rows, cols) = match header.shape[..] {
        [rows] => (rows, 1),
        [rows, cols] => (rows, cols),
        _ => return Err(bad(format!("expected 1 or 2 dimensions, found {}: {:?}", header.shape.len(), header.shape))),
    };
    if rows == 0 || cols == 0 {
        return Err(bad(format!("expected at least one number, found the empty shape {:?}", header.shape)));
    }
    let present = length.saturating_sub(header_length);
    let (kind, load) = checked_loader(&header, rows.checked_mul(cols), present).map_err(bad)?;
    file.rewind().map_err(Error::io("read", path))?;
    let data = load(&mut file).map_err(|error| bad(format!("cannot be read as a NumPy array: {error}")))?;
    Ok((Matrix::new(rows, cols, data)?, kind))
}

/// The element type, as in `f4`, and how to read its arrays, where `count` elements take the bytes that are `present`.
fn checked_loader(header: &Header, count: Option<usize>, present: u64) -> Result<(String, Loader), String> {
    let kind = header.type_descriptor.as_string().map(|d| d.trim_start_matches(['<', '>', '|', '=']));
    let Some((kind, (size, load))) = kind.and_then(|kind| Some((kind, loader(kind)?))) else {
        let found = &header.type_descriptor;
        let what = format!("expected float32, float64, integers or bool, found the type {found}");
        return Err(what + "; convert by astype(\"float32\")");
    };
    // Checked before anything is allocated, since a damaged header can claim any shape.
    let claimed = count.and_then(|n| u64::try_from(n).ok()).and_then(|n| n.checked_mul(size));
    if claimed != Some(present) {
        let claimed = claimed.map_or("more than fit in any file".into(), |n| n.to_string());
        let what = format!("the shape {:?} of {kind} takes {claimed} bytes, but {present} are there", header.shape);
        return Err(what + ": the file is damaged or cut short; write it again");
    }
    Ok((kind.to_owned(), load))
}

/// NumPy refuses longer headers too.
const HEADER_LIMIT: u64 = 10_000;

/// The header, and at which byte the numbers start; or what is wrong with it.
fn parse_header(head: &[u8]) -> Result<(Header, u64), String> {
    const MAGIC: &[u8] = b"\x93NUMPY";
    let Some(rest) = head.strip_prefix(MAGIC) else {
        return Err("this is not a NumPy .npy file; write one by numpy.save".into());
    };
    let (prefix, length) = match *rest {
        [1, _, a, b, ..] => (4, u32::from(u16::from_le_bytes([a, b]))),
        [2 | 3, _, a, b, c, d, ..] => (6, u32::from_le_bytes([a, b, c, d])),
        _ => return Err("the header is cut short or of an unknown version; write the file again by numpy.save".into()),
    };
    let end = usize::try_from(length).ok().and_then(|length| length.checked_add(prefix));
    let Some(text) = end.and_then(|end| rest.get(prefix..end)) else {
        return Err(format!("the header claims {length} bytes, more than are there or than NumPy reads (10,000)"));
    };
    // The parser's time doubles with every nested bracket. A plain array needs a dictionary with one tuple in it.
    if text.iter().filter(|b| b"([{".contains(b)).count() > 8 {
        return Err("expected an array of plain numbers, found a structured type".into());
    }
    let header = Header::from_reader(&mut &*head).map_err(|_| {
        "the header is damaged: expected descr, fortran_order and shape; write the file again by numpy.save".to_owned()
    })?;
    Ok((header, (MAGIC.len() + prefix + text.len()) as u64))
}

type Loader = fn(&mut dyn Read) -> Result<Vec<f32>, ReadNpyError>;

/// The size of an element type in bytes, and how to read its arrays.
fn loader(kind: &str) -> Option<(u64, Loader)> {
    Some(match kind {
        "f4" => (4, |file| load(file, |x: f32| x)),
        "f8" => (8, |file| load(file, |x: f64| x as f32)),
        "i1" => (1, |file| load(file, |x: i8| x as f32)),
        "i2" => (2, |file| load(file, |x: i16| x as f32)),
        "i4" => (4, |file| load(file, |x: i32| x as f32)),
        "i8" => (8, |file| load(file, |x: i64| x as f32)),
        "u1" => (1, |file| load(file, |x: u8| x as f32)),
        "u2" => (2, |file| load(file, |x: u16| x as f32)),
        "u4" => (4, |file| load(file, |x: u32| x as f32)),
        "u8" => (8, |file| load(file, |x: u64| x as f32)),
        "b1" => (1, |file| load(file, |x: bool| x.into())),
        _ => return None,
    })
}

fn load<T: ReadableElement + Copy>(file: &mut dyn Read, to_f32: fn(T) -> f32) -> Result<Vec<f32>, ReadNpyError> {
    // Iteration is by rows, whichever order the file has.
    Ok(ArrayD::<T>::read_npy(BufReader::new(file))?.iter().map(|x| to_f32(*x)).collect())
}

#[cfg(test)]
mod tests;
