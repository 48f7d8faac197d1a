"""What stands on the page, read from its HTML: each number in its cell, each model in its column, each verdict in its color."""

import json
import re
from html.parser import HTMLParser

import numpy as np
import pytest

import calco as library
from calco.evaluation import Figure
from calco.report import write_report
from calco.report.sections import number
from tests.cli.test_cli import calco  # noqa: F401  the fixture
from tests.small import small

SHORT = {"steps": 4, "batch_size": 16, "log_every": 2, "lr_warmup": 0}


class Cells(HTMLParser):
    """The rows of all tables: of each cell its classes and its text."""

    def __init__(self, page):
        super().__init__()
        self.rows = []
        self.feed(page)

    def handle_starttag(self, tag, attrs):
        if tag == "tr":
            self.rows.append([])
        elif tag in ("td", "th"):
            self.rows[-1].append([(dict(attrs).get("class") or "").split(), ""])

    def handle_data(self, data):
        if self.rows and self.rows[-1]:
            self.rows[-1][-1][1] += data


def section(page, heading):
    """The inside of one section."""
    return page[page.index(f"<h2>{heading}</h2>") :].partition("</section>")[0]


def figures_of(page):
    """Of each figure on the page: model, name, value, error, baseline, verdict."""
    found = []
    for row in Cells(section(page, "Figures")).rows[1:]:
        (_, model), (_, name), (classes, value), (_, base), _ = row
        value, _, error = value.partition(" ± ")
        found.append((model, name, value, error, base, {"won", "lost"} & set(classes)))
    return found


def made(value, better, baseline, error=None):
    return Figure("distance", value, "unit", "how it was measured", better, error, baseline, "a floor")


@pytest.fixture(scope="module")
def two():
    """Two small models of one kind of data."""
    x = np.random.default_rng(0).normal(size=(40, 4))
    return small(library.VAE, training=SHORT).fit(x), small(library.Autoencoder, training=SHORT).fit(x), x


@pytest.mark.parametrize(
    ("value", "better", "baseline", "verdict"),
    [(1.0, "lower", 2.0, "won"), (3.0, "lower", 2.0, "lost"), (3.0, "higher", 2.0, "won"), (1.0, "higher", 2.0, "lost")],
)
def test_what_is_better_than_the_baseline_is_green_and_what_is_worse_is_red(value, better, baseline, verdict, two, tmp_path):
    vae, _, x = two
    write_report([vae], x, tmp_path / "p.html", figures=[[made(value, better, baseline)]])
    page = (tmp_path / "p.html").read_text()
    ((*_, verdicts),) = figures_of(page)
    assert verdicts == {verdict}
    color = re.search(rf"\.{verdict} {{ color: var\((--\w+)\)", page)
    assert color
    shades = re.findall(rf"{color[1]}: #(..)(..)(..)", page)
    assert len(shades) == 2  # by day and by night
    for red, green, _ in shades:
        assert (int(green, 16) > int(red, 16)) == (verdict == "won")


def test_every_number_stands_in_the_row_of_its_model(two, tmp_path):
    vae, autoencoder, x = two
    figures = [[made(1.25, "lower", 2.5, 0.125), made(4.75, "higher", None)], [made(7.5, "lower", 3.125)]]
    write_report([vae, autoencoder], x, tmp_path / "p.html", figures=figures, names=["first", "second"])
    found = figures_of((tmp_path / "p.html").read_text())
    assert [row[0] for row in found] == ["first", "first", "second"]
    assert [row[2:] for row in found] == [
        ("1.25", "0.12", "2.5", {"won"}),
        ("4.75", "", "", set()),
        ("7.5", "", "3.125", {"lost"}),
    ]


def test_each_model_is_drawn_in_its_own_column(two, tmp_path):
    vae, autoencoder, x = two
    for models in ((vae, autoencoder), (autoencoder, vae)):
        write_report(models, x, tmp_path / "p.html", figures=[[], []])
        cards = section((tmp_path / "p.html").read_text(), "What was trained").split('<div class="card">')[1:]
        assert len(cards) == 2
        for card, model in zip(cards, models, strict=True):
            assert f"<h3>{type(model).__name__}</h3>" in card
            count = sum(p.numel() for p in model.model_.parameters())
            assert f"<dt>parameters<dd>{count:,}<" in card


def test_the_page_says_what_evaluate_measured(calco, tmp_path):  # noqa: F811
    x = np.random.default_rng(0).normal(size=(90, 4))
    np.save(tmp_path / "x.npy", x[:60])
    np.save(tmp_path / "new.npy", x[60:])
    runs = []
    for family in (library.VAE, library.Autoencoder):
        runs.append(tmp_path / family.family)
        small(family, training=SHORT).fit(str(tmp_path / "x.npy"), out=runs[-1])
    assert calco("report", *runs, "--data", tmp_path / "new.npy", "--out", tmp_path / "p.html")[0] == 0
    found = figures_of((tmp_path / "p.html").read_text())
    expected = []
    for run, name in zip(runs, ("VAE", "Autoencoder"), strict=True):
        written = json.loads((run / "report.json").read_text())["figures"]
        assert calco("evaluate", run, tmp_path / "new.npy")[0] == 0
        assert json.loads((run / "report.json").read_text())["figures"] == written
        for f in written:
            base = "" if f["baseline"] is None else number(f["baseline"])
            expected.append((name, number(f["value"]), base))
    assert [(model, value, base) for model, _, value, _, base, _ in found] == expected
    assert len(expected) > 10
