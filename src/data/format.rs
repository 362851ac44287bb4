//! Which formats there are, and which one a file has.

use std::fmt::{self, Display, Formatter};
use std::path::Path;
use std::str::FromStr;

use crate::error::did_you_mean;
use crate::{Error, Result};

/// A file format of data; as a text, `csv`, `csv:;` for another separator, `tsv`, `npy`, `npz`, `npz:x,y` for some of its
/// arrays, `idx`, `parquet`, `arrow`, `jsonl` or `images`.
///
/// CSV, JSON lines, NPY and IDX files may be compressed by gzip, whatever they are called.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Format {
    /// Lines of fields with a separator, an ASCII character, between them; the first line names the columns, unless all its
    /// fields are numbers.
    Csv {
        /// What stands between two fields: `,`, `;`, a tab.
        separator: u8,
    },
    /// A NumPy array `[rows, …]`; columns are called `c1`, `c2`, …
    Npy,
    /// NumPy arrays, each with as many rows; their columns are called like them, with a number where there are several.
    Npz {
        /// The arrays to read; all where there are none.
        arrays: Vec<String>,
    },
    /// The format of the MNIST files. A file of images belongs together with one of labels beside it, which is called like it but
    /// for `images-idx3`, for which it has `labels-idx1`.
    Idx,
    /// Apache Parquet; needs the Cargo feature `columnar`.
    Parquet,
    /// Arrow's IPC format, as a file (also called Feather) or a stream; needs the Cargo feature `columnar`.
    Arrow,
    /// A JSON object in each line.
    JsonLines,
    /// A folder with a folder for each class, which holds PNG images of one size; or with images alone.
    Images,
}

/// CSV with commas.
const CSV: Format = Format::Csv { separator: b',' };

impl Format {
    /// The format's names.
    const NAMES: [&str; 9] = ["csv", "tsv", "npy", "npz", "idx", "parquet", "arrow", "jsonl", "images"];

    /// The format that a file's name ends on, without `.gz`; `None` where it is none of ours.
    pub fn by_name(path: &Path) -> Option<Format> {
        let name = path.file_name()?.to_string_lossy().to_lowercase();
        let name = name.strip_suffix(".gz").unwrap_or(&name);
        if name.ends_with("ubyte") && name.contains("idx") {
            return Some(Format::Idx);
        }
        Some(match name.rsplit_once('.')?.1 {
            "csv" => CSV,
            "tsv" | "tab" => Format::Csv { separator: b'\t' },
            "npy" => Format::Npy,
            "npz" => Format::Npz { arrays: Vec::new() },
            "idx" => Format::Idx,
            "parquet" | "pq" => Format::Parquet,
            "arrow" | "feather" | "ipc" => Format::Arrow,
            "jsonl" | "ndjson" => Format::JsonLines,
            _ => return None,
        })
    }

    /// The format of a file that begins with these bytes: CSV where nothing speaks for another one.
    pub(super) fn by_magic(start: &[u8]) -> Format {
        match start {
            [0x93, b'N', b'U', b'M', b'P', b'Y', ..] => Format::Npy,
            [b'P', b'K', 3, 4, ..] => Format::Npz { arrays: Vec::new() },
            [b'P', b'A', b'R', b'1', ..] => Format::Parquet,
            [b'A', b'R', b'R', b'O', b'W', b'1', ..] | [0xFF, 0xFF, 0xFF, 0xFF, ..] => Format::Arrow,
            [0, 0, 8 | 9 | 11..=14, 1..=4, ..] => Format::Idx,
            _ if start.trim_ascii_start().starts_with(b"{") => Format::JsonLines,
            _ => CSV,
        }
    }

    /// Whether a file of this format is read from its beginning to its end, so that it may be compressed.
    pub(super) fn streams(&self) -> bool {
        matches!(self, Format::Csv { .. } | Format::Npy | Format::Idx | Format::JsonLines)
    }
}

impl Display for Format {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Format::Csv { separator: b',' } => f.write_str("csv"),
            Format::Csv { separator: b'\t' } => f.write_str("tsv"),
            Format::Csv { separator } => write!(f, "csv:{}", char::from(*separator)),
            Format::Npy => f.write_str("npy"),
            Format::Npz { arrays } if arrays.is_empty() => f.write_str("npz"),
            Format::Npz { arrays } => write!(f, "npz:{}", arrays.join(",")),
            Format::Idx => f.write_str("idx"),
            Format::Parquet => f.write_str("parquet"),
            Format::Arrow => f.write_str("arrow"),
            Format::JsonLines => f.write_str("jsonl"),
            Format::Images => f.write_str("images"),
        }
    }
}

impl FromStr for Format {
    type Err = Error;

    fn from_str(text: &str) -> Result<Format> {
        Ok(match text {
            "csv" => CSV,
            "tsv" => Format::Csv { separator: b'\t' },
            "npy" => Format::Npy,
            "npz" => Format::Npz { arrays: Vec::new() },
            "idx" => Format::Idx,
            "parquet" => Format::Parquet,
            "arrow" => Format::Arrow,
            "jsonl" => Format::JsonLines,
            "images" => Format::Images,
            _ => match text.split_once(':') {
                Some(("csv", separator)) => match separator.as_bytes() {
                    [separator] if separator.is_ascii() && !b"\"\r\n".contains(separator) => {
                        Format::Csv { separator: *separator }
                    }
                    _ => {
                        let what = format!("expected one ASCII character that separates fields, found {separator:?}");
                        return Err(Error::Config(format!("{what}; write csv:; or tsv")));
                    }
                },
                Some(("npz", arrays)) => {
                    Format::Npz { arrays: arrays.split(',').map(|name| name.trim().to_owned()).collect() }
                }
                _ => {
                    let (hint, known) = (did_you_mean(text, Self::NAMES), Self::NAMES.join(", "));
                    return Err(Error::Config(format!("unknown format {text:?}{hint}; the formats are {known}")));
                }
            },
        })
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn formats_go_both_ways() {
        for text in Format::NAMES.into_iter().chain(["csv:;", "csv: ", "npz:x_train,y_train"]) {
            assert_eq!(text.parse::<Format>().unwrap().to_string(), text);
        }
        for (text, expected) in [
            ("jsnol", "did you mean \"jsonl\"?"),
            ("csv:", "expected one ASCII character"),
            ("csv:ab", "found \"ab\""),
            ("csv:é", "found \"é\""),
        ] {
            let error = text.parse::<Format>().unwrap_err().to_string();
            assert!(error.contains(expected), "{error}");
        }
    }

    #[test]
    fn names_and_first_bytes_tell_the_format() {
        let by_name = |name: &str| Format::by_name(Path::new(name)).map(|format| format.to_string());
        for (name, format) in [
            ("a.csv", "csv"),
            ("A.CSV.GZ", "csv"),
            ("a.tsv", "tsv"),
            ("train-images-idx3-ubyte", "idx"),
            ("train-images.idx3-ubyte.gz", "idx"),
            ("b/a.npz", "npz"),
            ("a.feather", "arrow"),
            ("a.ndjson", "jsonl"),
        ] {
            assert_eq!(by_name(name).as_deref(), Some(format), "{name}");
        }
        assert_eq!((by_name("a.txt"), by_name("csv"), by_name("a.gz")), (None, None, None));
        for (start, format) in [
            (&b"\x93NUMPY\x01"[..], "npy"),
            (b"PK\x03\x04", "npz"),
            (b"PAR1", "parquet"),
            (b"ARROW1\0\0", "arrow"),
            (b"\xFF\xFF\xFF\xFF\x10", "arrow"),
            (b"\0\0\x08\x03\0", "idx"),
            (b" \n{\"a\": 1}", "jsonl"),
            (b"a,b\n", "csv"),
            (b"", "csv"),
        ] {
            assert_eq!(Format::by_magic(start).to_string(), format);
        }
    }
}
