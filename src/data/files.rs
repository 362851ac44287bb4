//! Writing files so that a reader never sees half of one.

use std::fs::{self, FileType};
use std::io::{self, BufWriter, ErrorKind, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes the file `path` by `write`: first to a temporary file in the same directory, which then takes the name.
///
/// Where anything fails, what was at `path` before stays as it was. A `path` that exists and is not a regular file
/// (a directory, a symbolic link, a device) is refused. An existing file's permissions are kept.
pub fn write_atomic(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> Result<()> {
    replace(path, write).map_err(Error::io("write", path))
}

fn replace(path: &Path, write: impl FnOnce(&mut dyn Write) -> io::Result<()>) -> io::Result<()> {
    let existing = match fs::symlink_metadata(path) {
        Ok(found) if !found.is_file() => {
            let what = format!("it is {}, not a regular file; choose another name", kind(found.file_type()));
            return Err(io::Error::new(ErrorKind::AlreadyExists, what));
        }
        Ok(found) => Some(found.permissions()),
        Err(error) if error.kind() == ErrorKind::NotFound => None,
        Err(error) => return Err(error),
    };
    let directory = match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    };
    if !directory.is_dir() {
        let what = format!("the directory {} does not exist; create it first", directory.display());
        return Err(io::Error::new(ErrorKind::NotFound, what));
    }

    let mut builder = tempfile::Builder::new();
    // Temporary files are private by default; a result should be as readable as any new file of this user.
    #[cfg(unix)]
    builder.permissions(std::os::unix::fs::PermissionsExt::from_mode(0o666));
    let mut temporary = builder.prefix(".wgrad-").tempfile_in(directory)?;
    let mut buffer = BufWriter::new(temporary.as_file_mut());
    write(&mut buffer)?;
    buffer.flush()?;
    drop(buffer);
    if let Some(permissions) = existing {
        temporary.as_file().set_permissions(permissions)?;
    }
    temporary.as_file().sync_all()?;
    temporary.persist(path).map_err(|failed| failed.error)?;
    Ok(())
}

fn kind(found: FileType) -> &'static str {
    match () {
        () if found.is_dir() => "a directory",
        () if found.is_symlink() => "a symbolic link",
        () => "a device, pipe or socket",
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn replaces_a_file_whole() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        write_atomic(&path, |w| w.write_all(b"first")).unwrap();
        write_atomic(&path, |w| w.write_all(b"2nd")).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"2nd");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_failed_write_leaves_the_old_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        fs::write(&path, "old").unwrap();
        let failed = write_atomic(&path, |w| {
            w.write_all(b"half")?;
            Err(io::Error::other("out of paper"))
        });
        assert!(failed.unwrap_err().to_string().contains("out of paper"));
        assert_eq!(fs::read(&path).unwrap(), b"old");
        assert_eq!(fs::read_dir(folder.path()).unwrap().count(), 1);
    }

    #[test]
    fn refuses_what_is_not_a_regular_file() {
        let folder = tempfile::tempdir().unwrap();
        let text = write_atomic(folder.path(), |_| Ok(())).unwrap_err().to_string();
        assert!(text.contains("it is a directory, not a regular file"), "{text}");
    }

    #[test]
    fn names_the_missing_directory() {
        let folder = tempfile::tempdir().unwrap();
        let missing = folder.path().join("no/such");
        let text = write_atomic(&missing.join("a.txt"), |_| Ok(())).unwrap_err().to_string();
        assert!(text.contains(&format!("the directory {} does not exist", missing.display())), "{text}");
    }

    #[cfg(unix)]
    #[test]
    fn refuses_links_and_keeps_permissions() {
        use std::os::unix::fs::PermissionsExt;
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("a.txt");
        let mode = |path: &Path| fs::metadata(path).unwrap().permissions().mode() & 0o777;

        fs::write(&path, "").unwrap();
        let ordinary = mode(&path);
        fs::remove_file(&path).unwrap();
        write_atomic(&path, |_| Ok(())).unwrap();
        assert_eq!(mode(&path), ordinary);

        fs::set_permissions(&path, fs::Permissions::from_mode(0o600)).unwrap();
        write_atomic(&path, |w| w.write_all(b"secret")).unwrap();
        assert_eq!(mode(&path), 0o600);

        let link = folder.path().join("link");
        std::os::unix::fs::symlink(&path, &link).unwrap();
        assert!(write_atomic(&link, |_| Ok(())).unwrap_err().to_string().contains("a symbolic link"));
        assert_eq!(fs::read(&path).unwrap(), b"secret");
    }
}
