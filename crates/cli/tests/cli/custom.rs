//! Activations and losses given as text, in flags, configurations and model files.

use crate::support::Folder;

const MISH: &str = "mish=x*tanh(softplus(x))";

#[test]
fn a_model_of_them_is_one_file() {
    let folder = Folder::new();
    folder.sums("s.csv");
    let flags = format!("s.csv --target sum,difference --activation {MISH} --loss abs(y-t)^1.5");
    let run = folder.well(&format!("train {flags} --hidden 8 --epochs 60 --lr 0.02 --out a.safetensors"));
    assert!(run.stdout.contains("abs(y-t)^1.5, momentum") && run.stdout.contains("R²"), "{}", run.stdout);
    let shown = folder.well("inspect a.safetensors").stdout;
    assert!(shown.contains(MISH) && shown.contains("loss        abs(y-t)^1.5"), "{shown}");
    let json = folder.well("evaluate a.safetensors s.csv --json").json();
    assert!(json["r_squared"].as_f64().unwrap() > 0.9, "{json}");
    let predicted = folder.well("predict a.safetensors s.csv").stdout;
    assert!(predicted.starts_with("sum,difference\n"), "{predicted}");
    assert_eq!(folder.well("predict a.safetensors s.csv --planner fused").stdout.lines().count(), 81);

    // The same choices, the same bits.
    folder.well(&format!("train {flags} --hidden 8 --epochs 60 --lr 0.02 --like a.safetensors --out b.safetensors"));
    assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"));
    folder.well("train s.csv --target sum,difference --init a.safetensors --epochs 1 --out c.safetensors");
    let shown = folder.well("inspect c.safetensors --json").json();
    assert_eq!(shown["network"]["layers"][0]["activation"], MISH);
    assert_eq!(shown["loss"], "abs(y-t)^1.5");
}

#[test]
fn a_configuration_says_parameters_and_reduction() {
    let folder = Folder::new();
    folder.sums("s.csv");
    let toml = "[data]\nsource = 's.csv'\ntarget = 'sum'\n[network]\nhidden = [4]\nactivation = 'x * sigmoid(b * x); b = 2'\n\
                [training]\nepochs = 1\nloss = { custom = 'd * abs(y - t)', parameters = { d = 0.5 }, reduction = 'samples' }";
    folder.write("wrong.toml", toml);
    folder.wgrad("train wrong.toml").refused(2, &["line 6", "column 13", "unknown name \"b\"; known: x"]);
    let toml = toml.replace("x * sigmoid(b * x); b = 2", "b = 2; x * sigmoid(b * x)");
    folder.write("a.toml", &toml);
    let first = folder.well("train a.toml --print-config").stdout;
    folder.write("again.toml", &first);
    assert_eq!(folder.well("train again.toml --print-config").stdout, first);
    for part in ["activation = \"b = 2; x * sigmoid(b * x)\"", "custom = \"d * abs(y - t)\"", "d = 0.5", "\"samples\""]
    {
        assert!(first.contains(part), "{part}: {first}");
    }
    let described = folder.well("train a.toml").stdout;
    assert!(described.contains("d * abs(y - t), d = 0.5, summed over the outputs"), "{described}");
    // A flag replaces the loss with its parameters.
    let other = folder.well("train a.toml --loss (y-t)^4 --print-config").stdout;
    assert!(other.contains("loss = \"(y-t)^4\"") && !other.contains("parameters"), "{other}");

    for (from, to, words) in [
        ("d = 0.5", "e = 0.5", &["line 9", "unknown name \"d\"", "e"][..]),
        ("'samples'", "'rows'", &["line 9", "unknown variant `rows`", "samples"]),
        ("'d * abs(y - t)'", "'d * abs(y - t'", &["line 9", "never closed"]),
        ("reduction", "redaction", &["line 9", "unknown field `redaction`"]),
    ] {
        folder.write("wrong.toml", toml.replace(from, to));
        folder.wgrad("train wrong.toml").refused(2, words);
    }
}

#[test]
fn what_cannot_be_read_is_pointed_at() {
    let folder = Folder::new();
    for (arguments, words) in [
        ("train digits --activation x*tahn(x)", &["column 3", "did you mean \"tanh\"?", "x*tahn(x)\n    ^"][..]),
        ("train digits --activation tahn", &["unknown activation", "did you mean \"tanh\"?", "an expression"]),
        ("train digits --loss hubert", &["unknown loss", "did you mean \"huber\"?"]),
        ("train digits --loss (y-x)^2", &["column 4", "unknown name \"x\"; known: y, t"]),
        ("train digits --loss t^2", &["does not depend on y"]),
        ("plan 3-4-2 --activation log(x)", &["the value at x = 0 is -inf"]),
    ] {
        folder.wgrad(arguments).refused(2, words);
    }
}

#[test]
fn they_are_planned_and_tuned_like_others() {
    let folder = Folder::new();
    let plan = folder.well(&format!("plan 7-5-3 --activation {MISH} --loss e=y-t;e*e*e*e")).stdout;
    assert!(plan.contains("+ mish (keeps z)") && plan.contains("loss e=y-t; e*e*e*e"), "{plan}");
    for device in ["cpu", "gpu"] {
        let run = folder.wgrad_on(device, &[], &format!("tune 7-5-3 --activation {MISH} --loss huber"));
        assert_eq!(run.code, 0, "{}", run.stderr);
    }
    // A verdict is kept under what the text says, not under its name.
    folder.wgrad_on("gpu", &[], &format!("tune 7-5-3 --activation {MISH} --planner layerwise"));
    let other = "mish=x*tanh(softplus(2*x))";
    let kernels = |activation: &str| {
        let run = format!("plan 7-5-3 --activation {activation} --planner layerwise --json");
        folder.wgrad_on("gpu", &[], &run).json()["choices"]["kernels"].clone()
    };
    let source = |kernels: &serde_json::Value| {
        let all = kernels.as_array().unwrap().iter();
        let named = all.filter(|kernel| kernel["kernel"].as_str().unwrap().contains("mish"));
        named.map(|kernel| kernel["source"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    assert!(source(&kernels(MISH)).iter().all(|source| source == "from the cache"), "{}", kernels(MISH));
    assert!(source(&kernels(other)).iter().all(|source| source == "heuristic"), "{}", kernels(other));
}

#[test]
fn they_are_proven() {
    let folder = Folder::new();
    for device in ["cpu", "gpu"] {
        let check = format!("check --activation {MISH} --loss huber --json");
        let json = folder.wgrad_on(device, &[], &check).json();
        assert_eq!(json["failed"], 0, "{json}");
        let subjects: Vec<_> = json["outcomes"].as_array().unwrap().iter().map(|o| o["subject"].to_string()).collect();
        for subject in ["central differences, mish", "matmul_nt + bias + mish", "loss huber", "mish huber: layerwise"] {
            assert!(subjects.iter().any(|found| found.contains(subject)), "{subject}: {subjects:?}");
        }
    }
    // What is not defined everywhere is found.
    let run = folder.wgrad("check --loss=-t*log(y)");
    assert!(run.code == 1 && run.stdout.contains("FAILED"), "{}{}", run.stdout, run.stderr);
    assert_eq!(folder.well("check --loss=-t*log(y) --output-activation sigmoid --json").json()["failed"], 0);

    folder.flowers("f.csv");
    folder.well(&format!("train f.csv --hidden 4 --activation {MISH} --epochs 1 --out f.safetensors"));
    assert!(folder.well("check f.safetensors").stdout.contains("mish softmax_cross_entropy: fused"));
    folder.write("f.toml", "[data]\nsource = 'f.csv'\n[training]\nloss = 'softplus(y) - y * t'");
    assert!(folder.well("check f.toml").stdout.contains("relu softplus(y) - y * t: fused"));
    folder.wgrad("check f.csv").refused(2, &[".toml or .safetensors"]);
}

#[test]
fn a_plain_state_dict_takes_them() {
    let folder = Folder::new();
    folder.sums("s.csv");
    folder.well("train s.csv --target sum --hidden 4 --epochs 1 --out a.safetensors");
    let predicted = |activations: &str| folder.well(&format!("predict a.safetensors s.csv {activations}")).stdout;
    let own = predicted("");
    assert_eq!(predicted("--activations max(x,0),linear"), own);
    assert_ne!(predicted("--activations max(x,0.3),linear"), own);
}
