"""Tables through the command line: what the verbs write is read as text, cell by cell."""

import csv
import datetime
import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pytest

from calco.cli import app
from calco.errors import RequestError

SHORT = ["--steps", "5", "--batch-size", "8", "--lr-warmup", "0"]
TENTHS = r"-?\d+\.\d"


def run(*arguments):
    app([*map(str, arguments)], result_action="return_value")


def cells(path):
    """A CSV as text: columns by name."""
    with path.open(newline="", encoding="utf-8") as file:
        rows = list(csv.reader(file))
    return {name: [row[i] for row in rows[1:]] for i, name in enumerate(rows[0])}


def shop(n=300):
    """Columns as a spreadsheet has them: gaps, multiples of a tenth, moments of another form than ISO 8601's."""
    rng = np.random.default_rng(0)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 10_000, n), "h")
    return pd.DataFrame(
        {
            "price": [f"{v / 10:.1f}" for v in rng.integers(-2000, 2000, n)],
            "few": [f"{v / 10:.1f}" for v in rng.choice([1, 3, 6, 7], n)],
            "paid": rng.choice(["True", "False", ""], n),
            "at": day.strftime("%Y-%m-%d %H:%M"),
            "kind": rng.choice(["tea", "bread", ""], n),
            "count": rng.integers(0, 9, n),
        }
    )


FORMS = {
    "price": TENTHS,
    "few": r"0\.[1367]",
    "paid": r"(True|False)?",
    "at": r"202[01]-\d\d-\d\d \d\d:00",
    "kind": "(tea|bread)?",
    "count": r"\d",
}


def test_cells_of_csv_files_have_the_form_that_went_in(tmp_path):
    data, out = tmp_path / "shop.csv", tmp_path / "out.csv"
    frame = shop()
    frame.to_csv(data, index=False)
    run("fit", "autoregressive", data, "--width", "8", "--depth", "1", "--out", tmp_path / "run", *SHORT)
    for seed in (0, 1):
        run("sample", tmp_path / "run", "-n", "30", "--seed", seed, "--out", out)
        made = cells(out)
        assert list(made) == list(FORMS)
        for name, form in FORMS.items():
            assert all(re.fullmatch(form, cell) for cell in made[name]), name
        assert {*made["paid"]} == {"True", "False", ""}
    few = frame.head(12)
    holes = few.mask(pd.DataFrame(np.random.default_rng(1).random(few.shape) < 0.2, columns=few.columns), "")
    holes.to_csv(tmp_path / "holes.csv", index=False)
    run("impute", tmp_path / "run", tmp_path / "holes.csv", "--out", out)
    filled = cells(out)
    for name, form in FORMS.items():
        assert all(re.fullmatch(form, cell) for cell in filled[name]), name
        assert all(new == old for new, old in zip(filled[name], holes[name].astype(str), strict=True) if old), name
    frame.head(1).assign(paid="", kind="").to_csv(tmp_path / "row.csv", index=False)
    run("score", tmp_path / "run", tmp_path / "row.csv", "--out", tmp_path / "scores.csv")
    assert np.isfinite(float(cells(tmp_path / "scores.csv")["log_prob"][0]))


@pytest.mark.parametrize("window", [False, True])
def test_multiples_of_a_tenth_are_written_with_one_place(window, tmp_path):
    """Of vectors, and of series."""
    values = np.round(np.sin(np.arange(300) / 9)[:, None] * [9, 900], 1)
    pd.DataFrame(values, columns=["a", "b"]).to_csv(tmp_path / "waves.csv", index=False)
    cut = ["--window", "8"] if window else []
    run("fit", "vae", tmp_path / "waves.csv", *cut, "--width", "8", "--out", tmp_path / "run", *SHORT)
    run("sample", tmp_path / "run", "-n", "60", "--out", tmp_path / "out.csv")
    made = cells(tmp_path / "out.csv")
    for name in ("a", "b"):
        assert all(re.fullmatch(TENTHS, cell) for cell in made[name])
        assert len(set(made[name])) > 10


def test_parquet_files_keep_the_dtypes(tmp_path):
    rng, n = np.random.default_rng(0), 100
    frame = pd.DataFrame(
        {
            "grade": pd.Categorical(rng.integers(0, 3, n), [2, 1, 0, 5], ordered=True),
            "visits": pd.array([None if i % 7 == 0 else i % 5 for i in range(n)], "Int64"),
            "member": pd.array([None if i % 5 == 0 else i % 3 > 0 for i in range(n)], "boolean"),
            "price": [Decimal(int(v)) / 100 for v in rng.integers(100, 900, n)],
            "day": (pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 50, n), "D")).date,
            "key": 2**60 + rng.integers(0, 4, n),
        }
    )
    frame.to_parquet(tmp_path / "data.parquet")
    run("fit", "vae", tmp_path / "data.parquet", "--width", "8", "--out", tmp_path / "run", *SHORT)
    wanted = pd.read_parquet(tmp_path / "data.parquet")
    run("sample", tmp_path / "run", "-n", "2", "--out", tmp_path / "two.parquet")
    run("reconstruct", tmp_path / "run", tmp_path / "data.parquet", "--out", tmp_path / "again.parquet")
    for path in ("two.parquet", "again.parquet"):
        made = pd.read_parquet(tmp_path / path)
        assert made.dtypes.equals(wanted.dtypes)
        assert set(made["key"]) <= set(frame["key"])
        assert {type(v) for v in made["price"]} == {Decimal}
        assert {type(v) for v in made["day"]} == {datetime.date}


def test_what_parquet_does_not_hold_is_said(tmp_path):
    rng = np.random.default_rng(0)
    frame = pd.DataFrame({"span": pd.cut(rng.normal(size=60), 3), "kind": rng.choice(["a", "b"], 60)})
    import calco

    calco.VAE(2, training={"steps": 2}).fit(frame, out=tmp_path / "run")
    with pytest.raises(RequestError, match=r"Parquet does not hold these values .* write a csv file"):
        run("sample", tmp_path / "run", "--out", tmp_path / "out.parquet")
    run("sample", tmp_path / "run", "--out", tmp_path / "out.csv")
    assert set(cells(tmp_path / "out.csv")["span"]) <= set(frame["span"].astype(str))
