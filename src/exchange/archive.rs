//! Members of zip files, in which NumPy and PyTorch keep arrays.

use std::fs::File;
use std::io::{BufReader, Read};
use std::path::Path;
use zip::ZipArchive;

/// What is read at the most where a file is small, in bytes.
const LEAST_LIMIT: u64 = 64 << 20;

/// How many times its own size a file may unfold to.
const EXPANSION: u64 = 200;

/// An open zip file.
pub(super) struct Archive {
    zip: ZipArchive<BufReader<File>>,
    /// How many bytes may still be unfolded.
    budget: u64,
}

impl Archive {
    /// Opens the zip file `path`, or says why not; `hint` tells what to do about a file that is none.
    pub(super) fn open(path: &Path, hint: &str) -> Result<Self, String> {
        let cannot = |e: std::io::Error| format!("cannot be read: {e}");
        let on_disk = std::fs::metadata(path).map_err(cannot)?;
        if !on_disk.is_file() {
            return Err("expected a zip file, found something that is not a regular file".into());
        }
        let file = BufReader::new(File::open(path).map_err(cannot)?);
        let zip = ZipArchive::new(file).map_err(|e| format!("{hint}, or a truncated one ({e})"))?;
        Ok(Archive { zip, budget: on_disk.len().saturating_mul(EXPANSION).max(LEAST_LIMIT) })
    }

    /// The members' names.
    pub(super) fn names(&self) -> Vec<String> {
        self.zip.file_names().filter_map(|name| Some(name.ok()?.into_owned())).collect()
    }

    /// The bytes of a member, of which there may be `limit` at the most; `None` where there is no such member.
    pub(super) fn read(&mut self, name: &str, limit: u64) -> Result<Option<Vec<u8>>, String> {
        let Some(place) = self.zip.index_for_name(name) else { return Ok(None) };
        let damaged = |e: String| format!("its member {name:?} is damaged: {e}");
        let member = self.zip.by_index(place).map_err(|e| damaged(e.to_string()))?;
        let limit = limit.min(self.budget);
        let mut bytes = Vec::new();
        // What unfolds is counted, whatever the file claims.
        member.take(limit.saturating_add(1)).read_to_end(&mut bytes).map_err(|e| damaged(e.to_string()))?;
        match bytes.len() as u64 <= limit {
            true => {
                self.budget -= bytes.len() as u64;
                Ok(Some(bytes))
            }
            false => Err(format!("its member {name:?} unfolds to more than {limit} bytes")),
        }
    }
}
