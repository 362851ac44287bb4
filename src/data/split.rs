//! Which rows are held out, and in which order the rest are seen.

use std::collections::BTreeMap;

use rand::seq::SliceRandom;

use crate::random::{Purpose, generator};
use crate::{Error, Result};

/// The row numbers of each part of a data set, each in random order; every row is in exactly one part.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Split {
    /// Rows to train on; never empty.
    pub train: Vec<u32>,
    /// Rows to watch training by.
    pub validation: Vec<u32>,
    /// Rows to judge the trained network by.
    pub test: Vec<u32>,
}

/// Splits `rows` rows at random, the same way for the same `seed`.
///
/// First `round(test * rows)` rows are held out for the test, then `round(validation * remaining)` of the remaining
/// ones for validation. With `labels` (one a row), each class contributes to each part in proportion to its size,
/// within one row.
///
/// Rows are at most [`u32::MAX`], as [`epoch_order`] counts them.
pub fn split(rows: usize, labels: Option<&[u32]>, test: f64, validation: f64, seed: u64) -> Result<Split> {
    for (name, fraction) in [("test", test), ("validation", validation)] {
        if !(0.0..1.0).contains(&fraction) {
            let what = format!("the {name} fraction must be at least 0 and below 1, found {fraction}");
            return Err(Error::Config(what));
        }
    }
    let count = count(rows, labels)?;
    let class = |row: u32| labels.map_or(0, |labels| labels[row as usize]);
    let mut sizes = BTreeMap::new();
    for row in 0..count {
        *sizes.entry(class(row)).or_insert(0) += 1;
    }
    let mut for_test = shares(&sizes, test);
    let remaining = sizes.iter().map(|(class, size)| (*class, size - for_test[class])).collect();
    let mut for_validation = shares(&remaining, validation);

    let mut order: Vec<u32> = (0..count).collect();
    order.shuffle(&mut generator(seed, Purpose::Split));
    let [held_out, watched] = [&for_test, &for_validation].map(|shares| shares.values().sum::<usize>());
    // No more room than they need: of many rows these are what the memory holds.
    let mut parts = Split {
        train: Vec::with_capacity(rows - held_out - watched),
        validation: Vec::with_capacity(watched),
        test: Vec::with_capacity(held_out),
    };
    let take = |left: &mut BTreeMap<u32, usize>, class| match left.get_mut(&class) {
        Some(n) if *n > 0 => {
            *n -= 1;
            true
        }
        _ => false,
    };
    for row in order {
        if take(&mut for_test, class(row)) {
            parts.test.push(row);
        } else if take(&mut for_validation, class(row)) {
            parts.validation.push(row);
        } else {
            parts.train.push(row);
        }
    }
    if parts.train.is_empty() {
        return Err(Error::Config(format!(
            "no row is left to train on: of {rows} rows, {} are held out for the test (fraction {test}) and {} for \
             validation (fraction {validation}); use more rows or smaller fractions",
            parts.test.len(),
            parts.validation.len()
        )));
    }
    Ok(parts)
}

/// The rows of each of `count` folds of `rows` rows, at random, the same way for the same `seed`: every row is in one fold,
/// and their sizes differ by at most one. With `labels` (one a row), so do the rows of each class in them.
///
/// # Errors
/// Where there are less than two folds, or not enough rows to give each one.
pub fn folds(rows: usize, labels: Option<&[u32]>, count: usize, seed: u64) -> Result<Vec<Vec<u32>>> {
    if count < 2 || count > rows {
        return Err(Error::Config(format!("expected 2 to {rows} folds, one row each at least, found {count}")));
    }
    let mut order: Vec<u32> = (0..self::count(rows, labels)?).collect();
    order.shuffle(&mut generator(seed, Purpose::Split));
    // Class by class, round and round the folds.
    order.sort_by_key(|&row| labels.map_or(0, |labels| labels[row as usize]));
    let mut folds = vec![Vec::new(); count];
    order.into_iter().enumerate().for_each(|(i, row)| folds[i % count].push(row));
    Ok(folds)
}

/// How many rows there are, where they can be split.
fn count(rows: usize, labels: Option<&[u32]>) -> Result<u32> {
    if let Some(labels) = labels.filter(|labels| labels.len() != rows) {
        return Err(Error::shape("labels to split by", rows, labels.len()));
    }
    u32::try_from(rows).map_err(|_| Error::Config(format!("expected at most {} rows, found {rows}", u32::MAX)))
}

/// How many of each class make up `fraction` of all: the largest-remainder method, so that the total is right and
/// each class is within one of its own share.
fn shares(sizes: &BTreeMap<u32, usize>, fraction: f64) -> BTreeMap<u32, usize> {
    let share = |size: usize| fraction * size as f64;
    let mut taken: BTreeMap<u32, usize> = sizes.iter().map(|(class, size)| (*class, share(*size) as usize)).collect();
    let total = share(sizes.values().sum()).round() as usize;
    let missing = total.saturating_sub(taken.values().sum());
    let mut by_remainder: Vec<_> = sizes.iter().filter(|(class, size)| taken[class] < **size).collect();
    by_remainder.sort_by(|a, b| share(*b.1).fract().total_cmp(&share(*a.1).fract()));
    for (class, _) in by_remainder.into_iter().take(missing) {
        *taken.entry(*class).or_insert(0) += 1;
    }
    taken
}

/// A random order of `rows` rows for one epoch (counted from 0): the same for the same `seed` and `epoch`.
///
/// Row numbers are `u32`, as shaders count; `rows` must not exceed [`u32::MAX`], and further rows are left out.
pub fn epoch_order(rows: usize, seed: u64, epoch: u64) -> Vec<u32> {
    let mut order: Vec<u32> = (0..u32::try_from(rows).unwrap_or(u32::MAX)).collect();
    order.shuffle(&mut generator(seed, Purpose::Epoch(epoch)));
    order
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn assert_partition(split: &Split, rows: u32) {
        let mut all = [&split.train[..], &split.validation, &split.test].concat();
        all.sort_unstable();
        assert_eq!(all, (0..rows).collect::<Vec<_>>());
    }

    #[test]
    fn parts_have_their_sizes() {
        for (rows, test, validation, sizes) in [
            (100, 0.2, 0.25, (60, 20, 20)),
            (1797, 0.2, 0.1, (1294, 144, 359)),
            (7, 0.5, 0.5, (1, 2, 4)),
            (3, 0.0, 0.0, (3, 0, 0)),
            (1, 0.3, 0.4, (1, 0, 0)),
        ] {
            let parts = split(rows as usize, None, test, validation, 1).unwrap();
            assert_eq!((parts.train.len(), parts.validation.len(), parts.test.len()), sizes);
            assert_partition(&parts, rows);
        }
    }

    #[test]
    fn classes_keep_their_proportions() {
        let labels: Vec<u32> = (0..501).map(|row| [0, 0, 0, 0, 1, 1, 7][row % 7]).collect();
        for seed in 0..20 {
            let parts = split(501, Some(&labels), 0.23, 0.31, seed).unwrap();
            assert_partition(&parts, 501);
            assert_eq!((parts.test.len(), parts.validation.len()), (115, 120));
            for class in [0, 1, 7] {
                let count = |rows: &[u32]| rows.iter().filter(|row| labels[**row as usize] == class).count() as f64;
                let size = labels.iter().filter(|label| **label == class).count() as f64;
                let test = count(&parts.test);
                assert!((test - size * 0.23).abs() < 1.0);
                assert!((count(&parts.validation) - (size - test) * 0.31).abs() < 1.0);
            }
        }
    }

    #[test]
    fn the_seed_decides() {
        let of = |seed| split(50, None, 0.2, 0.2, seed).unwrap();
        assert_eq!(of(3), of(3));
        assert_ne!(of(3), of(4));
        assert!(!of(3).train.is_sorted());
    }

    #[test]
    fn impossible_splits_are_errors() {
        for fraction in [1.0, -0.1, f64::NAN, f64::INFINITY] {
            assert!(split(10, None, fraction, 0.0, 0).unwrap_err().to_string().contains("test fraction"));
            assert!(split(10, None, 0.0, fraction, 0).unwrap_err().to_string().contains("validation fraction"));
        }
        assert!(split(0, None, 0.0, 0.0, 0).unwrap_err().to_string().contains("no row is left to train on"));
        assert!(split(1, None, 0.6, 0.0, 0).unwrap_err().to_string().contains("no row is left to train on"));
        let error = split(3, Some(&[0, 1]), 0.0, 0.0, 0).unwrap_err();
        assert_eq!(error.to_string(), "labels to split by: expected 3, found 2");
    }

    #[test]
    fn every_row_is_in_one_fold() {
        let labels: Vec<u32> = (0..101).map(|row| [0, 0, 0, 3, 1, 0, 7][row % 7]).collect();
        for (labels, count) in [(None, 2), (None, 101), (Some(&labels[..]), 5), (Some(&labels[..]), 7)] {
            let all = folds(101, labels, count, 4).unwrap();
            assert_eq!(all.len(), count);
            let mut rows = all.concat();
            rows.sort_unstable();
            assert_eq!(rows, (0..101).collect::<Vec<_>>());
            let differ_by_one = |sizes: Vec<usize>| sizes.iter().max().unwrap() - sizes.iter().min().unwrap() <= 1;
            assert!(differ_by_one(all.iter().map(Vec::len).collect()));
            for class in labels.map_or(vec![], |labels| labels.to_vec()) {
                let of_class =
                    |fold: &Vec<u32>| fold.iter().filter(|&&row| labels.unwrap()[row as usize] == class).count();
                assert!(differ_by_one(all.iter().map(of_class).collect()), "class {class}");
            }
            assert_eq!(all, folds(101, labels, count, 4).unwrap());
            assert_ne!(all, folds(101, labels, count, 5).unwrap());
        }
        for bad in [0, 1, 11] {
            assert!(folds(10, None, bad, 0).unwrap_err().to_string().contains("expected 2 to 10 folds"));
        }
        assert!(folds(3, Some(&[0, 1]), 2, 0).is_err());
    }

    #[test]
    fn an_epoch_visits_every_row_once() {
        let order = epoch_order(1000, 5, 0);
        assert_eq!(order, epoch_order(1000, 5, 0));
        assert_ne!(order, epoch_order(1000, 5, 1));
        assert_ne!(order, epoch_order(1000, 6, 0));
        let mut sorted = order;
        sorted.sort_unstable();
        assert_eq!(sorted, (0..1000).collect::<Vec<_>>());
        assert!(epoch_order(0, 5, 0).is_empty());
    }
}
