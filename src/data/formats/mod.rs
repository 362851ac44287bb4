//! The file formats, each a module with a function that opens a file.

#[cfg(feature = "columnar")]
mod columnar;
mod csv;
mod dense;
mod idx;
mod images;
mod json_lines;
mod npz;

use super::format::Format;
use super::input::Input;
use super::npy;
use super::table::Reader;
use crate::Result;

pub(super) use dense::{Dense, Element, Whole, numbered, rows_and_cols};

/// Reads what comes before the rows of `input`.
pub(super) fn open(input: &Input) -> Result<Reader> {
    match &input.format {
        Format::Csv { separator } => csv::open(input, *separator),
        Format::Npy => npy::open(input),
        Format::Npz { arrays } => npz::open(input, arrays),
        Format::Idx => idx::open(input),
        #[cfg(feature = "columnar")]
        Format::Parquet => columnar::open_parquet(input),
        #[cfg(feature = "columnar")]
        Format::Arrow => columnar::open_arrow(input),
        #[cfg(not(feature = "columnar"))]
        Format::Parquet | Format::Arrow => {
            Err(input.error("this build reads neither Parquet nor Arrow; build wgrad with the feature `columnar`"))
        }
        Format::JsonLines => json_lines::open(input),
        Format::Images => images::open(input),
    }
}
