//! What is done around the update and to the rows, from the command line and a configuration; cross-validation.

use crate::support::{Folder, noise};
use wgrad::Model;

fn notes(folder: &Folder, model: &str) -> serde_json::Value {
    Model::load(&folder.path(model)).unwrap().training.unwrap()
}

/// 400 rows of two overlapping classes, a tenth of them `rare`.
fn rare(folder: &Folder) {
    let mut text = "x,y,class\n".to_owned();
    for i in 0..400 {
        let (class, shift) = if i % 10 == 0 { ("rare", 0.6) } else { ("usual", 0.0) };
        text += &format!("{:.4},{:.4},{class}\n", noise(2 * i) + shift, noise(2 * i + 1) + shift);
    }
    folder.write("rare.csv", text);
}

#[test]
fn everything_around_the_update_can_be_said() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    let all = "--l1 0.001 --l2 0.01 --clip-value 0.5 --clip-norm 1 --average 0.9 --label-smoothing 0.1 --class-weights \
               balanced --reduction samples --micro-batch 10";
    let plain = "f.csv --epochs 3 --hidden 6 --planner layerwise";
    let run = folder.well(&format!("train {plain} {all} --out a.safetensors"));
    for words in ["l1 0.001", "clip_norm 1", "average 0.9", "class_weights balanced", "micro_batch 10"] {
        assert!(run.stdout.contains(words), "{words}: {}", run.stdout);
    }
    let found = notes(&folder, "a.safetensors");
    assert_eq!(
        (&found["l2"], &found["reduction"], &found["micro_batch"]),
        (&"0.01".into(), &"samples".into(), &"10".into())
    );
    folder.well(&format!("train {plain} --out plain.safetensors"));
    assert_eq!(notes(&folder, "plain.safetensors").get("l2"), None);

    // A configuration says the same, to the byte.
    let toml = folder.well(&format!("train {plain} {all} --print-config")).stdout;
    assert!(toml.contains("class_weights = \"balanced\"") && toml.contains("reduction = \"samples\""), "{toml}");
    folder.write("f.toml", toml);
    folder.well("train f.toml --out b.safetensors");
    assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"));

    // Each of them changes what comes out.
    let values = |model: &str| Model::load(&folder.path(model)).unwrap().values;
    for one in [
        "--l1 0.1",
        "--l2 0.1",
        "--clip-value 0.001",
        "--clip-norm 0.01",
        "--average 0.9",
        "--label-smoothing 0.2",
        "--class-weights iris:3",
        "--reduction sum",
    ] {
        folder.well(&format!("train {plain} {one} --out one.safetensors"));
        assert_ne!(values("one.safetensors"), values("plain.safetensors"), "{one}");
    }
    for same in ["--l1 0", "--reduction mean", "--micro-batch auto", "--micro-batch 32", "--label-smoothing 0"] {
        folder.well(&format!("train {plain} {same} --out same.safetensors"));
        assert_eq!(values("same.safetensors"), values("plain.safetensors"), "{same}");
    }
    assert!(
        folder.well(&format!("train {plain} --micro-batch auto")).stdout.contains("a batch of 32 rows fits as a whole")
    );
}

#[test]
fn what_is_out_of_range_is_refused() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.sums("s.csv");
    for (arguments, words) in [
        ("f.csv --l1 -1", &["l1 must be finite and at least 0", "-1"][..]),
        ("f.csv --clip-norm 0", &["clip_norm must be finite and more than 0"]),
        ("f.csv --average 1", &["decay", "less than 1, found 1"]),
        ("f.csv --label-smoothing 1.5", &["label smoothing must be at least 0 and less than 1, found 1.5"]),
        ("f.csv --class-weights tulp:2", &["no class \"tulp\"", "did you mean \"tulip\"?"]),
        ("f.csv --class-weights tulip", &["LABEL:WEIGHT"]),
        ("f.csv --micro-batch 0", &["at least 1, or auto"]),
        ("f.csv --reduction total", &["total", "elements", "sum"]),
        ("s.csv --target sum --class-weights balanced", &["class weights are for classes"]),
        ("s.csv --target sum --label-smoothing 0.1", &["label smoothing is for classes"]),
        ("f.csv --planner resident --hidden 4 --l2 0.1", &["the planner resident", "layerwise"]),
        ("f.csv --folds 1", &["expected 2 to 120 folds", "found 1"]),
        ("f.csv --folds 121", &["expected 2 to 120 folds"]),
        ("f.csv --folds 3 --test 0.2", &["leave --test out"]),
    ] {
        // What the data cannot give is an error of the job, not of the settings alone.
        let of_data = arguments.contains("tulp") || arguments.starts_with("s.csv");
        folder.wgrad(&format!("train {arguments} --epochs 1")).refused(if of_data { 1 } else { 2 }, words);
    }
    assert!(!folder.path("model.safetensors").exists());
}

/// A class of few rows is found more often where its rows count more.
#[test]
fn balanced_weights_find_the_rare_class() {
    let folder = Folder::new();
    rare(&folder);
    let recall = |more: &str| {
        folder.well(&format!("train rare.csv --hidden 8 --epochs 40 --test 0 --out m.safetensors {more}"));
        let json = folder.well("evaluate m.safetensors rare.csv --json").json();
        json["metrics"]["classes"][0]["recall"].as_f64().unwrap_or_else(|| panic!("{json}"))
    };
    let (plain, balanced) = (recall(""), recall("--class-weights balanced"));
    assert!(balanced > plain + 0.3 && balanced > 0.6, "{plain} {balanced}");
}

#[test]
fn folds_judge_every_row_once() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    let json = folder.well("train f.csv --folds 5 --epochs 20 --hidden 8 --json").json();
    let folds = json["folds"].as_array().unwrap();
    assert_eq!((folds.len(), &json["model"]), (5, &serde_json::Value::Null));
    let of = |key: &str| folds.iter().map(|fold| fold[key].as_f64().unwrap()).collect::<Vec<f64>>();
    let (accuracies, losses) = (of("test_accuracy"), of("test_loss"));
    let mean = accuracies.iter().sum::<f64>() / 5.0;
    assert!((json["mean"]["test_accuracy"].as_f64().unwrap() - mean).abs() < 1e-12 && mean > 0.9, "{json}");
    assert!(json["deviation"]["test_loss"].as_f64().unwrap() > 0.0);
    assert!(losses.iter().any(|loss| *loss != losses[0]), "every fold is another test: {losses:?}");
    assert!(!folder.path("model.safetensors").exists());
    // Twice the same, and people read it.
    let text = folder.well("train f.csv --folds 5 --epochs 20 --hidden 8").stdout;
    let line = text.lines().find(|line| line.starts_with("folds")).unwrap();
    assert!(line.contains(&format!("accuracy {mean:.4} ± ")) && line.contains("over 5 folds"), "{text}");
    assert!(text.contains("fold 5/5    accuracy ") && text.contains("on 24 rows"), "{text}");

    // With --out a model of all rows comes after; a configuration says it too.
    let toml = folder.well("train f.csv --folds 5 --epochs 20 --hidden 8 --print-config").stdout;
    assert!(toml.contains("folds = 5"), "{toml}");
    assert!(!toml.contains("model ="), "without --out there is none: {toml}");
    for (flag, word) in [("--log log", "--log"), ("--checkpoint-every 1", "checkpoints"), ("--tui", "--tui")] {
        let run = folder.wgrad(&format!("train f.csv --folds 5 {flag}"));
        run.refused(2, &["leaves no model", word, "say --out"]);
    }
    folder.write("f.toml", toml);
    let run = folder.well("train f.toml --out all.safetensors --json").json();
    assert_eq!(run["cross_validation"]["folds"], json["folds"]);
    let found = notes(&folder, "all.safetensors");
    assert_eq!((&found["rows"], &found["folds"]), (&120.into(), &json["folds"]));
}
