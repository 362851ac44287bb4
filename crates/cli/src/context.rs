//! What every command shares: the global flags, and where words go.

use crate::words::printable;
use serde_json::Value;
use std::fmt::Display;
use std::io::{self, ErrorKind, Write};
use std::path::Path;
use std::process::ExitCode;
use wgrad::device::{DeviceChoice, Selection};
use wgrad::{Device, Error, Result};

/// The flags that every command takes.
#[derive(clap::Args)]
#[command(next_help_heading = "Global options")]
pub struct Context {
    /// Where to compute: `auto` (where a network trains, what trains it fastest, measured; else the best real GPU or the
    /// CPU), `gpu`, `cpu`, an adapter's number, or a part of its name [default: auto]
    #[arg(long, global = true)]
    pub device: Option<String>,
    /// What random numbers follow from [default: 0]
    // TOML has no larger integers, and a seed must fit into a configuration.
    #[arg(long, global = true, value_parser = clap::value_parser!(u64).range(..=i64::MAX as u64))]
    pub seed: Option<u64>,
    /// Print one JSON object to standard output; text for people goes to standard error
    #[arg(long, global = true)]
    pub json: bool,
}

/// What messages call the standard output.
const STANDARD_OUTPUT: &str = "standard output";

impl Context {
    /// The device that `--device` asks for.
    pub fn choice(&self) -> DeviceChoice {
        self.device.as_deref().map_or(DeviceChoice::Auto, DeviceChoice::from)
    }

    /// Opens the device that `--device` asks for, and says on standard error which it is.
    pub fn open_device(&self) -> Result<Device> {
        let Selection { device, reason } = Device::select(&self.choice())?;
        note(format_args!("{:<12}{}: {reason}", "device", device.name()));
        Ok(device)
    }

    /// Prints text for people: to standard output, or with `--json` to standard error.
    pub fn say(&self, text: impl Display) -> Result<()> {
        if self.json {
            note(text);
            return Ok(());
        }
        // Names in a file must not steer a terminal.
        let text = printable(&text.to_string());
        writeln!(io::stdout(), "{text}").map_err(standard_output)
    }

    /// Prints a line with a label.
    pub fn tell(&self, label: &str, text: impl Display) -> Result<()> {
        self.say(format_args!("{label:<12}{text}"))
    }

    /// Prints the command's result as JSON where `--json` asks for it.
    pub fn result(&self, value: impl FnOnce() -> Value) -> Result<()> {
        if !self.json {
            return Ok(());
        }
        writeln!(io::stdout(), "{}", value()).map_err(standard_output)
    }
}

/// Prints text for people to standard error. Where that is closed nobody wants it.
pub fn note(text: impl Display) {
    let _ = writeln!(io::stderr(), "{}", printable(&text.to_string()));
}

/// The error that writing to standard output gave.
pub fn standard_output(source: io::Error) -> Error {
    Error::Io { action: "write", path: STANDARD_OUTPUT.into(), source }
}

/// Says what went wrong, and gives the exit code that tells it from wrong usage.
pub fn fail(error: &Error) -> ExitCode {
    match error {
        // Whoever reads the output has had enough, as `head` does.
        Error::Io { path, source, .. }
            if source.kind() == ErrorKind::BrokenPipe && path == Path::new(STANDARD_OUTPUT) =>
        {
            return ExitCode::SUCCESS;
        }
        Error::Config(_) => note(format_args!("error: {error}\n\nFor more information, try '--help'.")),
        _ => note(format_args!("error: {error}")),
    }
    ExitCode::from(if matches!(error, Error::Config(_) | Error::Expression { .. }) { 2 } else { 1 })
}
