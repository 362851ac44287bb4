//! Which cooperative matrices a device has, and whether they compute what they should: drivers are known that say they
//! have them and err.

use super::Gpu;
use crate::activation::Activation;
use crate::check::kernels::check;
use crate::device::Device;
use crate::kernel::fused::{Pass, Source};
use crate::kernel::{Cooperative, Epilogue, Form, Fused, Kernel, Mixed, Variant};
use crate::loss::Loss;
use crate::network::{Bias, Network};
use crate::precision::Precision;
use std::sync::Arc;
use wgpu::{CooperativeMatrixProperties, CooperativeScalarType};

/// The variable that switches cooperative matrices off, whatever the adapter has.
const SWITCHED_OFF: &str = "WGRAD_NO_COOPERATIVE_MATRIX";

/// Whether [`SWITCHED_OFF`] is set to anything but nothing and 0.
pub(super) fn switched_off() -> bool {
    std::env::var(SWITCHED_OFF).is_ok_and(|value| !matches!(value.as_str(), "" | "0"))
}

/// The square matrices of f16 with sums in f32 among `properties`, the largest first, each in tiles of both sizes where
/// `workgroup_memory`, in bytes, takes them.
pub(super) fn candidates(
    properties: &[CooperativeMatrixProperties],
    subgroup: Option<u32>,
    workgroup_memory: u32,
) -> Vec<Cooperative> {
    // Four subgroups are a workgroup.
    let Some(lanes) = subgroup.filter(|lanes| *lanes <= 64) else { return Vec::new() };
    let offered = |size: &u32| {
        properties.iter().any(|p| {
            [p.m_size, p.n_size, p.k_size] == [*size; 3]
                && p.ab_type == CooperativeScalarType::F16
                && p.cr_type == CooperativeScalarType::F32
        })
    };
    let sizes = [16, 8].into_iter().filter(offered).map(|size| Cooperative::new(size, lanes));
    let tiles = sizes.flat_map(|usual| [usual, usual.enlarged()]);
    tiles.filter(|matrices| matrices.workgroup_bytes() <= workgroup_memory).collect()
}

/// Rows and columns from which on enlarged tiles are many enough to be worth a measurement.
const WORTH_ENLARGING: u32 = 512;

impl Gpu {
    /// The variants of `kernel` by cooperative matrices that the device offers, proven or not.
    pub(crate) fn cooperative_variants(&self, kernel: &Kernel) -> Vec<Variant> {
        match kernel {
            Kernel::Fused(fused) if fused.takes_matrices() => {
                self.cooperative.iter().copied().map(Variant::Cooperative).collect()
            }
            Kernel::Mixed(Mixed::Matmul { .. }) => {
                let both = |matrices: &Cooperative| [*matrices, matrices.on_vectors()].map(Variant::Cooperative);
                self.cooperative.iter().flat_map(both).collect()
            }
            _ => Vec::new(),
        }
    }

    /// The cooperative matrices that passed their self-test, which the first call runs: of one size, in one or two tiles.
    pub fn cooperative(self: &Arc<Self>) -> &[Cooperative] {
        self.trusted.get_or_init(|| {
            let mut passed: Vec<Cooperative> = Vec::new();
            for &matrices in &self.cooperative {
                if passed.first().is_none_or(|first| first.size == matrices.size) && passes(self, matrices) {
                    passed.push(matrices);
                }
            }
            passed
        })
    }

    /// The variants by cooperative matrices for a dispatch of `kernel`, where it has some worth it, the most likely first.
    pub(super) fn cooperative_for(self: &Arc<Self>, kernel: &Kernel, dims: [u32; 4]) -> Vec<Variant> {
        let (worth_it, large) = match kernel {
            Kernel::Mixed(Mixed::Matmul { .. }) => {
                (dims[0].min(dims[1]) >= 16, dims[0].min(dims[1]) >= WORTH_ENLARGING)
            }
            // A slab is as wide as a layer: an enlarged tile takes all of it.
            Kernel::Fused(fused) => (fused.takes_matrices(), true),
            _ => (false, false),
        };
        let trusted = if worth_it { self.cooperative() } else { &[] };
        let wanted = trusted.iter().filter(|matrices| large || **matrices == trusted[0]);
        let best = wanted.map(|matrices| {
            let vectors = Variant::Cooperative(matrices.on_vectors());
            if kernel.runs(vectors, dims) { vectors } else { Variant::Cooperative(*matrices) }
        });
        best.collect()
    }

    /// Why [`Gpu::cooperative`] is what it is, as a clause.
    pub(crate) fn cooperative_reason(self: &Arc<Self>) -> String {
        let name = &self.info.name;
        match self.cooperative().first() {
            Some(Cooperative { size, .. }) => {
                format!("the cooperative matrices of {name}, {size}×{size}, passed their self-test")
            }
            None if switched_off() => format!("{SWITCHED_OFF} switches cooperative matrices off"),
            None if self.cooperative.is_empty() => {
                format!("{name} offers no cooperative matrices of f16 with sums in f32")
            }
            None => format!("the cooperative matrices of {name} failed their self-test"),
        }
    }
}

/// Whether products of every form and epilogue, whole tiles and none, and those of a fused step agree with their twins.
fn passes(gpu: &Arc<Gpu>, matrices: Cooperative) -> bool {
    let device = Device::Gpu(gpu.clone());
    let activation = Activation::Tanh;
    let forward = Epilogue::Forward { activation, bias: Bias::PerUnit, keep: false };
    let products = [
        (Form::Nn, Epilogue::Store),
        (Form::Nt, Epilogue::Store),
        (Form::Tn, Epilogue::Store),
        (Form::Nt, forward),
        (Form::Nn, Epilogue::Delta { activation, apart: false }),
    ];
    let shapes = [[1, 1, 1, 0], [64, 64, 64, 64], [65, 63, 47, 0], [132, 68, 36, 64], [130, 70, 129, 128]];
    let in_parts = [[65, 63, 147, 3], [36, 68, 131, 5]].map(|dims| ((Form::Tn, Epilogue::Parts), dims));
    let products = products.into_iter().flat_map(|product| shapes.map(|dims| (product, dims))).chain(in_parts);
    let products = products.map(|((form, epilogue), dims)| (Kernel::Mixed(Mixed::Matmul { form, epilogue }), dims));
    let network = Network::new(20).dense(65, activation).dense(48, Activation::Gelu).dense(9, Activation::Linear);
    let pass = Pass::Training { loss: Loss::SoftmaxCrossEntropy, source: Source::EveryGradient };
    let fused = Kernel::Fused(Arc::new(Fused { network, pass, precision: Precision::F16 }));
    let steps = [[33, 32, 0, 0], [300, 288, 0, 0]].map(|dims| (fused.clone(), dims));
    products.chain(steps).all(|(kernel, dims)| {
        let mut variants = [matrices, matrices.on_vectors()].map(Variant::Cooperative).into_iter();
        variants.all(|variant| {
            !kernel.runs(variant, dims) || matches!(check(&device, &kernel, variant, dims, 0, &|_| {}), Ok(Ok(_)))
        })
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_what_the_kernel_needs_is_a_candidate() {
        use CooperativeScalarType::{F16, F32};
        let offer = |[m_size, n_size, k_size]: [u32; 3], ab_type, cr_type| CooperativeMatrixProperties {
            m_size,
            n_size,
            k_size,
            ab_type,
            cr_type,
            saturating_accumulation: false,
        };
        let nvidia = [offer([16, 8, 16], F16, F32), offer([16; 3], F16, F16), offer([16; 3], F16, F32)];
        let usual = Cooperative::new(16, 32);
        assert_eq!(candidates(&nvidia, Some(32), 48 << 10), [usual, usual.enlarged()]);
        assert_eq!(candidates(&nvidia, Some(32), 16 << 10), [usual], "what WebGPU promises takes the usual tile alone");
        assert_eq!(candidates(&nvidia, None, 48 << 10), []);
        assert_eq!(candidates(&nvidia, Some(128), 48 << 10), []);
        assert_eq!(candidates(&nvidia[..2], Some(32), 48 << 10), []);
        let apple = [offer([8; 3], F32, F32), offer([8; 3], F16, F32)];
        assert_eq!(candidates(&apple, Some(32), 16 << 10), [Cooperative::new(8, 32)]);
    }
}
