"""The schema of vectors, where it is easily wrong."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import calco
from calco.data import ArraySource, VectorSchema, batches, infer_schema, open_data, schema_from_json, values
from calco.errors import RequestError

rng = np.random.default_rng(0)


def schema_of(x, **options):
    return infer_schema(open_data(x, **options))


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int64", "uint64", "bool"])
def test_what_a_dtype_cannot_hold_is_clipped_not_wrapped(dtype):
    x = rng.integers(0, 2 if dtype == "bool" else 100, (50, 2)).astype(dtype)
    schema = schema_of(x)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        raw = schema.decode(torch.tensor([[-1e30, 1e30]]))
    limits = (0, 1) if dtype == "bool" else (np.iinfo(dtype).min, np.iinfo(dtype).max)
    assert raw.dtype == x.dtype
    assert int(raw[0, 0]) == limits[0]
    assert int(raw[0, 1]) >= 0.999 * limits[1]


@pytest.mark.parametrize(
    ("mean", "spread", "dtype"),
    [(1.6e9, 1000, "float64"), (1.6e9, 1000, "int64"), (0, 1e-13, "float64"), (50, 0.01, "float32")],
)
def test_a_column_that_moves_little_beside_its_mean_is_scaled(mean, spread, dtype):
    x = (mean + spread * rng.normal(size=(500, 1))).astype(dtype)
    encoded = schema_of(x).encode(x)
    assert float(encoded.std()) == pytest.approx(1, abs=0.01)


def test_rounding_is_not_taken_for_movement():
    x = np.full((40, 1), 0.1) * 3
    x[::2] = 0.3  # differs from 0.1 * 3 in the last bit
    assert schema_of(x).scale == (1.0,)


def test_statistics_do_not_depend_on_the_chunks(monkeypatch):
    x = rng.normal(5, 3, (101, 4))
    whole = schema_of(x)
    monkeypatch.setattr(values, "READ_AT_ONCE", 7 * 32)
    parts = schema_of(x)
    assert np.allclose(whole.mean, x.mean(0), rtol=1e-12)
    assert np.allclose(whole.scale, x.std(0), rtol=1e-12)
    assert np.allclose([whole.mean, whole.scale], [parts.mean, parts.scale], rtol=1e-12)
    x[93, 2] = np.nan
    with pytest.raises(RequestError, match=r"row 93 \(columns x2\)"):
        schema_of(x)


def test_values_too_large_to_square_are_named():
    with pytest.raises(RequestError, match=r"too large .* x1"):
        schema_of(np.array([[1.0, 1e300], [2.0, -1e300]]))


def test_binary_vectors_take_nothing_else():
    schema = schema_of(rng.integers(0, 2, (9, 4)))
    with pytest.raises(RequestError, match=r"row 1, .* 2 levels from 0 to 1"):
        schema.encode(np.array([[0, 1, 0, 1], [0, 2, 0, 1]]))


@pytest.mark.parametrize(
    "frame",
    [
        pd.DataFrame({"a": [True, False, True], "b": [1, 2, 5]}),
        pd.DataFrame({"a": pd.array([1, 2, 7], dtype="Int64"), "b": pd.array([0.5, 1, 2], dtype="Float32")}),
        pd.DataFrame({"a": pd.array([1, 2, 7], dtype="Int64"), "b": pd.array([1, 4, 4], dtype="Int64")}),
        pd.DataFrame({"a": pd.array([True, False, True], dtype="boolean"), "b": [1.5, 2, 2]}),
        pd.DataFrame({"a": pd.array([1, 2, 7], dtype="int64[pyarrow]"), "b": pd.array([1, 2, 9.5], dtype="double[pyarrow]")}),
    ],
)
def test_data_frames_of_any_dtypes_come_back(frame):
    source = open_data(frame)
    schema = schema_from_json(json.loads(json.dumps(infer_schema(source).to_json())))
    raw = schema.decode(schema.encode(source.take(np.arange(3)).x))
    pd.testing.assert_frame_equal(raw, frame, atol=1e-5)


@pytest.mark.parametrize("dtype", ["float64", "float32"])
def test_multiples_of_a_decimal_come_back_as_the_nearest(dtype):
    """3 * 0.1 is 0.30000000000000004: a table as text shows it."""
    whole = rng.integers(-3000, 3000, (200, 4))
    x = np.stack((whole[:, 0] / 10, whole[:, 1] / 1000, whole[:, 2], rng.normal(size=200)), 1).astype(dtype)
    schema = schema_from_json(json.loads(json.dumps(schema_of(x).to_json())))
    assert schema.grain == (0.1, 0.001, 1.0, 0.0)
    found = schema.decode(schema.encode(x))
    assert found.dtype == dtype
    assert np.array_equal(found[:, :3], x[:, :3])
    assert np.allclose(found, x, atol=1e-5)


def test_whole_numbers_that_float64_does_not_hold_are_refused():
    key = 2**53 + 1 + 2 * np.arange(20)
    for data in (pd.DataFrame({"a": rng.normal(size=20), "key": key}), pd.DataFrame({"b": key, "key": key}), key[:, None]):
        with pytest.raises(
            RequestError, match=r"whole numbers that float64 cannot tell from others \(row 0: 9007199254740993\)"
        ):
            schema_of(data)
    assert schema_of(np.array([[2**60], [2**61]])).names == ("x0",)
    frame = pd.DataFrame({"a": rng.normal(size=20), "key": key})
    schema = schema_of(frame, columns={"key": "choice"})
    assert schema.decode(schema.encode(frame))["key"].equals(frame["key"])


NUMBERS = ["bool", "int8", "uint16", "int64", "uint64", "float32", "float64", "Int64", "boolean", "Float32", "double[pyarrow]"]


@given(st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=5), st.integers(0, 99), st.integers(2, 9))
def test_frames_of_plain_numbers_come_back(dtypes, seed, rows):
    """Whole numbers and multiples of a hundredth exactly."""
    new, columns = np.random.default_rng(seed), {}
    for i, dtype in enumerate(dtypes):
        whole = new.integers(0, 2 if dtype.startswith("bool") else 100, rows)
        columns[i] = pd.Series(whole if "nt" in dtype or dtype.startswith("bool") else whole / 100).astype(dtype)
    frame = pd.DataFrame(columns)
    source = open_data(frame)
    schema = infer_schema(source)
    pd.testing.assert_frame_equal(schema.decode(schema.encode(source.take(np.arange(rows)).x)), frame, rtol=0, atol=0)


def test_new_rows_may_hold_numbers_in_other_ways():
    model = calco.VAE(2, training={"steps": 2}).fit(pd.DataFrame(rng.normal(size=(9, 2)), columns=["a", "b"]))
    new = pd.DataFrame({"a": ["1", "2.5"], "b": pd.array([1, 2], "Int64")})
    assert np.array_equal(model.encode(new), model.encode(new.astype(float)))
    for gap in ([None, 1.0], pd.array([None, 1], "Int64"), [None, None]):
        with pytest.raises(RequestError, match=r"values of the column a are missing, of which none was in training"):
            model.encode(new.assign(a=gap))
    with pytest.raises(RequestError, match=r"column a .* is to be a number, and one is none"):
        model.encode(new.assign(a=["x", "1"]))


def test_columns_must_be_those_known_in_their_order():
    frame = pd.DataFrame(rng.normal(size=(6, 3)), columns=["a", "b", "c"])
    schema = schema_of(frame)

    def use(other):
        return next(batches(open_data(other), schema, 6)).x

    assert torch.equal(use(frame), use(frame.to_numpy()))
    with pytest.raises(RequestError, match=r"another order.*give a, b, c"):
        use(frame[["b", "a", "c"]])
    with pytest.raises(RequestError, match="without c and with unknown z"):
        use(frame.rename(columns={"c": "z"}))


def test_data_frames_that_cannot_be_vectors_are_refused():
    with pytest.raises(RequestError, match="more than one column called a"):
        open_data(pd.DataFrame([[1, 2], [3, 4]], columns=["a", "a"]))
    for frame in ({"city": ["Rome"], "n": [1]}, {"a": [1, 2], "b": pd.array([1, None], dtype="Int64")}):
        assert infer_schema(open_data(pd.DataFrame(frame))).kind == "table"


@pytest.mark.parametrize(
    "change",
    [
        {"names": ["a"]},
        {"names": "ab"},
        {"names": [1, 2]},
        {"mean": [0.0, None]},
        {"mean": [0.0, "1"]},
        {"scale": [1.0, -1.0]},
        {"dtypes": ["float64", "object"]},
        {"dtypes": ["float64", 3]},
        {"binary": "yes"},
        {"frame": 1},
        {"classes": [None]},
        {"names": [], "mean": [], "scale": [], "dtypes": []},
    ],
)
def test_every_field_of_a_tampered_schema_is_checked(change):
    one = VectorSchema(("a",), (0.0,), (1.0,), ("float64",), False, False)
    assert schema_from_json(json.loads(json.dumps(one.to_json()))) == one
    good = VectorSchema(("a", "b"), (0.0, 1.0), (1.0, 2.0), ("float64", "float64"), False, False).to_json()
    assert schema_from_json(json.loads(json.dumps(good))).shape == (2,)
    alone = VectorSchema(("a",), (0.0,), (1.0,), ("float64",), False, False)
    assert schema_from_json(json.loads(json.dumps(alone.to_json()))) == alone
    with pytest.raises(RequestError):
        schema_from_json(json.loads(json.dumps({**good, **change})))


def test_a_data_frame_of_numbers_keeps_its_labels_and_names():
    frame = pd.DataFrame({"a": rng.normal(size=6), "b": np.arange(6)})
    source = open_data(frame, ["x", "y"] * 3)
    assert isinstance(source, ArraySource)
    assert source.classes == ("x", "y")
    assert source.take(np.arange(3)).y.tolist() == [0, 1, 0]
    assert source.names == ("a", "b")
