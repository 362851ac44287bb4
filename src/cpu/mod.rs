//! The CPU side: the twin of every kernel, generic over `f32` and `f64`, and the executor that runs a plan with them.
//!
//! A twin is named after its kernel's stem and takes the same bindings in the same order. Except for the matrix
//! product, which the `gemm` crate makes fast, the twins are also what the executor runs, their rows or columns split
//! over the threads of `rayon`. Every sum has a fixed order, whatever the number of threads.

mod column_sum;
mod executor;
mod gather;
mod loss;
mod loss_sum;
mod matmul;
mod update;

pub use executor::{CpuExecutor, Products};

use crate::kernel::{Kernel, Uniform};
use crate::plan::ScheduleEntry;
use crate::real::Real;

/// A bound range of a slot.
pub(crate) enum View<'a, T> {
    Read(&'a [T]),
    Write(&'a mut [T]),
    ReadWords(&'a [u32]),
    WriteWords(&'a mut [u32]),
    Unbound,
}

/// The bindings of one dispatch. Plans are validated before they meet an executor, so a twin finds what its kernel
/// declares; anything else reads as empty.
pub(crate) struct Views<'a, T>(pub [View<'a, T>; 8]);

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
        match std::mem::replace(&mut self.0[i], View::Unbound) {
            View::Write(values) => values,
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
pub(crate) fn run<T: Real>(kernel: Kernel, uniform: &Uniform, views: Views<'_, T>, products: Products) {
    let dims = uniform.dims.map(|d| d as usize);
    match kernel {
        Kernel::Gather => gather::gather(dims, views),
        Kernel::Matmul { form, epilogue } => matmul::matmul(dims, form, epilogue, products, views),
        Kernel::Loss { loss, activation } => loss::loss(dims, loss, activation, views),
        Kernel::LossSum => loss_sum::loss_sum(dims, views),
        Kernel::ColumnSum => column_sum::column_sum(dims, views),
        Kernel::Update(rule) => update::update(dims, rule, uniform.hyper, views),
    }
}

/// Elements below which splitting over threads costs more than it gains.
const PARALLEL_FROM: usize = 1 << 14;

/// Calls `work(first_row, rows)` for blocks of whole rows of `matrix` as `[_, cols]`, in parallel where it pays.
fn for_row_blocks<T: Real>(matrix: &mut [T], cols: usize, work: impl Fn(usize, &mut [T]) + Sync) {
    use rayon::prelude::*;
    if matrix.len() < PARALLEL_FROM || rayon::current_num_threads() == 1 {
        return work(0, matrix);
    }
    let rows = (PARALLEL_FROM / 2).div_ceil(cols);
    matrix.par_chunks_mut(rows * cols).enumerate().for_each(|(block, part)| work(block * rows, part));
}

/// What people call this device.
pub fn name() -> String {
    format!("CPU ({} threads)", rayon::current_num_threads())
}
