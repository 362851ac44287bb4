//! `wgrad devices`, `wgrad plan`, `wgrad check`, and what all commands share.

use crate::support::Folder;
use wgrad::{Activation, Network};

#[test]
fn every_command_has_an_example() {
    let folder = Folder::new();
    let commands = [
        "devices",
        "train",
        "evaluate",
        "predict",
        "gradients",
        "graph",
        "plan",
        "tune",
        "kernels",
        "check",
        "inspect",
        "bench",
    ];
    for command in commands {
        let help = folder.well(&format!("{command} --help")).stdout;
        assert!(help.contains("Example") && help.contains(&format!("wgrad {command}")), "{help}");
        for flag in ["--json", "--seed", "--device"] {
            assert!(help.contains(flag), "{help}");
        }
    }
    let help = folder.well("--help").stdout;
    assert!(commands.iter().all(|command| help.contains(command)) && help.contains("Exit codes"), "{help}");
    folder.wgrad("trian digits").refused(2, &["train"]);
}

#[test]
fn devices_say_what_would_be_used() {
    let folder = Folder::new();
    let run = folder.well("devices");
    assert!(run.stdout.contains("--device cpu uses CPU"), "{}", run.stdout);
    let json = folder.well("devices --json").json();
    assert!(json["cpu"].as_str().unwrap().contains("threads") && json["adapters"].is_array(), "{json}");
    assert_eq!((&json["device"], &json["reason"]), (&json["cpu"], &"asked for".into()));
}

#[test]
fn a_plan_lists_its_steps() {
    let folder = Folder::new();
    let run = folder.well("plan digits");
    for word in ["gather", "forward", "backward", "update momentum", "layers.1 update", "[32 × 128 × 64]"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    assert!(run.stdout.contains("8 dispatches"), "{}", run.stdout);
    for word in ["memory: parameters ", "optimizer state ", "1.0", " times what is needed"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }

    let json = folder.well("plan 7-5-3 --batch 4 --loss huber --activation tanh --json").json();
    let network = Network::new(7).dense(5, Activation::Tanh).dense(3, Activation::Linear);
    assert_eq!(json["flops"].as_f64().unwrap(), network.training_flops(4));
    assert_eq!((&json["batch"], &json["dispatches"]), (&4.into(), &json["steps"].as_array().unwrap().len().into()));
    let slots = json["slots"].as_array().unwrap();
    let elements: u64 = slots.iter().map(|slot| slot["elements"].as_u64().unwrap()).sum();
    assert_eq!(json["bytes"].as_u64().unwrap(), 4 * elements);
    let groups = json["memory"].as_object().unwrap().values().map(|bytes| bytes.as_u64().unwrap());
    assert_eq!(groups.sum::<u64>(), 4 * elements);
    assert!(json["needed_bytes"].as_u64().unwrap() < 4 * elements);
    let step = &json["steps"][0];
    assert_eq!((&step["phase"], &step["label"]), (&"forward".into(), &"layers.0 forward".into()));
    assert_eq!(step["dims"], serde_json::json!([4, 5, 7]));
    assert!(step["kernel"].as_str().unwrap().contains("tanh"), "{step}");
    assert_eq!(step["writes"], serde_json::json!(["activation.0"]));
    assert!(step["reads"].as_array().unwrap().contains(&"input".into()), "{step}");

    let json = folder.well("plan 7-5-3 --predict --json").json();
    assert_eq!((&json["dispatches"], json["flops"].as_f64()), (&2.into(), Some(2.0 * 32.0 * (35.0 + 15.0))));
}

#[test]
fn plans_come_from_models_and_configurations_too() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.well("train f.csv --hidden 6 --activation sine --epochs 1 --out f.safetensors");
    assert!(folder.well("plan f.safetensors").stdout.contains("(keeps z)"));
    folder.write("f.toml", "[data]\nsource = 'f.csv'\n[training]\nbatch = 9");
    assert!(folder.well("plan f.toml --loss huber").stdout.contains("loss huber"));
    assert_eq!(folder.well("plan f.toml --json").json()["batch"], 9);
    assert_eq!(folder.well("plan f.csv --batch 8 --json").json()["batch"], 8);

    let last = |command: &str| folder.well(command).json()["network"].as_array().unwrap().last().cloned().unwrap();
    assert_eq!(last("plan f.csv --target length --json"), 1);
    assert_eq!(last("plan f.csv --ignore species --target length,width --json"), 2);
    for step in ["7-5-3", "f.safetensors"] {
        let state = |optimizer: &str| {
            let json = folder.well(&format!("plan {step} --optimizer {optimizer} --json")).json();
            json["memory"]["optimizer_state"].as_u64().unwrap_or(0)
        };
        assert_eq!((state("sgd"), state("adam")), (0, 2 * state("momentum")), "{step}");
        folder.wgrad(&format!("plan {step} --target length")).refused(2, &["no data are read", "--target"]);
        folder.wgrad(&format!("plan {step} --out x.safetensors")).refused(2, &["--out"]);
        folder.wgrad(&format!("plan {step} --hidden 3")).refused(2, &["--hidden"]);
    }
    assert!(folder.well("plan 7-5-3 --normalization batch --bias none").stdout.contains("normal.0"));

    folder.wgrad("plan f.safetensors --activation relu").refused(2, &["--activation"]);
    folder.wgrad("plan digist").refused(2, &["did you mean \"digits\"?"]);
    folder.wgrad("plan 7-0-3").refused(2, &["width"]);
    folder.wgrad("plan 7").refused(2, &["784-256-10"]);
    folder.wgrad("plan 7-3 --batch 0").refused(2, &["batch"]);
    folder.wgrad("plan missing.safetensors").refused(1, &["missing.safetensors"]);
}

#[test]
fn the_check_passes_and_says_so() {
    let folder = Folder::new();
    let run = folder.well("check");
    assert!(run.stdout.contains("subject") && run.stdout.contains(" 0 failed on CPU"), "{}", run.stdout);
    let json = folder.well("check --json").json();
    assert!(json["device"].as_str().unwrap().starts_with("CPU"));
    assert_eq!(json["failed"], 0);
    let outcomes = json["outcomes"].as_array().unwrap();
    assert_eq!(json["passed"].as_u64().unwrap() as usize, outcomes.len());
    assert!(outcomes.len() > 10 && outcomes.iter().all(|outcome| outcome["worst"].as_f64().unwrap() <= 1.0));
}
