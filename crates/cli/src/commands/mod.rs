//! The commands, one file each: what it takes (`Args`) and what it does (`run`).

mod bench;
mod check;
mod devices;
mod evaluate;
mod export;
mod gradients;
mod graph;
mod import;
mod inspect;
mod kernels;
mod lr_find;
mod plan;
mod plot;
mod predict;
mod report;
mod train;
mod tune;

use crate::context::Context;
use std::process::ExitCode;
use wgrad::Result;

/// What to do.
#[derive(clap::Subcommand)]
pub enum Command {
    /// List the adapters and the CPU, and say which would be used and why
    Devices(devices::Args),
    /// Train a network and save it as a model file
    Train(Box<train::Args>),
    /// Measure a model on data whose answers are known
    Evaluate(evaluate::Args),
    /// Find a learning rate: train with a growing one for a moment, and see where the loss falls
    #[command(name = "lr-find")]
    LrFind(Box<lr_find::Args>),
    /// Draw the curves of runs, a confusion matrix, ROC, a decision boundary, or activations, as PNG or SVG
    Plot(plot::Args),
    /// Write a run as one HTML page: curves, confusion matrix, boundary, histograms, configuration
    Report(report::Args),
    /// Compute a model's answers
    Predict(predict::Args),
    /// Write the gradient of every parameter and of the inputs
    Gradients(gradients::Args),
    /// Differentiate an expression: every node's value and gradient, as a table, a picture, or WGSL
    Graph(graph::Args),
    /// Print what a device is given to do, step by step
    Plan(plan::Args),
    /// Measure which planner and kernel variants are fastest here, and remember it
    Tune(tune::Args),
    /// List the kernels and their variants, or print one
    Kernels(kernels::Args),
    /// Prove the kernels and gradients on this machine and driver
    Check(check::Args),
    /// Show what is in a model file
    Inspect(inspect::Args),
    /// Write a model for other programs: ONNX, NumPy, PyTorch
    Export(export::Args),
    /// Read a model of another program: ONNX, PyTorch, NumPy
    Import(import::Args),
    /// Time training steps: samples/s, GFLOP/s, spread
    Bench(bench::Args),
}

impl Command {
    /// Runs the command; the exit code says how it went.
    pub fn run(self, context: &Context) -> Result<ExitCode> {
        match self {
            Command::Devices(args) => devices::run(&args, context),
            Command::Train(args) => train::run(*args, context),
            Command::Evaluate(args) => evaluate::run(&args, context),
            Command::LrFind(args) => lr_find::run(*args, context),
            Command::Plot(args) => plot::run(&args, context),
            Command::Report(args) => report::run(&args, context),
            Command::Predict(args) => predict::run(&args, context),
            Command::Gradients(args) => gradients::run(&args, context),
            Command::Graph(args) => graph::run(&args, context),
            Command::Plan(args) => plan::run(args, context),
            Command::Tune(args) => tune::run(args, context),
            Command::Kernels(args) => kernels::run(&args, context),
            Command::Check(args) => check::run(&args, context),
            Command::Inspect(args) => inspect::run(&args, context),
            Command::Export(args) => export::run(&args, context),
            Command::Import(args) => import::run(&args, context),
            Command::Bench(args) => bench::run(&args, context),
        }
    }
}
