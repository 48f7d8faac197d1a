"""Fidelity and Parzen estimates: protocols, floors, features that stay the same."""

import os
import re
import signal
from typing import Any

import numpy as np
import pytest
import torch

import calco
from calco.data import ArraySource, Subset, open_data, with_classes
from calco.errors import RequestError
from calco.evaluation import evaluate, features
from calco.evaluation.features import Extractor, LabelModel, extractor_for, label_model, read
from calco.evaluation.fidelity import measure_fidelity
from calco.evaluation.parzen import WIDTHS, k_means, log_density, parzen
from calco.training import Interrupted

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


class Copies:
    """Stands in for a fitted estimator whose samples are given."""

    capabilities_ = ("sample",)
    ways_ = ("given",)

    def __init__(self, estimator, samples, classes=0):
        self.schema_, self.run_, self.samples = estimator.schema_, None, samples
        self.model_ = torch.nn.Module()
        self.model_.classes = classes

    def sample_tensor(self, n, *, seed=0):
        return self.samples[:n]


@pytest.fixture(scope="module")
def vae():
    return calco.VAE(latent=4, width=8, training=SHORT).fit("digits")


@pytest.fixture(scope="module")
def digits():
    return open_data("digits:test"), open_data("digits")


def images(estimator, source, rows=slice(None)):
    return estimator.schema_.encode(source.take(np.arange(len(source))[rows]).x)


def test_examples_are_no_floor_for_themselves(vae, digits):
    x = images(vae, digits[0])
    figures = measure_fidelity(Copies(vae, x), digits[1], digits[1], n=200)
    assert {f.name for f in figures} >= {"Fréchet distance", "coverage"}
    assert all(f.baseline is None and "training examples" in f.protocol for f in figures)


def test_training_examples_reach_the_floor_and_noise_does_not(vae, digits):
    test, train = digits
    x = images(vae, train)
    real: dict[str, Any] = {f.name: f for f in measure_fidelity(Copies(vae, x), test, train)}
    random = torch.rand(x.shape, generator=torch.Generator().manual_seed(0))
    noise: dict[str, Any] = {f.name: f for f in measure_fidelity(Copies(vae, random), test, train)}
    assert real["Fréchet distance"].value < 5 * real["Fréchet distance"].baseline
    assert noise["Fréchet distance"].value > 15 * noise["Fréchet distance"].baseline
    for name in ("precision", "recall", "density", "coverage"):
        assert real[name].value > 0.7
        assert real[name].baseline > 0.7
    assert noise["coverage"].value < 0.5
    protocol = real["coverage"].protocol
    assert protocol.startswith(
        "360 samples (given) against 360 held-out examples; features, 64 of them: the last hidden layer of a net"
    )
    assert "trained on the labels of 1,437 training examples (digest " in protocol


def test_features_are_trained_once_and_stay_the_same(vae, digits, monkeypatch):
    first = extractor_for(vae, digits[1])
    monkeypatch.setattr("calco.evaluation.features.train", lambda *_: pytest.fail("trained again"))
    assert extractor_for(vae, digits[1]).digest == first.digest
    unlabelled = ArraySource(digits[1].x, levels=17)
    assert extractor_for(vae, unlabelled).name == "a fixed random convolutional net"
    assert extractor_for(vae, unlabelled).digest != first.digest


def test_features_are_of_the_labels_they_were_learned_from(vae, digits, monkeypatch):
    learned = []
    monkeypatch.setattr("calco.evaluation.features.train", lambda _, source, *__: learned.append(source) or True)
    names = tuple(reversed(digits[1].classes))
    for source in (digits[1], with_classes(digits[1], names), digits[1]):  # of one fingerprint: the examples are the same
        label_model(vae.schema_, source)
    assert [source.classes for source in learned] in ([names], [digits[1].classes, names])


def test_a_cache_that_cannot_be_written_does_no_harm(vae, digits, monkeypatch, tmp_path):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path / "file"))
    monkeypatch.setattr("calco.evaluation.features.train", lambda *_: True)
    assert isinstance(label_model(vae.schema_, digits[1]), LabelModel)


def test_the_classifier_behind_the_features_is_good(vae, digits):
    test, train = digits
    right = read(label_model(vae.schema_, train), images(vae, test)).numpy() == test.take(np.arange(360)).y
    assert right.mean() > 0.95


def test_a_signal_leaves_no_net_half_trained(vae, digits, monkeypatch, tmp_path):
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path))
    turns, steps = LabelModel.turns, []

    def stopped(self, batch):
        steps.append(batch)
        if len(steps) == 3:
            os.kill(os.getpid(), signal.SIGINT)
        return turns(self, batch)

    monkeypatch.setattr(LabelModel, "turns", stopped)
    with pytest.raises(Interrupted):
        label_model(vae.schema_, digits[1])
    assert not list(tmp_path.rglob("*.safetensors"))


def test_ones_own_features_and_too_few_examples(vae, digits):
    test, train = digits
    copies = Copies(vae, images(vae, train))
    own = Extractor("pixels", torch.nn.Flatten())
    found = measure_fidelity(copies, test, train, extractor=own, n=50)
    assert found[0].protocol.startswith(
        "50 samples (given) against 50 held-out examples; features, 64 of them: pixels (digest "
    )
    with pytest.raises(RequestError, match="needs at least 6 examples of each set; 5 were asked for"):
        measure_fidelity(copies, test, train, extractor=own, n=5)


def test_labels_are_read_back(vae, digits):
    test, train = digits
    raw = train.take(np.arange(len(train)))
    rows = np.array([np.flatnonzero(raw.y == i % 10)[i // 10] for i in range(100)])
    copies = Copies(vae, vae.schema_.encode(raw.x[rows]), classes=10)
    figure: Any = {f.name: f for f in measure_fidelity(copies, test, train, n=100)}["label fidelity"]
    assert figure.value > 0.97
    assert figure.baseline > 0.95
    wrong = Copies(vae, copies.samples.roll(1, 0), classes=10)
    assert {f.name: f for f in measure_fidelity(wrong, test, train, n=100)}["label fidelity"].value < 0.1


def test_parzen_density_is_that_of_scikit_learn():
    from sklearn.neighbors import KernelDensity

    x, points = np.random.default_rng(0).normal(size=(2, 30, 4))
    expected = KernelDensity(bandwidth=0.3).fit(points).score_samples(x)
    assert np.allclose(log_density(torch.from_numpy(x), torch.from_numpy(points), 0.3).numpy(), expected)


def test_parzen_comes_with_its_controls(vae, digits):
    test, train = digits
    x = images(vae, train, np.random.default_rng(0).permutation(len(train))[:1197])  # none of those that choose the width
    values, figures = parzen(Copies(vae, x), test, train, samples=1000)
    assert [f.name for f in figures] == [
        "Parzen estimate",
        "Parzen estimate of real training examples",
        "Parzen estimate of k-means centroids of 1,197 training examples",
    ]
    assert figures[0].value == pytest.approx(values.mean())
    assert figures[1].value == pytest.approx(figures[0].value, abs=3)
    assert "chosen on 240 examples of the training data" in figures[0].protocol
    assert parzen(Copies(vae, torch.rand_like(x)), test, train, samples=1000).figures[0].value < figures[1].value - 10
    assert all(figure.better == "higher" for figure in figures)
    with pytest.raises(RequestError, match="takes 2 samples at least, not -5"):
        parzen(vae, test, train, samples=-5)
    one, again, other = (parzen(vae, test, train, samples=50, seed=seed).figures[0].value for seed in (0, 0, 1))
    assert one == again != other


def test_samples_of_a_parzen_estimate_are_of_its_seed(vae, digits):
    test, train = (Subset(part, np.arange(120)) for part in digits)
    asked = []
    given = Copies(vae, torch.rand(60, 1, 8, 8))
    given.sample_tensor = lambda n, *, seed=0: asked.append((n, seed)) or given.samples[:n]  # type: ignore[method-assign]
    parzen(given, test, train, samples=50, seed=7)
    assert asked == [(50, 7)]
    with pytest.raises(RequestError, match="2 "):
        parzen(given, test, Subset(train, np.arange(2)), samples=50)


def test_a_centre_without_company_stays_where_it_is():
    x = torch.tensor([[0.0], [0.0], [10.0], [30.0], [30.0]])
    centres = k_means(x, 5)  # two are the same: all go to the first of them, and the other stays
    assert sorted(centres.ravel().tolist()) == [0, 0, 10, 30, 30]
    assert k_means(x, 0).shape == (1, 1)


def test_centres_are_means_of_what_is_nearest():
    for seed in range(10):
        x = np.random.default_rng(seed).normal(size=(12, 2)).astype(np.float32)
        order = torch.randperm(12, generator=torch.Generator().manual_seed(0)).numpy()
        centres = x[order[:5]]
        for _ in range(4):
            nearest = ((x[:, None] - centres) ** 2).sum(2).argmin(1)
            groups = [x[nearest == i] for i in range(5)]
            centres = np.stack([group.mean(0) if len(group) else old for group, old in zip(groups, centres, strict=True)])
        assert np.allclose(k_means(torch.from_numpy(x), 5), centres, atol=1e-5)


def test_the_width_of_parzen_windows_is_not_chosen_on_what_is_measured(vae, digits):
    test, train = digits
    samples = images(vae, train)[:300]
    copies = Copies(vae, samples)
    noise = np.random.default_rng(0).integers(0, 17, (60, 8, 8)).astype(np.uint8)
    told = [parzen(copies, one, train, samples=300).figures for one in (test, ArraySource(noise, levels=17))]
    widths = [
        [re.findall(r"width ([\d.]+), chosen on 240 examples of the training data", f.protocol)[0] for f in figures]
        for figures in told
    ]
    assert widths[0] == widths[1]
    x = vae.schema_.encode(noise).flatten(1)
    best = max(WIDTHS, key=lambda width: float(log_density(x, samples.flatten(1), width).mean()))
    assert widths[1][0] != f"{best:.3g}"


def test_k_means_lowers_the_distance_to_the_nearest_centroid():
    x = torch.randn(500, 3, generator=torch.Generator().manual_seed(0))
    first = x[torch.randperm(500, generator=torch.Generator().manual_seed(0))[:10]]
    assert torch.cdist(x, k_means(x, 10)).min(1).values.mean() < 0.9 * torch.cdist(x, first).min(1).values.mean()


def test_every_sampler_gets_fidelity_figures(vae, digits):
    names = [f.name for f in evaluate(vae, "digits:test", train=digits[1])]
    assert {"Fréchet distance", "kernel distance", "coverage", "density"} <= set(names)
    assert "label fidelity" not in names
    few = ArraySource(digits[0].x[:4], levels=17)
    assert "coverage" not in [f.name for f in evaluate(vae, few, train=digits[1])]


def test_a_net_of_figures_is_kept_and_learned_anew_where_that_is_damaged(quick, monkeypatch, tmp_path):
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path))
    monkeypatch.setattr(features, "RECIPE", features.RECIPE.changed({"steps": 3, "batch_size": 8}))
    source = calco.data.open_data(np.random.default_rng(0).integers(0, 256, (8, 8, 8), np.uint8), np.arange(8) % 2)
    schema = calco.data.infer_schema(source)
    learned, whole = [], features.learn
    monkeypatch.setattr(features, "learn", lambda *a: learned.append(1) or whole(*a))
    first = features.label_model(schema, source).state_dict()
    (kept,) = tmp_path.rglob("*.npz")
    for damage, times in ((lambda content: content, 1), (lambda content: content[:-9], 2)):
        kept.write_bytes(damage(kept.read_bytes()))
        again = features.label_model(schema, source).state_dict()
        assert all(torch.equal(again[name], value) for name, value in first.items())
        assert len(learned) == times
    monkeypatch.setenv("CALCO_CACHE", str(kept / "below"))  # which cannot be written
    assert features.label_model(schema, source).body is not None
