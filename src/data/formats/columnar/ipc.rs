//! The sizes that Arrow's IPC messages claim.

use std::io::{BufRead, Read, Seek, SeekFrom};

use arrow_ipc::reader::read_footer_length;
use arrow_ipc::{Block, CompressionType, Message, MessageHeader, RecordBatch, root_as_footer, root_as_message};

use super::claims;

/// Checks each message of a file, at the places that its footer names, or else of a stream.
pub fn check(mut file: impl BufRead + Seek, whole: bool) -> Result<(), String> {
    let size = file.seek(SeekFrom::End(0)).map_err(text)?;
    let mut bytes = Bytes { file, size };
    match whole {
        true => bytes.check_file(),
        false => bytes.check_stream(),
    }
}

const CONTINUATION: [u8; 4] = [0xFF; 4];

fn text(error: impl ToString) -> String {
    error.to_string()
}

fn beyond(what: &str) -> String {
    format!("it says that {what} is where the file has no bytes")
}

/// A file of a known size.
struct Bytes<F> {
    file: F,
    size: u64,
}

impl<F: BufRead + Seek> Bytes<F> {
    /// Whether the file has so many bytes from `at` on.
    fn has(&self, at: u64, count: u64) -> bool {
        at.checked_add(count).is_some_and(|end| end <= self.size)
    }

    fn read(&mut self, at: u64, count: u64, what: &str) -> Result<Vec<u8>, String> {
        if !self.has(at, count) {
            return Err(beyond(what));
        }
        let mut bytes = Vec::new();
        self.file.seek(SeekFrom::Start(at)).map_err(text)?;
        self.file.by_ref().take(count).read_to_end(&mut bytes).map_err(text)?;
        match bytes.len() as u64 == count {
            true => Ok(bytes),
            false => Err(beyond(what)),
        }
    }

    fn check_file(&mut self) -> Result<(), String> {
        const END: u64 = 10;
        let end = self.read(self.size.saturating_sub(END), END, "its end")?;
        let length = read_footer_length(end.try_into().map_err(|_| beyond("its end"))?).map_err(text)? as u64;
        let start = self.size.checked_sub(END + length).ok_or_else(|| beyond("its footer"))?;
        let bytes = self.read(start, length, "its footer")?;
        let footer = root_as_footer(&bytes).map_err(text)?;
        let blocks = footer.dictionaries().into_iter().chain(footer.recordBatches()).flatten();
        blocks.copied().collect::<Vec<_>>().iter().try_for_each(|block| self.check_block(block))
    }

    fn check_block(&mut self, block: &Block) -> Result<(), String> {
        let place = (block.offset().try_into(), block.metaDataLength().try_into(), block.bodyLength().try_into());
        let (Ok(at), Ok(length @ 8..), Ok(body)) = place else { return Err(beyond("a batch")) };
        let message = self.read(at, length, "a batch")?;
        let head = if message.starts_with(&CONTINUATION) { 8 } else { 4 };
        let message = root_as_message(&message[head..]).map_err(text)?;
        self.check_message(message, at + length, body)
    }

    fn check_stream(&mut self) -> Result<(), String> {
        let mut at = 0;
        // A stream may also end without saying so.
        while self.has(at, 4) {
            let mut length = self.read(at, 4, "a message")?;
            at += 4;
            if length == CONTINUATION {
                length = self.read(at, 4, "a message")?;
                at += 4;
            }
            let length = length.try_into().map(i32::from_le_bytes).map_err(|_| beyond("a message"))?;
            let Ok(length @ 1..) = u64::try_from(length) else {
                return if length == 0 { Ok(()) } else { Err(beyond("a message")) };
            };
            let message = self.read(at, length, "a message")?;
            let message = root_as_message(&message).map_err(text)?;
            let body = message.bodyLength().try_into().map_err(|_| beyond("a batch"))?;
            at += length;
            self.check_message(message, at, body)?;
            at += body;
        }
        Ok(())
    }

    /// Checks a message whose `body` bytes begin at `at`.
    fn check_message(&mut self, message: Message<'_>, at: u64, body: u64) -> Result<(), String> {
        if !self.has(at, body) {
            return Err(beyond("the body of a message"));
        }
        let batch = match message.header_type() {
            MessageHeader::RecordBatch => message.header_as_record_batch(),
            MessageHeader::DictionaryBatch => message.header_as_dictionary_batch().and_then(|batch| batch.data()),
            _ => return Ok(()),
        };
        self.check_batch(batch.ok_or_else(|| beyond("a batch"))?, at, body)
    }

    fn check_batch(&mut self, batch: RecordBatch<'_>, at: u64, body: u64) -> Result<(), String> {
        // A column of nothing but gaps takes no bytes, however long it says it is.
        u32::try_from(batch.length()).map_err(|_| format!("it has a batch of {} rows", batch.length()))?;
        for node in batch.nodes().into_iter().flatten() {
            let gaps = 0..=node.length();
            if node.length() < 0 || !gaps.contains(&node.null_count()) {
                return Err(format!("it has a column of {} rows, {} of them empty", node.length(), node.null_count()));
            }
        }
        let factor = match batch.compression().map(|compression| compression.codec()) {
            None => None,
            Some(CompressionType::LZ4_FRAME) => Some(claims::LZ4),
            Some(CompressionType::ZSTD) => Some(claims::ZSTD),
            Some(other) => return Err(format!("its compression is none that is known: {other:?}")),
        };
        let mut total = 0u64;
        for buffer in batch.buffers().into_iter().flatten() {
            let (Ok(offset), Ok(length)) = (u64::try_from(buffer.offset()), u64::try_from(buffer.length())) else {
                return Err(beyond("a column"));
            };
            if offset.checked_add(length).is_none_or(|end| end > body) {
                return Err(beyond("a column"));
            }
            if let (Some(factor), Some(compressed)) = (factor, length.checked_sub(8)) {
                let claimed = self.read(at + offset, 8, "a column")?;
                // 0 is an empty buffer and -1 one that is not compressed.
                let claimed = i64::from_le_bytes(claimed.try_into().map_err(|_| beyond("a column"))?).max(0) as u64;
                claims::decompressed(claimed, compressed, factor)?;
                total = total.saturating_add(claimed);
            }
        }
        claims::in_memory(total.max(body))
    }
}
