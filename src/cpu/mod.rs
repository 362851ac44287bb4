//! The CPU side: the twin of every kernel, generic over `f32` and `f64`, and the executor that runs a plan with them.
//!
//! A twin is named after its kernel's stem and takes the same bindings in the same order. Except for the matrix
//! product, which the `gemm` crate makes fast, the twins are also what the executor runs, their rows or columns split
//! over the threads of `rayon`. Every sum has a fixed order, whatever the number of threads.

/// Evaluates an expression with `$name` bound to `$value`, compiled anew for each of the first members of `$all`, so that
/// a loop in it has no match inside and becomes vector instructions. Members beyond those run too, only slower.
macro_rules! with_constant {
    ($value:expr, $all:expr, |$name:ident: $type:ty| $body:expr) => {
        with_constant!(@match $value, $all, $name, $type, $body, 0 1 2 3 4 5 6 7 8 9 10 11 12 13 14 15)
    };
    (@match $value:expr, $all:expr, $name:ident, $type:ty, $body:expr, $($i:literal)*) => {
        match $all.iter().position(|member| *member == $value) {
            $(Some($i) if $i < $all.len() => {
                let $name = const { if $i < $all.len() { $all[$i] } else { $all[0] } };
                $body
            })*
            _ => {
                let $name: $type = $value;
                $body
            }
        }
    };
}
mod adapt;
mod block;
mod cast;
mod column_sum;
mod elementwise;
mod executor;
mod fused;
mod fused_sum;
mod gather;
mod jet;
mod loss;
mod loss_sum;
mod matmul;
mod mixed;
mod resident;
mod treatment;
mod unscale;
mod update;

pub use executor::{CpuExecutor, Products};

use crate::kernel::{Kernel, MOST_BINDINGS, Uniform};
use crate::plan::ScheduleEntry;
use crate::real::Real;
use std::sync::{Mutex, PoisonError};

/// A bound range of a slot.
#[derive(Default)]
pub(crate) enum View<'a, T> {
    Read(&'a [T]),
    Write(&'a mut [T]),
    ReadWords(&'a [u32]),
    WriteWords(&'a mut [u32]),
    #[default]
    Unbound,
}

/// The bindings of one dispatch. Plans are validated before they meet an executor, so a twin finds what its kernel
/// declares; anything else reads as empty.
pub(crate) struct Views<'a, T>(pub [View<'a, T>; MOST_BINDINGS]);

impl<'a, T> Views<'a, T> {
    fn read(&self, i: usize) -> &'a [T] {
        match self.0[i] {
            View::Read(values) => values,
            _ => &[],
        }
    }

    fn words(&self, i: usize) -> &'a [u32] {
        match self.0[i] {
            View::ReadWords(words) => words,
            _ => &[],
        }
    }

    fn write(&mut self, i: usize) -> &'a mut [T] {
        match self.0.get_mut(i).map(std::mem::take) {
            Some(View::Write(values)) => values,
            _ => &mut [],
        }
    }

    fn write_words(&mut self, i: usize) -> &'a mut [u32] {
        match std::mem::replace(&mut self.0[i], View::Unbound) {
            View::WriteWords(words) => words,
            _ => &mut [],
        }
    }

    /// The schedule at binding `i` as it stands for the clock at `i + 1`.
    fn entry(&self, i: usize) -> ScheduleEntry {
        let schedule: &[ScheduleEntry] = bytemuck::cast_slice(self.words(i));
        let step = self.words(i + 1)[0] as usize;
        schedule[step.min(schedule.len() - 1)]
    }
}

/// Runs one dispatch of `kernel`.
/// `scratch` is memory that it may use, kept from dispatch to dispatch.
pub(crate) fn run<T: Real>(
    kernel: &Kernel,
    uniform: &Uniform,
    views: Views<'_, T>,
    products: Products,
    scratch: &mut Vec<T>,
) {
    let dims = uniform.dims.map(|d| d as usize);
    match *kernel {
        Kernel::Gather => gather::gather(dims, views),
        Kernel::Matmul { form, epilogue } => matmul::matmul(uniform, form, epilogue, products, views, scratch),
        Kernel::Loss { loss, activation } => loss::loss(dims, loss, activation, T::one(), views, scratch),
        Kernel::LossSum => loss_sum::loss_sum(dims, views),
        Kernel::ColumnSum => column_sum::column_sum(dims, views, scratch),
        Kernel::Update(rule) => update::update(dims, rule, uniform.hyper, views),
        Kernel::Treatment(kernel) => treatment::treatment(dims, kernel, uniform.hyper, views),
        Kernel::Mixed(mixed) => mixed::mixed(mixed, uniform, views, products, scratch),
        Kernel::Resident(ref kernel) => resident::resident(dims, kernel, uniform.hyper, views, scratch),
        Kernel::Fused(ref kernel) => fused::fused(dims, kernel, products, views, scratch),
        Kernel::Jet(ref kernel) => jet::jet(dims, kernel, views, scratch),
        Kernel::Block(block) => block::block(dims, block, uniform.hyper, views, scratch),
        Kernel::FusedSum(ref kernel) => fused_sum::fused_sum(dims, kernel, uniform.hyper, views),
    }
}

/// Elements below which splitting over threads costs more than it gains.
const PARALLEL_FROM: usize = 1 << 15;

/// Splits matrices of `rows` rows each, given with their numbers of columns, into blocks of `block` rows and calls
/// `work(first_row, blocks)` for each, in parallel. Where the blocks begin does not depend on the number of threads.
fn for_row_blocks<T: Real, const N: usize>(
    rows: usize,
    block: usize,
    matrices: [(&mut [T], usize); N],
    work: impl Fn(usize, [&mut [T]; N]) + Sync,
) {
    split(0, rows, block, matrices, &work);
}

fn split<T: Real, const N: usize>(
    first: usize,
    rows: usize,
    block: usize,
    mut matrices: [(&mut [T], usize); N],
    work: &(impl Fn(usize, [&mut [T]; N]) + Sync),
) {
    if rows <= block {
        return work(first, matrices.map(|(matrix, cols)| &mut matrix[..rows * cols]));
    }
    let half = rows.div_ceil(block) / 2 * block;
    let mut below: [(&mut [T], usize); N] = std::array::from_fn(|_| Default::default());
    for ((matrix, cols), below) in matrices.iter_mut().zip(&mut below) {
        let (low, high) = std::mem::take(matrix).split_at_mut(half * *cols);
        (*matrix, *below) = (low, (high, *cols));
    }
    rayon::join(|| split(first, half, block, matrices, work), || split(first + half, rows - half, block, below, work));
}

/// `len` elements of `scratch`, with anything in them.
fn at_least<T: Real>(scratch: &mut Vec<T>, len: usize) -> &mut [T] {
    if scratch.len() < len {
        scratch.resize(len, T::zero());
    }
    &mut scratch[..len]
}

/// A piece of scratch memory for each thread.
struct PerThread<'a, T>(Vec<Mutex<&'a mut [T]>>);

impl<'a, T: Real> PerThread<'a, T> {
    /// Pieces of `len` elements, with anything in them.
    fn new(scratch: &'a mut Vec<T>, len: usize) -> Self {
        let pieces = at_least(scratch, rayon::current_num_threads() * len).chunks_mut(len);
        PerThread(pieces.map(Mutex::new).collect())
    }

    /// `work` with the piece of the thread that it runs on. It must not hand over to other threads.
    fn with(&self, work: impl FnOnce(&mut [T])) {
        let thread = rayon::current_thread_index().unwrap_or(0) % self.0.len();
        work(&mut self.0[thread].lock().unwrap_or_else(PoisonError::into_inner));
    }
}

/// Rows of a block of a matrix with `cols` columns, where the work on each element is little.
fn light_rows(cols: usize) -> usize {
    PARALLEL_FROM.div_ceil(cols)
}

/// Runs `work` compiled for the widest vectors that this processor has. `work` must be an `#[inline(always)]` closure:
/// only what is inlined here is compiled so.
#[inline(always)]
fn vectorized<R>(work: impl FnOnce() -> R) -> R {
    pulp::Arch::new().dispatch(work)
}

/// What people call this device.
pub fn name() -> String {
    format!("CPU ({} threads)", rayon::current_num_threads())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::check::gradients::Case;
    use crate::{Activation, Bias, Device, Loss, Network};

    #[test]
    fn every_row_belongs_to_one_block() {
        for rows in [1, 7, 8, 9, 16, 100] {
            let (mut wide, mut narrow) = (vec![0.0; rows * 3], vec![0.0; rows]);
            for_row_blocks(
                rows,
                8,
                [(&mut wide, 3), (&mut narrow, 1), (&mut [], 0)],
                |first, [wide, narrow, nothing]| {
                    assert!(
                        first % 8 == 0 && narrow.len() <= 8 && wide.len() == 3 * narrow.len() && nothing.is_empty()
                    );
                    narrow.iter_mut().enumerate().for_each(|(r, x)| *x += (first + r + 1) as f64);
                    wide.iter_mut().enumerate().for_each(|(i, x)| *x += (3 * first + i + 1) as f64);
                },
            );
            assert!(narrow.iter().enumerate().all(|(r, &x)| x == (r + 1) as f64), "{rows} rows");
            assert!(wide.iter().enumerate().all(|(i, &x)| x == (i + 1) as f64), "{rows} rows");
        }
    }

    /// Batches so long that products, sums and epilogues are split in every way there is; the reference splits nothing.
    #[test]
    fn gradients_of_long_batches_hold() -> Result<(), String> {
        use Activation::{Gelu, Linear, Tanh};
        let narrow = Network::new(17).dense(9, Gelu).dense(13, Tanh).dense(3, Linear);
        let wide = Network::new(5).dense(270, Gelu).dense(250, Tanh).with_bias(Bias::Shared).dense(9, Linear);
        let cases = [
            (narrow.clone(), Loss::MeanSquaredError, 4 * 4096 + 5),
            (narrow, Loss::SoftmaxCrossEntropy, 4097),
            (wide, Loss::BinaryCrossEntropy, 515),
        ];
        for (network, loss, rows) in cases {
            let case = Case::new(network, loss, rows, 0).map_err(|error| error.to_string())?;
            case.check(&Device::Cpu, &|_| {}).map_err(|error| error.to_string())??;
        }
        Ok(())
    }
}
