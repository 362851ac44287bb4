//! Lines of fields.

use std::collections::HashMap;
use std::io::BufRead;

use csv::{ByteRecord, ReaderBuilder, Trim};

use crate::data::input::Input;
use crate::data::table::{Column, Reader, Table, Tables, Texts, part};
use crate::{Error, Result};

pub fn open(input: &Input, separator: u8) -> Result<Reader> {
    let reader = ReaderBuilder::new()
        .delimiter(separator)
        .has_headers(false)
        .flexible(true)
        .trim(Trim::All)
        .from_reader(input.text()?);
    let mut lines = Lines { input: input.clone(), reader, columns: 0, pending: None, rows: 0 };
    let Some(first) = lines.next_record()? else {
        return Err(input.error("the file is empty; expected a line of column names, then one line a row"));
    };
    let fields: Vec<&str> = first.iter().map(|field| utf8(input, field)).collect::<Result<_>>()?;
    let numbers = fields.iter().all(|field| field.parse::<f64>().is_ok());
    let names = match numbers {
        true => (1..=fields.len()).map(|i| format!("c{i}")).collect(),
        false => {
            check_header(input, &fields, start(&first))?;
            fields.into_iter().map(String::from).collect::<Vec<_>>()
        }
    };
    lines.columns = names.len();
    lines.pending = numbers.then_some(first);
    Ok(Reader { names, answers: None, tables: Box::new(lines) })
}

struct Lines {
    input: Input,
    reader: csv::Reader<Box<dyn BufRead + Send>>,
    columns: usize,
    /// The first line, where it is not a header.
    pending: Option<ByteRecord>,
    rows: usize,
}

impl Tables for Lines {
    fn next(&mut self) -> Result<Option<Table>> {
        let mut columns = vec![Texts::default(); self.columns];
        let mut at = Vec::new();
        while at.len() < part(self.columns)
            && let Some(record) = self.next_record()?
        {
            if record.len() != self.columns {
                return Err(self.ragged(&record));
            }
            for (column, field) in columns.iter_mut().zip(&record) {
                column.push(utf8(&self.input, field)?);
            }
            at.push(start(&record));
        }
        if at.is_empty() && self.rows == 0 {
            return Err(self.input.error("the file has a line of column names but no rows"));
        }
        self.rows += at.len();
        let columns = columns.into_iter().map(Column::Texts).collect();
        Ok((!at.is_empty()).then_some(Table { rows: at.len(), columns, at }))
    }
}

impl Lines {
    fn next_record(&mut self) -> Result<Option<ByteRecord>> {
        if let Some(record) = self.pending.take() {
            return Ok(Some(record));
        }
        let mut record = ByteRecord::new();
        while self.reader.read_byte_record(&mut record).map_err(|error| bad(&self.input, error))? {
            // A line of nothing but spaces is as blank as an empty one, which the reader skips itself.
            if record.len() > 1 || record.iter().any(|field| !field.is_empty()) {
                return Ok(Some(record));
            }
        }
        Ok(None)
    }

    fn ragged(&self, record: &ByteRecord) -> Error {
        let expected = self.columns;
        let quote = match record.iter().any(|field| field.contains(&b'\n')) {
            true => "; is a quotation mark not closed?",
            false => "",
        };
        let what = format!("expected {expected} fields, as in the first line, found {}{quote}", record.len());
        Error::data(self.input.row_place(self.rows, Some(start(record))), what)
    }
}

fn bad(input: &Input, error: csv::Error) -> Error {
    match error.into_kind() {
        csv::ErrorKind::Io(error) => input.unreadable(error),
        other => input.error(format!("{other:?}")),
    }
}

fn utf8<'a>(input: &Input, field: &'a [u8]) -> Result<&'a str> {
    std::str::from_utf8(field).map_err(|_| input.not_utf8())
}

fn start(record: &ByteRecord) -> u64 {
    record.position().map_or(0, |position| position.byte())
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
