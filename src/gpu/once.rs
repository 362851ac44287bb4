//! A text that runs once, between two buffers: for checks.

use super::Gpu;
use crate::{Error, Result};

impl Gpu {
    /// Runs `wgsl`, whose `main` reads f32 numbers from binding 0 and writes others to binding 1, in so many workgroups. The
    /// outputs are NaN before.
    ///
    /// # Errors
    /// Where the driver refuses the text or reports a fault.
    pub(crate) fn run_once(&self, wgsl: &str, inputs: &[f32], outputs: usize, workgroups: u32) -> Result<Vec<f32>> {
        let ((submission, back), refused) = self.guarded(|| self.submit_once(wgsl, inputs, outputs, workgroups));
        if let Some(error) = refused {
            return Err(Error::Device(format!("{} cannot run expressions: {error}", self.info().name)));
        }
        back.slice(..).map_async(wgpu::MapMode::Read, |_| {});
        self.wait(submission)?;
        let lost = |why| Error::Device(format!("{} did not give its results: {why}", self.info().name));
        let view = back.slice(..).get_mapped_range().map_err(lost)?;
        Ok(bytemuck::cast_slice(&view).to_vec())
    }

    /// What [`Gpu::run_once`] submits, and the buffer that the outputs are copied to.
    fn submit_once(
        &self,
        wgsl: &str,
        inputs: &[f32],
        outputs: usize,
        workgroups: u32,
    ) -> (wgpu::SubmissionIndex, wgpu::Buffer) {
        let Gpu { device, queue, .. } = self;
        let label = Some("wgrad.check");
        let source = wgpu::ShaderSource::Wgsl(wgsl.into());
        let module = device.create_shader_module(wgpu::ShaderModuleDescriptor { label, source });
        let pipeline = device.create_compute_pipeline(&wgpu::ComputePipelineDescriptor {
            label,
            layout: None,
            module: &module,
            entry_point: Some("main"),
            compilation_options: wgpu::PipelineCompilationOptions::default(),
            cache: None,
        });
        let buffer = |len: usize, usage| {
            let size = (len * size_of::<f32>()) as u64;
            device.create_buffer(&wgpu::BufferDescriptor { label, size, usage, mapped_at_creation: false })
        };
        use wgpu::BufferUsages as Usage;
        let given = buffer(inputs.len(), Usage::STORAGE | Usage::COPY_DST);
        let written = buffer(outputs, Usage::STORAGE | Usage::COPY_DST | Usage::COPY_SRC);
        let back = buffer(outputs, Usage::MAP_READ | Usage::COPY_DST);
        queue.write_buffer(&given, 0, bytemuck::cast_slice(inputs));
        queue.write_buffer(&written, 0, bytemuck::cast_slice(&vec![f32::NAN; outputs]));
        let [first, second] = [(0, &given), (1, &written)]
            .map(|(binding, buffer)| wgpu::BindGroupEntry { binding, resource: buffer.as_entire_binding() });
        let group = device.create_bind_group(&wgpu::BindGroupDescriptor {
            label,
            layout: &pipeline.get_bind_group_layout(0),
            entries: &[first, second],
        });
        let mut encoder = device.create_command_encoder(&wgpu::CommandEncoderDescriptor { label });
        {
            let mut pass = encoder.begin_compute_pass(&wgpu::ComputePassDescriptor { label, timestamp_writes: None });
            pass.set_pipeline(&pipeline);
            pass.set_bind_group(0, &group, &[]);
            pass.dispatch_workgroups(workgroups, 1, 1);
        }
        encoder.copy_buffer_to_buffer(&written, 0, &back, 0, back.size());
        (queue.submit([encoder.finish()]), back)
    }
}
