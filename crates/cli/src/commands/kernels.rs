//! `wgrad kernels`

use crate::context::Context;
use crate::words::table;
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::process::ExitCode;
use wgrad::error::did_you_mean;
use wgrad::kernel::{Abilities, Kernel, Variant};
use wgrad::{Device, Error, Result};

#[derive(clap::Args)]
#[command(
    after_help = "Examples:\n  wgrad kernels\n  wgrad kernels --show \"loss huber\"\n  wgrad kernels --show matmul_nt \
                  --variant tiled > matmul.wgsl"
)]
pub struct Args {
    /// Print the complete WGSL of the kernel with this name, or of the first one whose stem it is or whose name begins so
    #[arg(long, value_name = "NAME")]
    show: Option<String>,
    /// The variant to print [default: naive, which is the specification]
    #[arg(long, value_name = "NAME", requires = "show")]
    variant: Option<String>,
}

pub fn run(args: &Args, context: &Context) -> Result<ExitCode> {
    let abilities = match context.open_device()? {
        Device::Gpu(gpu) => gpu.abilities(),
        // Without an adapter, what most of them have.
        Device::Cpu => Abilities::of_subgroup(32),
    };
    match &args.show {
        Some(name) => show(name, args.variant.as_deref(), abilities, context)?,
        None => list(abilities, context)?,
    }
    Ok(ExitCode::SUCCESS)
}

fn list(abilities: Abilities, context: &Context) -> Result<()> {
    let mut stems: BTreeMap<&str, (Vec<String>, Vec<String>)> = BTreeMap::new();
    for kernel in Kernel::all() {
        let (kernels, variants) = stems.entry(kernel.stem()).or_default();
        kernels.push(kernel.to_string());
        *variants = names(&kernel.variants(abilities));
    }
    for (stem, (kernels, variants)) in &stems {
        context.say(format_args!("{stem}: {}", variants.join(", ")))?;
        let rows: Vec<_> = kernels.iter().map(|kernel| vec![format!("  {kernel}")]).collect();
        context.say(table(&rows))?;
    }
    context.result(|| {
        let stems = stems
            .iter()
            .map(|(stem, (kernels, variants))| (stem.to_string(), json!({ "kernels": kernels, "variants": variants })));
        Value::Object(stems.collect())
    })
}

fn show(name: &str, variant: Option<&str>, abilities: Abilities, context: &Context) -> Result<()> {
    let all = Kernel::all();
    let first = |fits: &dyn Fn(&Kernel) -> bool| all.iter().find(|kernel| fits(kernel));
    let exact = first(&|kernel| kernel.to_string() == name).or_else(|| first(&|kernel| kernel.stem() == name));
    let kernel = exact.or_else(|| first(&|kernel| kernel.to_string().starts_with(name))).ok_or_else(|| {
        let known: Vec<_> = all.iter().map(Kernel::to_string).collect();
        let hint = did_you_mean(name, known.iter().map(String::as_str));
        Error::Config(format!("no kernel is called {name:?}{hint}; `wgrad kernels` lists them"))
    })?;
    let variants = kernel.variants(abilities);
    let wanted = variant.unwrap_or("naive");
    let variant = variants.iter().find(|variant| variant.to_string() == wanted).ok_or_else(|| {
        let known = names(&variants).join(", ");
        Error::Config(format!("{kernel} has no variant {wanted:?} here; known: {known}"))
    })?;
    let wgsl = kernel.wgsl(*variant);
    context.say(format_args!("// {kernel}, {variant}\n{}", wgsl.trim_end()))?;
    context.result(|| json!({ "kernel": kernel.to_string(), "variant": variant.to_string(), "wgsl": wgsl }))
}

fn names(variants: &[Variant]) -> Vec<String> {
    variants.iter().map(Variant::to_string).collect()
}
