"""Segmentation on the command line, from two folders to masks, figures and a page; and the pictures of operators."""

import json

import numpy as np
import pytest
from PIL import Image

from calco.nets.upsampling import UPSAMPLINGS
from calco.report.explain import OPERATORS
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
    code, said = calco("explain", operator, "--dims", dims, "--size", "3", "--out", tmp_path / "picture.png")
    assert code == 0, said
    assert min(pixels(tmp_path / "picture.png")[0].shape[:2]) > 300


def test_operators_are_listed(calco):  # noqa: F811
    assert calco("explain", "list")[1].split() == list(OPERATORS)
