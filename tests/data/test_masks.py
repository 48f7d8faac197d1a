"""Examples with masks: pairing, classes, what is ignored, and what is wrong named file by file."""

from typing import Any

import numpy as np
import pytest
from PIL import Image

from calco.data import MaskedSource, infer_schema, open_data, schema_from_json, with_classes
from calco.errors import RequestError
from calco.maths.overlap import IGNORED


@pytest.fixture
def folders(tmp_path):
    """Four small colour images of two sizes and their masks: values 0 to 2, 255 ignored."""
    rng = np.random.default_rng(0)
    images, masks = tmp_path / "images", tmp_path / "masks"
    images.mkdir()
    masks.mkdir()
    for i in range(4):
        sides = (9, 7) if i < 3 else (5, 8)
        Image.fromarray(rng.integers(0, 256, (*sides, 3), dtype=np.uint8)).save(images / f"a{i}.png")
        mask = rng.integers(0, 3, sides, dtype=np.uint8)
        mask[0] = 255
        Image.fromarray(mask).save(masks / f"a{i}.png")
    return images, masks


def taken(source, rows) -> Any:
    return source.take(rows)


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image)


def test_folders_are_matched_by_stem_and_ignored_places_marked(folders):
    images, masks = folders
    (images / "a0.png").rename(images / "a0.JPG")  # what a file holds counts, not its suffix
    source = open_data(images, masks=masks)
    x, y = taken(source, np.array([1]))
    assert np.array_equal(x[0], pixels(images / "a1.png"))
    written = pixels(masks / "a1.png").astype(int)
    assert np.array_equal(y[0], np.where(written == 255, IGNORED, written))
    assert source.classes == ("0", "1", "2")
    schema = infer_schema(source)
    assert schema.sides == (9, 8)
    assert schema_from_json(schema.to_json()) == schema
    assert sum(schema.pixels) == 3 * 8 * 7 + 4 * 8
    again = open_data(**source.describe()["open"])
    assert again.describe()["fingerprint"] == source.describe()["fingerprint"]


def test_examples_of_several_sizes_are_padded_with_places_to_ignore(folders):
    source = open_data(folders[0], masks=folders[1])
    x, y = taken(source, np.array([0, 3]))
    assert x.shape == (2, 9, 8, 3)
    assert (y[1, 5:] == IGNORED).all()
    assert (y[0, :, 7:] == IGNORED).all()
    assert np.array_equal(x[1, :5], source.take(np.array([3])).x[0])


def test_classes_come_from_a_list_whose_last_may_name_what_is_ignored(folders):
    images, masks = folders
    for path in masks.iterdir():
        mask = pixels(path)
        Image.fromarray(np.where(mask == 255, 3, mask).astype(np.uint8)).save(path)
    (masks.parent / "classes.txt").write_text("0 sky\n1 road\n2 car\n3 void\n")
    source = open_data(images, masks=masks, ignore_index=3)
    assert source.classes == ("sky", "road", "car")
    (masks / "classes.txt").write_text("0 sky\n2 car\n")
    with pytest.raises(RequestError, match="skips or repeats a number"):
        open_data(images, masks=masks, ignore_index=3)


def test_a_palette_is_read_as_its_indices_and_colours_are_refused(folders):
    images, masks = folders
    expected = pixels(masks / "a0.png")  # bytes
    image = Image.fromarray(expected)
    image.putpalette([7, 8, 9] * 256)
    image.save(masks / "a0.png")
    y = taken(open_data(images, masks=masks), np.array([0])).y
    assert np.array_equal(y[0], np.where(expected == 255, IGNORED, expected.astype(int)))
    Image.fromarray(pixels(images / "a0.png")).save(masks / "a0.png")
    with pytest.raises(RequestError, match=r"a0\.png is a picture in colours \(RGB\)"):
        open_data(images, masks=masks)


def test_what_does_not_fit_is_named_file_by_file(folders):
    images, masks = folders
    Image.fromarray(np.full((9, 7), 9, np.uint8)).save(masks / "a1.png")
    (masks.parent / "classes.txt").write_text("sky\nroad\ncar\n")
    with pytest.raises(RequestError, match=r"1 of 4 masks hold values that are no class: a1\.png: 9\. Values are 0 to 2 \(sky"):
        open_data(images, masks=masks)
    Image.fromarray(np.zeros((4, 7), np.uint8)).save(masks / "a1.png")
    with pytest.raises(RequestError, match=r"a1\.png: 9 x 7 x 3 but its mask 4 x 7"):
        open_data(images, masks=masks)
    (masks / "a1.png").unlink()
    with pytest.raises(RequestError, match=r"1 of 4 examples have no mask: a1\.png"):
        open_data(images, masks=masks)
    (masks / "b.png").write_bytes((masks / "a0.png").read_bytes())
    (images / "a1.png").unlink()
    with pytest.raises(RequestError, match=r"masks have no example: b\.png"):
        open_data(images, masks=masks)
    (masks / "b.png").write_bytes(b"no picture")
    (images / "b.png").write_bytes((images / "a0.png").read_bytes())
    with pytest.raises(RequestError, match=r"b\.png is corrupt"):
        open_data(images, masks=masks)


def test_arrays_signals_and_volumes(tmp_path):
    rng = np.random.default_rng(0)
    signal, label = rng.normal(size=(5, 40)).astype(np.float32), rng.integers(0, 3, (5, 40))
    np.savez(tmp_path / "ecg.npz", signal=signal, label=label, classes=np.array(["p", "qrs", "t"]))
    source = open_data(tmp_path / "ecg.npz")
    assert isinstance(source, MaskedSource)
    assert source.classes == ("p", "qrs", "t")
    schema = infer_schema(source)
    assert (schema.dims, schema.channels, schema.sides) == (1, 1, (40,))
    x = schema.encode(source.take(np.arange(5)).x)
    assert x.shape == (5, 1, 40)
    assert np.allclose(schema.decode(x), signal, atol=1e-6)
    volumes, places = rng.normal(size=(2, 6, 7, 8)), rng.integers(0, 2, (2, 6, 7, 8))
    np.save(tmp_path / "x.npy", volumes)
    np.save(tmp_path / "y.npy", places)
    schema = infer_schema(open_data(tmp_path / "x.npy", masks=tmp_path / "y.npy"))
    assert (schema.dims, schema.shape) == (3, (1, 6, 7, 8))


def test_volumes_in_nifti(tmp_path):
    nibabel = pytest.importorskip("nibabel")
    rng = np.random.default_rng(0)
    for folder, values in (
        ("x", rng.normal(size=(6, 7, 8)).astype(np.float32)),
        ("y", rng.integers(0, 3, (6, 7, 8), np.uint8)),
    ):
        (tmp_path / folder).mkdir()
        nibabel.save(nibabel.Nifti1Image(values, np.eye(4)), tmp_path / folder / "one.nii.gz")
    source = open_data(tmp_path / "x", masks=tmp_path / "y")
    assert source.take(np.array([0])).x.shape == (1, 6, 7, 8)
    assert source.classes == ("0", "1", "2")


def test_objects_with_numbers_are_told_from_the_rest():
    masks = np.array([[[0, 1], [2, 255]]])
    source = open_data(np.zeros((1, 2, 2), np.uint8), masks=masks, instances=True, ignore_index=-1)
    assert source.classes == ("background", "object")
    assert np.array_equal(taken(source, np.array([0])).y[0], [[0, 1], [1, 1]])


def test_classes_of_a_model_keep_what_is_ignored():
    source = MaskedSource(np.zeros((1, 2, 2), np.uint8), np.array([[[0, 1], [255, 1]]]), classes=("car", "sky"))
    y = taken(with_classes(source, ("sky", "road", "car")), np.array([0])).y
    assert np.array_equal(y[0], [[2, 0], [IGNORED, 0]])


def test_masks_of_one_value_teach_nothing():
    with pytest.raises(RequestError, match="not two classes to tell apart"):
        open_data(np.zeros((2, 4, 4), np.uint8), masks=np.full((2, 4, 4), 255))
    with pytest.raises(RequestError, match="2 examples and 1 masks"):
        open_data(np.zeros((2, 4, 4), np.uint8), masks=np.zeros((1, 4, 4), int))
    with pytest.raises(RequestError, match="not whole numbers"):
        open_data(np.zeros((2, 4, 4), np.uint8), masks=np.full((2, 4, 4), 0.5))


def test_masks_of_0_and_255_are_met_with_advice():
    x, masks = np.zeros((2, 4, 4), np.uint8), np.zeros((2, 4, 4), np.uint8)
    masks[:, 2:] = 255
    for ignored in (255, -1):
        with pytest.raises(RequestError, match="masks of 0 and 255, ask for instances"):
            open_data(x, masks=masks, ignore_index=ignored)
    assert open_data(x, masks=masks, instances=True).classes == ("background", "object")
    sparse = open_data(x, masks=masks // 51, classes=tuple("abcdef"))  # where the classes are named, gaps are no matter
    assert len(sparse.classes) == 6


def test_median_frequency_weights():
    """By hand: class 0 has 6 of the 8 places of examples that hold it, class 1 has 2 of 8."""
    masks = np.array([[[0, 0], [0, 1]], [[0, 0], [0, 1]]])
    schema = infer_schema(open_data(np.zeros((2, 2, 2), np.uint8), masks=masks))
    assert schema.balance() == pytest.approx((0.5 / 0.75, 0.5 / 0.25))
