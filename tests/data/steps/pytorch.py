"""Writes pytorch.json: ten training steps by PyTorch, in double precision, with what is done to gradients, sample weights,
label smoothing, sums instead of means, and the moving average of the weights.

    python3 pytorch.py > pytorch.json     (PyTorch 2)

Numbers that wgrad starts from are rounded to f32.
"""

import json

import torch
import torch.nn.functional as F
from torch.optim.swa_utils import AveragedModel, get_ema_multi_avg_fn

torch.manual_seed(5)
STEPS, ROWS, INPUTS, HIDDEN, OUTPUTS = 10, 8, 3, 6, 4


def rounded(x):
    return x.to(torch.float32).to(torch.float64)


inputs = rounded(torch.randn(ROWS, INPUTS))
targets = rounded(torch.randn(ROWS, OUTPUTS))
labels = torch.tensor([0, 1, 2, 3, 0, 0, 2, 1])
weights = torch.tensor([1.0, 0.5, 2.0, 0.0, 3.0, 1.25, 0.25, 4.0], dtype=torch.float64)
start = torch.nn.Sequential(
    torch.nn.Linear(INPUTS, HIDDEN), torch.nn.Tanh(), torch.nn.Linear(HIDDEN, OUTPUTS)
).double()
with torch.no_grad():
    for p in start.parameters():
        p.copy_(rounded(p))
    # Where the derivative of the absolute value is 0.
    start[0].weight[0, 0] = 0.0

NAMES = {"0.weight": "layers.0.weight", "0.bias": "layers.0.bias", "2.weight": "layers.1.weight", "2.bias": "layers.1.bias"}


def numbers(named):
    return {NAMES[name]: value.detach().flatten().tolist() for name, value in named}


def run(name, classes=False, l1=0.0, l2=0.0, clip_value=None, clip_norm=None, weighted=False, smoothing=0.0,
        reduction=None, average=None, optimizer="sgd", rate=0.1):
    net = torch.nn.Sequential(*[type(m)(*((m.in_features, m.out_features) if hasattr(m, "in_features") else ()))
                                for m in start]).double()
    net.load_state_dict(start.state_dict())
    step = {"sgd": torch.optim.SGD, "adam": torch.optim.Adam}[optimizer](net.parameters(), lr=rate)
    ema = AveragedModel(net, multi_avg_fn=get_ema_multi_avg_fn(average)) if average else None
    if ema:
        # The first update copies; here the average starts as the initial parameters.
        ema.update_parameters(net)
    losses, norms = [], []
    for _ in range(STEPS):
        y = net(inputs)
        if classes:
            rows = F.cross_entropy(y, labels, reduction="none", label_smoothing=smoothing)
        else:
            rows = F.mse_loss(y, targets, reduction="none").mean(1)
        if weighted:
            rows = weights * rows
        # A sum is over every element.
        loss = rows.mean() if reduction is None else rows.sum() * (1 if classes else OUTPUTS)
        losses.append(loss.item())
        penalty = sum(l1 * p.abs().sum() + 0.5 * l2 * (p**2).sum() for n, p in net.named_parameters() if "weight" in n)
        step.zero_grad()
        (loss + penalty).backward()
        if clip_value:
            torch.nn.utils.clip_grad_value_(net.parameters(), clip_value)
        if clip_norm:
            norms.append(torch.nn.utils.clip_grad_norm_(net.parameters(), clip_norm).item())
        step.step()
        if ema:
            ema.update_parameters(net)
    return {
        "name": name, "classes": classes, "l1": l1, "l2": l2, "clip_value": clip_value, "clip_norm": clip_norm,
        "weighted": weighted, "smoothing": smoothing, "reduction": reduction, "average": average, "optimizer": optimizer,
        "learning_rate": rate, "losses": losses, "norms": norms, "parameters": numbers(net.named_parameters()),
        "averaged": numbers(ema.module.named_parameters()) if ema else None,
    }


CASES = [
    run("nothing"),
    run("an L1 penalty", l1=0.05),
    run("an L2 penalty", l2=0.25),
    run("both penalties and Adam", l1=0.01, l2=0.02, optimizer="adam", rate=0.01),
    run("clipped by value", clip_value=0.03),
    run("clipped by norm", clip_norm=0.2),
    run("too short to be clipped", clip_norm=50.0),
    run("everything", classes=True, l1=0.01, l2=0.03, clip_value=0.05, clip_norm=0.1, weighted=True, smoothing=0.1,
        average=0.9),
    run("sample weights", weighted=True),
    run("sample weights of classes", classes=True, weighted=True),
    run("label smoothing", classes=True, smoothing=0.2),
    run("a sum", reduction="sum", rate=0.01),
    run("a sum over classes", classes=True, reduction="sum", rate=0.02),
    run("a moving average", average=0.75),
]

print(json.dumps({
    "inputs": inputs.flatten().tolist(), "targets": targets.flatten().tolist(), "labels": labels.tolist(),
    "weights": weights.tolist(), "start": numbers(start.named_parameters()), "cases": CASES,
}))
