"""Files and folders from the wild: damaged, mislabelled, too deep. None ends in a traceback or in quietly wrong values."""

import dataclasses
import gzip
import hashlib
import os
import struct
import warnings
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from PIL import Image

from calco.data import files, folder, infer_schema, named, open_data
from calco.errors import RequestError

rng = np.random.default_rng(0)
X = rng.integers(0, 256, (6, 4, 5), dtype=np.uint8)


def write(path):
    frame = pd.DataFrame(rng.normal(size=(8, 3)), columns=["a", "b", "c"])
    kinds = {
        ".npy": lambda: np.save(path, X),
        ".npz": lambda: np.savez_compressed(path, x=X, y=np.arange(6)),
        ".gz": lambda: path.write_bytes(gzip.compress(b"\0\0\x08\x03" + struct.pack(">3I", *X.shape) + X.tobytes())),
        ".parquet": lambda: frame.to_parquet(path),
    }
    kinds[path.suffix]()
    return path.read_bytes()


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".gz", ".parquet"])
def test_a_file_cut_anywhere_or_with_any_byte_changed_is_named_if_it_is_refused(suffix, tmp_path):
    path = tmp_path / f"x{suffix}"
    whole = write(path)
    random = np.random.default_rng(1)
    for cut in {0, 1, 5, 9, *random.integers(0, len(whole), 25).tolist()}:
        path.write_bytes(whole[:cut])
        with pytest.raises(RequestError, match=f"x{suffix}"):
            open_data(path)
    for _ in range(150):
        at, to = int(random.integers(len(whole))), int(random.integers(256))
        path.write_bytes(whole[:at] + bytes([to]) + whole[at + 1 :])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                open_data(path)
            except RequestError as error:
                assert f"x{suffix}" in str(error)  # noqa: PT017  most changes do no harm


def test_an_idx_file_that_names_an_impossible_size_is_refused(tmp_path):
    path = tmp_path / "x.idx"
    path.write_bytes(b"\0\0\x08\x04" + struct.pack(">4I", *[2**16] * 4))  # 2 to the 64: 0 in 64 bits
    with pytest.raises(RequestError, match="does not fit the shape"):
        open_data(path)


def test_files_under_each_others_names(tmp_path):
    np.savez(tmp_path / "a.npz", x=X)
    os.replace(tmp_path / "a.npz", tmp_path / "a.npy")
    np.save(tmp_path / "b.npy", X)
    os.replace(tmp_path / "b.npy", tmp_path / "b.npz")
    with pytest.raises(RequestError, match=r"a\.npy is an npz file"):
        open_data(tmp_path / "a.npy")
    with pytest.raises(RequestError, match=r"b\.npz is not an npz file"):
        open_data(tmp_path / "b.npz")
    with pytest.raises(RequestError, match="Cannot read"):
        files.read_bytes(tmp_path)
    np.save(tmp_path / "c.npy", X)
    os.replace(tmp_path / "c.npy", tmp_path / "C.NPY")
    assert len(open_data(tmp_path / "C.NPY")) == 6


def test_a_large_npy_file_is_mapped_and_read_ahead(tmp_path, monkeypatch):
    np.save(tmp_path / "x.npy", X)
    in_memory = open_data(tmp_path / "x.npy")
    monkeypatch.setattr(files, "MAPPED_FROM", 10)
    mapped = open_data(tmp_path / "x.npy")
    assert mapped.slow
    assert not in_memory.slow
    assert mapped.describe() == in_memory.describe()
    assert infer_schema(mapped) == infer_schema(in_memory)


def test_a_column_of_mixed_types_is_named_without_a_warning(tmp_path):
    path = tmp_path / "x.csv"
    path.write_text("a,b\n" + "1,2\n" * 300_000 + "1,x\n")
    with pytest.raises(RequestError, match=r"b of x.csv mixes numbers and text \(row 300000"):
        open_data(path)


def save(path, mode="L", size=(6, 5), **options):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8)
    image = Image.fromarray(pixels).convert(mode)
    image.save(path, **options)
    return np.asarray(image)


def test_palettes_bits_and_transparency(tmp_path):
    save(tmp_path / "p" / "a.png", mode="P")
    (tmp_path / "t").mkdir()
    Image.new("P", (6, 5), 3).save(tmp_path / "t" / "a.png", transparency=b"\0\x80")
    save(tmp_path / "one" / "a.png", mode="1")
    save(tmp_path / "rgba" / "a.png", mode="RGBA")
    shapes = {name: open_data(tmp_path / name).take(np.arange(1)).x.shape[1:] for name in ("p", "t", "one", "rgba")}
    assert shapes == {"p": (5, 6, 3), "t": (5, 6, 3), "one": (5, 6), "rgba": (5, 6, 4)}
    assert infer_schema(open_data(tmp_path / "one")).levels == 2


def test_any_image_cut_anywhere_is_named(tmp_path):
    for kind in ("png", "gif", "bmp", "tif", "webp", "jpg"):
        path = tmp_path / kind / f"x.{kind}"
        save(path, mode="RGB", size=(40, 30))
        whole = path.read_bytes()
        for cut in (0, 3, 20, len(whole) // 3, len(whole) // 2):
            path.write_bytes(whole[:cut])
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # Pillow warns of odd TIFF tags before it gives up
                with pytest.raises(RequestError, match=rf"x\.{kind} is corrupt"):
                    open_data(path.parent)


def test_streamed_batches_must_be_like_the_first_image(tmp_path, monkeypatch):
    monkeypatch.setattr(folder, "IN_MEMORY", 10)
    for i in range(4):
        save(tmp_path / f"{i}.png", size=(6, 5) if i < 2 else (8, 8))
    source = open_data(tmp_path)
    source.take(np.array([0, 1]))
    with pytest.raises(RequestError, match=r"2 of 2 images are not 5x6 .* 2\.png 8x8"):  # alike, but not like the others
        source.take(np.array([2, 3]))


@pytest.mark.parametrize("limit", [10, 1 << 30])
def test_labels_follow_the_images_that_are_kept(tmp_path, monkeypatch, limit):
    monkeypatch.setattr(folder, "IN_MEMORY", limit)
    for i in range(4):
        save(tmp_path / "images" / f"{i}.png")
    (tmp_path / "images" / "1.png").write_bytes(b"no image")
    (tmp_path / "y.txt").write_text("a\nb\nc\nd\n")
    source = open_data(tmp_path / "images", labels=tmp_path / "y.txt", skip_corrupt=True)
    assert source.classes == ("a", "c", "d")
    assert source.describe()["skipped"] == ["1.png"]
    with pytest.raises(RequestError, match="3 examples but labels"):
        open_data(tmp_path / "images", ["a", "b"], skip_corrupt=True)


def test_a_damaged_cache_is_made_anew(tmp_path, monkeypatch):
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path / "cache"))
    x = save(tmp_path / "images" / "a.png")
    open_data(tmp_path / "images")
    (cached,) = (tmp_path / "cache").rglob("*.npz")
    whole = cached.read_bytes()
    at = whole.index(x.tobytes())
    other = bytes([whole[at] ^ 1])
    for content in (b"", whole[:-3], whole[: len(whole) // 2], whole[:at] + other + whole[at + 1 :]):
        cached.write_bytes(content)
        assert np.array_equal(open_data(tmp_path / "images").take(np.arange(1)).x[0], x)
        assert cached.read_bytes() == whole
    assert list((tmp_path / "cache").rglob("*.*")) == [cached]  # nothing is left aside


@pytest.fixture
def tiny(tmp_path, monkeypatch):
    """A set like binarised MNIST, of six images."""
    bits = rng.integers(0, 2, (6, 784), dtype=np.uint8)
    packed = np.packbits(bits, axis=1)
    ordered = np.sort(packed.view("S98").ravel()).tobytes()
    checksum = hashlib.sha256(ordered).hexdigest()
    whole = named.SETS["binarized-mnist"]
    small = dataclasses.replace(whole, checksums=dict.fromkeys(whole.checksums, checksum))
    monkeypatch.setitem(named.SETS, "binarized-mnist", small)
    monkeypatch.setenv("CALCO_DATA", str(tmp_path))
    monkeypatch.setattr(named.NamedSet, "places", lambda self: [tmp_path / f for f in (*self.folders, "")])
    return tmp_path, bits


@pytest.mark.parametrize("kind", ["text", "npz"])
def test_the_binary_set_is_read_as_distributed_or_packed(tiny, kind):
    where, bits = tiny
    if kind == "text":
        np.savetxt(where / "binarized_mnist_test.amat", bits, fmt="%d")
    else:
        np.savez(where / "binarized_mnist_larochelle.npz", test=np.packbits(bits, axis=1))
    source = open_data("binarized-mnist:test")
    assert np.array_equal(source.take(np.arange(6)).x.reshape(6, 784), bits)
    assert source.levels == 2


@pytest.mark.parametrize("kind", ["text", "cut", "npz", "shape", "other"])
def test_a_damaged_binary_set_is_named(tiny, kind):
    where, bits = tiny
    bits[0, 0] ^= 1
    text, npz = where / "binarized_mnist_test.amat", where / "binarized_mnist_larochelle.npz"
    if kind == "text":
        np.savetxt(text, bits, fmt="%d")
    elif kind == "cut":
        text.write_text("0 1 0 2\n")
    elif kind == "npz":
        npz.write_bytes(b"no zip")
    else:
        np.savez(npz, **({"test": bits} if kind == "shape" else {"x": bits}))
    with pytest.raises(RequestError, match="binarized_mnist_"):
        open_data("binarized-mnist:test")


@pytest.mark.skipif(not os.environ.get("CALCO_DATA"), reason="CALCO_DATA is not set")
def test_a_set_may_lie_there_decompressed(tmp_path, monkeypatch):
    mnist = named.SETS["mnist"]
    for file in mnist.files["test"]:
        path = mnist.path(file)
        (tmp_path / Path(file).stem).write_bytes(files.read_bytes(path))
    expected = open_data("mnist:test").describe()
    monkeypatch.setenv("CALCO_DATA", str(tmp_path))
    assert open_data("mnist:test").describe() == expected
