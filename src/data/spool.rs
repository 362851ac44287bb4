//! Temporary files for what does not fit in memory or can be read only once. They go when they are closed, and when the program
//! dies.

use std::fs::File;
use std::io;
use std::path::Path;

use tempfile::NamedTempFile;

/// A file without a name: in the folder `near`, where that can be written, since the folder of temporary files is often in
/// memory or small.
pub(super) fn anonymous(near: Option<&Path>) -> io::Result<File> {
    let near = near.map(|folder| if folder == Path::new("") { Path::new(".") } else { folder });
    match near.map(tempfile::tempfile_in) {
        Some(Ok(file)) => Ok(file),
        _ => tempfile::tempfile(),
    }
}

/// A file that can be opened by its name.
pub(super) fn named() -> io::Result<NamedTempFile> {
    tempfile::Builder::new().prefix(".wgrad-").tempfile()
}
