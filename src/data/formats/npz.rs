//! NumPy's `.npz` archives: a zip file with an array in each entry.

use std::io::{Seek, SeekFrom};

use zip::ZipArchive;

use crate::data::input::Input;
use crate::data::join::Join;
use crate::data::npy::{Array, open_array};
use crate::data::spool;
use crate::data::table::{Reader, Tables, list};
use crate::error::did_you_mean;
use crate::{Error, Result};

/// What the array with the answers is mostly called.
const ANSWERS: [&str; 9] = ["y", "t", "target", "targets", "label", "labels", "y_train", "classes", "class"];

pub fn open(input: &Input, wanted: &[String]) -> Result<Reader> {
    let damaged = |error: zip::result::ZipError| {
        input.error(format!("cannot be read as a NumPy archive ({error}); write it again by numpy.savez"))
    };
    let mut archive = ZipArchive::new(input.file()?).map_err(damaged)?;
    let entries: Vec<_> = archive.file_names().collect::<Result<_, _>>().map_err(damaged)?;
    let known: Vec<String> = entries.iter().filter_map(|name| Some(name.strip_suffix(".npy")?.to_owned())).collect();
    let unknown = |name: &String| {
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        input.error(format!("there is no array {name:?}{hint}; the arrays are {}", list(&known)))
    };
    if known.is_empty() {
        return Err(input.error("expected arrays, whose names end on .npy, found none; write it by numpy.savez"));
    }
    let chosen = if wanted.is_empty() { &known[..] } else { wanted };
    let mut arrays = Vec::new();
    for name in chosen {
        if !known.contains(name) {
            return Err(unknown(name));
        }
        let place = input.part(&format!("array {name:?}"));
        let mut entry = archive.by_name(&format!("{name}.npy")).map_err(damaged)?;
        // Copied, since an entry can be read only while the archive is borrowed.
        let mut copy = spool::anonymous(input.folder()).map_err(|error| input.error(error.to_string()))?;
        let copied = std::io::copy(&mut entry, &mut copy).map_err(|error| place.unreadable(error))?;
        copy.seek(SeekFrom::Start(0)).map_err(|error| input.error(error.to_string()))?;
        arrays.push((name, open_array(&place, Box::new(copy), Some(copied))?, place));
    }
    join(input, arrays)
}

fn join(input: &Input, arrays: Vec<(&String, Array, Input)>) -> Result<Reader> {
    let rows: Vec<_> = arrays.iter().map(|(name, array, _)| format!("{name} {}", array.rows)).collect();
    if arrays.iter().any(|(_, array, _)| array.rows != arrays[0].1.rows) {
        let what = format!("the arrays have different numbers of rows: {}; name those to read", list(&rows));
        return Err(input.error(what + ", as in the format npz:x_train,y_train"));
    }
    let mut names = Vec::new();
    let mut answers = None;
    let mut joined: Option<(Box<dyn Tables>, Input)> = None;
    for (name, array, place) in arrays {
        let from = names.len();
        match array.cols {
            1 => names.push(name.clone()),
            cols => names.extend((1..=cols).map(|i| format!("{name}{i}"))),
        }
        if ANSWERS.contains(&name.to_lowercase().as_str()) {
            answers = Some((from..names.len()).collect());
        }
        joined = Some(match joined {
            None => (array.tables, place),
            Some((left, before)) => (Box::new(Join::new(&before, left, &place, array.tables)), place),
        });
    }
    match joined {
        Some((tables, _)) => Ok(Reader { names, answers, tables }),
        None => Err(Error::data(&input.place, "expected the names of arrays, found none")),
    }
}
