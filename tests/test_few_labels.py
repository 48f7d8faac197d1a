"""Transfer to few labels: draws, intervals, ways side by side, going on after a stop."""

import json
import math
import os
import signal

import numpy as np
import pandas as pd
import pytest

import calco
from calco.data import PartlyLabelled, Subset, open_data, split
from calco.errors import RequestError
from calco.evaluation.figures import labels_of
from calco.few_labels import check_budgets, drawn, interval, transfer
from calco.training import Interrupted

SHORT = {"steps": 20, "batch_size": 32, "lr_warmup": 0}


@pytest.fixture(scope="module")
def encoder():
    return calco.Autoencoder(4, width=8, training={"steps": 60, "batch_size": 64}).fit("digits")


@pytest.mark.parametrize("budget", [10, 15, 100])
def test_labels_are_drawn_evenly_and_anew(budget):
    source = open_data("digits")
    counts = np.bincount(labels_of(source)[drawn(source, budget, 0, "accuracy")], minlength=10)
    assert counts.sum() == budget
    assert counts.max() - counts.min() <= 1
    assert not np.array_equal(drawn(source, budget, 0, "accuracy"), drawn(source, budget, 1, "accuracy"))
    assert np.array_equal(drawn(source, budget, 1, "accuracy"), drawn(source, budget, 1, "accuracy"))
    assert len(set(drawn(source, budget, 0, "R squared"))) == budget


def test_intervals_cover_the_truth_at_their_rate():
    rng = np.random.default_rng(0)
    trials = 4000
    bounds = np.array([interval(rng.normal(0.7, 0.1, 5).tolist()) for _ in range(trials)])
    covered = ((bounds[:, 0] <= 0.7) & (bounds[:, 1] >= 0.7)).mean()
    assert abs(covered - 0.95) < 4 * math.sqrt(0.95 * 0.05 / trials)
    assert interval([0.5]) == (-math.inf, math.inf)


def test_every_way_at_every_budget(encoder, tmp_path, monkeypatch):
    said = []
    out = tmp_path / "out"
    options = {"training": SHORT, "draws": 2, "out": out}
    frame = transfer(encoder, "digits", [20, 40], joint=True, say=said.append, **options)
    ways = ["joint", "fine-tuned", "frozen", "from scratch", "logistic regression on raw values", "logistic regression on PCA"]
    assert list(frame["way"]) == 2 * ways
    assert len(said) == 2
    for row in frame.to_dict("records"):
        draws = [row["draw 0"], row["draw 1"]]
        assert row["mean"] == pytest.approx(np.mean(draws))
        assert 0 <= min(draws) <= max(draws) <= 1
        assert row["low"] <= row["mean"] <= row["high"]
    scratch = frame[frame["way"] == "from scratch"].set_index("labels")["mean"]
    for row in frame[frame["way"] == "fine-tuned"].to_dict("records"):
        assert row["gain"] == pytest.approx(row["mean"] - scratch[row["labels"]])
    assert {path.name for path in out.iterdir()} == {"transfer.csv", "transfer.json", "transfer.png"}
    # Stopped before the last was measured, it measures the last alone.
    known = json.loads((out / "transfer.json").read_text())
    known["results"].popitem()
    (out / "transfer.json").write_text(json.dumps(known))
    fits = []
    monkeypatch.setattr(calco.Classifier, "fit", lambda *a, **k: fits.append(a))
    again = transfer(encoder, "digits", [20, 40], joint=True, **options)
    assert not fits
    assert again.equals(frame)
    with pytest.raises(RequestError, match="another transfer"):
        transfer(encoder, "digits", [20], **options)


def test_results_of_other_weights_are_not_taken_over(tmp_path):
    made = [calco.Autoencoder(2, width=4, training={"steps": 4, "seed": seed}).fit("digits") for seed in (0, 1)]
    transfer(made[0], "digits", [10], training=SHORT, draws=1, out=tmp_path)
    with pytest.raises(RequestError, match="another transfer"):
        transfer(made[1], "digits", [10], training=SHORT, draws=1, out=tmp_path)


def test_only_examples_with_labels_are_drawn(encoder):
    whole = open_data("digits")
    partly = PartlyLabelled(Subset(whole, np.arange(100)), Subset(whole, np.arange(100, 600)))
    frame = transfer(encoder, partly, [40], training=SHORT, draws=1, joint=True)
    assert "20 examples" in frame["protocol"].iloc[0]
    assert frame[frame["way"] == "logistic regression on raw values"]["mean"].item() > 0.3
    with pytest.raises(RequestError, match="from 10 to 80"):
        transfer(encoder, partly, [200], training=SHORT)


def test_it_is_said_what_the_encoder_knew(tmp_path):
    x, y = open_data("digits").take(np.arange(300))
    np.savez(tmp_path / "data.npz", x=x, y=y)
    data = str(tmp_path / "data.npz")
    without = calco.Autoencoder(2, width=4, training=SHORT).fit(data, out=tmp_path / "without")
    told = transfer(without, data, [20], training=SHORT, draws=1)["protocol"].iloc[0]
    assert "60 examples" in told
    assert "which hold these" in told
    told = transfer(without, "digits", [20], training=SHORT, draws=1)["protocol"].iloc[0]
    assert "which hold these" not in told
    assert y is not None
    by_labels = calco.Classifier(width=4, training=SHORT).fit(data, out=tmp_path / "with")
    few, many = (np.arange(100), np.arange(100, 300))
    by_part = calco.Classifier(width=4, training=SHORT).fit(split(open_data(data), 0.5, 1)[0], out=tmp_path / "part")
    for encoder in (by_labels, by_part):
        with pytest.raises(RequestError, match="learned from the labels of these data"):
            transfer(encoder, data, [20], training=SHORT)
    part = Subset(open_data(data), few)
    np.savez(tmp_path / "few.npz", x=x[few], y=y[few])
    np.savez(tmp_path / "many.npz", x=x[many], y=y[many])
    joint = calco.Classifier(width=4, training=SHORT)
    joint.fit(tmp_path / "few.npz", unlabelled=tmp_path / "many.npz", out=tmp_path / "joint")
    told = transfer(joint, str(tmp_path / "many.npz"), [20], training=SHORT, draws=1)["protocol"].iloc[0]
    assert "which hold these" in told
    learned = calco.Autoencoder(2, width=4, training=SHORT).fit(split(open_data(data), 0.2, 0)[0], out=tmp_path / "apart")
    assert "these" not in transfer(learned, data, [20], training=SHORT, draws=1)["protocol"].iloc[0]
    assert "may hold some of these" in transfer(learned, part, [20], training=SHORT, draws=1)["protocol"].iloc[0]


def test_a_signal_ends_it_and_nothing_half_learned_is_kept(encoder, tmp_path, monkeypatch):
    steps = []

    def stopped(self, batch):
        steps.append(batch)
        if len(steps) == 5:
            os.kill(os.getpid(), signal.SIGINT)
        return turns(self, batch)

    turns = calco.Classifier.model_class.turns
    monkeypatch.setattr(calco.Classifier.model_class, "turns", stopped)
    with pytest.raises(Interrupted):
        transfer(encoder, "digits", [20], training=SHORT, draws=1, out=tmp_path)
    assert not (tmp_path / "transfer.json").exists()


def test_values_are_predicted_too():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    y = x @ [1.0, 2, 0, 0, 0] + 0.1 * rng.normal(size=400)
    encoder = calco.Autoencoder(3, width=16, training=SHORT).fit(x)
    frame = transfer(encoder, x, [50], y=y, predictor="regressor", training=SHORT, draws=2)
    linear = frame[frame["way"] == "ridge regression on raw values"]["mean"].item()
    assert linear > 0.95
    assert set(frame["metric"]) == {"R squared"}


def test_impossible_transfers_are_refused(encoder):
    source = open_data("digits")
    for budget in (9, 0, 2000):
        with pytest.raises(RequestError, match=f"budget of {budget} labels"):
            check_budgets([budget], source, "accuracy")
    with pytest.raises(RequestError, match="'vae' does not learn from labels"):
        transfer(encoder, "digits", predictor="vae")
    with pytest.raises(RequestError, match="draws is 0"):
        transfer(encoder, "digits", draws=0)
    with pytest.raises(RequestError, match="labels of two classes"):
        transfer(encoder, np.zeros((40, 8, 8)), [10])
    with pytest.raises(RequestError, match="cannot transfer"):
        transfer(calco.GAN(3, width=4, training={"steps": 2, "validation": 0.0, "keep": "last"}).fit("digits"), "digits")


def test_rows_that_the_encoder_does_not_take_are_left_out_and_told():
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"wage": rng.normal(size=60), "job": rng.choice(["nurse", "smith"], 60)})
    y, few = np.array(["1", "2"])[np.arange(60) % 2], {"steps": 2, "batch_size": 16, "lr_warmup": 0}
    held = split(open_data(frame), 0.2, 0)[1]
    frame.loc[held.rows[0], "job"] = "pilot"
    encoder = calco.Autoencoder(2, width=8, training=few).fit(split(open_data(frame), 0.2, 0)[0])
    found = transfer(encoder, frame, [4], y=y, training=few, draws=1)
    assert "11 examples" in found["protocol"][0]
    assert "1 of 12 held-out examples are left out" in found["protocol"][0]
