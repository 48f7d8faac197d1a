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
        source = open_data(frame)
        self.schema_, self.seeds = infer_schema(source), []
        self.rows = self.schema_.encode(source.take(np.arange(len(frame))).x)

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


def kinds(n=400, seed=0, empty=0.0):
    """Columns of every dtype."""
    rng = np.random.default_rng(seed)
    day = pd.Timestamp("2020-01-01") + pd.to_timedelta(rng.integers(0, 300, n), "D")
    frame = pd.DataFrame(
        {
            "age": rng.integers(20, 60, n),
            "wage": rng.normal(size=n).astype(np.float32),
            "many": pd.array(rng.integers(0, 5, n), "Int64"),
            "grade": pd.Categorical(rng.integers(0, 3, n)),
            "size": pd.Categorical(rng.choice(["small", "large"], n), ["small", "large"], ordered=True),
            "flag": rng.random(n) < 0.5,
            "perhaps": pd.array(rng.random(n) < 0.5, "boolean"),
            "since": day,
            "zone": day.tz_localize("Europe/Rome"),
            "text": day.strftime("%Y-%m-%d"),
            "arrow": pd.Series(day).astype("date32[pyarrow]"),
            "word": pd.array(rng.choice(["a", "b"], n), "string"),
        }
    )
    return frame.mask(pd.DataFrame(rng.random(frame.shape) < empty, columns=frame.columns)) if empty else frame


def test_columns_of_every_dtype_stay_what_they_are():
    whole, holes = kinds(), kinds(seed=1, empty=0.2)
    holes.loc[0, "age"] = 37.5
    holes.index = pd.Index([0] * len(holes))
    with pytest.warns(UserWarning, match="age has 1 values that are no whole numbers"):
        found = imputed(Drawing(whole), holes)
    assert found.left == 0
    for name in whole:
        there = holes[name].notna().to_numpy()
        wanted = "float64" if name == "age" else whole[name].dtype  # of which one is no whole number
        assert found.data[name].dtype == wanted, name
        assert list(found.data[name][there]) == list(holes[name][there]), name
    assert found.data.index.equals(holes.index)


def test_names_may_be_numbers():
    whole = shop().set_axis([0, 1, 2], axis=1)
    found = imputed(Drawing(whole), whole.mask(whole[2] == 1))
    assert list(found.data) == [0, 1, 2]
    assert found.left == 0


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
        ({"count": "many"}, "is to be a number"),
        ({"count": None}, "none was in training"),
        ({"kind": ["tea"]}, "give one value"),
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


def test_gaps_in_waves_are_filled_better_than_by_straight_lines():
    """Of 12 moments of a wave of period 12.6, five in the middle are missing."""
    rng = np.random.default_rng(0)
    phase, moments = rng.uniform(0, 2 * np.pi, (400, 1)), np.arange(12)
    waves = np.stack((np.sin(phase + 0.5 * moments), np.cos(phase + 0.5 * moments)), 2)
    model = calco.Diffusion(96, depth=2, told=0.9, training={"steps": 600, "batch_size": 64, "ema": 0.99})
    model.fit(calco.series(waves[:300]))
    wrong, straight = [], []
    for wave in waves[300:330]:
        holes = wave.copy()
        holes[3:8] = np.nan
        filled = model.impute(holes)
        assert np.array_equal(filled[:3], wave[:3])
        wrong.append(abs(filled - wave)[3:8].mean())
        straight.append(abs(pd.DataFrame(holes).interpolate().to_numpy() - wave)[3:8].mean())
    assert np.mean(wrong) < 0.6 * np.mean(straight)


def test_labels_and_wrong_shapes_are_refused():
    model = calco.VAE(latent=2, width=8, conditional=True, training={"steps": 1}).fit(shop(50), np.arange(50) % 2)
    with pytest.raises(RequestError, match="conditional on labels"):
        model.impute(shop(50))
    table = calco.VAE(latent=2, width=8, training={"steps": 1}).fit(shop(50))
    with pytest.raises(RequestError, match="more than one column called kind"):
        table.impute(pd.concat((shop(5), shop(5)["kind"]), axis=1))
    with pytest.raises(RequestError, match="give values by the name"):
        table.sample(2, where="kind=tea")  # pyright: ignore[reportArgumentType]


def test_images_have_nothing_to_fill_in():
    model = calco.VAE(latent=2, training={"steps": 1}).fit(
        np.zeros((8, 6, 6), np.uint8) + np.arange(8, dtype=np.uint8)[:, None, None]
    )
    with pytest.raises(RequestError, match="Only tables and series"):
        model.impute(np.zeros((6, 6)))
    with pytest.raises(RequestError, match="Only tables have columns"):
        model.sample(2, where={"a": 1})


def test_what_is_filled_in_does_not_look_over_a_gap():
    """Two pieces of 10 days, years apart: no window has days of both."""
    days = pd.date_range("2020-01-01", periods=10).append(pd.date_range("2024-01-01", periods=10))
    frame = pd.DataFrame({"day": days, "a": np.arange(20.0) % 7, "b": np.arange(20.0)})
    whole = frame.assign(day=pd.date_range("2020-01-01", periods=20))
    model = Copying(calco.series(whole, window=8, time="day"))
    holes = frame.copy()
    holes.loc[[9, 10], "b"] = np.nan
    found = imputed(model, holes)
    assert (found.missing, found.left) == (2, 0)
    assert [int(known[0].sum()) for known in model.known] == [15, 15]  # all of a window but one value, twice
    with pytest.raises(RequestError, match="not those of the clock"):
        imputed(model, holes.assign(day=pd.date_range("2020-01-01", periods=20, freq="h")))


class Coin(Copying):
    """Fills windows with noise."""

    def filled(self, x, known, *, seed=0):
        return torch.where(known, x, torch.randn(x.shape, generator=torch.Generator().manual_seed(seed)))


@pytest.mark.parametrize("dtype", ["int64", "Int64", "boolean", "Float32", "float32", "float64", "UInt8", "bool[pyarrow]"])
def test_recordings_come_back_with_their_dtypes(dtype):
    rng = np.random.default_rng(0)
    train = pd.DataFrame({"a": pd.Series(rng.integers(0, 2, 60)).astype(dtype), "b": rng.normal(size=60)})
    holes = train.copy()
    holes["a"] = holes["a"].mask(rng.random(60) < 0.3)
    for seed in range(4):
        found = imputed(Coin(calco.series(train, window=8)), holes, seed)
        assert found.left == 0
        assert found.data["a"].dtype == dtype
        there = holes["a"].notna()
        assert found.data["a"][there].astype(float).equals(train["a"][there].astype(float))
        assert found.missing == holes["a"].isna().sum()


def test_arrays_come_back_with_their_dtype():
    values = np.random.default_rng(0).normal(size=(40, 2)).astype(np.float32)
    model = Copying(calco.series(values.round().astype(int), window=8))
    holes = values.copy()
    holes[3, 1] = np.nan
    found = imputed(model, holes).data
    assert found.dtype == np.float32
    assert np.array_equal(found[~np.isnan(holes)], values[~np.isnan(holes)])
    masked = np.ma.masked_array(values, np.isnan(holes))
    assert np.array_equal(imputed(model, masked).data, found)


def test_numbers_beyond_what_floats_tell_apart_stay_floats():
    """2^53 and more: as whole numbers they would seem exact."""
    for value, kind in ((2.0**53 - 1, "int64"), (2.0**53, "float64")):
        whole = pd.DataFrame({"n": np.arange(40), "k": np.tile(["a", "b"], 20)})
        held = pd.DataFrame({"n": [value, np.nan, 3.0], "k": ["a", "b", "a"]})
        found = imputed(Drawing(whole), held).data
        assert str(found["n"].dtype) == kind, value
        assert found["n"][0] == value
