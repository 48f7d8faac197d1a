"""Missing values filled in, and rows sampled given some of their columns."""

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco.cli import app
from calco.data import infer_schema, open_data
from calco.errors import RequestError
from calco.imputation import imputed


def shop(n=2000, seed=0, empty=0.0):
    """A number that is one in ten missing, a choice, and a count that goes with it nine times in ten."""
    rng = np.random.default_rng(seed)
    kind = rng.choice(["tea", "bread"], n, p=[0.7, 0.3])
    count = np.where(rng.random(n) < 0.9, kind == "tea", kind != "tea").astype(int)
    price = np.where(rng.random(n) < 0.1, np.nan, np.where(kind == "tea", 5.0, 50.0) + rng.normal(size=n))
    frame = pd.DataFrame({"kind": kind, "price": price, "count": count})
    return frame.mask(pd.DataFrame(rng.random((n, 3)) < empty, columns=frame.columns)) if empty else frame


class Drawing:
    """Draws rows of the training data, whatever is known."""

    def __init__(self, frame):
        self.schema_, self.seeds = infer_schema(open_data(frame)), []
        self.rows = self.schema_.encode(frame)

    def filled(self, x, known, *, seed=0):
        self.seeds.append(seed)
        torch.manual_seed(seed)
        return torch.where(known, x, self.rows[torch.randint(len(self.rows), (len(x),))])


def test_what_is_there_stays_and_what_is_missing_is_drawn():
    whole, holes = shop(), shop(empty=0.3).rename(index=lambda i: f"row {i}").assign(note="kept")
    model = Drawing(whole)
    found = imputed(model, holes)
    assert found.left == 0
    assert found.missing == holes.isna().to_numpy().sum() > 1000
    assert len(model.seeds) > 2  # prices were drawn as missing, and drawn again
    for name in holes:
        there = holes[name].notna()
        assert np.array_equal(found.data[name][there], holes[name][there])
        assert found.data[name].dtype == (whole[name].dtype if name in whole else "str")
    drawn = found.data["count"][holes["count"].isna()]
    assert drawn.mean() == pytest.approx(whole["count"].mean(), abs=0.05)
    assert holes.isna().any().sum() == 3  # the frame that was given is as it was


def test_what_is_missing_in_every_draw_stays_empty():
    frame = shop()
    model = Drawing(frame)
    model.rows = model.rows[np.flatnonzero(frame["price"].isna())]
    found = imputed(model, frame)
    assert found.left == found.missing == frame["price"].isna().sum()
    assert found.data["price"].isna().equals(frame["price"].isna())


def test_a_learned_table_is_asked_for_columns_and_filled_in(tmp_path, capsys):
    """p(tea | count 1) = .63 / .66, and prices go with the kind."""
    run = tmp_path / "run"
    model = calco.Autoregressive(48, depth=1, training={"steps": 700, "lr": 5e-3}).fit(shop(), out=run)
    made = model.sample(1000, where={"count": 1}, seed=1)
    assert np.array_equal(made["count"].unique(), [1])
    assert (made["kind"] == "tea").mean() == pytest.approx(0.63 / 0.66, abs=0.04)
    assert model.sample(20, where={"price": None})["price"].isna().all()
    assert (model.sample(20, where={"price": 5.25})["price"] - 5.25).abs().max() < 1e-3
    holes = shop(500, seed=3).assign(price=np.nan)
    filled = model.impute(holes, seed=2)
    assert not filled.isna().any().any()
    assert (abs(filled["price"] - np.where(filled["kind"] == "tea", 5, 50)) < 6).mean() > 0.95
    assert filled.equals(model.impute(holes, seed=2))

    holes.to_csv(tmp_path / "holes.csv", index=False)
    app(["impute", str(run), str(tmp_path / "holes.csv"), "--out", str(tmp_path / "filled.csv")], result_action="return_value")
    assert "500 missing values filled in" in capsys.readouterr().out
    assert not pd.read_csv(tmp_path / "filled.csv").isna().any().any()
    command = ["sample", str(run), "-n", "50", "--where", "kind=bread", "--where", "price=", "--out", str(tmp_path / "new.csv")]
    app(command, result_action="return_value")
    new = pd.read_csv(tmp_path / "new.csv")
    assert set(new["kind"]) == {"bread"}
    assert int(new["price"].count()) == 0
    with pytest.raises(RequestError, match="say column=value"):
        app([*command[:4], "--where", "kind", *command[-2:]], result_action="return_value")


@pytest.mark.parametrize(
    ("where", "message"),
    [
        ({"colour": "red"}, "choose from kind, price, count"),
        ({"kind": "coal"}, "it had nowhere in training"),
        ({"price": 400}, "never 400 in training: the closest is 5"),
        ({"count": 0.5}, "never 0.5"),
        ({"count": "many"}, "is to be a number"),
        ({"count": None}, "none was in training"),
    ],
)
def test_what_never_was_cannot_be_asked_for(where, message):
    schema = infer_schema(open_data(shop()))
    with pytest.raises(RequestError, match=message):
        schema.given(where)


def test_one_thing_is_asked_for_at_a_time():
    model = calco.Autoregressive(8, depth=1, training={"steps": 1}).fit(shop(50))
    with pytest.raises(RequestError, match="Give one of these"):
        model.sample(2, where={"count": 1}, known=np.zeros(3), mask=np.zeros(3, bool))
    with pytest.raises(RequestError, match="at least 1"):
        model.sample(0, where={"count": 1})
    with pytest.raises(RequestError, match="lacks count"):
        model.impute(shop(5).drop(columns="count"))
    with pytest.raises(RequestError, match="as a data frame"):
        model.impute(np.zeros((2, 3)))


class Copying:
    """Fills windows with the number of their moment, which says where a window began."""

    def __init__(self, source):
        self.schema_, self.known = infer_schema(source), []

    def filled(self, x, known, *, seed=0):
        self.known.append(known)
        assert (x[~known] == 0).all()
        return torch.where(known, x, 100.0)


@pytest.mark.parametrize("gaps", [False, True])
def test_recordings_are_filled_in_window_by_window(gaps):
    rng = np.random.default_rng(0)
    values = rng.normal(size=(50, 2)) * [1.0, 3.0]
    train = values.copy()
    train[7, 1] = np.nan if gaps else 0.0
    model = Copying(calco.series(pd.DataFrame(train, columns=["a", "b"]), window=8))
    holes = values.copy()
    holes[3, 0] = holes[20:40, 1] = holes[49] = np.nan
    found = imputed(model, pd.DataFrame(holes, columns=["a", "b"]))
    assert (found.missing, found.left) == (23, 0)
    filled = found.data.to_numpy()
    assert np.array_equal(filled[~np.isnan(holes)], holes[~np.isnan(holes)])
    assert filled[3, 0] == pytest.approx(model.schema_.mean[0] + 100 * model.schema_.scale[0], rel=1e-5)
    # What one window filled the next one knows: all but the first half-window of the long gap is drawn once.
    assert sum(int((~known).sum()) for known in model.known) == 23
    assert imputed(model, holes).data.shape == (50, 2)
    assert imputed(model, holes[:5]).data.shape == (5, 2)


def test_images_have_nothing_to_fill_in():
    model = calco.VAE(latent=2, training={"steps": 1}).fit(
        np.zeros((8, 6, 6), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None]
    )
    with pytest.raises(RequestError, match="Only tables and series"):
        model.impute(np.zeros((6, 6)))
    with pytest.raises(RequestError, match="Only tables have columns"):
        model.sample(2, where={"a": 1})
