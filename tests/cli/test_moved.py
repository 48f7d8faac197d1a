"""Data that were moved after a run learned from them: where they are now can be said, and is checked."""

import json

import numpy as np
import pytest

import calco as library
from tests.cli.test_cli import calco  # noqa: F401  the fixture
from tests.models.test_segmenter import scenes
from tests.small import small

SHORT = {"steps": 8, "batch_size": 16, "log_every": 4, "checkpoint_every": 4}


def text(said):
    return " ".join(said.split())


@pytest.fixture
def moved(tmp_path):
    """A run on files that have moved since, with those it watched; and where all are now."""
    rng = np.random.default_rng(0)
    before, now = tmp_path / "before", tmp_path / "now"
    before.mkdir()
    np.save(before / "x.npy", rng.normal(size=(60, 4)))
    (before / "y.txt").write_text("\n".join("ab"[i % 2] for i in range(60)))
    np.save(before / "held.npy", rng.normal(size=(30, 4)))
    np.save(before / "others.npy", rng.normal(size=(60, 4)))
    source = library.open_data(str(before / "x.npy"), labels=str(before / "y.txt"))
    small(library.VAE, training=SHORT).fit(source, validation=str(before / "held.npy"), out=tmp_path / "run")
    before.rename(now)
    return tmp_path / "run", now


def test_evaluate_and_report_take_data_from_where_they_are(calco, moved, tmp_path):  # noqa: F811
    run, now = moved
    code, said = calco("evaluate", run, now / "others.npy")
    assert code == 2
    assert "used these data: say where they are now, on the command line with --training-data" in text(said)
    there = ("--training-data", now / "x.npy", "--training-labels", now / "y.txt")
    code, said = calco("evaluate", run, "--held-out", now / "held.npy", *there)
    assert code == 0, said
    found = json.loads((run / "report.json").read_text())
    assert found["data"]["n"] == 30
    assert "30 validation examples" in found["figures"][0]["protocol"]
    model = library.load(run)
    expected = library.evaluate(model, str(now / "held.npy"), library.open_data(str(now / "x.npy"), labels=now / "y.txt"))
    figures = {figure["name"]: figure["value"] for figure in found["figures"]}
    assert figures == pytest.approx({figure.name: figure.value for figure in expected})
    assert calco("report", run, "--data", now / "others.npy", *there, "--out", tmp_path / "page.html")[0] == 0
    assert "<h2>Copies?</h2>" in (tmp_path / "page.html").read_text()


def test_other_data_are_refused(calco, moved, tmp_path):  # noqa: F811
    run, now = moved
    for wrong in (
        ("--training-data", now / "others.npy", "--training-labels", now / "y.txt"),
        ("--training-data", now / "x.npy"),  # their labels are still where they were
    ):
        code, said = calco("evaluate", run, now / "others.npy", *wrong)
        assert code == 2, said
    code, said = calco("evaluate", run, now / "others.npy", *wrong[:1], now / "others.npy", "--training-labels", now / "y.txt")
    assert "These are not the data of the run" in text(said)
    assert "their fingerprints differ" in text(said)
    code, said = calco("score", run, now / "others.npy", *wrong, "--out", tmp_path / "s.csv")
    assert code == 2
    assert "Only a Parzen-window estimate asks for the training data" in text(said)
    plain = small(library.VAE, training=SHORT).fit(str(now / "x.npy"), out=tmp_path / "plain")
    assert plain.run_ is not None
    code, said = calco("evaluate", tmp_path / "plain", "--held-out", now / "held.npy")
    assert code == 2
    assert "was not given held-out data of its own" in text(said)


def test_data_that_changed_in_their_place_are_no_baseline(calco, tmp_path):  # noqa: F811
    rng = np.random.default_rng(0)
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 4)))
    small(library.Autoencoder, training=SHORT).fit(str(tmp_path / "x.npy"), out=tmp_path / "run")
    np.save(tmp_path / "x.npy", rng.normal(size=(60, 4)))
    for asked in ((), (tmp_path / "x.npy",)):
        code, said = calco("evaluate", tmp_path / "run", *asked)
        assert code == 2
        assert "their fingerprints differ" in text(said)


def test_a_stopped_run_goes_on_from_where_its_data_are(calco, moved):  # noqa: F811
    run, now = moved
    weights = (run / "model.safetensors").read_bytes()
    record = json.loads((run / "run.json").read_text())
    stopped = {**record, "status": "interrupted"}
    (run / "run.json").write_text(json.dumps(stopped))
    assert calco("resume", run)[0] == 2
    assert json.loads((run / "run.json").read_text()) == stopped
    there = ("--training-data", now / "x.npy", "--training-labels", now / "y.txt", "--held-out", now / "held.npy")
    code, said = calco("resume", run, *there)
    assert code == 0, said
    assert (run / "model.safetensors").read_bytes() == weights
    again = json.loads((run / "run.json").read_text())  # it knows from now on
    assert again["data"]["open"] == {"data": str(now / "x.npy"), "labels": str(now / "y.txt")}
    assert again["data"]["fingerprint"] == record["data"]["fingerprint"]
    assert calco("evaluate", run)[0] == 0


def test_a_run_on_arrays_takes_them_from_files(calco, tmp_path):  # noqa: F811
    waves = np.sin(np.arange(40) / 3)[:, None] * [1.0, 2.0]
    small(library.VAE, training=SHORT).fit(library.series(waves, window=8), out=tmp_path / "run")
    np.save(tmp_path / "waves.npy", waves)
    assert "in memory: give them again, on the command line" in text(
        calco("evaluate", tmp_path / "run", tmp_path / "waves.npy")[1]
    )
    code, said = calco("evaluate", tmp_path / "run", "--training-data", tmp_path / "waves.npy")
    assert code == 0, said
    assert json.loads((tmp_path / "run" / "report.json").read_text())["data"]["n"] == 33


def test_masks_and_examples_without_labels_move_too(calco, tmp_path):  # noqa: F811
    x, y = scenes(6)
    rng = np.random.default_rng(0)
    old, now = tmp_path / "old", tmp_path / "now"
    old.mkdir()
    for name, array in (("x", x), ("y", y), ("many", rng.normal(size=(40, 4)))):
        np.save(old / f"{name}.npy", array)
    np.savez(old / "few.npz", x=rng.normal(size=(20, 4)), y=np.arange(20) % 2)
    masked = library.open_data(str(old / "x.npy"), masks=str(old / "y.npy"))
    library.Segmenter(width=8, levels=2, training={"steps": 2}).fit(masked, out=tmp_path / "seg")
    partly = library.open_data(str(old / "few.npz"), unlabelled=str(old / "many.npy"))
    library.Classifier(net="mlp", width=8, training={"steps": 4}).fit(partly, out=tmp_path / "few")
    old.rename(now)
    for run, there in (
        ("seg", ("--training-data", now / "x.npy", "--training-masks", now / "y.npy")),
        ("few", ("--training-data", now / "few.npz", "--training-unlabelled", now / "many.npy")),
    ):
        assert calco("evaluate", tmp_path / run)[0] == 2
        code, said = calco("evaluate", tmp_path / run, *there)
        assert code == 0, said
