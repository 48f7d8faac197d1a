"""Tables mapped from disk: the same as those in memory."""

import re
from decimal import Decimal

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import calco
from calco.data import columnar, files, infer_schema, open_data
from calco.errors import RequestError
from tests.data.test_cells import COLUMNS
from tests.data.test_tables import people, same

DTYPES = """bool; bool or None; boolean; int8; Int64; large Int64; uint64; float32; float16; Float32; whole float; int of Arrow
interval; category of int; datetime64[us]; with a zone; date or None; Decimal or None; truth as text; years as text; str"""
"""Columns of each kind of dtype."""


def late(n=300):
    """Columns whose kind does not show in their first part, and such as one could take for another kind."""
    frame = people(n)
    frame["late"] = [None] * 200 + ["a", "b"] * 50
    frame["holes"] = [1] * 250 + [None] * 25 + [7] * 25
    frame["begins"] = [None] * 70 + [*range(5)] * 46
    frame["year"] = [1999, *(np.arange(n - 1) % 9 + 2000)]
    frame["code"] = ["1"] * 100 + ["x", "y", "z", "z"] * 50
    frame["flag"] = [True, None, False] * 100
    frame["soon"] = ["2020-01-01"] * 100 + ["soon"] * 200
    frame["day"] = ["2020-01-01", "2020-01-01T10:00:00", "0001-05-01T10:00:00.25", "2021-03-01T10:00:00+02:00"] * 75
    frame["level"] = [None, *([1, 2, 10] * 100)][:n]
    frame["then"] = [None] * 64 + [*range(4)] * 59  # from the second part on
    return frame


@pytest.fixture
def small(monkeypatch):
    monkeypatch.setattr(files, "MAPPED_TABLE", 0)
    monkeypatch.setattr(columnar, "ROWS", 64)


def mapped(array):
    while array is not None and not isinstance(array, np.memmap):
        array = array.base
    return array is not None


@pytest.mark.parametrize("suffix", [".csv", ".parquet"])
def test_a_mapped_table_is_learned_like_one_in_memory(suffix, tmp_path, small, monkeypatch):
    path = tmp_path / f"people{suffix}"
    frame = late()
    if suffix == ".parquet":
        frame["level"] = frame["level"].astype("Int64")
        frame["small"] = np.arange(300).astype(np.int8) % 5
        frame["at"] = pd.Timestamp("2020-01-01", tz="Europe/Rome") + pd.to_timedelta(np.arange(300) % 50, "D")
    frame.to_csv(path, index=False) if suffix == ".csv" else frame.to_parquet(path)
    kinds = {"year": "choice", "level": "choice", "member": "choice", "late": "choice"}
    found = open_data(str(path), columns=kinds)
    with monkeypatch.context() as patch:
        patch.setattr(files, "MAPPED_TABLE", 2**30)
        wanted = open_data(str(path), columns=kinds)
    schema, other = infer_schema(found), infer_schema(wanted)
    for column, one in zip(schema.coded, other.coded, strict=True):
        assert column == one
    rows = np.random.default_rng(0).integers(0, 300, 50)
    assert schema.encode(found.take(rows).x).equal(other.encode(wanted.take(rows).x))
    same(schema.decode(schema.encode(found.take(rows).x)), other.decode(other.encode(wanted.take(rows).x)))
    again = open_data(str(path), **schema.opening())
    assert schema.encode(again.take(rows).x).equal(schema.encode(found.take(rows).x))
    for name in ("age", "wage", "since"):
        assert mapped(found.frame[name].to_numpy()), name
    assert mapped(found.frame["job"].array._codes)


def test_numbers_alone_are_vectors(tmp_path, small):
    values = pd.DataFrame({"a": np.arange(200), "b": np.linspace(0, 1, 200)})
    values.to_csv(tmp_path / "numbers.csv", index=False)
    source = open_data(str(tmp_path / "numbers.csv"))
    assert np.allclose(source.take(np.arange(200)).x, values.to_numpy())
    assert source.dtypes == ("int64", "float64")


def test_what_cannot_be_learned_is_refused_with_a_word(tmp_path, small, monkeypatch):
    path = tmp_path / "bad.csv"

    def write(**columns):
        pd.DataFrame(columns).to_csv(path, index=False)

    write(a=["1"] * 100 + ["x"] * 100)
    with pytest.raises(RequestError, match=r"The column a of bad.csv mixes numbers and text \(row 100"):
        open_data(str(path))
    assert open_data(str(path), columns={"a": "choice"}).plan[0].options == ("1", "x")
    write(a=np.arange(200), b=np.linspace(0, 1, 200))
    with pytest.raises(RequestError, match="counts the rows"):
        open_data(str(path), columns={"b": "number"})
    write(a=[f"id {i}" for i in range(200)], b=np.arange(200) % 7)
    with pytest.raises(RequestError, match="looks like free text or a key"):
        open_data(str(path))
    with pytest.raises(RequestError, match=r"Unknown column of bad\.csv 'typo'"):
        open_data(str(path), columns={"typo": "drop"})
    pd.DataFrame({"a": pd.to_timedelta(np.arange(200), "s")}).to_parquet(tmp_path / "times.parquet")
    with pytest.raises(RequestError, match="durations"):
        open_data(str(tmp_path / "times.parquet"))
    monkeypatch.setattr(columnar, "MOST", 50)
    write(a=[f"id {i}" for i in range(200)], b=np.arange(200) % 7)
    with pytest.raises(RequestError, match="free text or a key"):
        open_data(str(path))
    assert open_data(str(path), columns={"a": "drop"}).names == ("b",)
    write(a=[None] * 200, b=np.arange(200) % 7)
    with pytest.raises(RequestError, match="Every value of the column a"):
        open_data(str(path))


def test_a_model_learns_from_a_mapped_table(tmp_path, small):
    path = tmp_path / "people.csv"
    people(300).to_csv(path, index=False)
    model = calco.VAE(latent=2, width=8, training={"steps": 5, "validation": 0.2}).fit(open_data(str(path)))
    same(model.sample(3).iloc[:0], people(3).iloc[:0].astype({"size": "str", "since": "str", "member": "bool"}))


def test_objects_in_parquet_are_held_as_in_memory(tmp_path, small, monkeypatch):
    """Decimals, dates, booleans with gaps, categories of numbers, and whole numbers that float64 does not hold."""
    path, n = tmp_path / "cells.parquet", 300
    day = pd.Series(pd.Timestamp("2020-01-01") + pd.to_timedelta(np.arange(n) % 90, "D"))
    frame = pd.DataFrame(
        {
            "price": pd.Series([Decimal(i % 500) / 100 for i in range(n)]),
            "day": pd.Series(day.dt.date, dtype=object),
            "flag": pd.Series([True, None, False] * 100, dtype=object),
            "grade": pd.Categorical(np.arange(n) % 3, [2, 0, 1, 7], ordered=True),
            "key": np.array([2**53 + 1, 2**62 + 3, 5])[np.arange(n) % 3],
            "holes": pd.array([2**53 + 1, None, 5] * 100, "Int64"),
            "huge": np.array([2**64 - 1, 1, 2], dtype=np.uint64)[np.arange(n) % 3],
            "perhaps": pd.array([True, None, False] * 100, "boolean"),
            "finer": pd.Series([Decimal("0.5")] * 100 + [Decimal("0.25"), Decimal("0.125")] * 100),  # later than the first part
            "whole": (np.arange(n) % 200).astype(np.int16),
            "half": (np.arange(n) % 250 / 4).astype(np.float32),
            "text": day.dt.strftime("%Y-%m-%d %H:%M"),
        }
    )
    frame.to_parquet(path)
    found = open_data(str(path))
    with monkeypatch.context() as patch:
        patch.setattr(files, "MAPPED_TABLE", 2**30)
        wanted = open_data(str(path))
    assert infer_schema(found).coded == infer_schema(wanted).coded
    schema = infer_schema(found)
    pd.testing.assert_frame_equal(schema.decode(schema.encode(found.take(np.arange(n)).x)), pd.read_parquet(path))


def same_learned(path, monkeypatch, **kinds):
    """The columns of a table, mapped and in memory the same, as are the rows that a model makes of them."""
    found = open_data(str(path), columns=kinds)
    with monkeypatch.context() as patch:
        patch.setattr(files, "MAPPED_TABLE", 2**30)
        wanted = open_data(str(path), columns=kinds)
    schema, other = infer_schema(found), infer_schema(wanted)
    assert schema.coded == other.coded
    x = schema.encode(found.take(np.arange(len(found))).x)
    assert x.equal(other.encode(wanted.take(np.arange(len(found))).x))
    pd.testing.assert_frame_equal(schema.decode(x), other.decode(x))
    return schema.decode(x)


ROW = np.arange(300)
DAYS = np.datetime64("2020-01-01", "us") + ROW % 5 * np.timedelta64(1, "D")
ARROW = [
    (pa.int64(), ROW % 5),
    (pa.uint8(), ROW % 5),
    (pa.bool_(), ROW % 2 == 0),
    (pa.date32(), DAYS.astype("datetime64[D]")),
    (pa.timestamp("us"), DAYS),
    (pa.timestamp("us", "Europe/Rome"), DAYS),
    (pa.decimal128(9, 2), np.array([Decimal(i % 5) / 4 for i in range(300)])),
]


@pytest.mark.parametrize("gone", [slice(0), slice(70, 80), slice(0, 64), slice(0, 70), slice(128, 192), slice(None, None, 7)])
@pytest.mark.parametrize(("kind", "values"), ARROW, ids=[str(kind) for kind, _ in ARROW])
def test_columns_with_gaps_are_held_as_in_memory(kind, values, gone, tmp_path, small, monkeypatch):
    """Parts without a value, with some and with all of them have dtypes of their own, where nothing says that of pandas."""
    cells = values.tolist()
    cells[gone] = [None] * len(cells[gone])
    pq.write_table(pa.table({"c": pa.array(cells, kind), "d": ["x", "y"] * 150}), tmp_path / "t.parquet")
    same_learned(tmp_path / "t.parquet", monkeypatch)
    same_learned(tmp_path / "t.parquet", monkeypatch, c="choice")
    if pa.types.is_boolean(kind):
        same_learned(tmp_path / "t.parquet", monkeypatch, c="number")


def test_a_choice_of_numbers_may_have_one_in_the_first_row_alone(tmp_path, small, monkeypatch):
    pd.DataFrame({"c": [7, *[1, 2, 3] * 100], "d": ["x", *["x", "y"] * 150]}).to_parquet(tmp_path / "t.parquet")
    found = same_learned(tmp_path / "t.parquet", monkeypatch, c="choice")
    assert found["c"].tolist() == [7, *[1, 2, 3] * 100]


@pytest.mark.parametrize("without", [0, 1])
def test_categories_of_a_part_without_a_value_are_kept(without, tmp_path, small, monkeypatch):
    codes, texts = [[0, 1] * 32, [0, 1] * 32], [["a", "b"], ["z", "b"]]
    codes[without] = [None] * 64
    parts = [pa.DictionaryArray.from_arrays(pa.array(c, pa.int8()), pa.array(t)) for c, t in zip(codes, texts, strict=True)]
    table = pa.table({"c": pa.chunked_array(parts), "d": ["x", "y"] * 64})
    pq.write_table(table, tmp_path / "t.parquet", row_group_size=64)
    found = same_learned(tmp_path / "t.parquet", monkeypatch)
    assert list(found["c"].cat.categories) == ["a", "b", "z"]


def test_dates_finer_than_a_microsecond_are_counted_over_all_parts(tmp_path, small):
    days = pd.Timestamp("2020-01-01").as_unit("ns") + pd.to_timedelta(ROW % 3, "ns")
    pd.DataFrame({"c": days, "d": ["x", "y"] * 150}).to_parquet(tmp_path / "t.parquet")
    with pytest.warns(UserWarning, match="column c holds 200 dates finer than a microsecond"):
        open_data(str(tmp_path / "t.parquet"))


@pytest.mark.parametrize("name", re.split(r";\s|\n", DTYPES))
def test_a_mapped_column_is_held_as_one_in_memory(name, tmp_path, small, monkeypatch):
    """As it is, and with its first two parts missing; inferred, and called a choice; from files that know dtypes or do not."""
    monkeypatch.setattr(columnar, "ROWS", 16)
    column = pd.Series(COLUMNS[name]).reset_index(drop=True)
    gaps = column.where(np.arange(len(column)) >= 32)
    for values, suffix, kind in ((column, "parquet", "choice"), (gaps, "parquet", None), (gaps, "plain.parquet", "choice")):
        table = pa.Table.from_pandas(pd.DataFrame({"c": values, "d": ["x", "y", "z"] * 20}), preserve_index=False)
        path = tmp_path / f"t.{suffix}"
        pq.write_table(table if suffix == "parquet" else table.replace_schema_metadata(None), path)
        back = same_learned(path, monkeypatch, **({} if kind is None else {"c": kind}))
        assert back["c"].isna().equals(values.isna()), (suffix, kind)


@pytest.mark.parametrize("dtype", ["int64", "uint64", "Int64"])
def test_keys_beyond_float64_are_refused_from_mapped_tables_too(dtype, tmp_path, small):
    path = tmp_path / "keys.parquet"
    pd.DataFrame({"key": pd.Series(2**60 + 7 * np.arange(300) ** 2, dtype=dtype), "b": ["x", "y"] * 150}).to_parquet(path)
    with pytest.raises(RequestError, match=r"numbers that float64 cannot tell from others \(row"):
        open_data(str(path))
