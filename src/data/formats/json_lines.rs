//! A JSON object in each line.

use std::collections::HashMap;
use std::fmt;
use std::io::BufRead;

use serde::de::{Deserialize, Deserializer, MapAccess, Visitor};
use serde_json::Value;

use crate::data::input::Input;
use crate::data::table::{Column, Reader, Table, Tables, Texts, list, part};
use crate::error::did_you_mean;
use crate::{Error, Result};

pub fn open(input: &Input) -> Result<Reader> {
    let mut lines = Lines {
        input: input.clone(),
        reader: input.text()?,
        names: Vec::new(),
        places: HashMap::new(),
        at: 0,
        rows: 0,
        pending: None,
    };
    let Some((at, first)) = lines.next_object()? else {
        return Err(input.error("the file is empty; expected a JSON object in each line"));
    };
    lines.names = first.0.iter().map(|(name, _)| name.clone()).collect();
    lines.places = lines.names.iter().cloned().zip(0..).collect();
    lines.pending = Some((at, first));
    Ok(Reader { names: lines.names.clone(), answers: None, tables: Box::new(lines) })
}

/// The members of an object in the order in which they are written.
struct Members(Vec<(String, Value)>);

impl<'de> Deserialize<'de> for Members {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Object;
        impl<'de> Visitor<'de> for Object {
            type Value = Members;
            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("an object such as {\"a\": 1, \"b\": \"red\"}")
            }
            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Members, A::Error> {
                let mut members = Vec::new();
                while let Some(member) = map.next_entry()? {
                    members.push(member);
                }
                Ok(Members(members))
            }
        }
        deserializer.deserialize_map(Object)
    }
}

struct Lines {
    input: Input,
    reader: Box<dyn BufRead + Send>,
    names: Vec<String>,
    /// Where each name is in `names`.
    places: HashMap<String, usize>,
    /// The byte that comes next.
    at: u64,
    rows: usize,
    /// The first object, and where its line begins.
    pending: Option<(u64, Members)>,
}

impl Tables for Lines {
    fn next(&mut self) -> Result<Option<Table>> {
        let mut columns = vec![Texts::default(); self.names.len()];
        let mut at = Vec::new();
        while at.len() < part(columns.len())
            && let Some((start, Members(members))) = self.next_object()?
        {
            let mut row: Vec<Option<String>> = vec![None; columns.len()];
            for (name, value) in members {
                let Some(&column) = self.places.get(&name) else {
                    let (hint, known) = (did_you_mean(&name, self.names.iter().map(String::as_str)), list(&self.names));
                    let what = format!("unknown member {name:?}{hint}; the first line has {known}");
                    return Err(self.error(at.len(), start, what));
                };
                let text = text(value).map_err(|found| {
                    let what = format!("expected a number, a text, true, false or null, found {found}");
                    self.input.error_at(self.rows + at.len(), Some(start), &name, what)
                })?;
                if row[column].replace(text).is_some() {
                    return Err(self.error(at.len(), start, format!("the member {name:?} comes twice")));
                }
            }
            // A member that is not there is missing.
            columns.iter_mut().zip(row).for_each(|(column, text)| column.push(text.as_deref().unwrap_or("")));
            at.push(start);
        }
        self.rows += at.len();
        let columns = columns.into_iter().map(Column::Texts).collect();
        Ok((!at.is_empty()).then_some(Table { rows: at.len(), columns, at }))
    }
}

/// The text of a cell; or the kind of value that is none.
fn text(value: Value) -> Result<String, &'static str> {
    match value {
        Value::Null => Ok(String::new()),
        Value::Bool(x) => Ok(x.to_string()),
        Value::Number(x) => Ok(x.to_string()),
        Value::String(x) => Ok(x),
        Value::Array(_) => Err("an array; write its numbers as members of their own"),
        Value::Object(_) => Err("an object; write its members directly"),
    }
}

impl Lines {
    /// The next object, and the byte at which its line begins.
    fn next_object(&mut self) -> Result<Option<(u64, Members)>> {
        if let Some(pending) = self.pending.take() {
            return Ok(Some(pending));
        }
        let mut line = Vec::new();
        loop {
            line.clear();
            let start = self.at;
            let read = self.reader.read_until(b'\n', &mut line).map_err(|error| self.input.unreadable(error))?;
            self.at += read as u64;
            if read == 0 {
                return Ok(None);
            }
            if line.trim_ascii().is_empty() {
                continue;
            }
            let text = std::str::from_utf8(&line).map_err(|_| self.input.not_utf8())?;
            return match serde_json::from_str(text) {
                Ok(members) => Ok(Some((start, members))),
                Err(error) => {
                    // A line that ends the file in the middle of an object is most likely cut short.
                    let cut = if error.is_eof() { "; the line is cut short" } else { "" };
                    let what = format!("expected a JSON object: {}{cut}", message(&error));
                    Err(self.error(0, start, what))
                }
            };
        }
    }

    fn error(&self, row: usize, at: u64, what: String) -> Error {
        Error::data(self.input.row_place(self.rows + row, Some(at)), what)
    }
}

/// What serde_json says, without its line, which is always the first.
fn message(error: &serde_json::Error) -> String {
    error.to_string().replace("line 1 column", "column")
}
