//! The files of a data set, and what their columns are used for.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use super::ReadOptions;
use crate::Result;
use crate::data::Task;
use crate::data::encoding::Encoding;
use crate::data::format::Format;
use crate::data::input::Input;
use crate::data::join::Join;
use crate::data::table::{Reader, list};
use crate::error::did_you_mean;

/// The file with the data, and perhaps one with the answers.
pub struct Files {
    pub data: Input,
    pub labels: Option<Input>,
}

impl Files {
    pub fn new(path: &Path, options: &ReadOptions) -> Result<Files> {
        let data = Input::new(path, options.format.as_ref())?;
        let labels = options.labels.as_ref().map(|path| Input::new(path, None)).transpose()?;
        Ok(Files { data, labels })
    }

    pub fn open(&self) -> Result<Reader> {
        let mut reader = self.data.open()?;
        if let Some(input) = &self.labels {
            let labels = input.open()?;
            let from = reader.names.len();
            reader.answers = Some((from..from + labels.names.len()).collect());
            // Arrays have made-up names, the same in both files.
            let taken: HashSet<String> = reader.names.iter().cloned().collect();
            let name = |name: String| if taken.contains(&name) { format!("label {name}") } else { name };
            reader.names.extend(labels.names.into_iter().map(name));
            reader.tables = Box::new(Join::new(&self.data, reader.tables, input, labels.tables));
        }
        let mut seen = HashSet::new();
        match reader.names.iter().find(|name| !seen.insert(name.as_str())) {
            Some(twice) => Err(self.data.error(format!("two columns are named {twice:?}; expected different names"))),
            None => Ok(reader),
        }
    }
}

/// What the columns of a file are used for, by their places.
pub struct Roles {
    pub inputs: Vec<usize>,
    pub targets: Vec<usize>,
    pub weights: Option<usize>,
}

/// Columns by their names.
pub struct Columns<'a> {
    pub input: &'a Input,
    pub names: &'a [String],
    pub answers: &'a Option<Vec<usize>>,
}

impl Columns<'_> {
    pub fn position(&self, name: &str) -> Result<usize> {
        self.names.iter().position(|known| known == name).ok_or_else(|| {
            let hint = did_you_mean(name, self.names.iter().map(String::as_str));
            self.input.error(format!("there is no column {name:?}{hint}; the columns are {}", list(self.names)))
        })
    }

    pub fn all<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Result<Vec<usize>> {
        names.into_iter().map(|name| self.position(name)).collect()
    }

    /// The columns named `names`, where all of them are there.
    pub fn present<'n>(&self, names: impl IntoIterator<Item = &'n String>) -> Option<Vec<usize>> {
        let places: HashMap<_, _> = self.names.iter().zip(0..).collect();
        names.into_iter().map(|name| places.get(name).copied()).collect()
    }

    /// The columns that `target` names; else those that the format has for the answers, or the last that is not `taken`.
    pub fn targets(&self, target: Option<&str>, taken: &[usize]) -> Result<Vec<usize>> {
        let Some(target) = target else {
            return match self.answers {
                Some(answers) if answers.is_empty() => {
                    let what =
                        "expected a column with the answers, found none; say which one, or give a file of labels";
                    Err(self.input.error(what))
                }
                Some(answers) => Ok(answers.clone()),
                None => Ok((0..self.names.len()).rev().find(|column| !taken.contains(column)).into_iter().collect()),
            };
        };
        // A name may itself hold a comma.
        if let Some(column) = self.names.iter().position(|name| name == target.trim()) {
            return Ok(vec![column]);
        }
        let mut columns = Vec::new();
        for name in target.split(',').map(str::trim) {
            let column = self.position(name)?;
            if columns.contains(&column) {
                return Err(self.input.error(format!("the target column {name:?} is named twice; name it once")));
            }
            columns.push(column);
        }
        Ok(columns)
    }

    /// As many columns with answers as `task` has, as [`Survey::like`] states.
    pub fn targets_of(
        &self,
        task: &Task,
        options: &ReadOptions,
        encoding: &Encoding,
        taken: &[usize],
    ) -> Result<Vec<usize>> {
        let wanted = match task {
            Task::Classification { .. } => 1,
            Task::Regression { outputs } => outputs.len(),
        };
        let many = |columns: &Vec<usize>| columns.len() == wanted;
        let labels = || options.labels.as_ref().and(self.answers.clone()).filter(many);
        let by_name = || self.present(task.columns()).filter(many);
        let targets = match &options.target {
            Some(target) => Some(self.targets(Some(target), taken)?),
            None => labels().or_else(by_name).or_else(|| self.answers.clone()),
        };
        let found = match targets {
            Some(targets) if many(&targets) => return Ok(targets),
            Some(targets) => targets.len(),
            None => {
                let inputs = self.present(encoding.columns.iter().map(|column| &column.name));
                let spare = self.others(&[&inputs.unwrap_or_default(), taken].concat());
                match spare.len().checked_sub(wanted) {
                    Some(from) => return Ok(spare[from..].to_vec()),
                    None => spare.len(),
                }
            }
        };
        Err(self.input.error(format!("the network needs {wanted} target column(s) besides the inputs, found {found}")))
    }

    pub fn others(&self, taken: &[usize]) -> Vec<usize> {
        (0..self.names.len()).filter(|column| !taken.contains(column)).collect()
    }

    /// The columns of `encoding` by name, or all of `candidates`, where those are as many.
    pub fn inputs(&self, encoding: &Encoding, candidates: Vec<usize>) -> Result<Vec<usize>> {
        let names = || encoding.columns.iter().map(|column| &column.name);
        if let Some(columns) = self.present(names()) {
            return Ok(columns);
        }
        let expected = encoding.columns.len();
        if candidates.len() == expected {
            return Ok(candidates);
        }
        let missing: Vec<_> = names().filter(|name| !self.names.contains(*name)).collect();
        let found = candidates.len();
        let what = format!("expected {expected} input columns, found {found}; missing are {}", list(&missing));
        Err(self.input.error(what + self.separator_hint()))
    }

    /// What to say where there is a single column, perhaps because something other than commas separates the fields.
    pub fn separator_hint(&self) -> &'static str {
        match (self.names, &self.input.format) {
            ([only], Format::Csv { separator: b',' }) if only.contains(';') => {
                " (the fields seem separated by semicolons; expected commas; the format csv:; has semicolons)"
            }
            ([only], Format::Csv { separator: b',' }) if only.contains('\t') => {
                " (the fields seem separated by tabs; expected commas; the format tsv has tabs)"
            }
            _ => "",
        }
    }
}
