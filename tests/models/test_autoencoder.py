"""The mathematics of autoencoders against closed forms."""

import numpy as np
import pandas as pd
import pytest
import torch
from sklearn.decomposition import PCA
from torch import nn

import calco
from calco.cli import app
from calco.contract import Batch
from calco.errors import RequestError
from calco.maths import noise
from calco.models.autoencoder import AutoencoderModel, jacobian_norm


@pytest.mark.usefixtures("float64")
def test_the_contractive_penalty_is_an_unbiased_jacobian_norm():
    net = nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))
    x = torch.randn(2, 4)
    exact = torch.stack([torch.autograd.functional.jacobian(net, one).square().sum() for one in x]).mean()
    many = x.repeat(40_000, 1).requires_grad_()
    assert torch.allclose(jacobian_norm(many, net(many)), exact, rtol=0.02)


@pytest.mark.usefixtures("float64")
def test_the_contractive_penalty_has_the_right_gradient():
    torch.manual_seed(1)
    net, x = nn.Sequential(nn.Linear(3, 4), nn.Tanh(), nn.Linear(4, 2)), torch.randn(5, 3)

    def penalty(weight):
        inputs = x.clone().requires_grad_()
        with noise.share(0):
            z = torch.func.functional_call(net, {"0.weight": weight}, inputs)
            return jacobian_norm(inputs, z)

    assert torch.autograd.gradcheck(penalty, net[0].weight.detach().clone().requires_grad_())


def test_masked_squares_alone_count():
    model = AutoencoderModel(nn.Identity(), nn.Identity(), 50, mask=0.4, patch=4)
    x = torch.rand(300, 2, 10, 11, dtype=torch.float64) + 1
    seen, weight = model.corrupt(x)
    hidden = seen == 0
    assert torch.equal(seen[~hidden], x[~hidden])
    assert torch.equal(hidden[:, 0], hidden[:, 1])
    assert torch.equal(hidden[:, :, 0:4, 8:11], hidden[:, :, :1, 8:9].expand(-1, -1, 4, 3))
    assert hidden.double().mean().item() == pytest.approx(0.4, abs=0.03)
    with noise.share(0, 1):
        (turn,) = model.turns(Batch(x))
    with noise.share(0, 1):
        hidden = model.corrupt(x)[0] == 0
    # The identity gives 0 for what is hidden, and pays for that alone.
    assert turn.loss.item() == pytest.approx((x**2 * hidden).mean().item() / 0.4)
    assert isinstance(weight, torch.Tensor)


def test_corruption_is_what_was_asked_for():
    x = torch.full((2000, 50), 0.5)
    model = AutoencoderModel(nn.Identity(), nn.Identity(), 50, noise=0.2)
    assert (model.corrupt(x)[0] - x).std().item() == pytest.approx(0.2, rel=0.02)
    model = AutoencoderModel(nn.Identity(), nn.Identity(), 50, mask=0.3)
    assert (model.corrupt(x)[0] == 0).float().mean().item() == pytest.approx(0.3, abs=0.01)
    # The target is the clean input: the identity pays for every masked value.
    (turn,) = model.turns(Batch(x))
    assert turn.loss.item() == pytest.approx(0.3 * 0.25, rel=0.05)
    assert model.held_out(Batch(x)).item() == 0


def test_terms_add_up():
    model = AutoencoderModel(nn.Linear(4, 3), nn.Linear(3, 4), 3, sparsity=0.5, contraction=0.25)
    (turn,) = model.turns(Batch(torch.randn(6, 4)))
    expected = turn.terms["error"] + 0.5 * turn.terms["activity"] + 0.25 * turn.terms["jacobian"]
    assert torch.allclose(turn.loss, expected)


@pytest.mark.usefixtures("float64")
def test_clipped_outputs_pay_the_square_inside_and_the_touching_line_outside():
    out, target = torch.tensor([[-3.0, -3.0, 0.4, 2.0, 2.0]]), torch.tensor([[0.0, 0.7, 0.1, 1.0, 0.2]])
    codes = out.clone().requires_grad_()

    class Given(nn.Module):
        def forward(self, x):
            return codes

    model = AutoencoderModel(Given(), nn.Identity(), 5, bounded=True)
    (turn,) = model.turns(Batch(target))
    turn.loss.backward()
    clipped = out.clamp(0, 1)
    assert torch.allclose(turn.terms["error"], (clipped - target).square().mean())
    assert torch.allclose(model.held_out(Batch(target)), turn.terms["error"])
    # The slope is that of the square at the clip's edge: nothing where the target lies there, else back into the range.
    assert codes.grad is not None
    assert torch.allclose(codes.grad, 2 * (clipped - target) / 5)
    # Against the line by hand: (0 - 0.7)^2 - 2 * 0.7 * -3 and (1 - 0.2)^2 + 2 * 0.8 * (2 - 1).
    by_hand = torch.tensor([0.0, 0.49 + 4.2, 0.09, 0.0, 0.64 + 1.6]).mean()
    assert torch.allclose(turn.loss, by_hand)


def mixed(n=600):
    rng = np.random.default_rng(0)
    return rng.normal(size=(n, 2)) @ rng.normal(size=(2, 8)) + 0.1 * rng.normal(size=(n, 8))


def test_it_reaches_pca_where_the_data_are_linear():
    x = mixed()
    estimator = calco.Autoencoder(latent=2, net="mlp", width=32, training={"steps": 800, "lr": 5e-3}).fit(x)
    scaled = (x - x.mean(0)) / x.std(0)
    pca = PCA(2).fit(scaled)
    best = ((pca.inverse_transform(pca.transform(scaled)) - scaled) ** 2).mean()
    again = (estimator.reconstruct(x) - x.mean(0)) / x.std(0)
    assert ((again - scaled) ** 2).mean() < 1.5 * best


@pytest.mark.parametrize("option", [{"sparsity": 1.0}, {"contraction": 1.0}])
def test_each_penalty_lowers_what_it_penalises(option):
    settings = {"steps": 200, "lr": 5e-3, "weight_decay": 0.01}
    plain, held = (calco.Autoencoder(latent=4, net="mlp", width=16, training=settings, **o).fit(mixed()) for o in ({}, option))

    def size(estimator):
        if "sparsity" in option:
            return np.abs(estimator.encode(mixed())).mean()
        x = estimator.schema_.encode(mixed()).requires_grad_()
        return jacobian_norm(x, estimator.model_.encode(x)).item()

    assert size(held) < 0.5 * size(plain)


def test_codes_drawn_from_the_fitted_density_make_better_samples():
    x = mixed() + 20
    estimator = calco.Autoencoder(latent=2, net="mlp", width=32, training={"steps": 400, "lr": 5e-3}).fit(x)
    true = np.cov(x.T)
    fitted, normal = (np.cov(estimator.sample(4000, way=way).T) for way in ("fitted", "normal"))
    assert np.linalg.norm(fitted - true) < 0.25 * np.linalg.norm(true)
    assert np.linalg.norm(fitted - true) < np.linalg.norm(normal - true)


def test_impossible_options_are_named():
    with pytest.raises(RequestError, match="below 1"):
        calco.Autoencoder(mask=1.0).fit(mixed())
    for wrong in ({"patch": 4}, {"patch": 4, "mask": 0.5}):
        with pytest.raises(RequestError, match="Patches are masked in images"):
            calco.Autoencoder(**wrong).fit(mixed())
    with pytest.raises(RequestError, match="noise is -1"):
        calco.Autoencoder(noise=-1.0).fit(mixed())


def test_what_is_odd_is_kept_badly_where_it_is_odd(tmp_path, capsys):
    moments = np.arange(400)
    waves = np.stack((np.sin(moments / 4), np.cos(moments / 4)), 1)
    model = calco.Autoencoder(3, width=32, training={"steps": 500, "lr": 3e-3})
    model.fit(calco.series(pd.DataFrame(waves, columns=["a", "b"]), window=16), out=tmp_path / "run")
    odd = waves.copy()
    odd[200, 1] += 3
    pd.DataFrame(odd, columns=["a", "b"]).to_csv(tmp_path / "odd.csv", index=False)
    errors = model.errors(calco.series(pd.DataFrame(odd, columns=["a", "b"]), window=16))
    assert errors.shape == (385, 16)
    windows = errors.mean(1)
    assert windows[185:201].min() > 2 * np.delete(windows, range(185, 201)).max()
    assert [int(errors[start].argmax()) for start in range(186, 200)] == [200 - start for start in range(186, 200)]
    command = ["score", str(tmp_path / "run"), str(tmp_path / "odd.csv"), "--errors", "--out", str(tmp_path / "errors.csv")]
    app(command, result_action="return_value")
    written = pd.read_csv(tmp_path / "errors.csv")
    assert list(written)[:4] == ["file", "start", "error", "moment 0"]
    assert written["start"].tolist() == list(range(385))
    assert np.allclose(written.iloc[:, 2:].to_numpy(), np.c_[windows, errors], rtol=1e-4)
    assert "squared error" in capsys.readouterr().out
    assert model.errors(calco.series(pd.DataFrame(waves[:20], columns=["a", "b"]), window=16)).shape == (5, 16)
    vectors = np.random.default_rng(0).normal(size=(60, 3))
    assert calco.Autoencoder(2, width=8, training={"steps": 2}).fit(vectors).errors(vectors).shape == (60,)
