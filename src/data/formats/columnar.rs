//! Apache Parquet, and Arrow's IPC format.

mod claims;
mod ipc;
mod pages;

use arrow_array::cast::{AsArray, as_boolean_array};
use arrow_array::types::{
    Date32Type, Date64Type, Float16Type, Float32Type, Float64Type, Int8Type, Int16Type, Int32Type, Int64Type,
    UInt8Type, UInt16Type, UInt32Type, UInt64Type,
};
use arrow_array::{Array, ArrowPrimitiveType, RecordBatch};
use arrow_ipc::reader::{FileReader, StreamReader};
use arrow_schema::{ArrowError, DataType, Schema};
use parquet::arrow::arrow_reader::{ArrowReaderOptions, ParquetRecordBatchReaderBuilder};
use std::io::{BufReader, Read, Seek};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::Result;
use crate::data::input::Input;
use crate::data::table::{Column, Reader, Table, Tables, Texts, part};

pub fn open_parquet(input: &Input) -> Result<Reader> {
    let refused = |what| input.error(format!("cannot be read as a Parquet file ({what}); write it again"));
    let damaged = |error: parquet::errors::ParquetError| refused(error.to_string());
    let mut start = [0; 4];
    if input.file()?.read_exact(&mut start).is_err() || &start != b"PAR1" {
        return Err(input.error("cannot be read as a Parquet file: expected it to begin with PAR1; write it again"));
    }
    // What is stored says enough; what Arrow made of it could be types that hold no more than it.
    let options = ArrowReaderOptions::new().with_skip_arrow_metadata(true);
    let file = input.file()?;
    let builder = caught(|| ParquetRecordBatchReaderBuilder::try_new_with_options(file, options))
        .ok_or_else(|| input.error(format!("cannot be read as a Parquet file: {DAMAGED}")))?
        .map_err(damaged)?;
    let schema = builder.schema().clone();
    check_types(input, &schema)?;
    let checked = caught(|| pages::check(input.file()?, builder.metadata()).map_err(refused));
    checked.ok_or_else(|| input.error(format!("cannot be read as a Parquet file: {DAMAGED}")))??;
    let rows = part(schema.fields().len());
    let batches = builder.with_batch_size(rows).build().map_err(damaged)?;
    Ok(open(input, "Parquet", &schema, Box::new(batches)))
}

pub fn open_arrow(input: &Input) -> Result<Reader> {
    let damaged = |error: ArrowError| input.error(format!("cannot be read as an Arrow file ({error}); write it again"));
    let refused = || input.error(format!("cannot be read as an Arrow file: {DAMAGED}"));
    let mut file = BufReader::new(input.file()?);
    let mut start = [0; 6];
    let whole = file.read_exact(&mut start).is_ok() && &start == b"ARROW1";
    ipc::check(&mut file, whole)
        .map_err(|what| input.error(format!("cannot be read as an Arrow file ({what}); write it again")))?;
    file.rewind().map_err(|error| input.unreadable(error))?;
    if whole {
        let batches = caught(|| FileReader::try_new(file, None)).ok_or_else(refused)?.map_err(damaged)?;
        let schema = batches.schema();
        check_types(input, &schema)?;
        return Ok(open(input, "Arrow", &schema, Box::new(batches)));
    }
    let batches = caught(|| StreamReader::try_new(file, None)).ok_or_else(refused)?.map_err(damaged)?;
    let schema = batches.schema();
    check_types(input, &schema)?;
    Ok(open(input, "Arrow", &schema, Box::new(batches)))
}

type Batches = Box<dyn Iterator<Item = Result<RecordBatch, ArrowError>> + Send>;

fn open(input: &Input, format: &'static str, schema: &Schema, batches: Batches) -> Reader {
    let names: Vec<String> = schema.fields().iter().map(|field| field.name().clone()).collect();
    let tables = Box::new(Columnar { input: input.clone(), format, batches, ready: None, done: 0 });
    Reader { names, answers: None, tables }
}

fn check_types(input: &Input, schema: &Schema) -> Result<()> {
    for field in schema.fields() {
        if !is_readable(field.data_type()) {
            let what = format!("expected numbers, texts or booleans, found the type {}", field.data_type());
            return Err(input.error(format!("column {:?}: {what}; convert or drop the column", field.name())));
        }
    }
    Ok(())
}

struct Columnar {
    input: Input,
    format: &'static str,
    batches: Batches,
    /// A batch, which may be longer than a part of a file should be, and how many of its rows were handed out.
    ready: Option<RecordBatch>,
    done: usize,
}

impl Tables for Columnar {
    fn next(&mut self) -> Result<Option<Table>> {
        let batch = loop {
            match self.ready.take().filter(|batch| self.done < batch.num_rows()) {
                Some(batch) => break batch,
                None => match caught(|| self.batches.next()) {
                    None => {
                        let what = format!("cannot be read as a file of the format {}: {DAMAGED}", self.format);
                        return Err(self.input.error(what));
                    }
                    Some(None) => return Ok(None),
                    Some(Some(Ok(batch))) => (self.ready, self.done) = (Some(batch), 0),
                    Some(Some(Err(error))) => {
                        let what =
                            format!("cannot be read as a file of the format {} ({error}); write it again", self.format);
                        return Err(self.input.error(what));
                    }
                },
            }
        };
        let rows = part(batch.num_columns()).min(batch.num_rows() - self.done);
        let slice = batch.slice(self.done, rows);
        self.done += rows;
        self.ready = Some(batch);
        let columns = caught(|| slice.columns().iter().map(|array| column(array.as_ref())).collect());
        let columns = columns.ok_or_else(|| {
            self.input.error(format!("cannot be read as a file of the format {}: {DAMAGED}", self.format))
        })?;
        Ok(Some(Table { rows, columns, at: Vec::new() }))
    }
}

const DAMAGED: &str = "it is damaged; write it again";

/// The result of a reader that may panic where a file is damaged; `None` where it did.
fn caught<T>(read: impl FnOnce() -> T) -> Option<T> {
    // A reader that panicked is not used again.
    catch_unwind(AssertUnwindSafe(read)).ok()
}

fn is_readable(kind: &DataType) -> bool {
    match kind {
        DataType::Dictionary(_, values) => matches!(**values, DataType::Utf8 | DataType::LargeUtf8),
        DataType::Utf8 | DataType::LargeUtf8 | DataType::Utf8View | DataType::Boolean | DataType::Null => true,
        DataType::Date32 | DataType::Date64 => true,
        kind => kind.is_integer() || kind.is_floating(),
    }
}

/// The cells of an array of a readable type.
fn column(array: &dyn Array) -> Column {
    match array.data_type() {
        DataType::Utf8 => texts(array.as_string::<i32>().iter()),
        DataType::LargeUtf8 => texts(array.as_string::<i64>().iter()),
        DataType::Utf8View => texts(array.as_string_view().iter()),
        DataType::Boolean => texts(as_boolean_array(array).iter().map(|x| x.map(|x| if x { "true" } else { "false" }))),
        DataType::Dictionary(..) => {
            let array = array.as_any_dictionary();
            let values = column(array.values().as_ref());
            let mut column = values.empty_like();
            // A key that is null points anywhere.
            for (row, key) in array.normalized_keys().into_iter().enumerate() {
                match (array.is_null(row), &mut column) {
                    (true, Column::Texts(texts)) => texts.push(""),
                    (_, column) => column.push_from(&values, key),
                }
            }
            column
        }
        DataType::Int8 => numbers::<Int8Type>(array, f64::from),
        DataType::Int16 => numbers::<Int16Type>(array, f64::from),
        DataType::Int32 => numbers::<Int32Type>(array, f64::from),
        DataType::Int64 => numbers::<Int64Type>(array, |x| x as f64),
        DataType::UInt8 => numbers::<UInt8Type>(array, f64::from),
        DataType::UInt16 => numbers::<UInt16Type>(array, f64::from),
        DataType::UInt32 => numbers::<UInt32Type>(array, f64::from),
        DataType::UInt64 => numbers::<UInt64Type>(array, |x| x as f64),
        DataType::Float16 => numbers::<Float16Type>(array, f64::from),
        DataType::Float32 => numbers::<Float32Type>(array, f64::from),
        DataType::Float64 => numbers::<Float64Type>(array, |x| x),
        DataType::Date32 => numbers::<Date32Type>(array, f64::from),
        DataType::Date64 => numbers::<Date64Type>(array, |x| x as f64),
        _ => Column::Numbers(vec![f64::NAN; array.len()]),
    }
}

fn texts<'a>(cells: impl Iterator<Item = Option<&'a str>>) -> Column {
    let mut texts = Texts::default();
    cells.for_each(|cell| texts.push(cell.unwrap_or("")));
    Column::Texts(texts)
}

fn numbers<T: ArrowPrimitiveType>(array: &dyn Array, number: fn(T::Native) -> f64) -> Column {
    Column::Numbers(array.as_primitive::<T>().iter().map(|x| x.map_or(f64::NAN, number)).collect())
}
