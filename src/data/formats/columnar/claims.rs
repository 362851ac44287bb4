//! What a file says about its own sizes, which the readers of Arrow and Parquet take at its word.

/// The bytes that one byte of LZ4 makes at most: each further byte of a match's length is 255 more of it.
pub const LZ4: u64 = 255;
/// The same for Zstandard: a block makes at most 128 KiB and takes at least 4 bytes, 3 of them its header.
pub const ZSTD: u64 = (128 << 10) / 4;
/// The same for gzip: a match of 258 bytes takes at least 2 bits.
pub const GZIP: u64 = 1032;
/// The same for Snappy: a copy of 64 bytes takes 3.
pub const SNAPPY: u64 = 22;

/// Refuses to make more of `compressed` bytes than they can hold, at most `factor` bytes each.
pub fn decompressed(claimed: u64, compressed: u64, factor: u64) -> Result<(), String> {
    match claimed <= compressed.saturating_mul(factor) {
        true => Ok(()),
        false => Err(format!("it says that {compressed} bytes decompress to {claimed}, more than they can")),
    }
}

/// Refuses what the memory cannot hold, since a reader that asks for it would end the program.
pub fn in_memory(bytes: u64) -> Result<(), String> {
    let fits = usize::try_from(bytes).is_ok_and(|bytes| Vec::<u8>::new().try_reserve_exact(bytes).is_ok());
    match fits {
        true => Ok(()),
        false => Err(format!("a part of it takes {bytes} bytes, more memory than there is; smaller batches take less")),
    }
}
