"""Pictures of every depth and kind: all of their values come back, upright, or the file is named."""

import struct
import warnings
import zlib
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays
from PIL import Image

from calco.cli.outputs import write_examples
from calco.data import decoding, infer_schema, open_data, reopened
from calco.data.decoding import decode, numbers
from calco.errors import RequestError

rng = np.random.default_rng(0)
DEEP = rng.integers(0, 65536, (5, 4), np.uint16)
COLOURS = rng.integers(0, 256, (4, 6, 3), np.uint8)


def chunk(name, content):
    """A piece of a PNG."""
    return struct.pack(">I", len(content)) + name + content + struct.pack(">I", zlib.crc32(name + content))


def png(path, pixels, bits, kind, *chunks):
    """A PNG by hand: of rows of bytes, as Pillow cannot write it."""
    height, width = pixels.shape[0], pixels.shape[1]
    head = struct.pack(">IIBBBBB", width, height, bits, kind, 0, 0, 0)
    kind_of = ">u2" if bits == 16 else "u1"
    rows = [row.reshape(-1).astype(kind_of).tobytes() for row in pixels]
    if bits < 8:
        rows = [packed(row, bits) for row in pixels]
    body = chunk(b"IDAT", zlib.compress(b"".join(b"\0" + row for row in rows)))
    path.write_bytes(b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + b"".join(chunks) + body + chunk(b"IEND", b""))


def packed(row, bits):
    """Bytes that hold a row of numbers of fewer bits."""
    return np.packbits(np.unpackbits(row[:, None].astype("u1"), axis=1)[:, 8 - bits :]).tobytes()


def tiff(path, pixels, sign=1, bits=8):
    """A TIFF by hand, of any dtype and number of channels, or of fewer bits."""
    height, width, channels = (*pixels.shape, 1)[:3]
    content = pixels.astype(pixels.dtype.newbyteorder("<")).tobytes()
    bits, content = (bits, b"".join(packed(row, bits) for row in pixels)) if bits < 8 else (pixels.dtype.itemsize * 8, content)
    fields = {256: [width], 257: [height], 258: [bits] * channels, 259: [1], 262: [2 if channels > 1 else 1], 273: [0]}
    fields |= {277: [channels], 278: [height], 279: [len(content)], 339: [sign] * channels}
    size = 8 + 2 + 12 * len(fields) + 4
    long = {tag: values for tag, values in fields.items() if len(values) > 2}
    places = {tag: size + 6 * i for i, tag in enumerate(long)}
    fields[273] = [size + 6 * len(long)]
    entries = b""
    for tag, values in sorted(fields.items()):
        short = tag in (258, 339) or tag in (259, 262, 277)
        value = struct.pack("<I", places[tag]) if tag in long else struct.pack("<H2x" if short else "<I", values[0])
        entries += struct.pack("<HHI", tag, 3 if short else 4, len(values)) + value
    extra = b"".join(struct.pack("<3H", *values) for values in long.values())
    path.write_bytes(b"II*\0" + struct.pack("<IH", 8, len(fields)) + entries + b"\0" * 4 + extra + content)


def test_grey_of_sixteen_bits_is_read_at_full_depth(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    Image.fromarray(DEEP[::-1].copy()).save(tmp_path / "b.tif")
    (tmp_path / "c.pgm").write_bytes(b"P5 4 5 65535\n" + DEEP.astype(">u2").tobytes())
    (tmp_path / "d.pgm").write_bytes(b"P5 4 5 4095\n" + (DEEP % 4096).astype(">u2").tobytes())
    for options in ({}, {"mode": "L"}):
        x = open_data(tmp_path, **options).take(np.arange(4)).x
        assert x.dtype == np.uint16
        assert np.array_equal(x, [DEEP, DEEP[::-1], DEEP, DEEP % 4096])
    schema = infer_schema(open_data(tmp_path))
    assert np.array_equal(schema.decode(schema.encode(x)), x)
    small = open_data(tmp_path, size=(3, 3)).take(np.arange(4)).x
    assert (small.dtype, small.shape) == (np.uint16, (4, 3, 3))
    assert abs(float(small[0].mean()) / float(DEEP.mean()) - 1) < 0.2
    Image.fromarray(np.full((5, 4), 40000, np.uint16)).save(tmp_path / "e.png")
    assert (decode(tmp_path / "e.png", (7, 7)) == 40000).all()
    with pytest.raises(RequestError, match="cannot become RGB"):
        open_data(tmp_path, mode="RGB")


def test_deep_images_are_written_as_deep_as_they_were(tmp_path):
    x = np.stack((DEEP, DEEP[::-1]))
    schema = infer_schema(open_data(x))
    write_examples(tmp_path / "out", x, schema)
    assert np.array_equal(open_data(tmp_path / "out").take(np.arange(2)).x, x)
    write_examples(tmp_path / "sheet.png", x, schema)  # to be looked at
    assert decode(tmp_path / "sheet.png").dtype == np.uint8


@pytest.mark.parametrize("dtype", [np.int16, np.int32, np.uint32, np.float32])
def test_tiffs_of_other_numbers(dtype, tmp_path):
    values = rng.normal(0, 1000, (5, 4)).astype(dtype) if dtype != np.uint32 else DEEP.astype(dtype) * 30000
    tiff(tmp_path / "a.tif", values, sign={"i": 2, "u": 1, "f": 3}[np.dtype(dtype).kind])
    found = decode(tmp_path / "a.tif")
    assert np.array_equal(found, values)
    assert found.dtype == (np.float32 if dtype == np.float32 else np.int32)
    if dtype == np.uint32:
        tiff(tmp_path / "a.tif", values + np.uint32(2**31))
        with pytest.raises(RequestError, match=r"a\.tif holds whole numbers beyond 2\^31"):
            decode(tmp_path / "a.tif")


@pytest.mark.parametrize("skip", [False, True])
def test_colours_of_sixteen_bits_and_signed_bytes_are_refused_not_cut(skip, tmp_path):
    deep = rng.integers(0, 65536, (4, 3, 4), np.uint16)
    png(tmp_path / "rgb.png", deep[..., :3], 16, 2)
    png(tmp_path / "rgba.png", deep, 16, 6)
    png(tmp_path / "la.png", deep[..., :2], 16, 4)
    tiff(tmp_path / "rgb.tif", deep[..., :3])
    tiff(tmp_path / "signed.tif", np.int8([[-1, 2], [3, 4]]), sign=2)
    (tmp_path / "rgb.ppm").write_bytes(b"P6 3 4 65535\n" + deep[..., :3].astype(">u2").tobytes())
    for path in tmp_path.glob("*.*"):
        (path.parent / path.stem / path.suffix[1:]).mkdir(parents=True)
        path = path.rename(path.parent / path.stem / path.suffix[1:] / path.name)
        with pytest.raises(RequestError, match=rf"{path.name} has (more than 8 bits a channel|signed channels).* npy"):
            open_data(path.parent, skip_corrupt=skip)


def test_depths_are_not_mixed(tmp_path):
    Image.fromarray(DEEP).save(tmp_path / "a.png")
    for name in "bc":
        Image.fromarray((DEEP >> 8).astype(np.uint8)).save(tmp_path / f"{name}.png")
    with pytest.raises(
        RequestError, match=r"1 of 3 images are not 5x4 with 1 channel like .* a\.png 5x4 with 1 channel of uint16"
    ):
        open_data(tmp_path)


@pytest.mark.parametrize("kind", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_pictures_are_turned_as_their_exif_says(kind, orientation, tmp_path):
    pixels = np.full((16, 24, 3), 200, np.uint8)
    pixels[:8, :8] = 20  # the corner tells
    exif = Image.Exif()
    exif[274] = orientation
    Image.fromarray(pixels).save(tmp_path / f"a.{kind}", exif=exif, **({"lossless": True} if kind == "webp" else {}))
    turned = {1: lambda x: x, 2: np.fliplr, 3: lambda x: np.rot90(x, 2), 4: np.flipud, 5: lambda x: x.transpose(1, 0, 2)}
    turned |= {6: lambda x: np.rot90(x, -1), 7: lambda x: np.rot90(x, 2).transpose(1, 0, 2), 8: np.rot90}
    wanted = turned[orientation](pixels)
    found = open_data(tmp_path).take(np.arange(1)).x[0]
    assert found.shape == wanted.shape
    assert np.abs(found.astype(int) - wanted).max() < 40
    assert np.array_equal(found < 110, wanted < 110)


def test_an_exif_that_cannot_be_read_does_no_harm(tmp_path):
    Image.fromarray(COLOURS).save(tmp_path / "a.png", exif=b"Exif\0\0II*\0\xff\xff\xff\xff")
    assert np.array_equal(decode(tmp_path / "a.png"), COLOURS)


@pytest.mark.parametrize("kind", ["tif", "gif", "png", "webp"])
def test_pages_and_frames_are_said_not_dropped(kind, tmp_path):
    frames = [Image.fromarray(COLOURS), Image.fromarray(255 - COLOURS)]
    frames[0].save(tmp_path / f"many.{kind}", save_all=True, append_images=frames[1:])
    for options in ({}, {"skip_corrupt": True}):
        with pytest.raises(RequestError, match=rf"many\.{kind} holds 2 pages or frames"):
            open_data(tmp_path, **options)
    frames[0].save(tmp_path / f"many.{kind}", save_all=True)
    assert len(open_data(tmp_path)) == 1


def test_smaller_copies_in_a_tiff_are_no_pages(tmp_path):
    small = Image.fromarray(COLOURS[::2, ::2].copy())
    small.encoderinfo = {"tiffinfo": {254: 1}}  # type: ignore[attr-defined]
    Image.fromarray(COLOURS).save(tmp_path / "a.tif", save_all=True, append_images=[small])
    with Image.open(tmp_path / "a.tif") as image:
        assert image.n_frames == 2  # type: ignore[attr-defined]
    assert np.array_equal(decode(tmp_path / "a.tif"), COLOURS)


def test_transparency_is_kept_where_there_is_some(tmp_path):
    palette = Image.fromarray(np.uint8([[0, 1, 2]])).convert("P")
    palette.save(tmp_path / "p.png", transparency=1)
    assert decode(tmp_path / "p.png")[..., 3].tolist() == [[255, 0, 255]]
    Image.fromarray(np.uint8([[0, 1, 2]])).save(tmp_path / "l.png", transparency=1)
    assert decode(tmp_path / "l.png").tolist() == [[[0, 255], [1, 0], [2, 255]]]
    Image.fromarray(COLOURS).save(tmp_path / "rgb.png", transparency=tuple(int(v) for v in COLOURS[0, 0]))
    assert np.array_equal(decode(tmp_path / "rgb.png")[..., 3] == 0, (COLOURS[0, 0] == COLOURS).all(-1))
    Image.fromarray(np.array([[True, False]])).save(tmp_path / "one.png", transparency=0)
    assert decode(tmp_path / "one.png").tolist() == [[[255, 255], [0, 0]]]
    clear = Image.new("PA", (2, 1))
    clear.putpalette([10, 20, 30, 40, 50, 60])
    clear.putdata([(0, 255), (1, 9)])
    clear.save(tmp_path / "pa.tif")
    assert decode(tmp_path / "pa.tif").tolist() == [[[10, 20, 30, 255], [40, 50, 60, 9]]]
    Image.fromarray(COLOURS).save(tmp_path / "none.png", transparency=(1, 2, 3))
    assert np.array_equal(decode(tmp_path / "none.png"), COLOURS)


def test_alpha_that_holds_something_is_dropped_only_when_asked(tmp_path):
    alpha = np.dstack((COLOURS, COLOURS[..., 0]))
    Image.fromarray(alpha).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png"), alpha)
    assert np.array_equal(decode(tmp_path / "a.png", mode="RGB"), COLOURS)
    with pytest.raises(RequestError, match=r"a\.png has an alpha channel"):
        decode(tmp_path / "a.png", mode="RGB", asked=False)
    alpha[..., 3] = 255
    Image.fromarray(alpha).save(tmp_path / "a.png")
    assert np.array_equal(decode(tmp_path / "a.png", mode="RGB", asked=False), COLOURS)


def test_large_images_are_read_up_to_a_stated_bound(tmp_path, monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 5)
    for kind in ("png", "webp", "tif", "gif"):
        Image.fromarray(COLOURS[..., 0]).save(tmp_path / f"a.{kind}")
        with warnings.catch_warnings():
            warnings.simplefilter("error")
            assert decode(tmp_path / f"a.{kind}").shape[:2] == (4, 6)
    assert Image.MAX_IMAGE_PIXELS == 5  # others keep their bound
    monkeypatch.setattr(decoding, "PIXELS", 23)
    with pytest.raises(RequestError, match=r"a\.png has 6 x 4 pixels: images of up to 23 are read"):
        decode(tmp_path / "a.png")
    assert Image.MAX_IMAGE_PIXELS == 5


def test_only_what_is_promised_is_opened(tmp_path, monkeypatch):
    """A PostScript file is a program, whatever its name says."""
    from PIL import EpsImagePlugin

    monkeypatch.setattr(EpsImagePlugin, "Ghostscript", lambda *a, **b: pytest.fail("a program was started"))
    Image.fromarray(COLOURS).save(tmp_path / "x.eps")
    (tmp_path / "x.eps").rename(tmp_path / "x.png")
    with pytest.raises(RequestError, match=r"x\.png is corrupt"):
        open_data(tmp_path)


@pytest.mark.parametrize("bits", [1, 2, 4, 8])
def test_numbers_of_few_bits_are_those_of_the_file(bits, tmp_path):
    values = rng.integers(0, 2**bits, (3, 8), np.uint8)
    png(tmp_path / "m.png", values, bits, 0)
    assert np.array_equal(numbers(tmp_path / "m.png")[0], values)
    (tmp_path / "m.pgm").write_bytes(b"P5 8 3 %d\n" % (2**bits - 1) + values.tobytes())
    assert np.array_equal(numbers(tmp_path / "m.pgm")[0], values)
    tiff(tmp_path / "m.tif", values, bits=bits)
    assert np.array_equal(numbers(tmp_path / "m.tif")[0], values)


KINDS: Any = st.sampled_from([("png", np.uint8, c) for c in (0, 2, 3, 4)] + [(k, np.uint16, 0) for k in ("png", "tif")])


@given(KINDS, st.integers(1, 9), st.integers(1, 9), st.data())
def test_folders_give_what_was_saved_and_again_when_reopened(tmp_path_factory, kind, height, width, data):
    suffix, dtype, channels = kind
    shape = (2, height, width, *([channels] if channels else []))
    pixels = data.draw(arrays.arrays(dtype, shape))
    folder = tmp_path_factory.mktemp("pictures")
    for i, one in enumerate(pixels):
        Image.fromarray(one).save(folder / f"{i}.{suffix}")
    source = open_data(folder)
    x = source.take(np.arange(2)).x
    assert x.dtype == dtype
    assert np.array_equal(x, pixels)
    again = reopened(source.describe()["open"])
    assert np.array_equal(again.take(np.arange(2)).x, pixels)
    assert again.describe() == source.describe()


@given(
    st.sampled_from(["npy", "npz"]), st.sampled_from(["?", "u1", "u2", "i4", "i8", "f4", "f8"]), st.integers(0, 4), st.data()
)
def test_files_of_arrays_give_what_was_saved(tmp_path_factory, suffix, dtype, channels, data):
    shape = (2, *data.draw(st.tuples(st.integers(1, 5), st.integers(1, 5))), *([channels] if channels else []))
    pixels = data.draw(arrays.arrays(dtype, shape))
    path = tmp_path_factory.mktemp("arrays") / f"x.{suffix}"
    if suffix == "npy":
        np.save(path, pixels)
    else:
        np.savez(path, x=pixels)
    source = open_data(path)
    for one in (source, reopened(source.describe()["open"])):
        x = one.take(np.arange(2)).x
        assert x.dtype == pixels.dtype
        assert np.array_equal(x, pixels, equal_nan=pixels.dtype.kind == "f")
        assert one.describe() == source.describe()
