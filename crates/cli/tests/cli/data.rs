//! Data of every format, and what is fitted to them, from training to prediction.

use crate::support::{Folder, WGRAD, noise};
use std::io::Write;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use wgrad::Model;
use wgrad::data::{InputKind, Unknown};

/// 90 rows: a colour that decides about the class, sizes of which some are missing, and how much each row counts.
fn colours() -> String {
    let mut text = "size,colour,weight,kind\n".to_owned();
    for i in 0..90 {
        let colour = ["red", "green", "blue"][i % 3];
        let size = if i % 10 == 9 { String::new() } else { format!("{:.3}", 3.0 + noise(i)) };
        let kind = ["cat", "dog", "cat"][i % 3];
        text += &format!("{size},{colour},{},{kind}\n", 1 + i % 2);
    }
    text
}

fn with_stdin(folder: &Folder, arguments: &str, input: &[u8]) -> std::process::Output {
    let mut child = Command::new(WGRAD)
        .current_dir(folder.path(""))
        .env("WGRAD_CACHE_DIR", folder.path("cache"))
        .args(["--device", "cpu"])
        .args(arguments.split_whitespace())
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    child.stdin.take().unwrap().write_all(input).unwrap();
    child.wait_with_output().unwrap()
}

#[test]
fn what_was_fitted_goes_along_with_the_model() {
    let folder = Folder::new();
    folder.write("c.csv", colours());
    let run = folder.well(
        "train c.csv --target kind --weights weight --missing median --unknown column --scaling range:-1:1 --hidden 8 \
         --epochs 60 --lr 0.1 --out c.safetensors",
    );
    for word in ["columns     1 of numbers", "size: numbers, 9 missing; colour: 3 categories"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let json = folder.well("train c.csv --target kind --weights weight --missing median --epochs 1 --json").json();
    let columns = serde_json::json!([
        { "name": "size", "kind": "number", "categories": null, "missing": 9 },
        { "name": "colour", "kind": "category", "categories": 3, "missing": 0 },
    ]);
    assert_eq!(json["columns"], columns);
    let model = Model::load(&folder.path("c.safetensors")).unwrap();
    assert_eq!(model.features, ["size", "colour=blue", "colour=green", "colour=red", "colour=?"]);
    let encoding = model.encoding.unwrap();
    assert!(matches!(encoding.columns[0].kind, InputKind::Number { missing: Some(x) } if (2.0..4.0).contains(&x)));
    assert!(matches!(encoding.columns[1].kind, InputKind::Category { unknown: Unknown::Column, .. }));
    let scaling = model.scaling.unwrap();
    assert_eq!((scaling.kind.to_string().as_str(), &scaling.scale[1..]), ("range:-1:1", &[1.0; 4][..]));

    // Other formats, other orders, missing values and new colours.
    let json = folder.well("evaluate c.safetensors c.csv --json").json();
    assert_eq!(json["accuracy"], 1.0, "{json}");
    let weighted = folder.well("evaluate c.safetensors c.csv --target kind --weights weight --json").json();
    assert!(weighted["loss"].as_f64().unwrap() > 0.0 && weighted["loss"] != json["loss"], "{weighted} {json}");
    folder
        .wgrad("evaluate c.safetensors c.csv --target kind --weights wieght")
        .refused(1, &["did you mean \"weight\"?"]);
    let answers = |name: &str, text: &str| {
        folder.write(name, text);
        folder.well(&format!("predict c.safetensors {name}")).stdout
    };
    let expected = answers("p.csv", "colour,size\nred,3\ngreen,\nmauve,2.5\n");
    assert_eq!(expected.lines().count(), 4);
    assert!(expected.contains("\ncat,") && expected.contains("\ndog,"), "{expected}");
    assert_eq!(answers("p.tsv", "size\tcolour\n3\tred\nNA\tgreen\n2.5\tmauve\n"), expected);
    let lines = "{\"colour\": \"red\", \"size\": 3}\n{\"colour\": \"green\", \"size\": null}\n{\"colour\": \"mauve\", \"size\": 2.5}\n";
    assert_eq!(answers("p.jsonl", lines), expected);
    let output = with_stdin(&folder, "predict c.safetensors -", b"size,colour\n3,red\n,green\n2.5,mauve\n");
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);
    let output = with_stdin(&folder, "predict c.safetensors - --format jsonl", lines.as_bytes());
    assert_eq!(String::from_utf8(output.stdout).unwrap(), expected);

    // Going on with a model keeps what was fitted to the first data.
    folder.write("d.csv", colours().replace("red", "mauve"));
    folder.well("train d.csv --target kind --ignore weight --init c.safetensors --epochs 1 --out d.safetensors");
    let gone_on = Model::load(&folder.path("d.safetensors")).unwrap();
    assert_eq!((gone_on.encoding, gone_on.scaling), (Some(encoding), Some(scaling)));
}

#[test]
fn unknown_categories_are_refused_unless_told_otherwise() {
    let folder = Folder::new();
    folder.write("c.csv", colours());
    folder
        .wgrad("train c.csv --epochs 1")
        .refused(1, &["c.csv, line 11, column \"size\"", "have missing values imputed"]);
    folder.well("train c.csv --missing mean --hidden 4 --epochs 1");
    folder.write("p.csv", "weight,colour,size\n1,rde,3\n");
    folder.wgrad("predict model.safetensors p.csv").refused(
        1,
        &[
            "p.csv, line 2, column \"colour\"",
            "the category \"rde\" is none of the 3 known categories",
            "did you mean \"red\"?",
        ],
    );
    folder.wgrad("train c.csv --missing medium").refused(2, &["did you mean \"median\"?"]);
    folder.wgrad("train c.csv --unknown colum").refused(2, &["did you mean \"column\"?"]);
    folder.wgrad("train c.csv --format jsnol").refused(2, &["did you mean \"jsonl\"?"]);
    folder.wgrad("train c.csv --scaling range:1:-1").refused(2, &["the lower first"]);
    folder.wgrad("train digits --weights w").refused(2, &["digits is no file; leave --weights out"]);
    folder.wgrad("train c.csv --missing mean --ignore sice").refused(1, &["did you mean \"size\"?"]);
}

#[test]
fn a_configuration_says_what_flags_say() {
    let folder = Folder::new();
    folder.write("c.csv", colours());
    let flags = "--missing constant:0 --unknown ignore --scaling range:-1:1 --categorical weight --ignore size --hidden 3 --epochs 1";
    let printed = folder.well(&format!("train c.csv {flags} --print-config")).stdout;
    for line in
        ["missing = \"constant:0\"", "ignore = [\"size\"]", "scaling = \"range:-1:1\"", "categorical = [\"weight\"]"]
    {
        assert!(printed.contains(line), "{line}: {printed}");
    }
    folder.write("c.toml", printed);
    folder.well(&format!("train c.csv {flags} --out a.safetensors"));
    folder.well("train c.toml --out b.safetensors");
    assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"));
}

#[test]
fn validation_has_a_file_of_its_own() {
    let folder = Folder::new();
    folder.write("c.csv", colours());
    folder.write("v.tsv", "kind\tcolour\tsize\tweight\ncat\tred\t\t1\ndog\tgreen\t2\t1\ncat\tblue\t3\t2\n");
    let run = folder.well("train c.csv --missing mean --hidden 8 --epochs 40 --lr 0.1 --validation v.tsv --test 0");
    assert!(run.stdout.contains("90 rows to train on, 3 for validation, 0 for the test"), "{}", run.stdout);
    assert!(
        run.stdout.contains("validation  accuracy 1.0000") || run.stdout.contains("validation  accuracy 1"),
        "{}",
        run.stdout
    );
    folder.write("c.toml", "[data]\nsource = 'c.csv'\nmissing = 'mean'\nvalidation = 'v.tsv'\n[training]\nepochs = 1");
    let run = folder.well("train c.toml");
    assert!(run.stdout.contains("72 rows to train on, 3 for validation, 18 for the test"), "{}", run.stdout);
    folder.write("v.tsv", "kind\tcolour\tsize\tweight\neel\tred\t1\t1\n");
    folder
        .wgrad("train c.toml")
        .refused(1, &["v.tsv, line 2, column \"kind\"", "\"eel\" is none of the 2 known classes"]);
    folder.wgrad("train c.csv --missing mean --validation w.csv").refused(1, &["w.csv", "os error"]);
}

#[test]
fn other_formats_are_trained_on() {
    let folder = Folder::new();
    let data = |name: &str| PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../tests/data/formats").join(name);
    let train = |rest: String| {
        folder.well(&format!("train {rest} --hidden 4 --epochs 1 --test 0 --validation 0 --json")).json()
    };
    for (name, flags) in [
        ("table.parquet", "--missing mean"),
        ("table.arrow", "--missing mean"),
        ("semicolons.txt", "--missing mean --format csv:;"),
        ("compressed.npz", ""),
        ("train-images-idx3-ubyte", ""),
        ("shapes", ""),
    ] {
        let json = train(format!("{} {flags}", data(name).display()));
        assert!(json["final_loss"].as_f64().unwrap() > 0.0, "{name}: {json}");
        folder.well(&format!(
            "evaluate model.safetensors {} {}",
            data(name).display(),
            flags.replace("--missing mean", "")
        ));
    }
    train(format!("{} --labels {}", data("inputs.npy").display(), data("labels.npy").display()));
    let run = folder.well(&format!("predict model.safetensors {}", data("inputs.npy").display()));
    assert_eq!(run.stdout.lines().count(), 7);
    let csv = std::fs::read(data("table.csv.gz")).unwrap();
    let output = with_stdin(&folder, "train - --missing mean --hidden 4 --epochs 1", &csv);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
}

#[test]
fn a_reader_that_panics_at_a_damaged_file_is_silent() {
    let folder = Folder::new();
    let table = concat!(env!("CARGO_MANIFEST_DIR"), "/../../tests/data/formats/table.parquet");
    let mut bytes = std::fs::read(table).unwrap();
    bytes[303] ^= 1;
    folder.write("t.parquet", bytes);
    let run = folder.wgrad("train t.parquet --missing mean");
    let error = "error: t.parquet: cannot be read as a file of the format Parquet: it is damaged; write it again\n";
    assert_eq!((run.code, run.stderr.as_str()), (1, error));
}

#[test]
fn rows_that_do_not_fit_in_memory_give_the_same_bytes() {
    let folder = Folder::new();
    // Batches of more rows than are read from a file at once.
    let (names, rows) =
        (colours().lines().next().unwrap().to_owned(), colours().split_once('\n').unwrap().1.repeat(100));
    folder.write("c.csv", format!("{names}\n{rows}"));
    for device in ["cpu", "gpu"] {
        for (out, memory) in [("a", ""), ("b", "--memory 1KiB")] {
            let flags = "--missing mean --weights weight --hidden 5 --epochs 3 --batch 5000";
            let run = folder.wgrad_on(device, &[], &format!("train c.csv {flags} {memory} --out {out}.safetensors"));
            assert_eq!(run.code, 0, "{}", run.stderr);
        }
        assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"), "{device}");
    }
    folder.wgrad("train c.csv --memory 1kB").refused(2, &["--memory", "64MiB"]);
}
