// Cooperative matrices of 4×4 written out; every lane has all of them. WGSL's matrices are made of columns.
fn row_of_a(at: u32) -> vec4<f32> {
  return vec4<f32>(vec4<f16>(a_strip[at], a_strip[at + 1u], a_strip[at + 2u], a_strip[at + 3u]));
}

fn load_a(first: u32) -> MatrixA {
  let rows = MatrixA(
    row_of_a(first), row_of_a(first + STRIDE), row_of_a(first + 2u * STRIDE), row_of_a(first + 3u * STRIDE));
  return transpose(rows);
}

// The strip's rows are the matrix's columns.
fn column_of_b(at: u32) -> vec4<f32> {
  return vec4<f32>(vec4<f16>(b_strip[at], b_strip[at + 1u], b_strip[at + 2u], b_strip[at + 3u]));
}

fn load_b(first: u32) -> MatrixB {
  return MatrixB(
    column_of_b(first), column_of_b(first + STRIDE), column_of_b(first + 2u * STRIDE), column_of_b(first + 3u * STRIDE));
}

fn multiply_add(a: MatrixA, b: MatrixB, c: MatrixC) -> MatrixC { return a * b + c; }

fn store_c(c: MatrixC, first: u32) {
  var rows = transpose(c);
  for (var i = 0u; i < SIZE; i++) {
    finished[first + i * SIZE] = rows[i].x;
    finished[first + i * SIZE + 1u] = rows[i].y;
    finished[first + i * SIZE + 2u] = rows[i].z;
    finished[first + i * SIZE + 3u] = rows[i].w;
  }
}
