//! Data sets and inputs from files of which nothing but the target need be said.

use std::path::Path;

use super::encoding::Encoding;
use super::survey::{ReadOptions, Survey, read_inputs};
use super::target::TaskHint;
use super::{Dataset, Matrix, Task};
use crate::Result;

/// Reads a data set from a CSV file, or one of any other [`Format`](super::Format), and decides between classification and
/// regression.
///
/// Fields are separated by commas and may be quoted; spaces around them, blank lines, a byte order mark and any of
/// the usual line ends are accepted. The first line names the columns, each differently. Where every field of the
/// first line is a number, there is no header: the columns are then named `c1`, `c2`, ...
///
/// `target` names the target column, by default the last; several names, separated by commas, make a regression with
/// several outputs. All other columns are inputs: of finite numbers, or of texts, which are categories and become an input
/// for each. An empty field, `nan` and `inf` are errors in every column; [`Survey`] imputes them.
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
pub fn read_csv_as(path: &Path, target: Option<&str>, task: TaskHint) -> Result<Dataset> {
    Survey::new(path, &ReadOptions { target: target.map(str::to_owned), task, ..ReadOptions::default() })?.load()
}

/// Reads the inputs for a prediction from a file laid out as for [`read_csv`].
///
/// Where the header has all of `expected_features`, those columns are taken, and others (such as the target) are
/// ignored. Otherwise the file must have exactly as many columns as expected, which are taken in order.
pub fn read_inputs_csv(path: &Path, expected_features: &[String]) -> Result<Matrix> {
    read_inputs(path, None, &Encoding::numbers(expected_features), None)
}

/// Reads a data set to judge a trained network by: inputs and targets as the network's `features`, columns of numbers, and
/// `task` say. [`Survey::like`] does the same for other columns.
pub fn read_dataset_csv_like(path: &Path, features: &[String], task: &Task, target: Option<&str>) -> Result<Dataset> {
    let options = ReadOptions { target: target.map(str::to_owned), ..ReadOptions::default() };
    Survey::like(path, &options, &Encoding::numbers(features), task)?.load()
}

/// Reads a data set of numbers by the names of its columns; the file may have others.
pub fn read_columns_csv(path: &Path, inputs: &[String], targets: &[String]) -> Result<Dataset> {
    read_columns(path, &ReadOptions::default(), inputs, targets)
}

/// The same with the format and the weights of `options`.
pub fn read_columns(path: &Path, options: &ReadOptions, inputs: &[String], targets: &[String]) -> Result<Dataset> {
    Survey::by_names(path, options, inputs, targets)?.load()
}
