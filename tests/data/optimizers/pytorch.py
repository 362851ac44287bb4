"""Writes pytorch.json: a hundred steps of every optimizer by PyTorch, in double precision, on made-up gradients.

python3 pytorch.py > pytorch.json     (PyTorch 2; Lion by its published rule, which PyTorch lacks)
"""

import json
import math

import torch

STEPS, LENGTH = 100, 5
START = [0.5, -1.0, 0.25, 2.0, -0.125]


def gradient(step, i):
    return float(torch.tensor(math.sin(0.7 * step + 1.3 * i) * (0.2 + 0.5 * i) + 0.1, dtype=torch.float32))


class Lion(torch.optim.Optimizer):
    """Chen et al. 2023, algorithm 2."""

    def __init__(self, params, lr, betas, weight_decay):
        super().__init__(params, dict(lr=lr, betas=betas, weight_decay=weight_decay))

    def step(self):
        for group in self.param_groups:
            for p in group["params"]:
                m = self.state[p].setdefault("m", torch.zeros_like(p))
                (b1, b2), lr = group["betas"], group["lr"]
                direction = torch.sign(b1 * m + (1 - b1) * p.grad)
                p.data.add_(direction + group["weight_decay"] * p.data, alpha=-lr)
                m.mul_(b2).add_(p.grad, alpha=1 - b2)


O = torch.optim
CASES = [
    ("sgd", 0.01, {}, O.SGD, {}),
    ("sgd", 0.01, {"weight_decay": 0.1}, O.SGD, {"weight_decay": 0.1}),
    ("momentum", 0.01, {"momentum": 0.9}, O.SGD, {"momentum": 0.9}),
    ("momentum", 0.01, {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}, O.SGD,
     {"momentum": 0.8, "nesterov": True, "weight_decay": 0.1}),
    ("adam", 0.01, {}, O.Adam, {}),
    ("adam", 0.01, {"beta1": 0.8, "beta2": 0.99, "epsilon": 1e-3, "weight_decay": 0.1}, O.Adam,
     {"betas": (0.8, 0.99), "eps": 1e-3, "weight_decay": 0.1}),
    ("adamw", 0.01, {}, O.AdamW, {}),
    ("adamw", 0.01, {"weight_decay": 0.3}, O.AdamW, {"weight_decay": 0.3}),
    ("rmsprop", 0.01, {}, O.RMSprop, {}),
    ("rmsprop", 0.01, {"alpha": 0.9, "epsilon": 1e-3, "weight_decay": 0.1}, O.RMSprop,
     {"alpha": 0.9, "eps": 1e-3, "weight_decay": 0.1}),
    ("adagrad", 0.05, {}, O.Adagrad, {}),
    ("adagrad", 0.05, {"epsilon": 1e-3, "weight_decay": 0.1}, O.Adagrad, {"eps": 1e-3, "weight_decay": 0.1}),
    ("lion", 0.01, {}, Lion, {"betas": (0.9, 0.99), "weight_decay": 0.0}),
    ("lion", 0.01, {"beta1": 0.8, "beta2": 0.95, "weight_decay": 0.1}, Lion,
     {"betas": (0.8, 0.95), "weight_decay": 0.1}),
]

KEPT = [0, 1, 2, 9, 49, 99]
gradients = [[gradient(step, i) for i in range(LENGTH)] for step in range(STEPS)]
cases = []
for kind, lr, settings, make, arguments in CASES:
    p = torch.tensor(START, dtype=torch.float64, requires_grad=True)
    optimizer = make([p], lr=float(torch.tensor(lr, dtype=torch.float32)), **arguments)
    parameters = []
    for step in range(STEPS):
        p.grad = torch.tensor(gradients[step], dtype=torch.float64)
        optimizer.step()
        if step in KEPT:
            parameters.append([step, p.tolist()])
    cases.append({"optimizer": {"kind": kind, **settings}, "learning_rate": lr, "parameters": parameters})
print('{"start": ' + json.dumps(START) + ',\n"gradients": ' + json.dumps(gradients) + ',\n"cases": [')
print(",\n".join(json.dumps(case) for case in cases) + "]}")
