"""Segmentation: what it learns, what it starts from, how it is asked and measured."""

import shutil

import numpy as np
import pytest
import torch
from torchmetrics.functional.classification import multiclass_jaccard_index

import calco
from calco.errors import RequestError
from calco.evaluation import evaluate
from calco.maths.boundaries import boundary_score
from calco.maths.overlap import IGNORED
from calco.models import load
from calco.models.segmenter import SegmenterModel
from calco.nets.segmentation import ARCHITECTURES
from calco.nets.upsampling import UPSAMPLINGS

FAST = {"steps": 60, "batch_size": 8, "lr": 0.01, "log_every": 20, "lr_warmup": 0}


def scenes(n=24, sides=(20, 17), seed=0):
    """Grey images of a bright rectangle on a dark ground with noise, and masks of it."""
    rng = np.random.default_rng(seed)
    x, y = rng.normal(60, 15, (n, *sides)), np.zeros((n, *sides), np.uint8)
    for i in range(n):
        corner = [rng.integers(0, side // 2) for side in sides]
        y[i][tuple(slice(a, a + side // 2) for a, side in zip(corner, sides, strict=True))] = 1
    return np.clip(x + 100 * y, 0, 255).astype(np.uint8), y


@pytest.fixture(scope="module")
def fitted(tmp_path_factory):
    folder = tmp_path_factory.mktemp("segmenter") / "run"
    x, y = scenes()
    return calco.Segmenter("unet", width=8, levels=2, training=FAST).fit(x, y, validation=scenes(seed=1), out=folder)


def accuracy(estimator, x, y):
    return float((np.asarray(estimator.segment(x)) == y).mean())


@pytest.mark.parametrize("architecture", ARCHITECTURES)
def test_every_architecture_learns(architecture):
    x, y = scenes()
    levels = 3 if architecture.startswith("fcn") else 2
    fast = FAST | {"steps": 120}
    segmenter = calco.Segmenter(architecture, width=8, levels=levels, blocks=1, colour=0.0, training=fast).fit(x, y)
    bare = max(y.mean(), 1 - y.mean())
    assert accuracy(segmenter, *scenes(seed=2)) > (1 + bare) / 2


@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_every_decoder_takes_every_operator(upsampling):
    x, y = scenes(8)
    segmenter = calco.Segmenter("segnet", upsampling=upsampling, width=4, levels=2, blocks=1, training=FAST | {"steps": 2})
    assert segmenter.fit(x, y).segment(x).shape == y.shape


@pytest.mark.parametrize("dims", [1, 3])
def test_signals_and_volumes(dims):
    x, y = scenes(12, (40,) if dims == 1 else (9, 12, 10))
    segmenter = calco.Segmenter(width=8, levels=2, training=FAST).fit(x.astype(np.float32), y)
    assert segmenter.schema_.dims == dims
    assert accuracy(segmenter, x.astype(np.float32), y) > 0.9


def test_volumes_of_uneven_sides_and_three_classes():
    """Bright boxes in the dark, their lower halves a class of their own: to be told by what is below, not by its grey."""
    x, y = scenes(12, (27, 40, 27))
    y = np.stack([np.where((mask > 0) & (np.arange(27)[:, None, None] >= np.nonzero(mask)[0].mean()), 2, mask) for mask in y])
    x, y = [volume[: 27 - i % 3] for i, volume in enumerate(x)], [mask[: 27 - i % 3] for i, mask in enumerate(y)]
    segmenter = calco.Segmenter(width=8, training=FAST | {"batch_size": 2}).fit(x[:9], y[:9])
    found = segmenter.segment(x[9:])
    assert [mask.shape for mask in found] == [mask.shape for mask in y[9:]]
    assert np.mean([np.mean(one == mask) for one, mask in zip(found, y[9:], strict=True)]) > 0.97
    assert len(segmenter.schema_.classes) == 3


@pytest.mark.parametrize("loss", ["cross_entropy", "dice", "focal", "cross_entropy+dice", "focal+dice"])
def test_every_loss_learns_with_weights_and_coarser_scores(loss):
    x, y = scenes()
    segmenter = calco.Segmenter("unet", width=8, levels=2, loss=loss, balance=0.5, deep=0.3, training=FAST).fit(x, y)
    assert accuracy(segmenter, x, y) > 0.9


def test_ignored_places_teach_nothing():
    """All the places that would teach the second class are ignored: nothing is ever called so."""
    x, y = scenes()
    y[:, :2, :2] = 2
    masks = np.where(y == 1, 255, np.where(y == 2, 1, y)).astype(np.uint8)
    segmenter = calco.Segmenter(width=8, levels=1, zoom=1.0, colour=0.0, training=FAST).fit(x, masks)
    assert (segmenter.segment(x)[:, 10:] == 0).mean() > 0.8


def test_examples_of_other_sizes_than_trained_on(fitted):
    x, y = scenes(2, (31, 9), seed=3)
    assert accuracy(fitted, x, y) > 0.8
    assert fitted.segment(x[0]).shape == (31, 9)
    mixed = fitted.segment([x[0], scenes(1, (8, 8))[0][0]])
    assert [mask.shape for mask in mixed] == [(31, 9), (8, 8)]


def test_statistics_of_normalisation_are_those_of_plain_examples(fitted):
    """The means that `conclude` took are the means over the training data with the weights as they ended."""
    x = fitted.schema_.encode(scenes()[0])
    net = fitted.model_.net
    first = next(m for m in net.modules() if isinstance(m, torch.nn.BatchNorm2d))
    seen = []
    conv = net.trunk.levels[0][0][0]
    handle = conv.register_forward_hook(lambda module, args, out: seen.append(out))
    with torch.no_grad():
        net(x)
    handle.remove()
    assert torch.allclose(first.running_mean, seen[0].mean((0, 2, 3)), atol=1e-4)


def test_a_run_is_loaded_and_measured_as_it_was(fitted):
    x, y = scenes(seed=4)
    again = load(fitted.run_.path)
    assert np.array_equal(again.segment(x), fitted.segment(x))
    held = [line for line in again.history_ if "held_out" in line]
    assert held[-1]["mean_iu"] == pytest.approx(1 - held[-1]["held_out"])
    train = calco.open_data(*scenes()[:1], masks=scenes()[1])
    figures = {f.name: f for f in evaluate(again, calco.open_data(x, masks=y), train)}
    means = {"pixel accuracy", "mean accuracy", "mean IU", "frequency-weighted IU", "boundary score"}
    assert means | {"IU of 0", "IU of 1"} == set(figures)
    assert figures["pixel accuracy"].value == pytest.approx(accuracy(again, x, y))
    assert figures["pixel accuracy"].baseline == pytest.approx(1 - y.mean())
    assert figures["mean IU"].baseline == pytest.approx((1 - y.mean()) / 2)


def test_the_figure_of_each_class_is_that_of_a_reference():
    x, y = scenes(6)
    y[:, :3] = 2  # a class that looks like the ground
    y[:, 3] = 255
    names = ("ground", "thing", "cover", "none")
    segmenter = calco.Segmenter(width=4, levels=1, training=FAST | {"steps": 20, "batch_size": 4})
    source = calco.open_data(x, masks=y, classes=names)
    found = {f.name: f for f in evaluate(segmenter.fit(source), source, source)}
    predicted, truth = torch.from_numpy(segmenter.segment(x)).long(), torch.from_numpy(y).long()
    reference = multiclass_jaccard_index(predicted, truth, 4, average="none", ignore_index=255)
    for i, name in enumerate(names[:3]):
        figure = found[f"IU of {name}"]
        assert figure.value == pytest.approx(float(reference[i]), abs=1e-6)
        told = f"over {int((y == i).sum()):,} places of this class and {int((predicted[y != 255] == i).sum()):,} predicted"
        assert figure.protocol.startswith(told)
        assert figure.error is not None
    assert found["IU of ground"].baseline == pytest.approx((y == 0).sum() / (y != 255).sum())
    assert found["mean IU"].value == pytest.approx(float(reference[:3].mean()), abs=1e-6)
    masks = np.where(y == 255, IGNORED, y.astype(int))
    outlines = [boundary_score(one, mask, 4) for one, mask in zip(predicted.numpy(), masks, strict=True)]
    assert found["boundary score"].value == pytest.approx(np.mean(outlines))
    assert found["boundary score"].error == pytest.approx(np.std(outlines) / 6**0.5)
    assert all(figure.better == "higher" for figure in found.values())
    assert "IU of none" not in found
    assert all(found[name].protocol.endswith("in no mean: none") for name in ("mean IU", "mean accuracy"))
    assert "none" not in found["pixel accuracy"].protocol


def test_one_side_is_enough_for_a_crop():
    x, y = scenes(8)
    segmenter = calco.Segmenter(width=4, levels=1, crop=(8,), training=FAST | {"steps": 1}).fit(x, y)
    shapes = {images.shape for images in segmenter.model_._augmentation[0](torch.zeros(2, 1, 20, 17), torch.zeros(2, 20, 17))}
    assert shapes == {(2, 1, 8, 8), (2, 8, 8)}
    for crop in ((1, 2, 3), (0,), (8, -1)):
        with pytest.raises(RequestError, match=r"crop is .* or one side for both"):
            calco.Segmenter(crop=crop).fit(x, y)
    with pytest.raises(RequestError, match="crop is of images"):
        calco.Segmenter(crop=(8,)).fit(*scenes(4, (40,)))


@pytest.fixture(scope="module")
def encoder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("encoder") / "run"
    x = scenes(16, (20, 20))[0]
    calco.Autoencoder(latent=4, net="conv", width=8, depth=1, training={"steps": 5, "batch_size": 8}).fit(x, out=folder)
    return folder


@pytest.mark.parametrize("use", ["fine_tuned", "frozen", "random"])
def test_a_trunk_that_begins_as_the_encoder_of_a_run(encoder, tmp_path, use):
    kept = tmp_path / "encoder"
    shutil.copytree(encoder, kept)
    theirs = load(kept).model_.encoder.body[0].weight
    x, y = scenes()
    options = {"blocks": 1, "encoder": str(kept), "encoder_use": use}
    still = calco.Segmenter(**options, training=FAST | {"steps": 1, "lr": 1e-9, "weight_decay": 0.0}).fit(x, y)
    assert torch.allclose(still.model_.net.trunk.steps[0][0].weight, theirs, atol=1e-6) == (use != "random")
    moved = calco.Segmenter(**options, training=FAST).fit(x, y, out=tmp_path / "run")
    same = torch.equal(moved.model_.net.trunk.steps[0][0].weight, theirs)
    assert same == (use == "frozen")
    shutil.rmtree(kept)  # what it was made of may go
    again = load(tmp_path / "run")
    assert np.array_equal(again.segment(x), moved.segment(x))


def test_features_of_views_are_a_trunk_too(tmp_path):
    x, y = scenes(8)
    calco.Contrastive(4, width=8, training={"steps": 2, "batch_size": 8}).fit(x, out=tmp_path / "run")
    theirs = load(tmp_path / "run").model_.encoder[0].body[0].weight
    held = calco.Segmenter(encoder=str(tmp_path / "run"), blocks=1, encoder_use="frozen", training=FAST | {"steps": 1}).fit(
        x, y
    )
    assert torch.equal(held.model_.net.trunk.steps[0][0].weight, theirs)


def test_impossible_requests_are_named(encoder, tmp_path):
    x, y = scenes(8)
    with pytest.raises(RequestError, match="learns from masks"):
        calco.Segmenter().fit(x)
    with pytest.raises(RequestError, match="max_unpooling does not go with fcn8s"):
        calco.Segmenter("fcn8s", upsampling="max_unpooling", levels=3).fit(x, y)
    with pytest.raises(RequestError, match="needs 3 levels or more"):
        calco.Segmenter("fcn8s", levels=2).fit(x, y)
    with pytest.raises(RequestError, match="kernel is 4; it must be odd"):
        calco.Segmenter(kernel=4).fit(x, y)
    with pytest.raises(RequestError, match="3 class weights for 2 classes"):
        calco.Segmenter(class_weights=(1.0, 2.0, 3.0)).fit(x, y)
    with pytest.raises(RequestError, match="not both"):
        calco.Segmenter(class_weights=(1.0, 2.0), balance=1.0).fit(x, y)
    with pytest.raises(RequestError, match="is for images of 1 channels"):
        calco.Segmenter(encoder=str(encoder)).fit(np.repeat(x[..., None], 3, -1), y)
    with pytest.raises(RequestError, match="not a run folder"):
        calco.Segmenter(encoder=str(tmp_path)).fit(x, y)
    with pytest.raises(RequestError, match="leave contrast at 0"):
        calco.Segmenter(encoder=str(encoder), contrast=9).fit(x, y)
    flat = tmp_path / "flat"
    calco.Autoencoder(latent=2, net="mlp", width=8, training={"steps": 2}).fit(x, out=flat)
    with pytest.raises(RequestError, match="no convolutional encoder"):
        calco.Segmenter(encoder=str(flat)).fit(x, y)


def test_coarser_scores_have_a_loss_of_their_own():
    class Two(torch.nn.Module):
        def forward(self, x):
            return [torch.cat((x, -x), 1), torch.cat((-x, x), 1)[..., ::2, ::2]]

    x, mask = torch.ones(1, 1, 4, 4), torch.zeros(1, 4, 4, dtype=torch.int64)
    losses = [float(next(SegmenterModel(Two(), 2, deep=deep).turns(calco.Batch(x, mask))).loss) for deep in (0.0, 0.5)]
    right, wrong = np.log1p(np.exp(-2)), np.log1p(np.exp(2))
    assert losses == pytest.approx([right, right + 0.5 * wrong])
