"""Figures are of the model as it is: nothing outlives an evaluation, and within one nothing is computed twice."""

import gc
import weakref
from collections import Counter

import numpy as np
import pytest
import torch

import calco
from calco.data import Source, open_data
from calco.evaluation import EvalContext, evaluate
from calco.report import write_report
from calco.verbs import Verbs
from tests.data.test_tables import people
from tests.models.test_segmenter import scenes
from tests.small import small

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


def by_name(figures):
    return {figure.name: figure.value for figure in figures}


def disturb(model):
    """Other weights, in the same tensors."""
    with torch.no_grad():
        for weight in model.model_.parameters():
            weight += 0.3 * torch.randn(weight.shape, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def parts():
    """One source of vectors in two classes for each part, the same objects in every evaluation."""
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 300)
    x = rng.normal(size=(300, 5)) + 3 * y[:, None]
    return open_data(x[:200], y[:200]), open_data(x[200:], y[200:])


def test_samples_are_measured_as_they_are_now(parts):
    train, test = parts
    rbm = calco.RBM(20, burn_in=1, thin=1, samples=5, betas=5, training={**SHORT, "steps": 60, "lr": 0.05}).fit(train)
    changes = (lambda: None, lambda: rbm.adjust(burn_in=50), lambda: disturb(rbm))
    found = []
    for change in changes:
        change()
        figures = by_name(evaluate(rbm, test, train))
        found.append([figures[name] for name in ("Fréchet distance", "kernel distance", "coverage")])
        samples = rbm.schema_.encode(rbm.sample(100))
        own = EvalContext(rbm, test, train).drawn(100)
        assert torch.equal(own, samples)
    assert len({tuple(figures) for figures in found}) == 3


def test_predictions_are_measured_as_they_are_now(parts):
    train, test = parts
    model = calco.Classifier(net="mlp", width=8, training={"steps": 60, "batch_size": 64}).fit(train)
    found = []
    for _ in range(2):
        found.append(by_name(evaluate(model, test, train))["accuracy"])
        assert found[-1] == pytest.approx(np.mean(model.predict(test) == test.y))
        disturb(model)
    assert found[0] != found[1]


def test_masks_are_measured_as_they_are_now():
    x, y = scenes(6)
    source = open_data(x, masks=y)
    model = calco.Segmenter(width=8, levels=2, training={"steps": 20, "batch_size": 4}).fit(source)
    for _ in range(2):
        found = by_name(evaluate(model, source, source))["pixel accuracy"]
        assert found == pytest.approx(np.mean(model.segment(x) == y))
        disturb(model)


@pytest.mark.parametrize("family", [calco.VAE, calco.Classifier])
def test_no_model_lives_on_after_it_was_measured(family, parts, tmp_path):
    train, test = parts
    model = small(family, training=SHORT).fit(train)
    alive = weakref.ref(model.model_)
    evaluate(model, test, train)
    write_report([model], test, tmp_path / "page.html", train=train)
    del model
    gc.collect()
    assert alive() is None


@pytest.fixture
def counted(monkeypatch):
    """How often each verb was called with the same arguments; data count as the same by their contents."""
    calls = Counter()

    def key(value):
        return value.describe()["fingerprint"] if isinstance(value, Source) else repr(value)

    def watch(name):
        verb = getattr(Verbs, name)
        real = verb.fn if hasattr(verb, "fn") else verb

        def spy(self, *args, **options):
            calls[name, *map(key, args), *sorted((k, key(v)) for k, v in options.items() if v not in (0, None))] += 1
            return real(self, *args, **options)

        monkeypatch.setattr(Verbs, name, spy)

    for name in ("sample_tensor", "encode", "reconstruct_tensor", "log_prob_estimate", "predict", "batches"):
        watch(name)
    return calls


def test_nothing_is_computed_twice(parts, counted, tmp_path):
    train, test = parts
    table, rows = (open_data(people(n, seed=n)[["wage", "job"]]) for n in (70, 55))
    for model, here, known in (
        (calco.Classifier(width=4, training=SHORT), test, train),
        (calco.VAE(latent=2, width=8, samples=5, training=SHORT), rows, table),
    ):
        model.fit(known)
        counted.clear()
        write_report([model], here, tmp_path / "page.html", train=known)
        verbs = {name[0] for name in counted}
        assert "batches" in verbs
        assert "sample_tensor" in verbs or "sample" not in model.capabilities_
        assert {call: n for call, n in counted.items() if n > 1 and call[0] != "batches"} == {}


def test_examples_that_take_much_memory_are_not_kept(parts, monkeypatch):
    train, test = parts
    model = calco.Autoencoder(latent=2, width=4, training=SHORT).fit(train)
    context = EvalContext(model, test, train)
    assert context.encoded("source") is context.encoded("source")
    monkeypatch.setattr("calco.evaluation.context.KEPT", 100)
    context = EvalContext(model, test, train)
    assert context.encoded("source") is not context.encoded("source")
    assert torch.equal(context.encoded("source", 10), model.schema_.encode(test.x[np.linspace(0, 99, 10).round().astype(int)]))
