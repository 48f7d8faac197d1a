"""Use of samples that are known to be data, or to mislead."""

from typing import Any

import numpy as np
import pytest
import torch

import calco
from calco.data import ArraySource, open_data
from calco.errors import RequestError
from calco.evaluation import classify, evaluate, use
from calco.evaluation.use import measure_use

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


def classes(n: int, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Two classes that few examples tell apart badly and many well."""
    rng = np.random.default_rng(seed)
    y = np.arange(n) % 2
    x = rng.normal(size=(n, 6))
    x[:, 0] += np.where(y, 1.5, -1.5) * np.sign(x[:, 1])
    return x, y


class Given:
    """Stands in for a conditional model whose samples are data, or data with the wrong label."""

    run_, ways_ = None, ("given",)

    def __init__(self, estimator, wrong=False):
        self.schema_, self.wrong = estimator.schema_, wrong
        self.model_ = torch.nn.Module()
        self.model_.classes = 2

    def sample_tensor(self, n, *, label=None, seed=0):
        x, y = classes(2 * n, 100 + seed)
        return self.schema_.encode(x[y == ((label == "1") != self.wrong)])


@pytest.fixture(scope="module")
def parts():
    train, test = (ArraySource(*classes(n, seed)) for n, seed in ((600, 0), (1000, 1)))
    return calco.Autoencoder(latent=2, training=SHORT).fit(train), test, train


def test_samples_that_are_data_help_and_those_that_mislead_harm(parts):
    estimator, test, train = parts
    good: list[Any]
    bad: list[Any]
    good, bad = (
        measure_use(Given(estimator, wrong), test, train, amounts=(20,), synthetic=300, draws=3) for wrong in (False, True)
    )
    alone, both = good
    assert alone.value > 0.85
    assert both.value > both.baseline + 0.05
    assert both.error < 0.05
    assert bad[0].value < 0.3
    assert bad[1].value < bad[1].baseline


def test_one_model_of_each_class_does_too(parts):
    _, test, train = parts
    one, two = (calco.VAE(latent=1, training=SHORT).fit(train.x[train.y == label]) for label in (0, 1))
    figures = measure_use({0: one, 1: two}, test, train, amounts=(20, 100), synthetic=40, draws=2)
    assert [f.name for f in figures] == [
        "learned from samples alone",
        "learned from samples and 20 real examples a class",
        "learned from samples and 100 real examples a class",
    ]
    # Each model has a scale of its own, and its samples come back by one for all.
    apart = train.x + 50.0 * train.y[:, None]
    own = {label: calco.VAE(latent=1, training=SHORT).fit(apart[train.y == label]) for label in (0, 1)}
    new = ArraySource(test.x + 50.0 * test.y[:, None], test.y)
    alone, _ = measure_use(own, new, ArraySource(apart, train.y), amounts=(20,), synthetic=100, draws=1)
    assert alone.value > 0.95
    with pytest.raises(RequestError, match="no model of the class 1"):
        measure_use({0: one}, test, train, amounts=(20,), synthetic=40, draws=1)


def test_amounts_that_are_not_there_are_left_out(parts):
    estimator, test, train = parts
    figures = measure_use(Given(estimator), test, train, amounts=(20, 10_000), synthetic=40, draws=1)
    assert len(figures) == 2
    with pytest.raises(RequestError, match="only 300"):
        measure_use(Given(estimator), test, train, amounts=(10_000,), synthetic=40, draws=1)


def test_a_model_without_labels_has_no_use_to_measure(parts):
    estimator, test, train = parts
    with pytest.raises(RequestError, match="that samples a class"):
        evaluate(estimator, test, train, use=True)


def test_the_learner_learns_images(monkeypatch):
    monkeypatch.setattr(classify, "RECIPE", classify.RECIPE.changed({"steps": 150}))
    digits = open_data("digits")
    x, y = torch.from_numpy(digits.x[:600] / 16).float()[:, None], torch.from_numpy(digits.y[:600])
    found = classify.learned(x[:400], y[:400], x[400:])
    assert (found == y[400:]).float().mean() > 0.8


def test_figures_are_means_over_draws_with_errors_of_their_own(parts, monkeypatch):
    """What is learned from, by which seed, and what is made of the shares that are right."""
    estimator, test, train = parts
    test = ArraySource(test.x[:100], test.y[:100])
    asked = []

    def learned(x, y, new, seed):
        asked.append((torch.bincount(y).tolist(), seed))
        right = {80: 60 + seed**2, 160: 70 + 2 * seed**2, 40: 80 + 3 * seed}[len(x)]
        return torch.from_numpy(test.y) ^ (torch.arange(100) >= right)

    monkeypatch.setattr(use, "learned", learned)
    alone, mixed = measure_use(Given(estimator), test, train, amounts=(20,), synthetic=40, draws=3)
    # Real examples are repeated to be as many as samples.
    assert asked == [(each, draw) for draw in range(3) for each in ([40, 40], [80, 80], [20, 20])]
    assert alone.value == pytest.approx(np.mean([0.60, 0.61, 0.64]))
    assert alone.error == pytest.approx(np.std([0.60, 0.61, 0.64], ddof=1) / 3**0.5)
    assert mixed.value == pytest.approx(np.mean([0.70, 0.72, 0.78]))
    assert mixed.error == pytest.approx(np.std([-0.10, -0.11, -0.08], ddof=1) / 3**0.5)  # of the difference
    for figure in (alone, mixed):
        assert figure.baseline == pytest.approx(0.83)
        assert figure.baseline_name == "the same from 20 real examples of each class alone"
        assert (figure.unit, figure.better) == ("accuracy", "higher")
    alone, _ = measure_use(Given(estimator), test, train, amounts=(20,), synthetic=40, draws=1)
    assert alone.error is None


def test_it_is_said_how_many_labels_the_samples_rest_on(parts, tmp_path, monkeypatch):
    _, test, train = parts
    monkeypatch.setattr(use, "learned", lambda x, y, new, seed: torch.zeros(len(new), dtype=torch.long))
    kept, other = (
        calco.VAE(latent=1, conditional=True, training=SHORT).fit(ArraySource(train.x[:n], train.y[:n]), out=out)
        for n, out in ((400, tmp_path / "run"), (300, None))
    )
    for model, said in ((kept, "; what samples had learned from 400 labelled examples"), (other, "")):
        figures = measure_use(model, test, train, amounts=(20,), synthetic=10, draws=1)
        assert all(figure.protocol.partition("draws")[2].startswith(said) for figure in figures)
        assert all(("had learned" in figure.protocol) == bool(said) for figure in figures)
