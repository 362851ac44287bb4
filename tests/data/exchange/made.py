"""Graphs that exporters write in other ways, and broken ones: `python3 tests/data/exchange/made.py`.

Needs onnx, onnxruntime and numpy. Writes, beside itself, NAME.onnx with NAME.json, which holds inputs and onnxruntime's outputs;
and bad_NAME.onnx, which are refused."""

import json
import pathlib

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

HERE = pathlib.Path(__file__).parent
generator = np.random.default_rng(0)


def weights(*shape):
    return generator.normal(size=shape).astype(np.float32)


def save(name, nodes, tensors, outputs=(("y", TensorProto.FLOAT),), opset=20, domain=()):
    graph = helper.make_graph(
        nodes, name, [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["batch", 3])],
        [helper.make_tensor_value_info(output, kind, None) for output, kind in outputs], tensors,
    )
    imports = [helper.make_opsetid("", opset), *domain]
    model = helper.make_model(graph, opset_imports=imports, ir_version=9)
    onnx.save(model, HERE / f"{name}.onnx")
    return model


def good(name, *arguments, **more):
    model = save(name, *arguments, **more)
    x = weights(6, 3)
    output = (more.get("outputs") or (("y", None),))[-1][0]
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    y = session.run([output], {"x": x})[0]
    text = json.dumps({"inputs": x.tolist(), "outputs": y.tolist()}, separators=(",", ":"))
    (HERE / f"{name}.json").write_text(text + "\n")


def raw(name, array):
    return numpy_helper.from_array(array, name)


def typed(name, array):
    """In float_data rather than raw_data."""
    return helper.make_tensor(name, TensorProto.FLOAT, array.shape, array.ravel().tolist())


node = helper.make_node

good(
    "gemm",
    [node("Gemm", ["x", "w1", "b1"], ["a"], alpha=0.5, beta=2.0, transB=0), node("Relu", ["a"], ["b"]),
     node("Gemm", ["b", "w2", "b2"], ["c"], transB=1), node("Tanh", ["c"], ["d"]),
     node("Gemm", ["d", "w3"], ["e"], transB=1), node("Gelu", ["e"], ["f"]),
     node("Transpose", ["w4"], ["t4"], perm=[1, 0]), node("MatMul", ["f", "t4"], ["g"]), node("Add", ["b4", "g"], ["y"])],
    [typed("w1", weights(3, 6)), typed("b1", weights(6)), raw("w2", weights(5, 6)), raw("b2", weights(1)),
     raw("w3", weights(4, 5)), raw("w4", weights(2, 4)), raw("b4", weights(1, 2))],
)
# As skl2onnx writes a pipeline of StandardScaler and MLPClassifier: a label, and then the probabilities.
good(
    "pipeline",
    [node("Scaler", ["x"], ["scaled"], domain="ai.onnx.ml", offset=[1.0, 2.0, -3.0], scale=[0.5, 2.0, 1.5]),
     node("Cast", ["scaled"], ["cast"], to=TensorProto.FLOAT), node("MatMul", ["cast", "coefficient"], ["mul_result"]),
     node("Add", ["mul_result", "intercepts"], ["add_result"]), node("Relu", ["add_result"], ["next_activations"]),
     node("MatMul", ["next_activations", "coefficient1"], ["mul_result1"]),
     node("Add", ["mul_result1", "intercepts1"], ["add_result1"]), node("Softmax", ["add_result1"], ["probabilities"]),
     node("ArgMax", ["probabilities"], ["label"], axis=1, keepdims=0)],
    [raw("coefficient", weights(3, 8)), raw("intercepts", weights(1, 8)), raw("coefficient1", weights(8, 4)),
     raw("intercepts1", weights(1, 4))],
    outputs=(("label", TensorProto.INT64), ("probabilities", TensorProto.FLOAT)),
    domain=(helper.make_opsetid("ai.onnx.ml", 3),),
)
# Doubles and halves, functions of one's own, a scaling in several steps.
good(
    "functions",
    [node("Mul", ["x", "s"], ["x1"]), node("Sub", ["x1", "m"], ["x2"]), node("Div", ["x2", "d"], ["x3"]),
     node("Add", ["o", "x3"], ["x4"]), node("Cast", ["w1h"], ["w1"], to=TensorProto.FLOAT),
     node("MatMul", ["x4", "w1"], ["a"]), node("Abs", ["a"], ["a1"]), node("Greater", ["a", "half"], ["a2"]),
     node("Not", ["a2"], ["a3"]), node("Where", ["a3", "a1", "half"], ["b"]), node("Constant", [], ["two"], value_float=2.0),
     node("Gemm", ["b", "w2", "b2"], ["c"]), node("Pow", ["c", "two"], ["c1"]), node("Neg", ["c1"], ["c2"]),
     node("Exp", ["c2"], ["c3"]), node("Clip", ["c", "", "half"], ["c4"]), node("Mul", ["c3", "c4"], ["y"])],
    [raw("s", np.float32([2.0])), raw("m", np.float32([1.0, 2.0, 3.0])), raw("d", np.float32([4.0, 0.5, 1.0])),
     raw("o", np.float32(0.25)), raw("w1h", weights(3, 4).astype(np.float16)), raw("half", np.float32(0.5)),
     raw("w2", weights(4, 2)), raw("b2", weights(2))],
)
model = save(
    "external", [node("Gemm", ["x", "w", "b"], ["y"], transB=1)], [raw("w", weights(2, 3)), raw("b", weights(2))]
)
x = weights(6, 3)
w, b = [numpy_helper.to_array(tensor) for tensor in model.graph.initializer]
(HERE / "external.json").write_text(json.dumps({"inputs": x.tolist(), "outputs": (x @ w.T + b).tolist()}) + "\n")
(HERE / "external.bin").unlink(missing_ok=True)
onnx.save_model(model, HERE / "external.onnx", save_as_external_data=True, location="external.bin", size_threshold=0)

dense = [node("Gemm", ["x", "w", "b"], ["y"], transB=1)]
pair = [raw("w", weights(2, 3)), raw("b", weights(2))]
save("bad_missing", dense, pair[:1])
save("bad_dtype", dense, [raw("w", np.ones((2, 3), np.int32)), pair[1]])
save("bad_infinite", dense, [raw("w", np.float32([[1, 2, 3], [4, np.inf, 6]])), pair[1]])
save("bad_operator", [node("Gemm", ["x", "w", "b"], ["a"], transB=1), node("LSTM", ["a"], ["y"], name="memory")], pair)
save("bad_convolution", [node("Conv", ["x", "w"], ["y"], name="filter")], pair)
save("bad_cycle", [node("Add", ["x", "b2"], ["a"], name="first"), node("Relu", ["a"], ["b2"]), node("Gemm", ["a", "w"], ["y"])], pair)
save("bad_order", [node("Relu", ["a"], ["y"]), node("Gemm", ["x", "w", "b"], ["a"], transB=1)], pair)
save("bad_widths", [node("Gemm", ["x", "w", "b"], ["a"], transB=1), node("Gemm", ["a", "w"], ["y"], transB=1)], pair)
save("bad_bias", dense, [pair[0], raw("b", weights(3))])
save(
    "bad_residual",
    [node("Gemm", ["x", "w", "b"], ["a"], transB=1), node("Tanh", ["a"], ["a1"]), node("MatMul", ["a1", "v"], ["c"]),
     node("Add", ["c", "a1"], ["y"])],
    [*pair, raw("v", weights(2, 2))],
)
names = ["x", *[f"a{i}" for i in range(39)], "y"]
save("bad_shared", [node("MatMul", [a, "w"], [b]) for a, b in zip(names, names[1:])], [raw("w", weights(3, 3))])
huge = save("bad_huge", dense, pair)
huge.graph.initializer[0].dims[:] = [1 << 40, 1 << 20]
onnx.save(huge, HERE / "bad_huge.onnx")
short = save("bad_short", dense, pair)
short.graph.initializer[0].raw_data = short.graph.initializer[0].raw_data[:-1]
onnx.save(short, HERE / "bad_short.onnx")
outside = onnx.load(HERE / "external.onnx", load_external_data=False)
for entry in outside.graph.initializer[0].external_data:
    if entry.key == "location":
        entry.value = "../exchange/external.bin"
onnx.save(outside, HERE / "bad_outside.onnx")
