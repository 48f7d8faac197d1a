"""Clusters of codes: found, counted, named, and given back by the run's report."""

import json

import numpy as np
import pandas as pd
import pytest
from sklearn.datasets import make_moons

import calco
from calco.clusters import find_clusters
from calco.data import Subset, open_data
from calco.errors import RequestError
from calco.maths.clusters import cluster_accuracy
from calco.report import write_report

SHORT = {"steps": 30, "batch_size": 64, "lr_warmup": 0}


def blobs(n: int = 600, clusters: int = 4) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    y = rng.integers(0, clusters, n)
    return rng.normal(size=(n, 3)) * 0.4 + 4 * np.array([[0, 0, 0], [1, 0, 0], [0, 1, 0], [0, 0, 1]])[y], y


@pytest.mark.parametrize("method", ["graph", "kmeans"])
def test_clusters_that_lie_apart_are_found_and_counted(method):
    x, y = blobs()
    for clusters in (4, 0):
        found = find_clusters(x, clusters, method)
        assert cluster_accuracy(y, found.cluster) == 1
        assert (np.diff(np.bincount(found.cluster)) <= 0).all()
        assert found.about.startswith("4 clusters")
        assert np.array_equal(found.cluster, find_clusters(x, clusters, method).cluster)
    assert "chosen of 2 to 20" in found.about


def test_the_graph_follows_shapes_that_are_no_balls():
    x, y = make_moons(500, noise=0.05, random_state=0)
    assert cluster_accuracy(y, find_clusters(x, 2, "graph").cluster) > 0.99
    assert cluster_accuracy(y, find_clusters(x, 2, "kmeans").cluster) < 0.95


def test_more_examples_than_a_graph_takes_follow_their_neighbours(monkeypatch):
    x, y = blobs()
    monkeypatch.setattr("calco.clusters.JOINED", 200)
    assert cluster_accuracy(y, find_clusters(x, 4).cluster) == 1


def test_impossible_clusters_are_refused():
    x, _ = blobs(20)
    for clusters in (1, -2, 20, 50):
        with pytest.raises(RequestError, match="cannot make"):
            find_clusters(x, clusters)
    with pytest.raises(RequestError, match="choose from graph, kmeans"):
        find_clusters(x, 2, "ward")
    with pytest.raises(RequestError, match="1 of them different"):
        find_clusters(np.zeros((30, 2)))


def test_one_seed_gives_the_same_clusters_of_a_graph_whatever_came_before():
    codes = np.random.default_rng(0).normal(size=(700, 3))  # no clear clusters: ties are cut by lot
    found = [find_clusters(codes, 3, seed=seed).cluster for seed in (0, 1, 0, 0)]
    assert np.array_equal(found[0], found[2])
    assert np.array_equal(found[0], found[3])


@pytest.mark.usefixtures("quick")
def test_the_report_shows_what_was_asked_for(tmp_path, capsys, monkeypatch):
    from calco.cli import main

    run = tmp_path / "run"
    estimator = calco.Autoencoder(latent=4, width=8, training=SHORT).fit("digits", out=run)
    asked = ["cluster", str(run), "digits:test", "--clusters", "10", "--method", "kmeans", "--out", str(tmp_path / "c.csv")]
    monkeypatch.setattr("sys.argv", ["calco", *asked])
    with pytest.raises(SystemExit) as done:
        main()
    assert done.value.code == 0
    said = capsys.readouterr().out
    assert "10 clusters, as asked, by k-means" in said
    assert "accuracy" in said
    table = pd.read_csv(tmp_path / "c.csv")
    assert list(table.columns) == ["row", "cluster"]
    assert len(table) == 360
    assert json.loads((run / "clusters.json").read_text()) == {"clusters": 10, "method": "kmeans", "seed": 0}
    assert np.array_equal(table["cluster"], estimator.cluster("digits:test", 10, method="kmeans").cluster)
    write_report([estimator], "digits:test", tmp_path / "r.html", figures=[[]])
    assert "the same map: 10 clusters" in (tmp_path / "r.html").read_text()
    monkeypatch.setattr("sys.argv", ["calco", *asked[:3], "--out", str(tmp_path / "c.csv")])
    with pytest.raises(SystemExit):
        main()
    chosen = find_clusters(estimator.encode("digits:test"))
    assert np.array_equal(pd.read_csv(tmp_path / "c.csv")["cluster"], chosen.cluster)
    write_report([estimator], "digits:test", tmp_path / "r.html", figures=[[]])
    assert chosen.about in (tmp_path / "r.html").read_text()  # the number is chosen again, not asked for
    (run / "clusters.json").write_text('{"clusters": 50, "method": "graph", "seed": 0}')
    few = Subset(open_data("digits:test"), np.arange(12))
    write_report([estimator], few, tmp_path / "r.html", figures=[[]])
    assert "the same map" not in (tmp_path / "r.html").read_text()
    (run / "clusters.json").write_text('{"clusters": "ten"}')
    with pytest.raises(RequestError, match="clusters"):
        write_report([estimator], "digits:test", tmp_path / "r.html", figures=[[]])
