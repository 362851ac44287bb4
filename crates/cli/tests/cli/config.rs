//! Configurations, and `train --print-config`.

use crate::support::Folder;
use wgrad::Model;

/// The configuration that `arguments` resolve to.
fn resolved(folder: &Folder, arguments: &str) -> String {
    folder.well(&format!("train {arguments} --print-config")).stdout
}

#[test]
fn a_printed_configuration_resolves_to_itself() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    folder.sums("s.csv");
    folder.well("train f.csv --hidden 4 --bias none --scaling min_max --epochs 1 --out f.safetensors");
    let layers = "[data]\nsource = 'f.csv'\n[[network.layers]]\noutputs = 4\nactivation = 'gelu'\nfreeze_bias = true\n\
                  [[network.layers]]\noutputs = 3\nactivation = 'linear'\nbias = 'shared'\n";
    folder.write("layers.toml", layers);
    for arguments in [
        "digits",
        "digits --seed 5 --hidden none",
        "f.csv --target species --optimizer sgd --loss logistic_cross_entropy --lr 0.3 --validation 0",
        "s.csv --target sum,difference --hidden 3,2 --activation sine --nesterov --init uniform:0.25 --out x.safetensors",
        "f.csv --task classification --init f.safetensors",
        "layers.toml",
    ] {
        let first = resolved(&folder, arguments);
        let elsewhere = Folder::new();
        elsewhere.write("again.toml", &first);
        assert_eq!(resolved(&elsewhere, "again.toml"), first, "{arguments}");
    }
    let digits = resolved(&folder, "digits");
    for line in ["source = \"digits\"", "loss = \"softmax_cross_entropy\"", "hidden = [128]", "seed = 0", "test = 0.2"]
    {
        assert!(digits.lines().any(|found| found == line), "{line}: {digits}");
    }
    let json = folder.well("train digits --print-config --json").json();
    assert_eq!(json["training"]["batch"], 32);
}

#[test]
fn a_configuration_trains_like_flags() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    let flags = "f.csv --hidden 5 --activation tanh --lr 0.05 --epochs 3 --seed 2";
    folder.well(&format!("train {flags} --out a.safetensors"));
    let toml = resolved(&folder, flags);
    folder.write("f.toml", toml);
    folder.well("train f.toml --out b.safetensors");
    assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"));
    folder.well("train f.toml --seed 3 --epochs 4 --out c.safetensors");
    let notes = Model::load(&folder.path("c.safetensors")).unwrap().training.unwrap();
    assert_eq!((&notes["seed"], &notes["epochs"], &notes["learning_rate"]), (&3.into(), &4.into(), &0.05.into()));
}

#[test]
fn paths_are_relative_to_the_configuration() {
    let folder = Folder::new();
    std::fs::create_dir(folder.path("sub")).unwrap();
    folder.flowers("sub/f.csv");
    folder
        .write("sub/f.toml", "[data]\nsource = 'f.csv'\n[training]\nepochs = 1\n[output]\nmodel = 'here.safetensors'");
    folder.well("train sub/f.toml");
    assert!(folder.path("sub/here.safetensors").is_file());
    folder.well("train sub/f.toml --out there.safetensors");
    assert!(folder.path("there.safetensors").is_file());
}

#[test]
fn layers_are_described_one_by_one_and_frozen() {
    let folder = Folder::new();
    folder.flowers("f.csv");
    let toml = "[data]\nsource = 'f.csv'\n[training]\nepochs = 2\ninit = 'normal:0.5'\n[[network.layers]]\noutputs = 4\n\
                activation = 'sigmoid'\nfreeze_weight = true\n[[network.layers]]\noutputs = 3\nactivation = 'linear'\n\
                bias = 'none'\n";
    folder.write("f.toml", toml);
    folder.well("train f.toml --out a.safetensors");
    folder.well("train f.toml --epochs 3 --out b.safetensors");
    let [a, b] = ["a.safetensors", "b.safetensors"].map(|name| Model::load(&folder.path(name)).unwrap());
    assert_eq!(a.tensor("layers.0.weight"), b.tensor("layers.0.weight"));
    assert_ne!(a.tensor("layers.0.bias"), b.tensor("layers.0.bias"));
    assert_ne!(a.tensor("layers.1.weight"), b.tensor("layers.1.weight"));
    assert_eq!(a.tensor("layers.1.bias"), None);

    folder.write("wide.toml", toml.replace("outputs = 3", "outputs = 5"));
    folder.wgrad("train wide.toml").refused(2, &["4-4-5 has 5 outputs", "needs 3"]);
    folder.write("both.toml", toml.replace("[training]", "[network]\nhidden = [3]\n[training]"));
    folder.wgrad("train both.toml").refused(2, &["[[network.layers]]"]);
}

#[test]
fn what_is_unknown_is_named_with_what_is_near() {
    let folder = Folder::new();
    for (toml, words) in [
        (
            "[training]\nlearning_rat = 1",
            &["a.toml, line 2", "\"learning_rat\" in [training]", "\"learning_rate\"?"][..],
        ),
        ("[trainin]\nepochs = 1", &["line 1", "\"trainin\"", "did you mean \"training\"?"]),
        ("[network]\nlayer = 3", &["\"layer\" in [network]", "did you mean \"layers\"?"]),
        ("[[network.layers]]\nouputs = 3", &["[network.layers]", "did you mean \"outputs\"?"]),
        ("[data]\nsource = 'digits'\n\ntargets = 'x'", &["line 4", "did you mean \"target\"?"]),
        ("batch = 3", &["unknown key \"batch\""]),
        ("[training]\nbatch = 'x'", &["line 2", "invalid type"]),
        ("[training]\nbatch = -1", &["line 2"]),
        ("[training]\nloss = 'hubert'", &["line 2", "did you mean \"huber\"?"]),
        ("[data]\nsource = 'digit'", &["line 2", "did you mean \"digits\"?"]),
        ("[training]\nepochs = ", &["line 2"]),
        ("[training]\nepochs = 3", &["[data]", "source"]),
        ("[data]\nsource = 'digits'\n[training]\nlearning_rate = nan", &["learning rate", "NaN"]),
    ] {
        folder.write("a.toml", toml);
        folder.wgrad("train a.toml").refused(2, words);
    }
}
