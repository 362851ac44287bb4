fn bias_of(j: u32) -> Element { return Element(0.0); }
