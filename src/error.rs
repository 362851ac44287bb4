//! The one error type. Every message says what was expected, what was found, where, and what to do.

use std::path::{Path, PathBuf};

/// What can go wrong in wgrad.
///
/// The text of each variant is meant for the person who runs the program: it stands alone, without a backtrace.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file could not be opened, read, written or renamed.
    #[error("cannot {action} {}: {source}", path.display())]
    Io {
        /// What was being done, as a verb phrase: `read`, `write`.
        action: &'static str,
        /// The file.
        path: PathBuf,
        /// The operating system's reason.
        source: std::io::Error,
    },
    /// Data (a CSV file, an array, a batch) is not what training or prediction can use.
    #[error("{place}: {what}")]
    Data {
        /// Where: a file, with line and column where they are known.
        place: String,
        /// What was expected and what was found.
        what: String,
    },
    /// A model file is damaged or does not fit.
    #[error("{}: {what}", path.display())]
    Model {
        /// The model file.
        path: PathBuf,
        /// What was expected and what was found.
        what: String,
    },
    /// A setting is out of range, unknown, or contradicts another one.
    #[error("{0}")]
    Config(String),
    /// The text of an expression cannot be understood.
    #[error("column {column}: {what}\n{}", pointed(text, *column))]
    Expression {
        /// The line.
        text: String,
        /// The place in it, counted from 1 in characters.
        column: usize,
        /// What was expected and what was found.
        what: String,
    },
    /// No adapter, a lost device, or an adapter that cannot hold the network.
    #[error("{0}")]
    Device(String),
    /// A length or width differs from what the network needs.
    #[error("{what}: expected {expected}, found {found}")]
    Shape {
        /// Which array or dimension.
        what: String,
        /// What the network needs.
        expected: String,
        /// What was given.
        found: String,
    },
}

/// The result of everything in wgrad that can fail.
pub type Result<T, E = Error> = std::result::Result<T, E>;

impl Error {
    pub(crate) fn io(action: &'static str, path: &Path) -> impl FnOnce(std::io::Error) -> Error {
        move |source| Error::Io { action, path: path.to_owned(), source }
    }

    pub(crate) fn data(place: impl Into<String>, what: impl Into<String>) -> Error {
        Error::Data { place: place.into(), what: what.into() }
    }

    pub(crate) fn shape(what: impl Into<String>, expected: impl ToString, found: impl ToString) -> Error {
        Error::Shape { what: what.into(), expected: expected.to_string(), found: found.to_string() }
    }
}

/// The part of a line around a column, and a mark below the column.
fn pointed(line: &str, column: usize) -> String {
    const BEFORE: usize = 50;
    const WIDTH: usize = 70;
    let first = column.saturating_sub(BEFORE);
    let shown: String = line.chars().skip(first).take(WIDTH).map(|c| if c == '\t' { ' ' } else { c }).collect();
    let dots = if first > 0 { "…" } else { "" };
    let rest = if line.chars().count() > first + WIDTH { "…" } else { "" };
    let mark = (column + dots.chars().count()).saturating_sub(first);
    format!("  {dots}{shown}{rest}\n  {:>mark$}", "^")
}

/// `len` zeros, or an error that says how many bytes were needed where memory does not hold them.
pub(crate) fn try_zeros<T: Copy + Default>(what: &str, len: usize) -> Result<Vec<T>> {
    let mut all = Vec::new();
    all.try_reserve_exact(len).map_err(|_| {
        let bytes = len as u128 * size_of::<T>() as u128;
        Error::Device(format!(
            "{what} needs {bytes} bytes of memory, more than there are; use a smaller network or batch"
        ))
    })?;
    all.resize(len, T::default());
    Ok(all)
}

/// The known name nearest to `name`, for "did you mean" in messages; `None` where nothing is near.
pub fn nearest<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> Option<&'a str> {
    known
        .into_iter()
        .map(|k| (strsim::normalized_damerau_levenshtein(&name.to_lowercase(), &k.to_lowercase()), k))
        .filter(|(similarity, _)| *similarity >= 0.4)
        .max_by(|a, b| a.0.total_cmp(&b.0))
        .map(|(_, k)| k)
}

/// ` (did you mean "x"?)`, or nothing where no known name is near.
pub fn did_you_mean<'a>(name: &str, known: impl IntoIterator<Item = &'a str>) -> String {
    nearest(name, known).map_or(String::new(), |k| format!(" (did you mean {k:?}?)"))
}
