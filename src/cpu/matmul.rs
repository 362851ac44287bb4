use super::{Products, Views, for_row_blocks};
use crate::kernel::{Epilogue, Form};
use crate::network::Bias;
use crate::real::{Real, Strided};

/// `c = epilogue(A · B)`, `A` as `[m, k]`, `B` as `[k, n]`, `c` as `[m, n]`.
pub(super) fn matmul<T: Real>(
    [m, n, k, _]: [usize; 4],
    form: Form,
    epilogue: Epilogue,
    products: Products,
    mut views: Views<'_, T>,
) {
    let (a, b, c) = (views.read(0), views.read(1), &mut views.write(2)[..m * n]);
    match products {
        Products::Naive => product_naive([m, n, k], form, a, b, c),
        Products::Gemm => product_gemm([m, n, k], form, a, b, c),
    }
    match epilogue {
        Epilogue::Store => {}
        Epilogue::Forward { activation, bias, keep } => {
            let values = views.read(3);
            let bias_of = |j: usize| match bias {
                Bias::PerUnit => values[j],
                Bias::Shared => values[0],
                Bias::None => T::zero(),
            };
            for_row_blocks(c, n, |_, block| {
                for row in block.chunks_exact_mut(n) {
                    row.iter_mut().enumerate().for_each(|(j, z)| *z += bias_of(j));
                }
            });
            if keep {
                views.write(if bias == Bias::None { 3 } else { 4 }).copy_from_slice(c);
            }
            for_row_blocks(c, n, |_, block| block.iter_mut().for_each(|z| *z = activation.value(*z)));
        }
        Epilogue::Delta { activation } => {
            let stored = views.read(3);
            for_row_blocks(c, n, |first, block| {
                let stored = &stored[first * n..];
                block.iter_mut().zip(stored).for_each(|(d, &s)| *d *= activation.derivative(s));
            });
        }
    }
}

/// Where element `[row, col]` of the operands lies: (A's row and column step, B's).
fn steps([m, n, k]: [usize; 3], form: Form) -> [(usize, usize); 2] {
    match form {
        Form::Nn => [(k, 1), (n, 1)],
        Form::Nt => [(k, 1), (1, k)],
        Form::Tn => [(1, m), (n, 1)],
    }
}

/// The twin: sums over `k` in order.
fn product_naive<T: Real>(shape: [usize; 3], form: Form, a: &[T], b: &[T], c: &mut [T]) {
    let [_, n, k] = shape;
    let [(a_row, a_col), (b_row, b_col)] = steps(shape, form);
    for_row_blocks(c, n, |first, block| {
        for (at, value) in block.iter_mut().enumerate() {
            let (i, j) = (first + at / n, at % n);
            *value = (0..k).map(|k| a[i * a_row + k * a_col] * b[k * b_row + j * b_col]).sum();
        }
    });
}

fn product_gemm<T: Real>(shape: [usize; 3], form: Form, a: &[T], b: &[T], c: &mut [T]) {
    let [m, n, k] = shape;
    assert!(a.len() >= m * k && b.len() >= k * n && c.len() >= m * n, "a plan bound too little");
    let [(a_row, a_col), (b_row, b_col)] = steps(shape, form);
    // SAFETY: the lengths were just checked against the shape that the strides span, and `c` is borrowed mutably.
    unsafe {
        T::gemm(
            shape,
            Strided { first: c.as_mut_ptr(), row: n, col: 1 },
            Strided { first: a.as_ptr(), row: a_row, col: a_col },
            Strided { first: b.as_ptr(), row: b_row, col: b_col },
        );
    }
}
