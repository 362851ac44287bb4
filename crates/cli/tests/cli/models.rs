//! `wgrad evaluate`, `wgrad predict`, `wgrad inspect`

use crate::support::{Folder, WGRAD};
use std::io::Read;
use std::process::{Command, Stdio};
use wgrad::data::{read_npy, write_npy};
use wgrad::{Matrix, Model};

/// A folder with `f.csv` and a model of it, `f.safetensors`.
fn trained() -> Folder {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.well("train f.csv --hidden 8 --epochs 4 --out f.safetensors");
    folder
}

/// The lines of a CSV text as fields.
fn fields(text: &str) -> Vec<Vec<String>> {
    let mut reader = csv::ReaderBuilder::new().has_headers(false).from_reader(text.as_bytes());
    reader.records().map(|record| record.unwrap().iter().map(String::from).collect()).collect()
}

#[test]
fn predictions_have_the_accuracy_that_is_evaluated() {
    let folder = trained();
    let json = folder.well("evaluate f.safetensors f.csv --json").json();
    let predicted = fields(&folder.well("predict f.safetensors f.csv").stdout);
    assert_eq!(predicted[0], ["class", "probability_iris", "probability_rose, wild", "probability_tulip"]);
    let truth = fields(&String::from_utf8(folder.read("f.csv")).unwrap());
    let right = predicted[1..].iter().zip(&truth[1..]).filter(|(row, truth)| row[0] == truth[4]).count();
    assert_eq!(predicted.len(), truth.len());
    assert_eq!(right as f64 / (truth.len() - 1) as f64, json["accuracy"].as_f64().unwrap());
    assert!(json["accuracy"].as_f64().unwrap() > 0.5, "{json}");
    assert_eq!((&json["rows"], json["loss"].is_f64()), (&120.into(), true));
    let metrics = &json["metrics"];
    assert_eq!((&metrics["accuracy"], &metrics["top_k_accuracy"][2]), (&json["accuracy"], &1.0.into()));
    // The mean of the losses that the device computed in f32.
    let [loss, log_loss] = [&json["loss"], &metrics["log_loss"]].map(|loss| loss.as_f64().unwrap());
    assert!((loss - log_loss).abs() < 1e-5 * loss.max(1.0), "{json}");

    for row in &predicted[1..] {
        let numbers: Vec<f64> = row[1..].iter().map(|field| field.parse().unwrap()).collect();
        assert!((numbers.iter().sum::<f64>() - 1.0).abs() < 1e-5, "{row:?}");
        let best = numbers.iter().copied().fold(0.0, f64::max);
        let class = predicted[0].iter().position(|name| *name == format!("probability_{}", row[0])).unwrap();
        assert_eq!(numbers[class - 1], best);
    }
}

#[test]
fn digits_are_evaluated_with_the_models_scaling() {
    let folder = Folder::new();
    folder.well("train digits --epochs 5");
    let run = folder.well("evaluate model.safetensors digits");
    assert!(run.stdout.contains("accuracy 0.9") && run.stdout.contains("1797 rows"), "{}", run.stdout);
    for part in ["top 2 ", "ROC-AUC ", "log loss ", "macro average", "class \\ answer"] {
        assert!(run.stdout.contains(part), "{part}: {}", run.stdout);
    }
    folder.flowers("f.csv");
    folder.wgrad("evaluate model.safetensors f.csv").refused(1, &["64"]);
    folder.well("train f.csv --epochs 1 --out f.safetensors");
    folder.wgrad("evaluate f.safetensors digits").refused(1, &["iris", "the data holds the classes 0"]);
}

#[test]
fn arrays_and_tables_give_the_same_answers() {
    let folder = trained();
    let inputs = fields(&String::from_utf8(folder.read("f.csv")).unwrap());
    let numbers = inputs[1..].iter().flat_map(|row| row[..4].iter().map(|field| field.parse::<f32>().unwrap()));
    write_npy(&folder.path("f.npy"), &Matrix::new(120, 4, numbers.collect()).unwrap()).unwrap();

    let table = folder.well("predict f.safetensors f.csv").stdout;
    assert_eq!(folder.well("predict f.safetensors f.npy").stdout, table);
    let classes = |table: &str| fields(table).iter().map(|row| row[0].clone()).collect::<Vec<_>>();
    assert_eq!(classes(&folder.well("predict f.safetensors f.npy --planner fused").stdout), classes(&table));
    folder.well("predict f.safetensors f.npy --out p.csv");
    assert_eq!(folder.read("p.csv"), table.as_bytes());
    let json = folder.well("predict f.safetensors f.npy --json").json();
    assert_eq!(json["answers"].as_array().unwrap().len(), 120);
    assert_eq!(json["answers"][0][0], fields(&table)[1][0].as_str());

    let json = folder.well("predict f.safetensors f.npy --out raw.npy --json").json();
    assert_eq!((&json["rows"], &json["out"]), (&120.into(), &"raw.npy".into()));
    let raw = read_npy(&folder.path("raw.npy")).unwrap();
    let row = raw.row(0);
    let sum: f32 = row.iter().map(|logit| logit.exp()).sum();
    let first: f32 = fields(&table)[1][1].parse().unwrap();
    assert!((row[0].exp() / sum - first).abs() < 1e-5, "{row:?} {first}");
}

#[test]
fn numbers_are_predicted_by_name() {
    let folder = Folder::new();
    folder.sums("s.csv");
    folder.well("train s.csv --target sum,difference --epochs 100 --lr 0.02 --out s.safetensors");
    let json = folder.well("evaluate s.safetensors s.csv --json").json();
    assert!(json["r_squared"].as_f64().unwrap() > 0.9 && json.get("accuracy").is_none(), "{json}");
    let all = json["metrics"]["r_squared"].as_f64().unwrap();
    assert!((all - json["r_squared"].as_f64().unwrap()).abs() < 1e-9, "{json}");
    assert_eq!(json["metrics"]["outputs"][1]["name"], "difference");
    // Columns are found by name, in any order, and others are passed over.
    folder.write("new.csv", "b,other,a\n0.25,9,0.5\n");
    let predicted = fields(&folder.well("predict s.safetensors new.csv").stdout);
    assert_eq!(predicted[0], ["sum", "difference"]);
    let [sum, difference] = [0, 1].map(|i| predicted[1][i].parse::<f64>().unwrap());
    assert!((sum - 0.75).abs() < 0.2 && (difference - 0.25).abs() < 0.2, "{predicted:?}");
}

#[test]
fn losses_decide_what_is_a_probability() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    for (loss, prefix) in [
        ("binary_cross_entropy", "probability"),
        ("logistic_cross_entropy", "probability"),
        ("mean_squared_error", "output"),
    ] {
        folder.well(&format!("train f.csv --hidden 8 --epochs 1 --loss {loss}"));
        let predicted = fields(&folder.well("predict model.safetensors f.csv").stdout);
        assert_eq!(predicted[0][1], format!("{prefix}_iris"));
        let bounded =
            predicted[1..].iter().flat_map(|row| &row[1..]).all(|x| (0.0..=1.0).contains(&x.parse::<f64>().unwrap()));
        assert_eq!(bounded, prefix == "probability", "{loss}");
    }
}

#[test]
fn a_reader_that_leaves_is_no_error() {
    let folder = trained();
    // More than a pipe holds.
    write_npy(&folder.path("many.npy"), &Matrix::zeros(20_000, 4)).unwrap();
    let mut child = Command::new(WGRAD)
        .current_dir(folder.path(""))
        .args(["predict", "f.safetensors", "many.npy", "--device", "cpu"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    stdout.read_exact(&mut [0; 10]).unwrap();
    drop(stdout);
    let output = child.wait_with_output().unwrap();
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(0), "{stderr}");
    assert!(!stderr.contains("error") && !stderr.contains("panicked"), "{stderr}");
}

#[test]
fn wrong_inputs_are_refused() {
    let folder = trained();
    write_npy(&folder.path("narrow.npy"), &Matrix::zeros(2, 3)).unwrap();
    folder.wgrad("predict f.safetensors narrow.npy").refused(1, &["narrow.npy", "4 input columns, found 3"]);
    folder.write("junk.npy", "junk");
    folder.wgrad("predict f.safetensors junk.npy").refused(1, &["junk.npy"]);
    folder.wgrad("predict f.safetensors x.txt").refused(1, &["cannot read x.txt"]);
    folder.wgrad("predict f.safetensors f.csv --out x.txt").refused(2, &[".npy"]);
    folder.wgrad("predict f.safetensors f.csv --out no/x.csv").refused(1, &["create it first"]);
    folder.wgrad("predict missing.safetensors f.csv").refused(1, &["missing.safetensors"]);
    folder.wgrad("evaluate f.safetensors f.csv --target spices").refused(1, &["did you mean \"species\"?"]);
    folder.wgrad("evaluate f.safetensors").refused(2, &["digits|NAME"]);
    folder.write("other.csv", "length,width,height,weight,species\n1,2,3,4,orchid\n1,2,3,4,iris\n");
    folder.wgrad("evaluate f.safetensors other.csv").refused(1, &["line 2", "\"orchid\""]);

    let whole = folder.read("f.safetensors");
    folder.write("short.safetensors", &whole[..whole.len() - 9]);
    folder.wgrad("predict short.safetensors f.csv").refused(1, &["truncated"]);
    folder.wgrad("inspect short.safetensors").refused(1, &["truncated"]);
    folder.write("large.safetensors", [u64::from(u32::MAX).to_le_bytes().as_slice(), b"{}"].concat());
    folder.wgrad("inspect large.safetensors").refused(1, &["4294967295"]);
}

#[test]
fn a_model_is_shown_with_all_it_holds() {
    let folder = trained();
    let run = folder.well("inspect f.safetensors");
    for word in
        ["4-8-3", "iris, rose, wild, tulip", "length, width", "standard", "softmax_cross_entropy", "[8, 4]", "relu"]
    {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let json = folder.well("inspect f.safetensors --json").json();
    assert_eq!((&json["parameters"], &json["network"]["inputs"]), (&67.into(), &4.into()));
    assert_eq!(json["task"]["classes"][2], "tulip");
    assert_eq!(json["training"]["data"], "f");
    let bias = Model::load(&folder.path("f.safetensors")).unwrap().tensor("layers.1.bias").unwrap().to_vec();
    let mean = bias.iter().map(|&x| f64::from(x)).sum::<f64>() / 3.0;
    let tensor = &json["tensors"][3];
    assert_eq!(
        (&tensor["name"], &tensor["count"], &tensor["shape"][0]),
        (&"layers.1.bias".into(), &3.into(), &3.into())
    );
    assert!((tensor["mean"].as_f64().unwrap() - mean).abs() < 1e-9, "{tensor}");
    assert!(tensor["min"].as_f64() <= tensor["max"].as_f64() && tensor["deviation"].as_f64().unwrap() > 0.0);
}

#[test]
fn synthetic_data_are_drawn_by_the_seed() {
    let folder = Folder::new();
    folder.well("train moons:400:0.05 --epochs 60 --lr 0.1 --out moons.safetensors");
    let evaluate =
        |flags: &str| folder.well(&format!("evaluate moons.safetensors moons:300:0.05 --json {flags}")).json();
    let (first, other) = (evaluate("--seed 1"), evaluate("--seed 2"));
    assert_eq!((&first, &first["rows"]), (&evaluate("--seed 1"), &300.into()));
    assert_ne!(first["loss"], other["loss"]);
    assert!(first["metrics"]["roc_auc"].as_f64().unwrap() > 0.95, "{first}");

    let config = folder.well("train sine:50 --print-config").stdout;
    assert!(config.contains("source = \"sine:50:0.1\"") && config.contains("task = \"regression\""), "{config}");
    folder.write("sine.toml", &config);
    folder.well("train sine.toml --epochs 1 --out sine.safetensors");
    folder.wgrad("train sine --task classification").refused(2, &["sine has numbers"]);
    folder.wgrad("train moons --target y").refused(2, &["moons has its own target"]);
    folder.wgrad("train moons:1").refused(2, &["2 to 100000000 rows, found 1"]);
    folder.wgrad("train mons").refused(2, &["did you mean \"moons\"?"]);
}

#[test]
fn what_surrounds_layers_is_said() {
    let folder = Folder::new();
    let run = folder.well(
        "train moons:100 --epochs 2 --hidden 8,8,4 --normalization batch --residual --dropout 0.2 --precision auto \
         --out m.safetensors",
    );
    let words =
        "; batch normalisation, dropout 0.2 in layers 0, 2; batch normalisation, residual, dropout 0.2 in layer 1";
    assert!(run.stdout.contains(words), "{}", run.stdout);
    assert!(run.stdout.contains("f32: layers with normalisation"), "{}", run.stdout);
    let run = folder.well("inspect m.safetensors").stdout;
    let line = |start: &str| run.lines().find(|line| line.starts_with(start)).unwrap();
    assert!(
        line("layer ").ends_with("around") && line("1 ").ends_with("batch normalisation, residual, dropout 0.2"),
        "{run}"
    );
    let plain = folder.well("train moons:100 --epochs 2 --hidden 8 --out m.safetensors").stdout;
    assert!(plain.contains("network     2-8-2, 42 parameters\n"), "{plain}");
    assert!(!folder.well("inspect m.safetensors").stdout.contains("around"));
}
