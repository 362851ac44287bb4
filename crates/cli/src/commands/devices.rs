//! `wgrad devices`

use crate::context::Context;
use crate::words::{bytes, table};
use serde_json::{Value, json};
use std::process::ExitCode;
use wgpu::{DeviceType, Features};
use wgrad::Result;
use wgrad::device::{DeviceChoice, choose};
use wgrad::gpu::{AdapterEntry, list_adapters};

#[derive(clap::Args)]
#[command(after_help = "Examples:\n  wgrad devices\n  wgrad devices --device gpu --json")]
pub struct Args {}

pub fn run(_: &Args, context: &Context) -> Result<ExitCode> {
    let adapters = pollster::block_on(list_adapters());
    let cpu = wgrad::cpu::name();
    for (number, entry) in adapters.iter().enumerate() {
        context.say(format_args!("{number:<5}{}", entry.describe()))?;
        context.say(indented(&details(entry)))?;
    }
    context.say(format_args!("{:<5}{cpu}\n", "cpu"))?;

    let choice = context.choice();
    let (chosen, reason) = choose(&adapters, &choice)?;
    let device = chosen.map_or_else(|| cpu.clone(), AdapterEntry::describe);
    let flag = context.device.as_deref().unwrap_or("auto");
    let but = if choice == DeviceChoice::Auto { "; for training, what trains the network fastest" } else { "" };
    context.say(format_args!("--device {flag} uses {device}: {reason}{but}"))?;
    context.result(|| {
        let adapters: Vec<_> = adapters.iter().enumerate().map(|(number, entry)| to_json(number, entry)).collect();
        json!({ "adapters": adapters, "cpu": cpu, "device": device, "reason": reason })
    })?;
    Ok(ExitCode::SUCCESS)
}

fn indented(rows: &[Vec<String>]) -> String {
    table(rows).lines().map(|line| format!("     {line}\n")).collect()
}

fn details(entry: &AdapterEntry) -> Vec<Vec<String>> {
    let limits = entry.adapter.limits();
    let features: Vec<_> =
        features(entry).into_iter().filter(|(_, has)| *has).map(|(name, _)| name.replace('_', " ")).collect();
    let rows = [
        ("kind", kind(entry).to_owned()),
        ("largest buffer", bytes(limits.max_buffer_size)),
        ("largest binding", bytes(limits.max_storage_buffer_binding_size)),
        ("storage buffers", limits.max_storage_buffers_per_shader_stage.to_string()),
        ("workgroup memory", bytes(limits.max_compute_workgroup_storage_size.into())),
        ("invocations", limits.max_compute_invocations_per_workgroup.to_string()),
        ("features", if features.is_empty() { "none of interest".into() } else { features.join(", ") }),
    ];
    rows.into_iter().map(|(label, value)| vec![format!("{label:<16}  {value}")]).collect()
}

fn kind(entry: &AdapterEntry) -> &'static str {
    match entry.info.device_type {
        DeviceType::DiscreteGpu => "discrete GPU",
        DeviceType::IntegratedGpu => "integrated GPU",
        DeviceType::VirtualGpu => "virtual GPU",
        DeviceType::Cpu => "software rasteriser",
        DeviceType::Other => "unknown",
    }
}

/// What could make kernels faster or measurable, and whether the adapter has it.
fn features(entry: &AdapterEntry) -> [(&'static str, bool); 4] {
    let features = entry.adapter.features();
    [
        ("subgroups", features.contains(Features::SUBGROUP)),
        ("f16", features.contains(Features::SHADER_F16)),
        ("timestamps", features.contains(Features::TIMESTAMP_QUERY)),
        ("cooperative_matrices", features.contains(Features::EXPERIMENTAL_COOPERATIVE_MATRIX)),
    ]
}

fn to_json(number: usize, entry: &AdapterEntry) -> Value {
    let (info, limits) = (&entry.info, entry.adapter.limits());
    let driver = format!("{} {}", info.driver, info.driver_info);
    let features: Value = features(entry).into_iter().map(|(name, has)| (name.to_owned(), json!(has))).collect();
    json!({
        "number": number,
        "name": info.name,
        "backend": info.backend.to_string(),
        "driver": driver.trim(),
        "kind": kind(entry),
        "software": entry.is_software(),
        "limits": {
            "max_buffer_size": limits.max_buffer_size,
            "max_storage_buffer_binding_size": limits.max_storage_buffer_binding_size,
            "max_storage_buffers_per_shader_stage": limits.max_storage_buffers_per_shader_stage,
            "max_compute_workgroup_storage_size": limits.max_compute_workgroup_storage_size,
            "max_compute_invocations_per_workgroup": limits.max_compute_invocations_per_workgroup,
        },
        "features": features,
    })
}
