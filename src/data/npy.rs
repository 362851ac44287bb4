//! Arrays in NumPy's `.npy` files.

use std::io::{Cursor, Read};
use std::path::Path;

use ndarray::{ArrayView2, ArrayViewD, IxDyn, ShapeBuilder};
use ndarray_npy::WriteNpyExt;
use ndarray_npy::npy::header::Header;

use super::format::Format;
use super::formats::{Dense, Element, Whole, numbered, rows_and_cols};
use super::input::Input;
use super::table::{Column, Reader, Tables};
use super::{Matrix, write_atomic};
use crate::{Error, Result};

/// Reads a matrix from a `.npy` file.
///
/// An array of one dimension becomes one column, and what is behind the first of several dimensions one row. Numbers are
/// `float16`, `float32`, `float64`, any integer or `bool`, in either byte order and in C or Fortran order; all become
/// `f32`, so whole numbers beyond 2^24 are rounded. NaN and infinity are errors. The file may be compressed by gzip.
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
    let count = header.shape.iter().try_fold(1, |product: usize, &n| product.checked_mul(n));
    let body = &bytes[length as usize..];
    let (_, element) = checked_element(&header, count, Some(body.len() as u64))?;
    let numbers: Vec<f64> = body.chunks_exact(element.size).map(element.value).collect();
    let numbers = if header.layout.is_fortran() { by_rows(&header, &numbers)? } else { numbers };
    Ok((header.shape, numbers.into_iter().map(|x| x as f32).collect()))
}

/// Writes `matrix` to a `.npy` file of `float32`, by [`write_atomic`].
pub fn write_npy(path: &Path, matrix: &Matrix) -> Result<()> {
    let array = ArrayView2::from_shape((matrix.rows, matrix.cols), &matrix.data[..]).map_err(|_| {
        let found = format!("{} numbers", matrix.data.len());
        Error::shape("the numbers of a matrix", format!("{} rows of {}", matrix.rows, matrix.cols), found)
    })?;
    write_atomic(path, |writer| array.write_npy(writer).map_err(std::io::Error::other))
}

/// The matrix in a file and its element type, as in `f4`.
fn read(path: &Path) -> Result<(Matrix, String)> {
    let input = Input::new(path, Some(&Format::Npy))?;
    let mut array = open_input(&input)?;
    let mut data = Vec::new();
    while let Some(table) = array.tables.next()? {
        for row in 0..table.rows {
            data.extend(table.columns.iter().map(|column| match column {
                Column::Numbers(numbers) => numbers[row] as f32,
                Column::Texts(_) => f32::NAN,
            }));
        }
    }
    Ok((Matrix::new(array.rows, array.cols, data)?, array.kind))
}

/// Reads what comes before the rows.
pub(super) fn open(input: &Input) -> Result<Reader> {
    let array = open_input(input)?;
    Ok(Reader { names: numbered(array.cols), answers: None, tables: array.tables })
}

/// An array of which the numbers are still to be read.
pub(super) struct Array {
    pub rows: usize,
    /// What is behind the first dimension.
    pub cols: usize,
    /// The element type, as in `f4`.
    pub kind: String,
    pub tables: Box<dyn Tables>,
}

fn open_input(input: &Input) -> Result<Array> {
    let plain = !input.compressed()?;
    let length = input.file()?.metadata().map_err(|error| input.unreadable(error))?.len();
    open_array(input, input.stream()?, plain.then_some(length))
}

/// Reads the header of the array that begins where `bytes` stands and takes `length` bytes, where that is known.
pub(super) fn open_array(input: &Input, mut bytes: Box<dyn Read + Send>, length: Option<u64>) -> Result<Array> {
    let bad = |what: String| input.error(what);
    let mut head = Vec::new();
    bytes.by_ref().take(HEADER_LIMIT).read_to_end(&mut head).map_err(|error| input.unreadable(error))?;
    let (header, header_length) = parse_header(&head).map_err(bad)?;
    let (rows, cols) = rows_and_cols(&header.shape).map_err(bad)?;
    let present = length.map(|length| length.saturating_sub(header_length));
    let (kind, element) = checked_element(&header, rows.checked_mul(cols), present).map_err(bad)?;
    let body = head.split_off(usize::try_from(header_length).unwrap_or(usize::MAX).min(head.len()));
    let body = Box::new(Cursor::new(body).chain(bytes));
    if !header.layout.is_fortran() || cols == 1 {
        return Ok(Array { rows, cols, kind, tables: Box::new(Dense::new(input, body, element, rows, cols)) });
    }
    // Column after column: the first row is whole when the last column begins.
    let mut columns = Dense::new(input, body, element, rows * cols, 1);
    let mut by_columns = Vec::new();
    loop {
        match columns.next_numbers()? {
            more if more.is_empty() => break,
            more => by_columns.extend(more),
        }
    }
    let numbers = by_rows(&header, &by_columns).map_err(bad)?;
    Ok(Array { rows, cols, kind, tables: Box::new(Whole::new(numbers, cols)) })
}

/// The element type, as in `f4`, and how its numbers are read, where `count` of them take the bytes that are `present`.
fn checked_element(header: &Header, count: Option<usize>, present: Option<u64>) -> Result<(String, Element), String> {
    let descriptor = header.type_descriptor.as_string();
    let kind = descriptor.map(|d| d.trim_start_matches(['<', '>', '|', '=']));
    let big_endian = descriptor.is_some_and(|d| d.starts_with('>'));
    let Some((kind, element)) = kind.and_then(|kind| Some((kind, Element::of(kind, big_endian)?))) else {
        let found = &header.type_descriptor;
        let what = format!("expected float16, float32, float64, integers or bool, found the type {found}");
        return Err(what + "; convert by astype(\"float32\")");
    };
    // Checked before anything is allocated, since a damaged header can claim any shape.
    let claimed = count.and_then(|n| u64::try_from(n).ok()).and_then(|n| n.checked_mul(element.size as u64));
    if let Some(present) = present.filter(|present| claimed != Some(*present)) {
        let claimed = claimed.map_or("more than fit in any file".into(), |n| n.to_string());
        let what = format!("the shape {:?} of {kind} takes {claimed} bytes, but {present} are there", header.shape);
        return Err(what + ": the file is damaged or cut short; write it again");
    }
    Ok((kind.to_owned(), element))
}

/// The numbers of an array that lie in Fortran's order, in that of C.
fn by_rows(header: &Header, numbers: &[f64]) -> Result<Vec<f64>, String> {
    let array = ArrayViewD::from_shape(IxDyn(&header.shape).f(), numbers).map_err(|error| error.to_string())?;
    Ok(array.iter().copied().collect())
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

#[cfg(test)]
mod tests;
