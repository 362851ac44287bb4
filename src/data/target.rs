//! What the target columns of a CSV file mean, and their values as numbers.

use std::collections::{BTreeSet, HashMap};
use std::str::FromStr;

use super::table::{Cell, Table, list, number};
use super::{Matrix, Task};
use crate::error::did_you_mean;
use crate::{Error, Result};

/// Whether a target column holds classes or numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskHint {
    /// Decide on the values, by the rule that [`read_csv`](super::read_csv) states.
    #[default]
    Infer,
    /// Each distinct value is a class.
    Classification,
    /// Each value is a number to predict.
    Regression,
}

impl FromStr for TaskHint {
    type Err = Error;

    /// `infer`, `classification` or `regression`.
    fn from_str(text: &str) -> Result<TaskHint> {
        match text {
            "infer" => Ok(TaskHint::Infer),
            "classification" => Ok(TaskHint::Classification),
            "regression" => Ok(TaskHint::Regression),
            _ => {
                let hint = did_you_mean(text, ["infer", "classification", "regression"]);
                let what = format!("unknown task {text:?}{hint}; the tasks are infer, classification, regression");
                Err(Error::Config(what))
            }
        }
    }
}

/// Above this, distinct values are taken for numbers or for a wrong column, unless they repeat enough.
const MANY_CLASSES: usize = 50;
/// Above this, one-hot targets would fill the memory.
const MAX_CLASSES: usize = 10_000;

/// The task and the targets of the columns `columns`, whose fields are `cells`.
pub(super) fn read_targets(
    table: &Table<'_>,
    columns: &[usize],
    cells: &[Vec<Cell>],
    hint: TaskHint,
) -> Result<(Task, Matrix)> {
    if let ([column], [cells]) = (columns, cells) {
        let classes = distinct(table, *column, cells)?;
        let classification = match hint {
            TaskHint::Infer => holds_classes(table, *column, cells, &classes)?,
            hint => hint == TaskHint::Classification,
        };
        if classification {
            let found = classes.names.len();
            if found > MAX_CLASSES {
                let name = &table.names[*column];
                let what =
                    format!("column {name:?} has {found} distinct values; expected at most {MAX_CLASSES} classes");
                return Err(table.error(what));
            }
            let targets = encode_classes(table, *column, cells, &classes.names)?;
            return Ok((Task::Classification { classes: classes.names }, targets));
        }
    } else if hint == TaskHint::Classification {
        let what = format!("classification needs one target column, found {}; choose one", columns.len());
        return Err(table.error(what));
    }
    let outputs = columns.iter().map(|column| table.names[*column].clone()).collect();
    Ok((Task::Regression { outputs }, encode_numbers(table, columns, cells)?))
}

struct Distinct {
    names: Vec<String>,
    /// The values as numbers, where all of them are.
    numbers: Option<Vec<f64>>,
}

/// The distinct values of a column: in the order of numbers where all are numbers, otherwise in that of text.
fn distinct(table: &Table<'_>, column: usize, cells: &[Cell]) -> Result<Distinct> {
    for cell in cells {
        if cell.text.parse::<f64>().is_ok_and(|x| !x.is_finite()) {
            let what = format!("expected a class or a finite number, found {:?}; remove the row", cell.text);
            return Err(table.error_at(cell, column, what));
        }
    }
    let texts: BTreeSet<&str> = cells.iter().map(|cell| cell.text.as_str()).collect();
    let numbers: Option<Vec<f64>> = texts.iter().map(|text| as_number(text)).collect();
    let numbers = numbers.map(|mut numbers| {
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        numbers
    });
    let names = match &numbers {
        Some(numbers) => numbers.iter().map(f64::to_string).collect(),
        None => texts.into_iter().map(String::from).collect(),
    };
    Ok(Distinct { names, numbers })
}

/// The number a label writes, with one zero; so `1`, `1.0` and `01` are one class.
fn as_number(text: &str) -> Option<f64> {
    // Beyond 2⁵³ neighbouring integers, which may be identifiers, would become one number.
    text.parse::<f64>().ok().map(|x| x + 0.0).filter(|x| x.abs() < 9_007_199_254_740_992.0)
}

fn holds_classes(table: &Table<'_>, column: usize, cells: &[Cell], classes: &Distinct) -> Result<bool> {
    let name = &table.names[column];
    let found = classes.names.len();
    let repeated = cells.len() >= 2 * found;
    if let Some(numbers) = &classes.numbers {
        return Ok(found <= MANY_CLASSES && repeated && numbers.iter().all(|x| *x >= 0.0 && x.fract() == 0.0));
    }
    if cells.iter().any(|cell| as_number(&cell.text).is_some_and(|x| x.fract() != 0.0))
        && let Some(cell) = cells.iter().find(|cell| as_number(&cell.text).is_none())
    {
        let what = format!(
            "found {:?} in a target column that also holds fractions; remove the row to predict numbers, or say that \
             the task is classification",
            cell.text
        );
        return Err(table.error_at(cell, column, what));
    }
    if found > MANY_CLASSES && !repeated {
        let what = format!(
            "the target column {name:?} has {found} distinct texts in {} rows, too many to be classes; choose another \
             target column, or say that the task is classification",
            cells.len()
        );
        return Err(table.error(what));
    }
    Ok(true)
}

/// One-hot rows of the labels in `cells`, each of which must be one of `classes`.
pub(super) fn encode_classes(table: &Table<'_>, column: usize, cells: &[Cell], classes: &[String]) -> Result<Matrix> {
    let by_text: HashMap<&str, usize> = classes.iter().map(String::as_str).zip(0..).collect();
    let by_number: HashMap<u64, usize> =
        classes.iter().zip(0..).filter_map(|(class, i)| Some((as_number(class)?.to_bits(), i))).collect();
    let label = |cell: &Cell| {
        let text = cell.text.as_str();
        let known = by_text.get(text).or_else(|| by_number.get(&as_number(text)?.to_bits()));
        known.copied().ok_or_else(|| {
            let hint = match as_number(text) {
                Some(_) => String::new(),
                None => did_you_mean(text, classes.iter().map(String::as_str)),
            };
            let count = classes.len();
            let what = format!("the label {text:?} is none of the {count} known classes{hint}: {}", list(classes));
            table.error_at(cell, column, what)
        })
    };
    let labels: Vec<usize> = cells.iter().map(label).collect::<Result<_>>()?;
    Ok(Matrix::one_hot(&labels, classes.len()))
}

/// The numbers in `cells`, one column of the matrix a column of the table.
pub(super) fn encode_numbers(table: &Table<'_>, columns: &[usize], cells: &[Vec<Cell>]) -> Result<Matrix> {
    let rows = cells.first().map_or(0, Vec::len);
    let mut matrix = Matrix::zeros(rows, columns.len());
    for (i, (column, cells)) in columns.iter().zip(cells).enumerate() {
        for (row, cell) in cells.iter().enumerate() {
            matrix.data[row * columns.len() + i] =
                number(&cell.text).map_err(|what| table.error_at(cell, *column, format!("target: {what}")))?;
        }
    }
    Ok(matrix)
}
