"""The cache: bounded, checked, and never in the way."""

import os

import numpy as np
import pytest

from calco.data import cache
from calco.errors import RequestError
from tests.cli.test_cli import calco  # noqa: F401  the fixture

KEYS = [f"{i:064x}" for i in range(4)]


@pytest.fixture(autouse=True)
def place(tmp_path, monkeypatch):
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache"


def test_arrays_come_back_as_they_were():
    kept = {"a.weight": np.float32([[1, 2]]), "n": np.int64(3), "names": np.array([b"\xff", b"x"])}
    cache.keep("things", KEYS[0], **kept)
    found = cache.recall("things", KEYS[0])
    assert found is not None
    assert {name: (v.dtype, v.tolist()) for name, v in found.items()} == {
        name: (np.asarray(v).dtype, np.asarray(v).tolist()) for name, v in kept.items()
    }
    assert cache.recall("things", KEYS[1]) is None


def test_what_was_not_used_longest_goes_first_whatever_its_kind(monkeypatch):
    monkeypatch.setenv("CALCO_CACHE_SIZE", "10K")
    for i, kind in enumerate(("images", "extractors", "images")):
        cache.keep(kind, KEYS[i], x=np.zeros(3000, np.uint8))
        os.utime(cache.cache_folder() / kind / f"{KEYS[i]}.npz", (1000 + i, 1000 + i))
    cache.recall("images", KEYS[0])  # used just now
    cache.keep("images", KEYS[3], x=np.zeros(3000, np.uint8))
    assert [cache.recall("images", KEYS[i]) is not None for i in (0, 2, 3)] == [True, True, True]
    assert cache.recall("extractors", KEYS[1]) is None
    assert sum(entry.size for entry in cache.entries()) <= 10 << 10
    monkeypatch.setenv("CALCO_CACHE_SIZE", "0")
    cache.keep("images", KEYS[1], x=np.zeros(1, np.uint8))
    assert cache.recall("images", KEYS[1]) is None
    assert len(cache.entries()) == 3  # what does not fit drives nothing out


@pytest.mark.parametrize(
    ("given", "size"), [("", 16 << 30), ("0", 0), ("1500", 1500), ("2k", 2048), ("1.5G", 3 << 29), ("3 MiB", 3 << 20)]
)
def test_the_bound_in_words(given, size, monkeypatch):
    monkeypatch.setenv("CALCO_CACHE_SIZE", given)
    assert cache.cache_bound() == size


@pytest.mark.parametrize("given", ["much", "-1", "3X", "nan"])
def test_a_bound_that_is_no_size_is_refused_before_anything_is_worked_out(given, monkeypatch):
    monkeypatch.setenv("CALCO_CACHE_SIZE", given)
    with pytest.raises(RequestError, match="CALCO_CACHE_SIZE"):
        cache.recall("images", KEYS[0])


def test_clearing_leaves_what_is_not_ours(place):
    cache.keep("images", KEYS[0], x=np.zeros(10))
    (place / "images" / "mine.npz").write_bytes(b"precious")
    (place / "notes.txt").write_text("precious")
    files, size = cache.clear()
    assert (files, size > 80) == (1, True)
    assert sorted(path.name for path in place.rglob("*.*")) == ["mine.npz", "notes.txt"]


def test_what_another_process_is_writing_stays_for_a_day(place, monkeypatch):
    cache.keep("images", KEYS[0], x=np.zeros(10))
    aside = place / "images" / f".{KEYS[1]}.npz.123"
    aside.write_bytes(b"x" * 100)
    cache.prune(50)
    assert aside.exists()
    os.utime(aside, (1000, 1000))
    cache.prune(50)
    assert not aside.exists()


def test_the_verb_says_and_clears(calco, place):  # noqa: F811
    cache.keep("images", KEYS[0], x=np.zeros(10**6, np.uint8))
    code, said = calco("cache")
    assert code == 0
    assert f"{place} keeps 1 files of 1.0 MB; at most 17,179.9 MB" in said.replace("\n", "")
    code, said = calco("cache", "--clear")
    assert "Removed 1 files of 1.0 MB" in said
    assert not cache.entries()
