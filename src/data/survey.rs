//! Reading a data set: a first pass over the file finds out what its columns hold, a second one makes numbers of its rows.

mod profile;
mod roles;

use std::path::{Path, PathBuf};

use rayon::prelude::*;

use super::draft::Draft;
use super::encoding::{Encoder, Encoding, Missing, Unknown};
use super::format::Format;
use super::input::Input;
use super::numbers::{Collector, Numbers};
use super::table::{Cell, Reader, Table, list, missing, part};
use super::target::{Answers, Known, Spot, Target, TaskHint, decide};
use super::{Dataset, Matrix, Task};
use crate::Result;
use profile::Profile;
use roles::{Columns, Files, Roles};

/// How a file is read.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct ReadOptions {
    /// The file's format; without it, that of its name or else of its first bytes.
    pub format: Option<Format>,
    /// A file with the answers, a row for each row of the data; its columns come behind those of the data.
    pub labels: Option<PathBuf>,
    /// The column to predict, or several, separated by commas. Without it, the column that the format has for the answers, those
    /// of [`ReadOptions::labels`], or else the last one.
    pub target: Option<String>,
    /// Whether the target is classes or numbers.
    pub task: TaskHint,
    /// The column that says how much each row counts; it is no input.
    pub weights: Option<String>,
    /// Columns to leave out.
    pub ignore: Vec<String>,
    /// Columns whose values are categories even where they are numbers.
    pub categorical: Vec<String>,
    /// What becomes of missing values among the inputs.
    pub missing: Missing,
    /// What is to become of categories that are not in the file.
    pub unknown: Unknown,
    /// How many bytes the rows may take up in memory; where they need more, they lie in temporary files beside the data, and
    /// results are the same to the bit. Without it there is no limit.
    pub memory: Option<u64>,
}

/// What a column of a file is used for, and what it holds.
#[derive(Clone, Debug, PartialEq)]
pub struct ColumnSummary {
    /// Its name.
    pub name: String,
    /// How many categories it has; `None` where it holds numbers.
    pub categories: Option<usize>,
    /// In how many rows its value is missing.
    pub missing: usize,
}

/// A file that was read once: what its rows hold is known, and they can be loaded.
pub struct Survey {
    files: Files,
    rows: usize,
    encoding: Encoding,
    places: Vec<usize>,
    summaries: Vec<ColumnSummary>,
    keep_missing: bool,
    task: Task,
    answers: Answers,
    weights: Option<Vec<f32>>,
    memory: Option<u64>,
    /// The inputs, where the first pass had them all.
    draft: Option<Numbers>,
}

impl Survey {
    /// Reads the file `path`, or standard input where it is `-`, to train on.
    ///
    /// Columns whose values are numbers are inputs as they are; columns of texts become an input for each of the distinct ones.
    pub fn new(path: &Path, options: &ReadOptions) -> Result<Survey> {
        Survey::of(Files::new(path, options)?, options)
    }

    /// The same for a text that is part of the program.
    pub(super) fn bundled(name: &str, text: &'static str, options: &ReadOptions) -> Result<Survey> {
        Survey::of(Files { data: Input::bundled(name, text), labels: None }, options)
    }

    fn of(files: Files, options: &ReadOptions) -> Result<Survey> {
        let reader = files.open()?;
        let columns = Columns { input: &files.data, names: &reader.names, answers: &reader.answers };
        let weights = options.weights.as_ref().map(|name| columns.position(name)).transpose()?;
        let mut taken = columns.all(&options.ignore)?;
        taken.extend(weights);
        let targets = columns.targets(options.target.as_deref(), &taken)?;
        if let Some(&both) = targets.iter().find(|column| taken.contains(column)) {
            let name = &reader.names[both];
            return Err(files
                .data
                .error(format!("the target column {name:?} is also one of weights or to be ignored")));
        }
        taken.extend(&targets);
        let places = columns.others(&taken);
        let forced = columns.all(&options.categorical)?;
        if let Some(&wrong) = forced.iter().find(|column| !places.contains(column)) {
            let name = &reader.names[wrong];
            return Err(files
                .data
                .error(format!("the column {name:?} is named categorical, but is none of the inputs")));
        }
        if places.is_empty() {
            let found = list(&reader.names);
            let what = format!("expected at least one input column besides the target, found only {found}");
            return Err(files.data.error(what + columns.separator_hint()));
        }
        let refuse = options.missing == Missing::Error;
        let mut profiles: Vec<_> = places.iter().map(|place| Profile::new(forced.contains(place), refuse)).collect();
        let mut draft = Draft::new(&files.data);
        let pass = Pass::new(&files, reader, &targets, weights)?;
        let (names, rows, targets, weights) = pass.run(|table, names, first| {
            let columns = places
                .par_iter()
                .zip(&mut profiles)
                .map(|(&place, profile)| profile.add(&files.data, &names[place], &table.columns[place], table, first));
            // Of several errors, that of the first column.
            let columns: Vec<_> = columns.collect::<Vec<_>>().into_iter().collect::<Result<_>>()?;
            draft.extend(&columns, table.rows);
            Ok(())
        })?;
        let (task, answers) = decide(&files.data, targets, options.task)?;
        let mut encoding = Encoding::default();
        let mut summaries = Vec::new();
        for (&place, profile) in places.iter().zip(profiles) {
            let (column, summary) = profile.finish(&files.data, &names[place], rows, options)?;
            encoding.columns.push(column);
            summaries.push(summary);
        }
        let keep_missing = !refuse;
        let (memory, draft) = (options.memory, draft.finish(rows, places.len()));
        Ok(Survey { files, rows, encoding, places, summaries, keep_missing, task, answers, weights, memory, draft })
    }

    /// Reads a file to judge a trained network by: inputs as `encoding` says, answers as `task` says.
    ///
    /// Where the file has all columns of `encoding` by name, those are taken; otherwise the columns besides the target, where they
    /// are as many, in order. The target is what [`ReadOptions::target`] names; by default, those of [`ReadOptions::labels`] where
    /// they are as many as the task has, the [columns of the task](Task::columns) by their names, the columns that the format
    /// has for the answers, or the last that are no inputs. A label that is none of the classes is an error.
    pub fn like(path: &Path, options: &ReadOptions, encoding: &Encoding, task: &Task) -> Result<Survey> {
        let files = Files::new(path, options)?;
        let reader = files.open()?;
        let columns = Columns { input: &files.data, names: &reader.names, answers: &reader.answers };
        let weights = options.weights.as_ref().map(|name| columns.position(name)).transpose()?;
        let mut taken = columns.all(&options.ignore)?;
        taken.extend(weights);
        let targets = columns.targets_of(task, options, encoding, &taken)?;
        taken.extend(&targets);
        let inputs = columns.inputs(encoding, columns.others(&taken))?;
        Survey::known(files, reader, Roles { inputs, targets, weights }, encoding, task, options.memory)
    }

    /// Reads columns of numbers by their names; the file may have others.
    pub(super) fn by_names(
        path: &Path,
        options: &ReadOptions,
        inputs: &[String],
        targets: &[String],
    ) -> Result<Survey> {
        let files = Files::new(path, options)?;
        let reader = files.open()?;
        let columns = Columns { input: &files.data, names: &reader.names, answers: &reader.answers };
        let weights = options.weights.as_ref().map(|name| columns.position(name)).transpose()?;
        let roles = Roles { inputs: columns.all(inputs)?, targets: columns.all(targets)?, weights };
        let task = Task::Regression { outputs: targets.to_vec() };
        Survey::known(files, reader, roles, &Encoding::numbers(inputs), &task, options.memory)
    }

    fn known(
        files: Files,
        reader: Reader,
        roles: Roles,
        encoding: &Encoding,
        task: &Task,
        memory: Option<u64>,
    ) -> Result<Survey> {
        let Roles { inputs: places, targets, weights } = roles;
        let classes = match task {
            Task::Classification { classes, .. } => classes.as_slice(),
            Task::Regression { .. } => &[],
        };
        if classes.len() > Known::MOST {
            let (found, most) = (classes.len(), Known::MOST);
            return Err(files.data.error(format!("the network tells {found} classes apart; expected at most {most}")));
        }
        let known = Known::new(classes);
        let mut labels = Vec::new();
        let mut label_of = |table: &Table, names: &[String], first: usize| {
            let (Task::Classification { .. }, [target]) = (task, &targets[..]) else { return Ok(()) };
            for row in 0..table.rows {
                let at = table.at.get(row).copied();
                let bad = |what| files.data.error_at(first + row, at, &names[*target], what);
                labels.push(match table.columns[*target].cell(row) {
                    Cell::Missing(found) => return Err(bad(missing(found))),
                    Cell::Text(text) => known.find(text).map_err(bad)?,
                    cell => known.find(&cell.text()).map_err(bad)?,
                });
            }
            Ok(())
        };
        let numbers = matches!(task, Task::Regression { .. });
        let pass = Pass::new(&files, reader, if numbers { &targets } else { &[] }, weights)?;
        let (_, rows, read, weights) = pass.run(&mut label_of)?;
        let answers = match numbers {
            true => decide(&files.data, read, TaskHint::Regression)?.1,
            false => Answers::Classes(labels),
        };
        Ok(Survey {
            files,
            rows,
            encoding: encoding.clone(),
            places,
            summaries: Vec::new(),
            keep_missing: false,
            task: task.clone(),
            answers,
            weights,
            memory,
            draft: None,
        })
    }

    /// What to call the data: the file's name without the ending.
    pub fn name(&self) -> &str {
        &self.files.data.name
    }

    /// How many rows there are.
    pub fn rows(&self) -> usize {
        self.rows
    }

    /// What the targets mean.
    pub fn task(&self) -> &Task {
        &self.task
    }

    /// What makes inputs of the columns; what stands for missing values is not fitted yet.
    pub fn encoding(&self) -> &Encoding {
        &self.encoding
    }

    /// What the columns hold that become inputs.
    pub fn columns(&self) -> &[ColumnSummary] {
        &self.summaries
    }

    /// Whether the rows are too large for the memory that they may take up.
    pub fn is_large(&self) -> bool {
        let cols = (self.encoding.width() + self.task.outputs()) as u64;
        self.memory.is_some_and(|memory| (4 * cols).saturating_mul(self.rows as u64) > memory)
    }

    /// Each row's class, counted from 0; `None` for a regression.
    pub fn labels(&self) -> Option<Vec<u32>> {
        match &self.answers {
            Answers::Classes(labels) => Some(labels.iter().map(|label| u32::from(*label)).collect()),
            Answers::Numbers(_) => None,
        }
    }

    /// Loads all rows in their order.
    pub fn load(&self) -> Result<Dataset> {
        let all: Vec<u32> = (0..self.rows as u32).collect();
        match self.load_parts(&[&all])?.pop() {
            Some(data) => Ok(data),
            None => Err(self.files.data.error("expected rows, found none")),
        }
    }

    /// Loads rows by their numbers, each at most once, for each of `parts` a data set with its rows in the order given. Missing values, unless
    /// they are an error, are NaN until [`Encoding::fill`] fills them in.
    ///
    /// # Errors
    /// Where the file changed since it was surveyed, or where a value cannot be used.
    ///
    /// # Panics
    /// Where a row number is not below [`Survey::rows`].
    pub fn load_parts(&self, parts: &[&[u32]]) -> Result<Vec<Dataset>> {
        let (cols, outputs) = (self.encoding.width(), self.task.outputs());
        let mut sets: Vec<Dataset> = parts.iter().map(|rows| self.part(rows, cols, outputs)).collect::<Result<_>>()?;
        let homes = Homes::new(parts, self.rows);
        if let Some(draft) = &self.draft {
            let block = part(cols);
            for (numbers, first) in draft.chunks(block * cols).zip((0..).step_by(block)) {
                for (row, from) in numbers.chunks_exact(cols).zip(first..) {
                    if let Some((part, place)) = homes.of(from) {
                        sets[part].inputs.data[place * cols..][..cols].copy_from_slice(row);
                    }
                }
                draft.release();
                sets.iter().for_each(|set| set.inputs.data.release());
            }
            return Ok(sets);
        }
        let reader = self.files.open()?;
        let encoder = Encoder::new(&self.encoding, &self.places, self.keep_missing);
        let (names, mut tables) = (reader.names, reader.tables);
        let mut first = 0;
        let changed = || self.files.data.error("the file changed while it was read; start again");
        while let Some(table) = tables.next()? {
            if first + table.rows > self.rows {
                return Err(changed());
            }
            for row in 0..table.rows {
                let Some((part, place)) = homes.of(first + row) else { continue };
                let inputs = &mut sets[part].inputs.data[place * cols..][..cols];
                encoder.encode(&table, row, inputs).map_err(|(column, what)| {
                    let at = table.at.get(row).copied();
                    self.files.data.error_at(first + row, at, &names[column], what)
                })?;
            }
            first += table.rows;
            sets.iter().for_each(|set| set.inputs.data.release());
        }
        if first != self.rows {
            return Err(changed());
        }
        Ok(sets)
    }

    /// A data set of `rows` with its answers, but without its inputs.
    fn part(&self, rows: &[u32], cols: usize, outputs: usize) -> Result<Dataset> {
        let zeros = |cols| match self.is_large() {
            true => Matrix::zeros_in_file(rows.len(), cols, self.files.data.folder()),
            false => Ok(Matrix::zeros(rows.len(), cols)),
        };
        let mut targets = zeros(outputs)?;
        targets.each_row_mut(|i, target| match &self.answers {
            Answers::Classes(labels) => target[usize::from(labels[rows[i] as usize])] = 1.0,
            Answers::Numbers(columns) => {
                target.iter_mut().zip(columns).for_each(|(target, numbers)| *target = numbers[rows[i] as usize]);
            }
        });
        Ok(Dataset {
            name: self.name().to_owned(),
            features: self.encoding.features(),
            task: self.task.clone(),
            inputs: zeros(cols)?,
            targets,
            weights: self.weights.as_ref().map(|weights| rows.iter().map(|&row| weights[row as usize]).collect()),
        })
    }
}

/// Where each row goes: its place among the rows of all parts, one part behind the other.
struct Homes {
    places: Vec<u32>,
    /// Where each part begins.
    starts: Vec<u32>,
}

impl Homes {
    const NONE: u32 = u32::MAX;

    fn new(parts: &[&[u32]], rows: usize) -> Homes {
        let mut places = vec![Homes::NONE; rows];
        let mut starts = Vec::new();
        let mut next = 0;
        for rows in parts {
            starts.push(next);
            for &row in *rows {
                places[row as usize] = next;
                next += 1;
            }
        }
        Homes { places, starts }
    }

    /// The part that `row` goes to, and its place in it.
    fn of(&self, row: usize) -> Option<(usize, usize)> {
        let place = Some(self.places[row]).filter(|place| *place != Homes::NONE)?;
        let part = self.starts.partition_point(|start| *start <= place) - 1;
        Some((part, (place - self.starts[part]) as usize))
    }
}

/// A pass over a file that reads answers and weights.
struct Pass<'a> {
    files: &'a Files,
    reader: Reader,
    targets: Vec<(usize, Target)>,
    weights: Option<(usize, Vec<f32>)>,
}

type Read = (Vec<String>, usize, Vec<Target>, Option<Vec<f32>>);

impl<'a> Pass<'a> {
    fn new(files: &'a Files, reader: Reader, targets: &[usize], weights: Option<usize>) -> Result<Self> {
        let alone = targets.len() == 1;
        let target = |&column: &usize| (column, Target::new(&reader.names[column], alone));
        let targets = targets.iter().map(target).collect();
        Ok(Pass { files, reader, targets, weights: weights.map(|column| (column, Vec::new())) })
    }

    /// Hands each table to `see`, with the columns' names and the number of its first row, while the next one is read.
    fn run(mut self, mut see: impl FnMut(&Table, &[String], usize) -> Result<()> + Send) -> Result<Read> {
        let input = &self.files.data;
        let Reader { names, mut tables, .. } = self.reader;
        let mut first = 0;
        let mut next = tables.next()?;
        while let Some(table) = next {
            for row in 0..table.rows {
                let spot = Spot { row: first + row, at: table.at.get(row).copied() };
                let bad = |column: usize, what| input.error_at(spot.row, spot.at, &names[column], what);
                for (column, target) in &mut self.targets {
                    target.push(&table.columns[*column], row, spot).map_err(|what| bad(*column, what))?;
                }
                if let Some((column, weights)) = &mut self.weights {
                    let weight = table.columns[*column].cell(row).number().map_err(|what| bad(*column, what))?;
                    if weight < 0.0 {
                        return Err(bad(*column, format!("expected a weight of at least 0, found {weight}")));
                    }
                    weights.push(weight);
                }
            }
            let (seen, read) = rayon::join(|| see(&table, &names, first), || tables.next());
            seen?;
            next = read?;
            first += table.rows;
        }
        if first == 0 {
            return Err(input.error("the file has no rows"));
        }
        // Row numbers are u32, as shaders count.
        if first >= u32::MAX as usize {
            return Err(input.error(format!("the file has {first} rows; expected fewer than {}", u32::MAX)));
        }
        let weights = self.weights.map(|(_, weights)| weights);
        if weights.as_ref().is_some_and(|weights| weights.iter().all(|weight| *weight == 0.0)) {
            return Err(input.error(format!("all {first} rows have the weight 0: expected one that counts")));
        }
        Ok((names, first, self.targets.into_iter().map(|(_, target)| target).collect(), weights))
    }
}

/// Reads the inputs for a prediction, [rows, inputs], found by name or in order as in [`Survey::like`]. Where they would take up
/// more bytes than `memory`, they lie in a temporary file.
pub fn read_inputs(path: &Path, format: Option<&Format>, encoding: &Encoding, memory: Option<u64>) -> Result<Matrix> {
    let input = Input::new(path, format)?;
    let reader = Files { data: input.clone(), labels: None }.open()?;
    let columns = Columns { input: &input, names: &reader.names, answers: &reader.answers };
    // Answers that a format keeps apart are no inputs.
    let candidates = columns.others(reader.answers.as_deref().unwrap_or_default());
    let places = columns.inputs(encoding, candidates)?;
    let encoder = Encoder::new(encoding, &places, false);
    let (names, mut tables, cols) = (reader.names, reader.tables, encoding.width());
    let full = |error: std::io::Error| input.error(format!("cannot be kept in a temporary file ({error})"));
    let mut collector = Collector::new(memory.unwrap_or(u64::MAX), input.folder());
    let mut rows = 0;
    let mut inputs = vec![0.0; cols];
    while let Some(table) = tables.next()? {
        for row in 0..table.rows {
            encoder.encode(&table, row, &mut inputs).map_err(|(column, what)| {
                input.error_at(rows + row, table.at.get(row).copied(), &names[column], what)
            })?;
            collector.extend(&inputs).map_err(full)?;
        }
        rows += table.rows;
    }
    match rows {
        0 => Err(input.error("the file has no rows")),
        _ => Ok(Matrix { rows, cols, data: collector.finish().map_err(full)? }),
    }
}
