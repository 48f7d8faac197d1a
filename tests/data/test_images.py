"""The schema of images, where it is easily wrong."""

import json

import numpy as np
import pytest
import torch
from hypothesis import assume, given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from calco.data import ArraySource, ImageSchema, MaskedSource, infer_schema, open_data, schema_from_json, values
from calco.errors import RequestError

rng = np.random.default_rng(0)


def schema_of(x, **options):
    return infer_schema(open_data(x, **options))


def test_two_levels_are_two_over_all_chunks(monkeypatch):
    monkeypatch.setattr(values, "READ_AT_ONCE", 8)  # two images at once
    x = np.zeros((6, 2, 2), np.uint8)
    x[0, 0, 0], x[5, 0, 0] = 1, 255
    assert schema_of(x).levels == 256  # each chunk holds two values, all of them three
    assert schema_of((x > 0) * np.uint8(255)).levels == 2


@pytest.mark.parametrize("dtype", ["uint8", ">i4", "float32", ">f8", "float16", "bool"])
def test_any_layout_byte_order_and_protection_encodes_alike(dtype):
    x = rng.integers(0, 2, (4, 3, 2, 3)).astype(dtype)
    x.setflags(write=False)
    schema = schema_of(x)
    turned = np.asfortranarray(x)[:, ::1]
    assert torch.equal(schema.encode(x), torch.from_numpy(x.astype("f4")).permute(0, 3, 1, 2))
    assert torch.equal(schema.encode(turned), schema.encode(x))
    assert torch.equal(schema.encode(x[::-1]), schema.encode(x).flip(0))
    assert schema.encode(x).is_contiguous()


@pytest.mark.parametrize("shape", [(5, 4, 4), (5, 4, 4, 1), (5, 4, 4, 3)])
def test_the_callers_array_is_left_alone(shape):
    x = rng.uniform(3, 9, shape).astype(np.float32)
    before = x.copy()
    schema_of(x).encode(x)
    assert np.array_equal(x, before)


def test_a_small_range_far_from_zero_keeps_its_detail():
    x = 1e9 + rng.random((5, 3, 3))
    schema = schema_of(x)
    assert np.abs(schema.decode(schema.encode(x)) - x).max() < 1e-6


@pytest.mark.parametrize(
    ("source", "other"),
    [
        (ArraySource(rng.integers(0, 2, (9, 3, 3), dtype=np.uint8)), 200),
        (ArraySource(rng.integers(0, 2, (9, 3, 3), dtype=np.uint8) * np.uint8(255)), 1),
        (ArraySource(rng.integers(0, 17, (9, 3, 3), dtype=np.uint8), levels=17), 17),
        (ArraySource(rng.integers(0, 17, (9, 3, 3)).astype(float), levels=17), 0.5),
        (ArraySource(rng.integers(0, 17, (9, 3, 3)).astype(float), levels=17), -1.0),
    ],
)
def test_values_that_are_none_of_the_levels_are_refused(source, other):
    schema = infer_schema(source)
    schema.encode(source.x)
    x = source.x.copy()
    x[4, 1, 1] = other
    with pytest.raises(RequestError, match=rf"1 of 9 .* row 4, .* {schema.levels} levels"):
        schema.encode(x)


@pytest.mark.parametrize("where", ["array", "file"])
def test_channels_in_the_wrong_place_are_refused_wherever_they_come_from(where, tmp_path):
    x = rng.integers(0, 256, (5, 3, 8, 8), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    with pytest.raises(RequestError, match=r"8 channels.*np\.moveaxis"):
        open_data(x if where == "array" else tmp_path / "x.npy")


@pytest.mark.parametrize(
    "change",
    [
        {"low": "0"},
        {"low": None},
        {"high": 0.0},
        {"levels": 1},
        {"levels": "256"},
        {"levels": True},
        {"channels": 9},
        {"channels": True},
        {"height": 2.0},
        {"channel_axis": "no"},
        {"classes": "abc"},
        {"classes": [1]},
        {"dtype": "object"},
        {"dtype": None},
        {"kind": ["image"]},
    ],
)
def test_every_field_of_a_tampered_schema_is_checked(change):
    good = ImageSchema(1, 3, 3, "uint8", 0.0, 255.0, 256, False).to_json()
    assert schema_from_json(json.loads(json.dumps(good))).to_json() == good
    with pytest.raises(RequestError):
        schema_from_json(json.loads(json.dumps({**good, **change})))


def test_a_schema_that_is_no_object_is_refused():
    with pytest.raises(RequestError, match="not an object"):
        schema_from_json([1])  # type: ignore[arg-type]


IMAGES = {
    "u1": arrays.from_dtype(np.dtype("u1")),
    "u2": arrays.from_dtype(np.dtype("u2")),
    "i1": arrays.from_dtype(np.dtype("i1")),
    "i4": st.integers(-(2**23), 2**23),
    "i8": st.integers(10**15, 10**15 + 2**23),
    "?": st.booleans(),
    "f2": st.floats(width=16, allow_nan=False, allow_infinity=False),
    "f4": st.floats(width=32, allow_nan=False, allow_infinity=False),
    "f8": st.floats(-1e307, 1e307),
}


@given(st.sampled_from(sorted(IMAGES)), st.sampled_from([(), (1,), (2,), (3,), (4,)]), st.data())
def test_what_is_encoded_comes_back(kind, channels, data):
    shape = (data.draw(st.integers(1, 3)), data.draw(st.integers(1, 6)), data.draw(st.integers(1, 6)), *channels)
    x = data.draw(arrays.arrays(kind, shape, elements=IMAGES[kind]))
    assume(x.min() < x.max())
    schema = schema_of(x)
    codes = schema.encode(x)
    assert (codes.dtype, codes.shape) == (torch.float32, (len(x), *schema.shape))
    assert float(codes.min()) >= 0
    assert float(codes.max()) <= 1
    back = schema_from_json(json.loads(json.dumps(schema.to_json()))).decode(codes)
    assert (back.dtype, back.shape) == (x.dtype, x.shape)
    if x.dtype.kind == "f":
        wide = x.astype(float)
        slack = 1.2e-7 * max(float(wide.max() - wide.min()), 1.0 if wide.min() >= 0 and wide.max() <= 1 else 0)
        assert np.abs(back.astype(float) - wide).max() <= slack + np.finfo(x.dtype).eps * np.abs(wide).max()
    else:
        assert np.array_equal(back, x)


def test_a_range_that_numbers_cannot_hold_is_refused():
    with pytest.raises(RequestError, match=r"from -1e\+308 to 1e\+308, a range too wide"):
        schema_of(np.array([[[-1e308, 1e308]]]))


def test_what_lies_beyond_the_training_is_neither_clipped_nor_taken_for_another_scale():
    schema = schema_of(rng.random((5, 3, 3)))
    x = np.full((4, 3, 3), 0.5)
    x[1] = 1.7
    assert torch.allclose(schema.encode(x)[1], torch.tensor(1.7))
    x[3] = 255
    with pytest.raises(RequestError, match=r"1 of 4 examples, the first in row 3, .* to 255; .* between 0 and 1"):
        schema.encode(x)
    with pytest.raises(RequestError, match="bring them to that scale"):
        schema.encode(-x)


@pytest.mark.parametrize(("known", "given"), [("uint8", "bool"), ("uint16", "uint8"), ("uint16", "bool")])
def test_shallower_images_are_of_another_scale(known, given):
    x = rng.integers(0, np.iinfo(known).max, (5, 3, 3), known, endpoint=True)
    few = np.ones((5, 3, 3), given)
    for schema in (schema_of(x), MaskedSource(x, (x > np.median(x)).astype(int)).schema()):
        with pytest.raises(RequestError, match=f"These images are {given}; the model knows {known}"):
            schema.encode(few)
        schema.encode(x.astype(int))


def test_a_model_of_bytes_knows_no_fractions():
    x = np.linspace(0, 255, 45).astype(np.uint8).reshape(5, 3, 3)
    schema = MaskedSource(x, (x > 100).astype(int)).schema()
    with pytest.raises(RequestError, match="256 levels from 0 to 255"):
        schema.encode(x / 255)
    with pytest.raises(RequestError, match="256 levels from 0 to 255"):
        schema.encode(x.astype(int) + 9)
    assert torch.equal(schema.encode(x.astype(float)), schema.encode(x))
