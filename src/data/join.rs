//! Two files as one: the columns of the second behind those of the first.

use super::input::Input;
use super::table::{Column, Table, Tables};
use crate::{Error, Result};

/// The columns of two files with as many rows.
pub(super) struct Join {
    left: Box<dyn Tables>,
    right: Box<dyn Tables>,
    /// What messages call both.
    places: [String; 2],
    /// Rows of the right file that were read, of which `taken` were handed out.
    ready: Table,
    taken: usize,
    rows: usize,
}

impl Join {
    pub fn new(left: &Input, left_tables: Box<dyn Tables>, right: &Input, right_tables: Box<dyn Tables>) -> Self {
        let places = [left.place.clone(), right.place.clone()];
        Join { left: left_tables, right: right_tables, places, ready: Table::default(), taken: 0, rows: 0 }
    }

    /// More rows of the right file; false where there are none.
    fn refill(&mut self) -> Result<bool> {
        while self.taken == self.ready.rows {
            match self.right.next()? {
                Some(table) => (self.ready, self.taken) = (table, 0),
                None => return Ok(false),
            }
        }
        Ok(true)
    }

    fn differ(&self, more: usize, rows: usize) -> Error {
        let (long, short) = (&self.places[more], &self.places[1 - more]);
        Error::data(short, format!("found {rows} rows, fewer than in {long}; both need one for each example"))
    }
}

impl Tables for Join {
    fn next(&mut self) -> Result<Option<Table>> {
        let Some(mut table) = self.left.next()? else {
            return match self.refill()? {
                true => Err(self.differ(1, self.rows)),
                false => Ok(None),
            };
        };
        let mut columns: Vec<Column> = Vec::new();
        let mut done = 0;
        while done < table.rows {
            if !self.refill()? {
                return Err(self.differ(0, self.rows + done));
            }
            let count = (table.rows - done).min(self.ready.rows - self.taken);
            let range = self.taken..self.taken + count;
            if columns.is_empty() {
                columns = self.ready.columns.iter().map(Column::empty_like).collect();
            }
            for (column, more) in columns.iter_mut().zip(&self.ready.columns) {
                range.clone().for_each(|row| column.push_from(more, row));
            }
            self.taken += count;
            done += count;
        }
        self.rows += table.rows;
        table.columns.extend(columns);
        Ok(Some(table))
    }
}
