//! The choices that a model file keeps of its training, and what other commands make of them.

use crate::tuning::{PlannerChoice, TuneArgs};
use std::path::{Path, PathBuf};
use wgrad::gpu::VariantChoice;
use wgrad::plan::{Plan, Planner};
use wgrad::tune::{Effort, Pinned, Variants};
use wgrad::{Device, Model, Precision, Result};

/// The choices that a model was trained with.
pub struct Recorded {
    /// The model file.
    pub path: PathBuf,
    /// The device's name.
    pub device: String,
    /// Rows in a batch.
    pub batch: usize,
    /// The precision's name.
    pub precision: String,
    /// Planner and variants.
    pub pinned: Pinned,
    /// Whether nothing else will do.
    pub demanded: bool,
}

impl Recorded {
    /// What the notes in a model say; `None` where it was trained by something else.
    pub fn of(path: &Path, model: &Model, demanded: bool) -> Option<Recorded> {
        let notes = model.training.as_ref()?;
        Some(Recorded {
            path: path.to_owned(),
            device: notes["device"].as_str()?.to_owned(),
            batch: usize::try_from(notes["batch"].as_u64()?).ok()?,
            precision: notes["precision"].as_str().unwrap_or(Precision::F32.name()).to_owned(),
            pinned: serde_json::from_value(notes["choices"].clone()).ok()?,
            demanded,
        })
    }
}

/// How outputs are computed. Nothing is measured for it: the same model on the same device gives the same bits until more
/// is measured there.
pub struct Inference {
    /// Rows that are computed at once.
    pub batch: usize,
    /// Who wires the forward pass.
    pub planner: Planner,
    noted: Variants,
    tune: TuneArgs,
}

/// Rows that are computed at once, unless the model was trained on larger batches.
const BATCH: usize = 1024;

impl Inference {
    /// For `rows` rows, as the model in `path` was trained, where that was on `device`.
    pub fn of(
        model: &Model,
        path: &Path,
        device: &Device,
        rows: usize,
        planner: PlannerChoice,
        tune: TuneArgs,
    ) -> Self {
        let recorded = Recorded::of(path, model, false).filter(|noted| noted.device == device.name() && !tune.no_tune);
        let batch = recorded.as_ref().map_or(BATCH, |noted| noted.batch.max(BATCH)).min(rows.max(1));
        let Pinned { planner: noted, variants } = recorded.map(|noted| noted.pinned).unwrap_or_default();
        let planner = match planner.named().unwrap_or(noted) {
            // It trains tiny networks; their outputs are computed layer by layer.
            Planner::Resident => Planner::LayerWise,
            other => other,
        };
        Inference { batch, planner, noted: variants, tune }
    }

    /// The variants that `plan` runs.
    pub fn variants(&self, device: &Device, plan: &Plan) -> Result<VariantChoice> {
        let variants = self.tune.tuner(Effort::Recall).recall_plan(device, plan, &self.noted)?;
        Ok(VariantChoice::Pinned(variants.into()))
    }
}
