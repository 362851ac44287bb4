//! `wgrad train --checkpoint-every`, `--checkpoint-minutes`, `--resume`

use crate::support::{Folder, WGRAD};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};
use wgrad::checkpoint::Checkpoint;

const RUN: &str =
    "train f.csv --hidden 16 --epochs 60 --optimizer adam --schedule plateau:0.5:2 --patience 50 --batch 4";

fn flowers() -> Folder {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder
}

fn epochs(path: &Path) -> Option<usize> {
    Checkpoint::load(path).ok().map(|checkpoint| checkpoint.state.epochs())
}

/// Starts the run, and waits until it has written a checkpoint of a few epochs.
fn begun(folder: &Folder, arguments: &str, device: &str) -> Child {
    let mut child = Command::new(WGRAD)
        .current_dir(folder.path(""))
        .env("WGRAD_CACHE_DIR", folder.path("cache"))
        .args(["--device", device])
        .args(arguments.split_whitespace())
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let since = Instant::now();
    while epochs(&folder.path("m.checkpoints/last.safetensors")).is_none_or(|epochs| epochs < 3) {
        assert!(since.elapsed() < Duration::from_secs(120), "no checkpoint came");
        assert!(child.try_wait().unwrap().is_none(), "the run ended before it could be stopped");
        std::thread::sleep(Duration::from_millis(2));
    }
    child
}

/// The model file of a run that is stopped by `stop` and gone on with is that of the run as a whole.
fn goes_on(device: &str, rhythm: &str, stop: impl Fn(&mut Child)) -> Folder {
    let folder = flowers();
    // Long enough that it can be stopped.
    let run = RUN.replace("--epochs 60", "--epochs 400").replace("--patience 50", "--patience 390");
    let whole = folder.wgrad_on(device, &[], &format!("{run} --out whole.safetensors"));
    assert_eq!(whole.code, 0, "{}", whole.stderr);
    let mut child = begun(&folder, &format!("{run} --out m.safetensors {rhythm}"), device);
    stop(&mut child);
    child.wait().unwrap();
    let done = epochs(&folder.path("m.checkpoints/last.safetensors")).unwrap();
    assert!((3..400).contains(&done), "{done} epochs");
    let _ = std::fs::remove_file(folder.path("m.safetensors"));
    let resumed = folder.wgrad_on(device, &[], "train --resume m.checkpoints");
    assert_eq!(resumed.code, 0, "{}", resumed.stderr);
    assert!(resumed.stdout.contains(&format!("last.safetensors after {done} of 400 epochs")), "{}", resumed.stdout);
    assert!(folder.read("m.safetensors") == folder.read("whole.safetensors"), "the model differs");
    folder
}

#[test]
fn a_killed_run_goes_on_to_the_bit() {
    goes_on("cpu", "--checkpoint-every 1", |child| child.kill().unwrap());
}

#[test]
fn a_killed_run_on_the_gpu_goes_on_to_the_bit() {
    goes_on("gpu", "--checkpoint-every 1", |child| child.kill().unwrap());
}

/// As often as can be, within epochs too: rows are streamed a few at a time.
#[test]
fn a_run_that_is_killed_within_an_epoch_goes_on_to_the_bit() {
    for device in ["cpu", "gpu"] {
        goes_on(device, "--checkpoint-minutes 0 --data-memory 1KiB", |child| {
            child.kill().unwrap();
            child.wait().unwrap();
        });
    }
}

#[cfg(unix)]
#[test]
fn an_interrupted_run_goes_on_to_the_bit() {
    let interrupt = |child: &mut Child| {
        let done = Command::new("kill").args(["-INT", &child.id().to_string()]).status().unwrap();
        assert!(done.success());
        assert_eq!(child.wait().unwrap().code(), Some(130));
    };
    let folder = goes_on("cpu", "--checkpoint-every 1", interrupt);
    // The run is at its end, and may be made longer.
    let more = folder.well("train --resume m.checkpoints/last.safetensors --epochs 402 --json").json();
    assert_eq!(more["epochs"], 402);
}

#[test]
fn checkpoints_are_models_of_the_last_and_the_best_epoch() {
    let folder = flowers();
    let run = "train f.csv --hidden 16 --epochs 7 --checkpoint-every 3 --checkpoints kept --json --out m.safetensors";
    let json = folder.well(run).json();
    assert_eq!(json["checkpoints"], "kept");
    assert_eq!(epochs(&folder.path("kept/last.safetensors")), Some(7));
    let best = Checkpoint::load(&folder.path("kept/best.safetensors")).unwrap();
    assert!(best.state.is_best());
    let predicted = folder.well("predict kept/best.safetensors f.csv").stdout;
    assert_eq!(predicted.lines().count(), 121);
    assert_eq!(
        folder.well("predict kept/last.safetensors f.csv").stdout,
        folder.well("predict m.safetensors f.csv").stdout
    );
    // By time alone, and by folder alone.
    folder.well("train f.csv --epochs 2 --checkpoint-minutes 1000 --out n.safetensors");
    assert_eq!(epochs(&folder.path("n.checkpoints/last.safetensors")), Some(2));
    folder.well("train f.csv --epochs 2 --checkpoints other");
    assert_eq!(epochs(&folder.path("other/last.safetensors")), Some(2));
    assert!(!folder.path("model.checkpoints").exists());
    assert_eq!(std::fs::read_dir(folder.path("kept")).unwrap().count(), 2, "a temporary file was left");
}

#[test]
fn a_run_that_changed_is_refused() {
    let folder = flowers();
    folder.well("train f.csv --hidden 16 --epochs 2 --checkpoint-every 1 --out m.safetensors");
    let refused = |flags: &str, words: &[&str]| {
        folder.wgrad(&format!("train --resume m.checkpoints {flags}")).refused(2, words);
    };
    refused("--hidden 8", &["the network was 4-16-3", "is 4-8-3"]);
    refused("--optimizer adam", &["the optimizer was", "momentum", "adam"]);
    refused("--schedule cosine", &["the schedule was constant and is cosine"]);
    refused("--lr 0.5", &["the learning rate was 0.01 and is 0.5"]);
    refused("--batch 8", &["the batch was 32 and is 8"]);
    refused("--checkpoint-every 0", &["at least 1 epoch, found 0"]);
    refused("--checkpoint-minutes -1", &["at least 0"]);
    folder.wgrad("train f.csv --checkpoint-every 1 --out a.checkpoints").refused(2, &["the folder of checkpoints"]);
    let text = String::from_utf8(folder.read("f.csv")).unwrap();
    folder.write("f.csv", text.replacen("iris", "tulip", 1));
    refused("--epochs 5", &["data changed", "rows, 4 inputs, 3 targets"]);
    folder.write("f.csv", text);
    folder.well("train f.csv --hidden 16 --resume m.checkpoints --epochs 5");

    let nothing = folder.wgrad("train");
    assert!(nothing.code == 2 && nothing.stderr.contains("required"), "{}", nothing.stderr);
    folder.wgrad("train --resume m.safetensors").refused(1, &["this file is no checkpoint"]);
    folder.wgrad("train --resume nothing").refused(1, &["cannot read nothing"]);
    let bytes = folder.read("m.checkpoints/last.safetensors");
    folder.write("m.checkpoints/last.safetensors", &bytes[..bytes.len() / 2]);
    folder.wgrad("train --resume m.checkpoints").refused(1, &["last.safetensors", "truncated"]);
}

/// Layers with all that they can have, all that is done around a step, and a log that goes on.
#[test]
fn everything_together_goes_on_to_the_bit() {
    for device in ["cpu", "gpu"] {
        let folder = flowers();
        let run = "train f.csv --no-tune --hidden 8,8 --normalization batch --residual --dropout 0.2 --average 0.9 \
                   --batch 10 --micro-batch 4 --class-weights balanced --label-smoothing 0.1 --l2 0.001 --clip-norm 1 \
                   --reduction sum --lr 0.001 --patience 9";
        folder.wgrad_on(device, &[], &format!("{run} --epochs 6 --out whole.safetensors --log whole"));
        let first = folder.wgrad_on(
            device,
            &[],
            &format!("{run} --epochs 3 --checkpoint-every 2 --out m.safetensors --log log"),
        );
        assert_eq!(first.code, 0, "{}", first.stderr);
        // A run that is killed may have logged more epochs than its checkpoint has, the last of them by half.
        let lines = |log: &str| String::from_utf8(folder.read(&format!("{log}/metrics.csv"))).unwrap();
        let more = lines("log").lines().last().unwrap().replacen('3', "4", 1);
        folder.write("log/metrics.csv", format!("{}{more}\n5,0.", lines("log")));
        let resumed = folder.wgrad_on(device, &[], "train --resume m.checkpoints --epochs 6");
        assert_eq!(resumed.code, 0, "{}", resumed.stderr);
        assert!(folder.read("m.safetensors") == folder.read("whole.safetensors"), "the model differs on {device}");
        let losses = |log: &str| -> Vec<String> {
            lines(log).lines().map(|line| line.split(',').take(4).collect::<Vec<_>>().join(",")).collect()
        };
        assert_eq!(losses("log"), losses("whole"));
        assert_eq!(losses("log").len(), 7);
        let seconds: Vec<f64> =
            lines("log").lines().skip(1).map(|line| line.split(',').nth(7).unwrap().parse().unwrap()).collect();
        assert!(seconds.is_sorted(), "{seconds:?}");
        folder.well("report log");
        // Another folder holds another run.
        folder
            .wgrad_on(device, &[], "train --resume m.checkpoints --epochs 7 --log whole")
            .refused(1, &["earlier run"]);
    }
}
