"""Figures of segmentation against scikit-learn's, and what is said of classes that are nowhere."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from sklearn.metrics import accuracy_score, jaccard_score, recall_score

from calco.data import MaskedSource
from calco.errors import RequestError
from calco.evaluation import segmentation
from calco.evaluation.segmentation import Segmented, segmentation_figures, segmented_by
from calco.maths.overlap import IGNORED

NAMES = {"pixel accuracy", "mean accuracy", "mean IU", "frequency-weighted IU"}


def of(counts, outlines=(), classes=None, pixels=None):
    """What a segmenter of some classes made of test examples, as figures by name."""
    counts = torch.as_tensor(counts)
    classes = classes or tuple("abcdefghijklmno"[: counts.shape[1]])
    schema = SimpleNamespace(classes=classes, pixels=pixels or tuple(counts.sum((0, 2)).tolist()))
    found = Segmented(counts, np.array(outlines))
    context = SimpleNamespace(estimator=SimpleNamespace(schema_=schema), role="test", once=lambda key, make: found)
    figures = segmentation_figures(context)
    assert all((one.better, one.unit) == ("higher", "share") for one in figures)
    return {one.name: one for one in figures}


def some_counts(n=40, seed=0):
    """Confusion matrices of three classes, mostly right, the second rare, and of a fourth that is nowhere."""
    rng = np.random.default_rng(seed)
    chances = np.array([[60, 5, 5, 0], [2, 6, 3, 0], [8, 1, 30, 0], [0, 0, 0, 0]])
    return rng.poisson(chances * rng.uniform(0.2, 2, (n, 1, 1)))


def places(counts):
    """True and predicted class of every place."""
    true, predicted = np.indices(counts.shape)
    return true.ravel().repeat(counts.ravel()), predicted.ravel().repeat(counts.ravel())


def reference(counts):
    """The figures by scikit-learn."""
    true, predicted = places(counts)
    ius = jaccard_score(true, predicted, average=None, labels=[0, 1, 2])
    found = {
        "pixel accuracy": accuracy_score(true, predicted),
        "mean accuracy": recall_score(true, predicted, average="macro", labels=np.unique(true)),
        "mean IU": ius.mean(),
        "frequency-weighted IU": (ius * np.bincount(true, minlength=3)[:3]).sum() / len(true),
    }
    return found | {f"IU of {name}": iu for name, iu in zip("abc", ius, strict=True)}


def test_figures_are_those_of_scikit_learn():
    counts = some_counts()
    figures, expected = of(counts), reference(counts.sum(0))
    assert figures.keys() == expected.keys()
    constant = np.zeros_like(counts[0])
    constant[:, 0] = counts.sum((0, 2))
    floor = reference(constant)
    rng = np.random.default_rng(5)
    drawn = [reference(counts[rng.integers(0, len(counts), len(counts))].sum(0)) for _ in range(400)]
    for name, figure in figures.items():
        assert figure.value == pytest.approx(expected[name], abs=1e-12), name
        assert figure.baseline == pytest.approx(floor[name], abs=1e-12), name
        assert figure.baseline_name.startswith("a everywhere")
        assert figure.error == pytest.approx(np.std([one[name] for one in drawn]), rel=0.25), name
    again = of(counts)
    assert [one.error for one in again.values()] == [one.error for one in figures.values()]


def test_a_class_that_is_nowhere_is_in_no_mean_and_said_to_be():
    figures = of(some_counts())
    for name in NAMES:
        said = "neither true nor predicted anywhere, and so in no mean: d" in figures[name].protocol
        assert said == name.startswith("mean")
        assert "more" not in figures[name].protocol
    counts = np.zeros((2, 15, 15), int)
    counts[:, 0, 0] = 5
    assert figures_end(of(counts), "b, c, d, e, f, g, h, i and 6 more")
    assert figures_end(of(counts[:, :9, :9]), "b, c, d, e, f, g, h, i")


def figures_end(figures, text):
    return figures["mean IU"].protocol.endswith(text)


def test_what_is_true_once_or_only_predicted_has_figures_of_its_own():
    counts = np.zeros((2, 3, 3), int)
    counts[:, 0, 0], counts[0, 1, 0], counts[1, 0, 2] = 9, 1, 4
    figures = of(counts)
    assert {name: one.value for name, one in figures.items() if name.startswith("IU")} == {
        "IU of a": pytest.approx(18 / 23),
        "IU of b": 0,
        "IU of c": 0,
    }
    assert "over 1 places of this class and 0 predicted" in figures["IU of b"].protocol
    assert "over 0 places of this class and 4 predicted" in figures["IU of c"].protocol
    assert figures["IU of c"].baseline is None  # where everything is called a, c is nowhere


def test_one_example_has_no_standard_error():
    figures = of(some_counts(1), outlines=[0.5])
    assert all(one.error is None for one in figures.values())


def test_a_class_that_only_one_example_holds_has_an_error():
    counts = np.zeros((2, 2, 2), int)
    counts[:, 0, 0], counts[1, 1, 1] = 9, 1
    figures = of(counts)
    assert figures["IU of b"].error == 0  # in every bootstrap sample that holds it, it is found whole


def test_boundaries_are_those_of_examples_that_have_one():
    values = [0.5, np.nan, 1.0, 0.9, 0.2]
    figure = of(some_counts(), outlines=values)["boundary score"]
    known = np.array([0.5, 1.0, 0.9, 0.2])
    assert figure.value == pytest.approx(known.mean())
    assert figure.error == pytest.approx(known.std() / 2)
    assert "over 4 test examples" in figure.protocol
    assert "boundary score" not in of(some_counts(), outlines=[np.nan])


class Thresholding:
    """A segmenter without a net: what is bright is a thing."""

    schema_ = SimpleNamespace(classes=("ground", "thing"))

    def bands(self, x):
        thing = torch.from_numpy(x > 100)
        yield slice(0, len(x)), torch.stack((~thing, thing)).float()


def squares(n):
    x, y = np.zeros((n, 12, 10), np.uint8), np.zeros((n, 12, 10), np.uint8)
    for i in range(n):
        y[i, 2 : 5 + i % 4, 3:8], x[i, 2 : 6 + i % 4, 3:8] = 1, 200
    y[:, 0] = 7
    return MaskedSource(x, y, classes=("ground", "thing"), ignore=7)


def test_every_example_is_counted_and_some_are_outlined(monkeypatch):
    source = squares(9)
    found = segmented_by(Thresholding(), source)  # type: ignore[arg-type]
    assert found.counts[:, 1, 1].tolist() == [5 * (3 + i % 4) for i in range(9)]
    assert found.counts[:, 0, 1].tolist() == [5] * 9
    assert found.counts.sum((1, 2)).tolist() == [110] * 9  # the first line does not count
    assert len(found.outlines) == 9
    monkeypatch.setattr(segmentation, "OUTLINED", 3)
    few = segmented_by(Thresholding(), source)  # type: ignore[arg-type]
    assert few.outlines.tolist() == found.outlines[[0, 4, 8]].tolist()
    assert torch.equal(few.counts, found.counts)
    with pytest.raises(RequestError, match="--masks"):
        segmented_by(Thresholding(), squares_without_masks())  # type: ignore[arg-type]


def squares_without_masks():
    from calco.data import ArraySource

    return ArraySource(np.zeros((3, 12, 10), np.uint8))


def test_the_constant_of_the_baseline_is_the_commonest_class_of_the_training_data():
    figures = of(some_counts(), pixels=(1, 9, 2, 0))
    assert figures["mean IU"].baseline_name.startswith("b everywhere")
    constant = np.zeros((4, 4), int)
    constant[:, 1] = some_counts().sum((0, 2))
    assert figures["mean IU"].baseline == pytest.approx(reference(constant)["mean IU"])


def test_ignored_places_are_those_of_the_mask():
    assert IGNORED == -1
    found: Any = squares(1).take(np.array([0]))
    assert (found.y[0, 0] == IGNORED).all()
