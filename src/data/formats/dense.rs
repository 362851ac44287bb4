//! Numbers of one type, row after row without anything between.

use std::io::{ErrorKind, Read};

use crate::Result;
use crate::data::input::Input;
use crate::data::table::{Column, Table, Tables, part};

/// How numbers are stored.
#[derive(Clone, Copy)]
pub struct Element {
    /// Bytes of one number.
    pub size: usize,
    /// The number that so many bytes hold.
    pub value: fn(&[u8]) -> f64,
}

impl Element {
    /// The type that NumPy calls `kind`, as in `f4`; `None` where it holds no numbers.
    pub fn of(kind: &str, big_endian: bool) -> Option<Element> {
        macro_rules! element {
            ($type:ty) => {{
                fn bytes<const N: usize>(bytes: &[u8]) -> [u8; N] {
                    std::array::from_fn(|i| bytes[i])
                }
                let value: fn(&[u8]) -> f64 = match big_endian {
                    true => |found| <$type>::from_be_bytes(bytes(found)) as f64,
                    false => |found| <$type>::from_le_bytes(bytes(found)) as f64,
                };
                Element { size: size_of::<$type>(), value }
            }};
        }
        Some(match kind {
            "f2" => Element {
                size: 2,
                value: match big_endian {
                    true => |found| half::f16::from_be_bytes([found[0], found[1]]).to_f64(),
                    false => |found| half::f16::from_le_bytes([found[0], found[1]]).to_f64(),
                },
            },
            "f4" => element!(f32),
            "f8" => element!(f64),
            "i1" => element!(i8),
            "i2" => element!(i16),
            "i4" => element!(i32),
            "i8" => element!(i64),
            "u1" => element!(u8),
            "u2" => element!(u16),
            "u4" => element!(u32),
            "u8" => element!(u64),
            "b1" => Element { size: 1, value: |found| f64::from(found[0] != 0) },
            _ => return None,
        })
    }
}

/// Rows of numbers.
pub struct Dense {
    input: Input,
    bytes: Box<dyn Read + Send>,
    element: Element,
    rows: usize,
    cols: usize,
    /// Rows that were read.
    done: usize,
}

impl Dense {
    /// `rows` rows of `cols` numbers each that begin where `bytes` stands.
    pub fn new(input: &Input, bytes: Box<dyn Read + Send>, element: Element, rows: usize, cols: usize) -> Self {
        Dense { input: input.clone(), bytes, element, rows, cols, done: 0 }
    }

    /// The next numbers, whole rows of them.
    pub fn next_numbers(&mut self) -> Result<Vec<f64>> {
        let rows = (self.rows - self.done).min(part(self.cols));
        let mut bytes = vec![0; rows * self.cols * self.element.size];
        self.bytes.read_exact(&mut bytes).map_err(|error| match error.kind() {
            ErrorKind::UnexpectedEof => {
                let what = format!("expected {} rows of {} numbers, but the file ends before", self.rows, self.cols);
                self.input.error(format!("{what}: it is cut short; write it again"))
            }
            _ => self.input.unreadable(error),
        })?;
        self.done += rows;
        if self.done == self.rows && self.bytes.read(&mut [0]).map_err(|error| self.input.unreadable(error))? > 0 {
            let what = format!("expected {} rows of {} numbers, but more bytes follow", self.rows, self.cols);
            return Err(self.input.error(format!("{what}: the file is damaged; write it again")));
        }
        Ok(bytes.chunks_exact(self.element.size).map(self.element.value).collect())
    }
}

impl Tables for Dense {
    fn next(&mut self) -> Result<Option<Table>> {
        let numbers = self.next_numbers()?;
        Ok((!numbers.is_empty()).then(|| table(&numbers, self.cols)))
    }
}

/// Rows of `cols` numbers as a table.
pub fn table(numbers: &[f64], cols: usize) -> Table {
    let column = |col| Column::Numbers(numbers.iter().skip(col).step_by(cols).copied().collect());
    Table { rows: numbers.len() / cols, columns: (0..cols).map(column).collect(), at: Vec::new() }
}

/// Numbers of which all rows are needed before the first is known.
pub struct Whole {
    numbers: Vec<f64>,
    cols: usize,
    /// Rows that were handed out.
    done: usize,
}

impl Whole {
    /// Rows of `cols` numbers each.
    pub fn new(numbers: Vec<f64>, cols: usize) -> Self {
        Whole { numbers, cols, done: 0 }
    }
}

impl Tables for Whole {
    fn next(&mut self) -> Result<Option<Table>> {
        let left = &self.numbers[self.done * self.cols..];
        let numbers = &left[..left.len().min(part(self.cols) * self.cols)];
        self.done += numbers.len() / self.cols;
        Ok((!numbers.is_empty()).then(|| table(numbers, self.cols)))
    }
}

/// The names of `cols` columns that have none.
pub fn numbered(cols: usize) -> Vec<String> {
    (1..=cols).map(|i| format!("c{i}")).collect()
}

/// The widest rows that are read: some of one are in memory at once.
const WIDEST: usize = 1 << 24;

/// The rows and columns of an array of this shape: what is behind the first dimension is one row.
pub fn rows_and_cols(shape: &[usize]) -> Result<(usize, usize), String> {
    let cols = shape.iter().skip(1).try_fold(1usize, |product, n| product.checked_mul(*n));
    match (shape.first(), cols) {
        (None | Some(0), _) | (_, Some(0)) => {
            Err(format!("expected at least one number, found the empty shape {shape:?}"))
        }
        (Some(&rows), Some(cols)) if cols <= WIDEST => Ok((rows, cols)),
        _ => Err(format!("expected rows of at most {WIDEST} numbers, found the shape {shape:?}")),
    }
}
