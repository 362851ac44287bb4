//! What the program does on an adapter, a software one counts. Without one these tests fail.

use crate::support::Folder;
use crate::train::demand_that_digits_are_learned;

#[test]
fn the_digits_are_learned_with_every_seed() {
    demand_that_digits_are_learned("gpu");
}

#[test]
fn one_seed_gives_the_same_bytes() {
    let folder = Folder::new();
    for out in ["a", "b"] {
        let run = folder.wgrad_on("gpu", &[], &format!("train digits --epochs 2 --out {out}.safetensors --json"));
        assert!(!run.json()["device"].as_str().unwrap().starts_with("CPU"));
    }
    assert_eq!(folder.read("a.safetensors"), folder.read("b.safetensors"));
}

#[test]
fn a_machine_without_an_adapter_is_told_so() {
    let folder = Folder::new();
    let none = [("WGPU_ADAPTER_NAME", "an adapter that nobody has")];
    folder.wgrad_on("gpu", &none, "train digits --epochs 1").refused(1, &["no adapter", "--device cpu"]);
    folder.wgrad_on("nobody's", &[], "train digits --epochs 1").refused(1, &["no adapter is called", "0: "]);
    let run = folder.wgrad_on("auto", &none, "train digits --epochs 1");
    assert!(run.code == 0 && run.stdout.contains("no GPU was found"), "{}", run.stdout);
}

#[test]
fn the_proof_runs_from_the_command_line() {
    let json = Folder::new().wgrad_on("gpu", &[], "check --json").json();
    assert_eq!(json["failed"], 0);
    assert!(json["passed"].as_u64().unwrap() > 60, "{json}");
}
