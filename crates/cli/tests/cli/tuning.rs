//! `wgrad tune`, `wgrad kernels`, and what measured choices do to `train`, `plan` and `bench`.

use crate::support::Folder;
use serde_json::Value;
use std::fs;
use wgrad::tune::FILE;

/// The kernels in what `plan` or `tune` say, as name and where their variant comes from.
fn sources(choices: &Value) -> Vec<&str> {
    choices["kernels"].as_array().unwrap().iter().map(|kernel| kernel["source"].as_str().unwrap()).collect()
}

#[test]
fn what_tune_measures_the_plan_shows() {
    let folder = Folder::new();
    let plan = "plan 8-16-4 --batch 8 --planner layerwise --json";
    let before = folder.wgrad_on("gpu", &[], plan).json();
    assert!(sources(&before["choices"]).iter().all(|source| *source == "heuristic"), "{before}");
    let tuned = folder.wgrad_on("gpu", &[], "tune 8-16-4 --batch 8 --planner layerwise --json").json();
    assert!(sources(&tuned).iter().all(|source| *source == "measured"), "{tuned}");
    assert!(tuned["tuning_s"].as_f64().unwrap() > 0.0 && tuned["incomplete"].is_null(), "{tuned}");
    for kernel in tuned["kernels"].as_array().unwrap() {
        let candidates = kernel["candidates"].as_array().unwrap();
        assert!(
            candidates.len() > 1 && candidates.iter().all(|candidate| candidate["seconds"].as_f64().unwrap() > 0.0)
        );
    }
    let after = folder.wgrad_on("gpu", &[], plan).json();
    assert!(sources(&after["choices"]).iter().all(|source| *source == "from the cache"), "{after}");
    assert_eq!(after["planner"], tuned["planner"]);
    let ignored = folder.wgrad_on("gpu", &[], &format!("{plan} --no-tune")).json();
    assert!(sources(&ignored["choices"]).iter().all(|source| *source == "heuristic"), "{ignored}");

    let table = folder.wgrad_on("gpu", &[], "tune 8-16-4 --batch 8 --planner layerwise").stdout;
    for word in ["network", "GFLOP/s", "matmul_nt", "8×16×8", "naive", "µs", "from the cache"] {
        assert!(table.contains(word), "{word}: {table}");
    }
    let on_cpu = folder.well("tune 8-16-4");
    assert!(on_cpu.stdout.contains("planner "), "{}", on_cpu.stdout);
}

#[test]
fn a_cache_that_cannot_be_used_is_no_obstacle() {
    let folder = Folder::new();
    fs::create_dir(folder.path("cache")).unwrap();
    for (text, word) in [("not JSON", "damaged"), (r#"{"format": 7}"#, "found 7")] {
        folder.write(&format!("cache/{FILE}"), text);
        let run = folder.wgrad_on("gpu", &[], "plan 3-4-2");
        assert_eq!(run.code, 0, "{}", run.stderr);
        assert_eq!(run.stderr.matches("warning: ").count(), 1, "{}", run.stderr);
        assert!(run.stderr.contains(word) && run.stderr.contains(FILE), "{}", run.stderr);
    }
    folder.write("file", "");
    let nowhere = folder.path("file").join("below");
    let nowhere = [("WGRAD_CACHE_DIR", nowhere.to_str().unwrap())];
    let run = folder.wgrad_on("gpu", &nowhere, "tune 3-4-2 --batch 2");
    assert!(run.code == 0 && run.stderr.matches("warning: ").count() == 1, "{}", run.stderr);
}

#[test]
fn a_model_keeps_the_choices_and_like_repeats_them() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    let train = "train f.csv --epochs 2";
    let run = folder.wgrad_on("gpu", &[], &format!("{train} --out a.safetensors"));
    assert!(run.code == 0 && run.stdout.contains("choices     planner "), "{}{}", run.stdout, run.stderr);

    // Another variant in the model's notes: what is repeated is what the notes say, and not the heuristic's choice.
    let mut model = wgrad::Model::load(&folder.path("a.safetensors")).unwrap();
    let choices = &mut model.training.as_mut().unwrap()["choices"];
    let variants = choices["variants"].as_object_mut().unwrap();
    assert!(variants.keys().any(|place| place.starts_with("matmul_nt")), "{variants:?}");
    // Sums in the order of strided rows are what differs from one variant to another in their last bits.
    for (place, variant) in variants.iter_mut() {
        *variant = if place.starts_with("column_sum") { "strided".into() } else { "naive".into() };
    }
    let naive = choices.clone();
    model.save(&folder.path("naive.safetensors")).unwrap();

    // A cache of its own, and one with other verdicts: the bits are the same.
    let elsewhere = folder.path("elsewhere");
    let elsewhere = [("WGRAD_CACHE_DIR", elsewhere.to_str().unwrap())];
    folder.wgrad_on("gpu", &[], "tune f.csv --batch 32 --json").json();
    for (environment, out) in [(&[][..], "b"), (&elsewhere[..], "c")] {
        let like = format!("{train} --like naive.safetensors --out {out}.safetensors");
        let run = folder.wgrad_on("gpu", environment, &like);
        assert!(run.code == 0 && run.stdout.contains("as in naive.safetensors"), "{}{}", run.stdout, run.stderr);
    }
    assert_eq!(folder.read("b.safetensors"), folder.read("c.safetensors"));
    let repeated = wgrad::Model::load(&folder.path("b.safetensors")).unwrap();
    assert_eq!(repeated.training.as_ref().unwrap()["choices"], naive);
    assert_ne!(repeated.values, model.values, "naive kernels have other bits than the heuristic's");
    // The device is the model's where none is asked for.
    let run = folder.wgrad_on("auto", &[], &format!("{train} --like naive.safetensors --out d.safetensors"));
    assert!(run.stdout.contains("as naive.safetensors was trained"), "{}{}", run.stdout, run.stderr);
    assert_eq!(folder.read("b.safetensors"), folder.read("d.safetensors"));

    for (arguments, word) in [
        (format!("{train} --like naive.safetensors --batch 31"), "in batches of 32"),
        (format!("{train} --like naive.safetensors --precision f16"), "--precision f32"),
        (format!("{train} --like naive.safetensors --hidden 21"), "which variant ran"),
    ] {
        folder.wgrad_on("gpu", &[], &arguments).refused(2, &[word, "--like"]);
    }
    folder.wgrad(&format!("{train} --like naive.safetensors")).refused(2, &["was trained on", "CPU"]);
    model.training = None;
    model.save(&folder.path("mute.safetensors")).unwrap();
    folder.wgrad_on("gpu", &[], &format!("{train} --like mute.safetensors")).refused(1, &["does not say", "--like"]);
}

#[test]
fn training_says_how_the_device_was_chosen() {
    let folder = Folder::new();
    let run = folder.wgrad_on("auto", &[], "train digits --epochs 1 --json");
    assert!(run.code == 0 && run.stderr.contains("over on the CPU"), "{}", run.stderr);
    let run = folder.wgrad_on("auto", &[], "train digits --epochs 1 --no-tune --planner layerwise");
    assert!(run.code == 0 && run.stdout.contains("planner layerwise"), "{}{}", run.stdout, run.stderr);
    let json = folder.wgrad_on("auto", &[], "bench --widths 5-6-2 --batch 4 --seconds 0 --json").json();
    let [device, planner] = ["device", "planner"].map(|key| json[key].as_str().unwrap().to_owned());
    assert!(json["samples_per_s"].as_f64().unwrap() > 0.0 && !planner.is_empty(), "{json}");
    // The verdict is remembered.
    let run = folder.wgrad_on("auto", &[], "bench --widths 5-6-2 --batch 4 --seconds 0");
    assert!(run.stderr.contains(&device) && run.stderr.contains("measured before"), "{}", run.stderr);
    folder.wgrad("train digits --planner layrwise").refused(2, &["did you mean \"layerwise\"?"]);
}

#[test]
fn a_benchmark_measures_kernels_against_their_ceilings() {
    let folder = Folder::new();
    let bench = "bench --widths 20-40-3 --batch 16 --seconds 0 --kernels --no-tune";
    let json = folder.wgrad_on("gpu", &[], &format!("{bench} --json")).json();
    let kernels = &json["kernels"];
    assert!(kernels["copy_gbytes_per_s"].as_f64().unwrap() > 0.0 && kernels["product_gflops"].as_f64().unwrap() > 0.0);
    assert!(kernels["timed"].as_array().unwrap().iter().all(|timed| timed["share"].as_f64().unwrap() > 0.0), "{json}");
    assert_eq!(json["tuning_s"], 0.0);
    folder.wgrad(bench).refused(2, &["--kernels needs an adapter"]);
}

#[test]
fn kernels_are_listed_and_shown() {
    let folder = Folder::new();
    let run = folder.well("kernels");
    for word in ["matmul: naive, tiled", "column_sum", "matmul_nt + bias + sigmoid"] {
        assert!(run.stdout.contains(word), "{word}: {}", run.stdout);
    }
    let shown = folder.well("kernels --show matmul_tn").stdout;
    assert!(shown.starts_with("// matmul_tn, naive") && shown.contains("@compute"), "{shown}");
    let json = folder.well("kernels --show loss --variant lanes16 --json").json();
    assert!(json["wgsl"].as_str().unwrap().contains("const LANES: u32 = 16u;"), "{json}");
    folder.wgrad("kernels --show matmull").refused(2, &["did you mean", "wgrad kernels"]);
    folder.wgrad("kernels --show gather --variant tiled").refused(2, &["known: naive"]);
}

#[test]
fn a_model_is_used_as_it_was_trained() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.wgrad_on("gpu", &[], "train f.csv --epochs 1 --planner fused --out f.safetensors");
    for command in ["evaluate", "predict"] {
        let command = format!("{command} f.safetensors f.csv --json");
        let planner =
            |device, more| folder.wgrad_on(device, &[], &format!("{command} {more}")).json()["planner"].clone();
        assert_eq!(planner("gpu", ""), "fused");
        assert_eq!(planner("gpu", "--no-tune"), "layerwise");
        // It was not trained here.
        assert_eq!(planner("cpu", ""), "layerwise");
    }
    let asked = folder.wgrad_on("gpu", &[], "predict f.safetensors f.csv --planner layerwise --json").json();
    assert_eq!(asked["planner"], "layerwise");
}
