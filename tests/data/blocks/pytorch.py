#!/usr/bin/env python3
"""Writes pytorch.json: ten steps of a network with normalisations and residual connections, by PyTorch in f64.

Parameters are listed as wgrad names them. `tolerance` is 32 times what PyTorch's own f32 run is off from that in f64.
Needs torch; run it in this folder.
"""

import json

import torch
from torch import nn


class Block(nn.Module):
    """dense -> normalisation -> activation -> plus the input"""

    def __init__(self, inputs, outputs, normalization, activation, residual):
        super().__init__()
        self.dense = nn.Linear(inputs, outputs)
        kinds = {"batch": nn.BatchNorm1d, "layer": nn.LayerNorm, "none": lambda _: None}
        self.norm = kinds[normalization](outputs)
        self.activation = {"tanh": torch.tanh, "gelu": nn.functional.gelu, "linear": lambda z: z}[activation]
        self.residual = residual

    def forward(self, x):
        z = self.dense(x)
        a = self.activation(z if self.norm is None else self.norm(z))
        return x + a if self.residual else a

    def tensors(self, prefix):
        found = {f"{prefix}.weight": self.dense.weight, f"{prefix}.bias": self.dense.bias}
        if self.norm is not None:
            found |= {f"{prefix}.scale": self.norm.weight, f"{prefix}.shift": self.norm.bias}
        if isinstance(self.norm, nn.BatchNorm1d):
            found |= {
                f"{prefix}.running_mean": self.norm.running_mean,
                f"{prefix}.running_variance": self.norm.running_var,
            }
        return {name: tensor.detach().flatten().tolist() for name, tensor in found.items()}


LAYERS = [
    (5, 6, "batch", "tanh", False),
    (6, 6, "layer", "gelu", True),
    (6, 6, "batch", "gelu", True),
    (6, 3, "none", "linear", False),
]


def run(dtype, start, inputs, targets):
    blocks = nn.Sequential(*(Block(*layer) for layer in LAYERS)).to(dtype)
    blocks.load_state_dict({name: tensor.to(dtype) for name, tensor in start.items()})
    inputs, targets = inputs.to(dtype), targets.to(dtype)
    optimizer = torch.optim.SGD(blocks.parameters(), lr=0.05, momentum=0.9)
    losses = []
    for _ in range(10):
        optimizer.zero_grad()
        loss = nn.functional.mse_loss(blocks(inputs), targets)
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    tensors = {}
    for i, block in enumerate(blocks):
        tensors |= block.tensors(f"layers.{i}")
    blocks.eval()
    return losses, tensors, blocks(inputs).detach().flatten().tolist()


torch.manual_seed(7)
start = nn.Sequential(*(Block(*layer) for layer in LAYERS))
with torch.no_grad():
    for block in start:
        if block.norm is not None:
            block.norm.weight.uniform_(0.5, 1.5)
            block.norm.bias.uniform_(-0.5, 0.5)
inputs, targets = torch.randn(16, 5) * 2 + 1, torch.randn(16, 3)
state = {name: tensor.clone() for name, tensor in start.state_dict().items()}
before = {}
for i, block in enumerate(start):
    before |= block.tensors(f"layers.{i}")
losses, tensors, outputs = run(torch.float64, state, inputs, targets)
single = run(torch.float32, state, inputs, targets)


def apart(a, b):
    return max(abs(x - y) for x, y in zip(a, b))


off = max(apart(losses, single[0]), apart(outputs, single[2]), *(apart(tensors[n], single[1][n]) for n in tensors))
with open("pytorch.json", "w") as file:
    json.dump(
        {
            "layers": [dict(zip(["inputs", "outputs", "normalization", "activation", "residual"], l)) for l in LAYERS],
            "inputs": inputs.flatten().tolist(),
            "targets": targets.flatten().tolist(),
            "start": before,
            "losses": losses,
            "after": tensors,
            "outputs": outputs,
            "tolerance": 32 * off,
        },
        file,
        indent=1,
    )
    file.write("\n")
print("off by", off)
