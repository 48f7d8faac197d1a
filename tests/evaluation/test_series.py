"""Scores of series: at their floor on data, away from it on what is none."""

import numpy as np
import pytest
import torch

import calco
from calco.evaluation.context import EvalContext
from calco.evaluation.series import (
    SCORES,
    autocorrelations,
    discriminative,
    marginals,
    over_runs,
    predictive,
    scaled,
    series_figures,
    spectra,
)


def paths(n, seed, smooth=0.9):
    """Autoregressive series in about [0, 1]: (n, 24, 8)."""
    rng = np.random.default_rng(seed)
    x = np.zeros((n, 24, 8))
    x[:, 0] = rng.normal(size=(n, 8))
    for t in range(1, 24):
        x[:, t] = smooth * x[:, t - 1] + (1 - smooth**2) ** 0.5 * rng.normal(size=(n, 8))
    x[:, :, 7] = np.roll(x[:, :, 0], 1, 1) + 0.1 * rng.normal(size=(n, 24))
    return torch.tensor((x + 4) / 8, dtype=torch.float32)


def test_data_are_not_told_from_data_and_noise_is():
    assert discriminative(paths(600, 0), paths(600, 1), steps=150) < 0.12
    assert discriminative(paths(600, 0), torch.rand(600, 24, 8), steps=350) > 0.3


def test_who_learns_from_data_predicts_better_than_who_learns_from_something_else():
    real, other = paths(400, 0), paths(400, 1)
    other[..., 7] = 0.9
    assert predictive(real, paths(400, 1), steps=300) < predictive(real, other, steps=300) - 0.05


def test_a_score_is_a_mean_with_its_error():
    found = over_runs(lambda real, made, seed: float(seed), None, None, 3)
    assert found.value == 1
    assert found.error == pytest.approx(1 / 3**0.5)
    assert over_runs(lambda real, made, seed: float(seed), None, None, 2).error == pytest.approx(0.5)
    assert over_runs(lambda real, made, seed: 2.0, None, None, 1).error is None


def test_channels_are_scaled_by_the_range_of_the_first_windows():
    first = torch.tensor([[[3.0, 5.0], [-2.0, -2.0]], [[4.0, 3.0], [-2.0, -1.0]]])  # (n, channels, length)
    one, other = scaled(first, first, first + 2)
    assert one.shape == (2, 2, 2)
    assert torch.equal(one[..., 0], torch.tensor([[0.0, 1.0], [0.5, 0.0]]))
    assert torch.equal(one[..., 1], torch.tensor([[0.0, 0.0], [0.0, 1.0]]))
    assert torch.equal(other, one + torch.tensor([1.0, 2.0]))


def test_autocorrelations_are_those_of_the_process():
    found = autocorrelations(paths(4000, 0)[..., :2], 4)
    assert torch.allclose(found, 0.9 ** torch.arange(1, 5.0)[:, None].expand(4, 2), atol=0.03)
    assert len(autocorrelations(torch.randn(3, 13, 2))) == 6  # half of the window, where nothing is said


def test_the_spectrum_of_a_wave_is_one_line():
    wave = torch.sin(2 * torch.pi * 3 * torch.arange(24.0) / 24)[None, :, None]
    found = spectra(wave)[:, 0]
    assert found.argmax() == 2  # the third frequency, the constant left out
    assert (found.sort().values[-1] - found.sort().values[-2]) > 6


def test_marginals_are_gaps_of_distributions():
    x = torch.rand(500, 24, 2)
    assert marginals(x, x).max() == 0
    assert marginals(x, x + 0.5)[0].item() == pytest.approx(0.5, abs=0.02)


def test_channels_are_scaled_by_the_first():
    one, other = scaled(torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[0.0, 2.0]]]), torch.tensor([[[1.0, 4.0]]]))
    assert one.flatten().tolist() == [0, 1]
    assert other.flatten().tolist() == [0.5, 2]


def test_a_model_of_series_has_these_figures(monkeypatch):
    monkeypatch.setattr("calco.evaluation.series.TELLING", 5)
    monkeypatch.setattr("calco.evaluation.series.PREDICTING", 5)
    x = paths(300, 0).numpy()
    model = calco.VAE(4, width=8, training={"steps": 20}).fit(calco.series(x[:200]))
    figures = {f.name: f for f in calco.evaluate(model, calco.series(x[200:]), calco.series(x[:200]))}
    for name in (
        "discriminative score",
        "predictive score",
        "autocorrelation distance",
        "spectrum distance",
        "marginal distance",
    ):
        assert np.isfinite(figures[name].value)
        assert np.isfinite(figures[name].baseline)
        assert "100 held-out windows" in figures[name].protocol
    assert {"reconstruction error", "log likelihood", "two-sample test", "Fréchet distance"} <= set(figures)


def test_a_single_channel_has_these_figures_too(monkeypatch):
    """The nets of the protocol have half as many units as channels, and see the others: of one there would be none."""
    monkeypatch.setattr("calco.evaluation.series.TELLING", 5)
    monkeypatch.setattr("calco.evaluation.series.PREDICTING", 5)
    x = paths(160, 0).numpy()[..., :1]
    model = calco.VAE(4, width=8, training={"steps": 5}).fit(calco.series(x[:100]))
    figures = {f.name: f for f in series_figures(EvalContext(model, calco.series(x[100:]), calco.series(x[:100])))}
    assert set(figures) == {name for name, *_ in SCORES}
    assert all(np.isfinite([f.value, f.baseline]).all() for f in figures.values())
    assert "predicted from its own past" in figures["predictive score"].protocol


def test_a_single_channel_is_told_from_others_and_predicted_from_its_past():
    """Each window stays at a level of its own; without its past the level is missed by .25 in the mean."""
    torch.manual_seed(0)
    real, other = (torch.rand(300, 1, 1).expand(300, 5, 1).contiguous() for _ in range(2))
    assert discriminative(real, other / 3, steps=150) > 0.25
    assert predictive(real, other, steps=300) < 0.17
