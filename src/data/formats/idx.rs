//! The MNIST files: `[0, 0, type, dimensions] [each dimension: u32] [the numbers]`, all in big-endian order.
//! <https://yann.lecun.com/exdb/mnist>

use std::io::Read;
use std::path::PathBuf;

use super::dense::{Dense, Element, numbered, rows_and_cols};
use crate::Result;
use crate::data::format::Format;
use crate::data::input::Input;
use crate::data::join::Join;
use crate::data::table::Reader;

pub fn open(input: &Input) -> Result<Reader> {
    let (images, rows, cols, dimensions) = open_array(input)?;
    if dimensions == 1 {
        return Ok(Reader { names: vec!["label".into()], answers: Some(vec![0]), tables: Box::new(images) });
    }
    let mut names = numbered(cols);
    let Some(path) = labels(input) else {
        return Ok(Reader { names, answers: Some(Vec::new()), tables: Box::new(images) });
    };
    let beside = Input::new(&path, Some(&Format::Idx))?;
    let (labels, found, width, _) = open_array(&beside)?;
    if (found, width) != (rows, 1) {
        let what =
            format!("expected {rows} labels, as there are images in {}, found {found} rows of {width}", input.place);
        return Err(beside.error(what));
    }
    names.push("label".into());
    let tables = Join::new(input, Box::new(images), &beside, Box::new(labels));
    Ok(Reader { names, answers: Some(vec![cols]), tables: Box::new(tables) })
}

/// The file of labels that belongs to a file of images.
fn labels(input: &Input) -> Option<PathBuf> {
    let name = input.path().file_name()?.to_str()?;
    let name = name.replace("images", "labels").replace("idx3", "idx1");
    let other = match name.strip_suffix(".gz") {
        Some(plain) => plain.to_owned(),
        None => format!("{name}.gz"),
    };
    let paths = [name, other].map(|name| input.path().with_file_name(name));
    paths.into_iter().find(|path| path != input.path() && path.is_file())
}

/// The numbers of a file, how many rows and columns they are, and how many dimensions they had.
fn open_array(input: &Input) -> Result<(Dense, usize, usize, usize)> {
    let mut bytes = input.stream()?;
    let mut head = [0; 4];
    let cut = |_| input.error("the file is cut short in its header; write it again");
    bytes.read_exact(&mut head).map_err(cut)?;
    let kind = match head {
        [0, 0, 0x08, _] => "u1",
        [0, 0, 0x09, _] => "i1",
        [0, 0, 0x0B, _] => "i2",
        [0, 0, 0x0C, _] => "i4",
        [0, 0, 0x0D, _] => "f4",
        [0, 0, 0x0E, _] => "f8",
        [0, 0, other, _] => {
            let what = format!("expected a type of numbers from 0x08 to 0x0E in the third byte, found 0x{other:02X}");
            return Err(input.error(what));
        }
        _ => {
            let found: Vec<_> = head.iter().map(|byte| format!("{byte:02X}")).collect();
            let what = format!("expected an IDX file, which begins with two bytes of 0, found {}", found.join(" "));
            return Err(input.error(what));
        }
    };
    let mut shape = Vec::new();
    for _ in 0..head[3] {
        let mut size = [0; 4];
        bytes.read_exact(&mut size).map_err(cut)?;
        shape.push(u32::from_be_bytes(size) as usize);
    }
    let (rows, cols) = rows_and_cols(&shape).map_err(|what| input.error(what))?;
    let element = Element::of(kind, true).ok_or_else(|| input.error("expected numbers"))?;
    Ok((Dense::new(input, Box::new(bytes), element, rows, cols), rows, cols, shape.len()))
}
