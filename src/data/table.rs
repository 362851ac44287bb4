//! The form that every file format turns into: some rows of a table, column by column.

/// A column of a [`Table`].
#[derive(Clone, Debug)]
pub(super) enum Column {
    /// Numbers; NaN where there is none.
    Numbers(Vec<f64>),
    /// Texts, which may be those of numbers; empty where there is none.
    Texts(Texts),
}

/// Rows that follow each other in a file.
#[derive(Clone, Debug, Default)]
pub(super) struct Table {
    pub rows: usize,
    /// All of `rows` cells.
    pub columns: Vec<Column>,
    /// The byte at which each row begins, where rows are known by their lines.
    pub at: Vec<u64>,
}

/// A file of which the columns are known and the rows are still to be read.
pub(super) struct Reader {
    pub names: Vec<String>,
    /// The columns that hold the answers, where the format says so.
    pub answers: Option<Vec<usize>>,
    pub tables: Box<dyn Tables>,
}

/// Reads a file part by part.
pub(super) trait Tables: Send {
    /// The next rows; `None` where there are no more.
    fn next(&mut self) -> crate::Result<Option<Table>>;
}

/// The cells that a part of a file has at most, unless one row has more: some megabytes, however large the file is.
const CELLS: usize = 1 << 18;

/// The rows of a part of a file with so many columns.
pub(super) fn part(columns: usize) -> usize {
    (CELLS / columns.max(1)).max(1)
}

/// Texts one behind the other.
#[derive(Clone, Debug, Default)]
pub(super) struct Texts {
    text: String,
    ends: Vec<usize>,
}

impl Texts {
    /// Makes room for so many texts of so many bytes together.
    pub fn reserve(&mut self, texts: usize, bytes: usize) {
        self.ends.reserve(texts);
        self.text.reserve(bytes);
    }

    /// How many bytes they have together.
    pub fn bytes(&self) -> usize {
        self.text.len()
    }

    pub fn push(&mut self, text: &str) {
        self.text.push_str(text);
        self.ends.push(self.text.len());
    }

    pub fn get(&self, i: usize) -> &str {
        let from = i.checked_sub(1).map_or(0, |before| self.ends[before]);
        &self.text[from..self.ends[i]]
    }
}

/// What one cell holds.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Cell<'a> {
    /// Nothing, or a text that says that there is nothing.
    Missing(&'a str),
    Number(f64),
    /// A text that is not empty; perhaps that of a number.
    Text(&'a str),
}

impl Column {
    /// A column for cells like those of this one.
    pub fn empty_like(&self) -> Column {
        match self {
            Column::Numbers(_) => Column::Numbers(Vec::new()),
            Column::Texts(_) => Column::Texts(Texts::default()),
        }
    }

    /// Takes the cell in `row` of a column of the same kind.
    pub fn push_from(&mut self, other: &Column, row: usize) {
        match (self, other) {
            (Column::Numbers(own), Column::Numbers(others)) => own.push(others[row]),
            (Column::Texts(own), Column::Texts(others)) => own.push(others.get(row)),
            (Column::Texts(own), Column::Numbers(others)) => own.push(&others[row].to_string()),
            (Column::Numbers(own), Column::Texts(others)) => own.push(others.get(row).parse().unwrap_or(f64::NAN)),
        }
    }

    pub fn cell(&self, row: usize) -> Cell<'_> {
        match self {
            Column::Numbers(numbers) if numbers[row].is_nan() => Cell::Missing("NaN"),
            Column::Numbers(numbers) => Cell::Number(numbers[row]),
            Column::Texts(texts) => match texts.get(row) {
                text if says_missing(text) => Cell::Missing(text),
                text => Cell::Text(text),
            },
        }
    }
}

/// What pandas, R and SQL write where there is no value, and what older data sets have instead.
fn says_missing(text: &str) -> bool {
    // Most cells are numbers.
    if text.starts_with(|first: char| first.is_ascii_digit() || first == '-') {
        return false;
    }
    matches!(text, "" | "NA" | "N/A" | "?") || text.eq_ignore_ascii_case("nan") || text.eq_ignore_ascii_case("null")
}

impl Cell<'_> {
    /// The number that the cell holds, or what is wrong with it. A missing one is wrong too.
    pub fn number(self) -> Result<f32, String> {
        match self {
            Cell::Missing(found) => Err(missing(found)),
            Cell::Number(x) if (x as f32).is_finite() => Ok(x as f32),
            Cell::Number(x) => Err(not_finite(&x.to_string())),
            Cell::Text(text) => match text.parse::<f32>() {
                Ok(x) if x.is_finite() => Ok(x),
                Ok(_) => Err(not_finite(&format!("{text:?}"))),
                Err(_) => Err(format!("expected a number, found {text:?}")),
            },
        }
    }

    /// The cell as a text; numbers are written as short as they can be.
    pub fn text(self) -> String {
        match self {
            // -0 and 0 are the same class.
            Cell::Number(x) => (x + 0.0).to_string(),
            Cell::Text(text) | Cell::Missing(text) => text.to_owned(),
        }
    }
}

/// What to say where a cell holds nothing.
pub(super) fn missing(found: &str) -> String {
    match found {
        "" => "the field is empty; fill the value in or remove the row".into(),
        _ if found.eq_ignore_ascii_case("nan") => not_finite(&format!("{found:?}")),
        _ => format!("the value is missing, found {found:?}; fill the value in or remove the row"),
    }
}

fn not_finite(found: &str) -> String {
    format!("expected a finite 32-bit number, found {found}; fill the value in or remove the row")
}

/// At most ten of `names`, for a message.
pub(super) fn list(names: &[impl AsRef<str>]) -> String {
    let shown: Vec<_> = names.iter().take(10).map(AsRef::as_ref).collect();
    match names.len() - shown.len() {
        0 => shown.join(", "),
        more => format!("{} and {more} more", shown.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_lie_one_behind_the_other() {
        let mut texts = Texts::default();
        ["a", "", "bcd"].into_iter().for_each(|text| texts.push(text));
        assert_eq!([0, 1, 2].map(|i| texts.get(i)), ["a", "", "bcd"]);
    }

    #[test]
    fn lists_are_short() {
        assert_eq!(list(&["a", "b"]), "a, b");
        let many: Vec<_> = (0..12).map(|i| i.to_string()).collect();
        assert_eq!(list(&many), "0, 1, 2, 3, 4, 5, 6, 7, 8, 9 and 2 more");
    }

    #[test]
    fn numbers_are_finite_and_fit_in_32_bits() {
        assert_eq!(
            ["1", "-2.5", "+1e3", ".5"].map(|text| Cell::Text(text).number()),
            [Ok(1.0), Ok(-2.5), Ok(1000.0), Ok(0.5)]
        );
        for bad in ["x", "1,5", "-inf", "1e39", "0x10", "1 2"] {
            assert!(Cell::Text(bad).number().is_err(), "{bad}");
        }
        assert!(Cell::Number(1e39).number().is_err() && Cell::Missing("").number().is_err());
    }

    #[test]
    fn what_says_that_there_is_nothing() {
        let mut texts = Texts::default();
        let missing = ["", "NA", "N/A", "?", "NaN", "nan", "NULL"];
        missing.into_iter().chain(["na ", "none", "0"]).for_each(|text| texts.push(text));
        let column = Column::Texts(texts);
        for (i, text) in missing.iter().enumerate() {
            assert_eq!(column.cell(i), Cell::Missing(text));
        }
        assert_eq!([7, 8, 9].map(|i| column.cell(i)), ["na ", "none", "0"].map(Cell::Text));
        assert_eq!(Column::Numbers(vec![f64::NAN]).cell(0), Cell::Missing("NaN"));
    }
}
