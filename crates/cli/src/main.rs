//! The program `wgrad`: one file per command in `commands/`; `settings` says what a training run may be told, `job` turns
//! that into a run.

mod chart;
mod checkpoints;
mod commands;
mod context;
mod figures;
mod files;
mod folds;
mod interrupt;
mod job;
mod judged;
mod panics;
mod picture;
mod progress;
mod recorded;
mod report;
mod settings;
mod size;
mod sources;
mod subject;
mod tui;
mod tuning;
mod watch;
mod widths;
mod words;
mod workload;

use clap::Parser;
use commands::Command;
use context::Context;
use std::process::ExitCode;

/// Train dense neural networks by backpropagation, on any GPU or on the CPU, every gradient proven.
#[derive(Parser)]
#[command(
    name = "wgrad",
    version,
    max_term_width = 100,
    after_help = "Example:\n  wgrad train digits\n\nExit codes: 0 well, 1 the job failed, 2 wrong usage, 130 interrupted."
)]
struct Cli {
    #[command(flatten)]
    context: Context,
    #[command(subcommand)]
    command: Command,
}

fn main() -> ExitCode {
    if std::env::var_os("XDG_RUNTIME_DIR").is_none() {
        // Mesa's device-selection layer would print an error about the missing folder in front of every command.
        // SAFETY: nothing else runs yet that could read the environment.
        unsafe { std::env::set_var("NODEVICE_SELECT", "1") };
    }
    panics::silence_readers();
    let Cli { context, command } = Cli::parse();
    command.run(&context).unwrap_or_else(|error| context::fail(&error))
}
