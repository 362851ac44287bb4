"""Writes pytorch.json: expressions with their values, first and second derivatives by PyTorch's double backward, in float64.

    pip install torch && python tests/data/graph/pytorch.py

The texts are those that wgrad parses. Most points are ordinary; the rest lie on kinks and at the ends of domains.
"""

import json
import re
from pathlib import Path

import torch

NAMES = {
    **{name: getattr(torch, name) for name in "exp log sqrt abs sin cos tanh sigmoid relu erf pow".split()},
    # Without PyTorch's shortcut for arguments above 20.
    "softplus": lambda x: torch.nn.functional.softplus(x, threshold=1e3),
    "min": lambda x, y: torch.minimum(number(x), number(y)),
    "max": lambda x, y: torch.maximum(number(x), number(y)),
    "select": lambda condition, a, b: torch.where(condition, number(a), number(b)),
    "pi": torch.pi,
}

ORDINARY = [(0.7, 1.3), (1.9, 0.4), (2.5, 2.1)]
SMOOTH = """x + y
x - y
x * y
x / y
-x * y
x^2 * y
x^3 + y^-2
x^0.5 * y
x^-1.5 + y
x^y
pow(x, y) * y
pow(2, x) * y
exp(x * y)
log(x) / y
sqrt(x * y)
sin(x) * cos(y)
tanh(x - y)
sigmoid(x * y)
softplus(x - 2 * y)
erf(x - y)
abs(x - y) * x
relu(x - y) * y
min(x, y) * x
max(x * x, y)
select(x < y, x * y, x^2)
select(x >= y, exp(x), y^3)
select(x == y, x, y) + select(x != y, x^2, y)
select(abs(y - x) < 1, 0.5 * (y - x)^2, abs(y - x) - 0.5)
exp(-x^2 / y) / (1 + exp(-x * y))
log(1 + x^2 * exp(sin(y)))
x * tanh(softplus(y)) - sqrt(1 + x^2) * erf(y / 2)
max(sin(x), cos(y)) ^ 2 + min(x, 1.2) ^ 3
x / (y / (x / (y + 1)))
(x + y)^5 - (x - y)^4"""

KINKS = [
    ("abs(x)", 0, 1),
    ("abs(x) * y", 0, 2),
    ("abs(x - y)", 1.5, 1.5),
    ("abs(x)^3", 0, 1),
    ("relu(x)", 0, 1),
    ("relu(x) * y", 0, 3),
    ("relu(x)^2", 0, 1),
    ("min(x, y)", 2, 2),
    ("max(x, y)", 2, 2),
    ("min(x, y) * x", 2, 2),
    ("max(x^2, y)", 2, 4),
    ("max(x, 0) * y", 0, 3),
    ("min(-x, x)", 0, 1),
    ("x^2", 0, 1),
    ("x^3", 0, 1),
    ("x^1", 0, 1),
    ("x^0", 0, 1),
    ("x^-1", 2, 1),
    ("x^2", -3, 1),
    ("x^3 * y", -1.5, 2),
    ("x^1.5", 0, 1),
    ("x^2.5", 0, 1),
    ("x^0.5", 0, 1),
    ("pow(x, y)", 0, 2),
    ("pow(x, y)", 0, 3),
    ("pow(x, y)", 0, 0),
    ("pow(x, y)", 2, 0),
    ("pow(x, y)", 1, 1),
    ("pow(x, y)", 0, 0.5),
    ("pow(x, y)", -2, 3),
    ("sqrt(x)", 0, 1),
    ("sqrt(x) * y", 0, 2),
    ("exp(x)", 0, 0),
    ("log(x)", 1, 0),
    ("tanh(x) + sigmoid(y)", 0, 0),
    ("softplus(x) + erf(y)", 0, 0),
    ("select(x < y, x^2, y^2)", 2, 2),
    ("select(x <= y, x^2, y^2)", 2, 2),
    ("select(x > 0, x * y, -x * y)", 0, 2),
    ("select(x == 0, 3 * y, x)", 0, 2),
    ("exp(x)", -700, 0),
    ("softplus(x) + sigmoid(y)", 30, -30),
    ("tanh(x) + erf(y)", 50, -50),
]


def number(x):
    return x if torch.is_tensor(x) else torch.tensor(float(x), dtype=torch.float64)


def evaluate(text, x, y):
    return number(eval(re.sub(r"\^", "**", text), {"__builtins__": {}}, {**NAMES, "x": x, "y": y}))


def derivatives(value, inputs):
    """The derivatives of `value`; 0 where it does not depend on an input."""
    zeros = [torch.zeros_like(x) for x in inputs]
    if not value.requires_grad:
        return zeros
    found = torch.autograd.grad(value, inputs, create_graph=True, allow_unused=True)
    return [zero if gradient is None else gradient for gradient, zero in zip(found, zeros)]


def case(text, x, y):
    inputs = [torch.tensor(float(x), dtype=torch.float64, requires_grad=True) for x in (x, y)]
    value = evaluate(text, *inputs)
    first = derivatives(value, inputs)
    second = [gradient for slope in first for gradient in derivatives(slope, inputs)]
    # As text, since JSON has no infinity.
    numbers = [repr(number.item()) for number in [value, *first, *second]]
    return {"text": text, "inputs": [float(x), float(y)], "outputs": numbers}


cases = [case(text, x, y) for text in SMOOTH.split("\n") for x, y in ORDINARY]
cases += [case(text, x, y) for text, x, y in KINKS]
lines = ",\n".join(json.dumps(case) for case in cases)
Path(__file__).with_suffix(".json").write_text(f"[\n{lines}\n]\n")
