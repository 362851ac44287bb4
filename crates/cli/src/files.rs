//! Where results are written to.

use std::fs;
use std::io::{self, ErrorKind};
use std::path::Path;
use wgrad::{Error, Result};

/// Checks that a file can be written to `path` later: before the time is spent whose result it shall hold.
/// It must be none of the files `sources`, which the result is computed from.
pub fn check_destination(path: &Path, sources: &[&Path]) -> Result<()> {
    let io = |source: io::Error| Error::Io { action: "write", path: path.to_owned(), source };
    let refuse = |kind, what: String| Err(io(io::Error::new(kind, what)));
    match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            return refuse(ErrorKind::AlreadyExists, "it exists and is not a regular file; choose another name".into());
        }
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(io(error)),
        _ => {}
    }
    if let Ok(there) = fs::canonicalize(path)
        && sources.iter().any(|source| fs::canonicalize(source).is_ok_and(|source| source == there))
    {
        return refuse(ErrorKind::AlreadyExists, "it is what the result is computed from; choose another name".into());
    }
    let folder = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !folder.is_dir() {
        return refuse(
            ErrorKind::NotFound,
            format!("the directory {} does not exist; create it first", folder.display()),
        );
    }
    tempfile::tempfile_in(folder).map(drop).map_err(io)
}
