// A workgroup is one subgroup.
const WORKGROUP: u32 = 8u;

// On a software rasteriser the lanes of a subgroup are those of one vector: what one has stored, the others see. A barrier
// would cut the program into coroutines, which takes almost half of its speed.
fn synchronize() {}
fn share() {}
