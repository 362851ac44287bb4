//! What a column of inputs holds, found out cell by cell.

use std::collections::HashSet;

use super::{ColumnSummary, ReadOptions};
use crate::Result;
use crate::data::encoding::{InputColumn, InputKind, Missing};
use crate::data::input::Input;
use crate::data::table::{Cell, Column, Table, missing};
use crate::data::target::Spot;

/// Above this, distinct texts are taken for something else than categories, unless each is in two rows on average.
const MANY_CATEGORIES: usize = 50;
/// Above this, one-hot inputs would fill the memory.
const MAX_CATEGORIES: usize = 10_000;

/// What a column of inputs holds.
pub struct Profile {
    forced: bool,
    refuse_missing: bool,
    missing: usize,
    /// Whether some value is a number.
    numbers: bool,
    /// The first value that is none.
    first_text: Option<(Spot, String)>,
    distinct: HashSet<String>,
    many: bool,
}

impl Profile {
    pub fn new(forced: bool, refuse_missing: bool) -> Self {
        Profile {
            forced,
            refuse_missing,
            missing: 0,
            numbers: false,
            first_text: None,
            distinct: HashSet::new(),
            many: false,
        }
    }

    /// Takes rows of a column, and gives their numbers as inputs are: NaN where they are missing, and fewer where some value is
    /// no number.
    pub fn add(&mut self, input: &Input, name: &str, column: &Column, table: &Table, first: usize) -> Result<Vec<f32>> {
        let mut numbers = Vec::with_capacity(table.rows);
        for row in 0..table.rows {
            let spot = Spot { row: first + row, at: table.at.get(row).copied() };
            let bad = |what| input.error_at(spot.row, spot.at, name, what);
            let cell = column.cell(row);
            match cell {
                Cell::Missing(found) if self.refuse_missing => {
                    return Err(bad(format!("{}, or have missing values imputed", missing(found))));
                }
                Cell::Missing(_) => {
                    self.missing += 1;
                    numbers.push(f32::NAN);
                }
                _ if self.forced => self.take(cell),
                Cell::Number(x) => {
                    self.numbers = true;
                    if !(x as f32).is_finite() {
                        return Err(bad(cell.number().err().unwrap_or_default()));
                    }
                    numbers.push(x as f32);
                }
                Cell::Text(text) => match text.parse::<f32>() {
                    Ok(x) if x.is_finite() => {
                        self.numbers = true;
                        numbers.push(x);
                    }
                    Ok(_) => return Err(bad(cell.number().err().unwrap_or_default())),
                    Err(_) => {
                        if self.first_text.is_none() {
                            self.first_text = Some((spot, text.to_owned()));
                        }
                        self.take(cell);
                    }
                },
            }
        }
        Ok(numbers)
    }

    pub fn take(&mut self, cell: Cell<'_>) {
        let known = match cell {
            Cell::Text(text) => self.distinct.contains(text),
            _ => false,
        };
        if !known && !self.many {
            self.distinct.insert(cell.text());
            self.many = self.distinct.len() > MAX_CATEGORIES;
        }
    }

    pub fn finish(
        self,
        input: &Input,
        name: &str,
        rows: usize,
        options: &ReadOptions,
    ) -> Result<(InputColumn, ColumnSummary)> {
        let summary = |categories| ColumnSummary { name: name.to_owned(), categories, missing: self.missing };
        if self.missing == rows {
            let what = format!("column {name:?} has no value in any row; ignore it");
            return Err(input.error(what));
        }
        if !self.forced && self.numbers {
            return match &self.first_text {
                None => Ok((InputColumn::number(name), summary(None))),
                Some((spot, text)) => {
                    let what = format!("expected a number, found {text:?}; where the values are categories, say so");
                    Err(input.error_at(spot.row, spot.at, name, what))
                }
            };
        }
        let found = self.distinct.len();
        if self.many || (!self.forced && found > MANY_CATEGORIES && 2 * found > rows) {
            let more = if self.many { "more than " } else { "" };
            let found = if self.many { MAX_CATEGORIES } else { found };
            let what =
                format!("column {name:?} has {more}{found} distinct texts in {rows} rows, too many to be categories");
            return Err(input.error(format!("{what}; ignore it, or name it categorical, which may have up to 10000")));
        }
        let mut values: Vec<String> = self.distinct.iter().cloned().collect();
        match values.iter().map(|value| value.parse::<f64>().ok()).collect::<Option<Vec<_>>>() {
            Some(_) => values.sort_by(|a, b| {
                let number = |text: &String| text.parse::<f64>().unwrap_or(f64::NAN);
                number(a).total_cmp(&number(b)).then_with(|| a.cmp(b))
            }),
            None => values.sort_unstable(),
        }
        if let (Missing::Constant(value), 1..) = (&options.missing, self.missing)
            && !values.contains(value)
        {
            values.push(value.clone());
        }
        let summary = summary(Some(values.len()));
        let kind = InputKind::Category { values, missing: None, unknown: options.unknown };
        Ok((InputColumn { name: name.to_owned(), kind }, summary))
    }
}
