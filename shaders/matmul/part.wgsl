// What a workgroup computes: terms `begin .. end` of the sums of a row of tiles. `first_row` is the row of `c` at which its
// result begins.
struct Part {
  row_of_groups: u32,
  begin: u32,
  end: u32,
  first_row: u32,
}
