fn first_of_b() -> u32 { return 0u; }
