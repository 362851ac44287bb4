//! A ring of buffers that the host fills and the device copies from: what is streamed to the device passes through it
//! without allocating, while earlier work still runs.

use super::{Gpu, lock};
use crate::plan::{Plan, Slot};
use crate::{Error, Result};
use std::collections::VecDeque;
use std::ops::Range;
use std::sync::{Arc, Mutex};

/// Bytes in one buffer of the ring at most.
const PIECE: u64 = 4 << 20;

/// Buffers in the ring at least, once they are needed: small batches do not wait for each other.
const LEAST: usize = 8;

/// The ring. Its buffers are made when they are first needed, and mapped again as soon as they were copied from.
pub(super) struct Uploads {
    /// Bytes in each buffer.
    size: u64,
    /// Buffers at most: what the largest part needs, so that a part can be written while the part before is trained.
    most: usize,
    /// Mapped buffers.
    ready: Arc<Mutex<Vec<wgpu::Buffer>>>,
    /// For each buffer the submission that copied from it last, oldest first.
    last_used: VecDeque<wgpu::SubmissionIndex>,
}

impl Uploads {
    pub(super) fn new(plan: &Plan) -> Self {
        let fed = [Slot::Input, Slot::Target, Slot::DataInputs, Slot::DataTargets];
        let lens = || fed.iter().filter_map(|&slot| plan.slot(slot)).map(|info| 4 * info.len as u64);
        let size = lens().max().unwrap_or(0).clamp(4, PIECE);
        let pieces = lens().map(|len| len.div_ceil(size) as usize).sum::<usize>();
        Uploads { size, most: LEAST.max(pieces + 2), ready: Arc::default(), last_used: VecDeque::new() }
    }

    /// Copies `pieces`, one behind the other, into the elements `range` of `target`, behind the work handed over so far.
    /// Waits only where the whole ring is in use.
    pub(super) fn write(
        &mut self,
        gpu: &Gpu,
        target: &wgpu::Buffer,
        range: Range<usize>,
        pieces: &mut dyn Iterator<Item = &[f32]>,
    ) -> Result<()> {
        let (start, end) = (4 * range.start as u64, 4 * range.end as u64);
        let mut piece: &[u8] = &[];
        let mut at = start;
        while at < end {
            let bytes = self.size.min(end - at);
            let staging = self.take(gpu)?;
            let unmapped = |error: wgpu::MapRangeError| {
                Error::Device(format!("{} took a staging buffer away: {error}", gpu.info.name))
            };
            let mut view = staging.get_mapped_range_mut(0..bytes).map_err(unmapped)?;
            let mut filled = 0;
            while filled < bytes as usize {
                if piece.is_empty() {
                    let missing = || {
                        let found = (at - start) as usize / 4 + filled / 4;
                        Error::shape("the numbers to stream", range.len(), found)
                    };
                    piece = bytemuck::cast_slice(pieces.next().ok_or_else(missing)?);
                }
                let (now, later) = piece.split_at(piece.len().min(bytes as usize - filled));
                view.slice(filled..filled + now.len()).copy_from_slice(now);
                filled += now.len();
                piece = later;
            }
            drop(view);
            staging.unmap();
            let mut encoder = gpu.device.create_command_encoder(&wgpu::CommandEncoderDescriptor::default());
            encoder.copy_buffer_to_buffer(&staging, 0, target, at, bytes);
            self.last_used.push_back(gpu.queue.submit([encoder.finish()]));
            let (ready, mapped) = (self.ready.clone(), staging.clone());
            staging.map_async(wgpu::MapMode::Write, .., move |result| {
                // A buffer that cannot be mapped again is left out; the ring makes another one.
                if result.is_ok() {
                    lock(&ready).push(mapped);
                }
            });
            at += bytes;
        }
        gpu.check()
    }

    /// A mapped buffer: one that is ready, else a new one, else the one that has waited longest.
    fn take(&mut self, gpu: &Gpu) -> Result<wgpu::Buffer> {
        let lost = |error: wgpu::PollError| Error::Device(format!("{} did not take its data: {error}", gpu.info.name));
        gpu.device.poll(wgpu::PollType::Poll).map_err(lost)?;
        let mut ready = lock(&self.ready).pop();
        if ready.is_some() {
            self.last_used.pop_front();
        } else if self.last_used.len() >= self.most {
            let submission_index = self.last_used.pop_front();
            gpu.device.poll(wgpu::PollType::Wait { submission_index, timeout: None }).map_err(lost)?;
            ready = lock(&self.ready).pop();
        }
        Ok(ready.unwrap_or_else(|| {
            gpu.device.create_buffer(&wgpu::BufferDescriptor {
                label: Some("wgrad.upload"),
                size: self.size,
                usage: wgpu::BufferUsages::MAP_WRITE | wgpu::BufferUsages::COPY_SRC,
                mapped_at_creation: true,
            })
        }))
    }
}
