//! A plain matrix of `f32`.

use crate::{Error, Result};

/// Numbers in rows and columns, stored row after row.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct Matrix {
    /// How many rows.
    pub rows: usize,
    /// How many columns.
    pub cols: usize,
    /// The `rows * cols` numbers, row after row.
    pub data: Vec<f32>,
}

impl Matrix {
    /// A matrix of `data`, which must hold `rows * cols` numbers.
    pub fn new(rows: usize, cols: usize, data: Vec<f32>) -> Result<Matrix> {
        if rows.checked_mul(cols) == Some(data.len()) {
            return Ok(Matrix { rows, cols, data });
        }
        Err(Error::shape(
            "the numbers of a matrix",
            format!("{rows} rows of {cols}"),
            format!("{} numbers", data.len()),
        ))
    }

    /// A matrix of zeros.
    pub fn zeros(rows: usize, cols: usize) -> Matrix {
        Matrix { rows, cols, data: vec![0.0; rows * cols] }
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

    /// The rows `rows`, in that order; a row may come more than once.
    ///
    /// # Panics
    /// Where a row number is not below `rows`.
    pub fn select(&self, rows: &[usize]) -> Matrix {
        let data = rows.iter().flat_map(|&row| self.row(row)).copied().collect();
        Matrix { rows: rows.len(), cols: self.cols, data }
    }

    /// An error that names the first NaN or infinity, where there is one; `place` says whose numbers these are.
    pub fn check_finite(&self, place: &str) -> Result<()> {
        match self.data.iter().position(|x| !x.is_finite()) {
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
