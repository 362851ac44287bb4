//! A plain matrix of `f32`.

use std::path::Path;

use super::Numbers;
use crate::{Error, Result};

/// Numbers in a block of rows.
const BLOCK: usize = 1 << 22;

/// Numbers in rows and columns, stored row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub cols: usize,
    /// The `rows * cols` numbers, row after row.
    pub data: Numbers,
}

impl Matrix {
    /// A matrix of `data`, which must hold `rows * cols` numbers.
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Result<Matrix> {
        if rows.checked_mul(cols) == Some(data.len()) {
            return Ok(Matrix { rows, cols, data: data.into() });
        }
        Err(Error::shape(
            "the numbers of a matrix",
            format!("{rows} rows of {cols}"),
            format!("{} numbers", data.len()),
        ))
    }

    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Matrix {
        Matrix { rows, cols, data: vec![0.0; rows * cols].into() }
    }

    /// A matrix of zeros in a temporary file, in the folder `near` where that can be written.
    pub(crate) fn zeros_in_file(rows: usize, cols: usize, near: Option<&Path>) -> Result<Matrix> {
        let data =
            rows.checked_mul(cols).ok_or_else(|| Error::shape("the numbers of a matrix", "fewer", "too many"))?;
        let data = Numbers::in_file(data, near).map_err(|error| {
            let what = format!("cannot hold {rows} rows of {cols} numbers ({error}); free some space, or set TMPDIR");
            Error::data("a temporary file", what)
        })?;
        Ok(Matrix { rows, cols, data })
    }

    /// The numbers in blocks of whole rows. Where they lie in a file, one block is in memory at a time.
    pub fn blocks(&self) -> impl Iterator<Item = &[f32]> {
        self.data.chunks((BLOCK / self.cols.max(1)).max(1) * self.cols.max(1)).inspect(|_| self.data.release())
    }

    /// Changes the rows one after another, with their numbers.
    pub(crate) fn each_row_mut(&mut self, mut change: impl FnMut(usize, &mut [f32])) {
        let cols = self.cols.max(1);
        for first in (0..self.rows).step_by((BLOCK / cols).max(1)) {
            let rows = first..self.rows.min(first + (BLOCK / cols).max(1));
            let block = &mut self.data[rows.start * self.cols..rows.end * self.cols];
            rows.zip(block.chunks_exact_mut(cols)).for_each(|(i, row)| change(i, row));
            self.data.release();
        }
    }

    /// One row a label: 1 in the label's column, 0 elsewhere. Labels must be below `classes`.
    pub(crate) fn one_hot(labels: &[usize], classes: usize) -> Matrix {
        let mut matrix = Matrix::zeros(labels.len(), classes);
        for (row, label) in labels.iter().enumerate() {
            matrix.data[row * classes + label] = 1.0;
        }
        matrix
    }

    /// Row `i`, counted from 0.
    ///
    /// # Panics
    /// Where `i` is not below `rows`.
    pub fn row(&self, i: usize) -> &[f32] {
        &self.data[i * self.cols..(i + 1) * self.cols]
    }

    /// The numbers of column `i`, counted from 0.
    ///
    /// # Panics
    /// Where `i` is not below `cols`.
    pub fn column(&self, i: usize) -> impl Iterator<Item = f32> + '_ {
        assert!(i < self.cols, "column {i} of {}", self.cols);
        self.blocks().flat_map(move |block| block.iter().skip(i).step_by(self.cols)).copied()
    }

    /// The rows `rows`, in that order; a row may come more than once.
    ///
    /// # Panics
    /// Where a row number is not below `rows`.
    pub fn select(&self, rows: &[u32]) -> Matrix {
        let data = rows.iter().flat_map(|&row| self.row(row as usize)).copied().collect();
        Matrix { rows: rows.len(), cols: self.cols, data }
    }

    /// An error that names the first NaN or infinity, where there is one; `place` says whose numbers these are.
    pub fn check_finite(&self, place: &str) -> Result<()> {
        let mut before = 0;
        let bad = self.blocks().find_map(|block| {
            before += block.len();
            let found = block.iter().position(|x| !x.is_finite())?;
            Some(before - block.len() + found)
        });
        match bad {
            None => Ok(()),
            Some(i) => Err(Error::data(
                format!("{place}, row {}, column {}", i / self.cols.max(1) + 1, i % self.cols.max(1) + 1),
                format!("expected a finite 32-bit number, found {}: remove the row or fill the value in", self.data[i]),
            )),
        }
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn holds_rows_and_selects_them() {
        let matrix = Matrix::new(3, 2, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap();
        assert_eq!(matrix.row(1), [3.0, 4.0]);
        assert_eq!(matrix.select(&[2, 0, 2]).data, [5.0, 6.0, 1.0, 2.0, 5.0, 6.0]);
        assert_eq!(matrix.select(&[]), Matrix::zeros(0, 2));
        assert_eq!(Matrix::one_hot(&[1, 0], 3).data, [0.0, 1.0, 0.0, 1.0, 0.0, 0.0]);
    }

    #[test]
    fn refuses_a_wrong_length() {
        let error = Matrix::new(2, 3, vec![0.0; 5]).unwrap_err();
        assert_eq!(error.to_string(), "the numbers of a matrix: expected 2 rows of 3, found 5 numbers");
        assert!(Matrix::new(usize::MAX, 2, vec![]).is_err());
    }

    #[test]
    fn names_the_number_that_is_not_finite() {
        let mut matrix = Matrix::zeros(2, 3);
        assert!(matrix.check_finite("x").is_ok());
        matrix.data[5] = f32::NEG_INFINITY;
        let text = matrix.check_finite("x.npy").unwrap_err().to_string();
        assert!(text.starts_with("x.npy, row 2, column 3: ") && text.contains("found -inf"), "{text}");
    }
}
