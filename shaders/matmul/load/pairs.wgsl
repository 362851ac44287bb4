alias Operand = Pairs;
fn operand(x: Operand) -> Element { return of_pairs(x); }
fn to_operand(x: Element) -> Operand { return to_pairs(x); }
