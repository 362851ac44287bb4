"""Models written by PyTorch, with what they put out: `python3 tests/data/exchange/pytorch.py`.

Needs torch and onnx. Writes, beside itself, NAME.onnx and NAME.pt with NAME.json: inputs, outputs and, for the state dicts,
the activations."""

import collections
import json
import pathlib

import torch
from torch import nn

HERE = pathlib.Path(__file__).parent
torch.manual_seed(0)


class Scaled(nn.Module):
    """Standardises its inputs in front of the network."""

    def __init__(self, network, mean, std):
        super().__init__()
        self.network = network
        self.register_buffer("mean", mean)
        self.register_buffer("std", std)

    def forward(self, x):
        return self.network((x - self.mean) / self.std)


class PlainMatMul(nn.Module):
    """MatMul and Add instead of Gemm, with biases and without."""

    def __init__(self):
        super().__init__()
        self.w1, self.b1 = nn.Parameter(torch.randn(3, 5)), nn.Parameter(torch.randn(5))
        self.w2 = nn.Parameter(torch.randn(5, 2))

    def forward(self, x):
        return torch.tanh(x @ self.w1 + self.b1) @ self.w2


class Sine(nn.Module):
    def forward(self, x):
        return torch.sin(x)


def write(name, network, inputs, **more):
    with torch.no_grad():
        outputs = network(inputs)
    (HERE / f"{name}.json").write_text(
        json.dumps({"inputs": inputs.tolist(), "outputs": outputs.tolist(), **more}, separators=(",", ":")) + "\n"
    )


def onnx(name, network, inputs):
    network.eval()
    torch.onnx.export(
        network, (inputs,), HERE / f"{name}.onnx", dynamo=False, opset_version=17, input_names=["x"],
        output_names=["y"], dynamic_axes={"x": {0: "batch"}, "y": {0: "batch"}},
    )
    write(name, network, inputs)


x3 = torch.randn(7, 3)
onnx("matmul", PlainMatMul(), x3)
functions = [nn.ReLU(), nn.Sigmoid(), nn.Tanh(), nn.LeakyReLU(0.01), nn.Softplus(), nn.SiLU(), nn.GELU(), nn.ELU(), Sine()]
layers = [layer for function in functions for layer in (nn.Linear(6, 6), function)]
onnx("activations", nn.Sequential(nn.Linear(3, 6), *layers, nn.Linear(6, 2)), x3)
others = [nn.LeakyReLU(0.3), nn.ELU(0.5), nn.Hardswish(), nn.Mish(), nn.ReLU6(), nn.GELU("tanh"), nn.SELU(), nn.Softsign()]
layers = [layer for function in others for layer in (nn.Linear(6, 6), function)]
onnx("others", nn.Sequential(nn.Linear(3, 6), *layers, nn.Linear(6, 2, bias=False)), x3)
classifier = nn.Sequential(nn.Linear(3, 8), nn.ReLU(), nn.Dropout(0.5), nn.Linear(8, 4), nn.Softmax(dim=1))
onnx("classifier", Scaled(classifier, torch.tensor([1.0, -2.0, 0.5]), torch.tensor([2.0, 3.0, 0.25])), x3)


def state(name, state, network, activations, save=torch.save):
    save(state, HERE / f"{name}.pt")
    write(name, network, x3, activations=activations)


network = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 5, bias=False), nn.ReLU(), nn.Linear(5, 2))
kinds = ["tanh", "relu", "linear"]
state("ordered", network.state_dict(), network, kinds)
state("plain", dict(network.state_dict()), network, kinds)
state("lightning", {"epoch": 3, "state_dict": network.state_dict(), "loss": 0.25}, network, kinds)

# Weights that lie by columns, and some that are parts of a larger storage.
strided = collections.OrderedDict(network.state_dict())
strided["0.weight"] = strided["0.weight"].t().contiguous().t()
shared = torch.cat([torch.zeros(2), strided["4.bias"], torch.zeros(3)])
strided["4.bias"] = shared[2:4]
every_second = torch.zeros(8, 2)
every_second[:, 1] = strided["0.bias"]
strided["0.bias"] = every_second[:, 1]
state("strided", strided, network, kinds)

for name, kind in [("f64", torch.float64), ("f16", torch.float16), ("bf16", torch.bfloat16)]:
    converted = {key: value.to(kind) for key, value in network.state_dict().items()}
    other = nn.Sequential(nn.Linear(3, 8), nn.Tanh(), nn.Linear(8, 5, bias=False), nn.ReLU(), nn.Linear(5, 2))
    other.load_state_dict({key: value.float() for key, value in converted.items()})
    state(name, converted, other, kinds)

# What is refused.
torch.save({"0.weight": torch.zeros(2, 3, dtype=torch.int32)}, HERE / "int32.pt")
torch.save(network.state_dict(), HERE / "legacy.pt", _use_new_zipfile_serialization=False)
torch.save(network, HERE / "module.pt")
