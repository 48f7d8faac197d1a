"""The schema of vectors, where it is easily wrong."""

import json
import warnings

import numpy as np
import pandas as pd
import pytest
import torch

from calco.data import VectorSchema, batches, infer_schema, open_data, schema_from_json, values
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
    ],
)
def test_every_field_of_a_tampered_schema_is_checked(change):
    good = VectorSchema(("a", "b"), (0.0, 1.0), (1.0, 2.0), ("float64", "float64"), False, False).to_json()
    assert schema_from_json(json.loads(json.dumps(good))).shape == (2,)
    with pytest.raises(RequestError):
        schema_from_json(json.loads(json.dumps({**good, **change})))
