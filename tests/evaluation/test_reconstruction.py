"""PSNR and SSIM against closed forms, and beside those of PCA."""

from typing import Any

import numpy as np
import pytest
import torch

import calco
from calco.data import open_data
from calco.evaluation import EvalContext
from calco.evaluation.reconstruction import psnr, reconstruction_figures, ssim

SHORT = {"steps": 5, "batch_size": 16, "lr_warmup": 0}


def test_psnr_counts_decibels_below_the_range():
    x = torch.rand(3, 1, 12, 12)
    again = x + torch.tensor([0.1, 0.01, 0.5])[:, None, None, None]
    torch.testing.assert_close(psnr(x, again), torch.tensor([20.0, 40.0, 6.0206]), rtol=1e-3, atol=0)


def test_similarity_of_even_images_is_that_of_their_means():
    x, again = torch.full((2, 3, 16, 14), 0.6), torch.full((2, 3, 16, 14), 0.3)
    expected = (2 * 0.6 * 0.3 + 0.01**2) / (0.6**2 + 0.3**2 + 0.01**2)
    torch.testing.assert_close(ssim(x, again), torch.full((2,), expected), rtol=1e-3, atol=0)
    y = torch.rand(1, 1, 20, 20)
    assert float(ssim(y, y)) == pytest.approx(1)
    assert ssim(y, y.flip(3)).shape == (1,)


def test_figures_are_means_over_images_and_pca_is_beside_them():
    rng = np.random.default_rng(0)
    basis, codes = rng.random((3, 12 * 13)), rng.random((700, 3))
    x = (codes @ basis / 3).reshape(700, 12, 13).astype(np.float32)
    train, test = open_data(x[:500]), open_data(x[500:])
    estimator = calco.Autoencoder(latent=3, width=4, training=SHORT).fit(train)
    figures: dict[str, Any] = {f.name: f for f in reconstruction_figures(EvalContext(estimator, test, train))}
    assert list(figures) == ["reconstruction error", "reconstruction PSNR", "reconstruction SSIM"]
    low, high = x[:500].min(), x[:500].max()
    assert (low, high) != (0, 1)
    again = estimator.reconstruct_tensor(test)
    seen = estimator.schema_.encode(x[500:])
    values = psnr(seen, again)
    assert figures["reconstruction PSNR"].value == pytest.approx(float(values.mean()), rel=1e-5)
    assert figures["reconstruction PSNR"].error == pytest.approx(float(values.std(correction=0)) / 200**0.5, rel=1e-4)
    # three components hold these data
    assert figures["reconstruction error"].baseline < 1e-9
    assert figures["reconstruction SSIM"].baseline == pytest.approx(1, abs=1e-4)
    assert figures["reconstruction SSIM"].value < 0.99


def test_images_smaller_than_its_window_have_no_similarity():
    estimator = calco.Autoencoder(latent=2, width=4, training=SHORT).fit("digits")
    names = [f.name for f in reconstruction_figures(EvalContext(estimator, open_data("digits:test"), open_data("digits")))]
    assert names == ["reconstruction error", "reconstruction PSNR"]
