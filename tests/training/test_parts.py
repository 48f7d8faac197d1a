"""A step in parts is the step of the whole batch, however labels, masks and missing values are spread over them."""

import numpy as np
import pandas as pd
import pytest
import torch
from torch import nn

import calco
from calco.contract import Batch, Part
from calco.maths import noise
from calco.models import families
from calco.models.segmenter import SegmenterModel
from tests.small import fit, small

FAMILIES = families()
# Adam would blow up the rounding of gradients that are all but zero.
STEPS = {"steps": 3, "batch_size": 12, "optimizer": "sgd", "momentum": 0.0, "lr": 0.1, "lr_warmup": 0, "ema": 0.0, "clip": 1.0}
STEPS |= {"precision": "fp32", "device": "cpu", "keep": "last", "validation": 0.0}


def images(n=30):
    return np.random.default_rng(0).integers(0, 256, (n, 6, 5), dtype=np.uint8)


def vectors(n=30):
    return np.random.default_rng(1).normal(size=(n, 4))


def people(n=30):
    """Missing values in runs, so that parts hold more or fewer of them."""
    rng = np.random.default_rng(0)
    wage = np.where(np.arange(n) % 10 < 4, np.nan, rng.normal(size=n))
    return pd.DataFrame({"wage": wage, "age": rng.normal(size=n), "job": rng.choice(["nurse", "smith", "cook"], n)})


def of(family, data, **options):
    """How one is fitted given its settings, without labels."""
    return lambda training: small(FAMILIES[family], training=training, **options).fit(data())


def partly(family, data, **options):
    """The same where only some have labels."""

    def fitted(training):
        x = data()
        y = np.arange(6) % 3 if family == "classifier" else np.arange(6.0)
        return small(FAMILIES[family], training=training, **options).fit(x[:6], y, unlabelled=x[6:])

    return fitted


CASES = {
    "autoencoder dropout": of("autoencoder", images, dropout=0.3, mask=0.2, noise=0.1, sparsity=0.1),
    "autoencoder patches": of("autoencoder", images, mask=0.4, patch=2, contraction=0.1),
    "autoencoder gaps": of("autoencoder", people, dropout=0.3),
    "vae free bits": of("vae", vectors, free_bits=0.2, dropout=0.2),
    "vae free bits of a flow": of("vae", vectors, free_bits=0.02, prior="flow", flow_layers=2, flow_width=8),
    "vae particles": of("vae", people, particles=3, particles_from=0.0, prior="vamp", pseudo_inputs=4),
    "diffusion": of("diffusion", people, told=0.5, dropout=0.3),
    "autoregressive": of("autoregressive", people, dropout=0.3),
    "gan of rows": of("gan", people),
    "gan wasserstein": of("gan", images, game="wasserstein", penalty_every=1),
    "lapgan hinge": of("lapgan", images, penalty_every=2, game="hinge"),
    "rbm": of("rbm", images, method="cd"),
    "rbm gaussian": of("rbm", vectors),
    "dbm": of("dbm", images),
    "dbn": of("dbn", images),
    "classifier views": partly("classifier", images, consistency="views", dropout=0.2, flip="both"),
    "classifier adversarial": partly("classifier", vectors, consistency="adversarial", dropout=0.2),
    "regressor adversarial": partly("regressor", vectors, consistency="adversarial"),
    "regressor recurrent": lambda training: small(FAMILIES["regressor"], net="recurrent", dropout=0.3, training=training).fit(
        calco.series(np.random.default_rng(0).normal(size=(30, 8, 2)), np.arange(30.0))
    ),
}


@pytest.mark.parametrize("case", CASES)
def test_parts_give_the_step_of_the_whole_batch(case):
    whole, two, three = (CASES[case]({**STEPS, "accumulate": parts}) for parts in (1, 2, 3))
    assert not any("parts" in line.get("note", "") for line in two.history_)
    still = CASES[case]({**STEPS, "lr": 1e-12}).model_.state_dict()
    moved = 0.0
    for key, value in whole.model_.state_dict().items():
        if not key.startswith("codes"):  # the fitted mixture may order its components otherwise
            assert torch.allclose(value, two.model_.state_dict()[key], atol=2e-5), key
            assert torch.allclose(value, three.model_.state_dict()[key], atol=2e-5), key
            moved = max(moved, float((value - still[key]).abs().max()))
    assert moved > 2e-3  # far enough for a difference to show


@pytest.mark.parametrize("name", [name for name, cls in FAMILIES.items() if cls.model_class.whole_batch])
def test_where_parts_are_batches_of_their_own_the_run_says_so(name, tmp_path):
    run = fit(small(FAMILIES[name], training={**STEPS, "accumulate": 2}), images(), out=tmp_path / "run")
    told = [line["note"] for line in run.run_.history() if "note" in line]
    assert any("each of the 2 parts of 6 examples" in note for note in told)
    run.resume(images()) if name == "contrastive" else None
    assert [line["note"] for line in run.run_.history() if "note" in line] == told  # once
    alone = fit(small(FAMILIES[name], training=STEPS), images())
    assert not any("parts" in line.get("note", "") for line in alone.history_)


def test_spectral_normalisation_says_so_too():
    run = calco.GAN(3, width=8, spectral=True, training={**STEPS, "accumulate": 2}).fit(vectors())
    assert any("each of the 2 parts" in line.get("note", "") for line in run.history_)


class Scores(nn.Module):
    """A net without batch statistics."""

    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 3, 3, padding=1)

    def forward(self, x):
        scores = self.conv(x)
        return [scores, scores[..., ::2, ::2]]


@pytest.mark.parametrize("loss", ["cross_entropy", "focal"])
def test_masks_count_by_the_places_of_the_whole_batch(loss):
    rng = torch.Generator().manual_seed(0)
    x, mask = torch.rand(6, 1, 4, 4, generator=rng), torch.randint(0, 3, (6, 4, 4), generator=rng)
    mask[:2, 1:], mask[3] = -1, -1
    model = SegmenterModel(Scores(), 3, losses=(loss,), weights=torch.tensor([1.0, 2.0, 5.0]), deep=0.5)
    whole = next(iter(model.turns(Batch(x, mask)))).loss
    parts = [Batch(a, b) for a, b in zip(x.split(2), mask.split(2), strict=True)]
    shared = torch.stack([model.shared(part) for part in parts]).mean(0)
    losses = [next(iter(model.turns(Part.of(part, shared)))).loss for part in parts]
    assert torch.allclose(torch.stack(losses).mean(), whole)
    assert not torch.allclose(torch.stack([next(iter(model.turns(part))).loss for part in parts]).mean(), whole)


def test_views_of_a_part_are_those_of_its_place():
    from calco.nets.augment import Augmentation, Views

    x, mask = torch.rand(8, 3, 9, 7), torch.randint(0, 3, (8, 9, 7))
    for change in (Views(flip="both"), lambda x: Augmentation(flip="both", crop=(5, 5))(x, mask[: len(x)])[0]):
        with noise.share(7, 3):
            whole = change(x)
            again = change(x)
        assert not torch.equal(whole, again)
        parts = []
        for index in range(4):
            with noise.share(7, 3, index=index, count=4):
                parts.append(change(x[2 * index : 2 * index + 2]))
        assert torch.allclose(torch.cat(parts), whole, atol=1e-5)
