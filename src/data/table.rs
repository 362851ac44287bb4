//! The lines of a CSV text: header, fields, and where in the file each of them stands.

use std::collections::HashMap;

use csv::{ReaderBuilder, StringRecord, Trim};

use super::Matrix;
use crate::error::did_you_mean;
use crate::{Error, Result};

/// A CSV text of which the header has been read.
pub(super) struct Table<'a> {
    place: &'a str,
    text: &'a str,
    /// The names of the columns.
    pub names: Vec<String>,
    reader: csv::Reader<&'a [u8]>,
    /// The first line, where it is not a header.
    pending: Option<StringRecord>,
}

/// A field kept as text, for a target column.
pub(super) struct Cell {
    pub text: String,
    at: u64,
}

impl<'a> Table<'a> {
    /// Reads the header of `bytes`; `place` names the file in messages.
    pub fn open(place: &'a str, bytes: &'a [u8]) -> Result<Table<'a>> {
        let bytes = bytes.strip_prefix(b"\xEF\xBB\xBF").unwrap_or(bytes);
        let text = std::str::from_utf8(bytes).map_err(|error| {
            let (before, after) = bytes.split_at(error.valid_up_to());
            let column = 1 + before.iter().rev().take_while(|b| !b"\r\n".contains(b)).count();
            let byte = after.first().copied().unwrap_or_default();
            let what = format!("the byte 0x{byte:02X} is not part of UTF-8 text; save the file as CSV in UTF-8");
            Error::data(format!("{place}, line {}, byte {column}", lines_in(before) + 1), what)
        })?;
        let reader =
            ReaderBuilder::new().has_headers(false).flexible(true).trim(Trim::All).from_reader(text.as_bytes());
        let mut table = Table { place, text, names: Vec::new(), reader, pending: None };
        let Some(first) = table.next()? else {
            let what = "the file is empty; expected a line of column names, then one line a row";
            return Err(Error::data(place, what));
        };
        if first.iter().all(|field| field.parse::<f64>().is_ok()) {
            table.names = (1..=first.len()).map(|i| format!("c{i}")).collect();
            table.pending = Some(first);
        } else {
            table.check_header(&first)?;
            table.names = first.iter().map(String::from).collect();
        }
        Ok(table)
    }

    fn check_header(&self, header: &StringRecord) -> Result<()> {
        let place = format!("{}, line {}", self.place, self.line(start(header)));
        let mut seen = HashMap::new();
        for (i, name) in header.iter().enumerate().map(|(i, name)| (i + 1, name)) {
            let what = if name.is_empty() {
                format!("column {i} has no name; name it, or remove it (pandas: to_csv(..., index=False))")
            } else if name.contains('.') && name.parse::<f64>().is_ok() {
                format!("expected column names, found the number {name} in column {i}; put a line of names first")
            } else if let Some(other) = seen.insert(name, i) {
                format!("columns {other} and {i} are both named {name:?}; expected a line of different names first")
            } else {
                continue;
            };
            return Err(Error::data(place, what));
        }
        Ok(())
    }

    fn next(&mut self) -> Result<Option<StringRecord>> {
        if let Some(record) = self.pending.take() {
            return Ok(Some(record));
        }
        let mut record = StringRecord::new();
        while self.reader.read_record(&mut record).map_err(|error| Error::data(self.place, error.to_string()))? {
            // A line of nothing but spaces is as blank as an empty one, which the reader skips itself.
            if record.len() > 1 || record.iter().any(|field| !field.is_empty()) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    /// The column named `name`.
    pub fn position(&self, name: &str) -> Option<usize> {
        self.names.iter().position(|known| known == name)
    }

    /// The columns named `names`, where all of them are there.
    pub fn positions(&self, names: &[String]) -> Option<Vec<usize>> {
        let places: HashMap<_, _> = self.names.iter().zip(0..).collect();
        names.iter().map(|name| places.get(name).copied()).collect()
    }

    /// That `name` is none of the columns, and which there are.
    pub fn unknown(&self, name: &str) -> Error {
        let hint = did_you_mean(name, self.names.iter().map(String::as_str));
        self.error(format!("there is no column {name:?}{hint}; the columns are {}", list(&self.names)))
    }

    /// An error about the file as a whole.
    pub fn error(&self, what: impl Into<String>) -> Error {
        Error::data(self.place, what)
    }

    /// An error about one field.
    pub fn error_at(&self, cell: &Cell, column: usize, what: impl Into<String>) -> Error {
        self.field_error(cell.at, column, what)
    }

    fn field_error(&self, at: u64, column: usize, what: impl Into<String>) -> Error {
        let name = self.names.get(column).map_or("", |name| name.as_str());
        Error::data(format!("{}, line {}, column {name:?}", self.place, self.line(at)), what)
    }

    /// What to say where there is a single column, perhaps because something other than commas separates the fields.
    pub fn separator_hint(&self) -> &'static str {
        match &self.names[..] {
            [only] if only.contains(';') => " (the fields seem separated by semicolons; expected commas)",
            [only] if only.contains('\t') => " (the fields seem separated by tabs; expected commas)",
            _ => "",
        }
    }

    /// Reads all rows: the columns `inputs` as numbers, and each of the columns `targets` as text.
    pub fn read(&mut self, inputs: &[usize], targets: &[usize]) -> Result<(Matrix, Vec<Vec<Cell>>)> {
        let mut data = Vec::new();
        let mut cells: Vec<Vec<Cell>> = targets.iter().map(|_| Vec::new()).collect();
        let mut rows = 0;
        while let Some(record) = self.next()? {
            let at = start(&record);
            if record.len() != self.names.len() {
                return Err(self.ragged(&record));
            }
            for &column in inputs {
                data.push(number(&record[column]).map_err(|what| self.field_error(at, column, what))?);
            }
            for (&column, cells) in targets.iter().zip(&mut cells) {
                if record[column].is_empty() {
                    return Err(self.field_error(at, column, EMPTY));
                }
                cells.push(Cell { text: record[column].to_owned(), at });
            }
            rows += 1;
        }
        if rows == 0 {
            return Err(self.error("the file has a line of column names but no rows"));
        }
        Ok((Matrix::new(rows, inputs.len(), data)?, cells))
    }

    fn ragged(&self, record: &StringRecord) -> Error {
        let expected = self.names.len();
        let quote = match record.iter().any(|field| field.contains('\n')) {
            true => "; is a quotation mark not closed?",
            false => "",
        };
        let what = format!("expected {expected} fields, as in the first line, found {}{quote}", record.len());
        Error::data(format!("{}, line {}", self.place, self.line(start(record))), what)
    }

    /// The line of the record that starts at byte `at`, counted from 1. The CSV reader's own count is not used: there,
    /// a record starts before the blank lines that precede it, and between the two bytes of a line end.
    fn line(&self, at: u64) -> usize {
        let bytes = self.text.as_bytes();
        let at = usize::try_from(at).unwrap_or(usize::MAX).min(bytes.len());
        let blank = bytes[at..].iter().take_while(|b| b"\r\n".contains(b)).count();
        lines_in(&bytes[..at + blank]) + 1
    }
}

fn start(record: &StringRecord) -> u64 {
    record.position().map_or(0, |position| position.byte())
}

fn lines_in(bytes: &[u8]) -> usize {
    let lone_returns =
        bytes.iter().zip(bytes.iter().skip(1).chain([&0])).filter(|pair| pair.0 == &b'\r' && pair.1 != &b'\n');
    bytes.iter().filter(|b| **b == b'\n').count() + lone_returns.count()
}

const EMPTY: &str = "the field is empty; fill the value in or remove the row";

/// The number a field holds, or what is wrong with it.
pub(super) fn number(field: &str) -> Result<f32, String> {
    match field.parse::<f32>() {
        Ok(x) if x.is_finite() => Ok(x),
        Ok(_) => Err(format!("expected a finite 32-bit number, found {field:?}; fill the value in or remove the row")),
        Err(_) if field.is_empty() => Err(EMPTY.into()),
        Err(_) => Err(format!("expected a number, found {field:?}")),
    }
}

/// At most ten of `names`, for a message.
pub(super) fn list(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<_> = names.iter().take(10).map(AsRef::as_ref).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_end_in_any_of_three_ways() {
        assert_eq!(
            [&b""[..], b"a", b"a\nb\n", b"a\r\nb\r\n", b"a\rb\r", b"a\r\r\nb"].map(lines_in),
            [0, 0, 2, 2, 2, 2]
        );
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(list(&["a", "b"]), "a, b");
        let many: Vec<_> = (0..12).map(|i| i.to_string()).collect();
        assert_eq!(list(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }

    #[test]
    fn numbers_are_finite_and_fit_in_32_bits() {
        assert_eq!(["1", "-2.5", "+1e3", ".5"].map(number), [Ok(1.0), Ok(-2.5), Ok(1000.0), Ok(0.5)]);
        for bad in ["", "x", "1,5", "nan", "-inf", "1e39", "0x10", "1 2"] {
            assert!(number(bad).is_err(), "{bad}");
        }
    }
}
