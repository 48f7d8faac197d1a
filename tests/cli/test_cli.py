"""The command line: every verb on real data, every mistake with its exit code and its word, never a traceback."""

import json
import os
import resource
import shutil
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from calco.cli import main
from calco.models import families
from tests.small import needs_masks, sizes, small
from tests.training.worker import PROCESSES

FAMILIES = {name: cls for name, cls in families().items() if not needs_masks(cls)}
OF_ALL = ("reconstruction error", "log likelihood", "accuracy", "R squared", "linear probe")
"""Figures that are measured on all the examples that are given."""
SHORT = ["--steps", "8", "--batch-size", "16", "--log-every", "4"]


@pytest.fixture
def calco(monkeypatch, capsys, quick):
    """Run a command in this process: its exit code, and what it said."""

    def run(*arguments):
        monkeypatch.setattr(sys, "argv", ["calco", *map(str, arguments)])
        with pytest.raises(SystemExit) as end:
            main()
        said = capsys.readouterr()
        assert "Traceback" not in said.err
        return end.value.code, said.out + said.err

    return run


@pytest.fixture(scope="module")
def runs(tmp_path_factory):
    """One run per family on digits."""
    folder = tmp_path_factory.mktemp("runs")
    for name, cls in FAMILIES.items():
        small(cls, training={"steps": 8, "batch_size": 16, "log_every": 4}).fit("digits", out=folder / name)
    return folder


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    """A folder of small colour images in two classes."""
    folder = tmp_path_factory.mktemp("pictures")
    rng = np.random.default_rng(0)
    for i in range(24):
        path = folder / ("even" if i % 2 == 0 else "odd") / f"{i}.png"
        path.parent.mkdir(exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (7, 6, 3), dtype=np.uint8)).save(path)
    return folder


def flags(cls):
    """The small sizes of a family as flags."""
    return [
        text
        for name, value in sizes(cls).items()
        for one in (value if isinstance(value, tuple) else (value,))
        for text in (f"--{name.replace('_', '-')}", str(one))
    ]


def test_help_is_quick():
    times = []
    for _ in range(3):
        began = time.perf_counter()
        subprocess.run([sys.executable, "-m", "calco", "--help"], check=True, capture_output=True)
        times.append(time.perf_counter() - began)
    assert min(times) < 1.0  # half a second on an idle machine; a test must pass on a busy one
    done = subprocess.run(
        [sys.executable, "-c", "import calco.cli, sys; assert not {'torch', 'sklearn', 'pandas'} & set(sys.modules)"],
        check=False,
    )
    assert done.returncode == 0


@pytest.mark.parametrize("name", FAMILIES)
@pytest.mark.parametrize("data", ["digits", "pictures"])
def test_every_verb(name, data, calco, tmp_path, pictures):
    run, what = tmp_path / "run", "digits" if data == "digits" else pictures
    code, said = calco("fit", name, what, "--out", run, *SHORT, *flags(families()[name]))
    if name == "regressor" and data == "pictures":
        assert code == 2
        assert "a label is none" in said
        return
    assert code == 0, said
    assert "calco report" in said
    can = families()[name]().capabilities_
    count, role = (360, "held-out") if data == "digits" else (24, "training")
    for out in ("s.png", "s.npy", "s.csv", "s.parquet", "folder"):
        code, said = calco("sample", run, "-n", "5", "--out", tmp_path / out, "--seed", "2")
        assert code == 0 if "sample" in can else (code == 2 and "cannot sample: it can" in said), said
    if "sample" in can:
        files = list((tmp_path / "folder").iterdir())
        assert np.load(tmp_path / "s.npy").shape[0] == len(pd.read_csv(tmp_path / "s.csv")) == len(files) == 5
        assert np.array_equal(pd.read_parquet(tmp_path / "s.parquet").to_numpy(), np.load(tmp_path / "s.npy").reshape(5, -1))
    if "predict" in can:
        for out in ("p.csv", "p.parquet", "p.npy"):
            code, said = calco("predict", run, what, "--out", tmp_path / out)
            assert code == 0, said
        table, alone = pd.read_csv(tmp_path / "p.csv"), np.load(tmp_path / "p.npy")
        assert len(table) == count
        assert (table["prediction"].to_numpy() == alone).all() or np.allclose(table["prediction"], alone)
    code, said = calco("encode", run, what, "--out", tmp_path / "z.csv")
    assert code == 0 if "encode" in can else (code == 2 and "cannot encode: it can" in said)
    if "encode" in can:
        assert list(pd.read_csv(tmp_path / "z.csv")) == ["row" if data == "digits" else "file", "z0", "z1", "z2"]
        assert len(pd.read_csv(tmp_path / "z.csv")) == count
    code, said = calco("reconstruct", run, what, "--out", tmp_path / "r.npy")
    assert code == 0 if "reconstruct" in can else (code == 2 and "cannot reconstruct: it can" in said)
    if "reconstruct" in can:
        assert np.load(tmp_path / "r.npy").shape[0] == count
    estimated = "samples" in getattr(families()[name].model_class, "adjustable", ())
    asked = ("--samples", "7") if estimated or "log_prob" not in can else ()
    code, said = calco("score", run, what, "--out", tmp_path / "scores.csv", *asked)
    assert code == 0 if "log_prob" in can else (code == 2 and "cannot log_prob: it can" in said)
    if "log_prob" in can:
        assert "7 samples" in said or "exact" in said
        assert list(pd.read_csv(tmp_path / "scores.csv").columns)[1:3] == ["log_prob", "standard_error"]
    assert calco("evaluate", run, what)[0] == 0
    report = json.loads((run / "report.json").read_text())
    told = {figure["name"]: figure["protocol"] for figure in report["figures"]}
    assert all(f"{count} {role} " in protocol for name, protocol in told.items() if name in OF_ALL)
    assert calco("report", run)[0] == 0
    page = (run / "report.html").read_text()
    assert "http://" not in page.replace("http://www.w3.org", "")
    if data == "pictures" and families()[name].recipe.validation:
        count, role = 2, "validation"  # without a word on what to measure on: what the run split off
    assert f"{count} {role} examples" in page
    assert page.count("data:image") > len({"sample", "reconstruct", "encode"} & set(can))
    assert calco("resume", run)[0] == 0


def test_lists(calco):
    code, said = calco("families")
    assert code == 0
    assert all(name in said for name in families())
    code, said = calco("data")
    assert code == 0
    assert "binarized-mnist" in said


def test_flags_come_from_the_constructors(calco):
    code, said = calco("fit", "vae", "--help")
    assert code == 0
    for flag in ("--steps", "--batch-size", "--lr", "--seed", "--device", "--precision", "--out", "--latent", "--free-bits"):
        assert flag in said
    assert "Weight of the KL term." in said
    assert "Steps of the optimiser." in said


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["fti"], ["fti", 'Did you mean "fit"']),
        (["fit", "vea", "digits", "--out", "x"], ["vea", "vae"]),
        (["fit", "vae", "digits", "--out", "x", "--latnt", "3"], ["--latnt", "--latent"]),
        (["fit", "vae", "digits"], ["--out"]),
        (["fit", "vae", "digits", "--out", "x", "--latent", "many"], ["latent", "many"]),
        (["fit", "vae", "digits", "--out", "x", "--latent", "0"], ["latent is 0: it must be at least 1"]),
        (["fit", "vae", "digits", "--out", "x", "--prior", "flwo"], ["flwo", "flow"]),
        (["fit", "vae", "digits", "--out", "x", "--steps", "-1"], ["steps is -1"]),
        (["fit", "vae", "digits", "--out", "x", "--batch-size", "10", "--accumulate", "3"], ["batch_size 10"]),
        (["fit", "vae", "digits", "--out", "x", "--trackers", "nonsense"], ["nonsense"]),
        (["fit", "vae", "digts", "--out", "x"], ["Did you mean 'digits'"]),
        (["fit", "vae", "missing.npy", "--out", "x"], ["no file or folder missing.npy"]),
        (["sample", "nowhere", "--out", "x.png"], ["nowhere is not a run folder"]),
        (["fit", "vae", "digits", "--out", "x", "--patience", "3"], ["patience needs held-out data"]),
        (["fit", "rbm", "digits", "--out", "x", "--visible", "bernoulli"], ["17 grey levels", "'threshold'"]),
        (["fit", "lapgan", "digits", "--out", "x", "--levels", "9"], ["levels is 9"]),
        (["fit", "gan", "digits", "--out", "x", "--validation", "0"], ["keep 'best' needs held-out data"]),
    ],
)
def test_wrong_requests_exit_with_2_and_leave_nothing(arguments, words, calco, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    code, said = calco(*arguments)
    assert code == 2, said
    assert all(word in said.replace("\n", " ") for word in words), said
    assert not list(tmp_path.iterdir())


def test_wrong_requests_of_a_run(calco, runs, tmp_path):
    name = next(iter(families()))
    for arguments, words in (
        (["sample", runs / name, "-n", "0", "--out", tmp_path / "x.png"], "ask for at least 1"),
        (["sample", runs / name, "-n", "-5", "--out", tmp_path / "x.png"], "ask for at least 1"),
        (["sample", runs / name, "--way", "magic", "--out", tmp_path / "x.png"], "Unknown way of sampling 'magic'"),
        (["sample", runs / name, "--label", "3", "--out", tmp_path / "x.png"], "not trained with labels"),
        (["sample", runs / name, "--out", tmp_path / "x.jpg"], "give a file ending in"),
        (["encode", runs / name, "digits", "--out", tmp_path / "x.png"], "give a file ending in"),
        (["encode", runs / name, "digits:dev", "--out", tmp_path / "x.csv"], "choose from train, test"),
        (["fit", name, "digits", "--out", runs / name], "holds a run already"),
        (["fit", name, "digits", "--out", runs], "not an empty folder"),
    ):
        code, said = calco(*arguments)
        assert code == 2, said
        assert words in said, said
    assert list(tmp_path.iterdir()) == []


def test_bad_data(calco, tmp_path, pictures):
    folder = tmp_path / "images"
    folder.mkdir()
    assert "holds no images" in fails(calco, folder, tmp_path)
    shutil.copytree(pictures, folder, dirs_exist_ok=True)
    (folder / "even" / "0.png").write_bytes((pictures / "even" / "0.png").read_bytes()[:60])
    assert "0.png is corrupt or truncated" in fails(calco, folder, tmp_path)
    assert calco("fit", "vae", folder, "--out", tmp_path / "skipped", "--skip-corrupt", *SHORT)[0] == 0
    Image.fromarray(np.zeros((5, 5), np.uint8)).save(folder / "even" / "0.png")
    assert "1 of 24 images are not 7x6 with 3 channels like the others: 0.png 5x5" in fails(calco, folder, tmp_path)
    assert calco("fit", "vae", folder, "--out", tmp_path / "fitted", "--size", "8", "8", "--mode", "L", *SHORT)[0] == 0
    x = np.random.default_rng(0).normal(size=(20, 3))
    x[5, 2] = np.inf
    np.save(tmp_path / "x.npy", x)
    assert "the first in row 5 (columns x2)" in fails(calco, tmp_path / "x.npy", tmp_path)
    np.save(tmp_path / "x.npy", np.nan_to_num(x, posinf=0))
    (tmp_path / "labels.txt").write_text("a\nb\n")
    assert "20 examples but labels of shape (2,)" in fails(
        calco, tmp_path / "x.npy", tmp_path, "--labels", tmp_path / "labels.txt"
    )


def fails(calco, data, tmp_path, *more):
    code, said = calco("fit", "vae", data, "--out", tmp_path / "run", *SHORT, *more)
    assert code == 2, said
    assert not (tmp_path / "run").exists()
    return said.replace("\n", " ")


def test_what_is_known_is_filled_in(calco, runs, tmp_path):
    digit, mask = np.zeros((8, 8), np.uint8), np.zeros((8, 8), bool)
    digit[:4], mask[:4] = 16, True
    np.save(tmp_path / "digit.npy", digit)
    np.save(tmp_path / "mask.npy", mask)
    known = ["--known", tmp_path / "digit.npy", "--mask", tmp_path / "mask.npy", "--out", tmp_path / "filled.npy"]
    code, said = calco("sample", runs / "rbm", "-n", "3", *known)
    assert code == 0, said
    filled = np.load(tmp_path / "filled.npy")
    assert filled.shape == (3, 8, 8)
    assert (filled[:, :4] == 16).all()
    np.save(tmp_path / "mask.npy", mask[:3])
    code, said = calco("sample", runs / "rbm", "-n", "3", *known)
    assert code == 2
    assert "give booleans of shape (8, 8)" in said
    np.save(tmp_path / "digit.npy", np.full((8, 8), "x"))
    code, said = calco("sample", runs / "rbm", "-n", "3", *known)
    assert code == 2
    assert "not of numbers" in said
    assert calco("sample", runs / "vae", "-n", "3", *known)[0] == 2


def test_parzen_estimates_come_with_their_controls(calco, runs, tmp_path):
    code, said = calco("score", runs / "gan", "digits", "--parzen", "--samples", "50", "--out", tmp_path / "p.csv")
    assert code == 0, said
    assert "Parzen estimate of real" in said
    assert "k-means centroids" in said
    assert len(pd.read_csv(tmp_path / "p.csv")) == 360
    code, said = calco("score", runs / "gan", "digits", "--out", tmp_path / "p.csv")
    assert code == 2
    assert "--parzen" in said


def test_a_wide_bracket_is_said_to_be_one(calco, tmp_path, monkeypatch):
    run = tmp_path / "run"
    assert calco("fit", "rbm", "digits", "--hidden", "25", "--out", run, *SHORT)[0] == 0
    score = ["score", run, "digits", "--samples", "5", "--betas", "20", "--out", tmp_path / "s.csv"]
    said = calco(*score)[1]
    assert "forwards" in said
    assert "NOT TRUSTWORTHY" not in said
    monkeypatch.setattr("calco.densities.TRUSTED", -1.0)
    assert "NOT TRUSTWORTHY" in calco(*score)[1]


def test_conditional_samples(calco, tmp_path):
    run = tmp_path / "run"
    assert calco("fit", "vae", "digits", "--out", run, "--conditional", *SHORT, *flags(families()["vae"]))[0] == 0
    assert calco("sample", run, "-n", "4", "--label", "7", "--out", tmp_path / "x.png")[0] == 0
    code, said = calco("sample", run, "--label", "seven", "--out", tmp_path / "x.png")
    assert code == 2
    assert "Unknown label 'seven': choose from 0, 1" in said
    assert calco("evaluate", run)[0] == 0
    assert calco("report", run)[0] == 0
    np.save(tmp_path / "plain.npy", np.zeros((3, 8, 8), np.uint8))
    code, said = calco("encode", run, tmp_path / "plain.npy", "--out", tmp_path / "z.csv")
    assert code == 2
    assert "give labels" in said


def test_held_out_data_and_stopping_early(calco, tmp_path):
    short = ["--steps", "40", "--batch-size", "16", "--latent", "3", "--log-every", "4"]
    stop = ["--evaluations", "20", "--patience", "1", "--lr", "0.5", "--schedule", "constant"]
    code, said = calco("fit", "vae", "digits", "--held-out", "digits", "--out", tmp_path / "run", *short, *stop)
    assert code == 0, said
    lines = [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]
    assert "held_out" in lines[-1]
    assert lines[-1]["step"] < 40


def test_divergence_stops_and_keeps_the_checkpoint(calco, tmp_path):
    wild = ["--lr", "1e6", "--clip", "0", "--optimizer", "sgd", "--lr-warmup", "60", "--steps", "60", "--precision", "fp32"]
    often = ["--checkpoint-every", "1", "--log-every", "1"]
    code, said = calco("fit", "vae", "digits", "--out", tmp_path / "run", *wild, *often)
    assert code == 1
    assert "is no longer finite" in said
    assert "lower lr" in said
    from calco.runs import Run

    state = Run(tmp_path / "run").load_state()
    assert state is None or all(bool(v.isfinite().all()) for v in state[0].values())


class TestTampering:
    """A run folder that was damaged or edited."""

    @pytest.fixture
    def run(self, runs, tmp_path):
        shutil.copytree(runs / next(iter(families())), tmp_path / "run")
        return tmp_path / "run"

    def refused(self, calco, run):
        code, said = calco("sample", run, "--out", run.parent / "x.png")
        assert code == 2, said
        assert not (run.parent / "x.png").exists()
        return said.replace("\n", " ")

    def test_json(self, calco, run):
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text("{")
        assert "not valid JSON" in self.refused(calco, run)
        (run / "run.json").write_text("[]")
        assert "should hold a JSON object" in self.refused(calco, run)
        for change, words in (
            ({"format": 99}, "written by a newer calco"),
            ({"format": "one"}, "names no format"),
            ({"family": "vqvae"}, "Unknown family 'vqvae'"),
            ({"family": 3}, "lacks a valid 'family'"),
            ({"parameters": {"latent": "x"}}, "latent is 'x'"),
            ({"parameters": {"codes": 3}}, "does not fit this calco"),
            ({"parameters": {"latent": 5}}, "do not fit its run.json"),
            ({"training": {}}, "does not fit this calco"),
            ({"schema": {"kind": "image"}}, "damaged or was edited"),
            ({"weights": "0" * 64}, "checksum differs"),
        ):
            (run / "run.json").write_text(json.dumps({**record, **change}))
            assert words in self.refused(calco, run)

    def test_weights(self, calco, run):
        weights = run / "model.safetensors"
        whole = weights.read_bytes()
        weights.write_bytes(whole[:-7])
        assert "checksum differs" in self.refused(calco, run)
        weights.write_bytes(b"\x80\x04pickle")
        assert "checksum differs" in self.refused(calco, run)
        weights.unlink()
        assert "no weights yet" in self.refused(calco, run)

    def test_checkpoint(self, calco, run):
        record = json.loads((run / "run.json").read_text())
        (run / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
        state = run / "checkpoint" / "state.safetensors"
        state.write_bytes(state.read_bytes()[:-100])
        code, said = calco("resume", run)
        assert code == 2
        assert "is damaged" in said


def limited(arguments, errors):
    """Run a command that can write no file beyond 100,000 bytes."""
    with errors.open("w") as file:
        os.dup2(file.fileno(), 2)
    resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000))
    sys.argv = ["calco", *arguments]
    main()


@pytest.mark.parametrize("verb", ["fit", "sample"])
def test_a_full_disk(verb, runs, tmp_path):
    """Writes fail beyond a size, as they do on a full disk: what was there stays, nothing is left half written."""
    name = next(iter(families()))
    arguments = {
        "fit": ["fit", name, "digits", "--out", str(tmp_path / "run"), *SHORT],
        "sample": ["sample", str(runs / name), "-n", "3000", "--out", str(tmp_path / "x.npy")],
    }[verb]
    errors = tmp_path / "errors"
    process = PROCESSES.Process(target=limited, args=(arguments, errors))
    process.start()
    process.join(120)
    said = errors.read_text()
    assert process.exitcode == 1, said
    assert "Cannot write" in said
    assert "Traceback" not in said
    left = {path.name for path in tmp_path.rglob("*") if path.is_file()}
    assert left <= {"run.json", "log.jsonl", "errors"}


def test_trackers(calco, tmp_path):
    code, said = calco("fit", "vae", "digits", "--out", tmp_path / "run", "--trackers", "tensorboard", *SHORT)
    assert code == 0, said
    assert list(Path(tmp_path / "run").rglob("events.out.tfevents*"))


def test_the_demonstration(calco, tmp_path, monkeypatch):
    for cls in families().values():
        if cls.demo is not None:
            monkeypatch.setattr(cls, "demo", {**cls.demo, **sizes(cls), "training": {"steps": 8}})
    code, said = calco("demo", "--out", tmp_path / "demo")
    assert code == 0, said
    page = (tmp_path / "demo" / "report.html").read_text()
    assert all(cls.__name__ in page for cls in families().values() if cls.demo is not None)
    weights = {path: path.stat().st_mtime_ns for path in (tmp_path / "demo").rglob("model.safetensors")}
    monkeypatch.setattr("calco.report.write_report", lambda estimators, *_, **__: [[] for _ in estimators])
    assert calco("demo", "--out", tmp_path / "demo")[0] == 0
    assert all(path.stat().st_mtime_ns == before for path, before in weights.items())  # nothing is trained again


def test_a_folder_is_read_again_as_for_the_run(calco, tmp_path, pictures):
    run = tmp_path / "run"
    assert calco("fit", "autoencoder", pictures, "--size", "12", "10", "--mode", "L", "--out", run, *SHORT)[0] == 0
    assert calco("reconstruct", run, pictures, "--out", tmp_path / "r.npy")[0] == 0
    assert np.load(tmp_path / "r.npy").shape == (24, 12, 10)
    assert calco("evaluate", run, pictures)[0] == 0
    report = json.loads((run / "report.json").read_text())
    assert report["figures"][0]["protocol"].startswith("mean over 24 training examples")
    assert calco("report", run)[0] == 0
    assert "24 training examples" in (run / "report.html").read_text()
    code, said = calco("encode", run, pictures, "--size", "9", "9", "--out", tmp_path / "z.npy")
    assert code == 2
    assert "the model knows 12 x 10 x 1" in said


def test_a_stopped_run_on_resized_images_goes_on(calco, tmp_path, pictures):
    run = tmp_path / "run"
    assert calco("fit", "autoencoder", pictures, "--size", "12", "10", "--out", run, *SHORT, "--checkpoint-every", "4")[0] == 0
    record = json.loads((run / "run.json").read_text())
    (run / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    code, said = calco("resume", run)
    assert code == 0, said


def test_families_side_by_side(calco, tmp_path):
    x = np.random.default_rng(0).normal(size=(200, 4))
    np.save(tmp_path / "x.npy", x)
    asked = ("compare", tmp_path / "x.npy", "--families", "autoencoder, vae", "--budget", "20", "--out", tmp_path / "out")
    code, said = calco(*asked)
    assert code == 0, said
    assert "vae: 20 steps" in said
    assert "For density take vae" in said
    assert set(pd.read_csv(tmp_path / "out" / "leaderboard.csv")["model"]) == {"autoencoder", "vae"}
    board = (tmp_path / "out" / "leaderboard.csv").read_text()
    assert calco("evaluate", tmp_path / "out" / "vae", tmp_path / "x.npy")[0] == 0
    whole = json.loads((tmp_path / "out" / "vae" / "report.json").read_text())
    assert any("200 training and held-out examples" in figure["protocol"] for figure in whole["figures"])
    assert not any("closer" in figure["name"] or "nearest" in figure["name"] for figure in whole["figures"])
    assert calco("evaluate", tmp_path / "out" / "vae")[0] == 0
    apart = json.loads((tmp_path / "out" / "vae" / "report.json").read_text())
    assert any("40 held-out examples" in figure["protocol"] for figure in apart["figures"])
    assert calco(*asked)[0] == 0
    assert (tmp_path / "out" / "leaderboard.csv").read_text() == board
    code, said = calco(*asked[:3], "vae,nonsense", *asked[4:])
    assert code == 2
    assert "Unknown family" in said


def test_few_labels(calco, tmp_path, runs):
    from sklearn.datasets import load_digits

    x, y = load_digits().images.astype(np.uint8), load_digits().target
    np.savez(tmp_path / "few.npz", x=x[:40], y=y[:40])
    np.save(tmp_path / "many.npy", x[40:200])
    run, encoder = tmp_path / "run", runs / "autoencoder"
    both = [tmp_path / "few.npz", "--unlabelled", tmp_path / "many.npy"]
    code, said = calco("fit", "classifier", *both, "--encoder", encoder, "--out", run, *SHORT)
    assert code == 0, said
    assert json.loads((run / "run.json").read_text())["data"]["n"] == 200
    assert "consistency" in (run / "log.jsonl").read_text()
    assert calco("report", run)[0] == 0  # on the examples with labels
    assert "40 training examples" in (run / "report.html").read_text()
    np.savez(tmp_path / "other.npz", x=x[:40, :5], y=y[:40])
    code, said = calco("fit", "classifier", tmp_path / "other.npz", "--encoder", encoder, "--out", tmp_path / "no", *SHORT)
    assert code == 2
    assert "the model knows 8 x 8" in said
    assert not (tmp_path / "no").exists()
    code, said = calco("fit", "vae", *both, "--out", tmp_path / "no", *SHORT)
    assert code == 2
    assert "takes all examples alike" in said
    budgets = ["--budgets", "10,20", "--draws", "2", "--steps", "5"]
    code, said = calco("transfer", encoder, "digits", *budgets, "--out", tmp_path / "transfer")
    assert code == 0, said
    assert "from scratch" in said
    assert len(pd.read_csv(tmp_path / "transfer" / "transfer.csv")) == 10
    assert (tmp_path / "transfer" / "transfer.png").exists()
    for wrong, words in (("ten", "make no sense"), ("5", "budget of 5 labels"), ("10,9999", "budget of 9999")):
        code, said = calco("transfer", encoder, "digits", "--budgets", wrong)
        assert code == 2
        assert words in said.replace("\n", " ")
    code, said = calco("transfer", runs / "gan", "digits")
    assert code == 2
    assert "cannot transfer" in said


def test_series_from_a_file_to_futures(calco, tmp_path):
    days, t = pd.date_range("2024-01-01", periods=200).astype(str), np.arange(200)
    frame = pd.DataFrame({"day": days, "wave": np.sin(t / 3), "level": np.cos(t / 5) + 4})
    frame.to_csv(tmp_path / "prices.csv", index=False)
    run, out = tmp_path / "run", tmp_path / "new.csv"
    code, said = calco("fit", "vae", tmp_path / "prices.csv", "--window", "8", "--out", run, *SHORT)
    assert code == 2
    assert "A column that tells the time is named by time (--time)" in said
    asked = ("--window", "8", "--time", "day", "--latent", "3", "--validation", "0.2")
    code, said = calco("fit", "vae", tmp_path / "prices.csv", *asked, "--out", run, *SHORT)
    assert code == 0, said
    assert calco("sample", run, "-n", "4", "--out", out)[0] == 0
    assert list(pd.read_csv(out)) == ["series", "moment", "wave", "level"]
    assert len(pd.read_csv(out)) == 32
    assert calco("encode", run, tmp_path / "prices.csv", "--out", tmp_path / "z.npy")[0] == 0
    assert np.load(tmp_path / "z.npy").shape == (193, 3)
    assert calco("score", run, tmp_path / "prices.csv", "--samples", "3", "--out", tmp_path / "s.csv")[0] == 0
    code, said = calco("simulate", run, tmp_path / "prices.csv", "--steps", "10", "--paths", "5", "--out", tmp_path / "f.csv")
    assert code == 0, said
    futures = pd.read_csv(tmp_path / "f.csv")
    assert list(futures) == ["path", "day", "wave", "level"]
    assert len(futures) == 50
    assert futures["day"][0].startswith("2024-07-19")
    assert (tmp_path / "f.png").exists()
    code, said = calco("simulate", run, tmp_path / "prices.csv", "--steps", "0", "--out", tmp_path / "f.csv")
    assert code == 2
    assert "at least one of each" in said
    assert calco("report", run)[0] == 0
    figures = {f["name"] for f in json.loads((run / "report.json").read_text())["figures"]}
    assert {"log likelihood", "reconstruction error"} <= figures


def test_a_table_from_a_file_to_rows_like_it(calco, tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame(
        {"age": rng.integers(17, 90, 300), "job": rng.choice(["nurse", "smith"], 300), "pay": rng.normal(size=300)}
    )
    frame.to_csv(tmp_path / "people.csv", index=False)
    code, said = calco("columns", tmp_path / "people.csv", "--out", tmp_path / "people.toml")
    assert code == 0, said
    assert "nurse, smith" in said
    text = (tmp_path / "people.toml").read_text()
    (tmp_path / "people.toml").write_text(text.replace('pay = "number"', 'pay = "drop"'))
    for family in ("vae", "gan", "autoregressive", "autoencoder"):
        run = tmp_path / family
        asked = ("--columns", tmp_path / "people.toml", "--out", run, *SHORT)
        code, said = calco("fit", family, tmp_path / "people.csv", *asked)
        assert code == 0, said
        assert calco("sample", run, "-n", "20", "--out", tmp_path / "new.csv")[0] == 0
        new = pd.read_csv(tmp_path / "new.csv")
        assert list(new) == ["age", "job"]
        assert new["age"].dtype == np.int64
        assert calco("evaluate", run)[0] == 0
    code, said = calco("columns", "digits")
    assert code == 2
    assert "is no table" in said
