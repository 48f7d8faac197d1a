"""What is held out has no say in what is learned, and is the same whenever it is asked for."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco import estimator as front
from calco.data import infer_schema, open_data, split
from calco.errors import RequestError
from calco.evaluation.figures import data_of, role
from calco.models import load
from calco.runs import Run

SHORT = {"steps": 6, "batch_size": 8, "lr_warmup": 0, "evaluations": 2, "checkpoint_every": 2, "log_every": 2}
N, SHARE, SEED = 40, 0.25, 3
HELD = split(open_data(np.zeros((N, 1))), SHARE, SEED)[1].rows  # type: ignore[attr-defined]
SPLIT = SHORT | {"validation": SHARE, "seed": SEED}


def numbers():
    x = np.random.default_rng(0).normal(size=(N, 3))
    x[HELD] = 1e6 + x[HELD]
    return x


def table(planted=("job", "wage")):
    """A table whose held-out part has a job, and an empty cell, that no other row has."""
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"wage": rng.normal(size=N), "job": rng.choice(["nurse", "smith"], N), "age": rng.integers(0, 9, N)})
    if "job" in planted:
        frame.loc[HELD[0], "job"] = "pilot"
    if "wage" in planted:
        frame.loc[HELD[1], "wage"] = np.nan
    return frame


def images():
    x = np.random.default_rng(0).uniform(2, 3, (N, 4, 4))
    x[HELD] += 0.2  # the scale of images is their range
    return x


def learned(x):
    return split(open_data(x), SHARE, SEED)[0]


@pytest.mark.parametrize("make", [numbers, images])
def test_the_scale_is_that_of_the_part_that_is_learned_from(make):
    x = make()
    schema = calco.Autoencoder(2, width=4, training=SPLIT).fit(x).schema_
    assert schema == infer_schema(learned(x))
    assert schema != infer_schema(open_data(x))


def test_categories_are_those_of_the_part_that_is_learned_from(tmp_path):
    fitted = calco.Autoencoder(2, width=4, training=SPLIT).fit(table(), out=tmp_path / "run")
    wage, job, _ = fitted.schema_.coded
    assert job.options == ("nurse", "smith")
    assert not wage.missing
    held = json.loads((tmp_path / "run" / "run.json").read_text())["held_out"]
    assert held["n"] == len(HELD) - 2
    assert held["left_out"].startswith(f"2 of {len(HELD)} held-out examples are left out")
    assert held["left_out"] in fitted.history_[0]["note"]
    assert "held_out" in fitted.history_[-1]


def test_masks_that_are_held_out_do_not_count():
    x = np.random.default_rng(0).normal(size=(N, 8, 8))
    masks = (x > 0).astype(int)
    x[HELD], masks[HELD] = 1e3, 2
    segmenter = calco.Segmenter(width=4, levels=1, training=SPLIT).fit(x, masks)
    assert segmenter.schema_.classes == ("0", "1", "2")
    assert segmenter.schema_.pixels == (*np.bincount(np.delete(masks, HELD, 0).ravel()).tolist(), 0)
    assert segmenter.schema_.company == ((N - len(HELD)) * 64,) * 2 + (0,)
    assert abs(segmenter.schema_.low[0]) < 1


def test_series_that_are_held_out_do_not_count():
    waves = np.random.default_rng(0).normal(size=(N, 6, 2))
    waves[HELD] += 100
    schema = calco.VAE(2, width=4, training=SPLIT).fit(calco.series(waves)).schema_
    assert max(schema.high) < 10


@pytest.mark.parametrize("make", [lambda: numbers()[:, :2], lambda: table(())])
def test_what_is_measured_on_later_was_not_learned_from(make, tmp_path, monkeypatch):
    """A split by another seed, wherever it is made, would have trained on what `evaluate` measures on."""
    x, seen = make(), []
    frame = pd.DataFrame(x)
    frame.columns = [f"c{i}" for i in range(frame.shape[1])]
    frame["mark"] = np.arange(N) + 0.5  # tells the rows apart
    frame.to_csv(tmp_path / "data.csv", index=False)
    train = front.train

    def watched(model, source, schema, *args, held, **options):
        seen.append((source, held))
        return train(model, source, schema, *args, held=held, **options)

    monkeypatch.setattr(front, "train", watched)
    monkeypatch.setattr(front, "looked_up", lambda source, schema, rows: source)
    fitted = calco.Autoencoder(2, width=4, training=SPLIT).fit(tmp_path / "data.csv", out=tmp_path / "run")
    run = Run(tmp_path / "run")
    sources = [*seen[0], data_of(run, "data"), data_of(run, "held_out")]
    trained, watched_on, again, held = (set(_marks(source)) for source in sources)
    assert trained | held == set(range(N))
    assert not trained & held
    assert watched_on == held == set(HELD)
    assert again == trained
    found = data_of(run, "held_out")
    assert found is not None
    assert role(found, fitted) == "validation"


def _marks(source):
    x = source.take(np.arange(len(source))).x
    return np.round(np.asarray(x)[:, -1].astype(float) - 0.5).astype(int)


def test_what_is_reopened_is_what_was_watched(tmp_path):
    table().to_csv(tmp_path / "data.csv", index=False)
    calco.Autoencoder(2, width=4, training=SPLIT).fit(tmp_path / "data.csv", out=tmp_path / "run")
    run = Run(tmp_path / "run")
    held = data_of(run, "held_out")
    assert held is not None
    assert held.describe()["fingerprint"] == run.record["held_out"]["fingerprint"]
    assert {figure.name for figure in calco.evaluation.evaluate(load(tmp_path / "run"), held)} >= {"reconstruction error"}


def test_a_resumed_run_leaves_out_the_same(tmp_path):
    class Stop(Exception):
        pass

    def stop(line):
        if line["step"] >= 4:
            raise Stop

    settings = SPLIT | {"keep": "best", "evaluations": 6}
    whole = calco.VAE(2, width=4, training=settings).fit(table(), out=tmp_path / "whole")
    with pytest.raises(Stop):
        calco.VAE(2, width=4, training=settings).fit(table(), out=tmp_path / "part", report=stop)
    again = calco.VAE.from_run(Run(tmp_path / "part"), weights=False).resume(table())
    assert [{**line, "seconds": 0} for line in again.history_] == [{**line, "seconds": 0} for line in whole.history_]
    for key, value in whole.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[key]), key


def test_data_given_to_measure_on_are_checked_before_anything_is_trained(tmp_path):
    with pytest.raises(RequestError, match="'pilot', which it had nowhere in training"):
        calco.VAE(2, width=4, training=SHORT).fit(table(()), validation=table(("job",)), out=tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_data_given_to_measure_on_are_read_as_those_to_learn_from():
    estimator = calco.VAE(2, width=4, training=SHORT).fit(numbers())
    estimator.fit(table(("wage",)), validation=table(()))  # an earlier fit does not count
    whole = table(("wage",))[["wage", "age"]]
    assert "held_out" in estimator.fit(whole, validation=table(())[["wage", "age"]]).history_[-1]
