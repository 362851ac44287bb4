//! `wgrad gradients`

use crate::support::{Folder, Tensors};
use wgrad::checkpoint::save_tensors;
use wgrad::data::write_npy;
use wgrad::{Activation, Matrix, Model, Network, Params};

/// A folder with the two–two–two network worked by Mazur: `m.safetensors`, `x.npy`, `t.npy`.
fn mazur() -> Folder {
    let folder = Folder::new();
    let network = Network::new(2).dense(2, Activation::Sigmoid).dense(2, Activation::Sigmoid);
    let params = Params::of(&network);
    let mut values = vec![0.0; params.len];
    let given: [&[f32]; 4] = [&[0.15, 0.20, 0.25, 0.30], &[0.35; 2], &[0.40, 0.45, 0.50, 0.55], &[0.60; 2]];
    for (tensor, given) in params.tensors.iter().zip(given) {
        values[tensor.range()].copy_from_slice(given);
    }
    Model::new(network, values).unwrap().save(&folder.path("m.safetensors")).unwrap();
    write_npy(&folder.path("x.npy"), &Matrix::new(1, 2, vec![0.05, 0.10]).unwrap()).unwrap();
    write_npy(&folder.path("t.npy"), &Matrix::new(1, 2, vec![0.01, 0.99]).unwrap()).unwrap();
    folder
}

/// The bytes of a .npy file with one column of 64-bit integers.
fn integers(numbers: &[i64]) -> Vec<u8> {
    let header = format!("{{'descr': '<i8', 'fortran_order': False, 'shape': ({},), }}", numbers.len());
    let header = format!("{header:<117}\n");
    let mut bytes = b"\x93NUMPY\x01\x00".to_vec();
    bytes.extend((header.len() as u16).to_le_bytes());
    bytes.extend(header.as_bytes());
    bytes.extend(numbers.iter().flat_map(|number| number.to_le_bytes()));
    bytes
}

fn assert_near(found: &[f64], expected: &[f64], tolerance: f64) {
    assert_eq!(found.len(), expected.len());
    for (found, expected) in found.iter().zip(expected) {
        assert!((found - expected).abs() <= tolerance * expected.abs().max(1e-3), "{found} is not {expected}");
    }
}

#[test]
fn the_worked_case_has_its_gradients() {
    let folder = mazur();
    let arguments = "gradients m.safetensors --inputs x.npy --targets t.npy --loss half_sum_of_squares";
    for (flags, tolerance) in [("", 2e-5), ("--reference", 1e-6)] {
        let run = folder.well(&format!("{arguments} {flags} --out g.safetensors"));
        assert!(run.stdout.contains("0.29837"), "{}", run.stdout);
        let found = Tensors::of(&folder.read("g.safetensors"));
        let (shape, weight) = &found.tensors["layers.1.weight"];
        assert_eq!(shape, &[2, 2]);
        assert_near(weight, &[0.08216704, 0.08266763, -0.02260254, -0.02274024], tolerance);
        assert_near(&found.tensors["layers.0.bias"].1, &[0.00877135, 0.00995425], tolerance);
        let (shape, input) = &found.tensors["input"];
        assert_eq!(shape, &[1, 2]);
        let expected = [0.15 * 0.00877135 + 0.25 * 0.00995425, 0.20 * 0.00877135 + 0.30 * 0.00995425];
        assert_near(input, &expected, tolerance);
        assert_eq!(found.tensors.len(), 5);
        let loss: f64 = found.metadata["loss"].parse().unwrap();
        assert!((loss - 0.298371109).abs() < 1e-7, "{loss}");
    }
    let json = folder.well(&format!("{arguments} --out g.safetensors --json")).json();
    assert!((json["loss"].as_f64().unwrap() - 0.298371109).abs() < 1e-7, "{json}");
    assert_eq!(json["loss_name"], "half_sum_of_squares");
}

#[test]
fn plain_weights_and_labels_are_understood() {
    let folder = Folder::new();
    let (weight, bias) = ([0.5, -0.5, 0.25, 1.0, 0.0, 2.0], [0.1, 0.2, 0.3]);
    let tensors: [(&str, Vec<usize>, &[f32]); 2] = [("0.weight", vec![3, 2], &weight), ("0.bias", vec![3], &bias)];
    save_tensors(&folder.path("t.safetensors"), &tensors, &[]).unwrap();
    write_npy(&folder.path("x.npy"), &Matrix::new(2, 2, vec![1.0, 2.0, -1.0, 0.5]).unwrap()).unwrap();
    folder.write("labels.npy", integers(&[2, 0]));
    write_npy(&folder.path("one_hot.npy"), &Matrix::new(2, 3, vec![0.0, 0.0, 1.0, 1.0, 0.0, 0.0]).unwrap()).unwrap();

    let arguments = "gradients t.safetensors --activations linear --loss softmax_cross_entropy --inputs x.npy";
    folder.well(&format!("{arguments} --targets labels.npy --out a.safetensors"));
    folder.well(&format!("{arguments} --targets one_hot.npy --out b.safetensors"));
    assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"));
    let mut names: Vec<_> = Tensors::of(&folder.read("a.safetensors")).tensors.into_keys().collect();
    names.sort();
    assert_eq!(names, ["input", "layers.0.bias", "layers.0.weight"]);

    folder.write("labels.npy", integers(&[3, 0]));
    folder.wgrad(&format!("{arguments} --targets labels.npy --out c.safetensors")).refused(1, &["label 3", "0..=2"]);
    folder.write("labels.npy", integers(&[1]));
    folder.wgrad(&format!("{arguments} --targets labels.npy --out c.safetensors")).refused(1, &["rows", "2, found 1"]);
    assert!(!folder.path("c.safetensors").exists());
    let plain = "gradients t.safetensors --loss huber --inputs x.npy --targets one_hot.npy --out c.safetensors";
    folder.wgrad(plain).refused(1, &["--activations"]);
    folder.wgrad(&format!("{plain} --activations linear,relu")).refused(1, &["expected one activation"]);
    folder.wgrad(&format!("{plain} --activations lenear")).refused(2, &["linear"]);
}

#[test]
fn the_loss_must_be_known() {
    let folder = mazur();
    folder
        .wgrad("gradients m.safetensors --inputs x.npy --targets t.npy --out g.safetensors")
        .refused(2, &["does not say its loss"]);
    folder
        .wgrad("gradients m.safetensors --inputs x.npy --targets t.npy --loss hubber --out g.safetensors")
        .refused(2, &["huber"]);
    folder.write("wide.npy", integers(&[1, 2, 3]));
    folder
        .wgrad("gradients m.safetensors --inputs wide.npy --targets t.npy --loss huber --out g.safetensors")
        .refused(1, &["wide.npy", "takes 2 inputs, found 1"]);
}
