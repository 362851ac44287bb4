//! Reading data, and getting it ready for training: files of many formats, categories, missing values, scaling, splits, the
//! bundled digits, synthetic data.

mod csv;
mod digits;
mod draft;
mod encoding;
mod files;
mod format;
mod formats;
mod input;
mod join;
mod matrix;
mod npy;
mod numbers;
mod scaling;
mod split;
mod spool;
mod survey;
mod synthetic;
mod table;
mod target;
mod weights;

pub use csv::{read_columns, read_columns_csv, read_csv, read_csv_as, read_dataset_csv_like, read_inputs_csv};
pub use encoding::{Encoding, InputColumn, InputKind, Missing, Unknown};
pub use files::write_atomic;
pub use format::Format;
pub use matrix::Matrix;
#[cfg(feature = "npz")]
pub(crate) use npy::read_npy_bytes;
pub use npy::{read_npy, read_npy_targets, write_npy};
pub use numbers::Numbers;
pub use scaling::{Scaling, ScalingKind};
pub use split::{Split, epoch_order, folds, split};
pub use survey::{ColumnSummary, ReadOptions, Survey, read_inputs};
pub use synthetic::{Shape, Synthetic};
pub use target::TaskHint;
pub use weights::ClassWeights;

use serde::{Deserialize, Serialize};

use crate::{Error, Result};

/// What a network learns to predict.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Task {
    /// One class out of several; the network has one output a class, in this order.
    Classification {
        /// The names of the classes.
        classes: Vec<String>,
        /// The column that they were read from, where it is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        column: Option<String>,
    },
    /// One or more numbers; the network has one output each, in this order.
    Regression {
        /// The names of the numbers.
        outputs: Vec<String>,
    },
}

impl Task {
    /// Classes of these names, read from nowhere.
    pub fn classes(names: impl IntoIterator<Item = impl Into<String>>) -> Task {
        Task::Classification { classes: names.into_iter().map(Into::into).collect(), column: None }
    }

    /// The columns that hold the answers, where they are known.
    pub fn columns(&self) -> &[String] {
        match self {
            Task::Classification { column, .. } => column.as_slice(),
            Task::Regression { outputs } => outputs,
        }
    }

    /// Whether the answers are the same, whatever column they were read from.
    pub fn agrees_with(&self, other: &Task) -> bool {
        match (self, other) {
            (Task::Classification { classes, .. }, Task::Classification { classes: others, .. }) => classes == others,
            _ => self == other,
        }
    }

    /// How many outputs the network needs.
    pub fn outputs(&self) -> usize {
        match self {
            Task::Classification { classes, .. } => classes.len(),
            Task::Regression { outputs } => outputs.len(),
        }
    }
}

/// Rows of inputs, each with what the network should answer.
#[derive(Clone, Debug, PartialEq)]
pub struct Dataset {
    /// What to call it in reports: for a file, its name without the ending.
    pub name: String,
    /// The names of the input columns.
    pub features: Vec<String>,
    /// What the targets mean.
    pub task: Task,
    /// The inputs, [rows, features].
    pub inputs: Matrix,
    /// The targets, [rows, outputs]; for classification, one-hot rows.
    pub targets: Matrix,
    /// How much each row counts, [rows]: finite, at least 0, not all 0. Without them all rows count the same.
    pub weights: Option<Vec<f32>>,
}

impl Dataset {
    /// The bundled handwritten digits: 1,797 images of 8 x 8 pixels from 0 to 16, ten classes.
    pub fn digits() -> Dataset {
        digits::load()
    }

    /// How many rows it has.
    pub fn rows(&self) -> usize {
        self.inputs.rows
    }

    /// The rows `rows`, in that order; a row may come more than once.
    ///
    /// # Panics
    /// Where a row number is not below [`Dataset::rows`].
    pub fn select(&self, rows: &[u32]) -> Dataset {
        Dataset {
            name: self.name.clone(),
            features: self.features.clone(),
            task: self.task.clone(),
            inputs: self.inputs.select(rows),
            targets: self.targets.select(rows),
            weights: self.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row as usize]).collect()),
        }
    }

    /// Each row's class, counted from 0; `None` for regression.
    pub fn labels(&self) -> Option<Vec<u32>> {
        Some(self.each_label()?.collect())
    }

    /// The same, one after another.
    fn each_label(&self) -> Option<impl Iterator<Item = u32>> {
        let Task::Classification { .. } = self.task else { return None };
        let label = |row: &[f32]| {
            let mut best = 0;
            for (class, value) in row.iter().enumerate() {
                if *value > row[best] {
                    best = class;
                }
            }
            best as u32
        };
        let cols = self.targets.cols.max(1);
        Some(self.targets.blocks().flat_map(move |block| block.chunks_exact(cols)).map(label))
    }

    /// Checks that it is sound: lengths and widths agree, there are rows, every number is finite, and some row counts.
    pub fn validate(&self) -> Result<()> {
        let same = |what: &str, expected: usize, found: usize| match expected == found {
            true => Ok(()),
            false => Err(Error::shape(format!("{}: {what}", self.name), expected, found)),
        };
        same("numbers in the inputs", self.inputs.rows.saturating_mul(self.inputs.cols), self.inputs.data.len())?;
        same("numbers in the targets", self.targets.rows.saturating_mul(self.targets.cols), self.targets.data.len())?;
        same("rows of targets", self.inputs.rows, self.targets.rows)?;
        same("names of the input columns", self.inputs.cols, self.features.len())?;
        same("columns of targets", self.task.outputs(), self.targets.cols)?;
        if self.inputs.rows == 0 || self.inputs.cols == 0 {
            let found = format!("found {} rows of {} inputs", self.inputs.rows, self.inputs.cols);
            return Err(Error::data(&self.name, format!("expected at least one row with at least one input, {found}")));
        }
        self.inputs.check_finite(&format!("{}, inputs", self.name))?;
        self.targets.check_finite(&format!("{}, targets", self.name))?;
        self.weights.as_ref().map_or(Ok(()), |weights| self.validate_weights(weights))
    }

    fn validate_weights(&self, weights: &[f32]) -> Result<()> {
        if weights.len() != self.rows() {
            return Err(Error::shape(format!("{}: weights of the rows", self.name), self.rows(), weights.len()));
        }
        if let Some(row) = weights.iter().position(|weight| !(weight.is_finite() && *weight >= 0.0)) {
            let what = format!("expected a finite number of at least 0, found {}", weights[row]);
            return Err(Error::data(format!("{}, weight of row {}", self.name, row + 1), what));
        }
        if weights.iter().all(|weight| *weight == 0.0) {
            let what = format!("all {} rows have the weight 0: expected one that counts", weights.len());
            return Err(Error::data(&self.name, what));
        }
        Ok(())
    }

    /// Checks that there is something to learn: a sound data set, and at least two classes where it has classes.
    pub fn validate_for_training(&self) -> Result<()> {
        self.validate()?;
        if let (Task::Classification { classes, .. }, Some(mut labels)) = (&self.task, self.each_label())
            && let Some(first) = labels.next()
            && labels.all(|label| label == first)
        {
            let only = classes.get(first as usize).map_or("", |class| class.as_str());
            let what = format!("all {} rows have the class {only:?}: classification needs at least two", self.rows());
            return Err(Error::data(&self.name, what));
        }
        Ok(())
    }
}
