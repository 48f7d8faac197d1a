"""Series: windows, what they are cut from, their schema, and splits in time."""

import json

import numpy as np
import pandas as pd
import pytest
import torch

import calco
from calco.data import Subset, infer_schema, open_data, reopened, schema_from_json, split
from calco.data.clock import Clock
from calco.data.recordings import series
from calco.data.series import carried
from calco.errors import RequestError


def recording(n=60, seed=0):
    rng = np.random.default_rng(seed)
    return pd.DataFrame({"a": np.arange(float(n)), "b": rng.normal(size=n) + 3, "count": rng.integers(0, 9, n)})


def moments(source):
    """First and last moment of each window, by the column that counts them."""
    x = source.take(np.arange(len(source))).x
    return x[:, 0, 0], x[:, -1, 0]


def test_windows_of_a_table():
    source = series(recording(), window=5, stride=2)
    assert len(source) == 28
    x = source.take(np.array([3, 0])).x
    assert np.array_equal(x[0], recording().to_numpy()[6:11])
    assert np.array_equal(x[1], recording().to_numpy()[:5])
    assert source.names == ("a", "b", "count")


def test_windows_do_not_cross_recordings(tmp_path):
    for i in range(3):
        recording(10 + i, i).to_csv(tmp_path / f"{i}.csv", index=False)
    source = open_data(tmp_path, window=4)
    assert len(source) == 7 + 8 + 9
    first, last = moments(source)
    assert (last - first == 3).all()
    again = reopened(json.loads(json.dumps(source.describe()["open"])))
    assert again.describe() == source.describe()


def test_an_array_of_series_is_left_whole():
    x = np.random.default_rng(0).normal(size=(7, 12, 2)).astype(np.float32)
    source = series(x, [0, 1, 1, 0, 1, 0, 0])
    assert np.array_equal(source.take(np.arange(7)).x, x)
    assert source.take(np.array([2])).y.tolist() == [1]
    cut = series(x, [0, 1, 1, 0, 1, 0, 0], window=6, stride=6)
    assert cut.take(np.arange(14)).y.tolist() == [0, 0, 1, 1, 1, 1, 0, 0, 1, 1, 0, 0, 0, 0]


@pytest.mark.parametrize(
    ("data", "options", "message"),
    [
        (recording(), {}, "how long they are"),
        (recording(4), {"window": 5}, "has 4 moments, fewer than a window of 5"),
        (recording(), {"window": 1}, "make no sense"),
        (recording(), {"window": 5, "stride": 0}, "make no sense"),
        (recording(), {"window": 5, "actions": ("b", "z")}, "no channel 'z'"),
        (recording(), {"window": 5, "time": "t"}, "no column 't'"),
        (recording().assign(name="x"), {"window": 5}, "not numbers: name"),
        (pd.concat([recording(), recording()], axis=1), {"window": 5}, "more than one column called a, b, count"),
        (np.zeros((3, 4, 5, 6)), {"window": 2}, "is no series"),
        ([np.zeros((9, 2)), np.zeros((9, 3))], {"window": 2}, "same channels"),
        (np.zeros((9, 2)), {"window": 2, "time": "t"}, "no columns with names"),
        ("nothing.csv", {"window": 2}, "There is no file"),
    ],
)
def test_what_cannot_be_cut_is_refused(data, options, message):
    with pytest.raises(RequestError, match=message):
        series(data, **options)


def test_series_options_without_a_window_are_refused():
    with pytest.raises(RequestError, match="give the window too"):
        open_data(recording(), time="a")
    with pytest.raises(RequestError, match="holds no series"):
        open_data("digits", window=3)


def test_what_series_cannot_have_is_not_passed_over(tmp_path):
    for given in ({"unlabelled": recording()}, {"masks": recording()}):
        with pytest.raises(RequestError, match="leave those out"):
            open_data(recording(), window=5, **given)
    (tmp_path / "y.txt").write_text("a\n" * 56)
    assert open_data(recording(), window=5, labels=tmp_path / "y.txt").classes == ("a",)
    with pytest.raises(RequestError, match="both as y and as a file"):
        open_data(recording(), np.zeros(56), window=5, labels=tmp_path / "y.txt")


# -- time -------------------------------------------------------------------------------------------------------------


def stamped(stamps, n=None):
    return recording(len(stamps)).assign(when=stamps)


def test_dates_are_read_and_go_on():
    days = pd.date_range("2024-02-27", periods=40)
    source = series(stamped(days.astype(str)), window=5, time="when")
    assert source.plan.clock == Clock("when", "date", 86400.0)
    assert source.names == ("a", "b", "count")
    assert list(source.plan.clock.after("2024-02-28", 2)) == list(pd.to_datetime(["2024-02-29", "2024-03-01"]).to_numpy())
    numbers = series(stamped(0.5 * np.arange(40)), window=5, time="when")
    assert numbers.plan.clock == Clock("when", "number", 0.5)
    assert np.allclose(numbers.plan.clock.after(3, 3), [3.5, 4, 4.5])


def test_weekends_are_no_gaps_and_holidays_of_weeks_are():
    days = pd.bdate_range("2024-01-01", periods=40)
    assert len(series(stamped(days), window=5, time="when")) == 36
    kept = days.delete(range(15, 25))
    assert len(series(stamped(kept), window=5, time="when")) == 11 + 11


@pytest.mark.parametrize(
    ("stamps", "message"),
    [
        ([0, 1, 2, 3, 2.5, 4], r"row 4 of when is earlier than the one before \(so do 1 in all\)"),
        ([0, 1, 2, 2, 3, 4], "row 3 of when repeats"),
        ([0, 1, 2.5, 5.7, 6, 11], "ragged, from 0.3 to 5 apart"),
        ([0, 1, 2, None, 4, 5], "row 3 of when is missing"),
        (["2024-01-01", "yesterday", "2024-01-03"], "does not tell the time"),
        ([1.0], "a single moment"),
    ],
)
def test_time_that_makes_no_sense_is_refused(stamps, message):
    with pytest.raises(RequestError, match=message):
        series(stamped(stamps), window=2, time="when")


# -- the schema -------------------------------------------------------------------------------------------------------


def test_windows_come_back_as_they_went_in():
    source = series(recording(), window=5)
    schema = infer_schema(source)
    raw = source.take(np.arange(len(source))).x
    x = schema.encode(raw)
    assert x.shape == (56, 3, 5)
    assert torch.allclose(x.mean((0, 2)), torch.zeros(3), atol=1e-5)
    assert torch.allclose(x.std((0, 2), correction=0), torch.ones(3), atol=1e-5)
    again = schema.decode(x)
    assert np.allclose(again, raw, atol=1e-4)
    assert np.array_equal(again[..., 2], raw[..., 2])  # whole numbers
    assert schema_from_json(json.loads(json.dumps(schema.to_json()))) == schema
    table = schema.table(again)
    assert list(table) == ["series", "moment", "a", "b", "count"]
    assert table["count"].dtype == np.int64
    assert np.allclose(schema.log_dets(x), -5 * np.log(schema.scale).sum())


def test_the_scale_is_that_of_the_training_part():
    source = series(recording(), window=5)
    train, _ = split(source, 0.5, 0)
    assert infer_schema(train).high[0] < 40
    assert infer_schema(source).high[0] == 59


def test_missing_values_are_told_and_come_back():
    frame = recording()
    frame.loc[[3, 4, 20], "b"] = np.nan
    source = series(frame, window=5)
    schema = infer_schema(source)
    raw = source.take(np.arange(len(source))).x
    x = schema.encode(raw)
    assert x.shape == (56, 4, 5)
    assert torch.equal(x[:, 3] == 0, torch.from_numpy(np.isnan(raw[..., 1])))
    assert torch.equal(x[0, 1, 3], x[0, 1, 2])  # the value before it goes on
    assert np.allclose(schema.decode(x), raw, atol=1e-4, equal_nan=True)
    frame.loc[7, "a"] = np.nan
    with pytest.raises(RequestError, match="Values of a are missing"):
        schema.encode(series(frame, window=5).take(np.arange(9)).x)


def test_values_are_carried_forwards_and_at_the_beginning_backwards():
    x = np.array([np.nan, np.nan, 3, np.nan, 5, np.nan])[None, :, None]
    assert carried(x, np.isnan(x)).ravel().tolist() == [3, 3, 3, 3, 5, 5]
    nothing = np.full((1, 3, 1), np.nan)
    assert carried(nothing, np.isnan(nothing)).ravel().tolist() == [0, 0, 0]


def test_values_stay_multiples_of_what_they_were():
    rng = np.random.default_rng(0)
    tens, cents = 10.0 * rng.integers(0, 7, 300), np.round(rng.normal(size=300) * 40, 2)
    frame = pd.DataFrame({"tens": tens, "cents": cents.astype(np.float32), "free": rng.normal(size=300), "few": tens * np.nan})
    frame.loc[::3, "few"] = 0.5
    schema = infer_schema(calco.series(frame, window=10))
    assert schema.grain == (10.0, 0.01, 0.0, 0.1)
    x = schema.encode(calco.series(frame, window=10).take(np.arange(20)).x)
    raw = schema.decode(x + 0.02 * torch.randn(x.shape))
    assert set(np.unique(raw[..., 0])) <= set(np.unique(tens))
    assert np.allclose(raw[..., 1], raw[..., 1].round(2), atol=1e-9)
    assert not np.allclose(raw[..., 2], raw[..., 2].round(3), atol=1e-6)


def test_constant_channels_stay_constant_and_counts_stay_positive():
    frame = recording().assign(same=7.0)
    schema = infer_schema(series(frame, window=5))
    made = schema.decode(torch.randn(20, 4, 5))
    assert (made[..., 3] == 7).all()
    assert (made[..., [0, 2]] >= 0).all()
    with pytest.raises(RequestError, match="Every channel is constant"):
        infer_schema(series(pd.DataFrame({"a": np.ones(9)}), window=3))


def test_values_that_no_model_can_learn_from_are_refused():
    frame = recording()
    frame.loc[9, "b"] = np.inf
    with pytest.raises(RequestError, match=r"5 of 56 windows hold infinity, the first in window 5 \(channels b\)"):
        infer_schema(series(frame, window=5))
    with pytest.raises(RequestError, match="Every value of b is missing"):
        infer_schema(series(recording().assign(b=np.nan), window=5))
    schema = infer_schema(series(recording(), window=5))
    with pytest.raises(RequestError, match="the model knows 5 moments x 3 channels"):
        schema.encode(np.zeros((2, 6, 3)))


def test_a_renamed_channel_is_refused():
    model = calco.Autoencoder(2, training={"steps": 2}).fit(series(recording(), window=5))
    with pytest.raises(RequestError, match="without b and with unknown c"):
        model.encode(recording().rename(columns={"b": "c"}))
    assert model.encode(recording()).shape == (56, 2)
    assert model.encode(recording().to_numpy()).shape == (56, 2)


# -- splits -----------------------------------------------------------------------------------------------------------


def test_one_recording_is_split_in_time_and_no_moment_is_shared():
    source = series(recording(100), window=5)
    train, held = split(source, 0.2, 0)
    assert moments(train)[1].max() < moments(held)[0].min()
    assert len(held) == round(0.2 * 96)
    assert len(train) == 96 - len(held) - 4
    inner, validation = split(train, 0.25, 1)
    assert moments(inner)[1].max() < moments(validation)[0].min()
    assert moments(validation)[1].max() < moments(held)[0].min()


def test_many_recordings_are_split_between_them():
    several = [recording(20).assign(a=np.arange(20.0) + 100 * i) for i in range(10)]
    train, held = split(series(several, window=5), 0.3, 0)
    which = [set(moments(part)[0] // 100) for part in (train, held)]
    assert len(which[1]) == 3
    assert not which[0] & which[1]
    assert which[0] | which[1] == set(range(10))


def test_windows_that_are_whole_recordings_are_split_as_any_examples():
    source = series(np.random.default_rng(0).normal(size=(50, 6, 2)))
    train, held = split(source, 0.2, 0)
    assert (len(train), len(held)) == (40, 10)
    assert not set(train.rows) & set(held.rows)


def test_a_part_that_would_be_empty_is_refused():
    with pytest.raises(RequestError, match="leaves none to learn from"):
        split(series(recording(10), window=8), 0.5, 0)
    source = Subset(series(recording(100), window=5), np.arange(40))
    assert len(split(source, 0.5, 0)[0]) == 16
