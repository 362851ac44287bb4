#!/usr/bin/env python3
"""Writes the files of this folder: one small table in every format, and broken ones.

Needs numpy, pandas, pyarrow and Pillow. Run it in this folder; the files are committed, so that tests need no Python.
"""

import gzip
import json
import pathlib
import shutil

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.feather
import pyarrow.parquet as pq
from PIL import Image

HERE = pathlib.Path(__file__).parent
for old in HERE.iterdir():
    if old.name not in ("make.py", "README.md"):
        shutil.rmtree(old) if old.is_dir() else old.unlink()

# Two columns of numbers, one of categories, a weight and a class, in twelve rows; one size is missing.
table = pd.DataFrame(
    {
        "size": [1.5, -2.0, 0.25, 8.0, np.nan, 3.0, 1.0, 2.0, 4.0, 5.0, 6.0, 7.0],
        "count": np.array([1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12], dtype=np.int64),
        "colour": ["red", "green", "red", "blue", "red", "green", "blue", "red", "green", "red", "blue", "red"],
        "weight": np.array([1, 2, 1, 0, 1, 1, 0.5, 1, 1, 1, 1, 1], dtype=np.float32),
        "kind": ["cat", "dog"] * 6,
    }
)


def write(name: str, content: bytes) -> None:
    (HERE / name).write_bytes(content)


def gz(content: bytes) -> bytes:
    return gzip.compress(content, mtime=0)


csv = table.to_csv(index=False, lineterminator="\n").encode()
write("table.csv", csv)
write("table.csv.gz", gz(csv))
write("table.tsv", table.to_csv(index=False, sep="\t", lineterminator="\n").encode())
write("semicolons.txt", table.to_csv(index=False, sep=";", lineterminator="\n").encode())
write("table.jsonl", table.to_json(orient="records", lines=True).encode())
table.to_parquet(HERE / "table.parquet")
category = table.assign(colour=table["colour"].astype("category"))
category.to_parquet(HERE / "zstd.parquet", compression="zstd")
pa.feather.write_feather(pa.Table.from_pandas(category, preserve_index=False), HERE / "table.arrow", compression="lz4")
# Compressed buffers and counted texts claim how long they are, which a damaged file says wrongly.
pa.feather.write_feather(pa.Table.from_pandas(category, preserve_index=False), HERE / "zstd.arrow", compression="zstd")
pq.write_table(
    pa.Table.from_pandas(table, preserve_index=False),
    HERE / "delta.parquet",
    compression="none",
    use_dictionary=False,
    column_encoding={"colour": "DELTA_LENGTH_BYTE_ARRAY", "kind": "DELTA_BYTE_ARRAY"},
)
with pa.OSFile(str(HERE / "stream.arrow"), "wb") as sink:
    batch = pa.Table.from_pandas(table, preserve_index=False)
    with pa.ipc.new_stream(sink, batch.schema) as stream:
        stream.write_table(batch, max_chunksize=5)

numbers = np.arange(12, dtype=np.float64).reshape(6, 2) / 4
labels = np.array([0, 1, 2, 0, 1, 2], dtype=np.int64)
np.save(HERE / "inputs.npy", numbers.astype(np.float32))
np.save(HERE / "fortran.npy", np.asfortranarray(numbers))
np.save(HERE / "labels.npy", labels)
np.savez(HERE / "arrays.npz", x=numbers, y=labels)
np.savez_compressed(HERE / "compressed.npz", x=numbers, y=labels)
np.savez(HERE / "keras.npz", x_train=numbers, y_train=labels, x_test=numbers[:2], y_test=labels[:2])


def idx(array: np.ndarray, kind: int) -> bytes:
    head = bytes([0, 0, kind, array.ndim]) + b"".join(int(n).to_bytes(4, "big") for n in array.shape)
    return head + array.astype(array.dtype.newbyteorder(">")).tobytes()


images = (np.arange(6 * 2 * 3) * 7 % 256).astype(np.uint8).reshape(6, 2, 3)
write("train-images-idx3-ubyte", idx(images, 0x08))
write("train-labels-idx1-ubyte", idx(labels.astype(np.uint8), 0x08))
write("t10k-images-idx3-ubyte.gz", gz(idx(images, 0x08)))
write("t10k-labels-idx1-ubyte.gz", gz(idx(labels.astype(np.uint8), 0x08)))
write("floats.idx", idx(numbers.astype(np.float32), 0x0D))

for kind, shift in (("hole", 0), ("spot", 100)):
    folder = HERE / "shapes" / kind
    folder.mkdir(parents=True)
    for i in range(2):
        pixels = (np.arange(6, dtype=np.uint8).reshape(2, 3) + shift + 10 * i).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
mixed = HERE / "mixed"
mixed.mkdir()
Image.fromarray(np.zeros((2, 3), dtype=np.uint8)).save(mixed / "a.png")
Image.fromarray(np.zeros((2, 3, 3), dtype=np.uint8)).save(mixed / "b.png")

# Files with something wrong.
for name in ("table.csv.gz", "table.parquet", "table.arrow", "stream.arrow", "inputs.npy", "arrays.npz",
             "train-images-idx3-ubyte"):
    whole = (HERE / name).read_bytes()
    write("truncated-" + name, whole[: len(whole) * 3 // 4])
    write("magic-" + name, b"\x7fXYZ" + whole[4:])
(HERE / "truncated.jsonl").write_text(table.to_json(orient="records", lines=True)[:250])
(HERE / "ragged.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 1, "bee": 2}\n')
(HERE / "nested.jsonl").write_text('{"a": 1, "b": 2}\n{"a": [1, 2], "b": 2}\n')
(HERE / "infinite.jsonl").write_text('{"a": 1, "b": 2}\n{"a": 1e300, "b": 2}\n')
(HERE / "ragged.tsv").write_text("a\tb\n1\t2\n3\n")
(HERE / "infinite.csv").write_text("a,b\n1,2\ninf,2\n")
np.save(HERE / "infinite.npy", np.array([[1.0, 2.0], [3.0, np.inf]]))
np.save(HERE / "complex.npy", numbers.astype(np.complex64))
np.savez(HERE / "infinite.npz", x=np.array([[1.0, 2.0], [3.0, np.inf]]), y=np.array([0, 1]))
np.savez(HERE / "objects.npz", x=numbers, y=np.array([1, "a"], dtype=object), allow_pickle=True)
pq.write_table(pa.table({"a": [1.0, np.inf], "b": [0, 1]}), HERE / "infinite.parquet")
pq.write_table(pa.table({"a": [[1.0], [2.0]], "b": [0, 1]}), HERE / "nested.parquet")
pa.feather.write_feather(pa.table({"a": [1.0, np.inf], "b": [0, 1]}), HERE / "infinite.arrow", compression="uncompressed")
pa.feather.write_feather(pa.table({"a": [b"x", b"y"], "b": [0, 1]}), HERE / "bytes.arrow", compression="uncompressed")
write("infinite.idx", idx(np.array([[1.0, np.inf]], dtype=np.float32), 0x0D))
write("type.idx", bytes([0, 0, 0x0A, 1]) + (1).to_bytes(4, "big") + b"\0")
write("short-images-idx3-ubyte", idx(images, 0x08))
write("short-labels-idx1-ubyte", idx(labels[:4].astype(np.uint8), 0x08))
broken = HERE / "broken"
broken.mkdir()
whole = (HERE / "shapes/hole/0.png").read_bytes()
(broken / "a.png").write_bytes(whole)
(broken / "b.png").write_bytes(whole[:50])

# What pandas and scikit-learn make of the table, for the tests to compare with.
from sklearn.compose import ColumnTransformer
from sklearn.impute import SimpleImputer
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import MinMaxScaler, OneHotEncoder, StandardScaler

expected = {}
for strategy in ("mean", "median", "most_frequent"):
    for name, scaler in (("standard", StandardScaler()), ("range:-1:1", MinMaxScaler((-1, 1)))):
        numeric = make_pipeline(SimpleImputer(strategy=strategy), scaler)
        pipeline = ColumnTransformer(
            [("n", numeric, ["size", "count"]), ("c", OneHotEncoder(sparse_output=False), ["colour"])]
        )
        expected[f"{strategy} {name}"] = pipeline.fit_transform(table).tolist()
(HERE / "expected.json").write_text(json.dumps(expected, indent=1) + "\n")
