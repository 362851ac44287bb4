use super::column_sum::sum_columns;
use super::elementwise::{activate, differentiate, multiply};
use super::update::{Update, part};
use super::{PerThread, Products, Views, at_least, for_row_blocks, light_rows, vectorized};
use crate::activation::Activation;
use crate::kernel::{Epilogue, Form, Uniform, part_length};
use crate::network::Bias;
use crate::optimizer::Rule;
use crate::real::{Real, Strided};
use std::ops::Range;

/// `c = epilogue(A · B)`, `A` as `[m, k]`, `B` as `[k, n]`, `c` as `[m, n]`.
pub(super) fn matmul<T: Real>(
    uniform: &Uniform,
    form: Form,
    epilogue: Epilogue,
    products: Products,
    mut views: Views<'_, T>,
    scratch: &mut Vec<T>,
) {
    let [m, n, k, parts] = uniform.dims.map(|d| d as usize);
    let product = Product { shape: [m, n, k], form, a: views.read(0), b: views.read(1) };
    if epilogue == Epilogue::Parts {
        return product.parts(&mut views.write(2)[..parts * m * n], parts, products);
    }
    if let Epilogue::Update { rule, .. } = epilogue {
        return product.update(rule, epilogue.bias_behind(m * n), uniform.hyper, products, views, scratch);
    }
    let c = &mut views.write(2)[..m * n];
    if let Epilogue::Delta { activation, apart } = epilogue {
        let stored = apart.then(|| &views.read(3)[..m * n]);
        return product.delta(activation, stored, c, products, scratch);
    }
    let operand = views.read(3);
    let (kept, kept_cols) = match epilogue {
        Epilogue::Forward { bias, keep: true, .. } => (views.write(if bias == Bias::None { 3 } else { 4 }), n),
        _ => (&mut [][..], 0),
    };
    let finish = |c: &mut [T], kept: &mut [T]| {
        let Epilogue::Forward { activation, bias, .. } = epilogue else { return };
        // As many rows at a time as stay in the nearest cache from one pass to the next.
        let strip = (NEAREST_CACHE / n).max(1) * n;
        for (i, c) in c.chunks_mut(strip).enumerate() {
            add_bias(c, n, bias, operand);
            if let Some(kept) = kept.chunks_mut(strip).nth(i) {
                kept.copy_from_slice(c);
            }
            activate(activation, c);
        }
    };

    if let Some(block) = product.block(products) {
        for_row_blocks(m, block, [(c, n), (kept, kept_cols)], |first, [c, kept]| {
            product.rows(first, c, products);
            finish(c, kept);
        });
    } else {
        product.gemm(0..m, 0..k, c, true);
        for_row_blocks(m, light_rows(n), [(c, n), (kept, kept_cols)], |_, [c, kept]| finish(c, kept));
    }
}

/// Elements of a product in parts that all threads share part by part, where there are fewer parts than threads.
const WORTH_SHARING: usize = 1 << 16;

/// Rows below which packing `B`, which each product of a block of rows does for itself, is not worth it.
const PACKED_ROWS: usize = 256;
/// Elements of a block that stays in a thread's own cache.
const CACHE: usize = 1 << 16;
/// Elements that stay in the nearest cache.
const NEAREST_CACHE: usize = 1 << 12;

/// `c[r, j] ← c[r, j] + bias[j]`
pub(super) fn add_bias<T: Real>(c: &mut [T], n: usize, bias: Bias, values: &[T]) {
    vectorized(
        #[inline(always)]
        || match bias {
            Bias::PerUnit => {
                for row in c.chunks_exact_mut(n) {
                    for (z, &b) in row.iter_mut().zip(values) {
                        *z += b;
                    }
                }
            }
            Bias::Shared => {
                for z in c {
                    *z += values[0];
                }
            }
            Bias::None => {}
        },
    );
}

/// A matrix product that is computed block by block.
struct Product<'a, T> {
    shape: [usize; 3],
    form: Form,
    a: &'a [T],
    b: &'a [T],
}

impl<T: Real> Product<'_, T> {
    /// Where element `[row, col]` of the operands lies: (A's row and column step, B's).
    fn steps(&self) -> [(usize, usize); 2] {
        let [m, n, k] = self.shape;
        match self.form {
            Form::Nn => [(k, 1), (n, 1)],
            Form::Nt => [(k, 1), (1, k)],
            Form::Tn => [(1, m), (n, 1)],
        }
    }

    /// The twin, for the rows of `c` from `first` on: sums over `depth` in order.
    fn naive(&self, first: usize, depth: Range<usize>, c: &mut [T]) {
        let n = self.shape[1];
        let [(a_row, a_col), (b_row, b_col)] = self.steps();
        for (at, value) in c.iter_mut().enumerate() {
            let (i, j) = (first + at / n, at % n);
            *value = depth.clone().map(|k| self.a[i * a_row + k * a_col] * self.b[k * b_row + j * b_col]).sum();
        }
    }

    /// The sums over `depth` for `rows` of the result by the `gemm` crate.
    fn gemm(&self, rows: Range<usize>, depth: Range<usize>, c: &mut [T], parallel: bool) {
        let [m, n, k] = self.shape;
        let (Self { a, b, .. }, [(a_row, a_col), (b_row, b_col)]) = (self, self.steps());
        assert!(a.len() >= m * k && b.len() >= k * n && c.len() >= rows.len() * n, "a plan bound too little");
        assert!(rows.end <= m && depth.end <= k);
        let a = &a[rows.start * a_row + depth.start * a_col..];
        let b = &b[depth.start * b_row..];
        // SAFETY: the lengths were just checked against the shape that the strides span, and the blocks against the
        // shape; `c` is borrowed mutably.
        unsafe {
            T::gemm(
                [rows.len(), n, depth.len()],
                Strided { first: c.as_mut_ptr(), row: n, col: 1 },
                Strided { first: a.as_ptr(), row: a_row, col: a_col },
                Strided { first: b.as_ptr(), row: b_row, col: b_col },
                parallel,
            );
        }
    }

    /// How many rows of the result a thread computes at a time, to finish them while they are in its cache; `None` where the
    /// `gemm` crate had better split the product.
    fn block(&self, products: Products) -> Option<usize> {
        let [m, n, k] = self.shape;
        match products {
            Products::Naive => Some(light_rows(n)),
            Products::Gemm if m >= 2 * PACKED_ROWS && k * n <= CACHE => Some((CACHE / n).min(m / 8).max(PACKED_ROWS)),
            Products::Gemm => None,
        }
    }

    /// The rows of the result from `first` on, by one thread.
    fn rows(&self, first: usize, c: &mut [T], products: Products) {
        let [_, n, k] = self.shape;
        match products {
            Products::Naive => self.naive(first, 0..k, c),
            Products::Gemm => self.gemm(first..first + c.len() / n, 0..k, c, false),
        }
    }

    /// `c ← (A · B) ⊙ f′(stored)`, where `c` is what was stored unless that is given.
    fn delta(
        &self,
        activation: Activation,
        stored: Option<&[T]>,
        c: &mut [T],
        products: Products,
        scratch: &mut Vec<T>,
    ) {
        let [m, n, k] = self.shape;
        let finish = |first: usize, c: &mut [T], sums: &[T]| {
            let chunks = c.chunks_mut(NEAREST_CACHE).zip(sums.chunks(NEAREST_CACHE));
            for (i, (c, sums)) in chunks.enumerate() {
                if let Some(stored) = stored {
                    c.copy_from_slice(&stored[first * n + i * NEAREST_CACHE..][..c.len()]);
                }
                differentiate(activation, c);
                multiply(c, sums);
            }
        };
        if let Some(block) = self.block(products) {
            let sums = PerThread::new(scratch, block.min(m) * n);
            for_row_blocks(m, block, [(c, n)], |first, [c]| {
                sums.with(|sums| {
                    let sums = &mut sums[..c.len()];
                    self.rows(first, sums, products);
                    finish(first, c, sums);
                });
            });
        } else {
            let sums = at_least(scratch, m * n);
            self.gemm(0..m, 0..k, sums, true);
            for_row_blocks(m, light_rows(n), [(c, n), (sums, n)], |first, [c, sums]| finish(first, c, sums));
        }
    }

    /// `c ← update(c, A · B)`, and where a bias lies behind it, the same for that with the sums of `A`'s columns, as it lies
    /// in memory.
    fn update(
        &self,
        rule: Rule,
        bias: Option<usize>,
        hyper: [f32; 4],
        products: Products,
        mut views: Views<'_, T>,
        scratch: &mut Vec<T>,
    ) {
        let [m, n, k] = self.shape;
        let update = Update::new(rule, views.entry(3), hyper);
        let [params, first, second] = [views.write(2), views.write(5), views.write(6)];
        let weight = [&mut *params, &mut *first, &mut *second].map(|arena| part(arena, 0, m * n));
        if let Some(block) = self.block(products) {
            let sums = PerThread::new(scratch, block.min(m) * n);
            let widths = update.widths().map(|width| width * n);
            let [params, first, second] = weight;
            let arenas = [(params, widths[0]), (first, widths[1]), (second, widths[2])];
            for_row_blocks(m, block, arenas, |row, arenas| {
                sums.with(|sums| {
                    let sums = &mut sums[..arenas[0].len()];
                    self.rows(row, sums, products);
                    update.run_alone(sums, arenas);
                });
            });
        } else {
            let sums = at_least(scratch, m * n);
            self.gemm(0..m, 0..k, sums, true);
            update.run(sums, weight);
        }
        if let Some(bias) = bias {
            let sums = sum_columns(&self.a[..k * m], m, scratch);
            update.run(sums, [params, first, second].map(|arena| part(arena, bias, m)));
        }
    }

    /// Each part of the sums as a matrix of its own, one behind the other.
    fn parts(&self, c: &mut [T], parts: usize, products: Products) {
        let [m, n, k] = self.shape;
        let length = part_length(k as u64, parts as u64) as usize;
        let depth = |part: usize| (part * length).min(k)..((part + 1) * length).min(k);
        let shares_each = m * n >= WORTH_SHARING && parts < rayon::current_num_threads();
        if let (Products::Gemm, true) = (products, shares_each) {
            for (part, sums) in c.chunks_exact_mut(m * n).take(parts).enumerate() {
                self.gemm(0..m, depth(part), sums, true);
            }
            return;
        }
        for_row_blocks(parts, 1, [(c, m * n)], |part, [sums]| {
            let depth = depth(part);
            match products {
                Products::Naive => self.naive(0, depth, sums),
                Products::Gemm => self.gemm(0..m, depth, sums, false),
            }
        });
    }
}
