//! What is read right, and one broken file for each thing that can be wrong with one.

#![allow(clippy::unwrap_used)]

use std::path::PathBuf;

use tempfile::TempDir;

use super::*;

/// A file in a directory of its own, which goes when this goes.
struct Fixture(TempDir, PathBuf);

fn file(bytes: impl AsRef<[u8]>) -> Fixture {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("a.npy");
    std::fs::write(&path, bytes).unwrap();
    Fixture(folder, path)
}

/// The message without the directory in front of the file's name.
fn message(fixture: &Fixture, error: Error) -> String {
    error.to_string().replace(&format!("{}/", fixture.0.path().display()), "")
}

/// The bytes of a `.npy` file with this header.
fn npy(descr: &str, fortran: bool, shape: &str, data: &[u8]) -> Vec<u8> {
    let fortran = if fortran { "True" } else { "False" };
    let mut header = format!("{{'descr': {descr}, 'fortran_order': {fortran}, 'shape': {shape}, }}");
    while (10 + header.len() + 1) % 64 != 0 {
        header.push(' ');
    }
    header.push('\n');
    [b"\x93NUMPY\x01\x00", &(header.len() as u16).to_le_bytes()[..], header.as_bytes(), data].concat()
}

fn read_bytes(bytes: &[u8]) -> Result<Matrix, String> {
    let fixture = file(bytes);
    read_npy(&fixture.1).map_err(|error| message(&fixture, error))
}

#[test]
fn npy_of_every_type() {
    macro_rules! check {
        ($($descr:literal: $type:ty, $to:ident;)*) => {$(
            let bytes = [3 as $type, 1 as $type].map(|x| x.$to()).concat();
            let matrix = read_bytes(&npy(concat!("'", $descr, "'"), false, "(2,)", &bytes)).unwrap();
            assert_eq!(matrix, Matrix::new(2, 1, vec![3.0, 1.0]).unwrap(), $descr);
        )*};
    }
    assert_eq!(read_bytes(&npy("'>f2'", false, "(1,)", &[0xC2, 0])).unwrap().data, [-3.0]);
    check! {
        "<f4": f32, to_le_bytes; ">f4": f32, to_be_bytes; "<f8": f64, to_le_bytes; ">f8": f64, to_be_bytes;
        "|i1": i8, to_le_bytes; "<i2": i16, to_le_bytes; "<i4": i32, to_le_bytes; ">i8": i64, to_be_bytes;
        "|u1": u8, to_le_bytes; "<u2": u16, to_le_bytes; "<u4": u32, to_le_bytes; "<u8": u64, to_le_bytes;
    }
    assert_eq!(read_bytes(&npy("'|b1'", false, "(1, 2)", &[1, 0])).unwrap().data, [1.0, 0.0]);
}

#[test]
fn npy_of_both_orders() {
    let bytes = [1, 2, 3, 4, 5, 6];
    let c = read_bytes(&npy("'|u1'", false, "(2, 3)", &bytes)).unwrap();
    let fortran = read_bytes(&npy("'|u1'", true, "(2, 3)", &bytes)).unwrap();
    assert_eq!(c, Matrix::new(2, 3, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap());
    assert_eq!(fortran, Matrix::new(2, 3, vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]).unwrap());
    // What is behind the first dimension is one row.
    let deep = read_bytes(&npy("'|u1'", false, "(1, 2, 3)", &bytes)).unwrap();
    assert_eq!(deep, Matrix::new(1, 6, vec![1.0, 2.0, 3.0, 4.0, 5.0, 6.0]).unwrap());
    let deep = read_bytes(&npy("'|u1'", true, "(1, 2, 3)", &bytes)).unwrap();
    assert_eq!(deep, Matrix::new(1, 6, vec![1.0, 3.0, 5.0, 2.0, 4.0, 6.0]).unwrap());
}

#[test]
fn npy_comes_back_as_written() {
    let fixture = file("old");
    let matrix = Matrix::new(2, 3, vec![1.5, -0.0, f32::MAX, 1e-45, 0.1, 7.0]).unwrap();
    write_npy(&fixture.1, &matrix).unwrap();
    assert_eq!(read_npy(&fixture.1).unwrap(), matrix);
    assert!(write_npy(&fixture.1, &Matrix { rows: 2, cols: 2, data: vec![].into() }).is_err());
    assert_eq!(read_npy(&fixture.1).unwrap(), matrix);
}

#[test]
fn npy_targets() {
    let read = |descr: &str, shape: &str, data: &[u8], outputs| {
        let fixture = file(npy(descr, false, shape, data));
        read_npy_targets(&fixture.1, outputs).map_err(|error| message(&fixture, error))
    };
    let one_hot = Matrix::new(2, 3, vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap();
    assert_eq!(read("'|u1'", "(2,)", &[2, 0], 3).unwrap(), one_hot);
    assert_eq!(read("'|i1'", "(2, 1)", &[2, 0], 3).unwrap(), one_hot);
    assert_eq!(read("'|u1'", "(2, 3)", &[0, 0, 1, 1, 0, 0], 3).unwrap(), one_hot);
    assert_eq!(read("'<f4'", "(1,)", &2.5f32.to_le_bytes(), 1).unwrap().data, [2.5]);
    assert_eq!(read("'|u1'", "(2,)", &[7, 9], 1).unwrap().data, [7.0, 9.0]);
    assert_eq!(read("'|u1'", "(3,)", &[0, 2, 7], 3).unwrap_err(), "a.npy: label 7 in row 3 is out of range 0..=2");
    assert_eq!(read("'|i1'", "(1,)", &[255], 2).unwrap_err(), "a.npy: label -1 in row 1 is out of range 0..=1");
    let error = "a.npy: expected 3 column(s) of targets, or one column of integer labels, found 1 of f4";
    assert_eq!(read("'<f4'", "(1,)", &[0; 4], 3).unwrap_err(), error);
    let error = read("'<f4'", "(1,)", &f32::NAN.to_le_bytes(), 1).unwrap_err();
    assert!(error.starts_with("a.npy, row 1, column 1: expected a finite"), "{error}");
}

#[test]
fn npy_that_cannot_be_used() {
    let deep = format!("({}1{},)", "[".repeat(4900), "]".repeat(4900));
    let many = format!("({}1,)", "-".repeat(8000));
    for (bytes, expected) in [
        (vec![], "a.npy: this is not a NumPy .npy file; write one by numpy.save"),
        (b"PK\x03\x04 an npz".to_vec(), "a.npy: this is not a NumPy .npy file"),
        (b"\x93NUMPY\x01".to_vec(), "a.npy: the header is cut short or of an unknown version"),
        (b"\x93NUMPY\x09\0\0\0\0\0".to_vec(), "a.npy: the header is cut short or of an unknown version"),
        (
            b"\x93NUMPY\x02\0\xFF\xFF\xFF\xFF{".to_vec(),
            "a.npy: the header claims 4294967295 bytes, more than are there",
        ),
        (npy("'<f4'", false, "()", &[0; 4]), "a.npy: expected at least one number, found the empty shape []"),
        (npy("'<f4'", false, "(0, 4)", &[]), "a.npy: expected at least one number, found the empty shape [0, 4]"),
        (npy("'<f4'", false, "(2, 2)", &[0; 15]), "a.npy: the shape [2, 2] of f4 takes 16 bytes, but 15 are there"),
        (npy("'<f4'", false, "(2, 2)", &[0; 17]), "a.npy: the shape [2, 2] of f4 takes 16 bytes, but 17 are there"),
        (
            npy("'<f8'", false, "(99999999999,)", &[0; 8]),
            "a.npy: the shape [99999999999] of f8 takes 799999999992 bytes",
        ),
        (
            npy("'|u1'", false, "(9999999999999999999, 9)", &[]),
            "a.npy: the shape [9999999999999999999, 9] of u1 takes more",
        ),
        (npy("'<f4'", false, "(-1,)", &[]), "a.npy: the header is damaged: "),
        (npy("'<f4'", false, "2", &[0; 8]), "a.npy: the header is damaged: "),
        (
            npy("'<c8'", false, "(1,)", &[0; 8]),
            "a.npy: expected float16, float32, float64, integers or bool, found the type '<c8'",
        ),
        (
            npy("'|O'", false, "(1,)", &[0; 8]),
            "a.npy: expected float16, float32, float64, integers or bool, found the type '|O'",
        ),
        (
            npy("[('a', '<f4')]", false, "(1,)", &[0; 4]),
            "a.npy: expected float16, float32, float64, integers or bool, found",
        ),
        (npy("'<f4'", false, &deep, &[]), "a.npy: expected an array of plain numbers, found a structured type"),
        (npy("'<f4'", false, &many, &[]), "a.npy: the shape [1] of f4 takes 4 bytes, but 0 are there"),
        (npy("'<f8'", false, "(1, 1)", &1e300f64.to_le_bytes()), "a.npy, row 1, column 1: expected a finite 32-bit"),
    ] {
        let error = read_bytes(&bytes).unwrap_err();
        assert!(error.starts_with(expected), "{error}");
    }
    assert!(read_npy(&PathBuf::from("no-such.npy")).unwrap_err().to_string().starts_with("cannot read no-such.npy: "));
}

#[test]
fn npy_with_any_byte_changed_never_panics() {
    let whole = npy("'<f4'", false, "(2, 2)", &[0; 16]);
    let fixture = file(&whole);
    for i in 0..whole.len() {
        for byte in [0, b'(', b'9', b'\'', b',', whole[i] ^ 1, 0xFF] {
            let mut bytes = whole.clone();
            bytes[i] = byte;
            std::fs::write(&fixture.1, &bytes).unwrap();
            let _ = read_npy(&fixture.1);
        }
        std::fs::write(&fixture.1, &whole[..i]).unwrap();
        assert!(read_npy(&fixture.1).is_err(), "cut at {i}");
    }
}
