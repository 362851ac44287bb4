//! Lines of fields.

use std::collections::HashMap;
use std::io::BufRead;

use csv::{ErrorKind, ReaderBuilder, StringRecord};

use crate::data::input::Input;
use crate::data::table::{Column, Reader, Table, Tables, Texts, part};
use crate::{Error, Result};

pub fn open(input: &Input, separator: u8) -> Result<Reader> {
    let reader = ReaderBuilder::new().delimiter(separator).has_headers(false).flexible(true).from_reader(input.text()?);
    let record = StringRecord::new();
    let mut lines = Lines { input: input.clone(), reader, columns: 0, record, pending: false, rows: 0, bytes: 0 };
    if !lines.read()? {
        return Err(input.error("the file is empty; expected a line of column names, then one line a row"));
    }
    let fields: Vec<&str> = lines.record.iter().map(str::trim_ascii).collect();
    let numbers = fields.iter().all(|field| field.parse::<f64>().is_ok());
    let names: Vec<String> = match numbers {
        true => (1..=fields.len()).map(|i| format!("c{i}")).collect(),
        false => {
            check_header(input, &fields, lines.start())?;
            fields.into_iter().map(String::from).collect()
        }
    };
    (lines.columns, lines.pending) = (names.len(), numbers);
    Ok(Reader { names, answers: None, tables: Box::new(lines) })
}

struct Lines {
    input: Input,
    reader: csv::Reader<Box<dyn BufRead + Send>>,
    columns: usize,
    /// The line that was read last.
    record: StringRecord,
    /// Whether it is a row that was not handed out: the first line, where it is not a header.
    pending: bool,
    rows: usize,
    /// The bytes that a column of the part before had at most.
    bytes: usize,
}

impl Tables for Lines {
    fn next(&mut self) -> Result<Option<Table>> {
        let rows = part(self.columns);
        // Many parts have the size of the one before; the first could be the only one.
        let room = if self.bytes == 0 { 0 } else { rows };
        let mut columns = vec![Texts::default(); self.columns];
        columns.iter_mut().for_each(|column| column.reserve(room, self.bytes));
        let mut at = Vec::with_capacity(room);
        while at.len() < rows && (std::mem::take(&mut self.pending) || self.read()?) {
            if self.record.len() != self.columns {
                return Err(self.ragged());
            }
            for (column, field) in columns.iter_mut().zip(&self.record) {
                column.push(field.trim_ascii());
            }
            at.push(self.start());
        }
        if at.is_empty() && self.rows == 0 {
            return Err(self.input.error("the file has a line of column names but no rows"));
        }
        self.rows += at.len();
        self.bytes = columns.iter().map(Texts::bytes).max().unwrap_or(0);
        let columns = columns.into_iter().map(Column::Texts).collect();
        Ok((!at.is_empty()).then_some(Table { rows: at.len(), columns, at }))
    }
}

impl Lines {
    /// Reads a line that is not blank; false where there is none.
    fn read(&mut self) -> Result<bool> {
        while self.reader.read_record(&mut self.record).map_err(|error| bad(&self.input, error))? {
            // A line of nothing but spaces is as blank as an empty one, which the reader skips itself.
            if self.record.len() > 1 || self.record.iter().any(|field| !field.trim_ascii().is_empty()) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// The byte at which the line begins.
    fn start(&self) -> u64 {
        self.record.position().map_or(0, |position| position.byte())
    }

    fn ragged(&self) -> Error {
        let (expected, found) = (self.columns, self.record.len());
        let quote = match self.record.iter().any(|field| field.contains('\n')) {
            true => "; is a quotation mark not closed?",
            false => "",
        };
        let what = format!("expected {expected} fields, as in the first line, found {found}{quote}");
        Error::data(self.input.row_place(self.rows, Some(self.start())), what)
    }
}

fn bad(input: &Input, error: csv::Error) -> Error {
    match error.into_kind() {
        ErrorKind::Io(error) => input.unreadable(error),
        ErrorKind::Utf8 { .. } => input.not_utf8(),
        other => input.error(format!("{other:?}")),
    }
}

fn check_header(input: &Input, header: &[&str], at: u64) -> Result<()> {
    let mut seen = HashMap::new();
    for (i, &name) in header.iter().enumerate().map(|(i, name)| (i + 1, name)) {
        let what = if name.is_empty() {
            format!("column {i} has no name; name it, or remove it (pandas: to_csv(..., index=False))")
        } else if name.contains('.') && name.parse::<f64>().is_ok() {
            format!("expected column names, found the number {name} in column {i}; put a line of names first")
        } else if let Some(other) = seen.insert(name, i) {
            format!("columns {other} and {i} are both named {name:?}; expected a line of different names first")
        } else {
            continue;
        };
        return Err(Error::data(input.row_place(0, Some(at)), what));
    }
    Ok(())
}
