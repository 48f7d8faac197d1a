"""Cells of tables: whatever the dtype and whatever the draw, they come back as they went in."""

import datetime
import json
import uuid
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import calco
from calco.data import infer_schema, open_data, schema_from_json
from calco.data.cells import cells_of
from calco.data.forms import roomy
from calco.errors import RequestError

DAY = pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(60) * 7 % 50, "D")


def over(*values, n=60):
    return [values[i % len(values)] for i in range(n)]


def objects(*values):
    return pd.Series(over(*values), dtype=object)


COLUMNS = {
    "bool": over(True, False),
    "bool or None": objects(True, False, None),
    "bool or NaN": objects(True, np.nan, False),
    "boolean": pd.array(over(True, False, None), "boolean"),
    "int8": np.array(over(-3, 1, 2), np.int8),
    "uint64": np.array(over(1, 2**63 + 5, 2**64 - 1), np.uint64),
    "int64": np.array(over(2**53 + 1, 2**53 + 3, -(2**62) - 1)),
    "Int64": pd.array(over(1, 2, None), "Int64"),
    "large Int64": pd.array(over(2**53 + 1, 2, None), "Int64"),
    "UInt8": pd.array(over(1, 2, None), "UInt8"),
    "Float64": pd.array(over(1.5, 2, None), "Float64"),
    "Float32": pd.array(over(1.5, 2.1, None), "Float32"),
    "float32": np.array(over(0.1, 0.2, np.nan), np.float32),
    "float16": np.array(over(0.1, 0.2, 0.3), np.float16),
    "whole float": np.array(over(1, 2, np.nan)),
    "int or None": objects(1, 2, None),
    "int or NA": objects(1, 2, pd.NA),
    "str": pd.Series(over("a", "b", None)),
    "str of Python": pd.Series(over("a", "b", None), dtype=pd.StringDtype("python", na_value=np.nan)),
    "text or None": objects("a", "b", None),
    "string": pd.array(over("a", None), "string"),
    "string of Python": pd.array(over("a", None), "string[python]"),
    "string of Arrow": pd.array(over("a", None), pd.ArrowDtype(pa.string())),
    "numbers as text": pd.Series(over("1", "2", "10")),
    "truth as text": pd.Series(over("True", "False")),
    "codes": pd.Series(over("00501", "501", "2020")),
    "years as text": pd.Series(over("2020", "2021")),
    "text and numbers": objects("a", "b", "c", 1, 2.5, None),
    "category": pd.Categorical(over("a", "b", None), ["c", "b", "a"]),
    "category of int": pd.Categorical(over(3, 1, 2), [3, 1, 2, 7]),
    "ordered category": pd.Categorical(over(3, 1, None), [3, 1], ordered=True),
    "category of bool": pd.Categorical(over(True, False, None)),
    "category of dates": pd.Categorical(over(*DAY[:3])),
    "category of objects": pd.Categorical(pd.Index(over("a", "b"), dtype=object)),
    "category of zones": pd.Categorical(over(*pd.to_datetime(["2020-01-01", "2020-07-01"]).tz_localize("Europe/Rome"))),
    "category of intervals": pd.cut(np.arange(60) * 0.7, 4),
    "category of spans": pd.cut(pd.Series(DAY), 3),
    "interval": pd.Series(pd.IntervalIndex(pd.cut(np.arange(60), 3))),
    "datetime64[us]": DAY,
    "datetime64[s]": DAY.as_unit("s"),
    "datetime64[ns]": DAY.as_unit("ns"),
    "with a zone": DAY.tz_localize("Europe/Rome"),
    "with an offset": DAY.tz_localize("UTC").tz_convert("UTC+01:00"),
    "with gaps": DAY.where(np.arange(60) % 5 > 0),
    "date": objects(*DAY.date),
    "date or None": objects(*DAY.date[:9], None),
    "datetime": objects(*DAY.to_pydatetime()),
    "datetime with a zone": objects(*DAY.tz_localize("Europe/Rome").to_pydatetime()),
    "Timestamp": objects(*DAY, pd.NaT),
    "datetime64": objects(*DAY.to_numpy()),
    "Period": pd.PeriodIndex(DAY, freq="M"),
    "dates as text": DAY.strftime("%Y-%m-%d"),
    "moments as text": DAY.strftime("%Y-%m-%d %H:%M:%S"),
    "minutes as text": pd.Series(DAY.strftime("%Y-%m-%dT%H:%M")).where(np.arange(60) % 7 > 0),
    "milliseconds as text": DAY.strftime("%Y-%m-%dT%H:%M:%S.125Z"),
    "months as text": DAY.strftime("%Y-%m"),
    "time": objects(datetime.time(1, 2), datetime.time(3, 4)),
    "Decimal": objects(Decimal("1.10"), Decimal("2.50"), Decimal("-3.00")),
    "Decimal or None": objects(Decimal("1.10"), None),
    "long Decimal": objects(Decimal("0.12345678901234567890"), Decimal(2**70)),
    "UUID": objects(uuid.UUID(int=1), uuid.UUID(int=2)),
    "date32 of Arrow": pd.Series(DAY).astype("date32[pyarrow]"),
    "timestamp of Arrow": pd.Series(DAY).astype("timestamp[us, tz=Europe/Rome][pyarrow]"),
    "int of Arrow": pd.array(over(1, 2, None), "int64[pyarrow]"),
    "double of Arrow": pd.array(over(1.1, 2.5, None), "double[pyarrow]"),
    "bool of Arrow": pd.array(over(True, None), "bool[pyarrow]"),
    "decimal of Arrow": pd.array(over(Decimal("1.10"), None), pd.ArrowDtype(pa.decimal128(10, 2))),
    "dictionary of Arrow": pd.array(over("a", None), pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
    "Sparse": pd.arrays.SparseArray(over(0, 1, 2)),
    "tenths": np.array(over(0.1, 0.3, 0.7, 0.9)),
}


def saved(schema):
    return schema_from_json(json.loads(json.dumps(schema.to_json())))


def back(schema, frame):
    return schema.decode(schema.encode(open_data(frame, **schema.opening()).take(np.arange(len(frame))).x))


def assert_same(found, frame):
    pd.testing.assert_frame_equal(found, frame, rtol=0, atol=0)
    for name in frame:
        if frame[name].dtype == object:
            assert [type(v) for v in found[name]] == [type(v) for v in frame[name]], name


@pytest.mark.parametrize("name", COLUMNS)
def test_a_column_of_any_dtype_comes_back(name):
    """Whatever it holds by itself, and called a choice."""
    frame = pd.DataFrame({"c": COLUMNS[name], "d": over("x", "y", "z")})
    for columns in ({}, {"c": "choice"}):
        schema = saved(infer_schema(open_data(frame, columns=columns)))
        assert_same(back(schema, frame), frame)


@pytest.mark.parametrize("name", COLUMNS)
def test_dtypes_are_those_that_went_in_whatever_the_draw(name):
    frame = pd.DataFrame({"c": COLUMNS[name], "d": over("x", "y", "z")})
    schema = saved(infer_schema(open_data(frame)))
    parts = [frame[frame["c"].notna()], frame[frame["c"].isna()], frame.iloc[:1]]
    for part in (part.reset_index(drop=True) for part in parts if len(part)):
        assert_same(back(schema, part), part)


@pytest.mark.parametrize(
    "values",
    [
        objects("1.50", "-2.00", "3.25"),
        objects("1", "2", None, "10"),
        objects(Decimal("1.50"), Decimal("2000000000000001.50")),
        objects(Decimal("1000000001." + 25 * "0"), Decimal("3." + 25 * "0")),
        objects(Decimal("1e22").quantize(Decimal("0.001")), Decimal("0.125")),
        pd.Series(pd.array(over(Decimal("0.1"), None, Decimal("0.3")), pd.ArrowDtype(pa.decimal128(38, 20)))),
    ],
    ids=["text", "whole text", "large", "of many places", "of many digits", "of Arrow"],
)
def test_numbers_are_written_with_their_decimal_places(values):
    frame = pd.DataFrame({"c": values, "d": over("x", "y", "z")})
    schema = saved(infer_schema(open_data(frame, columns={"c": "number"})))
    assert schema.coded[0].kind == "number"
    assert [str(v) for v in back(schema, frame)["c"]] == [str(v) for v in values]


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (objects(1, "1", "a", "b", "c"), r"values of several types \(int, str\), which do not come back"),
        (pd.Categorical(over(1, "1", "a")), r"several types \(int, str\)"),
        (objects(True, 1, "a"), "a"),
        (objects(b"a", b"b"), "values of type bytes, which do not come back"),
        (objects((1, 2), (3, 4)), "type tuple"),
        (objects([1, 2], [3, 4]), "type list"),
        (objects(datetime.date(2020, 1, 1), datetime.datetime(2020, 1, 1, 5)), r"several types \(date, datetime\)"),
        (np.array(over(1j, 2j)), "complex numbers"),
    ],
)
def test_values_that_would_not_come_back_are_refused(values, message):
    frame = pd.DataFrame({"c": values, "d": over("x", "y")})
    if message == "a":  # True and 1 differ
        return assert_same(back(infer_schema(open_data(frame)), frame), frame)
    with pytest.raises(RequestError, match=message):
        infer_schema(open_data(frame))
    return None


def test_categoricals_are_choices():
    frame = pd.DataFrame({"c": pd.Categorical(over(1, 2)), "d": over("x", "y")})
    with pytest.raises(RequestError, match="a categorical called a number"):
        infer_schema(open_data(frame, columns={"c": "number"}))


def test_numbers_that_float64_does_not_hold_are_refused_or_choices():
    many = pd.DataFrame({"key": 2**60 + 7 * np.arange(200) ** 2, "d": over("x", "y", n=200)})
    with pytest.raises(RequestError, match=r"float64 cannot tell from others \(row 1: .*drop it if it is a key"):
        open_data(many)
    with pytest.raises(RequestError, match=r"column key holds numbers that float64 cannot tell"):
        infer_schema(open_data(many, columns={"key": "number"}))
    chosen = many.assign(key=many["key"].where(np.arange(200) % 3 > 0, 7))
    schema = infer_schema(open_data(chosen, columns={"key": "choice"}))
    assert_same(back(schema, chosen), chosen)
    few = 2**60 + np.arange(200) * 256  # float64 has room for these
    assert open_data(many.assign(key=few[::-1])).plan[0].kind == "number"


def test_draws_far_out_are_decimals_that_arrow_holds():
    """Of five digits, two of them decimal places."""
    rng = np.random.default_rng(0)
    values = [Decimal(int(v)) / 100 for v in rng.integers(-9000, 9000, 300)]
    frame = pd.DataFrame({"c": pd.array(values, pd.ArrowDtype(pa.decimal128(5, 2))), "d": over("x", "y", n=300)})
    schema = saved(infer_schema(open_data(frame)))
    x = schema.encode(frame.head(20))
    (column, start), _ = schema.spans()
    x[:, start : start + column.choices] = 0
    x[:10, start] = x[10:, start + column.bins - 1] = 1  # the outermost parts
    x[:, start + column.choices] = torch.linspace(-60, 60, 20)  # scores, of which none was so far out
    found = schema.decode(x)["c"]
    assert found.dtype == frame["c"].dtype
    assert max(abs(value) for value in found) <= Decimal("999.99")


@pytest.mark.parametrize("dtype", ["float64", "float32", "Float32"])
def test_what_a_model_makes_of_multiples_is_one(dtype):
    """Whatever the score; numbers with more digits than a dtype has are multiples of nothing."""
    rng = np.random.default_rng(0)
    tenths, rest = pd.Series(rng.integers(0, 9999, 400) / 10), pd.Series(1000 + 500 * rng.normal(size=400))
    frame = pd.DataFrame({"c": tenths.astype(dtype), "rest": rest.astype(dtype), "d": over("x", "y", n=400)})
    schema = infer_schema(open_data(frame))
    assert [column.grain for column in schema.coded] == [0.1, 0, 0]
    x = schema.encode(frame)
    column, start = schema.spans()[0]
    x[:, start + column.choices] += 0.3
    found = schema.decode(x)["c"]
    assert (found != frame["c"]).mean() > 0.5
    assert (found == found.astype("float64").round(1).astype(dtype)).all()
    assert all(len(text.partition(".")[2]) == 1 for text in found.to_csv(index=False, header=False).split())


def test_dates_are_no_numbers():
    for dates in (DAY, DAY.tz_localize("Europe/Rome"), pd.Series(DAY).astype("timestamp[us][pyarrow]")):
        with pytest.raises(RequestError, match="is to be a number, and holds times"):
            open_data(pd.DataFrame({"c": dates, "d": over("x", "y")}), columns={"c": "number"})


def test_numbers_are_no_dates():
    frame = pd.DataFrame({"c": over(20200101, 20210101), "d": over("x", "y")})
    with pytest.raises(RequestError, match="is to be a date, and holds numbers"):
        open_data(frame, columns={"c": "date"})


def test_dates_finer_than_a_microsecond_are_counted():
    frame = pd.DataFrame({"c": DAY.as_unit("ns") + pd.to_timedelta(np.arange(60) % 2, "ns"), "d": over("x", "y")})
    with pytest.warns(UserWarning, match="column c holds 30 dates finer than a microsecond"):
        infer_schema(open_data(frame))


# -- any mixture --------------------------------------------------------------------------------------------------------

MOMENTS = st.datetimes(datetime.datetime(1700, 1, 1), datetime.datetime(2200, 1, 1)).map(lambda t: t.replace(microsecond=0))
DECIMALS = st.decimals(-1000, 1000, places=3)
WORDS = st.sampled_from(["a", "b", "True", "1", "01", "NA", " ", "x, y", "ü"])
INTEGERS = {f"{u}int{b}": (0 if u else -(2 ** (b - 1)), 2 ** (b - (not u)) - 1) for u in ("", "u") for b in (8, 16, 32, 64)}
CELLS = {
    **{name: (st.integers(*limits), name) for name, limits in INTEGERS.items()},
    **{name.replace("i", "I").replace("u", "U"): (st.integers(*limits), name) for name, limits in INTEGERS.items()},
    "bool": (st.booleans(), "bool"),
    "boolean": (st.booleans(), "boolean"),
    "float32": (st.floats(-1e6, 1e6, width=32), "float32"),
    "float64": (st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), "float64"),
    "Float64": (st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), "Float64"),
    "double[pyarrow]": (st.floats(-1e6, 1e6).map(lambda v: round(v, 3)), "double[pyarrow]"),
    "str": (WORDS, "str"),
    "string": (WORDS, "string"),
    "object": (WORDS, "object"),
    "bools": (st.booleans(), "object"),
    "Decimal": (DECIMALS, "object"),
    "date": (st.dates(datetime.date(1, 1, 1)), "object"),
    "datetime64[us]": (MOMENTS, "datetime64[us]"),
    "datetime64[ns, UTC]": (MOMENTS.map(lambda t: t.replace(tzinfo=datetime.UTC)), "datetime64[ns, UTC]"),
    "date32[pyarrow]": (st.dates(), "date32[pyarrow]"),
    "category": (WORDS, "category"),
    "category of int": (st.integers(-3, 3), "category"),
}
NUMPY = ("int", "uint", "bool")
"""Names of dtypes that have no missing values begin so."""


@st.composite
def mixtures(draw, rows=8):
    """A data frame, and the kinds of those of its columns that could be taken for others."""
    found, kinds = {}, {}
    for i, name in enumerate(draw(st.lists(st.sampled_from(sorted(CELLS)), min_size=1, max_size=4))):
        cells, dtype = CELLS[name]
        values = draw(st.lists(cells, min_size=rows, max_size=rows))
        if draw(st.booleans()) and (dtype == "boolean" or not dtype.startswith(NUMPY)):
            values[1:3] = [None, None]
        found[i] = pd.Series(values, dtype=dtype) if dtype != "object" else pd.Series(np.array([*values, None], object)[:-1])
        kinds |= {str(i): "choice"} if cells is WORDS else {}
    return pd.DataFrame(found), kinds


@given(mixtures(), st.permutations(range(8)))
def test_frames_of_any_dtypes_come_back(mixture, order):
    frame, kinds = mixture
    schema = saved(infer_schema(open_data(frame, columns=kinds)))
    assert_same(back(schema, frame), frame)
    part = frame.iloc[order[:3]].reset_index(drop=True)
    assert_same(back(schema, part), part)


@given(
    st.sampled_from(["int16", "int32", "Int64", "float32", "float64", "datetime64[us]", "Decimal", "date"]),
    st.integers(0, 1000),
    st.booleans(),
)
def test_columns_of_many_values_come_back_to_their_resolution(dtype, seed, gaps):
    """Of 20 parts of equal share a value is known to a thousandth of its part's width, and to the grain of all."""
    rng = np.random.default_rng(seed)
    whole = rng.integers(-30_000, 30_000, 400)
    if dtype == "Decimal":
        values = pd.Series([Decimal(int(v)) / 100 for v in whole])
    elif dtype in ("date", "datetime64[us]"):
        days = pd.Series(pd.Timestamp("2000-01-01") + pd.to_timedelta(whole, "D"))
        values = days.dt.date if dtype == "date" else days
    else:
        values = pd.Series(whole / 100 if dtype.startswith("f") else whole).astype(dtype)
    if gaps and dtype not in ("int16", "int32"):
        values = values.astype(object).where(np.arange(400) % 7 > 0, None).astype(values.dtype)
    frame = pd.DataFrame({"c": values, "d": over("x", "y", n=400)})
    found = back(saved(infer_schema(open_data(frame))), frame)["c"]
    assert found.dtype == values.dtype
    assert found.isna().equals(values.isna())
    there = values.notna()
    before, after = (v[there].tolist() for v in (values, found))
    unit = {"date": datetime.timedelta(1), "datetime64[us]": datetime.timedelta(1), "Decimal": Decimal("0.01")}.get(dtype, 1)
    scale = 0.01 if dtype.startswith("f") else 1
    apart = [abs(float((a - b) / unit)) / scale for a, b in zip(before, after, strict=True)]
    assert max(apart) <= 6  # of 60,000 there are 3,000 to a part
    assert {type(v) for v in before} == {type(v) for v in after}


# -- a model ------------------------------------------------------------------------------------------------------------


def everything(n=60, seed=0):
    """Rows of the columns above that do not tell it apart."""
    names = ["boolean", "Int64", "bool or None", "category of int", "with gaps", "Decimal or None", "str", "float32", "date"]
    order = np.random.default_rng(seed).permutation(60)[:n]
    return pd.DataFrame({name: pd.Series(COLUMNS[name]) for name in names}).iloc[order].reset_index(drop=True)


@pytest.fixture(scope="module")
def model():
    return calco.Autoregressive(8, depth=1, training={"steps": 5, "batch_size": 16}).fit(everything())


def test_samples_have_the_dtypes_of_the_data_however_few(model):
    frame = everything()
    for seed in range(4):
        made = model.sample(2, seed=seed)
        assert made.dtypes.equals(frame.dtypes)
    assert {type(v) for v in model.sample(50)["bool or None"]} == {bool, type(None)}
    assert {type(v) for v in model.sample(50)["Decimal or None"]} == {Decimal, type(None)}


def test_filled_in_cells_are_like_those_that_were_there(model):
    frame = everything()
    filled = model.impute(frame)
    assert filled.dtypes.equals(frame.dtypes)
    for name in frame:
        there = frame[name].notna()
        assert_same(filled.loc[there, [name]], frame.loc[there, [name]])
        kinds = {type(v) for v in frame[name][there]} if frame[name].dtype == object else set()
        assert {type(v) for v in filled[name][filled[name].notna()]} >= kinds


@pytest.mark.parametrize("name", list(everything()))
def test_a_new_row_may_have_an_empty_cell(model, name):
    row = everything().iloc[[4]].copy()
    row[name] = None
    if name in ("category of int", "float32", "date"):
        if name == "float32":  # of which some were missing
            return
        with pytest.raises(RequestError, match="of which none was in training"):
            model.log_prob(row)
        return
    assert np.isfinite(model.log_prob(row)).all()
    assert len(model.impute(row)) == 1


def test_new_rows_are_read_as_the_model_knows_them(model, tmp_path):
    frame = everything()
    row = frame.iloc[[1]]
    others = {
        "Int64": [float(row["Int64"].iloc[0])],
        "boolean": objects(row["boolean"].iloc[0])[:1].tolist(),
        "category of int": [str(row["category of int"].iloc[0])],
        "with gaps": [str(row["with gaps"].iloc[0])],
        "Decimal or None": ["1.1" if row["Decimal or None"].notna().iloc[0] else None],
        "date": [str(row["date"].iloc[0])],
    }
    expected = model.log_prob(row)
    for name, value in others.items():
        assert model.log_prob(row.assign(**{name: value})) == pytest.approx(expected, abs=1e-6), name
    row.to_csv(tmp_path / "row.csv", index=False)
    assert model.log_prob(str(tmp_path / "row.csv")) == pytest.approx(expected, abs=1e-6)
    with pytest.raises(RequestError, match="with unknown note"):
        model.log_prob(frame.assign(note=[f"note {i}" for i in range(60)]))
    with pytest.raises(RequestError, match="without date"):
        model.log_prob(frame.drop(columns="date"))
    assert len(calco.evaluate(model, frame.assign(boolean=None), frame)) > 0


def test_rows_keep_their_index_and_columns_their_names():
    frame = everything().set_axis(range(9), axis=1).set_axis([f"row {i}" for i in range(60)])
    coder = calco.VAE(2, training={"steps": 2}).fit(frame)
    found = coder.reconstruct(frame[5:9])
    assert list(found) == list(range(9))
    assert found.index.equals(frame.index[5:9])
    plain = pd.DataFrame(np.arange(40.0).reshape(20, 2), columns=[0, "b"], index=np.arange(20) + 7)
    found = calco.VAE(2, training={"steps": 2}).fit(plain).reconstruct(plain)
    assert list(found) == [0, "b"]
    assert found.index.equals(plain.index)
    asked = calco.Autoregressive(8, depth=1, training={"steps": 2, "batch_size": 8}).fit(frame).sample(3, where={3: 1})
    assert asked[3].tolist() == [1, 1, 1]


@pytest.mark.parametrize("kind", ["table", "vectors"])
@pytest.mark.parametrize(
    ("names", "message"),
    [
        (pd.MultiIndex.from_tuples([("a", "b"), ("a", "c")]), "columns of 2 levels: give each one name"),
        (pd.Index([("a", 1), "b"], tupleize_cols=False), r"a column called \('a', 1\): call it by text or by a number"),
        ([1, "1"], "more than one column called 1"),
        ([None, "b"], "a column called nan"),
    ],
)
def test_columns_without_names_of_their_own_are_refused(names, message, kind):
    frame = pd.DataFrame({"a": over(1.5, 2.5), "b": over("x", "y") if kind == "table" else over(1, 2)}).set_axis(names, axis=1)
    with pytest.raises(RequestError, match=message):
        calco.VAE(2, training={"steps": 2}).fit(frame)


@pytest.mark.parametrize(
    ("forms", "expected"),
    [
        (["%d.%m.%Y", "%Y"], "%Y-%m-%d"),
        (["%Y-%m-%d", "%H:%M"], "%Y-%m-%dT%H:%M:%S"),
        (["%H:%M:%S.%f", "%Y"], "%Y-%m-%dT%H:%M:%S.%f"),
        (["%Y", "%H:%M:%S.%L"], "%Y-%m-%dT%H:%M:%S.%f"),
    ],
)
def test_dates_of_several_forms_meet_in_one_that_has_room_for_all(forms, expected):
    assert roomy(forms) == expected


@pytest.mark.parametrize(
    ("values", "kind", "wanted"),
    [
        ([1, 2.5, 3], "number", "float"),
        ([1, Decimal("2.5"), 3], "number", "Decimal"),
        ([datetime.datetime(2020, 1, 2), pd.Timestamp("2020-01-03")], "date", "Timestamp"),
        ([1, 2.5, Decimal("3.5")], "number", "Decimal|float|int"),
    ],
)
def test_cells_of_two_types_have_the_one_that_holds_both(values, kind, wanted):
    for order in (values, values[::-1]):
        assert cells_of(pd.Series(order, dtype=object), kind).type == wanted
