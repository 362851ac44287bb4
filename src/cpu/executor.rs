use super::{View, Views, run};
use crate::error::try_zeros;
use crate::executor::{Executor, Readback, locate};
use crate::kernel::fused::SCRATCH;
use crate::kernel::{Access, Element, MOST_BINDINGS};
use crate::plan::{Phase, Plan, Slot};
use crate::real::Real;
use crate::{Error, Result};
use half::f16;
use std::any::TypeId;
use std::ops::Range;

/// How the CPU computes matrix products.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Products {
    /// Three loops: the twin.
    Naive,
    /// The `gemm` crate.
    Gemm,
}

enum Buffer<T> {
    Real(Vec<T>),
    Words(Vec<u32>),
}

impl<T> Default for Buffer<T> {
    fn default() -> Self {
        Buffer::Words(Vec::new())
    }
}

/// A binding of a step.
struct Bound {
    /// The number of its buffer.
    buffer: usize,
    range: Range<usize>,
    access: Access,
    /// Whether what was written is rounded to f16. Twins do not use what kernels scribble on.
    rounds: bool,
}

/// Operations and bytes of a dispatch up to which one thread is as fast as many.
const SERIAL_WORK: f64 = 1e5;

/// Runs a plan on the CPU, in `f32` for speed or in `f64` for the proof.
pub struct CpuExecutor<T: Real> {
    plan: Plan,
    products: Products,
    buffers: Vec<Buffer<T>>,
    dispatches: Vec<Vec<Bound>>,
    /// Memory that kernels use among themselves.
    scratch: Vec<T>,
    /// Whether any step is worth more than one thread.
    parallel: bool,
}

impl<T: Real> CpuExecutor<T> {
    /// Allocates the slots of `plan`, all zero.
    pub fn new(plan: Plan, products: Products) -> Result<Self> {
        plan.validate()?;
        let buffers = plan.slots.iter().map(|info| {
            Ok(match info.element {
                // Halves are f16 by value: the executor rounds what is written to them.
                Element::Real | Element::Half => Buffer::Real(try_zeros(&info.slot.to_string(), info.len)?),
                Element::Word => Buffer::Words(try_zeros(&info.slot.to_string(), info.len)?),
            })
        });
        let buffers = buffers.collect::<Result<_>>()?;
        let mut dispatches = Vec::new();
        for step in &plan.steps {
            let mut bindings = Vec::new();
            for (spec, binding) in step.kernel.bindings().iter().zip(&step.bindings) {
                let buffer = locate(&plan, binding.slot, &binding.range, spec.element)?;
                let (range, access) = (binding.range.clone(), spec.access);
                let rounds = (spec.element, access) == (Element::Half, Access::Write) && spec.name != SCRATCH;
                bindings.push(Bound { buffer, range, access, rounds });
            }
            dispatches.push(bindings);
        }
        let parallel = plan.steps.iter().filter(|step| !step.kernel.repeats()).any(|step| {
            let (operations, bytes) = step.kernel.work(step.uniform.dims);
            operations + bytes > SERIAL_WORK
        });
        Ok(CpuExecutor { plan, products, buffers, dispatches, scratch: Vec::new(), parallel })
    }

    /// The elements of a slot, in this executor's own precision.
    pub fn values(&self, slot: Slot) -> Result<&[T]> {
        let index = locate(&self.plan, slot, &(0..0), Element::Real)?;
        Ok(match &self.buffers[index] {
            Buffer::Real(values) => values,
            Buffer::Words(_) => &[],
        })
    }

    /// Writes numbers of this executor's own precision into a slot, from element `offset` on.
    pub fn write_values(&mut self, slot: Slot, offset: usize, values: &[T]) -> Result<()> {
        let range = offset..offset + values.len();
        let index = locate(&self.plan, slot, &range, Element::Real)?;
        if let Buffer::Real(all) = &mut self.buffers[index] {
            all[range].copy_from_slice(values);
        }
        Ok(())
    }

    fn repeat(&mut self, phases: &[Phase], mut times: usize) {
        if let Some(number) = self.plan.repeating(phases) {
            let most = self.plan.steps[number].uniform.dims[1];
            while times > 0 {
                let now = (times as u32).min(most).max(1);
                self.dispatch(number, now);
                times -= now as usize;
            }
        }
        for _ in 0..times {
            for number in 0..self.dispatches.len() {
                if phases.contains(&self.plan.steps[number].phase) {
                    self.dispatch(number, 1);
                }
            }
        }
    }

    /// One dispatch, of `steps` training steps where its kernel repeats them.
    fn dispatch(&mut self, number: usize, steps: u32) {
        let bindings = &self.dispatches[number];
        let step = &self.plan.steps[number];
        // Buffers that the step writes are taken out, so that the rest can be borrowed for reading.
        let mut taken: [Buffer<T>; MOST_BINDINGS] = Default::default();
        for (bound, place) in bindings.iter().zip(&mut taken) {
            if bound.access == Access::Write {
                *place = std::mem::take(&mut self.buffers[bound.buffer]);
            }
        }
        let mut views = Views([const { View::Unbound }; MOST_BINDINGS]);
        for ((Bound { buffer, range, access, .. }, place), view) in bindings.iter().zip(&mut taken).zip(&mut views.0) {
            *view = match (access, place, &self.buffers[*buffer]) {
                (Access::Write, Buffer::Real(values), _) => View::Write(&mut values[range.clone()]),
                (Access::Write, Buffer::Words(words), _) => View::WriteWords(&mut words[range.clone()]),
                (Access::Read | Access::Constant, _, Buffer::Real(values)) => View::Read(&values[range.clone()]),
                (Access::Read | Access::Constant, _, Buffer::Words(words)) => View::ReadWords(&words[range.clone()]),
            };
        }
        let mut uniform = step.uniform;
        if step.kernel.repeats() {
            uniform.dims[1] = steps;
        }
        run(&step.kernel, &uniform, views, self.products, &mut self.scratch);
        for (bound, mut place) in bindings.iter().zip(taken) {
            if bound.access == Access::Write {
                if let (true, Buffer::Real(values)) = (bound.rounds, &mut place) {
                    T::round_to_half(&mut values[bound.range.clone()]);
                }
                self.buffers[bound.buffer] = place;
            }
        }
    }
}

impl<T: Real> Executor for CpuExecutor<T> {
    fn plan(&self) -> &Plan {
        &self.plan
    }

    fn write(&mut self, slot: Slot, offset: usize, values: &[f32]) -> Result<()> {
        let range = offset..offset + values.len();
        let index = locate(&self.plan, slot, &range, Element::Real)?;
        if let Buffer::Real(all) = &mut self.buffers[index] {
            put(&mut all[range], values, self.plan.slots[index].element);
        }
        Ok(())
    }

    fn stream(&mut self, slot: Slot, range: Range<usize>, pieces: &mut dyn Iterator<Item = &[f32]>) -> Result<()> {
        let index = locate(&self.plan, slot, &range, Element::Real)?;
        let (Buffer::Real(all), element) = (&mut self.buffers[index], self.plan.slots[index].element) else {
            return Ok(());
        };
        let mut place = &mut all[range.clone()];
        while !place.is_empty() {
            let missing = || Error::shape("the numbers to stream", range.len(), range.len() - place.len());
            let piece = pieces.next().ok_or_else(missing)?;
            let (now, rest) = place.split_at_mut(piece.len().min(place.len()));
            put(now, &piece[..now.len()], element);
            place = rest;
        }
        Ok(())
    }

    fn write_words(&mut self, slot: Slot, offset: usize, words: &[u32]) -> Result<()> {
        let range = offset..offset + words.len();
        let index = locate(&self.plan, slot, &range, Element::Word)?;
        if let Buffer::Words(all) = &mut self.buffers[index] {
            all[range].copy_from_slice(words);
        }
        Ok(())
    }

    fn run(&mut self, phases: &[Phase], times: usize) -> Result<()> {
        if self.parallel {
            // On a thread of the pool a dispatch is split without waking that thread anew each time.
            rayon::scope(|_| self.repeat(phases, times));
        } else {
            self.repeat(phases, times);
        }
        Ok(())
    }

    fn read(&mut self, slot: Slot, range: Range<usize>) -> Result<Readback> {
        locate(&self.plan, slot, &range, Element::Real)?;
        let values = self.values(slot)?[range].iter().map(|x| x.f64() as f32).collect();
        Ok(Readback(Box::pin(std::future::ready(Ok(values)))))
    }
}

/// Stores numbers as a slot of `element` holds them.
fn put<T: Real>(place: &mut [T], values: &[f32], element: Element) {
    match element {
        Element::Half => place.iter_mut().zip(values).for_each(|(to, &from)| *to = T::of(f16::from_f32(from).to_f64())),
        _ if TypeId::of::<T>() == TypeId::of::<f32>() => place.copy_from_slice(bytemuck::cast_slice(values)),
        _ => place.iter_mut().zip(values).for_each(|(to, &from)| *to = T::of(f64::from(from))),
    }
}
