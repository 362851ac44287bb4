//! What a resident network is checked with, and how far it may be from its twin: some steps of the textbook in
//! [`Bounded`] numbers.

use super::kernels::{Contents, uniform_values};
use super::update::{self, CORRECTIONS};
use crate::Result;
use crate::kernel::resident::{Pass, Resident};
use crate::params::Params;
use crate::plan::ScheduleEntry;
use crate::reference::{Bounded, Number, Reference};
use rand_chacha::ChaCha8Rng;

/// Steps of a check: no power of two, so that it takes dispatches of different lengths.
pub(super) const STEPS: usize = 3;

/// Where the clock stands before.
const FIRST_STEP: usize = 1;

/// Batches that fill the rows on the chip and that do not; `steps` are more than a check takes.
pub(super) fn shapes(resident: &Resident) -> Vec<[u32; 4]> {
    let batches = if resident.rows() < 64 { [1, 3, 8] } else { [1, 7, 67] };
    // The second with weights.
    batches.map(|batch| [batch, 4, batch + 5, u32::from(batch == batches[1])]).to_vec()
}

fn entries(resident: &Resident, batch: usize) -> Vec<ScheduleEntry> {
    let whole = &resident.whole;
    let entry = |(i, rows): (usize, usize)| ScheduleEntry {
        corrections: CORRECTIONS,
        first: 2 - i as u32,
        ..ScheduleEntry::training(
            0.1 * (i + 1) as f32,
            whole.loss.reduction().scale(rows, whole.network.outputs()) as f32,
            rows,
        )
    };
    let fewer = (batch - 1).max(1);
    let unused = std::iter::once(ScheduleEntry::default());
    unused.clone().chain([fewer, batch, fewer].into_iter().enumerate().map(entry)).chain(unused).collect()
}

pub(super) fn contents(
    resident: &Resident,
    [batch, _, data_rows, weights]: [usize; 4],
    rng: &mut ChaCha8Rng,
) -> Vec<Contents> {
    let network = &resident.whole.network;
    let arena = Params::of(network).len;
    let rows = if resident.pass == Pass::GatheredSteps { data_rows } else { batch };
    let order = (0..batch + 2).map(|i| ((i * 7 + 3) % data_rows) as u32).collect();
    let targets = uniform_values(rng, rows * (network.outputs() + weights), 0.5).iter().map(|t| t + 0.5).collect();
    let mut given = vec![
        ("schedule", Contents::Words(bytemuck::cast_slice(&entries(resident, batch)).to_vec())),
        ("clock", Contents::Words(vec![FIRST_STEP as u32])),
        ("order", Contents::Words(order)),
        ("input", Contents::Real(uniform_values(rng, rows * network.inputs, 1.5))),
        ("target", Contents::Real(targets)),
        ("params", Contents::Real(uniform_values(rng, arena, 0.8))),
        ("losses", Contents::Poison(2)),
        ("gradients", Contents::Poison(arena)),
        ("input_gradient", Contents::Poison(batch * network.inputs)),
    ];
    let names = ["state_0", "state_1"].into_iter();
    let states = update::states(resident.whole.rule, || Contents::Real(uniform_values(rng, arena, 0.5)));
    given.extend(names.zip(states));
    let take = |name: &str| {
        let name = match name {
            "data_inputs" => "input",
            "target_rows" | "data_targets" => "target",
            name => name,
        };
        let found = given.iter_mut().find(|(given, _)| *given == name);
        found.map_or(Contents::Poison(0), |(_, contents)| std::mem::replace(contents, Contents::Poison(0)))
    };
    resident.bindings().iter().map(|spec| spec.name).map(take).collect()
}

/// The bounds of every binding after [`STEPS`] steps.
pub(super) fn bounds(
    resident: &Resident,
    hyper: [f32; 4],
    [batch, _, _, weights]: [usize; 4],
    contents: &[Contents],
) -> Result<Vec<Vec<f64>>> {
    let network = &resident.whole.network;
    let specs = resident.bindings();
    let place = |names: &[&str]| specs.iter().position(|spec| names.contains(&spec.name));
    let real = |names: &[&str]| {
        let values = place(names).map_or(&[][..], |i| contents[i].real());
        values.iter().map(|&x| f64::from(x)).collect::<Vec<f64>>()
    };
    let given = |names| real(names).into_iter().map(Bounded::given).collect::<Vec<_>>();
    let (inputs, targets) = (real(&["input", "data_inputs"]), real(&["target_rows", "data_targets"]));
    let (mut params, mut state) = (given(&["params"]), [given(&["state_0"]), given(&["state_1"])]);
    let order = place(&["order"]).map(|i| contents[i].words());
    let reference = Reference::new(network, resident.whole.loss)?;
    let reference = if weights > 0 { reference.weighted() } else { reference };
    let mut out = vec![Vec::new(); specs.len()];
    let mut set = |names: &[&str], errors: Vec<f64>| {
        if let Some(i) = place(names) {
            out[i] = errors;
        }
    };
    let mut losses = vec![0.0; 2];
    for (step, entry) in entries(resident, batch).iter().enumerate().skip(FIRST_STEP).take(STEPS) {
        let rows = entry.rows as usize;
        let sample = |r| order.map_or(r, |order| order[entry.first as usize + r] as usize);
        let gather = |data: &[f64], cols: usize| -> Vec<f64> {
            (0..rows).flat_map(|r| &data[sample(r) * cols..][..cols]).copied().collect()
        };
        let (inputs, targets) = (gather(&inputs, network.inputs), gather(&targets, network.outputs() + weights));
        let found = reference.bounded(&params, &inputs, &targets, rows)?;
        losses[step % 2] = found.loss.error;
        if resident.pass == Pass::Gradients {
            let errors = |all: &[Bounded]| all.iter().map(|x| x.error).collect::<Vec<f64>>();
            let mut input = errors(&found.input);
            input.resize(batch * network.inputs, 0.0);
            set(&["input_gradient"], input);
            set(&["gradients"], errors(&found.params));
            continue;
        }
        let rule = resident.whole.rule;
        for i in Params::of(network).tensors.iter().filter(|t| t.trainable).flat_map(|t| t.range()) {
            let before = |state: &Vec<Bounded>| state.get(i).copied().unwrap_or(Bounded::given(0.0));
            let states = [before(&state[0]), before(&state[1])];
            let rate = entry.learning_rate;
            let (p, after) = update::updated(rule, hyper, rate, params[i], found.params[i], states);
            params[i] = p;
            for (state, after) in state.iter_mut().zip(after) {
                state.get_mut(i).into_iter().for_each(|state| *state = after);
            }
        }
    }
    set(&["losses"], losses);
    set(&["params"], params.iter().map(|x| x.error).collect());
    for (name, state) in ["state_0", "state_1"].iter().zip(state) {
        set(&[name], state.iter().map(|x| x.error).collect());
    }
    Ok(out)
}
