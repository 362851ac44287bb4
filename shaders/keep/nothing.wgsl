fn keep(at: u32, z: Element) {}
