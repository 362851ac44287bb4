//! Who runs a plan: the seam between what is computed and where.

use crate::kernel::Element;
use crate::plan::{Phase, Plan, ScheduleEntry, Slot, SlotInfo};
use crate::{Error, Result};
use std::future::Future;
use std::ops::Range;
use std::pin::Pin;

/// Holds the slots of a plan and runs its steps. There is one on the GPU and one on the CPU.
pub trait Executor: Send {
    /// The plan that it runs.
    fn plan(&self) -> &Plan;

    /// Writes numbers into a slot, from element `offset` on.
    fn write(&mut self, slot: Slot, offset: usize, values: &[f32]) -> Result<()>;

    /// Writes words into a slot, from element `offset` on.
    fn write_words(&mut self, slot: Slot, offset: usize, words: &[u32]) -> Result<()>;

    /// Writes `pieces`, one behind the other, into the elements `range` of a slot, behind the work handed over so far: what
    /// runs still reads the elements as they were. What `range` does not take is left. On the GPU the numbers pass through
    /// a ring of staging buffers, so that nothing is allocated and nothing waits until the ring is full.
    fn stream(&mut self, slot: Slot, range: Range<usize>, pieces: &mut dyn Iterator<Item = &[f32]>) -> Result<()>;

    /// Runs the steps of the given phases in the order of the plan, all of them `times` times. Returns once the work is
    /// handed over; only [`Readback::wait`] waits for its end.
    fn run(&mut self, phases: &[Phase], times: usize) -> Result<()>;

    /// Begins to read elements of a slot as they are after the work handed over so far.
    fn read(&mut self, slot: Slot, range: Range<usize>) -> Result<Readback>;

    /// Like [`Executor::run`], and begins to read elements of a slot as they are after the forward pass of each of the
    /// `times`: one behind the other in one read-back. Later phases may put something else in the place of the output.
    fn run_and_read(&mut self, phases: &[Phase], times: usize, slot: Slot, range: Range<usize>) -> Result<Readback> {
        let mut all = Vec::with_capacity(times * range.len());
        let (forward, rest) = behind_forward(phases);
        for _ in 0..times {
            self.run(forward, 1)?;
            all.extend(self.read(slot, range.clone())?.wait()?);
            self.run(rest, 1)?;
        }
        Ok(Readback(Box::pin(std::future::ready(Ok(all)))))
    }

    /// The buffer behind a slot, for programs that share the device; `None` on the CPU.
    fn buffer(&self, _slot: Slot) -> Option<&wgpu::Buffer> {
        None
    }

    /// Writes the schedule of the next steps and sets the clock back to its first entry.
    fn schedule(&mut self, entries: &[ScheduleEntry]) -> Result<()> {
        self.write_words(Slot::Schedule, 0, bytemuck::cast_slice(entries))?;
        self.write_words(Slot::Clock, 0, &[0])
    }
}

/// Numbers on their way back from the device.
#[must_use = "reading back has no effect unless it is waited for"]
pub struct Readback(pub(crate) Pin<Box<dyn Future<Output = Result<Vec<f32>>> + Send>>);

impl Readback {
    /// Waits in an async context: the form for browsers, where it does not block. Elsewhere it drives the device meanwhile.
    pub async fn get(self) -> Result<Vec<f32>> {
        self.0.await
    }

    /// Blocks until the numbers are here.
    pub fn wait(self) -> Result<Vec<f32>> {
        pollster::block_on(self.0)
    }
}

/// The phases up to the forward pass, and those behind it.
pub(crate) fn behind_forward(phases: &[Phase]) -> (&[Phase], &[Phase]) {
    let at = phases.iter().position(|&phase| phase == Phase::Forward).map_or(phases.len(), |at| at + 1);
    phases.split_at(at)
}

/// Finds a slot and checks that `range` lies inside it and that it holds elements of the wanted type.
pub(crate) fn locate(plan: &Plan, slot: Slot, range: &Range<usize>, element: Element) -> Result<usize> {
    let missing = || Error::Config(format!("this plan has no slot {slot}"));
    let index = plan.slots.iter().position(|info| info.slot == slot).ok_or_else(missing)?;
    let SlotInfo { len, element: found, .. } = plan.slots[index];
    // Numbers are written and read as f32, whatever they are stored as.
    let fits = found == element || (found, element) == (Element::Half, Element::Real);
    if range.end > len || !fits {
        let expected = format!("elements inside 0..{len} of type {found:?}");
        return Err(Error::shape(format!("slot {slot}"), expected, format!("{range:?} of type {element:?}")));
    }
    Ok(index)
}
