alias Operand = Element;
fn operand(x: Operand) -> Element { return x; }
fn to_operand(x: Element) -> Operand { return x; }
