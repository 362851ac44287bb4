//! `--log`, `wgrad plot`, `wgrad report` and `wgrad lr-find`

use crate::support::{Folder, WGRAD};
use std::fs;
use std::path::Path;
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};
use wgrad::Model;

/// A run of three epochs in the folder `log`.
fn logged(data: &str) -> Folder {
    let folder = Folder::new();
    if data == "f.csv" {
        folder.flowers("f.csv");
    }
    folder.well(&format!("train {data} --epochs 3 --hidden 8 --log log --out m.safetensors"));
    folder
}

fn text(folder: &Folder, name: &str) -> String {
    String::from_utf8(folder.read(name)).unwrap()
}

/// The scalars in an event file, read by rules of its own: framing, checksums, and the few fields that matter.
fn scalars(bytes: &[u8]) -> Vec<(i64, String, f32)> {
    let crc = |data: &[u8]| {
        let step = |crc: u32, byte: &u8| {
            (0..8).fold(crc ^ u32::from(*byte), |crc, _| (crc >> 1) ^ (0x82f6_3b78 & 0u32.wrapping_sub(crc & 1)))
        };
        let crc = !data.iter().fold(!0u32, step);
        crc.rotate_right(15).wrapping_add(0xa282_ead8)
    };
    let number = |at: usize| u32::from_le_bytes(bytes[at..at + 4].try_into().unwrap());
    let mut found = Vec::new();
    let mut at = 0;
    while at < bytes.len() {
        let length = u64::from_le_bytes(bytes[at..at + 8].try_into().unwrap()) as usize;
        assert_eq!(number(at + 8), crc(&bytes[at..at + 8]), "checksum of the length at {at}");
        let event = &bytes[at + 12..at + 12 + length];
        assert_eq!(number(at + 12 + length), crc(event), "checksum of the record at {at}");
        at += length + 16;
        let mut step = 0;
        for (field, value) in fields(event) {
            match field {
                2 => step = i64::from_le_bytes(value.try_into().unwrap()),
                5 => {
                    for (_, value) in fields(&value) {
                        let parts = fields(&value);
                        let tag = String::from_utf8(parts[0].1.clone()).unwrap();
                        found.push((step, tag, f32::from_le_bytes(parts[1].1.clone().try_into().unwrap())));
                    }
                }
                _ => {}
            }
        }
    }
    found
}

/// The fields of a message: numbers as their bytes, varints as eight.
fn fields(mut message: &[u8]) -> Vec<(u64, Vec<u8>)> {
    fn varint(message: &mut &[u8]) -> u64 {
        let mut value = 0;
        for shift in (0..).step_by(7) {
            let byte = message[0];
            *message = &message[1..];
            value |= u64::from(byte & 127) << shift;
            if byte < 128 {
                break;
            }
        }
        value
    }
    let mut found = Vec::new();
    while !message.is_empty() {
        let key = varint(&mut message);
        let length = match key & 7 {
            0 => {
                found.push((key >> 3, varint(&mut message).to_le_bytes().to_vec()));
                continue;
            }
            1 => 8,
            5 => 4,
            _ => varint(&mut message) as usize,
        };
        found.push((key >> 3, message[..length].to_vec()));
        message = &message[length..];
    }
    found
}

fn events(folder: &Path) -> Vec<(i64, String, f32)> {
    let name = |entry: &fs::DirEntry| entry.file_name().to_string_lossy().starts_with("events.out.tfevents.");
    let file = fs::read_dir(folder).unwrap().map(Result::unwrap).find(name).unwrap();
    scalars(&fs::read(file.path()).unwrap())
}

#[test]
fn a_log_holds_what_happened() {
    let folder = Folder::new();
    let json =
        folder.well("train digits --epochs 3 --hidden 8 --log a/b --json --schedule step:1:0.5 --lr 0.02").json();
    let metrics = text(&folder, "a/b/metrics.csv");
    let lines: Vec<Vec<&str>> = metrics.lines().map(|line| line.split(',').collect()).collect();
    assert_eq!(
        lines[0].join(","),
        "epoch,loss,validation_loss,validation_accuracy,validation_r_squared,learning_rate,samples_per_second,seconds,\
         gradient_norm,skipped_steps"
    );
    let epochs: Vec<&str> = lines[1..].iter().map(|line| line[0]).collect();
    assert_eq!(epochs, ["1", "2", "3"]);
    let last = &lines[3];
    let number = |text: &str| text.parse::<f64>().unwrap();
    assert_eq!(number(last[1]), json["final_loss"].as_f64().unwrap());
    assert_eq!(number(last[2]), json["validation_loss"].as_f64().unwrap());
    assert_eq!(number(last[3]), json["validation_accuracy"].as_f64().unwrap());
    assert_eq!((last[4], last[9]), ("", "0"));
    assert_eq!([lines[1][5], lines[2][5], lines[3][5]], ["0.02", "0.01", "0.005"]);
    assert!(number(last[6]) > 1.0 && number(last[7]) > 0.0 && number(last[8]) > 0.0, "{metrics}");

    let events = events(&folder.path("a/b"));
    let of = |tag: &str| -> Vec<(i64, f32)> {
        events.iter().filter(|(_, name, _)| name == tag).map(|(step, _, value)| (*step, *value)).collect()
    };
    let loss: Vec<_> = (1..4).map(|i| (i as i64, number(lines[i][1]) as f32)).collect();
    assert_eq!(of("loss/train"), loss);
    assert_eq!(of("training/learning_rate"), [(1, 0.02), (2, 0.01), (3, 0.005)]);
    let layers = [of("gradient_norm/layers.0")[2].1, of("gradient_norm/layers.1")[2].1];
    let all = of("gradient_norm/all")[2].1;
    assert!((layers[0].hypot(layers[1]) - all).abs() < 1e-5 * all && layers[0] > 0.0, "{layers:?} {all}");

    let run: serde_json::Value = serde_json::from_slice(&folder.read("a/b/run.json")).unwrap();
    assert_eq!((&run["state"], &run["epochs"]), (&"complete".into(), &3.into()));
    assert_eq!(run["metrics"]["accuracy"], json["test_accuracy"]);
    assert_eq!(folder.read("a/b/model.safetensors"), folder.read("model.safetensors"));

    // The configuration repeats the run.
    folder.well("train a/b/config.toml --out again.safetensors");
    assert_eq!(folder.read("again.safetensors"), folder.read("model.safetensors"));
}

#[test]
fn training_ends_with_the_metrics_of_the_rows_held_out() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    let run = folder.well("train f.csv --epochs 3");
    for word in ["class ", "precision", "rose, wild", "macro average", "weighted average"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    assert!(run.stdout.lines().all(|line| line.chars().count() <= 100), "{}", run.stdout);
    let rows = |json: serde_json::Value| -> u64 {
        json["metrics"]["classes"].as_array().unwrap().iter().map(|class| class["rows"].as_u64().unwrap()).sum()
    };
    assert_eq!(rows(folder.well("train f.csv --epochs 1 --json").json()), 24);
    assert_eq!(rows(folder.well("train f.csv --epochs 1 --test 0 --json").json()), 12, "the validation's");
    assert!(folder.well("train f.csv --epochs 1 --test 0 --validation 0 --json").json()["metrics"].is_null());
    folder.sums("s.csv");
    let run = folder.well("train s.csv --target sum,difference --epochs 1");
    assert!(run.stdout.contains("RMSE") && run.stdout.contains("difference"), "{}", run.stdout);
}

#[cfg(unix)]
#[test]
fn a_full_screen_needs_a_terminal() {
    let folder = Folder::new();
    folder.wgrad("train moons --tui").refused(2, &["--tui needs a terminal"]);
    folder.wgrad("train moons --tui --json").refused(2, &["--json"]);
    assert!(!folder.path("model.safetensors").exists());
}

#[test]
fn a_log_is_not_overwritten() {
    let folder = logged("f.csv");
    let before = folder.read("log/metrics.csv");
    let run = folder.wgrad("train f.csv --log log");
    run.refused(1, &["log", "metrics.csv", "earlier run", "such as log-2"]);
    assert!(run.stdout.is_empty(), "{}", run.stdout);
    assert_eq!(folder.read("log/metrics.csv"), before);
    folder.write("file", "");
    folder.wgrad("train f.csv --epochs 1 --log file").refused(1, &["file"]);
}

#[test]
fn a_run_that_is_killed_leaves_its_log() {
    let folder = Folder::new();
    let mut child = Command::new(WGRAD)
        .current_dir(folder.path(""))
        .args(["train", "digits", "--epochs", "1000000", "--hidden", "4", "--device", "cpu", "--log", "log"])
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let lines = || fs::read_to_string(folder.path("log/metrics.csv")).map_or(0, |text| text.lines().count());
    let started = Instant::now();
    while lines() < 4 && started.elapsed() < Duration::from_secs(60) {
        std::thread::sleep(Duration::from_millis(20));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    let lines = lines();
    assert!(lines >= 4, "{lines} lines");
    let losses = events(&folder.path("log")).iter().filter(|(_, tag, _)| tag == "loss/train").count();
    assert!(losses + 2 >= lines && losses > 0, "{losses} losses in the events, {lines} lines");

    // Half a line is no line.
    let mut text = text(&folder, "log/metrics.csv");
    text += "999999,0.1";
    folder.write("log/metrics.csv", &text);
    folder.well("plot curves log --out curves.svg");
    let run = folder.well("report log");
    assert!(run.stderr.contains("there is no model.safetensors"), "{}", run.stderr);
    let page = self::text(&folder, "log/report.html");
    assert!(page.contains("<h2>Curves</h2>") && page.contains("the run did not end"), "{page}");
}

/// Width and height of a PNG, which must be whole, and how many different bytes its pixels have.
fn png(bytes: &[u8]) -> (u32, u32) {
    assert_eq!(&bytes[..8], b"\x89PNG\r\n\x1a\n");
    assert_eq!(&bytes[bytes.len() - 8..bytes.len() - 4], b"IEND");
    let number = |at: usize| u32::from_be_bytes(bytes[at..at + 4].try_into().unwrap());
    (number(16), number(20))
}

#[test]
fn runs_are_plotted() {
    let folder = logged("f.csv");
    folder.well("train f.csv --epochs 3 --hidden 8 --lr 0.001 --log other");
    folder.well("plot curves log other --out curves.png");
    assert_eq!(png(&folder.read("curves.png")), (1120, 700));
    folder.well("plot curves log --measure accuracy --out curves.svg");
    let svg = text(&folder, "curves.svg");
    assert!(svg.contains("Accuracy") && svg.contains("<polyline"), "{svg}");
    folder.well("plot curves log other --measure loss --log-y --out curves.svg");
    let svg = text(&folder, "curves.svg");
    for word in ["log, training", "log, validation", "other, training"] {
        assert!(svg.contains(word), "{word}: {svg}");
    }
    folder.wgrad("plot curves log --measure r_squared --out c.svg").refused(1, &["nothing was logged", "r_squared"]);
    folder.wgrad("plot curves log --measure los --out c.svg").refused(2, &["did you mean \"loss\"?"]);
    folder.wgrad("plot curves . --out c.svg").refused(1, &["no metrics.csv", "--log"]);
    folder.wgrad("plot curves log --out c.pdf").refused(2, &[".png or .svg"]);
    folder.write("log/metrics.csv", "epoch,loss\n1,0.5\n2,x\n");
    folder.wgrad("plot curves log --out c.svg").refused(1, &["line 3", "\"loss\"", "\"x\""]);
}

#[test]
fn models_are_plotted() {
    let folder = logged("moons:300:0.1");
    for (arguments, words) in [
        ("confusion log", &["moons (test rows)", "answer"][..]),
        ("roc log", &["ROC", "area 0.9", "chance"]),
        ("roc m.safetensors moons:100 --seed 3", &["ROC"]),
        ("boundary log", &["moons (test rows)", "<circle"]),
        ("boundary m.safetensors", &["Decision boundary"]),
        ("activations relu tanh", &["relu", "tanh"]),
        ("activations --derivative", &["gelu"]),
    ] {
        folder.well(&format!("plot {arguments} --out p.svg"));
        let svg = text(&folder, "p.svg");
        for word in words {
            assert!(svg.contains(word), "{arguments}: {word}: {svg}");
        }
        folder.well(&format!("plot {arguments} --out p.png"));
        assert!(png(&folder.read("p.png")).0 >= 600, "{arguments}");
    }
    folder.wgrad("plot confusion m.safetensors --out p.svg").refused(2, &["needs data"]);
    folder.wgrad("plot boundary m.safetensors digits --out p.svg").refused(1, &["classes 0, 1"]);
    folder.flowers("f.csv");
    folder.well("train f.csv --epochs 1 --out f.safetensors");
    folder.wgrad("plot boundary f.safetensors --out p.svg").refused(2, &["2 inputs", "4"]);
    folder.sums("s.csv");
    folder.well("train s.csv --target sum,difference --epochs 1 --out s.safetensors");
    folder.wgrad("plot roc s.safetensors s.csv --target sum,difference --out p.svg").refused(2, &["needs classes"]);
    folder.wgrad("plot confusion s.safetensors s.csv --target sum,difference --out p.svg").refused(2, &["classes"]);
    folder.well("plot boundary s.safetensors s.csv --target sum,difference --out p.png");
    folder.wgrad("plot activations --from 1 --to 1 --out p.svg").refused(2, &["--from"]);
}

#[test]
fn a_report_is_one_page_with_everything_in_it() {
    let folder = logged("moons:300:0.1");
    let run = folder.well("report log --json").json();
    assert_eq!((&run["out"], &run["missing"]), (&"log/report.html".into(), &serde_json::Value::Null));
    let page = text(&folder, "log/report.html");
    for word in [
        "<h2>Curves</h2>",
        "Confusion matrix, moons (test rows)",
        "<h2>Decision boundary</h2>",
        "layers.0.weight [8, 2]",
        "output of layer 2, linear",
        "macro average",
        "source = &quot;moons:300",
        "test accuracy",
        "var(--series-0)",
    ] {
        assert!(page.contains(word), "{word} is missing");
    }
    // Nothing is fetched: no address but the namespace of SVG.
    let addresses: Vec<_> = page.match_indices("http").map(|(at, _)| &page[at..at + 26]).collect();
    assert!(addresses.iter().all(|address| *address == "http://www.w3.org/2000/svg"), "{addresses:?}");
    assert!(!page.contains("<script") && !page.contains("src=") && !page.contains("@import"));
    assert!(!page.contains("\"#0072B2\""), "a chart has colours that do not follow the page's");

    let model = Model::load(&folder.path("log/model.safetensors")).unwrap();
    assert!(page.contains(&format!("{:.4}", model.training.unwrap()["test_accuracy"].as_f64().unwrap())));
}

#[test]
fn a_report_shows_layers_of_every_kind() {
    let folder = Folder::new();
    folder.well("train moons --epochs 2 --hidden 8,8 --dropout 0.2 --residual --normalization batch --log log");
    folder.well("report log");
    let page = text(&folder, "log/report.html");
    for layer in ["output of layer 1, relu", "output of layer 2, relu", "output of layer 3, linear"] {
        assert!(page.contains(layer), "{layer} is missing");
    }
}

#[test]
fn a_report_says_where_the_data_went() {
    let folder = logged("f.csv");
    fs::remove_file(folder.path("f.csv")).unwrap();
    let run = folder.well("report log --out page.html --json");
    assert!(run.json()["missing"].as_str().unwrap().contains("f.csv"));
    assert!(run.stderr.contains("warning"), "{}", run.stderr);
    let page = text(&folder, "page.html");
    assert!(page.contains("are missing: cannot read") && page.contains("<h2>Curves</h2>"), "{page}");
    folder.wgrad("report nowhere").refused(1, &["nowhere", "no metrics.csv"]);
}

#[test]
fn a_learning_rate_is_found() {
    let folder = Folder::new();
    let run = folder.well("lr-find digits --optimizer sgd --plot range.svg --json");
    let json = run.json();
    let (steepest, tenth) = (json["steepest"].as_f64().unwrap(), json["tenth_of_least"].as_f64().unwrap());
    // The usual rate for SGD here is 0.1; a thousand times that diverges.
    assert!((1e-3..1.0).contains(&steepest) && (1e-3..1.0).contains(&tenth), "{json}");
    assert!(json["diverged"].as_bool().unwrap() && json["points"].as_array().unwrap().len() > 100);
    let svg = text(&folder, "range.svg");
    assert!(svg.contains("learning rate") && svg.contains("steepest"), "{svg}");
    assert!(!folder.path("model.safetensors").exists());

    let run = folder.well("lr-find moons --hidden 8 --to 1e-5 --steps 20");
    assert!(run.stdout.contains("the loss did not grow; try a larger --to"), "{}", run.stdout);
    folder.wgrad("lr-find moons --from 1 --to 0.1").refused(2, &["larger one"]);
    folder.wgrad("lr-find moons --plot p.gif").refused(2, &[".png or .svg"]);
}
