"""Writes scikit_learn.json: outputs and targets with their metrics by scikit-learn, in float64.

    pip install scikit-learn && python tests/data/metrics/scikit_learn.py

Numbers are eighths, which f32 holds exactly, where they should often be equal; elsewhere they are rounded to f32.
"""

import json
from pathlib import Path

import numpy as np
from scipy.special import expit, softmax
from sklearn import metrics as m

random = np.random.default_rng(5)


def quarters(x):
    return np.round(4 * x) / 4


def scores(classes, answers, **how):
    scores = m.precision_recall_fscore_support(classes, answers, zero_division=0, **how)
    return dict(zip(["precision", "recall", "f1", "rows"], scores))


def classification(loss, classes, rows, shares=None):
    binary = classes == 2
    labels = random.choice(classes, rows, p=shares)
    outputs = random.normal(size=(rows, classes)) + 1.5 * np.eye(classes)[labels]
    outputs = quarters(outputs) if binary else outputs.astype(np.float32).astype(float)
    # One answer is the largest, so that its order among equal ones does not matter.
    outputs[np.arange(rows), outputs.argmax(1)] += 0.125
    outputs = outputs.astype(np.float32).astype(float)
    answers = outputs.argmax(1)
    probabilities = softmax(outputs, axis=1) if loss == "softmax_cross_entropy" else expit(outputs)
    probabilities /= probabilities.sum(1, keepdims=True)
    scored, how = (probabilities[:, 1], {}) if binary else (probabilities, {"multi_class": "ovr"})
    per_class = scores(labels, answers, labels=range(classes))
    averages = {f"{average}_average": scores(labels, answers, average=average) for average in ["macro", "weighted"]}
    for average in averages.values():
        del average["rows"]
    return {
        "loss": loss,
        "labels": labels,
        "outputs": outputs,
        "metrics": {
            "accuracy": m.accuracy_score(labels, answers),
            "roc_auc": m.roc_auc_score(labels, scored, **how),
            "log_loss": m.log_loss(labels, probabilities, labels=range(classes)),
            "classes": [{name: column[c] for name, column in per_class.items()} for c in range(classes)],
            **averages,
            "confusion": m.confusion_matrix(labels, answers, labels=range(classes)),
        },
    }


def top_k(classes, rows):
    labels = np.concatenate([np.arange(classes), random.choice(classes, rows - classes)])
    # No two in a row are equal, of which scikit-learn would take the last.
    outputs = np.array([random.permutation(classes) for _ in range(rows)]) + 0.5 + 2 * np.eye(classes)[labels]
    outputs -= 0.25 * np.eye(classes)[labels]
    of = [m.top_k_accuracy_score(labels, outputs, k=k, labels=range(classes)) for k in range(1, 6)]
    return {"loss": "softmax_cross_entropy", "labels": labels, "outputs": outputs, "metrics": {"top_k_accuracy": of}}


def regression(outputs, rows):
    targets = quarters(random.normal(size=(rows, outputs)) * np.arange(1, outputs + 1))
    answers = quarters(0.8 * targets + 0.5 * random.normal(size=(rows, outputs)) + 0.25)

    def of(t, y, **how):
        return {
            "r_squared": m.r2_score(t, y, **how),
            "mae": m.mean_absolute_error(t, y),
            "rmse": m.root_mean_squared_error(t, y),
            "explained_variance": m.explained_variance_score(t, y, **how),
        }

    metrics = of(targets, answers, multioutput="variance_weighted")
    metrics["outputs"] = [of(targets[:, i], answers[:, i]) for i in range(outputs)]
    return {"targets": targets, "outputs": answers, "metrics": metrics}


cases = {
    "classification": [
        classification("softmax_cross_entropy", 2, 40),
        classification("softmax_cross_entropy", 4, 60, [0.4, 0.3, 0.2, 0.1]),
        classification("binary_cross_entropy", 2, 30),
        classification("binary_cross_entropy", 3, 40),
        top_k(7, 40),
    ],
    "regression": [regression(1, 30), regression(3, 25)],
}
text = json.dumps(cases, default=lambda x: x.tolist())
Path(__file__).with_name("scikit_learn.json").write_text(text.replace('"metrics"', '\n"metrics"') + "\n")
