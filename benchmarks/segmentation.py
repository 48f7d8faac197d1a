"""Semantic segmentation of road scenes, ECGs and nuclei; decoders side by side; pre-training without labels; memory.

    python -m benchmarks.segmentation scenes        # CamVid, 30 minutes
    python -m benchmarks.segmentation decoders      # SegNet's table of decoders, 3 seeds
    python -m benchmarks.segmentation longer        # two of its pairs with five times the steps
    python -m benchmarks.segmentation pretraining   # 37 labelled images, with and without the encoder of an autoencoder
    python -m benchmarks.segmentation signals       # ECG segments, 3 folds by patient
    python -m benchmarks.segmentation nuclei        # nuclei, foreground IU
    python -m benchmarks.segmentation tiles         # one image of 8,000 x 8,000 places: peak memory

Recipes were chosen on CamVid's validation part, on drives left out of its training part (test images come from other drives),
on folds of training patients and on the last fifth of the training nuclei; test data are looked at here only.
"""

import itertools
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

import calco
from benchmarks.record import commit, save
from calco.data import Source, open_data
from calco.data.masks import MaskedSource
from calco.evaluation import EvalContext
from calco.evaluation.segmentation import segmentation_figures, segmented_by
from calco.maths.overlap import IGNORED, overlap

PARTS = {"train": 367, "val": 101, "test": 233}
VOID = 11
SEEDS = range(3)

SCENES: dict[str, Any] = {
    "model": {
        "architecture": "unet",
        "stem": 2,
        "levels": 4,
        "width": 24,
        "balance": 0.5,
        "contrast": 135,
        "colour": 0.6,
    },
    "seconds": 1530,
}
DECODERS: dict[str, Any] = {
    "model": {"stem": 2, "levels": 4, "width": 24, "blocks": 1, "zoom": 1.0, "colour": 0.6, "balance": 1.0},
    "training": {"steps": 300},
    "longer": 1500,
}
PRETRAINING: dict[str, Any] = {
    "autoencoder": {"latent": 256, "mask": 0.5, "width": 16},
    "autoencoder_training": {"steps": 3000, "batch_size": 8, "lr": 1e-3},
    "model": {"architecture": "fcn8s", "balance": 0.5, "colour": 0.6},
    "training": {"steps": 300},
    "longer": 600,
}
SIGNALS: dict[str, Any] = {
    "model": {"architecture": "unet", "width": 24, "levels": 5},
    "training": {"steps": 600, "batch_size": 32},
}
NUCLEI: dict[str, Any] = {
    "model": {
        "architecture": "unet",
        "levels": 5,
        "width": 24,
        "loss": "cross_entropy+dice",
        "contrast": 101,
        "flip": "both",
        "zoom": 1.0,
        "colour": 0.3,
    },
    "seconds": 1560,
}


def folder(name: str) -> Path:
    """A folder of data."""
    return Path(os.environ["CALCO_DATA"]) / name


def road(part: str) -> Any:
    """A part of CamVid."""
    scenes = folder("camvid_240x180")
    source = open_data(scenes / part, masks=scenes / f"{part}annot", ignore_index=VOID)
    assert len(source) == PARTS[part]
    return source


def arrays(x: Any, y: Any, classes: tuple[str, ...]) -> MaskedSource:
    """Examples and masks in memory."""
    return MaskedSource(x, y, classes=classes, ignore=IGNORED)


def trained(train: Source, recipe: dict[str, Any], seed: int = 0, **changes: Any) -> tuple[calco.Segmenter, float]:
    """A segmenter of a recipe, and the minutes it took."""
    settings = {"log_every": 100, "checkpoint_every": 5000, "seed": seed, **recipe["training"]}
    segmenter = calco.Segmenter(**{**recipe["model"], **changes}, training=settings)
    started = time.perf_counter()
    segmenter.fit(train, report=lambda line: print(line, flush=True))
    return segmenter, (time.perf_counter() - started) / 60


def within(train: Source, recipe: dict[str, Any]) -> dict[str, Any]:
    """A recipe with as many steps as its seconds allow on this machine: those of a short run are timed."""
    times: dict[int, float] = {}
    first, last = 10, 70
    short = {**recipe.get("training", {}), "steps": last, "log_every": 1}
    segmenter = calco.Segmenter(**recipe["model"], training=short)
    segmenter.fit(train, report=lambda line: times.update({line["step"]: time.perf_counter()}))
    steps = int(recipe["seconds"] * (last - first) / (times[last] - times[first]))
    return {"model": recipe["model"], "training": {**recipe.get("training", {}), "steps": steps}}


def mean_iu(segmenter: calco.Segmenter, source: Source) -> float:
    """Over a whole source."""
    return overlap(segmented_by(segmenter, source).counts.sum(0)).mean_iu


def scenes() -> list[dict[str, Any]]:
    """Pixel accuracy and mean IU of CamVid's test part."""
    train = road("train")
    recipe = within(train, SCENES)
    segmenter, minutes = trained(train, recipe)
    found = {figure.name: figure for figure in segmentation_figures(EvalContext(segmenter, road("test"), train))}
    others = "; ".join(f"{name} {figure.value:.3f}" for name, figure in found.items())
    return [
        {
            "training_minutes": minutes,
            "allowed_minutes": 30,
            "what": f"CamVid at 240 x 180, test, 30 minutes: {name}",
            "value": found[name].value,
            "unit": "",
            "better": "higher",
            "at_least": least,
            "reach_for": most,
            "standard_error": found[name].error,
            "protocol": f"trained on the 367 training images from random weights, {recipe['training']['steps']:,} steps;"
            f" {found[name].protocol}; all: {others}",
        }
        for name, least, most in (("pixel accuracy", 0.82, 0.87), ("mean IU", 0.45, 0.52))
    ]


TABLE: dict[str, tuple[tuple[str, str, str], float | None]] = {
    "fixed bilinear interpolation of scores": (("fcn32s", "bilinear", "auto"), 0.433),
    "deconvolution of scores, no addition": (("fcn32s", "transpose", "auto"), 0.441),
    "deconvolution of maps, no addition": (("segnet", "transpose", "none"), 0.459),
    "deconvolution of scores, encoder addition": (("fcn8s", "transpose", "auto"), 0.473),
    "max unpooling of maps, no addition": (("segnet", "max_unpooling", "none"), 0.477),
    "max unpooling of maps, encoder addition": (("segnet", "max_unpooling", "add"), 0.485),
    "deconvolution of maps, encoder addition": (("segnet", "transpose", "add"), 0.501),
    "fixed bilinear interpolation of maps, no addition": (("segnet", "bilinear", "none"), None),
    "nearest unpooling of maps, no addition": (("segnet", "nearest", "none"), None),
    "bed of nails of maps, no addition": (("segnet", "bed_of_nails", "none"), None),
}
"""Architecture, upsampling and skips of decoders, and mean IU after Badrinarayanan, Kendall and Cipolla 2017 (table 1,
median-frequency weights)."""


def decoders() -> list[dict[str, Any]]:
    """SegNet's table under one budget, and whether the published order holds."""
    train, test, found = road("train"), road("test"), dict[str, list[float]]()
    for name, (decoder, _) in TABLE.items():
        settings = dict(zip(("architecture", "upsampling", "skips"), decoder, strict=True))
        found[name] = [mean_iu(trained(train, DECODERS, seed, **settings)[0], test) for seed in SEEDS]
        print(name, found[name], flush=True)
    figures = []
    for name, values in sorted(found.items(), key=lambda item: statistics.mean(item[1])):
        published = TABLE[name][1]
        figures.append(
            {
                "what": f"decoders on CamVid: {name}: mean IU",
                "value": statistics.mean(values),
                "unit": "" if published is None else f"(published: {published})",
                "better": "higher",
                "standard_error": statistics.stdev(values) / len(values) ** 0.5,
                "seeds": values,
            }
        )
    printed = {name: value for name, (_, value) in TABLE.items() if value is not None}
    pairs = list(itertools.combinations(sorted(printed, key=lambda name: printed[name]), 2))
    held = [(a, b) for a, b in pairs if statistics.mean(found[a]) < statistics.mean(found[b])]
    wrong = "; ".join(f"{a} above {b}" for a, b in pairs if (a, b) not in held)
    figures.append(
        {
            "what": "decoders on CamVid: pairs in the published order",
            "value": len(held),
            "unit": f"of {len(pairs)}",
            "better": "higher",
            "at_least": 0,
            "reach_for": len(pairs),
            "protocol": f"{DECODERS['training']['steps']} steps of 8 images each, 3 seeds, one recipe; mean IU over the"
            f" {PARTS['test']} test images; median-frequency weights. Against the published order: {wrong or 'none'}",
        }
    )
    return figures


def longer() -> list[dict[str, Any]]:
    """Max unpooling against deconvolution of maps, the pairs whose published order the short budget turns, given more steps."""
    train, test, figures = road("train"), road("test"), []
    recipe = {**DECODERS, "training": {"steps": DECODERS["longer"]}}
    for skips in ("no addition", "encoder addition"):
        pair = [TABLE[f"{kind} of maps, {skips}"] for kind in ("max unpooling", "deconvolution")]
        published = (pair[0][1] or 0.0) - (pair[1][1] or 0.0)
        found: dict[str, list[float]] = {}
        for (decoder, _), seed in itertools.product(pair, SEEDS):
            settings = dict(zip(("architecture", "upsampling", "skips"), decoder, strict=True))
            values = found.setdefault(decoder[1], [])
            values.append(mean_iu(trained(train, recipe, seed, **settings)[0], test))
            print(skips, decoder[1], values, flush=True)
        differences = np.subtract(found["max_unpooling"], found["transpose"])
        means = ", ".join(f"{upsampling} {statistics.mean(each):.3f}" for upsampling, each in found.items())
        figures.append(
            {
                "what": f"decoders on CamVid, {DECODERS['longer']:,} steps: mean IU of max unpooling of maps less that of"
                f" deconvolution, {skips}",
                "value": 100 * float(differences.mean()),
                "unit": f"points (published: {100 * published:+.1f})",
                "better": "higher",
                "standard_error": 100 * float(differences.std(ddof=1)) / len(differences) ** 0.5,
                "values": found,
                "protocol": f"the recipe of the table of decoders, {DECODERS['longer']:,} steps; mean over 3 seeds: {means}",
            }
        )
    return figures


def pretraining() -> list[dict[str, Any]]:
    """What an encoder that has seen 468 images without labels gains where 37 have labels."""
    train, val, test = road("train"), road("val"), road("test")
    few = arrays(train.x[::10], train.y[::10], train.classes)
    assert len(few) == 37
    unlabelled = np.stack([*train.x, *val.x])
    uses = ("random", "fine_tuned", "frozen")
    found: dict[int, dict[str, list[float]]] = {}
    with tempfile.TemporaryDirectory() as out:
        training = {"log_every": 100, "checkpoint_every": 5000, **PRETRAINING["autoencoder_training"]}
        started = time.perf_counter()
        autoencoder = calco.Autoencoder(**PRETRAINING["autoencoder"], training=training)
        autoencoder.fit(unlabelled, out=Path(out) / "ae", report=lambda line: print(line, flush=True))
        minutes = (time.perf_counter() - started) / 60
        for steps, use, seed in itertools.product((PRETRAINING["training"]["steps"], PRETRAINING["longer"]), uses, SEEDS):
            recipe = {**PRETRAINING, "training": {**PRETRAINING["training"], "steps": steps}}
            segmenter, _ = trained(few, recipe, seed, encoder=str(Path(out) / "ae"), encoder_use=use)
            found.setdefault(steps, {}).setdefault(use, []).append(mean_iu(segmenter, test))
            print(steps, use, found[steps][use], flush=True)
    figures = []
    for (steps, values), target in zip(found.items(), ({"at_least": 2.0, "reach_for": 6.0}, {}), strict=True):
        differences = np.subtract(values["fine_tuned"], values["random"])
        means = ", ".join(f"{use} {statistics.mean(each):.3f}" for use, each in values.items())
        figures.append(
            {
                "training_minutes": minutes,
                "allowed_minutes": 30,
                "what": f"CamVid, 37 labelled images, {steps} steps: mean IU that a pre-trained encoder adds to random weights",
                "value": 100 * float(differences.mean()),
                "unit": "points",
                "better": "higher",
                **target,
                "standard_error": 100 * float(differences.std(ddof=1)) / len(differences) ** 0.5,
                "values": values,
                "protocol": "autoencoder of the 468 training and validation images without labels; then every tenth training"
                f" image with labels, {steps} steps from its encoder or from random weights of the same net; mean over 3"
                f" seeds on the {PARTS['test']} test images: {means}; the time is the autoencoder's",
            }
        )
    return figures


def signals() -> list[dict[str, Any]]:
    """Accuracy and mean IU of ECG segments, every patient in one of three test folds."""
    with np.load(folder("ludb_1d") / "ludb_segments.npz") as file:
        signal, label, patient = file["signal"], file["label"], file["patient"]
    classes = tuple(str(i) for i in range(int(label.max()) + 1))
    folds = np.array_split(np.random.default_rng(0).permutation(np.unique(patient)), 3)
    found, took = [], 0.0
    for fold in folds:
        held = np.isin(patient, fold)
        segmenter, minutes = trained(arrays(signal[~held], label[~held], classes), SIGNALS)
        found.append(overlap(segmented_by(segmenter, arrays(signal[held], label[held], classes)).counts.sum(0)))
        took += minutes
        print(found[-1], flush=True)
    return [
        {
            "training_minutes": took,
            "allowed_minutes": 30,
            "what": f"ECG segments, 3 folds by patient: {name}",
            "value": statistics.mean(getattr(fold, key) for fold in found),
            "unit": "",
            "better": "higher",
            "at_least": least,
            "reach_for": most,
            "standard_error": statistics.stdev(getattr(fold, key) for fold in found) / 3**0.5,
            "protocol": f"{len(signal):,} segments of {len(np.unique(patient))} patients; trained on two thirds of them,"
            " measured on the samples of the others, each third in turn; mean over the folds",
        }
        for name, key, least, most in (
            ("accuracy per sample", "pixel_accuracy", 0.90, 0.95),
            ("mean IU", "mean_iu", 0.75, 0.85),
        )
    ]


def nuclei() -> list[dict[str, Any]]:
    """Foreground IU of nuclei."""
    cells = folder("dsb2018_compact")
    everything: Any = open_data(cells / "images", masks=cells / "labels", instances=True)
    parts = (slice(267), slice(267, None))
    train, test = (arrays(everything.x[rows], everything.y[rows], everything.classes) for rows in parts)
    assert (len(train), len(test)) == (267, 67)
    recipe = within(train, NUCLEI)
    segmenter, minutes = trained(train, recipe)
    counts = segmented_by(segmenter, test).counts
    rng = np.random.default_rng(0)
    drawn = [float(overlap(counts[rng.integers(0, 67, 67)].sum(0)).iu[1]) for _ in range(200)]
    return [
        {
            "training_minutes": minutes,
            "allowed_minutes": 30,
            "what": "nuclei: foreground IU",
            "value": float(overlap(counts.sum(0)).iu[1]),
            "unit": "",
            "better": "higher",
            "at_least": 0.85,
            "reach_for": 0.92,
            "standard_error": statistics.stdev(drawn),
            "protocol": "images by name, the first 267 to train on, the last 67 to measure on, accumulated over all places;"
            f" {recipe['training']['steps']:,} steps;"
            " standard error by bootstrap over images",
        }
    ]


def tiles() -> list[dict[str, Any]]:
    """Peak memory of `calco segment` on one image of 8,000 x 8,000 places."""
    train, side = road("train"), 8000
    with tempfile.TemporaryDirectory() as out:
        run, images, found = (Path(out) / name for name in ("run", "images", "found"))
        few = arrays(train.x[:8], train.y[:8], train.classes)
        calco.Segmenter(**SCENES["model"], training={"steps": 1}).fit(few, out=run)
        images.mkdir()
        Image.fromarray(np.tile(train.x[0], (45, 34, 1))[:side, :side]).save(images / "large.png", compress_level=1)
        started = time.perf_counter()
        command = [sys.executable, "-m", "calco", "segment", str(run), str(images), "--out", str(found)]
        subprocess.run(command, check=True)
        took = time.perf_counter() - started
        with Image.open(found / "masks" / "large.png") as mask:
            assert mask.size == (side, side)
    return [
        {
            "what": "calco segment on one image of 8,000 x 8,000 places, in tiles: peak memory of the process",
            "value": resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss / 2**20,
            "unit": "GiB",
            "better": "lower",
            "at_least": 3.0,
            "reach_for": 1.5,
            "protocol": f"the net of the 30 minutes, {len(train.classes)} classes; image, mask, overlay included; {took:.0f} s",
        }
    ]


if __name__ == "__main__":
    measures = {f.__name__: f for f in (scenes, decoders, longer, pretraining, signals, nuclei, tiles)}
    recipes = {"decoders": DECODERS, "longer": DECODERS, "pretraining": PRETRAINING, "signals": SIGNALS, "nuclei": NUCLEI}
    name, measured_at = sys.argv[1], commit()
    save(f"segmentation_{name}", measures[name](), measured_at, recipe=recipes.get(name, SCENES))
