//! Data sets and inputs from CSV files.

use std::fs;
use std::path::Path;

use super::table::{Table, list};
use super::target::{TaskHint, encode_classes, encode_numbers, read_targets};
use super::{Dataset, Matrix, Task};
use crate::{Error, Result};

/// Reads a data set from a CSV file, and decides between classification and regression.
///
/// Fields are separated by commas and may be quoted; spaces around them, blank lines, a byte order mark and any of
/// the usual line ends are accepted. The first line names the columns, each differently. Where every field of the
/// first line is a number, there is no header: the columns are then named `c1`, `c2`, ...
///
/// `target` names the target column, by default the last; several names, separated by commas, make a regression with
/// several outputs. All other columns are inputs and must hold finite numbers. An empty field, `nan` and `inf` are
/// errors in every column.
///
/// One target column is classification where some value is not a number, or where all values are whole numbers from 0
/// with at most 50 distinct ones, each on average in at least two rows. Otherwise it is regression. A column that
/// fits neither is an error: text among fractions, or more than 50 distinct texts of which few repeat.
/// [`read_csv_as`] skips this rule.
///
/// The classes are the distinct values: in the order of numbers where all are numbers (`1` and `1.0` are then one
/// class), otherwise in the order of text.
pub fn read_csv(path: &Path, target: Option<&str>) -> Result<Dataset> {
    read_csv_as(path, target, TaskHint::Infer)
}

/// Like [`read_csv`], for a known task.
pub fn read_csv_as(path: &Path, target: Option<&str>, hint: TaskHint) -> Result<Dataset> {
    parse(&stem(path), &path.display().to_string(), &read(path)?, target, hint)
}

/// Reads a data set from the text of a CSV file; `place` names the file in messages.
pub(super) fn parse(name: &str, place: &str, bytes: &[u8], target: Option<&str>, hint: TaskHint) -> Result<Dataset> {
    let mut table = Table::open(place, bytes)?;
    let targets = target_columns(&table, target)?;
    let inputs = others(&table, &targets);
    if inputs.is_empty() {
        let found = list(&table.names);
        let what = format!("expected at least one input column besides the target, found only {found}");
        return Err(table.error(what + table.separator_hint()));
    }
    let features = inputs.iter().map(|column| table.names[*column].clone()).collect();
    let (inputs, cells) = table.read(&inputs, &targets)?;
    let (task, targets) = read_targets(&table, &targets, &cells, hint)?;
    Ok(Dataset { name: name.to_owned(), features, task, inputs, targets, weights: None })
}

/// Reads the inputs for a prediction from a CSV file laid out as for [`read_csv`].
///
/// Where the header has all of `expected_features`, those columns are taken, and others (such as the target) are
/// ignored. Otherwise the file must have exactly as many columns as expected, which are taken in order.
pub fn read_inputs_csv(path: &Path, expected_features: &[String]) -> Result<Matrix> {
    let (place, bytes) = (path.display().to_string(), read(path)?);
    let mut table = Table::open(&place, &bytes)?;
    let all: Vec<usize> = (0..table.names.len()).collect();
    let columns = input_columns(&table, expected_features, all)?;
    Ok(table.read(&columns, &[])?.0)
}

/// Reads a data set to judge a trained network by: inputs and targets as the network's `features` and `task` say.
///
/// Inputs are found as in [`read_inputs_csv`]. `target` names the target column or columns. By default these are, for
/// regression, the columns named as the outputs; where those are missing, and for classification, the last columns
/// that are not among `features`. A label that is none of the network's classes is an error.
pub fn read_dataset_csv_like(path: &Path, features: &[String], task: &Task, target: Option<&str>) -> Result<Dataset> {
    let (place, bytes) = (path.display().to_string(), read(path)?);
    let mut table = Table::open(&place, &bytes)?;
    let (wanted, by_name) = match task {
        Task::Classification { .. } => (1, None),
        Task::Regression { outputs } => (outputs.len(), table.positions(outputs)),
    };
    let targets = match (target, by_name) {
        (Some(_), _) => target_columns(&table, target)?,
        (None, Some(columns)) => columns,
        (None, None) => {
            let spare = others(&table, &table.positions(features).unwrap_or_default());
            let from = spare.len().checked_sub(wanted).ok_or_else(|| {
                let found = spare.len();
                table.error(format!("expected {wanted} target column(s) besides the inputs, found {found}"))
            })?;
            spare[from..].to_vec()
        }
    };
    if targets.len() != wanted {
        let what = format!("the network needs {wanted} target column(s), found {}", targets.len());
        return Err(table.error(what));
    }
    let inputs = input_columns(&table, features, others(&table, &targets))?;
    let (inputs, cells) = table.read(&inputs, &targets)?;
    let targets = match (task, &targets[..], &cells[..]) {
        (Task::Classification { classes }, [column], [cells]) => encode_classes(&table, *column, cells, classes)?,
        _ => encode_numbers(&table, &targets, &cells)?,
    };
    Ok(Dataset { name: stem(path), features: features.to_vec(), task: task.clone(), inputs, targets, weights: None })
}

/// Reads a data set of numbers from a CSV file by the names of its columns; the file may have others.
pub fn read_columns_csv(path: &Path, inputs: &[String], targets: &[String]) -> Result<Dataset> {
    let (place, bytes) = (path.display().to_string(), read(path)?);
    let mut table = Table::open(&place, &bytes)?;
    let column = |table: &Table<'_>, name: &String| table.position(name).ok_or_else(|| table.unknown(name));
    let of = |names: &[String]| names.iter().map(|name| column(&table, name)).collect::<Result<Vec<_>>>();
    let (columns, answers) = (of(inputs)?, of(targets)?);
    let (numbers, cells) = table.read(&columns, &answers)?;
    let targets_read = match answers.is_empty() {
        true => Matrix { rows: numbers.rows, cols: 0, data: Vec::new() },
        false => encode_numbers(&table, &answers, &cells)?,
    };
    let task = Task::Regression { outputs: targets.to_vec() };
    Ok(Dataset {
        name: stem(path),
        features: inputs.to_vec(),
        task,
        inputs: numbers,
        targets: targets_read,
        weights: None,
    })
}

fn read(path: &Path) -> Result<Vec<u8>> {
    fs::read(path).map_err(Error::io("read", path))
}

fn stem(path: &Path) -> String {
    path.file_stem().unwrap_or_default().to_string_lossy().into_owned()
}

/// The columns `target` names, or the last.
fn target_columns(table: &Table<'_>, target: Option<&str>) -> Result<Vec<usize>> {
    let Some(target) = target else { return Ok(vec![table.names.len() - 1]) };
    // A name may itself hold a comma.
    if let Some(column) = table.position(target.trim()) {
        return Ok(vec![column]);
    }
    let mut columns = Vec::new();
    for name in target.split(',').map(str::trim) {
        let column = table.position(name).ok_or_else(|| table.unknown(name))?;
        if columns.contains(&column) {
            return Err(table.error(format!("the target column {name:?} is named twice; name it once")));
        }
        columns.push(column);
    }
    Ok(columns)
}

fn others(table: &Table<'_>, taken: &[usize]) -> Vec<usize> {
    (0..table.names.len()).filter(|column| !taken.contains(column)).collect()
}

/// The columns of `features` by name, or all of `candidates`, where those are as many.
fn input_columns(table: &Table<'_>, features: &[String], candidates: Vec<usize>) -> Result<Vec<usize>> {
    if let Some(columns) = table.positions(features) {
        return Ok(columns);
    }
    if candidates.len() == features.len() {
        return Ok(candidates);
    }
    let missing: Vec<_> = features.iter().filter(|name| table.position(name).is_none()).collect();
    let what = format!(
        "expected {} input columns, found {}; missing are {}",
        features.len(),
        candidates.len(),
        list(&missing)
    );
    Err(table.error(what + table.separator_hint()))
}
