"""Figures and their baselines against direct computation."""

import math
import os

import numpy as np
import pytest
from scipy.stats import norm
from sklearn.decomposition import PCA

import calco
from calco.data import ArraySource, Subset, measured, open_data
from calco.errors import RequestError
from calco.evaluation import EvalContext, evaluate
from calco.evaluation.figures import classed, data_of, role, training_data
from calco.evaluation.likelihood import constant_log_prob, likelihood_figures

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    return calco.VAE(latent=4, samples=20, training=SHORT).fit("digits", out=tmp_path_factory.mktemp("e") / "run")


@pytest.mark.usefixtures("quick")
def test_figures_are_what_they_say(vae):
    figures = {f.name: f for f in evaluate(vae, "digits:test")}
    test, train = open_data("digits:test"), open_data("digits")
    x = test.take(np.arange(360)).x / 16
    again = vae.reconstruct_tensor("digits:test").numpy()[:, 0]
    errors = ((again - x) ** 2).reshape(360, -1).mean(1)
    figure = figures["reconstruction error"]
    assert figure.value == pytest.approx(errors.mean(), rel=1e-4)
    assert figure.error == pytest.approx(errors.std() / math.sqrt(360), rel=1e-3)
    pca = PCA(4).fit(train.take(np.arange(1437)).x.reshape(1437, -1) / 16)
    flat = x.reshape(360, -1)
    assert figure.baseline == pytest.approx(((pca.inverse_transform(pca.transform(flat)) - flat) ** 2).mean(), rel=1e-3)
    values = vae.log_prob("digits:test")
    assert figures["log likelihood"].value == pytest.approx(values.mean())
    assert figures["bits per value"].value == pytest.approx(-values.mean() / 64 / math.log(2))
    assert "20 samples" in figures["log likelihood"].protocol


def test_the_constant_model_counts(vae):
    train, test = (open_data(f"digits:{p}") for p in ("train", "test"))
    a, b = (s.take(np.arange(len(s))).x.reshape(len(s), -1).astype(int) for s in (train, test))
    expected = sum(np.log([(np.sum(a[:, i] == v) + 1) / (len(a) + 17) for v in range(17)])[b[:, i]] for i in range(64))
    assert constant_log_prob(vae, test, train) == pytest.approx(expected.mean())


def test_the_constant_model_of_vectors_is_in_raw_units():
    rng = np.random.default_rng(0)
    x = rng.normal(5, 3, size=(4000, 2))
    vae = calco.VAE(latent=2, training=SHORT).fit(x)
    entropy = 2 * 0.5 * math.log(2 * math.pi * math.e * 9)
    assert constant_log_prob(vae, open_data(x), open_data(x)) == pytest.approx(-entropy, abs=0.05)
    with pytest.raises(RequestError, match="were in memory"):
        evaluate(vae, x)
    assert evaluate(vae, x[:200], x[:200])


@pytest.mark.skipif(not os.environ.get("CALCO_DATA"), reason="CALCO_DATA is not set")
def test_the_published_floor_of_binarised_mnist():
    train, test = (open_data(f"binarized-mnist:{p}") for p in ("train", "test"))
    vae = calco.VAE(net="mlp", width=8, training={**SHORT, "steps": 1}).fit("binarized-mnist:test")
    # 205.79 to 205.80 nats by how empty pixels are clipped; here from 20,000 images with one count added
    assert -constant_log_prob(vae, test, train) == pytest.approx(205.9, abs=0.4)


def test_the_constant_model_is_of_the_values_that_the_density_is_of():
    """A machine without weights, its biases the data's means, is the constant model of the values it makes binary."""
    test, train = open_data("digits:test"), open_data("digits")
    for binarise in ("threshold", "stochastic"):
        rbm = calco.RBM(3, binarise=binarise, training={"steps": 1, "lr": 0.0}).fit(train)
        rbm.model_.pair0.weight.data.zero_()
        expected = np.mean([rbm.log_prob(test, seed=seed).mean() for seed in range(5)])
        assert constant_log_prob(rbm, test, train) == pytest.approx(expected, abs=0.1)


def test_real_units_on_grey_levels_have_a_density_in_their_unit():
    rbm = calco.RBM(3, visible="gaussian", training={"steps": 1, "lr": 0.0}).fit("digits")
    rbm.model_.pair0.weight.data.zero_()
    test, train = open_data("digits:test"), open_data("digits")
    x, fitted_on = (s.take(np.arange(len(s))).x.reshape(len(s), -1).astype(float) for s in (test, train))
    mean, scale = (16 * t.detach().double().numpy() for t in (rbm.model_.mean, rbm.model_.scale.log_scale.exp()))
    assert np.allclose(rbm.log_prob(test), norm.logpdf(x, mean, scale).sum(1), rtol=1e-3)
    deviation = np.maximum(fitted_on.std(0), 16e-3)
    assert constant_log_prob(rbm, test, train) == pytest.approx(norm.logpdf(x, fitted_on.mean(0), deviation).sum(1).mean())
    (figure,) = likelihood_figures(EvalContext(rbm, test, train))  # no bits: they are of probabilities
    assert "density of the grey levels" in figure.protocol


def test_examples_are_called_what_they_were_to_the_run(tmp_path):
    x = np.random.default_rng(0).normal(size=(60, 3))
    vae = calco.VAE(latent=2, training=SHORT).fit(x[:30], validation=x[30:50], out=tmp_path / "run")
    for part, name in ((x[:30], "training"), (x[30:50], "validation"), (x[50:], "held-out")):
        assert role(open_data(part), vae) == name
    assert role(open_data(x[50:]), vae, train=open_data(x[50:])) == "training"


def test_a_run_is_measured_on_what_it_split_off(tmp_path):
    """The examples that it watched are no part of those that it learned from, and are called what they are."""
    vae = calco.VAE(latent=2, width=8, training=SHORT | {"validation": 0.2}).fit("digits", out=tmp_path / "run")
    train, watched = data_of(vae.run_, "data"), data_of(vae.run_, "held_out")
    assert isinstance(train, Subset)
    assert isinstance(watched, Subset)
    assert len(watched) == round(0.2 * (len(train) + len(watched)))
    assert not set(train.rows) & set(watched.rows)
    assert role(watched, vae) == "validation"
    assert training_data(vae, watched).describe() == train.describe()
    assert len(training_data(vae, open_data("digits:test"))) == 1437
    assert calco.load(tmp_path / "run").resume().history_ == vae.history_


def test_many_numbered_classes_stay_classes_in_a_small_part():
    x, y = np.random.default_rng(0).normal(size=(3200, 2)), np.arange(3200) % 150
    train, test = ArraySource(x[:3000], y[:3000]), ArraySource(x[3000:], y[3000:])
    assert measured(test)
    assert not measured(train)
    plain, conditional = (calco.VAE(1, width=4, conditional=given, training={"steps": 2}).fit(train) for given in (False, True))
    assert classed(conditional, test).classes == test.classes
    assert classed(plain, test, train).classes == test.classes
    assert classed(plain, test).classes == ()
    assert len(conditional.reconstruct(classed(conditional, test))) == 200
