"""Compares wgrad with scikit-learn on scikit-learn's bundled data: python3 benches/scikit_learn.py [target/release/wgrad]

Needs scikit-learn. Ten seeds for each set: a seed draws a stratified split of 25 % for the test, on which both programs train
five times, since one draw of initial weights alone moves the score of a small test by a percent, the same network with scikit-learn's default settings (a hidden layer of 100 units, relu, Glorot's initial weights, Adam at 0.001,
batches of 200, 200 epochs, but no penalty; for the regression Adam at 0.01, since the default has not converged by then), on
standardised features, and are judged by accuracy, or by R² for the regression. Prints a table in Markdown; ends with exit
code 1 where wgrad's mean is more than a standard error of scikit-learn's mean below it."""

import json
import pathlib
import subprocess
import sys
import tempfile
import warnings

import numpy as np
from sklearn import datasets
from sklearn.exceptions import ConvergenceWarning
from sklearn.model_selection import train_test_split
from sklearn.neural_network import MLPClassifier, MLPRegressor
from sklearn.preprocessing import StandardScaler

WGRAD = pathlib.Path(sys.argv[1] if len(sys.argv) > 1 else "target/release/wgrad").resolve()
SEEDS, DRAWS = 10, 5
HIDDEN, BATCH, EPOCHS = 100, 200, 200
# name, data, classes, learning rate
SETS = [
    ("digits", datasets.load_digits, True, 0.001),
    ("breast cancer", datasets.load_breast_cancer, True, 0.001),
    ("wine", datasets.load_wine, True, 0.001),
    ("iris", datasets.load_iris, True, 0.001),
    ("diabetes", datasets.load_diabetes, False, 0.01),
]


def write(path, inputs, targets):
    header = ",".join([f"x{i}" for i in range(inputs.shape[1])] + ["target"])
    rows = [",".join([f"{x:.9g}" for x in row] + [str(target)]) for row, target in zip(inputs, targets)]
    path.write_text("\n".join([header] + rows) + "\n")


def by_wgrad(folder, split, classes, rate, seed):
    train, test, train_targets, test_targets = split
    write(folder / "train.csv", train, train_targets)
    write(folder / "test.csv", test, test_targets)
    task = "classification" if classes else "regression"
    settings = ["--hidden", str(HIDDEN), "--init", "xavier_uniform", "--optimizer", "adam"]
    settings += ["--lr", str(rate), "--batch", str(BATCH), "--epochs", str(EPOCHS)]
    common = [WGRAD, "--device", "cpu", "--json"]
    shares = ["--test", "0", "--validation", "0", "--task", task, "--no-tune", "--out", "model.safetensors"]
    for command in (
        common + ["--seed", str(seed), "train", "train.csv", *settings, *shares],
        common + ["evaluate", "model.safetensors", "test.csv", "--no-tune"],
    ):
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    return found["accuracy"] if classes else found["r_squared"]


def by_scikit_learn(split, classes, rate, seed):
    train, test, train_targets, test_targets = split
    scaler = StandardScaler().fit(train)
    network = (MLPClassifier if classes else MLPRegressor)(
        hidden_layer_sizes=[HIDDEN], learning_rate_init=rate, batch_size=min(BATCH, len(train)), max_iter=EPOCHS, alpha=0,
        n_iter_no_change=EPOCHS, random_state=seed,
    )
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        network.fit(scaler.transform(train), train_targets)
    return network.score(scaler.transform(test), test_targets)


def main():
    print(f"| set | judged by | scikit-learn | wgrad | difference | standard error |\n|---|---|---|---|---|---|")
    worse = []
    for name, load, classes, rate in SETS:
        data = load()
        scores = []
        for seed in range(SEEDS):
            stratify = data.target if classes else None
            split = train_test_split(data.data, data.target, test_size=0.25, random_state=seed, stratify=stratify)
            draws = range(seed * DRAWS, (seed + 1) * DRAWS)
            with tempfile.TemporaryDirectory() as place:
                ours = np.mean([by_wgrad(pathlib.Path(place), split, classes, rate, draw) for draw in draws])
            scores.append((np.mean([by_scikit_learn(split, classes, rate, draw) for draw in draws]), ours))
        scores = np.array(scores)
        means, deviations = scores.mean(0), scores.std(0, ddof=1)
        difference, error = means[1] - means[0], deviations[0] / SEEDS**0.5
        both = [f"{mean:.4f} ± {deviation:.4f}" for mean, deviation in zip(means, deviations)]
        judged = "accuracy" if classes else "R²"
        print(f"| {name} | {judged} | {both[0]} | {both[1]} | {difference:+.4f} | {error:.4f} |", flush=True)
        if difference < -error:
            worse.append(name)
    if worse:
        sys.exit(f"wgrad is worse by more than a standard error on {', '.join(worse)}")


main()
