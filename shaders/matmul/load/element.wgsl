alias Operand = Element;
fn operand(x: Operand) -> Element { return x; }
