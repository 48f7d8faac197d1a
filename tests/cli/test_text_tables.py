"""Tables as text on the command line: how they are written is said once; and files whose names are not UTF-8."""

import json
import os
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest

import calco as library
from calco.data import reopened
from calco.runs import Run
from tests.cli.test_cli import SHORT, calco  # noqa: F401  a fixture

SAID = ("--delimiter", "|", "--decimal", ",", "--no-header", "--na-values=-", "--encoding", "latin-1")
SMALL = ("--width", 8, *SHORT)


def european(path, n=60, first=0):
    """Rows of numbers with a decimal comma, of codes with zeros before them, and of texts, some missing; no header."""
    rng = np.random.default_rng(first)
    rows = [
        (f"{x:.3f}".replace(".", ","), f"0{rng.integers(1, 4)}", ("Köln", "Ulm", "NA", "-")[rng.integers(4)])
        for x in rng.normal(size=n)
    ]
    path.write_bytes("".join("|".join(row) + "\n" for row in rows).encode("latin-1"))
    return pd.DataFrame(rows, columns=["x0", "x1", "x2"])


def test_what_is_said_of_a_table_is_kept_by_its_run(calco, tmp_path):  # noqa: F811
    frame = european(tmp_path / "a.txt")
    run = tmp_path / "run"
    code, said = calco("fit", "autoregressive", tmp_path / "a.txt", *SAID, "--out", run, *SMALL)
    assert code == 0, said
    again = reopened(Run(run).opening()).take(np.arange(60)).x
    assert again["x0"].tolist() == [float(x.replace(",", ".")) for x in frame["x0"]]
    assert again["x1"].tolist() == frame["x1"].tolist()
    assert again["x2"].astype(object).fillna("-").tolist() == frame["x2"].tolist()
    european(tmp_path / "new.txt", first=1)
    assert calco("score", run, tmp_path / "new.txt", "--out", tmp_path / "new.npy")[0] == 0
    assert np.isfinite(np.load(tmp_path / "new.npy")).all()
    code, said = calco("score", run, tmp_path / "new.txt", "--delimiter", ";", "--out", tmp_path / "new.npy")
    assert (code, "Unknown column" in said) == (2, True)
    code, said = calco("impute", run, tmp_path / "new.txt", "--out", tmp_path / "full.csv")
    assert code == 0, said
    full = pd.read_csv(tmp_path / "full.csv", dtype=str, keep_default_na=False)
    assert set(full["x1"]) <= {"01", "02", "03"}
    assert calco("resume", run)[0] == 0


def test_columns_of_a_table_as_text(calco, tmp_path):  # noqa: F811
    european(tmp_path / "a.txt")
    code, said = calco("columns", tmp_path / "a.txt", *SAID, "--out", tmp_path / "a.toml")
    assert code == 0
    assert (tmp_path / "a.toml").read_text().splitlines()[2:4] == ['x0 = "number"', 'x1 = "choice"  # 01, 02, 03']
    code, said = calco("columns", tmp_path / "a.txt")
    assert (code, "is not UTF-8: say how the text is encoded" in said) == (2, True)
    code, said = calco("columns", tmp_path / "a.txt", "--encoding", "latin-1", "--decimal", ",")
    assert (code, "looks like data" in said) == (2, True)
    (tmp_path / "b.csv").write_text("a;b\n1,5;Ulm\n2,5;NA\n")
    with pytest.warns(UserWarning, match="text in b holds words such as NA"):
        code, said = calco("columns", tmp_path / "b.csv")
    assert (code, "a       float64  number" in said) == (0, True)
    assert calco("columns", tmp_path / "b.csv", "--na-values", "")[0] == 0


def test_histories_are_read_as_the_recordings_were(calco, tmp_path):  # noqa: F811
    rows = [f"{np.sin(t / 3):.3f};{t % 5}".replace(".", ",") for t in range(80)]
    (tmp_path / "a.csv").write_text("\n".join(rows))
    run = tmp_path / "run"
    asked = ("--window", 8, "--no-header", "--delimiter", ";", "--latent", 2, "--out", run, *SMALL)
    code, said = calco("fit", "vae", tmp_path / "a.csv", *asked)
    assert code == 0, said
    code, said = calco("simulate", run, tmp_path / "a.csv", "--steps", 2, "--paths", 2, "--out", tmp_path / "f.npy")
    assert code == 0, said
    assert np.load(tmp_path / "f.npy").shape == (2, 2, 2)


@pytest.fixture
def odd(tmp_path):
    """A name that is not UTF-8."""
    name = os.fsdecode(b"caf\xe9")
    try:
        (tmp_path / name).mkdir()
    except OSError:
        pytest.skip("this file system takes names in UTF-8 only")
    return tmp_path / name


def test_names_that_are_not_utf8(odd):
    frame = pd.DataFrame({"a": np.arange(40) % 7, "b": np.linspace(0, 1, 40), "c": ["u", "v"] * 20})
    frame.to_csv(odd / f"{odd.name}.csv", index=False)
    with (odd / "b.parquet").open("wb") as file:
        frame[["a", "b"]].to_parquet(file)
    assert len(library.open_data(odd / "b.parquet")) == 40
    run = odd / odd.name
    model = library.VAE(latent=2, width=8, training={"steps": 4, "validation": 0.2}).fit(odd / f"{odd.name}.csv", out=run)
    assert json.loads((run / "run.json").read_text())["data"]["open"]["data"] == str(odd / f"{odd.name}.csv")
    again = library.load(run)
    assert again.sample(3, seed=1).equals(model.sample(3, seed=1))
    assert library.load(run).resume().sample(3, seed=1).equals(model.sample(3, seed=1))


def test_names_that_are_not_utf8_are_printed_as_they_are(odd):
    (odd / "a.csv").write_text("a,b\n1,x\n2,y\n")
    environment = os.environ | {"PYTHONIOENCODING": "utf-8:strict"}  # as a terminal has it
    command = [sys.executable, "-m", "calco", "columns", "a.csv", "--out", odd / f"{odd.name}.toml"]
    done = subprocess.run(command, cwd=odd, capture_output=True, env=environment, check=False)
    assert (done.returncode, done.stderr) == (0, b"")
    assert done.stdout.replace(b"\n", b"").endswith(b"caf\xe9/caf\xe9.toml")


def test_pages_and_files_of_names_that_are_not_utf8(calco, odd, tmp_path, monkeypatch):  # noqa: F811
    pd.DataFrame({"a": np.arange(40) % 7, "c": ["u", "v"] * 20}).to_csv(odd / f"{odd.name}.csv", index=False)
    run = tmp_path / "run"
    library.Autoencoder(latent=2, width=8, training={"steps": 4}).fit(odd / f"{odd.name}.csv", out=run)
    assert calco("report", run)[0] == 0
    assert r"caf\udce9.csv" in (run / "report.html").read_text(encoding="utf-8")
    monkeypatch.chdir(odd)  # what is said names no odd folder then, which is not to be captured
    assert calco("encode", run, f"{odd.name}.csv", "--out", "z.parquet")[0] == 0
    assert len(pd.read_parquet("z.parquet")) == 40
