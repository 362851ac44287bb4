//! The twins of mixed precision: those of f32, which take what lies in a slot of halves as it was rounded.

use super::{Products, View, Views, adapt, cast, loss, loss_sum, run, unscale, update};
use crate::activation::Stored;
use crate::kernel::mixed::FIRST_LOG_SCALE;
use crate::kernel::{Epilogue, Kernel, Mixed, Uniform};
use crate::real::Real;

/// The logarithm to base 2 of the dynamic loss scale.
pub(super) fn log_scale<T: Real>(scaler: &[T]) -> i32 {
    FIRST_LOG_SCALE + scaler[0].f64() as i32
}

pub(super) fn mixed<T: Real>(
    mixed: Mixed,
    uniform: &Uniform,
    mut views: Views<'_, T>,
    products: Products,
    scratch: &mut Vec<T>,
) {
    let dims = uniform.dims.map(|d| d as usize);
    match mixed {
        Mixed::Cast => cast::cast(dims, views),
        Mixed::Unscale => unscale::unscale(dims, views),
        Mixed::Adapt => {
            let (scaler, overflow) = (views.write(0), views.write_words(1));
            adapt::adapt(scaler, overflow[0] != 0);
            overflow[0] = 0;
        }
        Mixed::LossSum => {
            let overflows = &views.read(0)[dims[0]..][..dims[0]];
            adapt::adapt(views.write(3), overflows.iter().any(|&overflow| overflow > T::zero()));
            loss_sum::loss_sum(dims, views);
        }
        Mixed::Loss { loss, activation } => {
            let scaler = if activation.stored() == Stored::Preactivation { 6 } else { 5 };
            let scale = T::of(f64::from(log_scale(views.read(scaler))).exp2());
            loss::loss(dims, loss, activation, scale, views, scratch);
        }
        Mixed::Update(rule) => {
            let overflow = 4 + rule.states();
            if views.words(overflow)[0] == 0 {
                update::update(dims, rule, uniform.hyper, views);
            }
        }
        Mixed::Matmul { form, epilogue } => {
            if let (View::Read(b), true) = (&mut views.0[1], epilogue != Epilogue::Parts) {
                *b = &b[dims[3]..];
            }
            run(&Kernel::Matmul { form, epilogue }, uniform, views, products, scratch);
        }
        Mixed::Gather => run(&Kernel::Gather, uniform, views, products, scratch),
        Mixed::ColumnSum => run(&Kernel::ColumnSum, uniform, views, products, scratch),
    }
}
