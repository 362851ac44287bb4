//! What the kernels of mixed precision are checked with: the shapes, numbers and bounds of the kernels of f32 with the
//! same formula, numbers in slots of halves rounded to f16.

use super::kernels::{Contents, bounds, contents, shapes};
use crate::Result;
use crate::compare::FLUSH;
use crate::kernel::mixed::{FIRST_LOG_SCALE, GROWTH_INTERVAL, LOG_SCALES, SCALER_LEN};
use crate::kernel::{Element, Epilogue, Kernel, Mixed, Uniform};
use half::f16;
use rand::RngExt;
use rand_chacha::ChaCha8Rng;

/// The logarithm of the dynamic loss scale that deltas are checked with: so small that none overflows.
pub(super) const LOG_SCALE: i32 = 6;

/// [`Slot::Scaler`](crate::plan::Slot::Scaler) for [`LOG_SCALE`].
pub(super) const SCALER: [f32; SCALER_LEN] = [(LOG_SCALE - FIRST_LOG_SCALE) as f32, 5.0, 2.0, 0.0];

/// The length of an update that an overflow forbids.
const SKIPPED: usize = 256;

/// States of the scaler and whether there was an overflow: what `adapt` can meet, in turn by the first dimension.
fn scaler(number: u32) -> ([f32; SCALER_LEN], bool) {
    let [least, most] = [LOG_SCALES.start(), LOG_SCALES.end()].map(|log| (log - FIRST_LOG_SCALE) as f32);
    let last = (GROWTH_INTERVAL - 1) as f32;
    let all = [
        ([0.0, 0.0, 0.0, 0.0], false),
        ([-3.0, 17.0, 4.0, 0.0], true),
        ([-3.0, last, 4.0, 0.0], false),
        ([least, 3.0, 9.0, 0.0], true),
        ([most, last, 0.0, 0.0], false),
    ];
    all[number as usize % all.len()]
}

pub(super) fn mixed_shapes(mixed: Mixed) -> Vec<[u32; 4]> {
    let linear = || vec![[1, 0, 0, 0], [255, 0, 0, 0], [257, 0, 0, 0], [1031, 0, 0, 0]];
    let of_f32 = || mixed.base().map_or(Vec::new(), |kernel| shapes(&kernel));
    match mixed {
        Mixed::Cast | Mixed::Unscale => linear(),
        Mixed::Adapt => (1..=5).map(|i| [i, 0, 0, 0]).collect(),
        Mixed::LossSum => of_f32().into_iter().chain((2..=5).map(|i| [i, 0, 0, 0])).collect(),
        Mixed::Matmul { epilogue: Epilogue::Parts, .. } => of_f32(),
        // Every second product's B begins inside its binding.
        Mixed::Matmul { .. } => of_f32().into_iter().zip([0, 64].into_iter().cycle()).map(with_first).collect(),
        // This length stands for a step that is skipped.
        Mixed::Update(_) => of_f32().into_iter().chain([[SKIPPED as u32, 0, 0, 0]]).collect(),
        Mixed::Gather | Mixed::Loss { .. } | Mixed::ColumnSum => of_f32(),
    }
}

fn with_first(([x, y, z, _], first): ([u32; 4], u32)) -> [u32; 4] {
    [x, y, z, first]
}

pub(super) fn mixed_contents(mixed: Mixed, dims: [u32; 4], rng: &mut ChaCha8Rng) -> Vec<Contents> {
    let (x, first) = (dims[0] as usize, dims[3] as usize);
    let mut all = mixed.base().map_or(Vec::new(), |kernel| contents(&kernel, dims, rng));
    let mut real = |len: usize| Contents::Real((0..len).map(|_| rng.random_range(-2.0..2.0)).collect());
    match mixed {
        Mixed::Cast => all.extend([real(x), Contents::Poison(x)]),
        Mixed::Matmul { epilogue, .. } if epilogue != Epilogue::Parts => all[1] = real(first + all[1].len()),
        Mixed::Loss { .. } => all.push(Contents::Real(SCALER.to_vec())),
        Mixed::Unscale => all.extend([Contents::Real(SCALER.to_vec()), Contents::Words(vec![0]), real(x)]),
        Mixed::Update(_) => all.push(Contents::Words(vec![u32::from(x == SKIPPED)])),
        Mixed::Adapt => {
            let (scaler, overflowed) = scaler(dims[0]);
            all.extend([Contents::Real(scaler.to_vec()), Contents::Words(vec![overflowed.into()])]);
        }
        Mixed::LossSum => {
            let (scaler, overflowed) = scaler(dims[0]);
            // Two invocations of the last part's saw one.
            let overflows = (0..x).map(|part| if overflowed && part + 1 == x { 2.0 } else { 0.0 });
            all[0] = Contents::Real(all[0].real().iter().copied().chain(overflows).collect());
            all.push(Contents::Real(scaler.to_vec()));
        }
        Mixed::Gather | Mixed::Matmul { .. } | Mixed::ColumnSum => {}
    }
    for (spec, contents) in Kernel::Mixed(mixed).bindings().iter().zip(&mut all) {
        if let (Element::Half, Contents::Real(values)) = (spec.element, contents) {
            values.iter_mut().for_each(|x| *x = f16::from_f32(*x).to_f32());
        }
    }
    all
}

/// The bounds before anything is rounded to f16.
pub(super) fn mixed_bounds(mixed: Mixed, uniform: &Uniform, mut contents: Vec<Contents>) -> Result<Vec<Vec<f64>>> {
    let first = uniform.dims[3] as usize;
    if let (Mixed::Matmul { epilogue, .. }, Contents::Real(b)) = (mixed, &mut contents[1])
        && epilogue != Epilogue::Parts
    {
        b.drain(..first);
    }
    if let (Mixed::LossSum, Contents::Real(losses)) = (mixed, &mut contents[0]) {
        losses.truncate(uniform.dims[0] as usize);
    }
    match (mixed, mixed.base()) {
        (Mixed::Loss { .. }, Some(kernel)) => {
            let mut all = bounds(&kernel, uniform, &contents)?;
            all[2].iter_mut().for_each(|error| *error *= f64::from(LOG_SCALE).exp2());
            Ok(all)
        }
        (_, Some(kernel)) => bounds(&kernel, uniform, &contents),
        // A power of two takes no digit; what becomes subnormal may become 0.
        (Mixed::Unscale, None) => Ok(vec![Vec::new(), Vec::new(), vec![FLUSH; contents[2].len()]]),
        (_, None) => Ok(vec![Vec::new(); contents.len()]),
    }
}
