// c = epilogue(A · B) with A as [m, k], B as [k, n], c as [m, n]; dims: m, n, k. How A and B lie in memory is the form's
// business, what happens to a sum before it is stored the epilogue's.

@group(0) @binding(1) var<storage, read> a: array<Operand>;
@group(0) @binding(2) var<storage, read> b: array<Operand>;
@group(0) @binding(3) var<storage, read_write> c: array<Operand>;
