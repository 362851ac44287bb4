//! Reading CSV files: what is read right, and one broken file for each thing that can be wrong with one.

#![allow(clippy::unwrap_used, missing_docs)]

use std::path::PathBuf;

use tempfile::TempDir;
use wgrad::data::{Dataset, Matrix, Task, TaskHint, read_csv, read_csv_as, read_dataset_csv_like, read_inputs_csv};

/// A file in a directory of its own, which goes when this goes.
struct Fixture(TempDir, PathBuf);

fn file(name: &str, bytes: impl AsRef<[u8]>) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).unwrap();
    Fixture(folder, path)
}

/// The message without the directory in front of the file's name.
fn message<T: std::fmt::Debug>(fixture: &Fixture, result: wgrad::Result<T>) -> String {
    result.unwrap_err().to_string().replace(&format!("{}/", fixture.0.path().display()), "")
}

fn csv_error(bytes: impl AsRef<[u8]>, target: Option<&str>) -> String {
    let fixture = file("a.csv", bytes);
    message(&fixture, read_csv(&fixture.1, target))
}

fn csv(text: &str, target: Option<&str>) -> Dataset {
    read_csv(&file("a.csv", text).1, target).unwrap()
}

fn names(names: &[&str]) -> Vec<String> {
    names.iter().map(|name| name.to_string()).collect()
}

fn classes(column: &str, classes: &[&str]) -> Task {
    Task::Classification { classes: names(classes), column: Some(column.into()) }
}

fn outputs(outputs: &[&str]) -> Task {
    Task::Regression { outputs: names(outputs) }
}

#[test]
fn csv_with_text_classes() {
    let data = csv("\u{FEFF}a , b,kind\r\n1, 2 ,dog\r\n\r\n  \r\n3,4e1,\"cat\"\r\n5,-6,dog", None);
    assert_eq!((data.name.as_str(), data.features.clone()), ("a", names(&["a", "b"])));
    assert_eq!(data.task, classes("kind", &["cat", "dog"]));
    assert_eq!(data.inputs.data, [1.0, 2.0, 3.0, 40.0, 5.0, -6.0]);
    assert_eq!(data.targets.data, [0.0, 1.0, 1.0, 0.0, 0.0, 1.0]);
    assert_eq!(data.labels(), Some(vec![1, 0, 1]));
    data.validate().unwrap();
    assert_eq!(data.select(&[1, 1]).labels(), Some(vec![0, 0]));
}

#[test]
fn csv_without_a_header() {
    let data = csv("0,0,0\n0,1,1\n1,0,1\n1,1,0\n", None);
    assert_eq!((data.features.clone(), data.rows()), (names(&["c1", "c2"]), 4));
    assert_eq!((data.task.clone(), data.labels()), (classes("c3", &["0", "1"]), Some(vec![0, 1, 1, 0])));
    assert_eq!(csv("1,0\n2,0.5\n", Some("c1")).features, ["c2"]);
}

#[test]
fn classes_of_numbers_are_in_their_order() {
    let data = csv("y,x\n10,0\n9.0,0\n9,0\n10.0,0\n", Some("y"));
    assert_eq!((data.task.clone(), data.labels()), (classes("y", &["9", "10"]), Some(vec![1, 0, 0, 1])));
}

#[test]
fn the_rule_tells_classes_from_numbers() {
    let column = |values: &[&str]| {
        let lines: String = values.iter().map(|value| format!("0,{value}\n")).collect();
        csv(&format!("x,y\n{lines}"), None).task
    };
    assert_eq!(column(&["0", "1", "1", "0"]), classes("y", &["0", "1"]));
    assert_eq!(column(&["0", "1", "1"]), outputs(&["y"]));
    assert_eq!(column(&["0", "-1", "-1", "0"]), outputs(&["y"]));
    assert_eq!(column(&["0", "0.5", "0.5", "0"]), outputs(&["y"]));
    assert_eq!(column(&["a", "b"]), classes("y", &["a", "b"]));
    assert_eq!(column(&["1", "2", "other"]), classes("y", &["1", "2", "other"]));
    let many: Vec<String> = (0..204).map(|i| (i % 51).to_string()).collect();
    assert_eq!(column(&many.iter().map(String::as_str).collect::<Vec<_>>()), outputs(&["y"]));
}

#[test]
fn a_hint_overrules_the_rule() {
    let fixture = file("a.csv", "x,y\n0,0\n0,1\n0,0\n0,1\n");
    let data = read_csv_as(&fixture.1, None, TaskHint::Regression).unwrap();
    assert_eq!((data.task, data.targets.data.to_vec()), (outputs(&["y"]), vec![0.0, 1.0, 0.0, 1.0]));
    let fixture = file("a.csv", "x,y\n0,2.5\n0,-1\n");
    assert_eq!(read_csv_as(&fixture.1, None, TaskHint::Classification).unwrap().task, classes("y", &["-1", "2.5"]));
    assert_eq!("regression".parse::<TaskHint>().unwrap(), TaskHint::Regression);
    assert!("regresion".parse::<TaskHint>().unwrap_err().to_string().contains("did you mean \"regression\"?"));
}

#[test]
fn several_targets_are_a_regression() {
    let data = csv("a,x,b\n1,2,3\n4,5,6\n", Some("b, a"));
    assert_eq!((data.task, data.inputs.data.to_vec()), (outputs(&["b", "a"]), vec![2.0, 5.0]));
    assert_eq!(data.targets, Matrix::new(2, 2, vec![3.0, 1.0, 6.0, 4.0]).unwrap());
    assert_eq!(csv("x,\"a,b\"\n1,2.5\n", Some("a,b")).task, outputs(&["a,b"]));
    let fixture = file("a.csv", "a,x,b\n1,2,3\n");
    let error = message(&fixture, read_csv_as(&fixture.1, Some("a,b"), TaskHint::Classification));
    assert_eq!(error, "a.csv: classification needs one target column, found 2; choose one");
}

#[test]
fn csv_missing() {
    let fixture = file("a.csv", "");
    let error = message(&fixture, read_csv(&fixture.0.path().join("b.csv"), None));
    assert!(error.starts_with("cannot read b.csv: ") && error.contains("os error"), "{error}");
    let error = read_csv(fixture.0.path(), None).unwrap_err().to_string();
    assert!(error.ends_with("expected a folder of PNG images for each class, found no image"), "{error}");
}

#[test]
fn csv_empty() {
    let expected = "a.csv: the file is empty; expected a line of column names, then one line a row";
    for text in ["", "\n\r\n", "  \n", "\u{FEFF}"] {
        assert_eq!(csv_error(text, None), expected);
    }
}

#[test]
fn csv_header_only() {
    assert_eq!(csv_error("a,b\n", None), "a.csv: the file has a line of column names but no rows");
}

#[test]
fn csv_ragged() {
    let error = "a.csv, line 3: expected 2 fields, as in the first line, found ";
    assert_eq!(csv_error("a,b\n1,2\n1,2,3\n", None), format!("{error}3"));
    assert_eq!(csv_error("a,b\r\n1,2\r\n1\r\n1,2\r\n", None), format!("{error}1"));
    let unclosed = csv_error("a,b\n1,2\n\"1,2\n3,4\n", None);
    assert_eq!(unclosed, format!("{error}1; is a quotation mark not closed?"));
}

#[test]
fn csv_text_among_inputs() {
    let hint = "; where the values are categories, say so";
    let error = format!("a.csv, line 4, column \"a\": expected a number, found \"one\"{hint}");
    assert_eq!(csv_error("a,b\n1,2\n\none,2\n", None), error);
    assert_eq!(csv_error("a,b\r\n1,2\r\n\r\none,2\r\n", None), error);
    assert_eq!(csv_error("a,b\r1,2\r\rone,2\r", None), error);
    assert_eq!(csv_error("\u{FEFF}a,b\n1,2\n\none,2", None), error);
    assert_eq!(csv_error("a,b\n1,\"2\n3\"\none,2", None), error);
    let error = format!("a.csv, line 2, column \"c1\": expected a number, found \"x\"{hint}");
    assert_eq!(csv_error("1,0\nx,0\n", None), error);
}

#[test]
fn csv_not_finite_among_inputs() {
    for text in ["nan", "NaN", "inf", "-inf", "Infinity", "1e39"] {
        let error = format!("expected a finite 32-bit number, found {text:?}; fill the value in or remove the row");
        let found = csv_error(format!("a,b,c\n1,1,0\n1,{text},0\n"), None);
        let hint = if text.starts_with(['n', 'N']) { ", or have missing values imputed" } else { "" };
        assert_eq!(found, format!("a.csv, line 3, column \"b\": {error}{hint}"));
    }
}

#[test]
fn csv_not_finite_target() {
    let error = csv_error("a,b\n1,2\n1,nan\n", None);
    let expected = "a.csv, line 3, column \"b\": expected a class or a finite number, found \"nan\"; remove the row";
    assert_eq!(error, expected);
}

#[test]
fn csv_empty_field() {
    let error = "the field is empty; fill the value in or remove the row";
    let imputed = format!("{error}, or have missing values imputed");
    assert_eq!(csv_error("a,b\n1,2\n ,2\n", None), format!("a.csv, line 3, column \"a\": {imputed}"));
    assert_eq!(csv_error("a,b\n1,2\n1,\n", None), format!("a.csv, line 3, column \"b\": {error}"));
}

#[test]
fn csv_unknown_target() {
    let error = csv_error("width,height,species\n1,2,a\n", Some("specie"));
    let expected = "there is no column \"specie\" (did you mean \"species\"?); the columns are width, height, species";
    assert_eq!(error, format!("a.csv: {expected}"));
    let wide: Vec<String> = (1..=12).map(|i| i.to_string()).collect();
    let error = csv_error(wide.join(",") + "\n", Some("species"));
    assert!(error.ends_with("the columns are c1, c2, c3, c4, c5, c6, c7, c8, c9, c10 and 2 more"), "{error}");
    let error = csv_error("a,b,c\n1,2,3\n", Some("a,a"));
    assert_eq!(error, "a.csv: the target column \"a\" is named twice; name it once");
}

#[test]
fn csv_text_in_a_regression() {
    let fixture = file("a.csv", "a,b\n1,2\n1,x\n");
    let error = message(&fixture, read_csv_as(&fixture.1, None, TaskHint::Regression));
    assert_eq!(error, "a.csv, line 3, column \"b\": target: expected a number, found \"x\"");
    let error = csv_error("a,b\n1,2.5\n1,x\n", None);
    assert!(error.starts_with("a.csv, line 3, column \"b\": found \"x\" in a target column that"), "{error}");
}

#[test]
fn csv_too_many_classes() {
    let lines: String = (0..60).map(|i| format!("0,name {i}\n")).collect();
    let error = csv_error(format!("a,b\n{lines}"), None);
    assert!(error.contains("column \"b\" has 60 distinct texts in 60 rows, too many to be classes"), "{error}");
    let fixture = file("a.csv", (0..10_001).map(|i| format!("0,{i}\n")).collect::<String>());
    let error = message(&fixture, read_csv_as(&fixture.1, None, TaskHint::Classification));
    assert_eq!(error, "a.csv: column \"c2\" has 10001 distinct values; expected at most 10000 classes");
}

#[test]
fn csv_not_utf8() {
    let error = "the byte 0xE9 is not part of UTF-8 text; save the file in UTF-8";
    assert_eq!(csv_error(b"a,b\n1,caf\xE9\n", None), format!("a.csv, line 2, byte 6: {error}"));
    assert!(csv_error(b"\xFF\xFEa\0,\0", None).starts_with("a.csv, line 1, byte 1: the byte 0xFF"));
}

#[test]
fn csv_of_one_column() {
    let error = "a.csv: expected at least one input column besides the target, found only ";
    assert_eq!(csv_error("a\n1\n", None), format!("{error}a"));
    let semicolons = csv_error("a;b\n1;2\n", None);
    assert_eq!(
        semicolons,
        format!(
            "{error}a;b (the fields seem separated by semicolons; expected commas; the format csv:; has semicolons)"
        )
    );
    assert_eq!(csv_error("a,b\n1,2\n", Some("a,b")), format!("{error}a, b"));
}

#[test]
fn csv_header_that_is_none() {
    let error = csv_error("5.1,3.5,setosa\n4.9,3.0,setosa\n", None);
    let expected = "expected column names, found the number 5.1 in column 1; put a line of names first";
    assert_eq!(error, format!("a.csv, line 1: {expected}"));
    let error = csv_error("\n5,5,setosa\n", None);
    let expected = "columns 1 and 2 are both named \"5\"; expected a line of different names first";
    assert_eq!(error, format!("a.csv, line 2: {expected}"));
    assert!(csv_error(",a,b\n0,1,2\n", None).starts_with("a.csv, line 1: column 1 has no name; name it, or remove it"));
}

#[test]
fn data_that_cannot_be_trained_on() {
    let mut data = csv("a,b\n1,cat\n2,cat\n", None);
    let error = data.validate_for_training().unwrap_err().to_string();
    assert_eq!(error, "a: all 2 rows have the class \"cat\": classification needs at least two");
    data.inputs.data[1] = f32::NAN;
    assert!(data.validate_for_training().unwrap_err().to_string().starts_with("a, inputs, row 2, column 1: "));
    let error = data.select(&[]).validate_for_training().unwrap_err().to_string();
    assert_eq!(error, "a: expected at least one row with at least one input, found 0 rows of 1 inputs");
    data.features.clear();
    assert_eq!(data.validate().unwrap_err().to_string(), "a: names of the input columns: expected 1, found 0");
}

#[test]
fn weights_of_rows_are_sound_and_stay_with_their_rows() {
    let data = csv("a,b\n1,cat\n2,dog\n3,cat\n", None);
    let weighted = |weights: &[f32]| Dataset { weights: Some(weights.to_vec()), ..data.clone() };
    weighted(&[0.0, 0.5, 2.0]).validate().unwrap();
    assert_eq!(weighted(&[0.0, 0.5, 2.0]).select(&[2, 1, 2]).weights, Some(vec![2.0, 0.5, 2.0]));
    for (weights, expected) in [
        (&[1.0, 1.0][..], "a: weights of the rows: expected 3, found 2"),
        (&[1.0, -0.5, 1.0], "a, weight of row 2: expected a finite number of at least 0, found -0.5"),
        (&[1.0, 1.0, f32::NAN], "a, weight of row 3: expected a finite number of at least 0, found NaN"),
        (&[f32::INFINITY, 1.0, 1.0], "a, weight of row 1: expected a finite number of at least 0, found inf"),
        (&[0.0, 0.0, 0.0], "a: all 3 rows have the weight 0: expected one that counts"),
    ] {
        assert_eq!(weighted(weights).validate().unwrap_err().to_string(), expected);
    }
}

#[test]
fn inputs_by_name_or_in_order() {
    let read = |text: &str| read_inputs_csv(&file("a.csv", text).1, &names(&["a", "b"])).map(|inputs| inputs.data);
    assert_eq!(read("kind,b,a\ndog,2,1\n").unwrap(), [1.0, 2.0]);
    assert_eq!(read("x,y\n1,2\n").unwrap(), [1.0, 2.0]);
    assert_eq!(read("1,2\n3,4\n").unwrap(), [1.0, 2.0, 3.0, 4.0]);
    let fixture = file("a.csv", "a,x,y\n1,2,3\n");
    let error = message(&fixture, read_inputs_csv(&fixture.1, &names(&["a", "b"])));
    assert_eq!(error, "a.csv: expected 2 input columns, found 3; missing are b");
}

#[test]
fn data_like_that_of_a_network() {
    let pets = classes("kind", &["cat", "dog", "eel"]);
    let read = |text: &str, task: &Task, target| {
        let fixture = file("a.csv", text);
        let result = read_dataset_csv_like(&fixture.1, &names(&["a", "b"]), task, target);
        match result {
            Ok(data) => Ok((data.inputs.data.to_vec(), data.targets.data.to_vec())),
            error => Err(message(&fixture, error)),
        }
    };
    let expected = (vec![1.0, 2.0], vec![0.0, 1.0, 0.0]);
    for (text, target) in [
        ("kind,b,a\ndog,2,1\n", None),
        ("x,y,kind\n1,2,dog\n", None),
        ("k,a,b,z\ndog,1,2,9\n", Some("k")),
        ("kind,a,b,z\ndog,1,2,9\n", None),
    ] {
        assert_eq!(read(text, &pets, target).unwrap(), expected);
    }
    let digits = classes("digit", &["0", "1", "2"]);
    assert_eq!(read("a,b,y\n1,2,1.0\n", &digits, None).unwrap(), expected);
    let error = read("a,b,y\n1,2,1\n1,2,3\n", &digits, None).unwrap_err();
    assert_eq!(error, "a.csv, line 3, column \"y\": the label \"3\" is none of the 3 known classes: 0, 1, 2");
    let error = read("a,b,y\n1,2,dogs\n", &pets, None).unwrap_err();
    assert!(error.contains("the label \"dogs\" is none of the 3 known classes (did you mean \"dog\"?)"), "{error}");
    assert_eq!(read("q,a,p,b\n4,1,3,2\n", &outputs(&["p", "q"]), None).unwrap(), (vec![1.0, 2.0], vec![3.0, 4.0]));
    assert_eq!(read("a,b,r,s\n1,2,3,4\n", &outputs(&["p", "q"]), None).unwrap(), (vec![1.0, 2.0], vec![3.0, 4.0]));
    let error = read("a,b\n1,2\n", &pets, None).unwrap_err();
    assert_eq!(error, "a.csv: the network needs 1 target column(s) besides the inputs, found 0");
    let error = read("a,b,y\n1,2,3\n", &outputs(&["p", "q"]), Some("y")).unwrap_err();
    assert_eq!(error, "a.csv: the network needs 2 target column(s) besides the inputs, found 1");
    let error = read("a,x,z,y\n1,2,3,cat\n", &pets, None).unwrap_err();
    assert_eq!(error, "a.csv: expected 2 input columns, found 3; missing are b");
}
