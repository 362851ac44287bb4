//! The sizes that the pages of a Parquet file claim.

use std::fs::File;
use std::io::{BufReader, Read, Seek, SeekFrom};
use std::sync::Arc;

use parquet::basic::{Compression, Encoding};
use parquet::column::page::{Page, PageReader};
use parquet::file::metadata::{ColumnChunkMetaData, ParquetMetaData};
use parquet::file::serialized_reader::SerializedPageReader;

use super::claims;

/// Checks the head of each page, and where a page holds lengths of texts, how many it says there are.
pub fn check(file: File, metadata: &ParquetMetaData) -> Result<(), String> {
    let size = file.metadata().map_err(text)?.len();
    let file = Arc::new(file);
    for group in metadata.row_groups() {
        for chunk in group.columns() {
            if check_heads(&file, size, chunk)? {
                check_lengths(&file, chunk)?;
            }
        }
    }
    Ok(())
}

fn text(error: impl ToString) -> String {
    error.to_string()
}

const CUT: &str = "a page is cut short";

/// The encodings that begin with a number of texts: DELTA_LENGTH_BYTE_ARRAY and DELTA_BYTE_ARRAY.
const DELTAS: std::ops::RangeInclusive<i64> = 6..=7;

/// Checks what the heads of a column's pages say, and whether some page begins with a number of texts.
fn check_heads(file: &Arc<File>, size: u64, chunk: &ColumnChunkMetaData) -> Result<bool, String> {
    let start = chunk.dictionary_page_offset().unwrap_or(chunk.data_page_offset());
    let (Ok(start), Ok(length)) = (u64::try_from(start), u64::try_from(chunk.compressed_size())) else {
        return Err("a column begins in front of the file".into());
    };
    if start.checked_add(length).is_none_or(|end| end > size) {
        return Err("a column ends behind the file".into());
    }
    let factor = match chunk.compression() {
        Compression::UNCOMPRESSED => 1,
        Compression::SNAPPY => claims::SNAPPY,
        Compression::GZIP(_) => claims::GZIP,
        Compression::LZ4 | Compression::LZ4_RAW => claims::LZ4,
        Compression::ZSTD(_) => claims::ZSTD,
        // The reader says that it cannot decompress it.
        Compression::BROTLI(_) | Compression::LZO => return Ok(false),
    };
    let mut reader = BufReader::new(&**file);
    reader.seek(SeekFrom::Start(start)).map_err(text)?;
    let (mut left, mut deltas) = (length, false);
    while left > 0 {
        let mut compact = Compact(reader.by_ref().take(left));
        let head = Head::read(&mut compact).ok_or("the head of a page is damaged")?;
        left = compact.0.limit();
        let [decompressed, compressed] = [head.decompressed, head.compressed].map(u64::try_from);
        let (Ok(decompressed), Ok(compressed)) = (decompressed, compressed) else {
            return Err("a page has less than no bytes".into());
        };
        left = left.checked_sub(compressed).ok_or(CUT)?;
        claims::decompressed(decompressed, compressed, factor)?;
        claims::in_memory(decompressed)?;
        // No value in a dictionary takes less than a byte.
        if head.dictionary > head.decompressed {
            return Err(format!("a dictionary of {} values has {} bytes", head.dictionary, head.decompressed));
        }
        deltas |= DELTAS.contains(&head.encoding);
        reader.seek_relative(compressed as i64).map_err(text)?;
    }
    Ok(deltas)
}

/// What the head of a page says.
#[derive(Default)]
struct Head {
    decompressed: i64,
    compressed: i64,
    /// How many values the dictionary has, where the page is one.
    dictionary: i64,
    /// How the values are encoded, where it is a page of data.
    encoding: i64,
}

impl Head {
    /// Reads `PageHeader` of the format's Thrift definition; `None` where it is none.
    fn read(from: &mut Compact<impl Read>) -> Option<Head> {
        let mut head = Head::default();
        from.structure(&mut |from, field, kind| {
            match (field, kind) {
                (2, INTEGER) => head.decompressed = from.integer()?,
                (3, INTEGER) => head.compressed = from.integer()?,
                (5, STRUCTURE) => head.encoding = from.member(2)?,
                (7, STRUCTURE) => head.dictionary = from.member(1)?,
                (8, STRUCTURE) => head.encoding = from.member(4)?,
                _ => from.skip(kind, DEEPEST)?,
            }
            Some(())
        })?;
        Some(head)
    }
}

/// Thrift's compact protocol.
struct Compact<R>(R);

const INTEGER: u8 = 5;
const STRUCTURE: u8 = 12;
const DEEPEST: usize = 16;

impl<R: Read> Compact<R> {
    fn byte(&mut self) -> Option<u8> {
        let mut byte = [0];
        self.0.read_exact(&mut byte).ok()?;
        Some(byte[0])
    }

    fn varint(&mut self) -> Option<u64> {
        let mut value = 0;
        for shift in (0..64).step_by(7) {
            let byte = self.byte()?;
            value |= u64::from(byte & 0x7F) << shift;
            if byte < 0x80 {
                return Some(value);
            }
        }
        None
    }

    fn integer(&mut self) -> Option<i64> {
        self.varint().map(|value| (value >> 1) as i64 ^ -((value & 1) as i64))
    }

    /// Hands each field's number and type to `field`, which reads or skips its value.
    fn structure(&mut self, field: &mut dyn FnMut(&mut Self, i64, u8) -> Option<()>) -> Option<()> {
        let mut number = 0;
        loop {
            let byte = self.byte()?;
            if byte == 0 {
                return Some(());
            }
            number = match i64::from(byte >> 4) {
                0 => self.integer()?,
                more => number + more,
            };
            field(self, number, byte & 0x0F)?;
        }
    }

    /// The integer `wanted` of a structure; 0 where it has none.
    fn member(&mut self, wanted: i64) -> Option<i64> {
        let mut found = 0;
        self.structure(&mut |from, field, kind| {
            match (field == wanted, kind) {
                (true, INTEGER) => found = from.integer()?,
                _ => from.skip(kind, DEEPEST)?,
            }
            Some(())
        })?;
        Some(found)
    }

    fn skip_bytes(&mut self, count: u64) -> Option<()> {
        let skipped = std::io::copy(&mut self.0.by_ref().take(count), &mut std::io::sink()).ok()?;
        (skipped == count).then_some(())
    }

    /// Skips a value that is nested at most `depth` deep.
    fn skip(&mut self, kind: u8, depth: usize) -> Option<()> {
        let depth = depth.checked_sub(1)?;
        match kind {
            // A truth value is its type.
            1 | 2 => Some(()),
            3 => self.skip_bytes(1),
            4..=6 => self.varint().map(|_| ()),
            7 => self.skip_bytes(8),
            8 => {
                let count = self.varint()?;
                self.skip_bytes(count)
            }
            9 | 10 => {
                let head = self.byte()?;
                let count = match u64::from(head >> 4) {
                    15 => self.varint()?,
                    count => count,
                };
                (0..count).try_for_each(|_| match head & 0x0F {
                    // But in a list it takes a byte.
                    1 | 2 => self.skip_bytes(1),
                    kind => self.skip(kind, depth),
                })
            }
            12 => self.structure(&mut |from, _, kind| from.skip(kind, depth)),
            // A page's head has no maps.
            _ => None,
        }
    }
}

/// Checks how many texts the pages of a column say they have: the reader makes room for so many lengths.
fn check_lengths(file: &Arc<File>, chunk: &ColumnChunkMetaData) -> Result<(), String> {
    let rows = usize::try_from(chunk.num_values()).map_err(|_| "a column has less than no values")?;
    let mut pages = SerializedPageReader::new(file.clone(), chunk, rows, None).map_err(text)?;
    while let Some(page) = pages.get_next_page().map_err(text)? {
        let values = u64::from(page.num_values());
        let gaps = chunk.column_descr().max_def_level() > 0;
        let levels = match &page {
            Page::DataPage { buf, .. } if gaps => buf
                .first_chunk()
                .and_then(|length| usize::try_from(u32::from_le_bytes(*length)).ok()?.checked_add(4))
                .ok_or(CUT)?,
            Page::DataPageV2 { def_levels_byte_len, rep_levels_byte_len, .. } => {
                (*def_levels_byte_len as usize).saturating_add(*rep_levels_byte_len as usize)
            }
            _ => 0,
        };
        let data = page.buffer().get(levels..).ok_or(CUT)?;
        let refused = match page.encoding() {
            Encoding::DELTA_LENGTH_BYTE_ARRAY => delta_block(data).is_none_or(|(count, _)| count > values),
            Encoding::DELTA_BYTE_ARRAY => delta_block(data).is_none_or(|(count, end)| {
                let suffixes = data.get(end..).and_then(delta_block);
                count > values || suffixes.is_none_or(|(count, _)| count > values)
            }),
            _ => false,
        };
        if refused {
            return Err(format!("a page of {values} values says that it has the lengths of more"));
        }
    }
    Ok(())
}

/// How many numbers of the encoding DELTA_BINARY_PACKED there are, and where they end.
fn delta_block(data: &[u8]) -> Option<(u64, usize)> {
    let mut from = Compact(data);
    let [block, parts, count] = [from.varint()?, from.varint()?, from.varint()?];
    from.integer()?;
    let of_part = block.checked_div(parts).filter(|values| *values > 0)?;
    let mut left = count.saturating_sub(1);
    while left > 0 {
        from.integer()?;
        let (widths, rest) = from.0.split_at_checked(usize::try_from(parts).ok()?)?;
        from.0 = rest;
        for width in widths {
            // The last block has all its widths, but no more parts than it needs.
            if left > 0 {
                from.0 = from.0.get(usize::try_from(u64::from(*width).checked_mul(of_part)? / 8).ok()?..)?;
                left = left.saturating_sub(of_part);
            }
        }
    }
    Some((count, data.len() - from.0.len()))
}
