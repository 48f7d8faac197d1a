"""Pictures of operators, read cell by cell: numbers are the operator's own, and a colour says where a value comes from."""

import math
from collections import Counter

import numpy as np
import pytest
import torch
from matplotlib.colors import to_hex
from matplotlib.figure import Figure
from torch.nn import functional as F

from calco.errors import RequestError
from calco.report.explain import OPERATORS, Asked
from calco.report.sheets import FAINT, PLAIN, Sheet, heat, lines_in, slot, tint, told


def read(draw):
    """A panel's cells, (row, column) to text and colour, as they were drawn last."""
    axes = Figure().add_subplot()
    draw(axes)
    colours = {(int(p.get_y()), int(p.get_x())): to_hex(p.get_facecolor()) for p in axes.patches}
    texts = {(math.floor(t.get_position()[1]), math.floor(t.get_position()[0])): t.get_text() for t in axes.texts}
    assert colours.keys() == texts.keys()
    return {place: (texts[place], colours[place]) for place in colours}


def panels(operator, *, kernel=2, stride=2, padding=0, extra=0, size=2, dims=2):
    """The sheet of an operator, and its panels by caption: values, colours (hex) and the size that they are given."""
    sheet = OPERATORS[operator](Asked(kernel, stride, padding, extra, size, dims))
    found = {}
    for _, row in sheet.rows:
        for title, draw, (width, height) in row:
            cells = read(draw)
            shape = tuple(1 + max(place[axis] for place in cells) for axis in (0, 1))
            assert shape == (height, width), title
            values, colours = np.full(shape, np.nan), np.full(shape, "", object)
            for place, (text, colour) in cells.items():
                values[place], colours[place] = float(text or "nan"), colour
            assert title not in found
            found[title] = values, colours
    return sheet, found


def owners(values, colours):
    """The colour of each number of an input, which no two share."""
    assert len({*colours.ravel()}) == values.size
    return {float(value): colour for value, colour in zip(values.ravel(), colours.ravel(), strict=True)}


@pytest.mark.parametrize("dims", [1, 2])
def test_blocks_have_the_colour_of_what_fills_them(dims):
    rows = 1 if dims == 1 else 3
    _, found = panels("nearest", stride=3, dims=dims)
    own, (out, colours) = owners(*found["input"]), found["output"]
    assert np.array_equal(out, found["input"][0].repeat(3, 1).repeat(rows, 0))
    assert all(colour == own[value] for value, colour in zip(out.ravel(), colours.ravel(), strict=True))
    _, found = panels("bed-of-nails", stride=3, dims=dims)
    own, (out, colours) = owners(*found["input"]), found["output"]
    expected = np.zeros_like(out)
    expected[::rows, ::3] = found["input"][0]
    assert np.array_equal(out, expected)
    white = to_hex(PLAIN)
    assert all(colour == (own[value] if value else white) for value, colour in zip(out.ravel(), colours.ravel(), strict=True))


@pytest.mark.parametrize("dims", [1, 2])
def test_interpolation_is_the_hotter_the_larger(dims):
    sheet, found = panels("bilinear", stride=2, size=3, dims=dims)
    assert sheet.title == ("Linear" if dims == 1 else "Bilinear") + " interpolation: factor 2"
    x = torch.tensor(found["input"][0])[None, None]
    mode = {"scale_factor": (1 if dims == 1 else 2, 2), "mode": "bilinear", "align_corners": False}
    expected = F.interpolate(x, **mode)[0, 0].numpy()
    out, colours = found["output"]
    assert np.allclose(out, expected, atol=0.0051)
    assert colours.ravel().tolist() == [to_hex(heat(value, expected.max())) for value in expected.ravel()]
    assert found["weights along a side"][0].tolist() == [[0.25, 0.75, 0.75, 0.25]]


@pytest.mark.parametrize("dims", [1, 2])
def test_switches_bring_values_back_to_where_they_came_from(dims):
    sheet, found = panels("max-unpooling", kernel=2, stride=2, size=3, dims=dims)
    assert "overlap" not in sheet.text
    assert [note for note, _ in sheet.rows] == ["Down", "", "Up"]
    x, shades = found["what was pooled"]
    assert sorted(x.ravel()) == list(range(1, 1 + x.size))
    largest, own = found["largest of each block"]
    assert np.array_equal(largest, x.reshape(-1, 2, 3, 2).max((1, 3)) if dims == 2 else x.reshape(1, 3, 2).max(2))
    colour_of = owners(largest, own)
    for place, value in np.ndenumerate(x):
        assert shades[place] == colour_of.get(value, to_hex(PLAIN))
    switches, _ = found["switches"]
    assert np.array_equal(x.ravel()[switches.astype(int)], largest)
    up, _ = found["values to bring up: ten times those"]
    assert np.array_equal(up, 10 * largest)
    out, out_shades = found["unpooled"]
    assert np.array_equal(out, np.where(np.isin(x, largest), 10 * x, 0))
    assert np.array_equal(out_shades, shades)


def test_overlapping_blocks_are_said_to_overlap():
    sheet, found = panels("max-unpooling", kernel=3, stride=2, size=2)
    assert "overlap" in sheet.text
    x = F.pad(torch.tensor(found["what was pooled"][0])[None, None], (0, 1, 0, 1), value=-math.inf)
    assert np.array_equal(found["largest of each block"][0], F.max_pool2d(x, 3, 2)[0, 0])
    with pytest.raises(RequestError, match="leave places out"):
        panels("max-unpooling", kernel=1, stride=2)


@pytest.mark.parametrize("dims", [1, 2])
def test_a_shuffle_deals_channels_out_in_their_colours(dims):
    _, found = panels("pixel-shuffle", stride=2, dims=dims)
    count = 2**dims
    channels = [found[f"channel {i + 1}"] for i in range(count)]
    for i, (_, colours) in enumerate(channels):
        assert {*colours.ravel()} == {to_hex(tint(i))}
    out, colours = found["output"]
    x = torch.tensor(np.stack([values for values, _ in channels]))[None]
    expected = F.pixel_shuffle(x, 2)[0, 0] if dims == 2 else x[0, :, 0].T.reshape(1, -1)
    assert np.array_equal(out, expected)
    assert colours.ravel().tolist() == [to_hex(tint(int(value) // 10 - 1)) for value in out.ravel()]
    assert len({*colours.ravel()}) == count


@pytest.mark.parametrize("dims", [1, 2])
def test_resizing_fills_blocks_and_averages(dims):
    _, found = panels("resize-convolution", kernel=3, stride=2, dims=dims)
    own = owners(*found["input"])
    large, shades = found["nearest unpooling"]
    assert np.array_equal(large, found["input"][0].repeat(2, 1).repeat(1 if dims == 1 else 2, 0))
    assert all(colour == own[value] for value, colour in zip(large.ravel(), shades.ravel(), strict=True))
    rows = 1 if dims == 1 else 3
    weight = torch.ones(1, 1, rows, 3, dtype=torch.float64) / (3 * rows)
    expected = F.conv2d(torch.tensor(large)[None, None], weight, padding=(rows // 2, 1))[0, 0].numpy()
    out, colours = found["output"]
    assert np.allclose(out, expected, atol=0.0051)
    assert colours.ravel().tolist() == [to_hex(heat(value, expected.max())) for value in expected.astype(np.float32).ravel()]


@pytest.mark.parametrize("dims", [1, 2])
def test_copies_of_a_filter_add_up(dims):
    sheet, found = panels("transpose-convolution", kernel=3, stride=2, padding=1, extra=1, size=2, dims=dims)
    x, weight = (torch.tensor(found[name][0])[None, None] for name in ("input", "filter"))
    rows = (1, 0, 0) if dims == 1 else (2, 1, 1)
    whole = F.conv_transpose2d(x, weight, stride=(rows[0], 2))[0, 0]
    whole = F.pad(whole, (0, 1, 0, rows[2])).numpy()
    assert np.array_equal(found["sum"][0], whole)
    out = F.conv_transpose2d(x, weight, stride=(rows[0], 2), padding=(rows[1], 1), output_padding=(rows[2], 1))[0, 0]
    assert np.array_equal(found["output"][0], out)
    assert f"{'(2 - 1) x 2 + 3 - 2 x 1 + 1 = 4'}" in sheet.text.replace("\N{NO-BREAK SPACE}", " ")
    copies = [values for title, (values, _) in found.items() if "x filter, at" in title]
    assert len(copies) == 2**dims
    assert np.array_equal(sum(np.nan_to_num(values) for values in copies), whole)
    # What the padding crops is faint: a ring on the left and, as there is an output padding, none on the right.
    faint = found["sum"][1] == to_hex(FAINT)
    assert np.array_equal(np.nonzero(~faint.all(0))[0], range(1, 5))
    assert np.array_equal(faint, found["how many copies meet"][1] == to_hex(FAINT))
    assert "struck out" in sheet.rows[-1][0]
    assert "a checkerboard" in sheet.rows[-1][0]
    count = np.nan_to_num(found["how many copies meet"][0])
    assert np.array_equal(count, sum(~np.isnan(values) for values in copies))


def test_a_kernel_that_is_a_multiple_of_the_stride_covers_alike():
    sheet, found = panels("transpose-convolution", kernel=4, stride=2, size=3)
    assert "no checkerboard" in sheet.rows[-1][0]
    assert "struck out" not in sheet.rows[-1][0]
    assert {*found["how many copies meet"][0][2:-2, 2:-2].ravel()} == {4.0}
    with pytest.raises(RequestError, match="takes all 2 places"):
        panels("transpose-convolution", kernel=2, stride=1, padding=1, size=1)


def test_no_more_copies_are_drawn_than_fit():
    sheet, found = panels("transpose-convolution", size=4)
    assert sum("x filter, at" in title for title in found) == 9
    assert "the first 9 of 16" in sheet.rows[1][0]
    assert [len(row) for _, row in sheet.rows] == [2, 4, 4, 1, 3]


def test_no_two_parts_of_a_sheet_lie_on_one_another(tmp_path, monkeypatch):
    """Captions, notes and panels have places of their own, within the page."""
    drawn = []
    monkeypatch.setattr(Figure, "savefig", lambda self, aside, **_: (drawn.append(self), aside.write_bytes(b"")))
    sheet = Sheet("A title", "Some text that is long enough for two lines. " * 4)
    note = "A note that says what is shown"
    panel = lambda title: (title, lambda axes: None, (3.0, 2.0))  # noqa: E731
    sheet.row(note, panel("a"), panel("a caption longer than its panel is wide"), panel("c"))
    sheet.row("", panel("d"))
    sheet.save(tmp_path / "picture.png")
    (figure,) = drawn
    boxes = [axes.get_position() for axes in figure.axes]
    assert all(0 <= box.x0 < box.x1 <= 1 and 0 <= box.y0 < box.y1 <= 1 for box in boxes)
    assert not any(one.overlaps(other) for i, one in enumerate(boxes) for other in boxes[:i])
    texts = {text.get_text(): text.get_position() for text in figure.texts}
    lines = lines_in(sheet.text, figure.get_figwidth())
    assert len(lines) > 1
    order = [texts["A title"], *(texts[line] for line in lines), texts[note], texts["a"], texts["d"]]
    heights = [y for _, y in order]
    assert heights == sorted(heights, reverse=True)
    assert len({*heights}) == len(heights)
    assert texts["c"][0] >= texts["a caption longer than its panel is wide"][0] + slot(*panel("a" * 39)) / figure.get_figwidth()


def test_numbers_are_written_short():
    assert [told(value) for value in (3.0, 2.0000001, 0.5, 0.25, 1 / 3)] == ["3", "2", "0.5", "0.25", "0.33"]
    assert Counter(to_hex(tint(i)) for i in range(20)).most_common(1)[0][1] == 2  # ten colours, then again
