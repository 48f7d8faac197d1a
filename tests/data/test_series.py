"""Series: windows, what they are cut from, their schema, and splits in time."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

import calco
from calco.data import Subset, infer_schema, open_data, reopened, schema_from_json, split
from calco.data.channels import common_dtype
from calco.data.clock import Clock
from calco.data.recordings import series
from calco.data.series import carried
from calco.data.values import numpy_type
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
    for more in ({"unlabelled": recording()}, {"masks": recording()}):
        with pytest.raises(RequestError, match="leave those out"):
            open_data(recording(), window=5, **more)
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


# -- several recordings -----------------------------------------------------------------------------------------------


def test_whole_numbers_first_do_not_round_the_others(tmp_path):
    """One file holds whole numbers, the other fractions, a third nothing in one channel, a fourth text that is empty."""
    rng = np.random.default_rng(0)
    frames = [
        pd.DataFrame({"a": rng.integers(-3, 3, 30), "b": rng.integers(0, 2, 30)}),
        pd.DataFrame({"a": rng.normal(size=30), "b": rng.integers(0, 2, 30)}),
        pd.DataFrame({"a": rng.normal(size=30), "b": np.nan}),
    ]
    for i, frame in enumerate(frames):
        frame.to_csv(tmp_path / f"{i}.csv", index=False)
    for data in (tmp_path, frames):
        source = series(data, window=5)
        assert source.dtypes == ("float64", "float64")
        schema = infer_schema(source)
        raw = source.take(np.arange(len(source))).x
        assert np.allclose(schema.decode(schema.encode(raw)), raw, atol=1e-6, equal_nan=True)
    assert infer_schema(series(frames[:2], window=5)).dtypes == ("float64", "int64")


@pytest.mark.parametrize(
    ("one", "other", "common"),
    [
        ("int64", "float32", "float64"),
        ("bool", "int8", "int8"),
        ("Int64", "int64", "Int64"),
        ("Int32", "float64", "Float64"),
        ("boolean", "bool", "boolean"),
        ("bool", "float64", "float64"),
    ],
)
def test_recordings_meet_in_a_dtype_that_has_room_for_all(one, other, common):
    frames = [pd.DataFrame({"a": np.arange(9) % 2}).astype(dtype) for dtype in (one, other)]
    for both in (frames, frames[::-1]):
        schema = infer_schema(series(both, window=3))
        assert schema.dtypes == (common,)
        assert schema.table(np.zeros((2, 3, 1)))["a"].dtype == common


def gapped(n, cut, jump=100):
    """A recording with a gap after `cut` of its rows."""
    t = np.arange(n) + jump * (np.arange(n) >= cut)
    return pd.DataFrame({"t": t, "a": np.arange(float(n))})


def test_labels_follow_a_recording_through_its_gaps():
    """Two recordings, one of them in two pieces: by pieces the second label would be of the first recording."""
    frames = [gapped(20, 8), gapped(12, 12)]
    source = series(frames, ["x", "y"], window=4, time="t")
    assert [source.classes[i] for i in np.asarray(source.y)] == ["x"] * (5 + 9) + ["y"] * 9
    each = [str(i % 3) for i in range(len(source))]
    labelled = series(frames, each, window=4, time="t")
    assert [labelled.classes[i] for i in np.asarray(labelled.y)] == each
    with pytest.raises(RequestError, match=r"2 recordings and 23 windows but labels of shape \(3,\)"):
        series(frames, ["x", "y", "z"], window=4, time="t")


def test_labels_that_may_be_of_recordings_or_of_windows_are_refused():
    """Three recordings of 5, 3 and 6 moments give windows of 5 to the first and the last: three of them."""
    several = [recording(n) for n in (5, 3, 6)]
    with pytest.warns(UserWarning, match="shorter"), pytest.raises(RequestError, match="3 labels may be of either"):
        series(several, ["x", "y", "z"], window=5)
    assert series([recording(5), recording(5)], ["x", "y"], window=5).y.tolist() == [0, 1]  # one each: the same either way


def test_what_is_shorter_than_a_window_is_told():
    with pytest.warns(
        UserWarning, match="2 of 4 recordings are shorter than a window of 10 and left out, with 9 of 40 time steps"
    ):
        source = series([recording(n) for n in (20, 4, 11, 5)], window=10, stride=3)
    assert source.describe()["left_out"] == {"recordings": 2, "time_steps": 9 + 1 + 1}
    part, _ = split(source, 0.5, 0)
    assert part.describe()["left_out"] == source.describe()["left_out"]
    assert series(recording(20), window=10).describe()["left_out"] == {"recordings": 0, "time_steps": 0}


def test_recordings_of_different_time_steps_are_refused_by_name(tmp_path):
    for name, step in (("a", 1.0), ("b", 2.0)):
        recording(20).assign(t=step * np.arange(20)).to_csv(tmp_path / f"{name}.csv", index=False)
    with pytest.raises(RequestError, match=r"a\.csv by steps of 1, t of b\.csv by steps of 2"):
        open_data(tmp_path, window=4, time="t")


def test_new_data_by_another_clock_are_refused():
    days = pd.date_range("2024-01-01", periods=60)
    model = calco.Autoencoder(2, training={"steps": 2}).fit(series(stamped(days), window=5, time="when"))
    assert model.encode(stamped(days)).shape == (56, 2)
    with pytest.raises(RequestError, match="steps of 3600 s, and the model knows steps of 86400 s"):
        model.encode(stamped(pd.date_range("2024-01-01", periods=60, freq="h")))


def test_tables_and_arrays_are_not_mixed_and_masks_are_minded():
    with pytest.raises(
        RequestError, match="recording 0 of the data frame is a table and recording 1 of the data frame an array"
    ):
        series([recording(), recording().to_numpy()], window=5)
    masked = np.ma.masked_less(recording().to_numpy(), 1)
    assert np.isnan(series(masked, window=5).values).sum() == (recording().to_numpy() < 1).sum() > 1


def test_channels_of_objects_are_what_they_hold():
    frame = recording().assign(flag=[True, None] * 30, none=None)
    frame["count"] = frame["count"].astype(object)
    source = series(frame.drop(columns="none"), window=5)
    assert source.dtypes == ("float64", "float64", "Int64", "boolean")
    assert np.isnan(series([frame, frame.assign(none=1.5)], window=5).values[:60, 4]).all()


def test_numbers_that_floats_cannot_tell_apart_are_refused():
    huge = 2**60 + np.arange(20)[:, None] * np.ones(2, np.int64)
    for data in (huge, pd.DataFrame(huge, columns=["a", "b"])):
        with pytest.raises(RequestError, match=f"holds {2**60 + 19}, and beyond"):
            series(data, window=5)


def test_names_of_channels_are_not_overwritten_by_what_numbers_them():
    names = ["series", "moment", "path", "step"]
    values = np.random.default_rng(0).normal(size=(2, 3, 4))
    frame = pd.DataFrame(np.random.default_rng(1).normal(size=(30, 4)), columns=names)
    schema = infer_schema(series(frame, window=3))
    for table, numbering, first in (
        (schema.table(values), ["series_", "moment_"], 0),
        (schema.futures(values), ["path_", "moment_"], 1),
    ):
        assert list(table) == [*numbering, *names]
        assert np.allclose(table[names].to_numpy(), values.reshape(6, 4))
        assert table[numbering[0]].tolist() == [0, 0, 0, 1, 1, 1]
        assert table[numbering[1]].tolist() == [first, first + 1, first + 2] * 2
    for column in ("path", "moment", "series"):
        own = frame.drop(columns=column).assign(**{column: np.arange(30)})
        table = infer_schema(series(own, window=3, time=column)).futures(values[..., :3], 29)
        assert table[column].tolist() == [30, 31, 32] * 2
        assert table["path_" if column == "path" or "path" in own.columns.drop(column) else "path"].tolist() == [
            0,
            0,
            0,
            1,
            1,
            1,
        ]


# -- whatever the data ------------------------------------------------------------------------------------------------

NUMBERS = ("int8", "int16", "int32", "int64", "uint8", "uint16", "uint32", "uint64", "bool", "float16", "float32", "float64")
NULLABLE = ("Int8", "Int64", "UInt16", "boolean", "Float32", "Float64", "int64[pyarrow]", "bool[pyarrow]", "double[pyarrow]")


@st.composite
def columns(draw, dtypes):
    """A column of any of some dtypes, of any size and offset, perhaps constant, perhaps with gaps where it may have them."""
    dtype, seed = draw(st.sampled_from(dtypes)), draw(st.integers(0, 2**32))
    kind, rng = numpy_type(dtype), np.random.default_rng(seed)
    spread, offset = 10.0 ** draw(st.integers(-3, 5)), draw(st.sampled_from([0.0, 1.0, -1e3, 1e9]))
    values = rng.normal(size=40) * spread + offset
    if kind.kind == "b":
        values = values > offset
    elif kind.kind in "iu":
        values = np.clip(values.round(), max(np.iinfo(kind).min, -(2**53)), min(np.iinfo(kind).max, 2**53))
    elif kind == np.float16:
        values = values.clip(-6e4, 6e4)
    column = pd.Series(values).astype(kind)
    gaps = draw(st.booleans()) and (dtype in NULLABLE or kind.kind == "f")
    return column.astype(dtype).mask(rng.random(40) < 0.2) if gaps else column.astype(dtype)


def resolution(raw, schema):
    """What float32 can tell apart, beside the rounding of the dtype: the distance from the mean, and eight more bits."""
    of_dtype = [np.finfo(k).eps if (k := numpy_type(d)).kind == "f" else 2.0**-52 for d in schema.dtypes]
    return 2.0**-22 * (abs(raw - schema.mean) + schema.scale) + 4 * np.array(of_dtype) * abs(raw)


@given(st.lists(columns(NUMBERS + NULLABLE), min_size=1, max_size=4), st.integers(2, 9))
def test_windows_of_any_dtype_come_back(found, window):
    frame = pd.concat([*found, pd.Series(np.arange(40.0))], axis=1, keys=[*"abcd"[: len(found)], "t"])
    source = series(frame, window=window, stride=window)
    schema = infer_schema(source)
    raw = source.take(np.arange(len(source))).x
    again = schema.decode(schema.encode(raw))
    assert (np.isnan(again) == np.isnan(raw)).all()
    assert (np.nan_to_num(abs(again - raw)) <= np.nan_to_num(resolution(raw, schema) + 0.0)).all()
    table = schema.table(again)
    for name in frame:
        assert table[name].dtype == frame[name].dtype, name
        assert table[name].isna().equals(frame[name][: len(table)].isna()), name
    assert schema_from_json(json.loads(json.dumps(schema.to_json()))) == schema


@given(st.sampled_from(NUMBERS), st.integers(0, 99))
def test_arrays_of_any_dtype_come_back(dtype, seed):
    x = abs(np.random.default_rng(seed).normal(size=(6, 8, 2)) * 9 + 20).astype(dtype)
    x[0, 0] = 0
    schema = infer_schema(series(x))
    again = schema.decode(schema.encode(x))
    assert again.dtype == x.dtype
    if np.dtype(dtype).kind in "biu":
        assert np.array_equal(again, x)
    assert np.allclose(again.astype(float), x.astype(float), rtol=2e-3 if dtype == "float16" else 1e-6, atol=1e-5)


@pytest.mark.parametrize("first", [1e9, np.nan])
def test_small_changes_of_large_numbers_are_not_lost(first):
    """Of a first value that is missing nothing is known to subtract: sums of squares of 1e9 hide deviations of .001."""
    values = 1e9 + 1e-3 * np.random.default_rng(0).normal(size=(200, 1))
    values[0] = first
    schema = infer_schema(series(np.hstack((values, values + 1)), window=4))
    assert schema.scale[0] == pytest.approx(1e-3, rel=0.2)
    raw = series(np.hstack((values, values + 1)), window=4).take(np.arange(9)).x
    assert np.allclose(schema.decode(schema.encode(raw)), raw, rtol=0, atol=1e-6, equal_nan=True)


def test_a_grain_finer_than_the_rounding_of_floats_is_none():
    values = (2e5 + np.random.default_rng(0).normal(size=(100, 1))).astype(np.float32)
    schema = infer_schema(series(values, window=4))
    raw = series(values, window=4).take(np.arange(20)).x
    assert np.array_equal(schema.decode(schema.encode(raw)), raw)


@given(
    st.lists(st.integers(2, 30), min_size=1, max_size=6),
    st.integers(2, 6),
    st.integers(1, 8),
    st.sampled_from([0.1, 0.3, 0.5, 0.8]),
    st.integers(0, 3),
)
def test_any_split_is_disjoint_in_time_and_complete(lengths, window, stride, share, seed):
    """Every moment is in a window or counted as in none; every window is of a part, or lies across the cut of its recording."""
    several = [np.full((n, 1), float(i)) + np.arange(n)[:, None] / 100 for i, n in enumerate(lengths)]
    if max(lengths) < window:
        return
    with warnings.catch_warnings(action="ignore"):
        source = series(several, window=window, stride=stride)
    moments_of = [set(range(a, b)) for _, a, b in source.spans]
    left_out = source.describe()["left_out"]
    assert left_out == {
        "recordings": sum(n < window for n in lengths),
        "time_steps": sum(lengths) - len(set().union(*moments_of)),
    }
    try:
        train, held = split(source, share, seed)
    except RequestError:
        return
    ours, theirs = (set().union(*(moments_of[row] for row in part.rows)) for part in (train, held))
    assert not ours & theirs
    for row in set(range(len(source))) - set(train.rows) - set(held.rows):
        assert moments_of[row] & theirs
        assert not moments_of[row] <= theirs


@settings(max_examples=10)
@given(st.data())
def test_what_is_opened_again_is_what_was_opened(tmp_path_factory, data):
    folder = tmp_path_factory.mktemp("recordings")
    frequency = data.draw(st.sampled_from(["ME", "B", "h", "D"]))
    for i in range(data.draw(st.integers(1, 3))):
        own = [data.draw(columns(("int64", "float64", "bool"))) for _ in range(2)]
        stamps = pd.Series(pd.date_range("2020-01-01", periods=40, freq=frequency))
        pd.concat([stamps, *own], axis=1, keys=["t", "a", "b"]).to_csv(folder / f"{i}.csv", index=False)
    options = {"window": data.draw(st.integers(2, 9)), "stride": data.draw(st.integers(1, 9)), "time": "t"}
    source = split(open_data(folder, **options), 0.5, 0)[0] if data.draw(st.booleans()) else open_data(folder, **options)
    again = reopened(json.loads(json.dumps(source.describe()["open"])))
    assert again.describe() == source.describe()
    assert np.array_equal(again.take(np.arange(len(again))).x, source.take(np.arange(len(source))).x, equal_nan=True)
    assert again.plan == source.plan


def test_labels_of_recordings_in_a_file_are_read_again(tmp_path):
    waves = np.random.default_rng(0).normal(size=(6, 20, 2))
    np.save(tmp_path / "x.npy", waves)
    (tmp_path / "y.txt").write_text("a\nb\n" * 3)
    source = open_data(tmp_path / "x.npy", window=8, stride=4, labels=tmp_path / "y.txt")
    assert source.classes == ("a", "b")
    again = open_data(**source.describe()["open"])
    assert again.classes == ("a", "b")
    assert again.describe() == source.describe()
    given = open_data(tmp_path / "x.npy", ["a", "b"] * 3, window=8)
    assert given.describe()["open"] is None  # nothing says where these labels are
    assert open_data(tmp_path / "x.npy", window=8).describe()["open"]["data"] == str(tmp_path / "x.npy")


def test_labels_of_a_named_recording_are_refused_not_dropped():
    with pytest.raises(RequestError, match="stocks is one recording"):
        open_data("stocks", ["a"] * 5, window=8)


@pytest.mark.parametrize(
    ("dtypes", "wanted"),
    [
        (["int8", "int8"], "int8"),
        (["int8", "int16"], "int16"),
        (["int64", "float32"], "float64"),
        (["Int8", "Int8"], "Int8"),
        (["Int8", "int8"], "Int8"),
        (["Int8", "Int16"], "Int16"),
        (["UInt8", "uint16"], "UInt16"),
        (["boolean", "bool"], "boolean"),
        (["Float32", "Int8"], "Float32"),
        (["Int64", "float64"], "Float64"),
    ],
)
def test_recordings_of_several_dtypes_meet_where_there_is_room(dtypes, wanted):
    assert common_dtype([pd.api.types.pandas_dtype(dtype) for dtype in dtypes]) == wanted


@pytest.mark.parametrize(
    "change",
    [
        {"time": ["t", "date", 0.0, ""]},
        {"time": ["t", "date", 86400.0]},
        {"time": ["t", "date", 86400.0, "M-32"]},
        {"names": ["a"]},
        {"length": 1},
        {"stride": 0},
        {"missing": [False, 1, False]},
        {"dtypes": ["float64", "object", "int64"]},
        {"grain": [0.0, -1.0, 0.0]},
        {"scale": [1.0, 0.0, 1.0]},
        {"frame": 1},
        {"actions": [3]},
    ],
)
def test_every_field_of_a_tampered_schema_is_checked(change):
    schema = infer_schema(series(recording().assign(t=pd.date_range("2024", periods=60)), window=5, time="t"))
    good = json.loads(json.dumps(schema.to_json()))
    assert schema_from_json(good) == schema
    assert set(change) <= set(good)
    with pytest.raises(RequestError, match=r"schema in run\.json is damaged"):
        schema_from_json({**good, **change})
