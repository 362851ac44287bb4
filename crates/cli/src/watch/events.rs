//! TensorBoard's event files: records with checksums (TFRecord), each holding one `Event` in Protocol Buffers.

use prost::Message;
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::path::Path;
use std::time::{SystemTime, UNIX_EPOCH};

/// `tensorflow.Event`, as far as it is written here.
#[derive(Clone, PartialEq, Message)]
struct Event {
    #[prost(double, tag = "1")]
    wall_time: f64,
    #[prost(int64, tag = "2")]
    step: i64,
    #[prost(string, optional, tag = "3")]
    file_version: Option<String>,
    #[prost(message, optional, tag = "5")]
    summary: Option<Summary>,
}

/// `tensorflow.Summary`
#[derive(Clone, PartialEq, Message)]
struct Summary {
    #[prost(message, repeated, tag = "1")]
    value: Vec<Value>,
}

/// `tensorflow.Summary.Value`, a scalar.
#[derive(Clone, PartialEq, Message)]
struct Value {
    #[prost(string, tag = "1")]
    tag: String,
    #[prost(float, optional, tag = "2")]
    simple_value: Option<f32>,
}

/// An event file that is being written.
pub struct Events(BufWriter<File>);

impl Events {
    /// Begins an event file in `folder`, under a name that TensorBoard looks for.
    pub fn create(folder: &Path) -> io::Result<Self> {
        let now = now();
        let name = format!("events.out.tfevents.{:010}.wgrad.{}", now as u64, std::process::id());
        let mut events = Events(BufWriter::new(File::create_new(folder.join(name))?));
        events.record(&Event { wall_time: now, file_version: Some("brain.Event:2".into()), ..Event::default() })?;
        Ok(events)
    }

    /// Writes the `scalars` of an epoch through to the file.
    pub fn write<'a>(&mut self, epoch: usize, scalars: impl IntoIterator<Item = (&'a str, f64)>) -> io::Result<()> {
        let value = |(tag, value): (&str, f64)| Value { tag: tag.to_owned(), simple_value: Some(value as f32) };
        let summary = Summary { value: scalars.into_iter().map(value).collect() };
        self.record(&Event { wall_time: now(), step: epoch as i64, summary: Some(summary), ..Event::default() })?;
        self.0.flush()
    }

    fn record(&mut self, event: &Event) -> io::Result<()> {
        self.0.write_all(&framed(&event.encode_to_vec()))
    }
}

/// Seconds since 1970.
fn now() -> f64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0.0, |since| since.as_secs_f64())
}

/// `data` as a TFRecord: its length and the checksum of that, then itself and its checksum.
fn framed(data: &[u8]) -> Vec<u8> {
    let length = (data.len() as u64).to_le_bytes();
    [&length[..], &checksum(&length), data, &checksum(data)].concat()
}

/// CRC-32C, rotated and offset so that the checksum of data that hold checksums stays meaningful.
fn checksum(data: &[u8]) -> [u8; 4] {
    crc32c::crc32c(data).rotate_right(15).wrapping_add(0xa282_ead8).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_record_is_what_tensorflow_writes() {
        // tf.io.TFRecordWriter's bytes for b"123456789": CRC-32C of that is 0xe3069283, the check value of the standard.
        let masked = 0xe306_9283_u32.rotate_right(15).wrapping_add(0xa282_ead8);
        let record = framed(b"123456789");
        assert_eq!(record[..8], [9, 0, 0, 0, 0, 0, 0, 0]);
        assert_eq!(record[12..21], *b"123456789");
        assert_eq!(record[21..], masked.to_le_bytes());
    }
}
