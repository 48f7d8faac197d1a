"""Diffusion: its net, its training target against a closed form, sampling, and what is told of an example."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import calco
from calco.contract import Batch
from calco.errors import RequestError
from calco.maths import noise
from calco.maths.coordinates import Components, Innovations, Plain
from calco.models import diffusion
from calco.models.diffusion import DiffusionModel, strengths
from calco.nets import denoising
from calco.nets.denoising import Denoiser


class Exact(nn.Module):
    """What the net must give for data N(mean, deviation^2), by the formula of the expected example."""

    def __init__(self, mean, deviation, spread=1.0):
        super().__init__()
        self.mean, self.deviation, self.spread = mean, deviation, spread
        self.unused = nn.Parameter(torch.zeros((), dtype=torch.float64))

    def forward(self, x, level, given, known, y=None):
        s = (4 * level).exp().view(-1, *[1] * (x.ndim - 1))
        whole = (s**2 + self.spread**2).sqrt()
        noisy = x * whole
        clean = (self.deviation**2 * noisy + s**2 * self.mean) / (self.deviation**2 + s**2)
        return (clean - (self.spread / whole) ** 2 * noisy) * whole / (s * self.spread)


def test_the_exact_net_samples_the_data(float64):
    torch.manual_seed(0)
    model = DiffusionModel(Exact(0.7, 0.3), (2,), stages=40)
    x = model.sample(20_000, "flow")
    # Noise about 0 in place of 0.7 leaves 0.7 x 0.3 / 24 of the way.
    assert x.mean().item() == pytest.approx(0.7 - 0.7 * 0.3 / 24, abs=0.005)
    assert x.std().item() == pytest.approx(0.3, abs=0.01)


def test_the_exact_net_has_the_least_loss(float64):
    torch.manual_seed(0)
    x = 0.7 + 0.3 * torch.randn(20_000, 2)
    losses = []
    for mean, deviation in ((0.7, 0.3), (0.7, 0.4), (0.7, 0.2), (0.6, 0.3), (0.8, 0.3)):
        torch.manual_seed(1)
        losses.append(DiffusionModel(Exact(mean, deviation), (2,)).losses(x, torch.zeros_like(x), None)[0].item())
    assert losses[0] == min(losses)


def test_levels_fall_from_noise_to_nothing():
    levels = strengths(24, 100)
    assert levels[0].item() == pytest.approx(30)
    assert strengths(24, 10)[0].item() == pytest.approx(24)
    assert levels[-1].item() == pytest.approx(0.002)
    assert (levels.diff() < 0).all()


@pytest.mark.parametrize("shape", [(3, 24), (28, 24), (2, 600), (300, 30), (5,), (1, 28, 28), (3, 13, 9)])
def test_pieces_are_cut_and_joined(shape):
    net = Denoiser(shape, width=16, depth=1, heads=2)
    x = torch.randn(4, *shape)
    assert torch.equal(net._joined(net._cut(x)), x)
    assert net(x, torch.zeros(4), x, x).shape == x.shape
    assert math.prod(net.grid) <= 128


@pytest.mark.parametrize("pieces", [1, 12])
def test_what_is_known_is_given_back_and_never_counts(pieces, monkeypatch):
    monkeypatch.setattr(denoising, "WHOLE", 256 // pieces)
    monkeypatch.setattr(denoising, "PART", 2)
    torch.manual_seed(0)
    model = calco.Diffusion(16, depth=1, told=0.9).build(infer(waves())).eval()
    model.begin([Batch(torch.randn(100, 2, 12).cumsum(2) / 12**0.5)])
    for p in model.parameters():
        nn.init.normal_(p, std=0.2)
    x = torch.randn(6, 2, 12)
    known = torch.zeros(6, 2, 12, dtype=torch.bool)
    known[:, :, :7] = True
    others = torch.where(known, x, torch.randn_like(x))
    with torch.no_grad():
        torch.manual_seed(7)
        found = model.complete(x, known)
        torch.manual_seed(7)
        other = model.complete(others, known)
    assert torch.equal(found[known], x[known])
    assert other.equal(found)  # what is not known is not looked at
    assert model.denoiser.tokens == pieces
    if pieces > 1:  # components are not settled by values
        assert model.losses(x, torch.ones_like(x), None)[0].item() == 0
    assert model.losses(x, known.float(), None)[0].item() > 0


def infer(source):
    from calco.data import infer_schema

    return infer_schema(source)


def waves(n=300, length=12, seed=0, actions=()):
    rng = np.random.default_rng(seed)
    phase, moments = rng.uniform(0, 2 * np.pi, (n, 1)), np.arange(length)
    x = np.stack((np.sin(phase + 0.5 * moments), np.cos(phase + 0.5 * moments)), 2)
    return calco.series(x, channels=("sine", "cosine"), actions=actions)


@pytest.mark.parametrize(
    ("shape", "gaps", "kind"),
    [
        ((12, 2), False, Components),
        ((256, 1), False, Components),
        ((129, 2), False, Innovations),
        ((257, 1), False, Plain),
        ((12, 2), True, Plain),
    ],
)
def test_coordinates_suit_the_net_and_are_learned(shape, gaps, kind, tmp_path):
    x = np.random.default_rng(0).normal(size=(600, *shape)).cumsum(1)
    if gaps:
        x[0, 0, 0] = np.nan
    model = calco.Diffusion(10, depth=1, training={"steps": 1}).fit(calco.series(x), out=tmp_path / "run")
    found = model.model_.coordinates
    assert type(found) is kind
    if kind is not Plain:
        assert found(model.schema_.encode(x)).std(0).sub(1).abs().max().item() < 0.1
        again = calco.load(tmp_path / "run").model_.coordinates
        assert again.root.equal(found.root)


def test_the_spectrum_is_that_of_values(float64):
    model = calco.Diffusion(16, depth=1, level_spread=0).build(infer(waves())).double().eval()
    torch.manual_seed(0)
    x, strength, nothing = torch.randn(200, 2, 12).cumsum(2), torch.full((200,), math.exp(-0.5)), torch.zeros(200, 2, 12)
    model.begin([Batch(x)])
    torch.manual_seed(1)
    _, terms = model.losses(x, nothing, None)
    torch.manual_seed(1)
    noise.normal(strength)  # of the level, which is always the same
    clean = model.coordinates(x)
    found = model.clean(clean + strength[0] * noise.normal(x), strength, nothing, nothing)
    wrong = model.coordinates.back(found) - model.coordinates.back(clean)
    weight = (strength[0] ** 2 + 1).sqrt() / strength[0]
    assert terms["spectrum"].item() == pytest.approx((weight * torch.fft.rfft(wrong, norm="ortho").abs()).mean().item())


def test_what_is_settled_is_seen_without_noise(float64):
    model = calco.Diffusion(16, depth=1).build(infer(waves())).double()
    model.coordinates = Innovations((2, 12))
    inputs = []
    model.denoiser.register_forward_pre_hook(lambda _, args: inputs.append(args[0]))
    x, known = torch.randn(5, 2, 12), torch.zeros(5, 2, 12)
    known[:, :, :7] = 1
    model.clean(x + 10 * torch.randn_like(x), torch.full((5,), 10.0), x * known, known)
    assert torch.equal(inputs[0][:, :, :7], x[:, :, :7])


def test_some_are_told_values_here_and_there():
    model = calco.Diffusion(16, depth=1, told=0.5).build(infer(waves()))
    torch.manual_seed(0)
    known = model.pattern(torch.zeros(4000, 2, 12))
    told = known[known.flatten(1).any(1)]
    scattered = (told[:, :, 1:] > told[:, :, :-1]).flatten(1).any(1)
    # Half of 24 values at random are hardly ever a past; of few or nearly all of them some are.
    assert 0.8 * diffusion.SCATTERED < scattered.float().mean().item() <= diffusion.SCATTERED
    assert 0.4 < told[scattered].mean().item() < 0.6


def test_patterns_are_pasts_and_what_is_chosen(monkeypatch):
    monkeypatch.setattr(diffusion, "SCATTERED", 0.0)
    model = calco.Diffusion(16, depth=1, told=0.5).build(infer(waves(actions=("cosine",))))
    torch.manual_seed(0)
    known = model.pattern(torch.zeros(4000, 2, 12))
    told = known.flatten(1).any(1)
    assert told.float().mean().item() == pytest.approx(0.5, abs=0.05)
    assert (known[:, :, 1:] <= known[:, :, :-1]).all()  # what is known begins at the beginning
    assert (known[:, 1] >= known[:, 0]).all()  # actions are known as far, or further
    assert (known[:, 0] < 1).any(1).all()
    lengths = known[told][:, 0].sum(1)
    assert lengths.unique().tolist() == list(range(12))
    throughout = known[told][:, 1].all(1)
    assert 0.5 < throughout.float().mean().item() < 0.65


@pytest.mark.parametrize(("pieces", "width", "steps"), [(1, 96, 500), (12, 32, 300)])
def test_it_learns_waves_and_goes_on_with_them(pieces, width, steps, monkeypatch):
    monkeypatch.setattr(denoising, "WHOLE", 256 // pieces)
    monkeypatch.setattr(denoising, "PART", 2)
    training = {"steps": steps, "lr": 3e-3, "batch_size": 64, "ema": 0.99}
    model = calco.Diffusion(width, depth=2, told=0.5, training=training).fit(waves())
    assert model.model_.denoiser.tokens == pieces
    made = model.sample(200)
    radius = np.sqrt((made**2).sum(2))
    assert abs(radius - 1).mean() < 0.15
    past = waves(1, 6, seed=5).take(np.arange(1)).x[0]
    future = model.simulate(past, 6, paths=50, seed=1)
    assert future.shape == (50, 6, 2)
    truth = waves(1, 12, seed=5).take(np.arange(1)).x[0, 6:]
    assert abs(np.median(future, 0) - truth).mean() < 0.3  # knowing nothing it would be .9
    assert np.array_equal(model.sample(1, history=past)[0, :6].round(4), past.round(4))


def test_impossible_nets_are_refused():
    with pytest.raises(RequestError, match="multiple of the 4 heads"):
        calco.Diffusion(30).fit("digits")
    with pytest.raises(RequestError, match="needs labels"):
        calco.Diffusion(16, conditional=True).fit(waves())


def test_held_out_examples_are_measured_without_hints():
    model = calco.Diffusion(16, depth=1, told=0.9).build(infer(waves()))
    x = torch.randn(5, 2, 12)
    torch.manual_seed(0)
    held = model.held_out(Batch(x))
    torch.manual_seed(0)
    assert torch.equal(held, model.losses(x, torch.zeros_like(x), None)[0])
