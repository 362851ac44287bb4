// Cooperative matrices written out; every lane has all of them. [row, column] lies at row * SIZE + column.
fn load_a(first: u32) -> MatrixA {
  var matrix: MatrixA;
  for (var at = 0u; at < SIZE * SIZE; at++) {
    matrix[at] = f32(a_strip[first + at / SIZE * STRIDE + at % SIZE]);
  }
  return matrix;
}

// The strip's rows are the matrix's columns.
fn load_b(first: u32) -> MatrixB {
  var matrix: MatrixB;
  for (var at = 0u; at < SIZE * SIZE; at++) {
    matrix[at] = f32(b_strip[first + at % SIZE * STRIDE + at / SIZE]);
  }
  return matrix;
}

fn multiply_add(a: MatrixA, b: MatrixB, c: MatrixC) -> MatrixC {
  var left = a;
  var right = b;
  var sums = c;
  for (var at = 0u; at < SIZE * SIZE; at++) {
    for (var k = 0u; k < SIZE; k++) {
      sums[at] = fma(left[at / SIZE * SIZE + k], right[k * SIZE + at % SIZE], sums[at]);
    }
  }
  return sums;
}

fn store_c(c: MatrixC, first: u32) {
  var matrix = c;
  for (var at = 0u; at < SIZE * SIZE; at++) {
    finished[first + at] = matrix[at];
  }
}
