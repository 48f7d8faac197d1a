"""What the verbs write, read again: rows know their examples, numbers are those of Python, pictures those of the samples."""

import numpy as np
import pandas as pd
import pytest
from PIL import Image

import calco as library
from calco.evaluation import EvalContext
from tests.cli.test_cli import calco  # noqa: F401  the fixture
from tests.models.test_segmenter import scenes
from tests.small import small

SHORT = {"steps": 8, "batch_size": 16, "log_every": 4}
ANIMALS = ("zebra", "ant", "mole")
"""In the order in which they appear, which is not that of their names."""


@pytest.fixture(scope="module")
def animals(tmp_path_factory):
    """A folder of images in nested folders, whose brightness tells their class, and a classifier of them."""
    root = tmp_path_factory.mktemp("animals")
    rng = np.random.default_rng(0)
    for i in range(36):
        path = root / "images" / ANIMALS[i % 3] / f"{35 - i:02}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        pixels = rng.integers(0, 60, (8, 8)) + 80 * (i % 3)
        Image.fromarray(pixels.astype(np.uint8)).save(path)
    model = library.Classifier(net="mlp", width=16, training={"steps": 120, "batch_size": 36, "lr": 3e-3})
    model.fit(str(root / "images"), out=root / "run")
    return root, model


@pytest.fixture(scope="module")
def vae(tmp_path_factory):
    """A run on the digits."""
    run = tmp_path_factory.mktemp("vae") / "run"
    return run, small(library.VAE, training=SHORT).fit("digits", out=run)


def test_probabilities_stand_under_the_names_of_their_classes(calco, animals, tmp_path):  # noqa: F811
    root, model = animals
    assert calco("predict", root / "run", root / "images", "--out", tmp_path / "p.csv")[0] == 0
    found = pd.read_csv(tmp_path / "p.csv")
    assert list(found) == ["file", "prediction", *(f"p({name})" for name in sorted(ANIMALS))]
    truth = found["file"].str.split("/").str[0]
    told = found.drop(columns=["file", "prediction"]).idxmax(axis=1)
    assert (told == "p(" + truth + ")").mean() > 0.9  # which exchanged columns would not give
    assert (told == "p(" + found["prediction"] + ")").all()
    p = dict(zip(model.classes_, model.predict_proba(str(root / "images")).T, strict=True))
    for name in ANIMALS:
        assert np.allclose(found[f"p({name})"], p[name], atol=1e-6)


def test_rows_of_a_folder_tell_their_file(calco, animals, tmp_path):  # noqa: F811
    root, model = animals
    assert calco("predict", root / "run", root / "images", "--out", tmp_path / "p.parquet")[0] == 0
    found = pd.read_parquet(tmp_path / "p.parquet")
    assert sorted(found["file"]) == sorted(str(p.relative_to(root / "images")) for p in (root / "images").rglob("*.png"))
    for file, prediction in zip(found["file"][:5], found["prediction"], strict=False):
        pixels = np.asarray(Image.open(root / "images" / file))
        assert model.predict(pixels[None])[0] == prediction


def test_numbers_are_those_of_python(calco, vae, tmp_path):  # noqa: F811
    run, model = vae
    assert calco("encode", run, "digits:test", "--out", tmp_path / "z.csv")[0] == 0
    z = pd.read_csv(tmp_path / "z.csv")
    assert list(z) == ["row", "z0", "z1", "z2"]
    assert z["row"].tolist() == list(range(360))
    assert np.allclose(z[["z0", "z1", "z2"]], model.encode("digits:test"), atol=1e-6)
    assert calco("score", run, "digits:test", "--samples", "7", "--seed", "5", "--out", tmp_path / "s.csv")[0] == 0
    scores = pd.read_csv(tmp_path / "s.csv")
    values, errors = library.load(run).adjust(samples=7).log_prob("digits:test", with_error=True, seed=5)
    assert list(scores) == ["row", "log_prob", "standard_error"]
    assert np.allclose(scores["log_prob"], values)
    assert np.allclose(scores["standard_error"], errors)
    assert calco("score", run, "digits:test", "--errors", "--out", tmp_path / "e.csv")[0] == 0
    wrong = pd.read_csv(tmp_path / "e.csv")
    assert list(wrong) == ["row", "error"]
    assert np.allclose(wrong["error"], model.errors("digits:test"))
    assert calco("reconstruct", run, "digits:test", "--out", tmp_path / "r.csv")[0] == 0
    kept = pd.read_csv(tmp_path / "r.csv").to_numpy().reshape(360, 8, 8)
    assert np.array_equal(kept, model.reconstruct("digits:test"))
    assert calco("cluster", run, "digits:test", "--clusters", "4", "--out", tmp_path / "c.csv")[0] == 0
    clusters = pd.read_csv(tmp_path / "c.csv")
    assert list(clusters) == ["row", "cluster"]
    assert np.array_equal(clusters["cluster"], library.load(run).cluster("digits:test", 4).cluster)
    assert calco("encode", run, "digits:test", "--out", tmp_path / "z.npy")[0] == 0
    assert np.allclose(np.load(tmp_path / "z.npy"), model.encode("digits:test"), atol=1e-6)  # an array stays one


def test_a_grid_holds_each_sample_at_its_place(calco, vae, tmp_path):  # noqa: F811
    run, model = vae
    assert calco("sample", run, "-n", "7", "--seed", "3", "--out", tmp_path / "s.png")[0] == 0
    pixels = np.asarray(Image.open(tmp_path / "s.png"))
    assert pixels.shape == (3 * 9 - 1, 3 * 9 - 1)
    expected = np.round(model.sample(7, seed=3) / 16 * 255)
    for i, digit in enumerate(expected):
        top, left = i // 3 * 9, i % 3 * 9
        assert np.array_equal(pixels[top : top + 8, left : left + 8], digit)
    assert (pixels[18:, 9:] == 128).all()  # no sample there
    assert calco("sample", run, "-n", "7", "--seed", "3", "--out", tmp_path / "folder")[0] == 0
    files = sorted((tmp_path / "folder").iterdir())
    assert all(np.array_equal(np.asarray(Image.open(file)), digit) for file, digit in zip(files, expected, strict=True))


def test_windows_tell_where_and_when_they_begin(calco, tmp_path):  # noqa: F811
    days = pd.date_range("2024-01-01", periods=40).astype(str)
    for name in ("one", "two"):
        frame = pd.DataFrame({"day": days, "a": np.sin(np.arange(40)), "b": np.cos(np.arange(40))})
        (tmp_path / "data").mkdir(exist_ok=True)
        frame.to_csv(tmp_path / "data" / f"{name}.csv", index=False)
    source = library.open_data(str(tmp_path / "data"), window=8, time="day")
    model = small(library.Autoencoder, training=SHORT).fit(source, out=tmp_path / "run")
    assert calco("score", tmp_path / "run", tmp_path / "data", "--errors", "--out", tmp_path / "e.csv")[0] == 0
    found = pd.read_csv(tmp_path / "e.csv")
    assert list(found) == ["file", "start", "time", "error", *(f"moment {i}" for i in range(8))]
    assert found["file"].tolist() == ["one.csv"] * 33 + ["two.csv"] * 33
    assert found["start"].tolist() == 2 * list(range(33))
    assert found["time"].tolist() == 2 * days[:33].tolist()
    assert np.allclose(found[[f"moment {i}" for i in range(8)]], model.errors(source))


def test_files_of_others_are_left_alone(calco, vae, tmp_path):  # noqa: F811
    run, _ = vae
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "mine.txt").write_text("mine")
    x, y = scenes(6)
    np.save(tmp_path / "x.npy", x)
    library.Segmenter(width=8, levels=2, training={"steps": 2}).fit(library.open_data(x, masks=y), out=tmp_path / "seg")
    for asked in (
        ("sample", run, "-n", "3"),
        ("reconstruct", run, "digits:test"),
        ("segment", tmp_path / "seg", tmp_path / "x.npy"),
    ):
        code, said = calco(*asked, "--out", tmp_path / "full")
        assert code == 2, said
        assert "full is not empty: it holds mine.txt" in said.replace("\n", "")
        assert [path.name for path in (tmp_path / "full").iterdir()] == ["mine.txt"]
        (tmp_path / "empty").mkdir(exist_ok=True)
        assert calco(*asked, "--out", tmp_path / "empty")[0] == 0
        assert calco(*asked, "--out", tmp_path / "empty")[0] == 2
        for path in sorted((tmp_path / "empty").rglob("*"), reverse=True):
            path.rmdir() if path.is_dir() else path.unlink()


@pytest.fixture
def read_only(monkeypatch):
    """Make a folder one that cannot be written, also for the superuser."""
    import os
    import tempfile

    folders = []

    def refuse(real, at):
        def guarded(*arguments, **options):
            path = str(options.get("dir") or arguments[at])
            if any(path.startswith(str(folder)) for folder in folders):
                raise PermissionError(13, "Permission denied", path)
            return real(*arguments, **options)

        return guarded

    monkeypatch.setattr(tempfile, "TemporaryFile", refuse(tempfile.TemporaryFile, 0))
    monkeypatch.setattr(os, "replace", refuse(os.replace, 1))
    return folders.append


def test_a_run_that_cannot_be_written_is_measured_elsewhere(calco, vae, tmp_path, read_only, monkeypatch):  # noqa: F811
    run, _ = vae
    read_only(run)
    before = {path: path.stat().st_mtime_ns for path in run.rglob("*")}
    with monkeypatch.context() as patched:
        patched.setattr(EvalContext, "__init__", lambda *_: pytest.fail("computed in vain"))
        for verb in (("evaluate", run), ("report", run), ("transfer", run, "digits")):
            code, said = calco(*verb)
            assert code == 2, said
            assert "Permission denied. Nothing was computed; give another place, with --out" in said.replace("\n", " ")
    code, said = calco("evaluate", run, "--out", tmp_path / "figures.json")
    assert code == 0, said
    assert (tmp_path / "figures.json").exists()
    code, said = calco("report", run, "--out", tmp_path / "page.html")
    assert code == 0, said
    assert "are in the page alone" in said
    code, said = calco("cluster", run, "digits:test", "--clusters", "3", "--out", tmp_path / "c.csv")
    assert code == 0, said
    assert "The report of the run will not show them" in said
    assert len(pd.read_csv(tmp_path / "c.csv")) == 360
    assert {path: path.stat().st_mtime_ns for path in run.rglob("*")} == before


def test_figures_are_printed_though_they_cannot_be_written(calco, vae, tmp_path, monkeypatch):  # noqa: F811
    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("calco.runs.os.fsync", full)
    code, said = calco("evaluate", vae[0], "--out", tmp_path / "figures.json")
    assert code == 1
    assert "reconstruction error" in said
    assert "make room and try again" in said.replace("\n", " ")


def test_a_place_that_is_none_is_said_to_be_so(calco, vae, tmp_path):  # noqa: F811
    (tmp_path / "file").write_text("")
    (tmp_path / "folder.csv").mkdir()
    for out, words in (("file/z.csv", "Not a directory"), ("folder.csv", "it is a folder")):
        code, said = calco("encode", vae[0], "digits", "--out", tmp_path / out)
        assert code == 2, said
        assert words in said.replace("\n", " ")
