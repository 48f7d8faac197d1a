"""Figures of predictions, against scikit-learn's and by hand."""

from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
from sklearn.datasets import load_digits
from sklearn.metrics import accuracy_score, log_loss, r2_score

import calco
from calco.data import measured, open_data
from calco.evaluation import EvalContext
from calco.evaluation.prediction import _of_values, prediction_figures
from calco.report import write_report

DIGITS = load_digits()
X, Y = DIGITS.images.astype(np.uint8), DIGITS.target
TRAINING = {"steps": 60, "batch_size": 64}


def by_name(figures):
    return {figure.name: figure for figure in figures}


def test_classes():
    train, test = open_data(X[:400], Y[:400]), open_data(X[400:600], Y[400:600])
    model = calco.Classifier(width=8, training=TRAINING).fit(train)
    found = by_name(prediction_figures(EvalContext(model, test, train)))
    p, truth = model.predict_proba(X[400:600]).astype(float), Y[400:600]
    assert found["accuracy"].value == pytest.approx(accuracy_score(truth, model.predict(X[400:600])))
    assert found["accuracy"].error == pytest.approx((found["accuracy"].value * (1 - found["accuracy"].value) / 200) ** 0.5)
    assert found["log loss"].value == pytest.approx(log_loss(truth, p / p.sum(1, keepdims=True)), rel=1e-4)
    shares = (np.bincount(Y[:400], minlength=10) + 1) / 410
    assert found["log loss"].baseline == pytest.approx(-np.log(shares[truth]).mean())
    assert found["accuracy"].baseline == pytest.approx((truth == shares.argmax()).mean())
    losses = -np.log((p / p.sum(1, keepdims=True))[np.arange(200), truth])
    assert found["log loss"].error == pytest.approx(losses.std() / 200**0.5, rel=0.01)
    assert found["log loss"].baseline_name == "the shares of the classes in the training data, one of each added"
    assert prediction_figures(EvalContext(model, open_data(X[400:600]), train)) == []


def test_a_classifier_that_knows_nothing_is_at_chance():
    rng = np.random.default_rng(0)
    y = rng.integers(0, 10, 600)
    train, test = open_data(X[:400], y[:400]), open_data(X[400:1000], rng.integers(0, 10, 600))
    found = by_name(prediction_figures(EvalContext(calco.Classifier(width=8, training=TRAINING).fit(train), test, train)))
    error = found["accuracy"].error
    assert error is not None
    assert abs(found["accuracy"].value - 0.1) < 4 * error


def test_values():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(500, 3))
    y = 100 + 7 * x[:, 0] + rng.normal(size=500)
    train, test = open_data(x[:300], y[:300]), open_data(x[300:], y[300:])
    model = calco.Regressor(width=16, training={"steps": 200, "batch_size": 64, "lr": 0.01}).fit(train)
    found = by_name(prediction_figures(EvalContext(model, test, train)))
    told = model.predict(x[300:])
    assert found["error of values"].value == pytest.approx(np.sqrt(np.mean((told - y[300:]) ** 2)))
    assert found["R squared"].value == pytest.approx(r2_score(y[300:], told), abs=0.01)  # its mean is that of the test data
    assert found["R squared"].value > 0.9
    error = found["error of values"].error
    assert error is not None
    assert error > 0


def test_the_report_shows_confusions_and_the_surest_errors(tmp_path):
    model = calco.Classifier(width=8, training=TRAINING).fit(X[:400], Y[:400])
    write_report([model], open_data(X[400:600], Y[400:600]), tmp_path / "r.html", figures=[[]])
    page = (tmp_path / "r.html").read_text()
    assert "the surest errors" in page
    assert "Predictions" in page


def test_labels_that_are_values_are_no_classes(tmp_path):
    rng = np.random.default_rng(0)
    x = rng.normal(size=(800, 5))
    y = x @ [1.0, 2, 0, 0, 0]
    np.savez(tmp_path / "train.npz", x=x[:500], y=y[:500])
    training = {"steps": 20, "batch_size": 32}
    for made in (calco.Regressor(net="mlp", width=16, training=training), calco.Autoencoder(2, training=training)):
        fitted = made.fit(str(tmp_path / "train.npz"), out=tmp_path / made.family)
        names = {figure.name for figure in calco.evaluate(fitted, (open_data(x[500:], y[500:])))}
        assert ("R squared" in names) == (made.family == "regressor")
        assert "linear probe" not in names
        write_report([fitted], open_data(x[500:], y[500:]), tmp_path / "r.html", figures=[[]])
    few = open_data(x[:150], np.repeat([1.0, 2.0, 3.0], 50))
    assert not measured(few)
    assert measured(open_data(x, y))
    assert not measured(open_data(x, [f"row {i}" for i in range(800)]))


def test_values_by_hand():
    """Errors of a mean, of its root, and of a ratio over examples drawn anew."""
    rng = np.random.default_rng(0)
    truth, guess = rng.normal(3, 2, 400), rng.normal(3, 2, 400)
    guess = truth + 0.5 * (guess - truth)
    test, train = (
        open_data(rng.normal(size=(400, 3)), truth),
        open_data(rng.normal(size=(50, 3)), np.full(50, 2.5) + np.arange(50)),
    )
    model: Any = SimpleNamespace(predict=lambda source: guess, model_=SimpleNamespace(classes=0), run_=None)
    squared, error = (found := by_name(_of_values(EvalContext(model, test, train), "so"))).values()
    assert list(found) == ["R squared", "error of values"]
    wrong, base = (guess - truth) ** 2, (truth - (2.5 + 24.5)) ** 2
    assert squared.value == pytest.approx(1 - wrong.sum() / base.sum())
    drawn = [1 - wrong[some].sum() / base[some].sum() for some in rng.integers(0, 400, (500, 400))]
    assert squared.error == pytest.approx(np.std(drawn), rel=0.2)
    assert (squared.unit, squared.better, squared.baseline) == ("", "higher", 0)
    assert error.value == pytest.approx(wrong.mean() ** 0.5)
    roots = [wrong[some].mean() ** 0.5 for some in rng.integers(0, 400, (500, 400))]
    assert error.error == pytest.approx(np.std(roots), rel=0.15)
    assert error.baseline == pytest.approx(base.mean() ** 0.5)
    assert error.baseline_name == squared.baseline_name == "the mean of the training data always"
    assert (error.unit, error.better) == ("unit of the labels", "lower")
