//! What the target columns of a file mean, and their values as numbers.

use std::collections::HashMap;
use std::str::FromStr;

use super::Task;
use super::input::Input;
use super::table::{Cell, Column, list, missing};
use crate::error::did_you_mean;
use crate::{Error, Result};

/// Whether a target column holds classes or numbers.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub enum TaskHint {
    /// Decide on the values, by the rule that [`read_csv`](super::read_csv) states.
    #[default]
    Infer,
    /// Each distinct value is a class.
    Classification,
    /// Each value is a number to predict.
    Regression,
}

impl FromStr for TaskHint {
    type Err = Error;

    /// `infer`, `classification` or `regression`.
    fn from_str(text: &str) -> Result<TaskHint> {
        match text {
            "infer" => Ok(TaskHint::Infer),
            "classification" => Ok(TaskHint::Classification),
            "regression" => Ok(TaskHint::Regression),
            _ => {
                let hint = did_you_mean(text, ["infer", "classification", "regression"]);
                let what = format!("unknown task {text:?}{hint}; the tasks are infer, classification, regression");
                Err(Error::Config(what))
            }
        }
    }
}

/// Above this, distinct values are taken for numbers or for a wrong column, unless they repeat enough.
const MANY_CLASSES: usize = 50;
/// Above this, one-hot targets would fill the memory.
const MAX_CLASSES: usize = 10_000;

/// Where a cell is.
#[derive(Clone, Copy, Debug)]
pub(super) struct Spot {
    /// Counted from 0.
    pub row: usize,
    /// The byte at which the row begins, in a file of text.
    pub at: Option<u64>,
}

/// A target column as it is read.
pub(super) struct Target {
    name: String,
    rows: usize,
    /// Whether there are other targets, so that it can only hold numbers.
    alone: bool,
    /// The first value that is none, and what is wrong with it.
    no_number: Option<(Spot, String)>,
    /// The first value that a class of numbers cannot have.
    first_text: Option<(Spot, String)>,
    /// The distinct values in the order in which they come, and the number of each: NaN where it is none.
    distinct: HashMap<String, u16>,
    numbers_of: Vec<f32>,
    /// Which of them each row has, as long as they are not too many to be counted.
    codes: Vec<u16>,
    many: bool,
    /// The values as numbers, where they are not counted.
    numbers: Vec<f32>,
}

/// More distinct values are not counted.
const MOST_DISTINCT: usize = u16::MAX as usize;

/// The answers of all rows.
pub(super) enum Answers {
    /// The class of each row.
    Classes(Vec<u16>),
    /// The numbers of each row, column by column.
    Numbers(Vec<Vec<f32>>),
}

impl Target {
    pub fn new(name: &str, alone: bool) -> Self {
        Target {
            name: name.to_owned(),
            rows: 0,
            alone,
            no_number: None,
            first_text: None,
            distinct: HashMap::new(),
            numbers_of: Vec::new(),
            codes: Vec::new(),
            many: !alone,
            numbers: Vec::new(),
        }
    }

    /// Takes the value in `row` of `column`, or says what is wrong with it.
    pub fn push(&mut self, column: &Column, row: usize, spot: Spot) -> Result<(), String> {
        let cell = column.cell(row);
        if let (false, Cell::Text(text)) = (self.many, cell)
            && let Some(code) = self.distinct.get(text)
        {
            self.codes.push(*code);
            self.rows += 1;
            return Ok(());
        }
        let text = cell.text();
        match cell {
            Cell::Missing("") => return Err(missing("")),
            Cell::Missing(found) if !self.alone || !found.eq_ignore_ascii_case("nan") => {
                return Err(format!("target: {}", missing(found)));
            }
            _ if self.alone && text.parse::<f64>().is_ok_and(|x| !x.is_finite()) => {
                return Err(format!("expected a class or a finite number, found {text:?}; remove the row"));
            }
            _ => {}
        }
        let number = cell.number();
        let value = *number.as_ref().unwrap_or(&f32::NAN);
        if let (Err(what), None) = (number, &self.no_number) {
            self.no_number = Some((spot, what));
        }
        if self.first_text.is_none() && as_number(&text).is_none() {
            self.first_text = Some((spot, text.clone()));
        }
        self.rows += 1;
        if !self.many {
            let next = self.distinct.len();
            let code = *self.distinct.entry(text).or_insert(next as u16);
            if next < MOST_DISTINCT || usize::from(code) < next {
                self.numbers_of.resize(self.distinct.len(), value);
                self.codes.push(code);
                return Ok(());
            }
            (self.many, self.numbers) = (true, self.decoded());
        }
        self.numbers.push(value);
        Ok(())
    }

    fn error(&self, input: &Input, spot: Spot, what: String) -> Error {
        input.error_at(spot.row, spot.at, &self.name, what)
    }

    /// The numbers of the counted values, which are then counted no more.
    fn decoded(&mut self) -> Vec<f32> {
        std::mem::take(&mut self.codes).into_iter().map(|code| self.numbers_of[usize::from(code)]).collect()
    }

    fn into_numbers(mut self, input: &Input) -> Result<Vec<f32>> {
        match &self.no_number {
            None if self.many => Ok(self.numbers),
            None => Ok(self.decoded()),
            Some((spot, what)) => Err(self.error(input, *spot, format!("target: {what}"))),
        }
    }

    /// The classes: in the order of numbers where all values are numbers, otherwise in that of text.
    fn classes(&self) -> Vec<String> {
        if self.first_text.is_some() {
            let mut names: Vec<String> = self.distinct.keys().cloned().collect();
            names.sort_unstable();
            return names;
        }
        let mut numbers: Vec<f64> = self.distinct.keys().filter_map(|text| as_number(text)).collect();
        numbers.sort_by(f64::total_cmp);
        numbers.dedup();
        numbers.iter().map(f64::to_string).collect()
    }

    /// Whether the values are classes, where nobody said what they are.
    fn holds_classes(&self, input: &Input, found: usize) -> Result<bool> {
        let repeated = self.rows >= 2 * found;
        let Some((spot, text)) = &self.first_text else {
            let is_class = |x: f64| x >= 0.0 && x.fract() == 0.0;
            let whole = || self.distinct.keys().filter_map(|text| as_number(text)).all(is_class);
            return Ok(!self.many && found <= MANY_CLASSES && repeated && whole());
        };
        if self.distinct.keys().any(|text| as_number(text).is_some_and(|x| x.fract() != 0.0)) {
            let what = format!(
                "found {text:?} in a target column that also holds fractions; remove the row to predict numbers, or say \
                 that the task is classification"
            );
            return Err(self.error(input, *spot, what));
        }
        if self.many || found > MANY_CLASSES && !repeated {
            let (name, rows) = (&self.name, self.rows);
            let what = format!(
                "the target column {name:?} has {found} distinct texts in {rows} rows, too many to be classes; choose \
                 another target column, or say that the task is classification"
            );
            return Err(input.error(what));
        }
        Ok(true)
    }
}

/// What the targets mean, and their values.
pub(super) fn decide(input: &Input, mut targets: Vec<Target>, hint: TaskHint) -> Result<(Task, Answers)> {
    if let ([target], true) = (&mut targets[..], hint != TaskHint::Regression) {
        let classes = target.classes();
        if hint == TaskHint::Classification || target.holds_classes(input, classes.len())? {
            let (name, found) = (&target.name, target.distinct.len().max(classes.len()));
            if target.many || classes.len() > MAX_CLASSES {
                let what =
                    format!("column {name:?} has {found} distinct values; expected at most {MAX_CLASSES} classes");
                return Err(input.error(what));
            }
            let known = Known::new(&classes);
            let mut class_of = vec![0; target.distinct.len()];
            for (text, code) in &target.distinct {
                class_of[*code as usize] = known.find(text).map_err(|what| input.error(what))?;
            }
            let mut labels = std::mem::take(&mut target.codes);
            labels.iter_mut().for_each(|label| *label = class_of[usize::from(*label)]);
            return Ok((Task::Classification { classes, column: Some(name.clone()) }, Answers::Classes(labels)));
        }
    } else if hint == TaskHint::Classification {
        let what = format!("classification needs one target column, found {}; choose one", targets.len());
        return Err(input.error(what));
    }
    let outputs = targets.iter().map(|target| target.name.clone()).collect();
    let numbers = targets.into_iter().map(|target| target.into_numbers(input)).collect::<Result<_>>()?;
    Ok((Task::Regression { outputs }, Answers::Numbers(numbers)))
}

/// The number a label writes, with one zero; so `1`, `1.0` and `01` are one class.
fn as_number(text: &str) -> Option<f64> {
    // Beyond 2⁵³ neighbouring integers, which may be identifiers, would become one number.
    text.parse::<f64>().ok().map(|x| x + 0.0).filter(|x| x.abs() < 9_007_199_254_740_992.0)
}

/// Classes by their labels.
pub(super) struct Known<'a> {
    classes: &'a [String],
    by_text: HashMap<&'a str, u16>,
    by_number: HashMap<u64, u16>,
}

impl<'a> Known<'a> {
    /// How many classes there may be.
    pub const MOST: usize = u16::MAX as usize;

    pub fn new(classes: &'a [String]) -> Self {
        let by_number = classes.iter().zip(0..).filter_map(|(class, i)| Some((as_number(class)?.to_bits(), i)));
        let by_text = classes.iter().map(String::as_str).zip(0..);
        Known { classes, by_text: by_text.collect(), by_number: by_number.collect() }
    }

    /// The class that a label means, or that it is none.
    pub fn find(&self, text: &str) -> Result<u16, String> {
        let known = self.by_text.get(text).or_else(|| self.by_number.get(&as_number(text)?.to_bits()));
        known.copied().ok_or_else(|| {
            let hint = match as_number(text) {
                Some(_) => String::new(),
                None => did_you_mean(text, self.classes.iter().map(String::as_str)),
            };
            let count = self.classes.len();
            format!("the label {text:?} is none of the {count} known classes{hint}: {}", list(self.classes))
        })
    }
}
