//! A file to read, and how its places are called in messages.

use std::fs::File;
use std::io::{self, BufRead, BufReader, Cursor, Read};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use flate2::bufread::MultiGzDecoder;
use tempfile::NamedTempFile;

use super::format::Format;
use super::formats;
use super::spool;
use super::table::Reader;
use crate::{Error, Result};

/// A file to read, as often as needed.
#[derive(Clone)]
pub(super) struct Input {
    /// What messages call it.
    pub place: String,
    /// What the data are called: the file's name without the ending.
    pub name: String,
    pub format: Format,
    source: Source,
}

#[derive(Clone)]
enum Source {
    File(PathBuf),
    /// Standard input, copied to a file that goes with the last of its readers.
    Copy(Arc<NamedTempFile>),
    Memory(&'static [u8]),
}

const GZIP: &[u8] = &[0x1F, 0x8B];
const BYTE_ORDER_MARK: &[u8] = b"\xEF\xBB\xBF";

impl Input {
    /// The file `path`, or standard input where it is `-`. Without a `format` it has that of its name, else the one of its first
    /// bytes.
    pub fn new(path: &Path, format: Option<&Format>) -> Result<Input> {
        if path == Path::new("-") {
            let place = "standard input".to_owned();
            let bad = |error: io::Error| Error::data("standard input", error.to_string());
            let mut copy = spool::named().map_err(bad)?;
            io::copy(&mut io::stdin().lock(), copy.as_file_mut()).map_err(bad)?;
            let source = Source::Copy(Arc::new(copy));
            let format = format.cloned();
            return Input { name: "stdin".into(), place, format: Format::Images, source }.guess(format);
        }
        let read = || Error::io("read", path);
        let name = path.file_stem().unwrap_or_default().to_string_lossy();
        let name = name.split_once('.').map_or(&*name, |(name, _)| name).to_owned();
        let input = Input {
            place: path.display().to_string(),
            name,
            format: Format::Images,
            source: Source::File(path.into()),
        };
        // Asked before opening, since opening a pipe waits for a writer.
        let folder = std::fs::metadata(path).map_err(read())?.is_dir();
        match format.cloned().or_else(|| Format::by_name(path)) {
            None if folder => Ok(input),
            format => input.guess(format),
        }
    }

    /// A CSV text that is part of the program.
    pub fn bundled(name: &str, text: &'static str) -> Input {
        let format = Format::Csv { separator: b',' };
        let place = format!("the bundled {name}");
        Input { place, name: name.to_owned(), format, source: Source::Memory(text.as_bytes()) }
    }

    fn guess(mut self, format: Option<Format>) -> Result<Input> {
        self.format = match format {
            Some(format) => format,
            None => {
                let mut start = Vec::new();
                self.stream()?.take(64).read_to_end(&mut start).map_err(|error| self.unreadable(error))?;
                Format::by_magic(&start)
            }
        };
        Ok(self)
    }

    /// A part of the file, as messages call it.
    pub fn part(&self, name: &str) -> Input {
        Input { place: format!("{}, {name}", self.place), ..self.clone() }
    }

    /// The file on disk.
    pub fn path(&self) -> &Path {
        match &self.source {
            Source::File(path) => path,
            Source::Copy(copy) => copy.path(),
            Source::Memory(_) => Path::new(""),
        }
    }

    /// The folder that the file is in, where it is in one that people know.
    pub fn folder(&self) -> Option<&Path> {
        match &self.source {
            Source::File(path) => path.parent(),
            _ => None,
        }
    }

    /// Opens the file itself.
    pub fn file(&self) -> Result<File> {
        File::open(self.path()).map_err(|error| self.unreadable(error))
    }

    /// The bytes from the beginning on, decompressed.
    pub fn stream(&self) -> Result<Box<dyn BufRead + Send>> {
        let mut reader: Box<dyn BufRead + Send> = match self.source {
            Source::Memory(bytes) => Box::new(Cursor::new(bytes)),
            _ => Box::new(BufReader::with_capacity(1 << 16, self.file()?)),
        };
        let start = reader.fill_buf().map_err(|error| self.unreadable(error))?;
        let compressed = start.starts_with(GZIP);
        Ok(match compressed {
            true => Box::new(BufReader::with_capacity(1 << 16, MultiGzDecoder::new(reader))),
            false => reader,
        })
    }

    /// The bytes of a text, without a byte order mark.
    pub fn text(&self) -> Result<Box<dyn BufRead + Send>> {
        let mut reader = self.stream()?;
        if reader.fill_buf().map_err(|error| self.unreadable(error))?.starts_with(BYTE_ORDER_MARK) {
            reader.consume(BYTE_ORDER_MARK.len());
        }
        Ok(reader)
    }

    /// Reads what comes before the rows.
    pub fn open(&self) -> Result<Reader> {
        if !self.format.streams() && matches!(self.source, Source::File(_)) && self.compressed()? {
            let what =
                format!("a file of the format {} cannot be compressed by gzip; decompress it first", self.format);
            return Err(self.error(what));
        }
        formats::open(self)
    }

    /// Whether gzip compressed the file.
    pub fn compressed(&self) -> Result<bool> {
        if self.path().is_dir() {
            return Ok(false);
        }
        let mut start = [0; 2];
        Ok(self.file()?.read_exact(&mut start).is_ok() && start == GZIP)
    }

    /// An error about the file as a whole.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::data(&self.place, what)
    }

    /// An error about the cell in `row`, counted from 0, and in the column called `name`; `at` is where a row of text begins.
    pub fn error_at(&self, row: usize, at: Option<u64>, name: &str, what: impl Into<String>) -> Error {
        Error::data(format!("{}, column {name:?}", self.row_place(row, at)), what)
    }

    /// What messages call a row.
    pub fn row_place(&self, row: usize, at: Option<u64>) -> String {
        match at.and_then(|at| self.line(at)) {
            Some(line) => format!("{}, line {line}", self.place),
            None => format!("{}, row {}", self.place, row + 1),
        }
    }

    /// The line, counted from 1, of the row that begins at byte `at` or behind blank lines that follow there.
    fn line(&self, at: u64) -> Option<usize> {
        let (mut line, mut before) = (1, 0);
        for (i, byte) in (0..).zip(self.text().ok()?.bytes()) {
            let byte = byte.ok()?;
            line += usize::from(before == b'\r' && byte != b'\n');
            if i >= at && !b"\r\n".contains(&byte) {
                return Some(line);
            }
            line += usize::from(byte == b'\n');
            before = byte;
        }
        Some(line + usize::from(before == b'\r'))
    }

    /// That the text is not UTF-8, and where it first is not.
    pub fn not_utf8(&self) -> Error {
        let mut line = Vec::new();
        let Ok(mut reader) = self.text() else { return self.error("the file is not UTF-8 text") };
        for number in 1.. {
            line.clear();
            if !matches!(reader.read_until(b'\n', &mut line), Ok(1..)) {
                break;
            }
            if let Err(error) = std::str::from_utf8(&line) {
                let at = error.valid_up_to();
                let place = format!("{}, line {number}, byte {}", self.place, at + 1);
                let what = format!("the byte 0x{:02X} is not part of UTF-8 text; save the file in UTF-8", line[at]);
                return Error::data(place, what);
            }
        }
        self.error("the file is not UTF-8 text")
    }

    /// That the bytes cannot be read.
    pub fn unreadable(&self, error: io::Error) -> Error {
        match (&self.source, error.raw_os_error()) {
            (Source::File(path), Some(_)) => Error::io("read", path)(error),
            _ => self.error(format!("the data are cut short or damaged ({error}); write the file again")),
        }
    }
}
