//! The scalar type of the CPU side: `f32` for speed, `f64` for the proof.

use num_traits::Float;
use std::fmt::{Debug, Display};
use std::iter::Sum;
use std::ops::{AddAssign, MulAssign};

/// A floating-point type that every CPU twin is generic over.
pub trait Real:
    Float + Sum + AddAssign + MulAssign + Default + Debug + Display + bytemuck::Pod + Send + Sync + 'static
{
    /// Rounds an `f64` to this type.
    fn of(x: f64) -> Self;
    /// This value as `f64`; exact.
    fn f64(self) -> f64;
    /// The error function `2/√π ∫₀ˣ exp(-t²) dt`.
    fn erf(self) -> Self;
    /// `dst = lhs · rhs`, multithreaded.
    ///
    /// # Safety
    /// Each [`Strided`] must cover its whole matrix inside one allocation, and `dst` must overlap neither operand.
    unsafe fn gemm(shape: [usize; 3], dst: Strided<*mut Self>, lhs: Strided<*const Self>, rhs: Strided<*const Self>);
}

/// A matrix by its first element and the distance, in elements, to the next row and the next column.
#[derive(Clone, Copy, Debug)]
pub struct Strided<P> {
    /// The element in row 0 and column 0.
    pub first: P,
    /// Elements from one row to the next.
    pub row: usize,
    /// Elements from one column to the next.
    pub col: usize,
}

macro_rules! real {
    ($type:ident, $erf:path, $gemm:path) => {
        impl Real for $type {
            fn of(x: f64) -> Self {
                x as $type
            }
            fn f64(self) -> f64 {
                f64::from(self)
            }
            fn erf(self) -> Self {
                $erf(self)
            }
            unsafe fn gemm(
                [m, n, k]: [usize; 3],
                dst: Strided<*mut Self>,
                lhs: Strided<*const Self>,
                rhs: Strided<*const Self>,
            ) {
                let threads = gemm_common::Parallelism::Rayon(0);
                // The crate's kernels want a destination with contiguous columns. Ours is row-major, so the
                // transposed product is asked for: dstᵀ = rhsᵀ · lhsᵀ.
                // SAFETY: the caller vouches for the extents; `read_dst` is false, so `dst` is only written.
                unsafe {
                    $gemm()(
                        n,
                        m,
                        k,
                        dst.first,
                        dst.row as isize,
                        dst.col as isize,
                        false,
                        rhs.first,
                        rhs.row as isize,
                        rhs.col as isize,
                        lhs.first,
                        lhs.row as isize,
                        lhs.col as isize,
                        0.0,
                        1.0,
                        false,
                        false,
                        false,
                        threads,
                    );
                }
            }
        }
    };
}

real!(f32, libm::erff, gemm_f32::gemm::f32::get_gemm_fn);
real!(f64, libm::erf, gemm_f64::gemm::f64::get_gemm_fn);
