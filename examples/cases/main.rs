//! The worked cases A to D: every number that they give beside what was found on the f64 reference, on the CPU executor
//! in f64, and on a device.
//!
//! `cargo run --release --example cases` runs all of them, `cargo run --release --example cases -- b --device gpu` case B
//! on the GPU. Exit code 1 says that a number is off, 2 that the arguments are wrong.

mod a;
mod b;
mod c;
mod d;
mod place;
mod table;

use place::{Oracle, Place, Twins};
use std::process::ExitCode;
use table::Table;
use wgrad::{Device, DeviceChoice, Result};

type Case = fn(&dyn Place) -> Result<Table>;

const CASES: [(&str, Case); 4] = [("a", a::check), ("b", b::check), ("c", c::check), ("d", d::check)];

fn main() -> ExitCode {
    let Some((cases, choice)) = arguments(std::env::args().skip(1)) else {
        eprintln!("usage: cases [a] [b] [c] [d] [--device auto|cpu|gpu|NUMBER|NAME]");
        return ExitCode::from(2);
    };
    match run(&cases, &choice) {
        Ok(true) => ExitCode::SUCCESS,
        Ok(false) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("error: {error}");
            ExitCode::FAILURE
        }
    }
}

/// The cases that are named, or all where none is, and where to run them.
fn arguments(mut words: impl Iterator<Item = String>) -> Option<(Vec<Case>, DeviceChoice)> {
    let (mut cases, mut choice) = (Vec::new(), DeviceChoice::Auto);
    while let Some(word) = words.next() {
        if word == "--device" {
            choice = words.next()?.as_str().into();
        } else {
            cases.push(CASES.iter().find(|(name, _)| *name == word)?.1);
        }
    }
    if cases.is_empty() {
        cases = CASES.map(|(_, case)| case).to_vec();
    }
    Some((cases, choice))
}

/// Prints every table. Returns whether all of them hold.
fn run(cases: &[Case], choice: &DeviceChoice) -> Result<bool> {
    let selection = Device::select(choice)?;
    println!("device: {}, {}\n", selection.device.name(), selection.reason);
    let mut all_hold = true;
    for case in cases {
        for place in [&Oracle as &dyn Place, &Twins, &selection.device] {
            let table = case(place)?;
            println!("{table}");
            all_hold &= table.holds();
        }
    }
    println!("{}", if all_hold { "every number holds" } else { "some numbers are WRONG" });
    Ok(all_hold)
}
