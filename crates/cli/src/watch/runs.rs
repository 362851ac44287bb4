//! Reading the folder of `--log`.

use super::log::{METRICS, RUN};
use serde_json::Value;
use std::fs;
use std::path::{Path, PathBuf};
use wgrad::{Error, Result};

/// What was measured over the epochs of a run.
pub struct History {
    /// What to call the run.
    pub name: String,
    columns: Vec<String>,
    rows: Vec<Vec<Option<f64>>>,
}

impl History {
    /// Reads the log of the run in `folder`.
    pub fn read(folder: &Path) -> Result<History> {
        let path = folder.join(METRICS);
        if !path.is_file() {
            let what = format!("there is no {METRICS} in it; expected a folder that `wgrad train --log` wrote");
            return Err(Error::Data { place: folder.display().to_string(), what });
        }
        let text = read(&path)?;
        // A run that was killed may have left half a line.
        let whole = text.rfind('\n').map_or("", |end| &text[..=end]);
        let refuse =
            |line: usize, what: String| Error::Data { place: format!("{}, line {line}", path.display()), what };
        let mut reader = csv::Reader::from_reader(whole.as_bytes());
        let columns: Vec<String> = match reader.headers() {
            Ok(header) => header.iter().map(str::to_owned).collect(),
            Err(error) => return Err(refuse(1, error.to_string())),
        };
        if columns.first().map(String::as_str) != Some("epoch") {
            return Err(refuse(1, "expected the column \"epoch\" first".into()));
        }
        let mut rows = Vec::new();
        for (i, record) in reader.records().enumerate() {
            let record = record.map_err(|error| refuse(i + 2, error.to_string()))?;
            let number = |(column, field): (usize, &str)| match field {
                "" => Ok(None),
                _ => field.parse().map(Some).map_err(|_| {
                    refuse(i + 2, format!("column {:?}: expected a number, found {field:?}", columns[column]))
                }),
            };
            rows.push(record.iter().enumerate().map(number).collect::<Result<Vec<_>>>()?);
        }
        let name = fs::canonicalize(folder).unwrap_or(folder.to_owned());
        let name = name.file_name().map_or(folder.display().to_string(), |name| name.to_string_lossy().into_owned());
        Ok(History { name, columns, rows })
    }

    /// The column `name` over the epochs; empty where nothing was measured.
    pub fn series(&self, name: &str) -> Vec<(f64, f64)> {
        let Some(column) = self.columns.iter().position(|column| column == name) else { return Vec::new() };
        self.rows.iter().filter_map(|row| Some((row[0]?, row[column]?))).collect()
    }
}

/// What `run.json` says; an empty object where there is none.
pub fn notes(folder: &Path) -> Result<Value> {
    let path: PathBuf = folder.join(RUN);
    if !path.is_file() {
        return Ok(Value::Object(Default::default()));
    }
    serde_json::from_str(&read(&path)?).map_err(|error| Error::Data {
        place: format!("{}, line {}, column {}", path.display(), error.line(), error.column()),
        what: format!("expected JSON: {error}"),
    })
}

fn read(path: &Path) -> Result<String> {
    fs::read_to_string(path).map_err(|source| Error::Io { action: "read", path: path.to_owned(), source })
}
