"""Folders of images."""

import os
import pickle

import numpy as np
import pytest
from PIL import Image

from calco.data import folder as module
from calco.data import open_data
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
        first, print_ = open_data(tmp_path).take(np.arange(2)).x, open_data(tmp_path).describe()["fingerprint"]
        seen = []
        whole = module.decode
        monkeypatch.setattr(module, "decode", lambda *a: seen.append(a) or whole(*a))
        assert np.array_equal(open_data(tmp_path).take(np.arange(2)).x, first)
        assert len(seen) == 1  # one image, to know the size
        save(tmp_path / "b.png")
        os.utime(tmp_path / "b.png", ns=(1, 1))
        assert open_data(tmp_path).describe()["fingerprint"] != print_

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
    about = {"about": "twelve images"}
    source = module.Folder(sorted(tmp_path.rglob("*.png")), np.arange(12), None, None, (4, 4), about)
    again = pickle.loads(pickle.dumps(source))
    assert again.classes == source.classes == tuple(map(str, range(12)))
    mine, theirs = (one.take(np.arange(12)) for one in (source, again))
    assert np.array_equal(mine.x, theirs.x)
    assert list(mine.y) == list(theirs.y) == list(range(12))
