//! What makes numbers of the columns of a file: categories become one-hot columns, missing values are filled in.

use std::collections::HashMap;
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

use super::table::{Cell, Table, list, missing};
use super::{Matrix, Scaling, ScalingKind};
use crate::error::did_you_mean;
use crate::{Error, Result};

/// What becomes of missing values: empty fields, `NA`, `N/A`, `NaN`, `null`, `?`, and NaN among numbers.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum Missing {
    /// They are an error.
    #[default]
    Error,
    /// The mean of the column's training rows; in a column of categories, the most frequent one.
    Mean,
    /// Their median; in a column of categories, the most frequent one.
    Median,
    /// Their most frequent value, of several the least.
    MostFrequent,
    /// This number; in a column of categories, the category of this name. Where a column has no missing values in training and
    /// this does not fit it, they stay an error.
    Constant(String),
}

/// What becomes of a category that was not seen in training.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Unknown {
    /// It is an error.
    #[default]
    Error,
    /// It has a column of its own.
    Column,
    /// All the columns of the categories are 0.
    Ignore,
}

impl Missing {
    const NAMES: [&str; 5] = ["error", "mean", "median", "most_frequent", "constant:VALUE"];
}

impl Display for Missing {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Missing::Error => f.write_str("error"),
            Missing::Mean => f.write_str("mean"),
            Missing::Median => f.write_str("median"),
            Missing::MostFrequent => f.write_str("most_frequent"),
            Missing::Constant(value) => write!(f, "constant:{value}"),
        }
    }
}

impl FromStr for Missing {
    type Err = Error;

    /// `error`, `mean`, `median`, `most_frequent` or `constant:VALUE`.
    fn from_str(text: &str) -> Result<Missing> {
        Ok(match text {
            "error" => Missing::Error,
            "mean" => Missing::Mean,
            "median" => Missing::Median,
            "most_frequent" => Missing::MostFrequent,
            _ => match text.split_once(':') {
                Some(("constant", value)) if !value.is_empty() => Missing::Constant(value.to_owned()),
                _ => {
                    let (hint, known) = (did_you_mean(text, Self::NAMES), Self::NAMES.join(", "));
                    let what = format!("unknown treatment of missing values {text:?}{hint}; it is one of {known}");
                    return Err(Error::Config(what));
                }
            },
        })
    }
}

impl Unknown {
    const ALL: [(&'static str, Unknown); 3] =
        [("error", Unknown::Error), ("column", Unknown::Column), ("ignore", Unknown::Ignore)];
}

impl Display for Unknown {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(Self::ALL.iter().find(|(_, unknown)| unknown == self).map_or("", |(name, _)| name))
    }
}

impl FromStr for Unknown {
    type Err = Error;

    /// `error`, `column` or `ignore`.
    fn from_str(text: &str) -> Result<Unknown> {
        let found = Self::ALL.iter().find(|(name, _)| *name == text).map(|(_, unknown)| *unknown);
        found.ok_or_else(|| {
            let hint = did_you_mean(text, Self::ALL.map(|(name, _)| name));
            Error::Config(format!("unknown treatment of new categories {text:?}{hint}; it is error, column or ignore"))
        })
    }
}

/// What becomes of one column of a file.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct InputColumn {
    /// Its name in the file.
    pub name: String,
    /// What it holds.
    #[serde(flatten)]
    pub kind: InputKind,
}

/// What a column of inputs holds.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum InputKind {
    /// Numbers, which become one input as they are.
    Number {
        /// What stands for a missing one, finite; `None` where that is an error.
        missing: Option<f32>,
    },
    /// Categories, which become one input each: 1 in the rows that have it, else 0.
    Category {
        /// The categories, all different, in the order of the inputs.
        values: Vec<String>,
        /// The place in `values` of the category that stands for a missing one; `None` where that is an error.
        missing: Option<usize>,
        /// What becomes of others; for [`Unknown::Column`] there is one more input.
        unknown: Unknown,
    },
}

/// What makes a network's inputs of the columns of a file. It is fitted to training data and saved with the model.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Encoding {
    /// The columns that are used, in the order of the inputs.
    pub columns: Vec<InputColumn>,
}

impl InputColumn {
    /// A column of numbers of which none may be missing.
    pub fn number(name: impl Into<String>) -> Self {
        InputColumn { name: name.into(), kind: InputKind::Number { missing: None } }
    }

    /// How many inputs the column becomes.
    pub fn width(&self) -> usize {
        match &self.kind {
            InputKind::Number { .. } => 1,
            InputKind::Category { values, unknown, .. } => values.len() + usize::from(*unknown == Unknown::Column),
        }
    }
}

impl Encoding {
    /// Columns of numbers of which none may be missing.
    pub fn numbers(names: &[String]) -> Self {
        Encoding { columns: names.iter().map(InputColumn::number).collect() }
    }

    /// Whether each column becomes the input of the same name, as it is.
    pub fn is_plain(&self) -> bool {
        self.columns.iter().all(|column| column.kind == InputKind::Number { missing: None })
    }

    /// How many inputs there are.
    pub fn width(&self) -> usize {
        self.columns.iter().map(InputColumn::width).sum()
    }

    /// The names of the inputs: those of the columns of numbers, and `COLUMN=CATEGORY`, where others share `COLUMN=?`.
    pub fn features(&self) -> Vec<String> {
        let mut features = Vec::with_capacity(self.width());
        for InputColumn { name, kind } in &self.columns {
            match kind {
                InputKind::Number { .. } => features.push(name.clone()),
                InputKind::Category { values, unknown, .. } => {
                    features.extend(values.iter().map(|value| format!("{name}={value}")));
                    features.extend((*unknown == Unknown::Column).then(|| format!("{name}=?")));
                }
            }
        }
        features
    }

    /// Checks that the columns have different names, categories are different, and what stands for missing values exists.
    pub fn validate(&self) -> Result<()> {
        let refuse = |name: &str, what: &str| Err(Error::data(format!("the encoding of column {name:?}"), what));
        let mut names: Vec<&str> = self.columns.iter().map(|column| column.name.as_str()).collect();
        names.sort_unstable();
        if let Some(pair) = names.windows(2).find(|pair| pair[0] == pair[1]) {
            return refuse(pair[0], "expected once, found twice");
        }
        for InputColumn { name, kind } in &self.columns {
            match kind {
                InputKind::Number { missing: Some(x) } if !x.is_finite() => {
                    return refuse(name, "expected a finite number for missing values");
                }
                InputKind::Category { values, missing, .. } => {
                    let mut sorted: Vec<_> = values.iter().collect();
                    sorted.sort_unstable();
                    if values.is_empty() || sorted.windows(2).any(|pair| pair[0] == pair[1]) {
                        return refuse(name, "expected categories, each once");
                    }
                    if missing.is_some_and(|missing| missing >= values.len()) {
                        return refuse(name, "expected one of the categories for missing values");
                    }
                }
                InputKind::Number { .. } => {}
            }
        }
        Ok(())
    }

    /// Fits what stands for missing values, which are NaN in `inputs`: the training rows, [rows, inputs].
    ///
    /// # Errors
    /// Where a column has nothing but missing values, or where a constant has to stand for a number and is none.
    pub fn fit_missing(&mut self, how: &Missing, inputs: &Matrix) -> Result<()> {
        if *how == Missing::Error {
            return Ok(());
        }
        let mut first = 0;
        for column in &mut self.columns {
            let width = column.width();
            let bad = |what: String| Err(Error::data(format!("missing values in column {:?}", column.name), what));
            match &mut column.kind {
                InputKind::Number { missing } => {
                    let mut values: Vec<f32> = inputs.column(first).filter(|x| !x.is_nan()).collect();
                    if values.is_empty() && !matches!(how, Missing::Constant(_)) {
                        return bad("all values are missing in the training rows; ignore the column".into());
                    }
                    let gaps = values.len() < inputs.rows;
                    *missing = match how {
                        Missing::Mean => {
                            Some((values.iter().map(|x| f64::from(*x)).sum::<f64>() / values.len() as f64) as f32)
                        }
                        Missing::Median => Some(median(&mut values)),
                        Missing::Constant(text) => match text.parse::<f32>() {
                            Ok(x) if x.is_finite() => Some(x),
                            _ if gaps => {
                                return bad(format!("expected a finite number for them, found the constant {text:?}"));
                            }
                            _ => None,
                        },
                        Missing::MostFrequent | Missing::Error => Some(most_frequent(&mut values)),
                    };
                }
                InputKind::Category { values, missing, .. } => {
                    *missing = match how {
                        Missing::Constant(text) => values.iter().position(|value| value == text),
                        _ => {
                            let count = |i: usize| inputs.column(first + i).filter(|x| *x == 1.0).count();
                            let counts: Vec<_> = (0..values.len()).map(count).collect();
                            // Of several, the first.
                            (0..counts.len()).rev().max_by_key(|i| counts[*i])
                        }
                    };
                }
            }
            first += width;
        }
        Ok(())
    }

    /// Fills in what stands for missing values, which are NaN in `inputs`, [rows, inputs].
    pub fn fill(&self, inputs: &mut Matrix) {
        inputs.each_row_mut(|_, row| {
            let mut rest = row;
            for column in &self.columns {
                let (cells, after) = rest.split_at_mut(column.width().min(rest.len()));
                if cells.first().is_some_and(|cell| cell.is_nan()) {
                    match &column.kind {
                        InputKind::Number { missing } => cells.fill(missing.unwrap_or(f32::NAN)),
                        InputKind::Category { missing, .. } => {
                            cells.fill(0.0);
                            missing.iter().for_each(|place| cells[*place] = 1.0);
                        }
                    }
                }
                rest = after;
            }
        });
    }

    /// Fits a scaling to the training rows `inputs`, [rows, inputs]. Categories, which are 0 or 1, are left alone.
    pub fn fit_scaling(&self, kind: ScalingKind, inputs: &Matrix) -> Scaling {
        let mut scaling = Scaling::fit(kind, inputs);
        let mut first = 0;
        for column in &self.columns {
            let range = first..first + column.width();
            if let InputKind::Category { .. } = column.kind {
                scaling.shift[range.clone()].fill(0.0);
                scaling.scale[range.clone()].fill(1.0);
            }
            first = range.end;
        }
        scaling
    }
}

fn median(values: &mut [f32]) -> f32 {
    let middle = values.len() / 2;
    let (below, upper, _) = values.select_nth_unstable_by(middle, f32::total_cmp);
    let (upper, lower) = (*upper, below.iter().copied().max_by(f32::total_cmp));
    match lower {
        Some(lower) if values.len().is_multiple_of(2) => ((f64::from(lower) + f64::from(upper)) / 2.0) as f32,
        _ => upper,
    }
}

fn most_frequent(values: &mut [f32]) -> f32 {
    // -0 and 0 are one value.
    values.iter_mut().for_each(|x| *x += 0.0);
    values.sort_unstable_by(f32::total_cmp);
    let runs = values.chunk_by(|a, b| a == b);
    runs.fold((0, 0.0), |best, run| if run.len() > best.0 { (run.len(), run[0]) } else { best }).1
}

/// Encodes rows of tables.
pub(super) struct Encoder<'a> {
    /// The columns with their places in the tables, and the place of each category.
    columns: Vec<(&'a InputColumn, usize, HashMap<&'a str, usize>)>,
    /// Missing values become NaN, since what stands for them is not known yet.
    keep_missing: bool,
}

impl<'a> Encoder<'a> {
    /// For tables in which the columns of `encoding` are at `places`.
    pub fn new(encoding: &'a Encoding, places: &[usize], keep_missing: bool) -> Self {
        let columns = encoding.columns.iter().zip(places).map(|(column, &place)| {
            let categories = match &column.kind {
                InputKind::Number { .. } => HashMap::new(),
                InputKind::Category { values, .. } => values.iter().map(String::as_str).zip(0..).collect(),
            };
            (column, place, categories)
        });
        Encoder { columns: columns.collect(), keep_missing }
    }

    /// Encodes a row into `inputs`. An error says the column's place in the table and what is wrong.
    pub fn encode(&self, table: &Table, row: usize, inputs: &mut [f32]) -> Result<(), (usize, String)> {
        let mut rest = inputs;
        for (column, place, categories) in &self.columns {
            let (out, after) = rest.split_at_mut(column.width());
            rest = after;
            let cell = table.columns[*place].cell(row);
            match (&column.kind, cell) {
                (_, Cell::Missing(_)) if self.keep_missing => out.fill(f32::NAN),
                (InputKind::Number { missing: Some(x) }, Cell::Missing(_)) => out[0] = *x,
                (InputKind::Number { .. }, cell) => out[0] = cell.number().map_err(|what| (*place, what))?,
                (InputKind::Category { missing: known, .. }, Cell::Missing(found)) => {
                    out.fill(0.0);
                    let known = known.ok_or_else(|| (*place, missing(found)))?;
                    out[known] = 1.0;
                }
                (InputKind::Category { values, unknown, .. }, cell) => {
                    out.fill(0.0);
                    let text = match cell {
                        Cell::Text(text) => categories.get(text).copied(),
                        cell => categories.get(cell.text().as_str()).copied(),
                    };
                    match (text, unknown) {
                        (Some(category), _) => out[category] = 1.0,
                        (None, Unknown::Column) => out[values.len()] = 1.0,
                        (None, Unknown::Ignore) => {}
                        (None, Unknown::Error) => {
                            let text = cell.text();
                            let hint = did_you_mean(&text, values.iter().map(String::as_str));
                            let count = values.len();
                            let known = format!("none of the {count} known categories{hint}: {}", list(values));
                            return Err((*place, format!("the category {text:?} is {known}")));
                        }
                    }
                }
            }
        }
        Ok(())
    }
}
