"""Classifiers and regressors: what they take over, what examples without labels give, and what is refused."""

import json
import shutil

import numpy as np
import pytest
import torch
from sklearn.base import clone
from sklearn.datasets import load_digits

import calco
from calco.contract import Batch
from calco.data import PartlyLabelled, Subset, mixed, open_data, split, valued
from calco.errors import RequestError
from calco.evaluation.figures import labels_of
from calco.maths import noise
from calco.models.supervised.classifier import ClassifierModel
from calco.nets.augment import PLAIN, Views
from calco.nets.standard import Standardise
from calco.nets.start import unit_variance

SHORT = {"steps": 6, "batch_size": 16, "lr_warmup": 0, "log_every": 2}
DIGITS = load_digits()
X, Y = DIGITS.images.astype(np.uint8), DIGITS.target


@pytest.fixture(scope="module")
def encoders(tmp_path_factory):
    """A run of each family that can transfer."""
    folder = tmp_path_factory.mktemp("encoders")
    makers = {
        "autoencoder": calco.Autoencoder(3, width=4, training=SHORT),
        "vae": calco.VAE(3, width=4, training=SHORT),
        "rbm": calco.RBM(5, training=SHORT),
        "dbn": calco.DBN((6, 5), training=SHORT),
        "dbm": calco.DBM((6, 5), training=SHORT),
    }
    return {name: maker.fit(X[:200], out=folder / name) for name, maker in makers.items()}


@pytest.mark.parametrize("name", ["autoencoder", "vae", "rbm", "dbn"])
def test_features_handed_on_are_the_codes(name, encoders):
    estimator = encoders[name]
    x = estimator.schema_.encode(X[:20])
    with torch.no_grad():
        given = estimator.model_.feed_forward().eval()(x).numpy()
    assert np.allclose(given, estimator.encode(X[:20]), atol=1e-5)


def test_a_deep_machine_hands_on_its_first_guess_upwards(encoders):
    model = encoders["dbm"].model_
    x = encoders["dbm"].schema_.encode(X[:20])
    with torch.no_grad():
        lower, upper = model.pair(0), model.pair(1)
        h = torch.sigmoid(2 * (x.flatten(1) - lower.mu) @ lower.weight + lower.upper_bias)
        h = torch.sigmoid((h - upper.mu) @ upper.weight + upper.upper_bias)
        assert torch.allclose(model.feed_forward()(x), h, atol=1e-5)


def test_gaussian_units_are_scaled_on_the_way_up():
    x = np.random.default_rng(0).normal(size=(50, 4)) * [1, 2, 3, 4] + 5
    rbm = calco.RBM(3, training=SHORT).fit(x)
    with torch.no_grad():
        given = rbm.model_.feed_forward()(rbm.schema_.encode(x)).numpy()
    assert np.allclose(given, rbm.encode(x), atol=1e-5)


def test_a_conditional_model_hands_nothing_on():
    vae = calco.VAE(3, width=4, conditional=True, training=SHORT).fit(X[:60], Y[:60])
    with pytest.raises(RequestError, match="conditional model needs labels"):
        calco.Classifier(vae, training=SHORT).fit(X[:60], Y[:60])


@pytest.mark.parametrize("use", ["fine_tuned", "frozen", "random"])
def test_how_an_encoder_is_used(use, encoders):
    encoder = encoders["autoencoder"]
    before = encoder.model_.encoder.state_dict()
    still = calco.Classifier(encoder, encoder_use=use, training={**SHORT, "lr": 1e-12}).fit(X[:60], Y[:60]).model_.encoder
    same = all(torch.allclose(v, before[k], atol=1e-6) for k, v in still.state_dict().items())
    assert same == (use != "random")
    moved = calco.Classifier(encoder, encoder_use=use, training=SHORT).fit(X[:60], Y[:60]).model_.encoder
    assert all(torch.equal(v, before[k]) for k, v in moved.state_dict().items()) == (use == "frozen")


def test_an_encoder_learns_at_its_own_pace(encoders):
    # Plain gradient steps: the first is the gradient times the learning rate.
    once = {"steps": 1, "batch_size": 60, "lr_warmup": 0, "optimizer": "sgd", "momentum": 0.0, "schedule": "constant"}
    once |= {"ema": 0.0, "clip": 0.0, "weight_decay": 0.0, "precision": "fp32", "lr": 0.01}
    start = encoders["autoencoder"].model_.encoder.state_dict()
    moves = {}
    for pace in (0.1, 0.3):
        net = calco.Classifier(encoders["autoencoder"], encoder_pace=pace, training=once).fit(X[:60], Y[:60]).model_
        moves[pace] = torch.cat([(v - start[k]).flatten() for k, v in net.encoder.state_dict().items()])
    assert moves[0.1].norm() > 1e-5
    assert torch.allclose(3 * moves[0.1], moves[0.3], atol=1e-6)


def test_a_run_needs_its_encoders_run_no_more(encoders, tmp_path):
    shutil.copytree(encoders["vae"].run_.path, tmp_path / "vae")
    fitted = calco.Classifier(str(tmp_path / "vae"), training=SHORT).fit(X[:60], Y[:60], out=tmp_path / "run")
    shutil.rmtree(tmp_path / "vae")
    again = calco.load(tmp_path / "run")
    assert np.array_equal(again.predict_proba(X[:30]), fitted.predict_proba(X[:30]))
    second = calco.Classifier(again, training=SHORT).fit(X[:60], Y[:60])  # and hands its encoder on
    assert second.gathered_["encoder"]["gathered"]["encoder"]["family"] == "vae"


def test_an_encoder_in_memory_is_shared_with_clones(encoders, tmp_path):
    vae = calco.VAE(3, width=4, training=SHORT).fit(X[:60])
    classifier = calco.Classifier(vae, training=SHORT)
    assert clone(classifier).get_params()["encoder"] is vae
    classifier.fit(X[:60], Y[:60], out=tmp_path / "run")
    assert json.loads((tmp_path / "run" / "run.json").read_text())["parameters"]["encoder"] == "VAE in memory"
    assert np.array_equal(calco.load(tmp_path / "run").predict(X), classifier.predict(X))


def test_the_encoder_knows_what_examples_are(encoders):
    with pytest.raises(RequestError, match="the model knows 8 x 8"):
        calco.Classifier(encoders["vae"], training=SHORT).fit(X[:60, :5], Y[:60])
    gan = calco.GAN(3, width=4, training=SHORT).fit(X[:60])
    with pytest.raises(RequestError, match="cannot transfer"):
        calco.Classifier(gan, training=SHORT).fit(X[:60], Y[:60])
    with pytest.raises(RequestError, match="not a run folder"):
        calco.Classifier("nowhere", training=SHORT).fit(X[:60], Y[:60])


@pytest.mark.parametrize(
    "labels", [Y[:60], Y[:60].astype(float), np.array(["a", "b"])[Y[:60] % 2], Y[:60] % 2 == 0, (Y[:60] % 3).astype(object)]
)
def test_classes_come_back_as_they_were(labels):
    fitted = calco.Classifier(width=4, training=SHORT).fit(X[:60], labels)
    assert set(fitted.predict(X[:60])) <= set(labels)
    assert list(fitted.classes_) == sorted(set(labels))
    assert fitted.predict_proba(X[:7]).shape == (7, len(set(labels)))


def test_predictions_do_not_look_at_labels():
    fitted = calco.Classifier(width=4, training=SHORT).fit(X[:60], Y[:60])
    assert np.array_equal(fitted.predict(open_data(X[:9], list("abcdefghi"))), fitted.predict(X[:9]))


def test_values_are_predicted_in_their_unit():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(300, 3))
    y = 1e6 + 50 * x[:, 0] + 20 * x[:, 1] ** 2
    training = {"steps": 300, "batch_size": 64, "lr": 0.01}
    fitted = calco.Regressor(width=32, training=training).fit(x[:200], y[:200])
    assert fitted.score(x[200:], y[200:]) > 0.9
    assert fitted.score(open_data(x[200:], y[200:])) == pytest.approx(fitted.score(x[200:], y[200:]))
    assert abs(np.mean(fitted.predict(x)) - 1e6) < 100
    with pytest.raises(RequestError, match="a label is none"):
        calco.Regressor(training=SHORT).fit(x[:4], list("abcd"))


def test_labels_are_needed():
    with pytest.raises(RequestError, match="requires y to be passed"):
        calco.Classifier(training=SHORT).fit(X)
    with pytest.raises(RequestError, match="none with"):
        calco.Classifier(training=SHORT).fit(X[:20], unlabelled=X)
    with pytest.raises(RequestError, match="takes all examples alike"):
        calco.VAE(training=SHORT).fit(open_data(X[:20], Y[:20], unlabelled=X))


# -- examples without labels --------------------------------------------------------------------------------------------


def test_a_source_of_both_keeps_each_in_its_place():
    source = PartlyLabelled(open_data(X[:5], Y[:5]), open_data(X[5:20]))
    rows = np.array([7, 0, 19, 4, 5, 1])
    x, y = source.take(rows)
    assert np.array_equal(x, X[rows])
    assert y is not None
    assert y.tolist() == [-1, 0, -1, 4, -1, 1]
    rest, held = split(PartlyLabelled(open_data(X[:10], Y[:10]), open_data(X[10:30])), 0.2, 0)
    assert len(held) == 2
    assert len(rest) == 28
    assert min(labels_of(held)) >= 0


def test_one_in_four_has_its_label_in_training():
    source = mixed(PartlyLabelled(open_data(X[:10], Y[:10]), open_data(X[10:700])))
    y = source.take(np.arange(len(source))).y
    assert y is not None
    assert 0.24 < (y >= 0).mean() < 0.27
    assert set(source.take(np.arange(len(source))).x.reshape(len(y), -1).sum(1)) == set(X[:700].reshape(700, -1).sum(1))
    values = valued(source).take(np.array([0, len(source) - 1])).y
    assert values is not None
    assert values[0] == Y[0]
    assert np.isnan(values[1])


def test_a_run_of_both_is_opened_again(tmp_path):
    np.savez(tmp_path / "few.npz", x=X[:30], y=Y[:30])
    np.save(tmp_path / "many.npy", X[30:200])
    source = open_data(tmp_path / "few.npz", unlabelled=tmp_path / "many.npy")
    training = {**SHORT, "checkpoint_every": 3}
    whole = calco.Classifier(width=4, training=training).fit(source, out=tmp_path / "run")
    record = json.loads((tmp_path / "run" / "run.json").read_text())
    assert record["data"]["n"] == 200
    (tmp_path / "run" / "run.json").write_text(json.dumps({**record, "status": "interrupted"}))
    again = calco.load.__globals__["family"]("classifier").from_run(calco.runs.Run(tmp_path / "run"), weights=False).resume()
    for key, value in whole.model_.state_dict().items():
        assert torch.equal(value, again.model_.state_dict()[key])


class Linear(torch.nn.Module):
    """Logits that are the values themselves."""

    def forward(self, x):
        return x.flatten(1)


def model(**options):
    return ClassifierModel(Linear(), Standardise(3), torch.nn.Identity(), **options)


def test_a_batch_pays_for_its_labels_alone():
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.tensor([0, -1, 2, -1, -1, 1])
    known = y >= 0
    (turn,) = model().turns(Batch(x, y))
    assert torch.allclose(turn.loss, torch.nn.functional.cross_entropy(x[known], y[known]))
    (turn,) = model().turns(Batch(x, torch.full((6,), -1)))
    assert turn.loss == 0


@pytest.mark.parametrize(
    ("asked", "partly", "images", "found"),
    [
        ("auto", True, True, "views"),
        ("auto", True, False, "adversarial"),
        ("auto", False, True, "none"),
        ("views", False, True, "views"),
        ("adversarial", False, True, "adversarial"),
        ("none", True, True, "none"),
    ],
)
def test_when_predictions_are_to_be_consistent(asked, partly, images, found):
    x = X if images else X.reshape(len(X), -1) / 16.0
    more = {"unlabelled": x[40:90]} if partly else {}
    fitted = calco.Classifier(width=4, consistency=asked, training=SHORT).fit(x[:40], Y[:40], **more)
    assert fitted.model_.consistency == found
    assert ("consistency" in fitted.history_[-1]) == (found != "none")
    with pytest.raises(RequestError, match="Views are of images"):
        calco.Classifier(consistency="views", training=SHORT).fit(X[:40].reshape(40, -1) / 16.0, Y[:40])


def test_views_learn_what_is_surely_predicted():
    confident = torch.tensor([[9.0, 0, 0], [0.1, 0, 0], [0, 9.0, 0]])
    net = model(consistency="views", views=lambda x: x + 1.0 * torch.tensor([1.0, 0, 0]), threshold=0.9)
    (turn,) = net.turns(Batch(confident, torch.tensor([-1, -1, -1])))
    moved = confident + torch.tensor([1.0, 0, 0])
    expected = torch.nn.functional.cross_entropy(moved[[0, 2]], torch.tensor([0, 1]), reduction="sum") / 3
    assert torch.allclose(turn.terms["consistency"], expected)
    assert turn.terms["sure"] == pytest.approx(2 / 3)


def test_views_show_the_same_thing_otherwise():
    torch.manual_seed(0)
    x = torch.rand(400, 1, 20, 20)
    seen = Views()(x)
    assert seen.shape == x.shape
    assert 0 <= seen.min() <= seen.max() <= 1
    moved = (seen - x).flatten(1).abs().amax(1)
    assert (moved == 0).double().mean().item() == pytest.approx(PLAIN, abs=0.08)
    assert moved[moved > 0].min() > 0.1
    assert torch.equal(Views(rotate=0, shift=0, zoom=0, colour=0, erase=0)(x), x)
    mirrored = Views(flip="horizontal", rotate=0, shift=0, zoom=0, colour=0, erase=0)(x)
    assert all(torch.equal(a, b) or torch.equal(a, b.flip(2)) for a, b in zip(mirrored, x, strict=True))


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        ({"zoom": 1.0}, "zoom is 1.0: it is a share, at least 0 and below 1"),
        ({"erase": 1.5}, "erase is 1.5: it is a share, from 0 to 1"),
        ({"rotate": -1.0}, "rotate is -1.0: it must be at least 0"),
        ({"threshold": 1.0}, "threshold is 1.0"),
        ({"dropout": 1.0}, "dropout is 1.0"),
    ],
)
def test_options_out_of_range_are_named(wrong, words):
    with pytest.raises(RequestError, match=words):
        calco.Classifier(**wrong, training=SHORT).fit(X[:40], Y[:40])


def test_weights_begin_with_unit_variance():
    torch.manual_seed(0)
    x = torch.rand(200, 1, 12, 12)
    net = torch.nn.Sequential(*[torch.nn.Conv2d(1 if i == 0 else 4, 4, 3) for i in range(4)], torch.nn.Flatten())
    assert float(net(x).detach().std()) < 0.3
    unit_variance(net, x)
    assert float(net(x).detach().std()) == pytest.approx(1.0, abs=0.25)  # biases come on top
    assert not net[0]._forward_hooks


@pytest.mark.parametrize("kind", ["views", "adversarial"])
def test_examples_without_labels_help(kind):
    few, many, rest = np.arange(50), np.arange(50, 1200), np.arange(1200, len(X))
    training = {"steps": 250, "batch_size": 64, "lr": 1e-3, "precision": "fp32"}
    looks = {"rotate": 10.0, "shift": 0.1, "erase": 0.0, "zoom": 0.1, "colour": 0.0}
    x, y = (X if kind == "views" else X.reshape(len(X), -1) / 16.0), Y

    def accuracy(**data):
        return calco.Classifier(width=32, training=training, **looks).fit(x[few], y[few], **data).score(x[rest], y[rest])

    assert accuracy(unlabelled=x[many]) > accuracy() + 0.03


def test_an_adversarial_move_goes_where_the_prediction_changes_most():
    from calco.maths.consistency import adversarial, divergence

    weight = torch.tensor([[1.0, 0, 0], [-1.0, 0, 0]], dtype=torch.float64)
    x = torch.randn(50, 3, dtype=torch.float64)
    with noise.share(0, 0):
        moved = adversarial(lambda x: x @ weight.T, divergence, x, 0.5)
    move = moved - x
    assert torch.allclose(move.norm(dim=1), torch.full((50,), 0.5, dtype=torch.float64))
    assert torch.allclose(move[:, 1:], torch.zeros(50, 2, dtype=torch.float64), atol=1e-9)


def test_the_reach_of_a_move_is_a_share_of_the_distance_to_a_neighbour():
    from calco.maths.consistency import NEIGHBOUR, REACH, reach

    x = torch.arange(1000.0)[:, None]
    assert reach(x) == pytest.approx(REACH * NEIGHBOUR / 2, rel=0.02)  # as many on either side
    assert reach(torch.zeros(1, 3)) == 0


def test_subsets_of_both_are_refused_by_nobody():
    source = Subset(PartlyLabelled(open_data(X[:50], Y[:50]), open_data(X[50:100])), np.arange(40))
    assert source.classes == tuple(str(i) for i in range(10))


def test_values_are_learned_where_most_are_missing():
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 5))
    y = x @ np.array([1.0, -2.0, 0.5, 0.0, 0.0])
    training = {"steps": 300, "batch_size": 64, "log_every": 50}
    fitted = calco.Regressor(net="mlp", width=32, training=training).fit(x[:60], y[:60], unlabelled=x[60:300])
    assert fitted.model_.consistency == "adversarial"
    assert fitted.score(x[300:], y[300:]) > 0.8


@pytest.mark.parametrize("consistency", ["adversarial", "views"])
def test_a_frozen_encoder_stays_as_it_is_where_predictions_are_to_be_consistent(consistency, encoders):
    encoder = encoders["autoencoder"]
    made = calco.Classifier(encoder, encoder_use="frozen", consistency=consistency, training=SHORT)
    fitted = made.fit(X[:40], Y[:40], unlabelled=X[40:90])
    given, kept = encoder.model_.feed_forward().state_dict(), fitted.model_.encoder.state_dict()
    assert all(torch.equal(given[name], kept[name]) for name in given)
    assert all(np.isfinite(line["loss"]) for line in fitted.history_)


def test_an_encoder_learned_with_other_classes_serves_too():
    letters = np.array(["a", "b"])[(Y > 4).astype(int)]
    encoder = calco.VAE(3, width=4, training=SHORT).fit(X[:100], Y[:100])
    other = open_data(X[100:160], letters[100:160])
    assert encoder.encode(other).shape == (60, 3)
    assert calco.Classifier(encoder, training=SHORT).fit(other).schema_.classes == ("a", "b")
