"""Segmentation on the command line, from two folders to masks, figures and a page; and the pictures of operators."""

import json

import numpy as np
import pytest
import torch
from PIL import Image

from calco.cli.outputs import Segments
from calco.data import MaskedSource
from calco.data.paired import open_masked
from calco.nets.upsampling import UPSAMPLINGS
from calco.report.explain import OPERATORS
from calco.tiling import whole
from tests.cli.test_cli import calco  # noqa: F401  the fixture
from tests.models.test_segmenter import scenes

QUICK = ["--steps", "40", "--batch-size", "8", "--lr", "0.01", "--width", "8", "--levels", "2", "--log-every", "20"]


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Images, masks whose class 2 is not to count, and the names of the classes."""
    root = tmp_path_factory.mktemp("scenes")
    x, y = scenes(16)
    y[:, 0] = 2
    for name, arrays in (("images", x), ("masks", y)):
        (root / name).mkdir()
        for i, array in enumerate(arrays):
            Image.fromarray(array).save(root / name / f"s{i:02}.png")
    (root / "classes.txt").write_text("ground\nthing\nvoid\n")
    return root


@pytest.fixture(scope="module")
def run(folders, tmp_path_factory):
    """A fitted run."""
    import sys

    from calco.cli import main

    out = tmp_path_factory.mktemp("run") / "run"
    images, masks = folders / "images", folders / "masks"
    held = ["--held-out", images, "--held-out-masks", masks]
    arguments = ["fit", "segmenter", images, "--masks", masks, "--ignore-index", "2", *held, *QUICK, "--out", out]
    before, sys.argv = sys.argv, ["calco", *map(str, arguments)]
    try:
        with pytest.raises(SystemExit) as end:
            main()
    finally:
        sys.argv = before
    assert end.value.code == 0
    return out


def pixels(path):
    with Image.open(path) as image:
        return np.asarray(image), image.mode


def test_masks_overlays_and_probabilities(calco, run, folders, tmp_path):  # noqa: F811
    code, said = calco("segment", run, folders / "images", "--out", tmp_path / "found", "--probabilities")
    assert code == 0, said
    y = scenes(16)[1]
    found = np.stack([pixels(tmp_path / f"found/masks/s{i:02}.png")[0] for i in range(16)])
    assert (found == y).mean() > 0.9
    assert pixels(tmp_path / "found/masks/s00.png")[1] == "P"
    assert pixels(tmp_path / "found/overlays/s00.png")[0].shape == (20, 17, 3)
    shares = np.load(tmp_path / "found/probabilities/s03.npy")
    assert shares.shape == (20, 17, 2)
    assert np.array_equal(shares.argmax(-1), found[3])
    assert (tmp_path / "found/classes.txt").read_text() == "ground\nthing\n"
    # What was written can be learned from.
    again = calco(
        "fit", "segmenter", folders / "images", "--masks", tmp_path / "found/masks", *QUICK, "--out", tmp_path / "two"
    )
    assert again[0] == 0, again[1]
    assert json.loads((tmp_path / "two/run.json").read_text())["schema"]["classes"] == ["ground", "thing"]


def test_figures_and_the_page(calco, run, folders):  # noqa: F811
    code, said = calco("evaluate", run, folders / "images", "--masks", folders / "masks")
    assert code == 0, said
    figures = {f["name"]: f for f in json.loads((run / "report.json").read_text())["figures"]}
    assert figures["mean IU"]["value"] > figures["mean IU"]["baseline"]
    assert "16 training examples that are not ignored" in figures["mean IU"]["protocol"]
    code, said = calco("report", run)
    assert code == 0, said
    page = (run / "report.html").read_text()
    assert "Worst and best cases" in page
    assert ">thing<" in page
    code, said = calco("evaluate", run, folders / "images")
    assert code == 2
    assert "--masks" in said


def test_wrong_requests(calco, run, folders, tmp_path):  # noqa: F811
    images, masks = folders / "images", folders / "masks"
    for arguments, word in (
        (("fit", "segmenter", images, "--out", tmp_path / "a"), "--masks"),
        (("fit", "segmenter", images, "--masks", masks, "--held-out", images, "--out", tmp_path / "a"), "--held-out-masks"),
        (("fit", "segmenter", images, "--masks", tmp_path, "--out", tmp_path / "a"), "holds no images"),
        (("fit", "segmenter", images, "--masks", masks, "--encoder", tmp_path, "--out", tmp_path / "a"), "not a run folder"),
        (("fit", "vae", images, "--masks", masks, "--out", tmp_path / "a"), "masks"),
        (("segment", run, tmp_path / "none.png", "--out", tmp_path / "b"), "no file or folder"),
        (("sample", run, "--out", tmp_path / "b.png"), "cannot sample: it can segment"),
        (("explain", "magic"), "choose from"),
        (("explain", "nearest", "--stride", "40"), "a picture can show"),
    ):
        code, said = calco(*arguments)
        assert code == 2, said
        assert word in said
        assert not (tmp_path / "a").exists()


@pytest.mark.parametrize("operator", sorted({*OPERATORS, *UPSAMPLINGS}))
@pytest.mark.parametrize("dims", [1, 2])
def test_pictures_of_operators(calco, operator, dims, tmp_path):  # noqa: F811
    code, said = calco("explain", operator, "--dims", dims, "--size", "2", "--out", tmp_path / "picture.png")
    assert code == 0, said
    assert min(pixels(tmp_path / "picture.png")[0].shape[:2]) > 300


def test_operators_are_listed(calco):  # noqa: F811
    assert calco("explain", "list")[1].split() == list(OPERATORS)


def bands(mask, classes):
    """Probabilities that say a mask, a row at a time."""
    for row in range(len(mask)):
        yield slice(row, row + 1), torch.nn.functional.one_hot(torch.from_numpy(mask[row : row + 1]), classes).movedim(-1, 0)


@pytest.mark.parametrize(("classes", "mode"), [(256, "P"), (300, "I;16")])
def test_masks_of_many_classes_are_written_as_they_are(classes, mode, tmp_path):
    mask = np.arange(20 * 17).reshape(20, 17) % classes
    x = scenes(1)[0]
    names = [str(i) for i in range(classes)]
    schema = MaskedSource(x, mask[None], ignore=-1, classes=names).schema()
    Segments(tmp_path, schema, False).write("a", x[0], bands(mask, classes))
    written, written_mode = pixels(tmp_path / "masks/a.png")
    assert written_mode == mode
    assert np.array_equal(written, mask)
    assert whole(bands(mask, classes), mask.shape).tolist() == mask.tolist()
    Image.fromarray(x[0]).save(tmp_path / "a.png")
    again = open_masked([x[0]], [written], ignore=-1, classes=names)
    assert np.array_equal(again.y[0], mask)
    assert pixels(tmp_path / "overlays/a.png")[0].shape == (20, 17, 3)


def test_overlays_of_deep_images_show_them(tmp_path):
    x = np.linspace(20000, 60000, 20 * 17).reshape(1, 20, 17).astype(np.uint16)
    mask = (x[0] > 40000).astype(int)
    Segments(tmp_path, MaskedSource(x, mask[None]).schema(), False).write("a", x[0], bands(mask, 2))
    shown = pixels(tmp_path / "overlays/a.png")[0].astype(int)
    assert (np.diff(shown[mask == 0].sum(-1)) >= 0).all()
    assert len(np.unique(shown[mask == 0].sum(-1))) > 30


def test_nothing_is_to_be_ignored_on_request(calco, folders, tmp_path):  # noqa: F811
    asked = ["fit", "segmenter", folders / "images", "--masks", folders / "masks", "--steps", "1", "--width", "4"]
    code, said = calco(*asked, "--crop", "8", "--ignore-index", "-1", "--out", tmp_path / "run")
    assert code == 0, said
    record = json.loads((tmp_path / "run/run.json").read_text())
    assert record["schema"]["classes"] == ["ground", "thing", "void"]
    assert '"crop": [8]' in json.dumps(record)
