"""Writes pytorch.json: every loss and its gradient by PyTorch, in double precision, kinks and saturated outputs included.

python3 pytorch.py > pytorch.json     (PyTorch 2; what it lacks is written by its operations and differentiated by it)
"""

import json
import math

import torch
import torch.nn.functional as F

NUMBERS = (
    [[0.5, -1.25, 2.0], [0.0, 0.0, 0.0], [1.75, -0.5, 1.0], [40.0, -3.0, 0.125], [-0.0625, 0.25, -7.5]],
    [[0.5, -1.25, -0.75], [0.0, 1.5, -0.25], [0.75, 0.5, 0.0], [2.0, -40.0, 0.25], [0.125, -2.0, -7.25]],
)
LABELS = (
    [[1.0, -1.0, 1.0], [-1.0, 0.0, 0.5], [0.0, 40.0, -40.0], [40.0, -40.0, 2.5], [-0.25, 0.125, -3.0]],
    [[1.0, 0.0, 0.0], [1.0, 1.0, 0.0], [0.0, 1.0, 0.0], [0.0, 1.0, 1.0], [1.0, 0.0, 1.0]],
)
COUNTS = (
    [[0.0, -1.25, 2.0], [-40.0, 3.5, 0.5], [10.0, -0.5, 1.0], [0.25, 20.0, -3.0], [1.5, 0.0, 0.0]],
    [[1.0, 0.0, 7.0], [0.0, 40.0, 0.0], [2.0, 1.0, 3.0], [0.0, 5.0, 2.0], [4.0, 0.0, 2.0]],
)
PROBABILITIES = (
    [[0.0, 0.0, 0.0], [2.0, -1.0, 0.5], [40.0, -40.0, 1.0], [0.25, 0.75, -3.0], [-5.0, 5.0, 4.0]],
    [[1.0, 0.0, 0.0], [0.25, 0.25, 0.5], [0.0, 0.5, 0.5], [0.125, 0.875, 0.0], [0.5, 0.0, 0.5]],
)


def log_cosh(y, t):
    d = y - t
    return (d + F.softplus(-2 * d) - math.log(2)).mean()


def smape(y, t):
    return ((y - t).abs() / (0.5 * (y.abs() + t.abs()) + 0.01)).mean()


CASES = [
    ("half_sum_of_squares", NUMBERS, lambda y, t: 0.5 * F.mse_loss(y, t, reduction="sum") / len(y)),
    ("mean_squared_error", NUMBERS, F.mse_loss),
    ("mean_absolute_error", NUMBERS, F.l1_loss),
    ("huber", NUMBERS, F.huber_loss),
    ("binary_cross_entropy", LABELS, F.binary_cross_entropy_with_logits),
    ("softmax_cross_entropy", PROBABILITIES, F.cross_entropy),
    ("logistic_cross_entropy", LABELS,
     lambda y, t: F.binary_cross_entropy_with_logits(y, t, reduction="sum") / len(y)),
    ("relative_l2", NUMBERS, lambda y, t: ((y - t) ** 2 / (y**2 + 0.01)).mean()),
    ("mape", NUMBERS, lambda y, t: ((y - t).abs() / (t.abs() + 0.01)).mean()),
    ("smape", NUMBERS, smape),
    ("log_cosh", NUMBERS, log_cosh),
    ("hinge", LABELS, lambda y, t: F.relu(1 - (2 * t - 1) * y).mean()),
    ("hinge", (LABELS[0], [[2 * t - 1 for t in row] for row in LABELS[1]]), lambda y, t: F.relu(1 - t * y).mean()),
    ("poisson", COUNTS, F.poisson_nll_loss),
    ("kl_divergence", PROBABILITIES, lambda y, t: F.kl_div(F.log_softmax(y, 1), t, reduction="batchmean")),
]

cases = []
for loss, (outputs, targets), function in CASES:
    y = torch.tensor(outputs, dtype=torch.float64, requires_grad=True)
    value = function(y, torch.tensor(targets, dtype=torch.float64))
    value.backward()
    case = {"loss": loss, "outputs": outputs, "targets": targets, "value": value.item(), "gradient": y.grad.tolist()}
    cases.append(case)
print("[" + ",\n".join(json.dumps(case) for case in cases) + "]")
