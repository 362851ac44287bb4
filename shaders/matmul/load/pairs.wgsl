alias Operand = Pairs;
fn operand(x: Operand) -> Element { return of_pairs(x); }
