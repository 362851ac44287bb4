//! The inputs of a text as the first pass over it reads them, so that it need not be parsed again.

use super::format::Format;
use super::input::Input;
use super::numbers::{Collector, Numbers};

/// Takes the inputs of a text row after row, as long as all are numbers and there is room for them.
pub(super) struct Draft(Option<Collector>);

/// Bytes of a draft in memory; a longer one lies in a temporary file.
const LIMIT: u64 = 64 << 20;

impl Draft {
    /// For what is read from `input`: nothing, where reading it again costs no more than reading a draft.
    pub fn new(input: &Input) -> Draft {
        let text = matches!(input.format, Format::Csv { .. } | Format::JsonLines);
        Draft(text.then(|| Collector::new(LIMIT, input.folder())))
    }

    /// Takes so many rows, column by column. A column that has fewer holds something else than numbers.
    pub fn extend(&mut self, columns: &[Vec<f32>], rows: usize) {
        let Some(collector) = &mut self.0 else { return };
        let numbers = columns.iter().all(|column| column.len() == rows);
        let mut all = Vec::with_capacity(if numbers { rows * columns.len() } else { 0 });
        (0..rows).take_while(|_| numbers).for_each(|row| all.extend(columns.iter().map(|column| column[row])));
        // Without room for it the text is parsed again.
        if !numbers || collector.extend(&all).is_err() {
            self.0 = None;
        }
    }

    /// All `rows` rows of `cols` numbers, where they were taken.
    pub fn finish(self, rows: usize, cols: usize) -> Option<Numbers> {
        let numbers = self.0?.finish().ok()?;
        (numbers.len() == rows * cols).then_some(numbers)
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn takes_numbers_row_after_row_and_nothing_else() {
        let text = Input::bundled("x", "");
        let mut draft = Draft::new(&text);
        draft.extend(&[vec![1.0, 2.0], vec![3.0, 4.0]], 2);
        draft.extend(&[vec![5.0], vec![6.0]], 1);
        assert_eq!(draft.finish(3, 2).unwrap(), [1.0, 3.0, 2.0, 4.0, 5.0, 6.0]);
        let mut draft = Draft::new(&text);
        draft.extend(&[vec![1.0, 2.0], vec![3.0]], 2);
        draft.extend(&[vec![5.0], vec![6.0]], 1);
        assert!(draft.finish(3, 2).is_none());
        let mut arrays = text;
        arrays.format = Format::Npy;
        assert!(Draft::new(&arrays).finish(0, 2).is_none());
    }
}
