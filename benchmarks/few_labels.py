"""Few labels: the whole pipeline, transfer, clusters, and what samples of a conditional model add.

    python -m benchmarks.few_labels joint mnist 100             # features without labels, then both kinds of examples at once
    python -m benchmarks.few_labels joint mnist 1000
    python -m benchmarks.few_labels joint fashion-mnist 1000
    python -m benchmarks.few_labels transfer                    # fine-tuned against the same net from scratch
    python -m benchmarks.few_labels clusters                    # of the features, against k-means of pixels
    python -m benchmarks.few_labels use                         # real and synthetic examples against real ones alone

Recipes were chosen with labels drawn from the first 50,000 training images and the last 10,000 to measure on; test images are
looked at here only. Labels are drawn anew in each of 5 draws, as many of each class; the features, which see no label, are
learned once a set and kept in a folder, `FEATURES`, which the pipelines, the transfer and the clusters share.
"""

import math
import os
import statistics
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np

import calco
from benchmarks.record import commit, save
from calco.clusters import k_means
from calco.data import ArraySource, PartlyLabelled, Subset, open_data
from calco.evaluation.use import measure_use
from calco.few_labels import drawn, transfer
from calco.maths.clusters import cluster_accuracy
from calco.runs import read_json

FEATURES = Path(os.environ.get("FEATURES", Path(tempfile.gettempdir()) / "calco-features"))
DRAWS = 5
ALLOWED = 30
"""Minutes for a pipeline: features and one classifier."""

RECIPES: dict[str, dict[str, Any]] = {
    "mnist": {
        "features": {"colour": 0.0},
        "features_training": {"steps": 3000},
        "classifier": {"colour": 0.0},
        "training": {"steps": 3000},
    },
    "fashion-mnist": {
        "features": {"flip": "horizontal", "rotate": 5.0},
        "features_training": {"steps": 3000},
        "classifier": {
            "flip": "horizontal",
            "rotate": 5.0,
            "zoom": 0.05,
            "shift": 0.05,
            "encoder_pace": 1.0,
            "threshold": 0.7,
        },
        "training": {"steps": 3000},
    },
}
AIMS = {("mnist", 100): (0.97, 0.99), ("mnist", 1000): (0.985, 0.992), ("fashion-mnist", 1000): (0.845, 0.88)}


def features(name: str) -> tuple[Any, float]:
    """The features of a set, and the minutes that they took to learn."""
    recipe, folder = RECIPES[name], FEATURES / name
    if not (folder / "run.json").exists():
        made = calco.Contrastive(**recipe["features"], training={"log_every": 500, **recipe["features_training"]})
        made.fit(name, out=folder, report=lambda line: print(line, flush=True))
    return calco.load(folder), read_json(folder / "run.json")["seconds"] / 60


def joint(name: str, labels: int) -> None:
    """Accuracy on the test part after learning from a few labels and all examples."""
    measured_at, recipe = commit(), RECIPES[name]
    encoder, before = features(name)
    train, test = open_data(name), open_data(f"{name}:test")
    right, minutes = [], []
    for draw in range(DRAWS):
        began = time.perf_counter()
        few = Subset(train, drawn(train, labels, draw, "accuracy"))
        training = {"seed": draw, "log_every": 500, **recipe["training"]}
        model = calco.Classifier(encoder, **recipe["classifier"], training=training)
        model.fit(PartlyLabelled(few, train), report=lambda line: print(line, flush=True))
        minutes.append(before + (time.perf_counter() - began) / 60)
        right.append(model.score(test))
        print(draw, right[-1], f"{minutes[-1]:.1f} minutes", flush=True)
    least, reach = AIMS[name, labels]
    figure = {
        "what": f"{name}, {labels:,} labels: test accuracy",
        "value": statistics.mean(right),
        "standard_error": statistics.stdev(right) / DRAWS**0.5,
        "unit": "",
        "better": "higher",
        "at_least": least,
        "reach_for": reach,
        "draws": right,
        "training_minutes": max(minutes),
        "allowed_minutes": ALLOWED,
        "protocol": f"contrastive features of all {len(train):,} training images, then a classifier on {labels:,} labelled ones"
        f" and all without labels; mean of {DRAWS} draws on all {len(test):,} test images; the time is the longest pipeline's",
    }
    save(f"few_labels_{name}_{labels}", [figure], measured_at, recipe=recipe)


def transferred() -> None:
    """Points that fine-tuning gains over the same net from scratch."""
    measured_at, (encoder, _) = commit(), features("mnist")
    frame: Any = transfer(encoder, "mnist", [100], say=lambda line: print(line, flush=True), draws=DRAWS)
    figures = [
        {
            "what": f"mnist, {row['labels']:,} labels: fine-tuned over from scratch",
            "value": 100 * row["gain"],
            "standard_error": 100 * (row["gain_high"] - row["gain"]) / 2.776,  # Student's t, 4 degrees of freedom
            "unit": "points",
            "better": "higher",
            "at_least": 10,
            "reach_for": 20,
            "protocol": f"one net, one recipe (1,000 steps, no augmentation), {DRAWS} draws of labels, all test images",
        }
        for row in frame[frame["way"] == "fine-tuned"].to_dict("records")
    ]
    ways = [{k: row[k] for k in ("way", "labels", "mean", "low", "high")} for row in frame.to_dict("records")]
    save("few_labels_transfer", figures, measured_at, ways=ways)


def clusters() -> None:
    """Accuracy of clusters of the test images, which no training saw."""
    measured_at, (encoder, before) = commit(), features("mnist")
    test = open_data("mnist:test")
    x, y = test.take(np.arange(len(test)))
    assert y is not None
    found = encoder.cluster(test, 10)
    figure = {
        "what": "mnist, 10 clusters: accuracy by the best match",
        "value": cluster_accuracy(y, found.cluster),
        "unit": "",
        "better": "higher",
        "at_least": 0.94,
        "reach_for": 0.98,
        "by_k_means_of_the_features": cluster_accuracy(y, k_means(encoder.encode(test), 10)),
        "by_k_means_of_pixels": cluster_accuracy(y, k_means(x.reshape(len(x), -1) / 255.0, 10)),
        "number_chosen": encoder.cluster(test).about,
        "training_minutes": before,
        "allowed_minutes": ALLOWED,
        "protocol": f"all 10,000 test images, {found.about}; features of the training images",
    }
    save("few_labels_clusters", [figure], measured_at, recipe=RECIPES["mnist"]["features"])


def use() -> None:
    """What samples of a conditional model, itself learned from few labels, add to those."""
    measured_at, train, test = commit(), open_data("mnist"), open_data("mnist:test")
    gains, figures = [], []
    for draw in range(DRAWS):
        rows = drawn(train, 1000, draw, "accuracy")
        few: Any = Subset(train, rows).take(np.arange(len(rows)))
        source = ArraySource(few.x, few.y)
        training = {"steps": 3000, "validation": 0.0, "keep": "last", "seed": draw}
        sampler = calco.GAN(conditional=True, training=training).fit(source)
        found = measure_use(sampler, test, source, amounts=[100], draws=1)
        mixed = next(f for f in found if f.name.startswith("learned from samples and"))
        gains.append(100 * (mixed.value - (mixed.baseline or math.nan)))
        print(draw, mixed.value, mixed.baseline, flush=True)
        figures.append((mixed.value, mixed.baseline))
    figure = {
        "what": "mnist, 100 labels a class: real and synthetic over real alone",
        "value": statistics.mean(gains),
        "standard_error": statistics.stdev(gains) / DRAWS**0.5,
        "unit": "points",
        "better": "higher",
        "at_least": 0,
        "reach_for": 1,
        "draws": figures,
        "protocol": "a conditional GAN learned from those 1,000 images alone; 500 samples a class; one convolutional net, 500"
        f" steps; all test images; {DRAWS} draws",
    }
    save("few_labels_use", [figure], measured_at)


if __name__ == "__main__":
    modes = {"transfer": transferred, "clusters": clusters, "use": use}
    if sys.argv[1] == "joint":
        joint(sys.argv[2], int(sys.argv[3]))
    else:
        modes[sys.argv[1]]()
