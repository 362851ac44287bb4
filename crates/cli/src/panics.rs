//! What a panic says.

use std::ffi::OsStr;
use std::panic;
use std::path::Path;

/// The crates that panic at some damaged files, which the library catches and reports as errors.
const READERS: [&str; 13] = [
    "arrow-array",
    "arrow-buffer",
    "arrow-cast",
    "arrow-data",
    "arrow-ipc",
    "arrow-schema",
    "arrow-select",
    "bytes",
    "flatbuffers",
    "lz4_flex",
    "parquet",
    "snap",
    "zstd",
];

/// From here on panics at damaged files are silent; all others are printed as usual.
pub fn silence_readers() {
    let usual = panic::take_hook();
    panic::set_hook(Box::new(move |panic| {
        if !panic.location().is_some_and(|place| in_reader(Path::new(place.file()))) {
            usual(panic);
        }
    }));
}

/// Whether a source file is one of a reader's: in a folder of its name, perhaps with a version behind it.
fn in_reader(file: &Path) -> bool {
    let of = |folder: &OsStr, name: &str| {
        let rest = folder.to_str().and_then(|folder| folder.strip_prefix(name));
        rest.is_some_and(|rest| {
            rest.is_empty() || rest.strip_prefix('-').is_some_and(|version| version.starts_with(char::is_numeric))
        })
    };
    let mut folders = file.parent().into_iter().flat_map(Path::iter);
    folders.any(|folder| READERS.iter().any(|name| of(folder, name)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn readers_are_known_by_their_folders() {
        let files = [
            "/home/a/.cargo/registry/src/index-1/parquet-60.1.0/src/file/metadata/mod.rs",
            "vendor/arrow-ipc/src/reader.rs",
            "crates/bytes-1.11.0/src/bytes.rs",
        ];
        assert!(files.iter().all(|file| in_reader(Path::new(file))));
        let others = ["src/data/formats/parquet.rs", "/a/parquet-tools/src/main.rs", "/a/arrow-ipcx-1/src/lib.rs", ""];
        assert!(!others.iter().any(|file| in_reader(Path::new(file))));
    }
}
