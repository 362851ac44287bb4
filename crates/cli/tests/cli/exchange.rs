//! `wgrad export`, `wgrad import`

use crate::support::Folder;
use std::path::Path;
use wgrad::Model;

fn stored(name: &str) -> String {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/exchange");
    folder.join(name).to_str().unwrap().to_owned()
}

#[test]
fn a_model_goes_to_each_format_and_back() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.well("train f.csv --hidden 8 --epochs 3 --out m.safetensors");
    let answers = folder.well("predict m.safetensors f.csv").stdout;
    for file in ["e.onnx", "e.npz", "e.safetensors"] {
        let run = folder.well(&format!("export m.safetensors --to {file}"));
        assert!(run.stdout.contains(file) && run.stdout.contains("4-8-3, 67 parameters"), "{}", run.stdout);
        folder.well(&format!("import {file} --out again.safetensors"));
        assert_eq!(folder.read("again.safetensors"), folder.read("m.safetensors"), "{file}");
        assert_eq!(folder.well("predict again.safetensors f.csv").stdout, answers);
    }
    let text = folder.well("export m.safetensors --to e.safetensors").stdout;
    assert!(text.contains("nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 3))"), "{text}");
    assert!(text.contains("--fold-scaling"), "{text}");
    let json = folder.well("export m.safetensors --to e.npz --fold-scaling --json").json();
    assert_eq!((&json["parameters"], &json["scaling"], &json["out"]), (&67.into(), &().into(), &"e.npz".into()));
    folder.well("import e.npz --out folded.safetensors");
    assert_eq!(Model::load(&folder.path("folded.safetensors")).unwrap().scaling, None);
}

#[test]
fn files_of_other_programs_are_read() {
    let folder = Folder::new();
    let run = folder.well(&format!("import {} --out a.safetensors", stored("classifier.onnx")));
    assert!(
        run.stdout.contains("activations relu, linear") && run.stdout.contains("scaling     of 3 inputs"),
        "{}",
        run.stdout
    );
    let run = folder
        .well(&format!("import {} --activations tanh,relu,linear --out b.safetensors --json", stored("plain.pt")));
    assert_eq!(run.json()["parameters"], 84);
    folder.well("inspect b.safetensors");
}

#[test]
fn what_cannot_be_read_or_written_is_refused() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.well("train f.csv --hidden 8 --epochs 1 --out m.safetensors");
    folder.wgrad("export m.safetensors --to m.txt").refused(2, &["expected --to FILE.onnx, .npz or .safetensors"]);
    folder.wgrad("export m.safetensors --to m.safetensors").refused(1, &["choose another name"]);
    folder.wgrad("export m.safetensors --to none/m.onnx").refused(1, &["does not exist"]);
    folder.wgrad("import m.txt --out a.safetensors").refused(2, &["expected a file .onnx, .pt"]);
    let import =
        |name: &str, flags: &str| folder.wgrad(&format!("import {} --out a.safetensors {flags}", stored(name)));
    import("plain.pt", "").refused(2, &["give --activations"]);
    import("gemm.onnx", "--activations relu").refused(2, &["leave --activations out"]);
    import("module.pt", "--activations relu").refused(1, &["nothing in a file is ever run"]);
    import("bad_operator.onnx", "").refused(1, &["\"memory\" (operator LSTM)", "supported are"]);
    assert!(!folder.path("a.safetensors").exists());
}
