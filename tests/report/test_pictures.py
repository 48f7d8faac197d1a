"""What pictures show: colours of classes, grids of examples, curves, and cases of a segmenter, read back pixel by pixel."""

import base64
import io
import re
from types import SimpleNamespace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from PIL import Image

from calco.data import MaskedSource
from calco.evaluation.segmentation import Segmented
from calco.maths.overlap import IGNORED
from calco.report import pictures, segments


def pixels(uri):
    """A data URI, png, as bytes (height, width, 3)."""
    with Image.open(io.BytesIO(base64.b64decode(uri.removeprefix("data:image/png;base64,")))) as image:
        return np.asarray(image)


@pytest.fixture
def drawn(monkeypatch):
    """The figures that are saved, and how."""
    found = []

    def keep(self, file, **how):
        found.append((self, how))
        return plain(self, file, **how)

    plain = Figure.savefig
    monkeypatch.setattr(Figure, "savefig", keep)
    return found


def test_every_class_has_a_colour_of_its_own():
    for count in (1, 3, 10, 11, 60):
        assert len(np.unique(pictures.palette(count), axis=0)) == count
    assert np.array_equal(pictures.palette(30)[:10], pictures.palette(10))
    assert to_hex(pictures.palette(2)[1] / 255) == pictures.COLOURS[1]


def test_a_legend_names_the_colours():
    found = re.findall(r"rgb\((\d+),(\d+),(\d+)\)\"></span>(\S+)", pictures.legend(["a", "<b>"]))
    assert [name for *_, name in found] == ["a", "&lt;b&gt;"]
    assert np.array_equal([list(map(int, colour)) for *colour, _ in found], pictures.palette(2))


def test_an_overlay_mixes_pixels_and_colours():
    image, colours = np.full((2, 3, 3), 100, np.uint8), np.full((2, 3, 3), 200, np.uint8)
    assert (pictures.overlay(image, colours, 0.25) == 125).all()
    assert (pictures.overlay(image, colours) == 155).all()


def test_a_sheet_has_every_picture_whole_in_its_cell():
    rng = np.random.default_rng(0)
    rows = [[rng.integers(0, 256, (h, w, 3), dtype=np.uint8) for h, w in row] for row in ([(5, 7), (4, 4)], [(6, 3), (6, 7)])]
    whole = pixels(pictures.sheet(rows))
    scale = 900 // (2 * 7 + 2)
    assert whole.shape == (scale * (2 * 6 + 2), scale * (2 * 7 + 2), 3)
    small = whole[::scale, ::scale]
    assert np.array_equal(small.repeat(scale, 0).repeat(scale, 1), whole)
    grey = np.full(small.shape, 128)
    for i, row in enumerate(rows):
        for j, picture in enumerate(row):
            place = slice(i * 8, i * 8 + len(picture)), slice(j * 9, j * 9 + picture.shape[1])
            assert np.array_equal(small[place], picture)
            grey[place] = picture
    assert np.array_equal(small, grey)


def schema_of(shape):
    return SimpleNamespace(shape=shape)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_images_are_tiles_side_by_side(channels):
    rows = [torch.rand(3, channels, 6, 5), torch.rand(3, channels, 6, 5) * 2 - 0.5]  # what is out of range is cut
    whole = pixels(pictures.grid(schema_of((channels, 6, 5)), rows))
    scale = whole.shape[0] // 14
    small = whole[::scale, ::scale].astype(int)
    assert small.shape == (14, 18, 3)
    for i, row in enumerate(rows):
        for j, image in enumerate(row):
            shown = image[:3] if channels >= 3 else image[:1].expand(3, -1, -1)
            expected = (shown.clamp(0, 1) * 255).round().permute(1, 2, 0).numpy()
            assert np.array_equal(small[i * 7 : i * 7 + 6, j * 6 : j * 6 + 5], expected)
    assert (small[6::7] == 128).all()
    assert (small[:, 5::6] == 128).all()


@pytest.mark.parametrize(("width", "row", "column"), [(3, 14, 300), (40, 14, 22), (100, 9, 9), (2000, 1, 1)])
def test_vectors_are_rows_of_cells_on_one_scale(width, row, column):
    """As broad as the page and no higher than can be overlooked, however few numbers a vector has."""
    low, high = torch.zeros(2, width), torch.ones(2, width)
    whole = pixels(pictures.grid(schema_of((width,)), [low, high]))
    small = whole[::row, ::column].astype(int)
    assert small.shape == (6, width, 3)
    assert np.array_equal(small.repeat(row, 0).repeat(column, 1), whole)
    dark, light = small[0, 0], small[3, 0]
    assert (small[:2] == dark).all()
    assert (small[3:5] == light).all()
    assert (small[[2, 5]] == 128).all()
    assert light.sum() > dark.sum() + 200


def test_learning_curves_by_labels_are_lines_with_intervals(tmp_path, drawn):
    rows = [(way, n, m, m - 0.1, m + 0.05) for way, at in (("one", 0.5), ("two", 0.7)) for n, m in ((1000, at + 0.1), (10, at))]
    frame = pd.DataFrame(rows, columns=["way", "labels", "mean", "low", "high"]).assign(metric="accuracy")
    pictures.save_transfer(frame, tmp_path / "curves.png")
    with Image.open(tmp_path / "curves.png") as image:
        assert (image.format, image.size) == ("PNG", (1008, 616))
    ((figure, _),) = drawn
    (axes,) = figure.axes
    assert axes.get_xscale() == "log"
    assert [tick.get_text() for tick in axes.get_xticklabels()] == ["10", "1,000"]
    assert len(axes.get_xticks(minor=True)) == 0
    assert axes.get_xlabel() == "labelled examples"
    assert axes.get_ylabel().startswith("accuracy")
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["one", "two"]
    for (line, _, (bars,)), at, colour in zip(axes.containers, (0.5, 0.7), pictures.COLOURS, strict=False):
        x, y = line.get_data()
        assert x == pytest.approx([10, 1000], rel=0.05)  # in order, and moved aside a little
        assert y == pytest.approx([at, at + 0.1])
        assert to_hex(line.get_color()) == colour
        assert [sorted(segment[:, 1]) for segment in bars.get_segments()] == [
            pytest.approx([mean - 0.1, mean + 0.05]) for mean in y
        ]
    (one, _, _), (two, _, _) = axes.containers
    assert (one.get_xdata() != two.get_xdata()).all()  # or one interval would hide the other


def test_curves_of_training_are_drawn_to_a_scale_that_fits(drawn):
    history = [{"step": i, "loss": 1.0 / i, "held_out": 2.0 if i % 2 else None, "lr": -5.0} for i in range(1, 20)]
    pictures.curves(history)
    (axes,) = drawn[-1][0].axes
    assert axes.get_yscale() == "log"
    loss, held = axes.lines
    assert (loss.get_label(), held.get_label()) == ("loss", "held out")
    assert np.array_equal(loss.get_xdata(), range(1, 20))
    assert np.array_equal(held.get_xdata(), range(1, 20, 2))
    assert held.get_marker() == "o"
    assert loss.get_marker() == "None"
    # Below 0 there is no log; then first steps that are far off do not flatten what follows.
    pictures.curves([{"step": i, "loss": 1000.0 if i < 2 else -float(i)} for i in range(20)])
    (axes,) = drawn[-1][0].axes
    assert axes.get_yscale() == "linear"
    assert axes.get_ylim() == pytest.approx((-19 - 0.85, -2 + 0.85), abs=0.01)


def test_a_confusion_matrix_says_shares_of_each_row(drawn):
    pictures.cells(np.array([[90, 10], [0, 4]]), ["a", "b"])
    (axes,) = drawn[-1][0].axes
    assert {(t.get_position(), t.get_text()) for t in axes.texts} == {((0, 0), "90"), ((1, 0), "10"), ((1, 1), "100")}
    assert [t.get_color() for t in axes.texts] == ["white", "#1d2430", "white"]
    assert [tick.get_text() for tick in axes.get_yticklabels()] == ["a", "b"]
    assert (axes.get_xlabel(), axes.get_ylabel()) == ("predicted", "true, %")


def test_a_map_has_a_colour_for_each_class(drawn):
    points, labels = np.arange(12.0).reshape(6, 2), np.array([0, 1, 2, 0, 1, 2])
    pictures.scatter(points, labels, ("a", "b", "c"))
    (axes,) = drawn[-1][0].axes
    for i, (cloud, colour) in enumerate(zip(axes.collections, pictures.COLOURS, strict=False)):
        assert np.array_equal(cloud.get_offsets(), points[labels == i])
        assert to_hex(cloud.get_facecolor()[0]) == colour
    assert [text.get_text() for text in axes.get_legend().get_texts()] == ["a", "b", "c"]
    pictures.scatter(points, None, ())
    (axes,) = drawn[-1][0].axes
    assert np.array_equal(axes.collections[0].get_offsets(), points)
    assert axes.get_legend() is None


# -- cases of a segmenter -----------------------------------------------------------------------------------------------


def context(counts, classes=("a", "b")):
    found = Segmented(torch.tensor(counts), np.array([]))
    return SimpleNamespace(estimator=SimpleNamespace(schema_=SimpleNamespace(classes=classes)), once=lambda *_: found)


def test_classes_have_their_share_accuracy_and_overlap():
    counts, rows = segments.classes_of(context([[[50, 10], [0, 20]], [[10, 0], [5, 5]]]))  # type: ignore[arg-type]
    assert counts.tolist() == [[60, 10], [5, 25]]
    assert rows == [("a", pytest.approx((0.7, 60 / 70, 60 / 75))), ("b", pytest.approx((0.3, 25 / 30, 25 / 40)))]


def test_the_worst_and_the_best_are_other_examples():
    right = [9, 3, 8, 1, 7, 2, 6]
    counts = [[[n, 10 - n], [0, 0]] for n in right]
    counts.insert(2, [[0, 0], [0, 0]])  # all of it is ignored
    places = [place for place in range(8) if place != 2]
    by_accuracy = sorted(places, key=lambda row: counts[row][0][0])
    found = segments.extremes(context(counts))  # type: ignore[arg-type]
    assert found == [("worst", by_accuracy[:3]), ("best", by_accuracy[::-1][:3])]
    assert segments.extremes(context(counts[:2])) == [("worst", [1, 0])]  # type: ignore[arg-type]


class Bright:
    """A segmenter without a net: what is bright is a thing."""

    def __init__(self, source, level):
        self.schema_, self.level = source.schema(), level

    def bands(self, x):
        thing = torch.from_numpy(x > self.level)
        thing = thing if self.schema_.dims == thing.ndim else thing.any(-1)
        yield slice(0, len(x)), torch.stack((~thing, thing)).float()


@pytest.mark.parametrize("channels", [(), (3,)])
def test_an_image_its_truth_its_prediction_and_its_errors(channels):
    x, y = np.full((1, 8, 6, *channels), 30, np.uint8), np.zeros((1, 8, 6), np.uint8)
    x[0, 2:6, 2:4], y[0, 3:7, 2:4], y[0, 0] = 210, 1, 255
    source = MaskedSource(x, y, classes=("ground", "thing"))
    (image, truth, found, errors), accuracy = segments.panels(Bright(source, 100), source, 0)  # type: ignore[arg-type]
    colours = pictures.palette(2)
    assert accuracy == "90.5%"  # 38 of the 42 places that count
    assert np.array_equal(image, x[0] if channels else x[0][..., None].repeat(3, 2))
    mask = np.where(y[0] == 255, IGNORED, y[0].astype(int))
    assert np.array_equal(truth, np.concatenate((colours, [[0, 0, 0]]))[mask])
    thing = x[0].reshape(8, 6, -1)[..., 0] > 100
    assert np.array_equal(found, colours[thing.astype(int)])
    red = (errors == (200, 40, 30)).all(-1)
    assert np.array_equal(red, (thing != mask) & (mask != IGNORED))
    assert (errors[0] == 0).all()
    assert np.array_equal(errors[~red & (mask != IGNORED)], (image // 3 + 90)[~red & (mask != IGNORED)])


def test_a_volume_is_shown_by_its_middle_slice():
    x, y = np.zeros((1, 5, 8, 6), np.float32), np.zeros((1, 5, 8, 6), np.uint8)
    x[0, 2] = np.linspace(-1, 1, 48).reshape(8, 6)
    y[0, 2, 4:] = 1
    source = MaskedSource(x, y, classes=("ground", "thing"))
    (image, truth, found, _), _ = segments.panels(Bright(source, 0), source, 0)  # type: ignore[arg-type]
    colours = pictures.palette(2)
    assert np.array_equal(truth, colours[y[0, 2]])
    assert np.array_equal(found, colours[(x[0, 2] > 0).astype(int)])
    # From the first to the last percentile of the values that are shown, each of them in three colours.
    low, high = np.quantile(x[0, 2].repeat(3), (0.01, 0.99))
    expected = ((x[0, 2] - low) / (high - low) * 255).clip(0, 255).round()
    assert np.abs(image.astype(int) - expected[..., None]).max() <= 1


def test_a_signal_is_a_line_on_white():
    x, y = np.zeros((1, 40), np.float32), np.zeros((1, 40), np.uint8)
    x[0, 10:20], x[0, 20:], y[0, 10:] = 3.0, 1.0, 1
    source = MaskedSource(x, y, classes=("ground", "thing"))
    (image, truth, _, _), _ = segments.panels(Bright(source, 0), source, 0)  # type: ignore[arg-type]
    assert image.shape == truth.shape == (60, 40, 3)
    line = (image == (29, 36, 48)).all(-1)
    assert (image[~line] == 255).all()
    rows = [np.nonzero(line[:, column])[0].tolist() for column in range(40)]
    middle = round(59 * 2 / 3)
    assert rows == [[59]] * 9 + [[*range(60)]] + [[0]] * 9 + [[*range(middle + 1)]] + [[middle]] * 20
    assert np.array_equal(truth, pictures.palette(2)[y[0]][None].repeat(60, 0))
