//! Numbers in memory, or in a file that is mapped into it.

use std::fmt::{self, Debug, Formatter};
use std::fs::File;
use std::io::{self, BufWriter, Write};
use std::ops::{Deref, DerefMut};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use memmap2::MmapMut;

use super::spool;

/// The numbers of a [`Matrix`](super::Matrix): a slice that lies in memory, or in a temporary file where it would not fit.
///
/// A file is mapped: the system reads what is used and may forget it again, so that little of it is in memory at once. It has no
/// name, and goes with the last clone. A clone shares it until one of them is changed, which copies it into memory.
#[derive(Clone)]
pub struct Numbers(Storage);

#[derive(Clone)]
enum Storage {
    Memory(Vec<f32>),
    File(Arc<MmapMut>),
}

impl Numbers {
    /// `len` zeros in a temporary file in the folder `near`, where it can be written, else in that of temporary files.
    pub(crate) fn in_file(len: usize, near: Option<&Path>) -> io::Result<Numbers> {
        let mut file = spool::anonymous(near)?;
        // Written, so that a full disk is an error here, and not a signal when a page is used.
        let zeros = [0; 1 << 16];
        let mut left = len.checked_mul(4).ok_or(io::ErrorKind::OutOfMemory)?;
        while left > 0 {
            let count = left.min(zeros.len());
            file.write_all(&zeros[..count])?;
            left -= count;
        }
        Numbers::map(&file)
    }

    /// The numbers in a file without a name.
    fn map(file: &File) -> io::Result<Numbers> {
        // SAFETY: the file has no name and no other handle that stays, so that nobody else can change or shorten it.
        Ok(Numbers(Storage::File(Arc::new(unsafe { MmapMut::map_mut(file)? }))))
    }

    /// Whether they lie in a file.
    pub fn in_a_file(&self) -> bool {
        matches!(self.0, Storage::File(_))
    }

    /// Takes what lies in a file out of this process's memory; it is read again where it is used.
    pub(crate) fn release(&self) {
        #[cfg(unix)]
        if let Storage::File(map) = &self.0 {
            // SAFETY: the mapping is shared with its file, so that pages that are dropped keep what was written to them.
            // Failing, the pages stay, which is slower at worst.
            let _ = unsafe { map.unchecked_advise(memmap2::UncheckedAdvice::DontNeed) };
        }
    }
}

/// Takes numbers whose count is not known before, in memory up to a limit and then in a file.
pub(super) struct Collector {
    numbers: Vec<f32>,
    file: Option<BufWriter<File>>,
    /// Bytes in memory at most.
    limit: u64,
    near: Option<PathBuf>,
}

impl Collector {
    pub fn new(limit: u64, near: Option<&Path>) -> Self {
        Collector { numbers: Vec::new(), file: None, limit, near: near.map(Path::to_owned) }
    }

    pub fn extend(&mut self, numbers: &[f32]) -> io::Result<()> {
        if let Some(file) = &mut self.file {
            return file.write_all(bytemuck::cast_slice(numbers));
        }
        self.numbers.extend_from_slice(numbers);
        if 4 * self.numbers.len() as u64 > self.limit {
            let mut file = BufWriter::new(spool::anonymous(self.near.as_deref())?);
            file.write_all(bytemuck::cast_slice(&self.numbers))?;
            (self.numbers, self.file) = (Vec::new(), Some(file));
        }
        Ok(())
    }

    pub fn finish(self) -> io::Result<Numbers> {
        match self.file {
            None => Ok(self.numbers.into()),
            Some(file) => Numbers::map(&file.into_inner().map_err(io::IntoInnerError::into_error)?),
        }
    }
}

impl Deref for Numbers {
    type Target = [f32];

    fn deref(&self) -> &[f32] {
        match &self.0 {
            Storage::Memory(numbers) => numbers,
            // A mapping begins at a page.
            Storage::File(map) => bytemuck::cast_slice(map),
        }
    }
}

impl DerefMut for Numbers {
    fn deref_mut(&mut self) -> &mut [f32] {
        if let Storage::File(map) = &mut self.0
            && Arc::get_mut(map).is_none()
        {
            self.0 = Storage::Memory(self.to_vec());
        }
        match &mut self.0 {
            Storage::Memory(numbers) => numbers,
            Storage::File(map) => Arc::get_mut(map).map_or(&mut [], |map| bytemuck::cast_slice_mut(map)),
        }
    }
}

impl From<Vec<f32>> for Numbers {
    fn from(numbers: Vec<f32>) -> Self {
        Numbers(Storage::Memory(numbers))
    }
}

impl From<Numbers> for Vec<f32> {
    fn from(numbers: Numbers) -> Self {
        match numbers.0 {
            Storage::Memory(numbers) => numbers,
            Storage::File(_) => numbers.to_vec(),
        }
    }
}

impl FromIterator<f32> for Numbers {
    fn from_iter<I: IntoIterator<Item = f32>>(numbers: I) -> Self {
        Vec::from_iter(numbers).into()
    }
}

impl IntoIterator for Numbers {
    type Item = f32;
    type IntoIter = std::vec::IntoIter<f32>;

    fn into_iter(self) -> Self::IntoIter {
        Vec::from(self).into_iter()
    }
}

impl<'a> IntoIterator for &'a Numbers {
    type Item = &'a f32;
    type IntoIter = std::slice::Iter<'a, f32>;

    fn into_iter(self) -> Self::IntoIter {
        self.iter()
    }
}

impl Default for Numbers {
    fn default() -> Self {
        Vec::new().into()
    }
}

impl Debug for Numbers {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        (**self).fmt(f)
    }
}

impl<T: AsRef<[f32]> + ?Sized> PartialEq<T> for Numbers {
    fn eq(&self, other: &T) -> bool {
        **self == *other.as_ref()
    }
}

impl AsRef<[f32]> for Numbers {
    fn as_ref(&self) -> &[f32] {
        self
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn a_file_is_as_good_as_memory() {
        let folder = tempfile::tempdir().unwrap();
        let mut numbers = Numbers::in_file(40_000, Some(folder.path())).unwrap();
        assert_eq!(std::fs::read_dir(folder.path()).unwrap().count(), 0, "it has no name");
        assert!(numbers.in_a_file() && numbers.len() == 40_000 && numbers.iter().all(|x| *x == 0.0));
        numbers[39_999] = 2.5;
        numbers.release();
        assert_eq!(numbers[39_999], 2.5);

        let mut copy = numbers.clone();
        assert!(copy.in_a_file());
        copy[0] = 1.0;
        assert!(!copy.in_a_file() && numbers.in_a_file());
        assert_eq!((copy[0], numbers[0], copy[39_999]), (1.0, 0.0, 2.5));
        for limit in [0, 16, 100] {
            let mut collector = Collector::new(limit, Some(folder.path()));
            [&[1.0, 2.0][..], &[], &[3.0], &[4.0, 5.0]].into_iter().for_each(|some| collector.extend(some).unwrap());
            let numbers = collector.finish().unwrap();
            assert_eq!((numbers.in_a_file(), &numbers[..]), (limit < 20, &[1.0, 2.0, 3.0, 4.0, 5.0][..]), "{limit}");
        }
        assert_eq!(Numbers::in_file(0, None).unwrap(), Vec::new());
        assert_eq!(Numbers::from(vec![1.0]), [1.0]);
    }
}
