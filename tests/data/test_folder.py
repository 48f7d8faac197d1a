"""Folders of images."""

import hashlib
import json
import os
import pickle
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageOps

from calco.data import contents, infer_schema, open_data
from calco.data import folder as module
from calco.errors import RequestError

rng = np.random.default_rng(0)


def save(path, size=(6, 5), mode="L", kind="PNG"):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = rng.integers(0, 256, (*size, {"L": 1, "RGB": 3, "RGBA": 4}[mode]), dtype=np.uint8)
    Image.fromarray(pixels[..., 0] if mode == "L" else pixels, mode).save(path, kind)
    return pixels[..., 0] if mode == "L" else pixels


@pytest.mark.filterwarnings("ignore:'mode' parameter is deprecated:DeprecationWarning")
class TestFolder:
    def test_subfolders_are_labels_and_pixels_are_kept(self, tmp_path):
        cat, dog = save(tmp_path / "cat" / "1.png"), save(tmp_path / "dog" / "0.png")
        save(tmp_path / ".hidden" / "x.png")
        (tmp_path / "cat" / "notes.txt").write_text("no image")
        source = open_data(tmp_path)
        raw = source.take(np.arange(2))
        assert source.classes == ("cat", "dog")
        assert raw.y.tolist() == [0, 1]
        assert np.array_equal(raw.x, [cat, dog])

    def test_a_flat_folder_has_no_labels_and_colour_has_channels(self, tmp_path):
        save(tmp_path / "a.png", mode="RGB")
        save(tmp_path / "b.jpg", mode="RGB", kind="JPEG")
        source = open_data(tmp_path)
        assert source.classes == ()
        assert source.take(np.arange(2)).x.shape == (2, 6, 5, 3)

    def test_it_is_decoded_once(self, tmp_path, monkeypatch):
        save(tmp_path / "a.png")
        save(tmp_path / "b.png")
        first = open_data(tmp_path).take(np.arange(2)).x
        monkeypatch.setattr(module, "decode", None)
        assert np.array_equal(open_data(tmp_path).take(np.arange(2)).x, first)

    def test_what_is_skipped_is_kept_in_mind_too(self, tmp_path, monkeypatch):
        save(tmp_path / "b.png")
        (tmp_path / "a.png").write_bytes(b"no image")
        first = open_data(tmp_path, skip_corrupt=True)
        monkeypatch.setattr(module, "decode", None)
        again = open_data(tmp_path, skip_corrupt=True)
        assert again.describe() == first.describe()
        assert again.describe()["skipped"] == ["a.png"]

    @pytest.mark.parametrize("limit", [10, 1 << 30])
    def test_an_edit_is_seen_that_keeps_size_and_times(self, tmp_path, monkeypatch, limit):
        monkeypatch.setattr(module, "IN_MEMORY", limit)
        monkeypatch.setattr(contents, "YOUNG", 0)  # trust the times at once
        path = tmp_path / "a.bmp"
        save(path, kind="BMP")
        stat = path.stat()
        before = open_data(tmp_path).describe()["fingerprint"]
        assert open_data(tmp_path).describe()["fingerprint"] == before
        while True:  # until the disk's clock has moved on
            pixels = save(path, kind="BMP")
            os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
            if path.stat().st_ctime_ns > stat.st_ctime_ns:
                break
        assert (path.stat().st_size, path.stat().st_mtime_ns) == (stat.st_size, stat.st_mtime_ns)
        source = open_data(tmp_path)
        assert source.describe()["fingerprint"] != before
        assert np.array_equal(source.take(np.arange(1)).x[0], pixels)

    def test_folders_alike_in_names_sizes_and_times_keep_their_own_pixels(self, tmp_path):
        for name in ("one", "two"):
            pixels = save(tmp_path / name / "a.bmp", kind="BMP")
            os.utime(tmp_path / name / "a.bmp", ns=(1, 1))
            assert np.array_equal(open_data(tmp_path / name).take(np.arange(1)).x[0], pixels)

    @pytest.mark.parametrize("limit", [10, 1 << 30])
    def test_the_fingerprint_is_of_contents_and_labels_not_of_times(self, tmp_path, monkeypatch, limit):
        monkeypatch.setattr(module, "IN_MEMORY", limit)
        for i in range(2):
            save(tmp_path / "a" / f"{i}.png")
        shutil.copytree(tmp_path / "a", tmp_path / "b")
        os.utime(tmp_path / "b" / "0.png", ns=(1, 1))
        mine, copied, labelled = (open_data(tmp_path / name, y) for name, y in (("a", None), ("b", None), ("a", [0, 1])))
        assert copied.describe()["fingerprint"] == mine.describe()["fingerprint"]
        assert labelled.describe()["fingerprint"] != mine.describe()["fingerprint"]

    def test_files_that_did_not_change_are_not_read_again(self, tmp_path, monkeypatch):
        for name in ("a.png", "b.png"):
            save(tmp_path / name)
        monkeypatch.setattr(contents, "YOUNG", 0)
        files = sorted(tmp_path.iterdir())
        read, whole = [], contents._digest
        monkeypatch.setattr(contents, "_digest", lambda path: read.append(path.name) or whole(path))
        first = contents.digests(tmp_path, files)
        assert contents.digests(tmp_path, files) == first
        assert sorted(read) == ["a.png", "b.png"]
        monkeypatch.setattr(contents, "YOUNG", 10**12)  # what was just written is not trusted
        save(tmp_path / "b.png")
        for _ in range(2):
            assert contents.digests(tmp_path, files)[1] == hashlib.sha256((tmp_path / "b.png").read_bytes()).digest()
        assert read[2:] == ["b.png", "b.png"]

    def test_names_that_are_no_text(self, tmp_path):
        folder = os.fsencode(tmp_path) + b"/caf\xe9"
        os.mkdir(folder)
        os.mkdir(os.fsencode(tmp_path) + b"/tea")
        for name in (b"/caf\xe9/\xff.png", b"/caf\xe9/bad\xff.png", b"/tea/a.png"):
            save(Path(os.fsdecode(os.fsencode(tmp_path) + name)))
        Path(os.fsdecode(folder + b"/bad\xff.png")).write_bytes(b"no image")
        source = open_data(tmp_path, skip_corrupt=True)
        assert source.classes == ("caf\\xe9", "tea")
        json.dumps(source.describe(), ensure_ascii=False).encode()
        with pytest.raises(RequestError, match="corrupt") as error:
            open_data(tmp_path)
        str(error.value).encode("utf-8", "backslashreplace")

    def test_a_cache_that_cannot_be_written_does_no_harm(self, tmp_path, monkeypatch):
        save(tmp_path / "images" / "a.png")
        (tmp_path / "file").write_text("")
        monkeypatch.setenv("CALCO_CACHE", str(tmp_path / "file" / "below"))
        assert len(open_data(tmp_path / "images")) == 1

    def test_mixed_sizes_and_modes_are_named_and_can_be_fitted(self, tmp_path):
        for name in ("a", "b", "c"):
            save(tmp_path / f"{name}.png")
        save(tmp_path / "odd.png", size=(9, 9))
        save(tmp_path / "colour.png", mode="RGB")
        with pytest.raises(RequestError, match=r"2 of 5 images .* colour\.png 6x5 with 3 channels, odd\.png 9x9"):
            open_data(tmp_path)
        source = open_data(tmp_path, size=(4, 3), mode="L")
        assert source.take(np.arange(5)).x.shape == (5, 4, 3)
        assert open_data(**source.describe()["open"]).describe()["fingerprint"] == source.describe()["fingerprint"]

    def test_a_truncated_image_is_named_or_skipped(self, tmp_path):
        save(tmp_path / "good.png")
        save(tmp_path / "bad.png", size=(50, 50))
        (tmp_path / "bad.png").write_bytes((tmp_path / "bad.png").read_bytes()[:200])
        (tmp_path / "worse.png").write_bytes(b"not an image")
        with pytest.raises(RequestError, match=r"bad\.png is corrupt or truncated"):
            open_data(tmp_path)
        source = open_data(tmp_path, skip_corrupt=True)
        assert len(source) == 1
        assert source.describe()["skipped"] == ["bad.png", "worse.png"]
        (tmp_path / "good.png").write_bytes(b"")
        with pytest.raises(RequestError, match="None of the 3 images"):
            open_data(tmp_path, skip_corrupt=True)

    def test_an_empty_folder_is_refused(self, tmp_path):
        with pytest.raises(RequestError, match="holds no images"):
            open_data(tmp_path)

    def test_a_size_read_back_from_json_is_the_same_size(self, tmp_path, monkeypatch):
        save(tmp_path / "a.png")
        monkeypatch.setattr(module, "IN_MEMORY", 10)
        first, again = (open_data(tmp_path, size=size) for size in ((6, 5), [6, 5]))
        assert first.describe()["fingerprint"] == again.describe()["fingerprint"]

    def test_a_folder_too_large_for_memory_is_decoded_batch_by_batch(self, tmp_path, monkeypatch):
        images = [save(tmp_path / str(i % 2) / f"{i}.png") for i in range(6)]
        monkeypatch.setattr(module, "IN_MEMORY", 10)
        source = open_data(tmp_path)
        assert source.slow
        raw = source.take(np.array([3, 0]))
        assert np.array_equal(raw.x, [images[1], images[0]])
        assert raw.y.tolist() == [1, 0]
        save(tmp_path / "0" / "odd.png", size=(7, 7))
        with pytest.raises(RequestError, match="are not"):
            open_data(tmp_path).take(np.arange(7))


def test_a_folder_goes_to_another_process(tmp_path):
    for i in range(12):
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / f"{i:02}.png")
    first = np.zeros((4, 4), np.uint8)
    source = module.Folder(sorted(tmp_path.rglob("*.png")), np.arange(12), None, None, first, "", {})
    again = pickle.loads(pickle.dumps(source))
    assert again.classes == source.classes == tuple(map(str, range(12)))
    mine, theirs = (one.take(np.arange(12)) for one in (source, again))
    assert np.array_equal(mine.x, theirs.x)
    assert list(mine.y) == list(theirs.y) == list(range(12))


@pytest.mark.parametrize("in_memory", [True, False])
def test_images_are_fitted_converted_and_left_out_alike_in_memory_and_from_disk(in_memory, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "IN_MEMORY", 1 << 30 if in_memory else 0)
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path / "cache"))  # or what the other way has decoded would be taken
    rng, root = np.random.default_rng(0), tmp_path / "pictures"
    for i, sides in enumerate(((12, 9), (8, 8), (20, 30), (7, 5))):
        path = root / "ab"[i % 2] / f"{i}.png"
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.fromarray(rng.integers(0, 256, (*sides, 3), dtype=np.uint8)).save(path)
    (root / "a/broken.png").write_bytes(b"no image")
    source = open_data(root, size=(6, 10), mode="L", skip_corrupt=True)
    found = source.take(np.array([3, 0, 2]))
    assert found.x.shape == (3, 6, 10)
    assert found.x.dtype == np.uint8
    assert infer_schema(source).shape == (1, 6, 10)
    assert source.classes == ("a", "b")
    told = source.describe()
    assert told["skipped"] == ["a/broken.png"]
    again = open_data(**told["open"])
    assert again.describe() == told
    assert np.array_equal(again.take(np.array([3, 0, 2])).x, found.x)
    with Image.open(root / "a/0.png") as image:
        expected = np.asarray(ImageOps.fit(image.convert("L"), (10, 6), Image.Resampling.BICUBIC))
    assert np.array_equal(source.take(np.array([0])).x[0], expected)
