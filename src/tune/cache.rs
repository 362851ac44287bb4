//! Where verdicts are kept between runs: one JSON file, written whole or not at all.

use crate::data::write_atomic;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::fs;
use std::io::ErrorKind;
use std::path::{Path, PathBuf};

/// The name of the file in a cache folder. A change of its meaning takes another name.
pub const FILE: &str = "tuning-v1.json";

/// The version in the file, in case it was renamed.
const FORMAT: u64 = 1;

/// A larger file is not one that this library wrote.
const LARGEST: u64 = 8 << 20;

/// What came out of measuring the candidates for one place.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Record {
    /// The candidate to take.
    pub winner: String,
    /// Seconds of each candidate that was measured, by name.
    #[serde(default)]
    pub seconds: BTreeMap<String, f64>,
    /// Candidates that may not be taken, and why.
    #[serde(default)]
    pub excluded: BTreeMap<String, String>,
    /// Candidates that there was no time for, and the seconds that they were expected to take.
    #[serde(default)]
    pub postponed: BTreeMap<String, f64>,
}

impl Record {
    fn is_sound(&self) -> bool {
        let mut times = self.seconds.values().chain(self.postponed.values());
        times.all(|s| s.is_finite() && *s > 0.0) && !self.excluded.contains_key(&self.winner)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct File {
    format: u64,
    verdicts: BTreeMap<String, Record>,
}

/// Verdicts by key, in memory and, where there is a path, in a file.
#[derive(Debug, Default)]
pub struct Cache {
    path: Option<PathBuf>,
    verdicts: BTreeMap<String, Record>,
    warning: Option<String>,
}

impl Cache {
    /// The cache in the file `path`, which need not exist yet; in memory alone where there is no path. What cannot be
    /// used is ignored, and [`Cache::warning`] says so.
    pub fn open(path: Option<PathBuf>) -> Cache {
        let mut cache = Cache { path, ..Cache::default() };
        match cache.path.as_deref().map(read) {
            None | Some(Ok(None)) => {}
            Some(Ok(Some(verdicts))) => cache.verdicts = verdicts,
            Some(Err(refusal)) => {
                cache.warn(&refusal.what);
                if !refusal.replaceable {
                    cache.path = None;
                }
            }
        }
        cache
    }

    /// What was wrong with the file, the first time that it is asked for.
    pub fn warning(&mut self) -> Option<String> {
        self.warning.take()
    }

    /// The verdict under `key`.
    pub fn get(&self, key: &str) -> Option<&Record> {
        self.verdicts.get(key)
    }

    /// Keeps verdicts, in the file too. Where that cannot be written, [`Cache::warning`] says so.
    pub fn insert(&mut self, verdicts: impl IntoIterator<Item = (String, Record)>) {
        let mut new: BTreeMap<_, _> = verdicts.into_iter().collect();
        if new.is_empty() {
            return;
        }
        if let Some(path) = self.path.clone() {
            // Another process may have written since; what it found stays.
            let mut all = read(&path).ok().flatten().unwrap_or_default();
            all.extend(new.clone());
            if let Err(what) = write(&path, all) {
                self.warn(&what);
                self.path = None;
            }
        }
        self.verdicts.append(&mut new);
    }

    fn warn(&mut self, what: &str) {
        let path = self.path.as_deref().unwrap_or(Path::new("")).display();
        self.warning.get_or_insert(format!("the tuning cache {path} is not used: {what}"));
    }
}

/// Why a file cannot be used.
struct Refusal {
    what: String,
    /// Whether the next verdicts may take the file's place.
    replaceable: bool,
}

/// The verdicts in the file `path`; `None` where there is none.
fn read(path: &Path) -> Result<Option<BTreeMap<String, Record>>, Refusal> {
    let kept = |what: String| Refusal { what, replaceable: false };
    let damaged = |what: String| Refusal { what: format!("{what}; it will be written anew"), replaceable: true };
    let found = match fs::metadata(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(kept(error.to_string())),
        Ok(found) => found,
    };
    if !found.is_file() {
        return Err(kept("it is not a regular file; choose another folder by WGRAD_CACHE_DIR".into()));
    }
    if found.len() > LARGEST {
        return Err(damaged(format!("expected at most {LARGEST} bytes, found {}", found.len())));
    }
    let bytes = fs::read(path).map_err(|error| kept(error.to_string()))?;
    #[derive(Deserialize)]
    struct Version {
        format: u64,
    }
    let unreadable = |error: serde_json::Error| damaged(format!("it is damaged ({error})"));
    let version: Version = serde_json::from_slice(&bytes).map_err(unreadable)?;
    if version.format != FORMAT {
        return Err(kept(format!("expected format {FORMAT}, found {}, from another wgrad", version.format)));
    }
    let mut file: File = serde_json::from_slice(&bytes).map_err(unreadable)?;
    let before = file.verdicts.len();
    file.verdicts.retain(|_, record| record.is_sound());
    match before - file.verdicts.len() {
        0 => Ok(Some(file.verdicts)),
        unsound => Err(damaged(format!("{unsound} of its verdicts hold times that none can take"))),
    }
}

fn write(path: &Path, verdicts: BTreeMap<String, Record>) -> Result<(), String> {
    let write = || -> crate::Result<()> {
        if let Some(folder) = path.parent() {
            fs::create_dir_all(folder).map_err(crate::Error::io("create", folder))?;
        }
        write_atomic(path, |out| Ok(serde_json::to_writer_pretty(out, &File { format: FORMAT, verdicts })?))
    };
    write().map_err(|error| error.to_string())
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn record(winner: &str, seconds: f64) -> Record {
        Record { winner: winner.into(), seconds: [(winner.to_owned(), seconds)].into(), ..Record::default() }
    }

    fn opened(path: &Path) -> (Cache, Option<String>) {
        let mut cache = Cache::open(Some(path.to_owned()));
        let warning = cache.warning();
        (cache, warning)
    }

    #[test]
    fn verdicts_come_back_from_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("below").join(FILE);
        let (mut first, warning) = opened(&path);
        assert_eq!(warning, None);
        first.insert([("a".to_owned(), record("tiled", 0.25))]);
        assert_eq!(first.warning(), None);
        assert_eq!(first.get("a"), Some(&record("tiled", 0.25)));
        // A second process that opened the file before it was written adds to it.
        let mut second = Cache { path: Some(path.clone()), ..Cache::default() };
        second.insert([("b".to_owned(), record("naive", 0.5))]);
        let (both, warning) = opened(&path);
        assert_eq!((both.verdicts.len(), warning), (2, None));
    }

    #[test]
    fn what_is_damaged_is_said_and_written_anew() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let unsound = r#"{"format": 1, "verdicts": {"a": {"winner": "x", "seconds": {"x": -1.0}}}}"#;
        let out_of_place = r#"{"format": 1, "verdicts": {}, "more": 1}"#;
        for text in ["", "{", "[]", "\u{0}\u{1}", unsound, out_of_place] {
            fs::write(&path, text).unwrap();
            let (mut cache, warning) = opened(&path);
            let warning = warning.unwrap();
            assert!(warning.contains("not used") && warning.contains("written anew"), "{warning}");
            assert_eq!(cache.warning(), None, "one warning is enough");
            cache.insert([("a".to_owned(), record("tiled", 0.25))]);
            assert_eq!(opened(&path).0.get("a"), Some(&record("tiled", 0.25)), "{text}");
        }
    }

    #[test]
    fn what_is_foreign_stays_as_it_is() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        let newer = r#"{"format": 2, "anything": []}"#;
        fs::write(&path, newer).unwrap();
        let (mut cache, warning) = opened(&path);
        assert!(warning.unwrap().contains("found 2"));
        cache.insert([("a".to_owned(), record("tiled", 0.25))]);
        assert_eq!(cache.get("a"), Some(&record("tiled", 0.25)), "in memory it works");
        assert_eq!(fs::read_to_string(&path).unwrap(), newer);
    }

    #[test]
    fn what_cannot_be_written_is_said_once() {
        let folder = tempfile::tempdir().unwrap();
        // A file where a folder belongs: refused whoever runs the test, the superuser too.
        fs::write(folder.path().join("file"), "").unwrap();
        let mut cache = Cache::open(Some(folder.path().join("file").join(FILE)));
        for key in ["a", "b"] {
            cache.insert([(key.to_owned(), record("tiled", 0.25))]);
        }
        assert!(cache.warning().unwrap().contains("not used"));
        assert_eq!((cache.verdicts.len(), cache.warning()), (2, None));
    }

    #[test]
    fn many_writers_leave_a_sound_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join(FILE);
        std::thread::scope(|scope| {
            for writer in 0..4 {
                let path = &path;
                scope.spawn(move || {
                    let mut cache = Cache::open(Some(path.clone()));
                    for i in 0..10 {
                        cache.insert([(format!("{writer}.{i}"), record("tiled", 0.25))]);
                        assert_eq!(cache.warning(), None);
                    }
                });
            }
        });
        let (cache, warning) = opened(&path);
        assert!(warning.is_none() && cache.verdicts.len() >= 10);
    }
}
