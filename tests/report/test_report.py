"""The page: self-contained, and about what was asked."""

import re

import numpy as np
import pytest
import torch

import calco
from calco.data import Subset
from calco.models import families
from calco.report import write_report
from calco.report.sections import number
from tests.data.test_tables import people
from tests.report.test_page import section
from tests.small import needs_masks, small

SHORT = {"steps": 6, "batch_size": 16, "log_every": 2, "lr_warmup": 0}


@pytest.mark.usefixtures("quick")
def test_models_side_by_side(tmp_path):
    estimators = [
        small(cls, training=SHORT).fit("digits", out=tmp_path / name)  # they bring labels
        for name, cls in families().items()
        if not needs_masks(cls)
    ]
    some = Subset(calco.open_data("digits:test"), np.arange(120))
    measured = write_report(estimators, some, tmp_path / "page.html", title="Two <models>")
    page = (tmp_path / "page.html").read_text()
    assert "Two &lt;models&gt;" in page
    assert all(type(e).__name__ in page for e in estimators)
    for heading, needs in (
        ("What was trained", set()),
        ("Originals and what the model keeps of them", {"reconstruct"}),
        ("Samples", {"sample"}),
        ("A walk between two examples", {"encode", "decode"}),
        ("A map of the codes", {"encode"}),
        ("Training", set()),
    ):
        cards = section(page, heading).split('<div class="card">')[1:]
        assert len(cards) == len(estimators)
        for card, estimator in zip(cards, estimators, strict=True):
            assert f"<h3>{type(estimator).__name__}</h3>" in card
            able = needs <= set(estimator.capabilities_)
            shown = "<dl>" in card if heading == "What was trained" else "data:image" in card
            assert shown == able, (heading, estimator)
            assert ("not something this family does" in card) == (not able)
    assert "N(0, I)" in section(page, "Samples")
    for figures in measured:
        assert all(number(f.value) in page for f in figures)
    assert not re.findall(r'(?:src|href)="(?!data:)', page)
    assert "<script" not in page


@pytest.mark.parametrize("width", [2, 3])
def test_vectors_and_a_run_in_memory(tmp_path, width):
    x = np.random.default_rng(0).normal(size=(60, 5))
    estimator = calco.VAE(latent=width, training=SHORT).fit(x)
    figures = calco.evaluate(estimator, x, x)
    write_report([estimator], x, tmp_path / "page.html", figures=[figures])
    page = (tmp_path / "page.html").read_text()
    assert ("t-SNE" in page) == (width > 2)
    assert page.count("data:image") >= 5
    assert f"<dt>made with<dd>calco {calco.__version__}, torch {torch.__version__}" in page


def test_a_table_has_rows_columns_pairs_and_distances(tmp_path):
    people(300).to_csv(tmp_path / "people.csv", index=False)
    people(200, seed=1).to_csv(tmp_path / "others.csv", index=False)
    estimator = calco.VAE(latent=3, width=16, training=SHORT)
    estimator.fit(calco.open_data(str(tmp_path / "people.csv")), out=tmp_path / "run")
    write_report([estimator], calco.open_data(str(tmp_path / "others.csv")), tmp_path / "page.html", figures=[[]])
    page = (tmp_path / "page.html").read_text()
    for heading in ("Columns", "Pairs of columns", "Privacy", "Copies?"):
        assert f"<h2>{heading}</h2>" in page, heading
    assert "Autocorrelations" not in page
    samples = page[page.index("<h2>Samples</h2>") : page.index("<h2>Columns</h2>")]
    assert samples.count("<tr>") >= 21  # a head and twenty rows of cells, and no picture
    assert "<th>wage" in samples
    assert "data:image" not in samples
    assert {"nurse", "smith", "clerk"} & set(re.findall(r"<td>(\w+)", samples))


def test_a_page_is_of_what_the_model_is_now(tmp_path):
    source = calco.series(np.random.default_rng(0).normal(size=(60, 12, 2)))
    model = calco.VAE(latent=2, width=8, training=SHORT)
    drawn = []
    for lr in (1e-3, 1.0):
        model.set_params(training={**SHORT, "lr": lr}).fit(source)
        write_report([model], source, tmp_path / "page.html", figures=[[]])
        page = (tmp_path / "page.html").read_text()
        drawn.append(page[page.index("<h2>Autocorrelations</h2>") : page.index("<h2>Data and samples on one map</h2>")])
    assert drawn[0] != drawn[1]


def test_series_have_autocorrelations_and_a_map(tmp_path):
    moments = np.arange(200)
    waves = np.stack((np.sin(moments / 5), np.cos(moments / 5)), 1)
    source = calco.series(waves, window=12)
    estimator = calco.VAE(latent=2, width=8, training=SHORT).fit(source)
    write_report([estimator], source, tmp_path / "page.html", figures=[[]])
    page = (tmp_path / "page.html").read_text()
    assert "<h2>Autocorrelations</h2>" in page
    assert "<h2>Data and samples on one map</h2>" in page
    assert "Pairs of columns" not in page


def test_numbers_read_well():
    assert [number(v) for v in (0.0123456, -84.2812, 12345.6, None, float("nan"))] == [
        "0.01235",
        "-84.28",
        "12,345.6",
        "not known",
        "not known",
    ]
