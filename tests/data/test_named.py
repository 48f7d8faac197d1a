"""Named sets."""

import dataclasses
import gzip
import hashlib
import os
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from calco.data import infer_schema, named, open_data, parts_of
from calco.errors import RequestError

HERE = bool(os.environ.get("CALCO_DATA"))


def test_digits_are_always_there():
    train, test = open_data("digits"), open_data("digits:test")
    assert (len(train), len(test)) == (1437, 360)
    assert train.classes == tuple("0123456789")
    schema = infer_schema(train)
    assert (schema.shape, schema.levels) == ((1, 8, 8), 17)
    counts = np.bincount(test.take(np.arange(360)).y)
    assert counts.min() >= 34
    assert open_data("digits", part="test").describe()["fingerprint"] == test.describe()["fingerprint"]
    rows = {x.tobytes() for x in train.take(np.arange(1437)).x}
    assert sum(x.tobytes() in rows for x in test.take(np.arange(360)).x) < 3


@pytest.mark.skipif(not HERE, reason="CALCO_DATA is not set")
@pytest.mark.parametrize(
    ("name", "part", "count", "mean"),
    [
        ("mnist", "test", 10_000, 0.13251),
        ("fashion-mnist", "test", 10_000, 0.28685),
        ("binarized-mnist", "valid", 10_000, 0.13113),
    ],
)
def test_real_sets(name, part, count, mean):
    source = open_data(f"{name}:{part}")
    schema = infer_schema(source)
    assert len(source) == count
    assert schema.shape == (1, 28, 28)
    x = schema.encode(source.take(np.arange(count)).x)
    assert float(x.mean()) == pytest.approx(mean, abs=2e-3)


@pytest.fixture
def nothing(monkeypatch, tmp_path):
    monkeypatch.setenv("CALCO_DATA", str(tmp_path))
    monkeypatch.setattr(Path, "home", lambda: tmp_path)
    monkeypatch.setattr(named.NamedSet, "places", lambda self: [tmp_path / f for f in (*self.folders, "")])
    return tmp_path


def test_a_set_that_is_not_here_says_where_to_get_it(nothing):
    with pytest.raises(RequestError, match=r"mnist is not on this machine.*CALCO_DATA"):
        open_data("mnist")


def test_a_file_with_other_contents_is_refused(nothing):
    (nothing / "mnist").mkdir()
    (nothing / "mnist" / "train-images-idx3-ubyte.gz").write_bytes(gzip.compress(b"something else"))
    with pytest.raises(RequestError, match=r"train-images-idx3-ubyte\.gz.*checksum"):
        open_data("mnist")


def test_unknown_names_and_parts_suggest():
    with pytest.raises(RequestError, match=r"Did you mean 'mnist'\?.*no file or folder"):
        open_data("mnst")
    with pytest.raises(RequestError, match="choose from train, test"):
        open_data("digits:valid")


# -- files of the forms that sets come in, small and made here -----------------------------------------------------------


@pytest.fixture
def put(monkeypatch, tmp_path):
    """Writes a file of a named set into its folder, whose contents are then the right ones."""
    monkeypatch.setenv("CALCO_DATA", str(tmp_path))

    def write(name, file, content, checked=None, called=None):
        own = named.SETS[name]
        checksums = own.checksums | {file: hashlib.sha256(content if checked is None else checked).hexdigest()}
        monkeypatch.setitem(named.SETS, name, dataclasses.replace(own, checksums=checksums))
        path = tmp_path / own.folders[0] / (called or file)
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
        return path

    return write


def idx(array):
    return bytes([0, 0, 8, array.ndim]) + np.array(array.shape, ">i4").tobytes() + array.astype(np.uint8).tobytes()


def test_images_in_idx_files(put):
    rng = np.random.default_rng(0)
    parts = {}
    for part, stem, n in (("train", "train", 9), ("test", "t10k", 5)):
        x, y = rng.integers(0, 256, (n, 28, 28)), np.arange(n) % 3
        parts[part] = x, y
        put("mnist", f"{stem}-images-idx3-ubyte.gz", idx(x), called=f"{stem}-images-idx3-ubyte")  # decompressed
        put("mnist", f"{stem}-labels-idx1-ubyte.gz", idx(y))
    for part, (x, y) in parts.items():
        source = open_data(f"mnist:{part}")
        found = source.take(np.arange(len(x)))
        assert np.array_equal(found.x, x)
        assert found.y.tolist() == y.tolist()
        told = source.describe()
        assert (told["about"], told["open"]) == (f"mnist, {part} part", {"data": f"mnist:{part}"})
        assert open_data(**told["open"]).describe() == told
    train, test = parts_of("mnist")
    assert (len(train), len(test)) == (9, 5)
    train, test = parts_of("mnist:train")  # one part alone is split
    assert (len(train), len(test)) == (7, 2)
    train, test = parts_of("mnist", ["a", "b", "c"] * 3)
    assert train.classes == ("a", "b", "c")
    assert (len(train), len(test)) == (7, 2)


def test_a_damaged_file_is_told_by_its_name(put):
    put("mnist", "train-labels-idx1-ubyte.gz", idx(np.zeros(3)))
    path = put("mnist", "train-images-idx3-ubyte.gz", idx(np.zeros((3, 28, 28)))[:-5])
    with pytest.raises(RequestError, match=path.name):
        open_data("mnist")


def test_a_recording_is_cut_into_parts_in_time(put):
    values = np.random.default_rng(0).normal(size=(150, 6)).astype(np.float32)
    frame = pd.DataFrame(values, columns=[*"abcdef"])
    content = frame.to_csv(index=False).encode()
    checked = np.ascontiguousarray(frame.to_numpy(np.float32)).tobytes()
    put("stocks", "stock_data.csv", content, checked)
    for part, cut in (("train", slice(120)), ("test", slice(120, 150)), ("all", slice(150))):
        source = open_data(f"stocks:{part}", window=8, stride=2)
        told = source.describe()
        assert told["about"] == f"stocks, {part} part, windows of 8"
        own = values[cut]
        expected = np.stack([own[i : i + 8] for i in range(0, len(own) - 7, 2)])
        assert np.allclose(source.take(np.arange(len(source))).x, expected)
        assert open_data(**told["open"]).describe() == told
    assert open_data("stocks").describe()["about"].endswith("windows of 24")
    acted = open_data("stocks", window=8, actions=["f"])
    assert open_data(**acted.describe()["open"]).plan == acted.plan
    with pytest.raises(RequestError, match="holds no series"):
        open_data("digits", window=8)


def test_the_census_is_read_as_a_table_with_gaps(put):
    lines = [
        "|1x3 Cross validator",
        "39, State-gov, 77516, Bachelors, 13, Never-married, Adm-clerical, Own-child, White, Male, 0, 0, 40, Cuba, <=50K.",
        "50, ?, 83311, Bachelors, 13, Divorced, ?, Husband, White, Male, 0, 0, 13, ?, >50K.",
        "",
    ]
    put("adult", "adult.test", "\n".join(lines).encode())
    put("adult", "adult.data", "\n".join(line.rstrip(".") for line in [*lines[1:], *lines[1:]]).encode())
    train, test = parts_of("adult")
    assert (len(train), len(test)) == (4, 2)
    for source in (train, test):
        frame = source.take(np.arange(len(source))).x
        assert tuple(frame.columns) == source.names == tuple(named.ADULT)
        assert frame["age"].tolist() == [39, 50] * (len(source) // 2)
        assert frame["income"].tolist() == ["<=50K", ">50K"] * (len(source) // 2)
        assert frame.isna().sum().sum() == 3 * (len(source) // 2)
        assert frame["workclass"].iloc[0] == "State-gov"
    told = test.describe()
    assert (told["about"], told["open"]) == ("adult, test part", {"data": "adult:test"})
    assert open_data(**told["open"]).describe() == told


def test_bits_in_text_or_packed(put, tmp_path):
    bits = np.random.default_rng(0).integers(0, 2, (6, 784), dtype=np.uint8)
    packed = np.packbits(bits, axis=1)
    checks = {
        part: np.sort(rows.copy().view("S98").ravel()).tobytes() for part, rows in (("train", packed), ("test", packed[:2]))
    }
    checked = checks["train"]
    text = "".join(" ".join(map(str, row)) + " \n" for row in bits.tolist()).encode()
    path = put("binarized-mnist", "binarized_mnist_valid.amat", text, checked)
    source = open_data("binarized-mnist:valid")
    assert np.array_equal(source.take(np.arange(6)).x.reshape(6, 784), bits)
    assert infer_schema(source).levels == 2
    for part in ("train", "test"):
        put("binarized-mnist", f"binarized_mnist_{part}.amat", text[: 784 * 4] if part == "test" else text, checks[part])
    assert [len(part) for part in parts_of("binarized-mnist")] == [6, 2]  # the first part and the last
    assert source.describe()["open"] == {"data": "binarized-mnist:valid"}
    path.unlink()
    np.savez(path.parent / "binarized_mnist_larochelle.npz", valid=packed[::-1])  # in another order, which is no matter
    source = open_data("binarized-mnist:valid")
    assert np.array_equal(source.take(np.arange(6)).x.reshape(6, 784), bits[::-1])
    np.savez(path.parent / "binarized_mnist_larochelle.npz", train=packed)
    with pytest.raises(RequestError, match="array 'valid'"):
        open_data("binarized-mnist:valid")
    path.write_bytes(text[:-10])
    with pytest.raises(RequestError, match="truncated or damaged"):
        open_data("binarized-mnist:valid")


def test_where_sets_are_looked_for(monkeypatch, tmp_path):
    monkeypatch.setattr(Path, "home", lambda: tmp_path / "home")
    monkeypatch.delenv("CALCO_DATA", raising=False)
    usual = [tmp_path / "home/data/mnist", Path("/usr/share/datasets/mnist")]
    places = named.SETS["mnist"].places()
    assert [place for place in places if place.name == "mnist"] == usual
    assert {place.parent for place in usual} <= {*places}
    monkeypatch.setenv("CALCO_DATA", str(tmp_path / "mine"))
    assert named.SETS["mnist"].places()[0] == tmp_path / "mine/mnist"
