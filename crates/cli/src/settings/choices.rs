//! Settings that are a number or a word.

use clap::ValueEnum;
use serde::{Deserialize, Serialize};
use std::fmt::{self, Display, Formatter};
use std::str::FromStr;
use wgrad::Error;
use wgrad::loss::Reduction;

/// What the sum of a loss is divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, ValueEnum, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
#[value(rename_all = "snake_case")]
pub enum ReductionChoice {
    /// What the loss says of itself: the samples, or every output of every sample
    Mean,
    /// The number of samples
    Samples,
    /// The number of outputs of all samples
    Elements,
    /// Nothing
    Sum,
}

impl ReductionChoice {
    /// The reduction to put in the place of the loss's own.
    pub fn replaces(self) -> Option<Reduction> {
        match self {
            ReductionChoice::Mean => None,
            ReductionChoice::Samples => Some(Reduction::Samples),
            ReductionChoice::Elements => Some(Reduction::Elements),
            ReductionChoice::Sum => Some(Reduction::Sum),
        }
    }
}

/// How many rows are on the device at a time.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum MicroBatch {
    /// As many as fit.
    Auto,
    /// At most so many.
    Rows(usize),
}

impl FromStr for MicroBatch {
    type Err = Error;

    fn from_str(text: &str) -> Result<Self, Error> {
        match (text, text.parse()) {
            ("auto", _) => Ok(MicroBatch::Auto),
            (_, Ok(rows)) if rows > 0 => Ok(MicroBatch::Rows(rows)),
            _ => Err(Error::Config(format!("expected a number of rows, at least 1, or auto, found {text:?}"))),
        }
    }
}

impl Display for MicroBatch {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            MicroBatch::Auto => f.pad("auto"),
            MicroBatch::Rows(rows) => rows.fmt(f),
        }
    }
}
