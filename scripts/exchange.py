"""Proves exported models by the programs that they are for: python3 scripts/exchange.py [target/debug/wgrad]

Needs numpy, onnx, onnxruntime, torch and safetensors. Every registered activation, some of one's own, every bias mode, every
meaning of the outputs, normalisations and residual connections: onnx.checker accepts the graph, and onnxruntime's outputs are
within 1e-5 of those of `wgrad predict` (of their size where that is above 1);
PyTorch and NumPy compute the same from .safetensors and .npz. Ends with exit code 1 where anything differs."""

import itertools
import json
import pathlib
import subprocess
import sys
import tempfile

import numpy as np
import onnx
import onnxruntime
import torch
from safetensors.torch import load_file
from torch import nn

WGRAD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/debug/wgrad").resolve()
TOLERANCE = 1e-5
REGISTERED = ["linear", "sigmoid", "tanh", "relu", "leaky_relu", "softplus", "silu", "gelu", "elu", "sine"]
CUSTOM = [
    "mish = x * tanh(softplus(x))",
    "select(x <= 0.5, sqrt(abs(x) + 1), log(2 + x^2)) - cos(x)",
    "min(max(x, -1), exp(-x^2)) + erf(x) / 3",
    "select(x != 0, abs(x)^1.5, 0) + relu(-x) + sigmoid(x)^3 + sin(x)",
]
# The loss, and whether the data has classes.
LOSSES = [("softmax_cross_entropy", True), ("binary_cross_entropy", True), ("logistic_cross_entropy", True),
          ("kl_divergence", True), ("mean_squared_error", True), ("mean_squared_error", False)]
BIASES = ["per_unit", "shared", "none"]


def wgrad(folder, *arguments):
    done = subprocess.run([WGRAD, "--device", "cpu", *arguments], cwd=folder, capture_output=True, text=True)
    assert done.returncode == 0, f"wgrad {' '.join(arguments)}: {done.stderr}"
    return done.stdout


def train(folder, activation, bias, loss, classes, scaling):
    target, outputs = ("kind", 3) if classes else ("a", 2)
    last = "sigmoid" if loss == "logistic_cross_entropy" else "linear"
    layer = '[[network.layers]]\noutputs = {}\nactivation = {}\nbias = "{}"\n'
    layers = [(8, activation), (5, activation), (outputs, last)]
    text = f'[data]\nsource = "{"classes" if classes else "numbers"}.csv"\nscaling = "{scaling}"\n'
    text += f'target = "{"kind" if classes else "a,b"}"\n' + "".join(layer.format(n, json.dumps(f), bias) for n, f in layers)
    # Numbers of 100 need small steps, or every unit dies.
    rate = 0.001 if scaling != "none" else 1e-7
    text += f'[training]\nloss = "{loss}"\nlearning_rate = {rate}\nepochs = 2\n'
    (folder / "job.toml").write_text(text)
    wgrad(folder, "train", "job.toml", "--out", "model.safetensors", "--no-tune")


def surrounded(folder, normalization, residual):
    hidden = f'[[network.layers]]\noutputs = 4\nactivation = "gelu"\nnormalization = "{normalization}"\ndropout = 0.1\n'
    layers = 2 * (hidden + f"residual = {str(residual).lower()}\n") + '[[network.layers]]\noutputs = 3\nactivation = "linear"\n'
    training = "[training]\nlearning_rate = 0.01\nepochs = 3\n"
    (folder / "job.toml").write_text(f'[data]\nsource = "classes.csv"\ntarget = "kind"\n{layers}{training}')
    wgrad(folder, "train", "job.toml", "--out", "model.safetensors", "--no-tune")


def near(what, found, expected):
    error = (np.abs(np.asarray(found, np.float64) - expected) / np.maximum(1, np.abs(expected))).max()
    assert found.shape == expected.shape and error <= TOLERANCE, f"{what} differs by {error}"
    return error


def main():
    generator = np.random.default_rng(0)
    worst, count = 0.0, 0
    with tempfile.TemporaryDirectory() as place:
        folder = pathlib.Path(place)
        inputs = (generator.normal(size=(60, 4)) * [1, 20, 0.1, 5] + [3, -40, 0, 100]).astype(np.float32)
        header = "p,q,r,s"
        rows = [",".join(f"{x:.9g}" for x in row) for row in inputs]
        kinds = ["one", "two", "three"]
        (folder / "classes.csv").write_text("\n".join([header + ",kind"] + [f"{r},{kinds[i % 3]}" for i, r in enumerate(rows)]))
        (folder / "numbers.csv").write_text("\n".join([header + ",a,b"] + [f"{r},{i / 60},{-i / 30}" for i, r in enumerate(rows)]))
        (folder / "new.csv").write_text("\n".join([header] + rows))
        turns = zip(itertools.cycle(LOSSES), itertools.cycle(BIASES), itertools.cycle(["standard", "min_max", "none", "standard"]))
        cases = [(f, b) for f in REGISTERED + CUSTOM for b in BIASES]
        for (activation, bias), ((loss, classes), _, scaling) in zip(cases, turns):
            # Numbers of 100 are no inputs for functions that grow fast.
            scaling = scaling if activation not in CUSTOM else "standard"
            train(folder, activation, bias, loss, classes, scaling)
            wgrad(folder, "export", "model.safetensors", "--to", "model.onnx")
            model = onnx.load(folder / "model.onnx")
            onnx.checker.check_model(model, full_check=True)
            session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
            answers = json.loads(wgrad(folder, "predict", "model.safetensors", "new.csv", "--json", "--no-tune"))["answers"]
            expected = np.array([row[1:] if classes else row for row in answers])
            assert expected.std(0).max() > 0, "the answers are the same for all inputs"
            for rows_at_once in (60, 1):
                parts = [session.run(None, {"inputs": part})[0] for part in np.split(inputs, 60 // rows_at_once)]
                error = near(f"{activation}, {bias}, {loss}", np.concatenate(parts), expected)
            worst, count = max(worst, error), count + 1

            # Back again: the same bits.
            wgrad(folder, "import", "model.onnx", "--out", "again.safetensors")
            first, again = load_file(folder / "model.safetensors"), load_file(folder / "again.safetensors")
            assert first.keys() == again.keys() and all(torch.equal(first[k], again[k]) for k in first), "the bits differ"
            print(f"{activation:<60} {bias:<8} {loss:<22} {scaling:<8} {error:.1e}", flush=True)

        for normalization, residual in itertools.product(["none", "layer", "batch"], [False, True]):
            surrounded(folder, normalization, residual)
            wgrad(folder, "export", "model.safetensors", "--to", "model.onnx")
            onnx.checker.check_model(onnx.load(folder / "model.onnx"), full_check=True)
            session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])
            answers = json.loads(wgrad(folder, "predict", "model.safetensors", "new.csv", "--json", "--no-tune"))["answers"]
            expected = np.array([row[1:] for row in answers])
            error = near(f"{normalization}, {residual}", session.run(None, {"inputs": inputs})[0], expected)
            worst, count = max(worst, error), count + 1
            print(f"normalization {normalization}, residual {residual}: {error:.1e}", flush=True)

        # The example of the documentation.
        train(folder, "relu", "shared", "softmax_cross_entropy", True, "standard")
        wgrad(folder, "export", "model.safetensors", "--to", "torch.safetensors", "--fold-scaling")
        network = nn.Sequential(nn.Linear(4, 8), nn.ReLU(), nn.Linear(8, 5), nn.ReLU(), nn.Linear(5, 3))
        network.load_state_dict(load_file(folder / "torch.safetensors"))
        answers = json.loads(wgrad(folder, "predict", "model.safetensors", "new.csv", "--json", "--no-tune"))["answers"]
        expected = np.array([row[1:] for row in answers])
        near("PyTorch", torch.softmax(network(torch.from_numpy(inputs)), 1).detach().numpy(), expected)
        wgrad(folder, "export", "model.safetensors", "--to", "model.npz")
        arrays = np.load(folder / "model.npz", allow_pickle=False)
        x = (inputs - arrays["scaling.shift"]) * arrays["scaling.scale"]
        for i in range(3):
            x = x @ arrays[f"layers.{i}.weight"].T + arrays[f"layers.{i}.bias"]
            x = np.maximum(x, 0) if i < 2 else np.exp(x) / np.exp(x).sum(1, keepdims=True)
        near("NumPy", x, expected)
        assert json.loads(bytes(arrays["wgrad"]).decode())["network"]["inputs"] == 4
    print(f"{count} networks agree; the largest difference is {worst:.1e}")


main()
