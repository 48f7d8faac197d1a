"""Examples with masks: pairing, classes, what is ignored, and what is wrong named file by file."""

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from calco.data import MaskedSource, infer_schema, open_data, paired, schema_from_json, with_classes
from calco.data.paired import open_examples
from calco.data.pairing import pairs, stem
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


def test_a_palette_is_read_as_its_indices_and_unknown_colors_are_named(folders):
    images, masks = folders
    expected = pixels(masks / "a0.png")  # bytes
    image = Image.fromarray(expected)
    image.putpalette([7, 8, 9] * 256)
    image.save(masks / "a0.png")
    y = taken(open_data(images, masks=masks), np.array([0])).y
    assert np.array_equal(y[0], np.where(expected == 255, IGNORED, expected.astype(int)))
    Image.fromarray(pixels(images / "a0.png")).save(masks / "a0.png")
    with pytest.raises(RequestError, match=r"a0\.png is a picture in colors: \d+ \d+ \d+ .* classes\.txt"):
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
    lacking = dataclasses.replace(schema, pixels=(*schema.pixels, 0), company=(*schema.company, 2))
    assert lacking.balance()[2] == 0


# -- how many classes, and which -------------------------------------------------------------------------------------


def test_more_than_255_classes_do_not_wrap(tmp_path):
    x, masks = np.zeros((1, 20, 20), np.uint8), np.arange(400).reshape(1, 20, 20) % 300
    with pytest.raises(RequestError, match=r"255 is a class of its own among these 300 .*ignore_index"):
        open_data(x, masks=masks)
    source = open_data(x, masks=masks, ignore_index=-1)
    assert len(source.classes) == 300
    assert np.array_equal(taken(source, np.array([0])).y, masks)
    for folder, content in (("x", x[0]), ("y", masks[0].astype(np.uint16))):
        (tmp_path / folder).mkdir()
        Image.fromarray(content).save(tmp_path / folder / "a.png")
    read = open_data(tmp_path / "x", masks=tmp_path / "y", ignore_index=-1)
    assert np.array_equal(taken(read, np.array([0])).y, masks)
    wide = np.arange(40000).reshape(1, 200, 200)
    assert np.array_equal(taken(MaskedSource(wide[..., :], wide, ignore=-1), np.array([0])).y, wide)
    with pytest.raises(RequestError, match="70,000 classes"):
        MaskedSource(wide, wide, ignore=-1, classes=[str(i) for i in range(70000)])


@pytest.mark.parametrize(("values", "nowhere"), [([1, 2, 3], "0"), ([0, 2, 4], "1, 3"), ([0, 1, 5, 6], "2, 3, 4")])
def test_classes_that_hold_nothing_are_said(values, nowhere):
    masks = np.resize(values, (2, 4, 4))
    with pytest.warns(UserWarning, match=f"Masks hold .*nowhere {nowhere}: "):
        assert len(open_data(np.zeros((2, 4, 4), np.uint8), masks=masks).classes) == max(values) + 1
    open_data(np.zeros((2, 4, 4), np.uint8), masks=masks, classes=tuple("abcdefg"))  # who names them knows of them
    if 0 not in values:
        open_data(np.zeros((2, 4, 4), np.uint8), masks=masks, ignore_index=0)


def test_classes_have_names_of_their_own(folders):
    (folders[1] / "classes.txt").write_text("sky\nroad\nsky\n")
    with pytest.raises(RequestError, match="class sky in more than one line"):
        open_data(folders[0], masks=folders[1])
    (folders[1] / "classes.txt").unlink()
    with pytest.raises(RequestError, match="more than one number: road"):
        open_data(folders[0], masks=folders[1], classes=("road", "road", "car"))
    (folders[1] / "classes.txt").write_bytes(b"caf\xe9\nroad\ncar\n")
    with pytest.raises(RequestError, match=r"Cannot read .*classes\.txt .*UTF-8"):
        open_data(folders[0], masks=folders[1])


def test_places_that_a_masked_array_masks_are_missing():
    x = np.arange(16, dtype=np.uint8).reshape(1, 4, 4)
    hidden = np.zeros((1, 4, 4), bool)
    hidden[0, 1] = True
    masks = np.ma.array(np.arange(16).reshape(1, 4, 4) % 2, mask=hidden)
    y = taken(open_data(x, masks=masks), np.array([0])).y
    assert np.array_equal(y, np.where(hidden, IGNORED, masks.data))
    y = taken(open_data([x[0]], masks=[masks[0].astype(np.uint8)], ignore_index=-1), np.array([0])).y
    assert np.array_equal(y, np.where(hidden, IGNORED, masks.data))
    for data in (np.ma.array(x, mask=hidden), [np.ma.array(x[0], mask=hidden[0])]):
        with pytest.raises(RequestError, match="1 of 1 examples hold NaN"):
            infer_schema(open_data(data))
    assert np.array_equal(open_data(np.ma.array(x)).take(np.array([0])).x, x)
    with pytest.raises(RequestError, match="labels are"):
        open_data(np.zeros((2, 3, 3)), np.ma.array([1, 2], mask=[0, 1]))
    with pytest.raises(RequestError, match="labels are"):
        open_data(np.zeros((2, 3, 3)), np.ma.array(["a", "b"], mask=[0, 1]))


# -- colors ----------------------------------------------------------------------------------------------------------

PALETTE = np.array([[0, 0, 0], [128, 64, 128], [64, 0, 250]], np.uint8)


@pytest.fixture
def colored(folders):
    """The same, their masks in colors; what is ignored is black."""
    for path in folders[1].iterdir():
        mask = pixels(path)
        Image.fromarray(PALETTE[np.where(mask == 255, 0, mask)]).save(path)
    return folders


@pytest.mark.parametrize(
    "lines",
    [
        "void 0 0 0\nroad 128 64 128\nsky above 64 0 250\n",
        "0 0 0\tvoid\n128 64 128\troad\n64 0 250\tsky above\n",  # as CamVid has it
        "2 sky above #4000FA\n0 void #000000\n1 road #804080\n",
        "#000000 void\n#804080 road\n#4000fa sky above\n",
        "void,0,0,0\nroad,128,64,128\nsky above,64,0,250\n",
    ],
)
@pytest.mark.parametrize("as_palette", [False, True])
def test_a_list_of_colors_makes_them_classes(colored, lines, as_palette):
    images, masks = colored
    wanted = {path.stem: pixels(path)[..., 2] for path in masks.glob("*.png")}
    if as_palette:  # of an order of its own
        for path in masks.glob("*.png"):
            with Image.open(path) as image:
                image.quantize(3).save(path)
    (masks / "classes.txt").write_text(lines)
    source = open_data(images, masks=masks, ignore_index=-1)
    assert source.classes == ("void", "road", "sky above")
    for i, name in enumerate(sorted(wanted)):
        assert np.array_equal(PALETTE[taken(source, np.array([i])).y[0]][..., 2], wanted[name])
    left = taken(open_data(images, masks=masks, ignore_index=0), np.array([1])).y[0]
    assert np.array_equal(left == IGNORED, wanted["a1"] == 0)
    other = open_data(images, masks=masks, ignore_index=-1, classes=("sky above", "void", "road"))
    assert np.array_equal((taken(other, np.array([1])).y[0] == 0), wanted["a1"] == 250)
    again = open_data(**source.describe()["open"])
    assert again.describe()["fingerprint"] == source.describe()["fingerprint"]


def test_lists_of_colors_that_do_not_fit_are_refused(colored):
    images, masks = colored
    for lines, said in (
        ("void 0 0 0\nroad 128 64 128\n", r"does not list: 64 0 250 \(\d+ places\)"),
        ("void 0 0 0\nroad 128 64 128\nsky\n", "none to sky"),
        ("void 0 0 0\nroad 0 0 0\n", "the color 0 0 0 in more than one"),
    ):
        (masks / "classes.txt").write_text(lines)
        with pytest.raises(RequestError, match=said):
            open_data(images, masks=masks)
    (masks / "classes.txt").write_text("void 0 0 0\nroad 128 64 128\nsky 64 0 250\n")
    with pytest.raises(RequestError, match="Unknown class 'sky'"):
        open_data(images, masks=masks, classes=("void", "road"))


def test_masks_saved_with_loss_are_refused_unless_they_are_clean(folders):
    images, masks = folders
    for path in list(masks.iterdir()):
        picture = Image.fromarray(np.where(pixels(path) > 0, 255, 0).astype(np.uint8))
        path.unlink()
        picture.resize((64, 64)).resize(picture.size).save(path.with_suffix(".jpg"), quality=60)
    with pytest.raises(RequestError, match=r"a0\.jpg was saved with loss \(JPEG\).* png"):
        open_data(images, masks=masks, instances=True)
    for path in masks.iterdir():
        Image.new("L", pixels(path).shape[::-1], 255).save(path, quality=100)
    source = open_data(images, masks=masks, instances=True)
    assert source.pixels[0] == 0
    for path in list(masks.iterdir()):
        path.unlink()
        Image.effect_noise((7, 9), 90).save(path.with_suffix(".webp"), quality=50)
    with pytest.raises(RequestError, match=r"saved with loss \(WEBP\)"):
        open_data(images, masks=masks, instances=True)


def test_masks_with_an_alpha_channel(folders):
    images, masks = folders
    plain = taken(open_data(images, masks=masks), np.array([0])).y
    mask = pixels(masks / "a0.png")
    Image.fromarray(np.dstack((mask, np.full_like(mask, 255)))).save(masks / "a0.png")
    assert np.array_equal(taken(open_data(images, masks=masks), np.array([0])).y, plain)
    Image.fromarray(np.dstack((mask, mask))).save(masks / "a0.png")
    with pytest.raises(RequestError, match=r"a0\.png is a mask with places that are not opaque"):
        open_data(images, masks=masks)


def test_fractions_in_masks_are_not_rounded_off(folders):
    images, masks = folders
    (masks / "a0.png").unlink()
    Image.fromarray(np.full((9, 7), 1.5, np.float32)).save(masks / "a0.tif")
    with pytest.raises(RequestError, match="not whole numbers"):
        open_data(images, masks=masks)


# -- which mask is whose ---------------------------------------------------------------------------------------------


def test_masks_are_matched_by_path_before_stem(tmp_path):
    for i, folder in enumerate("ab"):
        for kind in ("x", "y"):
            (tmp_path / kind / folder).mkdir(parents=True)
        Image.fromarray(np.full((4, 4), i, np.uint8)).save(tmp_path / "x" / folder / "001.png")
        Image.fromarray(np.uint8(np.eye(4) * (i + 1))).save(tmp_path / "y" / folder / "001_mask.png")
    source = open_data(tmp_path / "x", masks=tmp_path / "y", classes=("0", "1", "2"))
    assert source.called == ["a/001.png", "b/001.png"]
    x, y = taken(source, np.arange(2))
    assert [x[i].max() + 1 for i in range(2)] == [y[i].max() for i in range(2)] == [1, 2]
    (tmp_path / "x" / "a" / "001.jpg").write_bytes((tmp_path / "x" / "a" / "001.png").read_bytes())
    with pytest.raises(RequestError, match=r"1 of 3 examples share their names with others: a/001\. Give each a name"):
        open_data(tmp_path / "x", masks=tmp_path / "y")
    (tmp_path / "x" / "a" / "001.jpg").unlink()
    (tmp_path / "y" / "b" / "001_mask.png").rename(tmp_path / "y" / "001.png")
    with pytest.raises(RequestError, match=r"1 of 2 examples have no mask: b/001\.png"):  # it could be that of either
        open_data(tmp_path / "x", masks=tmp_path / "y")
    (tmp_path / "x" / "b" / "001.png").rename(tmp_path / "x" / "b" / "002.png")
    (tmp_path / "y" / "001.png").rename(tmp_path / "y" / "002_L.png")
    assert len(open_data(tmp_path / "x", masks=tmp_path / "y", classes=("0", "1", "2"))) == 2
    names, _ = open_examples(source, infer_schema(source))
    assert names == ["a/001", "b/001"]


def test_files_whose_names_but_for_the_suffix_are_alike_are_refused(folders):
    images, masks = folders
    (images / "a1.bmp").write_bytes((images / "a1.png").read_bytes())
    with pytest.raises(RequestError, match="1 of 5 examples share their names with others: a1"):
        open_data(images, masks=masks)


def test_volumes_are_matched_without_both_of_their_suffixes(tmp_path):
    for name in ("one.nii.gz", "one_seg.nii.gz", "Two.NII.GZ", "Two_seg.nii"):
        (tmp_path / name).touch()
    examples, masks = pairs(tmp_path, tmp_path)
    assert [path.name for path in examples] == ["Two.NII.GZ", "one.nii.gz"]
    assert [path.name for path in masks] == ["Two_seg.nii", "one_seg.nii.gz"]


def test_folders_that_memory_has_no_room_for_are_read_one_by_one(tmp_path, monkeypatch):
    """By what they take decoded: four bytes a place of images with fractions."""
    monkeypatch.setattr(paired, "IN_MEMORY", 200)
    for name in "xy":
        (tmp_path / name).mkdir()
        for i in range(2):
            content = np.full((5, 6), i / 2, np.float32) if name == "x" else np.eye(5, 6, dtype=np.uint8)
            Image.fromarray(content).save(tmp_path / name / f"{i}.tif")
    source = open_data(tmp_path / "x", masks=tmp_path / "y")
    Image.fromarray(np.full((5, 6), 0.25, np.float32)).save(tmp_path / "x" / "1.tif")
    assert (taken(source, np.array([1])).x == 0.25).all()


def test_names_end_before_their_suffixes():
    names = {"x.png": "x", "x.nii": "x", "x.nii.gz": "x", "X.NII.GZ": "X", "x.y.npy": "x.y"}
    assert {name: stem(Path("a", name)) for name in names} == names


def test_images_and_masks_in_one_folder(folders):
    images, masks = folders
    apart = open_data(images, masks=masks)
    with pytest.raises(RequestError, match=r"holds no masks: .*001_mask\.png"):
        open_data(images, masks=images)
    for path in masks.iterdir():
        path.rename(images / f"{path.stem}_mask.png")
    together = open_data(images, masks=images)
    assert together.describe()["fingerprint"] == apart.describe()["fingerprint"]
    (images / "a0_seg.png").write_bytes((images / "a0_mask.png").read_bytes())
    with pytest.raises(RequestError, match=r"masks have no example: a0_seg\.png"):
        open_data(images, masks=images)


def test_grey_of_more_than_8_bits_and_of_several_sizes(tmp_path):
    rng = np.random.default_rng(0)
    images = {}
    for name in "xy":
        (tmp_path / name).mkdir()
    for i, (kind, sides) in enumerate((("png", (5, 6)), ("tif", (7, 4)))):
        images[i] = rng.integers(0, 2**16, sides, np.uint16)
        Image.fromarray(images[i]).save(tmp_path / "x" / f"{i}.{kind}")
        Image.fromarray(np.uint8(images[i] > 30000)).save(tmp_path / "y" / f"{i}.png")
    source = open_data(tmp_path / "x", masks=tmp_path / "y")
    for i, image in images.items():
        assert np.array_equal(taken(source, np.array([i])).x[0], image)
    schema = infer_schema(source)
    assert schema.dtype == "uint16"
    assert np.array_equal(open_examples(tmp_path / "x", schema)[1][1], images[1])
    Image.fromarray(np.uint8(images[1] >> 8)).save(tmp_path / "x" / "1.tif")
    with pytest.raises(RequestError, match=r"more than 8 bits and the others have not: 0\.png"):
        open_data(tmp_path / "x", masks=tmp_path / "y")
    for content in (images[1] >> 8, rng.integers(0, 256, (7, 4, 3))):  # grey, and colours
        Image.fromarray(np.uint8(content)).save(tmp_path / "x" / "1.tif")
        with pytest.raises(RequestError, match=r"1\.tif holds uint8, and the model knows uint16"):
            list(open_examples(tmp_path / "x", schema)[1])


def test_alpha_that_is_data_is_kept_or_refused(folders):
    images, masks = folders
    plain = pixels(images / "a0.png")
    alpha = {path: np.dstack((pixels(path), pixels(path)[..., 0])) for path in images.iterdir()}
    Image.fromarray(alpha[images / "a0.png"]).save(images / "a0.png")
    with pytest.raises(RequestError, match=r"a0\.png has an alpha channel"):
        open_data(images, masks=masks)
    asked = open_data(images, masks=masks, mode="RGB")
    assert np.array_equal(taken(asked, np.array([0])).x[0], plain)
    for path, content in alpha.items():
        Image.fromarray(content).save(path)
    source = open_data(images, masks=masks)
    assert np.array_equal(taken(source, np.array([0])).x[0], alpha[images / "a0.png"])
    with pytest.raises(RequestError, match=r"a0\.png has an alpha channel"):  # the model of colors does not know it
        list(open_examples(images, infer_schema(asked))[1])
    assert np.array_equal(open_examples(images, infer_schema(asked), "RGB")[1][0], plain)


def test_colors_are_not_made_grey_unasked(folders):
    images, masks = folders
    grey = infer_schema(open_data(images, masks=masks, mode="L"))
    with pytest.raises(RequestError, match=r"a0\.png has colors"):
        list(open_examples(images, grey)[1])
    assert open_examples(images, grey, "L")[1][0].shape == (9, 7)
    Image.fromarray(pixels(images / "a0.png")[..., :1].repeat(3, 2)).save(images / "a0.png")
    assert open_examples(images, grey)[1][0].shape == (9, 7)


def test_examples_whose_stems_are_alike_keep_names_of_their_own(folders):
    images, masks = folders
    schema = infer_schema(open_data(images, masks=masks))
    (images / "a0.bmp").write_bytes((images / "a0.png").read_bytes())
    assert open_examples(images, schema)[0] == ["a0.bmp", "a0.png", "a1", "a2", "a3"]


@pytest.mark.parametrize("of_files", [True, False])
def test_a_part_of_masked_examples_is_of_these_alone(of_files):
    rng = np.random.default_rng(0)
    x, y = rng.integers(0, 256, (6, 5, 4), dtype=np.uint8), rng.integers(0, 2, (6, 5, 4), dtype=np.uint8)
    y[4], y[4, 0], y[1, 2] = 2, 0, 255
    called = {"called": [f"{c}.png" for c in "abcdef"]} if of_files else {}
    source = MaskedSource(x, y, classes=("a", "b", "c"), **called)
    for rows in ([4, 1], [5]):
        part = source.part(np.array(rows))
        assert len(part) == len(rows)
        found = taken(part, np.arange(len(rows)))
        assert np.array_equal(found.x, x[rows])
        assert np.array_equal(found.y, np.where(y[rows] == 255, IGNORED, y[rows].astype(int)))
        counts = np.array([[(mask == i).sum() for i in range(3)] for mask in y[rows]])
        schema = part.schema()
        assert schema.classes == ("a", "b", "c")
        assert schema.pixels == tuple(counts.sum(0))
        assert schema.company == tuple(((counts > 0) * counts.sum(1, keepdims=True)).sum(0))
        (key, names), *_ = part.identify(np.arange(len(rows))).items()
        expected = [f"{'abcdef'[row]}.png" for row in rows] if of_files else list(range(len(rows)))
        assert key == ("file" if of_files else "row")
        assert np.array_equal(names, expected)
        assert part.describe()["fingerprint"] != source.describe()["fingerprint"]
    assert source.schema().pixels == MaskedSource(x, y, classes=("a", "b", "c")).schema().pixels


def test_each_channel_has_a_scale_of_its_own():
    x = np.random.default_rng(0).normal((5.0, -3.0), (2.0, 0.1), (4, 6, 5, 2)).astype(np.float32)
    y = np.zeros((4, 6, 5), np.uint8)
    y[:, 3:] = 1
    schema = MaskedSource(x, y).schema()
    assert schema.channels == 2
    flat = x.reshape(-1, 2).astype(float)
    assert schema.low == pytest.approx(flat.mean(0))
    assert schema.high == pytest.approx(flat.mean(0) + flat.std(0))
    encoded = schema.encode(x).movedim(1, -1).numpy().reshape(-1, 2)
    assert encoded.mean(0) == pytest.approx([0, 0], abs=1e-4)
    assert encoded.std(0) == pytest.approx([1, 1], abs=1e-3)


@pytest.mark.parametrize("odd", [np.zeros((6, 5), np.float32), np.zeros((6, 5, 3), np.uint8)])
def test_examples_that_differ_from_the_first_are_named(odd):
    x = [np.zeros((6, 5, *odd.shape[2:]), np.uint8) for _ in range(3)]
    if odd.ndim == 3:
        x = [np.zeros((6, 5, 1), np.uint8) for _ in range(3)]
    x[1] = odd
    y = [np.array([[0, 1, 0, 1, 0]] * 6)] * 3
    with pytest.raises(RequestError, match=r"1 of 3 examples differ from the first: example 1\. The others hold uint8 in 1"):
        MaskedSource(x, y).schema()


def test_values_that_are_numbered_with_gaps_are_counted():
    y = np.zeros((2, 4, 4), np.uint8)
    for i, value in enumerate((1, 2, 3, 4, 5, 9)):
        y[:, i // 4, i % 4] = value
    with pytest.warns(UserWarning, match=r"hold 0, 1, 2, 3, 4, 5, \.\.\., and nowhere 6, 7, 8: what learns"):
        assert len(MaskedSource(y, y).classes) == 10
    half = np.array([[[0, 3], [1, 1]]] * 2)  # three values of the four that there would be: few enough are nowhere
    with pytest.warns(UserWarning, match="hold 0, 1, 3, and nowhere 2"):
        assert len(MaskedSource(half, half).classes) == 4
    two = np.array([[[0, 3], [3, 0]]] * 2)  # half of them are nowhere
    with pytest.warns(UserWarning, match="nowhere 1, 2"):
        assert len(MaskedSource(two, two).classes) == 4
    far = np.array([[[0, 4], [4, 0]]] * 2)
    with pytest.raises(RequestError, match=r"hold 0, 4: most classes from 0 to 4 are nowhere"):
        MaskedSource(far, far)


def test_examples_without_masks_in_every_form(folders, tmp_path):
    images, masks = folders
    source = open_data(images, masks=masks)
    schema = infer_schema(source)
    pictures = [pixels(images / f"a{i}.png") for i in range(4)]
    grey = infer_schema(MaskedSource(np.zeros((12, 5, 4), np.uint8), np.array([[[0, 1, 0, 1]] * 5] * 12)))

    def check(data, names, expected, schema=schema):
        found_names, found = open_examples(data, schema)
        assert found_names == names
        assert len(found) == len(expected)
        assert all(np.array_equal(a, b) for a, b in zip(found, expected, strict=True))

    check(images, ["a0", "a1", "a2", "a3"], pictures)
    check(images / "a2.png", ["a2"], pictures[2:3])
    (images / "a2.png").rename(tmp_path / "A2.PNG")
    check(str(tmp_path / "A2.PNG"), ["A2"], pictures[2:3])
    check(pictures, ["0", "1", "2", "3"], pictures)
    check(pictures[0], ["0"], pictures[:1])
    check(np.stack(pictures[:3]), ["0", "1", "2"], pictures[:3])
    x = np.random.default_rng(0).integers(0, 256, (12, 5, 4), dtype=np.uint8)
    np.save(tmp_path / "x.npy", x)
    names = [f"{i:02}" for i in range(12)]
    np.savez(tmp_path / "x.npz", x=x)
    for name in ("x.npy", "x.npz"):
        check(tmp_path / name, names, x, grey)
    check(open_data(x), names, x, grey)
    check(x[3], ["0"], x[3:4], grey)
    deep = infer_schema(MaskedSource(x.astype(np.uint16), np.array([[[0, 1, 0, 1]] * 5] * 12)))
    (tmp_path / "deep").mkdir()
    Image.fromarray(x[0].astype(np.uint16) + 300).save(tmp_path / "deep" / "d.png")
    check(tmp_path / "deep", ["d"], [x[0].astype(np.uint16) + 300], deep)
    with pytest.raises(RequestError, match="no file or folder"):
        open_examples(images / "none.png", schema)


def test_black_and_white_images_beside_grey_ones_are_grey(folders):
    images, masks = folders
    for i in range(4):
        with Image.open(images / f"a{i}.png") as image:
            grey = image.convert("1" if i == 1 else "L")
        grey.save(images / f"a{i}.png")
    source = open_data(images, masks=masks)
    assert infer_schema(source).channels == 1
    assert taken(source, np.array([1])).x.max() == 255
    for i in range(4):
        with Image.open(images / f"a{i}.png") as image:
            both = image.convert("L").convert("LA")
        both.save(images / f"a{i}.png")
    assert infer_schema(open_data(images, masks=masks)).channels == 2


def test_weights_of_classes_that_are_nowhere_are_0():
    y = np.array([[[0, 1, 1, 2], [0, 0, 0, 0]]] * 3, np.uint8)
    schema = MaskedSource(y * 20, y, classes=("a", "b", "c", "d")).schema()
    assert schema.balance() == pytest.approx((2 / 5, 1.0, 2.0, 0.0))


def test_names_of_two_words_are_no_numbers(folders):
    images, masks = folders
    (masks / "classes.txt").write_text("deep water\nwet land\ndry land\n")
    assert open_data(images, masks=masks).classes == ("deep water", "wet land", "dry land")
    (masks / "classes.txt").write_text("1 wet land\n0 deep water\n2 dry land\n")
    assert open_data(images, masks=masks).classes == ("deep water", "wet land", "dry land")
    (masks / "classes.txt").write_text("1 wet land\n0 deep water\n3 dry land\n")
    with pytest.raises(RequestError, match="skips or repeats a number"):
        open_data(images, masks=masks)


def test_masks_of_whole_numbers_held_as_floats_are_classes(folders):
    images, masks = folders
    expected = open_data(images, masks=masks)
    for i in range(4):
        path = masks / f"a{i}.png"
        Image.fromarray(pixels(path).astype(np.float32)).save(path.with_suffix(".tif"))
        path.unlink()
    found = open_data(images, masks=masks)
    assert found.classes == expected.classes
    assert np.array_equal(taken(found, np.arange(4)).y, taken(expected, np.arange(4)).y)


@pytest.mark.parametrize(
    ("sides", "channels"), [((30,), 0), ((30,), 2), ((6, 5), 0), ((6, 5), 3), ((4, 5, 6), 0), ((4, 5, 6), 2)]
)
def test_a_schema_of_any_number_of_sides_is_read_again_and_marks_values(sides, channels):
    rng = np.random.default_rng(0)
    shape = (3, *sides, *([channels] if channels else []))
    schema = MaskedSource(rng.normal(size=shape), rng.integers(0, 2, (3, *sides))).schema()
    assert schema_from_json(schema.to_json()) == schema
    known = rng.random(shape[1:]) < 0.5
    flags = schema.flags(known).numpy()
    assert flags.shape == schema.encode(np.zeros(shape)).shape[1:]
    assert np.array_equal(np.moveaxis(flags, 0, -1).reshape(known.shape), known)


def test_an_archive_of_examples_and_masks_names_their_classes(tmp_path):
    x, y = np.random.default_rng(0).integers(0, 256, (3, 6, 5), dtype=np.uint8), np.array([[[0, 1, 1, 0, 1]] * 6] * 3)
    np.savez(tmp_path / "scenes.npz", x=x, y=y, classes=["ground", "thing"])
    source = open_data(tmp_path / "scenes.npz")
    assert source.classes == ("ground", "thing")
    assert source.describe()["about"] == "scenes.npz"
    assert np.array_equal(taken(source, np.arange(3)).y, y)


def test_indices_of_classes_take_no_more_memory_than_they_need():
    y = np.array([[[0, 1], [2, 1]]] * 2)
    assert MaskedSource(y, y).y[0].dtype == np.int16
    assert MaskedSource(y, y, classes=[str(i) for i in range(40_000)], ignore=-1).y[0].dtype == np.int32
