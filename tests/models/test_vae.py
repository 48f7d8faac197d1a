"""The mathematics of the VAE against closed forms and quadrature."""

import math

import numpy as np
import pytest
import torch
from torch import nn

import calco
from calco.contract import Batch
from calco.errors import RequestError
from calco.maths.divergences import normal_kl, normal_log_prob
from calco.maths.likelihoods import Bernoulli, Gaussian
from calco.models.vae import VAEModel, with_label
from calco.nets.priors import FlowPrior, NormalPrior, PseudoInputs, VampPrior, posterior

pytestmark = pytest.mark.usefixtures("float64")


def linear_gaussian(scale=0.5, exact=True):
    """x = W z + noise with orthogonal columns: the posterior is a diagonal Gaussian, the marginal is known."""
    w = torch.tensor([[1.2, 0.0], [0.0, -0.7], [0.5, 0.0], [0.0, 2.0]])
    decoder = nn.Linear(2, 4)
    decoder.weight.data, decoder.bias.data = w, torch.tensor([0.1, -0.2, 0.3, 0.0])
    precision = 1 + (w**2).sum(0) / scale**2
    encoder = nn.Linear(4, 4)
    gain = (w / scale**2 / precision).T
    encoder.weight.data = torch.cat((gain, torch.zeros(2, 4)))
    encoder.bias.data = torch.cat((-gain @ decoder.bias.data, -precision.log()))
    if not exact:
        encoder.weight.data *= 0.8
        encoder.bias.data += 0.3
    marginal = torch.distributions.MultivariateNormal(decoder.bias.data, w @ w.T + scale**2 * torch.eye(4))
    return VAEModel(encoder, decoder, NormalPrior(), Gaussian((4,), scale), 2), marginal


def test_with_the_exact_posterior_one_sample_gives_the_marginal():
    model, marginal = linear_gaussian()
    x = marginal.sample((5,))
    model.samples = 3
    found = model.log_prob(x)
    assert torch.allclose(found.value, marginal.log_prob(x))
    assert torch.allclose(found.error, torch.zeros(5), atol=1e-7)
    assert torch.allclose(model.held_out(Batch(x)), -marginal.log_prob(x).mean())


def test_with_another_posterior_the_bound_rises_to_the_marginal_and_its_error_covers():
    model, marginal = linear_gaussian(exact=False)
    x = marginal.sample((200,))
    truth, values = marginal.log_prob(x), {}
    for samples in (1, 10, 2000):
        model.samples = samples
        with torch.no_grad():
            values[samples] = model.log_prob(x)
    means = [float((values[k].value - truth).mean()) for k in (1, 10, 2000)]
    assert means[0] < means[1] < means[2] < 0.02
    assert means[2] > -0.05
    inside = (values[2000].value - truth).abs() < 3 * values[2000].error
    assert inside.double().mean() > 0.9


def test_the_estimate_does_not_depend_on_how_it_is_cut(monkeypatch):
    model, marginal = linear_gaussian(exact=False)
    model.samples = 2500
    x = marginal.sample((3,)).repeat(400, 1)  # so many at once that samples come in several parts
    spread = model.log_prob(x).value.reshape(400, 3)
    assert torch.allclose(spread.mean(0), marginal.log_prob(x[:3]), atol=0.02)


@pytest.mark.parametrize("prior", ["flow", "vamp"])
def test_learned_priors_against_quadrature(prior):
    """One code unit, a crooked decoder: log p(x) by a fine grid over z."""
    decoder = nn.Sequential(nn.Linear(1, 6), nn.Tanh(), nn.Linear(6, 3))
    encoder = nn.Sequential(nn.Linear(3, 2))
    if prior == "vamp":
        made, pseudo = VampPrior(), PseudoInputs(4, (3,))
    else:
        made, pseudo = FlowPrior(2, layers=2, hidden=8), None
        decoder, encoder = nn.Sequential(nn.Linear(2, 6), nn.Tanh(), nn.Linear(6, 3)), nn.Linear(3, 4)
        for p in made.parameters():
            nn.init.normal_(p, std=0.3)
        encoder.bias.data[2:] = 1.0  # a posterior wider than the prior: no draw weighs much more than the others
    latent = 1 if prior == "vamp" else 2
    model = VAEModel(encoder, decoder, made, Bernoulli((3,)), latent, pseudo=pseudo, samples=20_000)
    axis = torch.linspace(-9, 9, 20_001 if latent == 1 else 400)
    z = axis[:, None] if latent == 1 else torch.cartesian_prod(axis, axis)
    cell = float(axis[1] - axis[0]) ** latent
    log_prior = model._log_prior(z)
    assert log_prior.exp().sum().item() * cell == pytest.approx(1, abs=5e-3)
    x = torch.tensor([[0.0, 1, 1], [1, 0, 0]])
    grid = model.likelihood.log_prob(decoder(z)[:, None], x)
    truth = torch.logsumexp(grid + log_prior[:, None], 0) + math.log(cell)
    found = model.log_prob(x)
    assert (found.error < 0.02).all()
    assert torch.allclose(found.value, truth, atol=0.03)


def test_the_vamp_prior_is_the_mixture_of_posteriors():
    out, z = torch.randn(5, 6), torch.randn(7, 3)
    mean, log_var = posterior(out)
    normals = torch.distributions.Independent(torch.distributions.Normal(mean, torch.exp(0.5 * log_var)), 1)
    mixture = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(torch.ones(5)), normals)
    assert torch.allclose(VampPrior()(z, out), mixture.log_prob(z))
    draws = VampPrior().sample(torch.randn(100_000, 3), out)
    assert torch.allclose(draws.mean(0), mixture.mean, atol=0.05)
    assert torch.allclose(draws.var(0), mixture.variance, rtol=0.05)


@pytest.mark.parametrize("make", [NormalPrior, lambda: FlowPrior(3, layers=3, hidden=8)])
def test_priors_draw_what_they_say(make):
    prior = make()
    for p in prior.parameters():
        nn.init.normal_(p, std=0.2)
    u = torch.randn(50, 3)
    z = prior.sample(u, None)
    jacobians = torch.stack([torch.autograd.functional.jacobian(lambda v: prior.sample(v[None], None)[0], one) for one in u])
    expected = normal_log_prob(u).sum(1) - torch.linalg.slogdet(jacobians).logabsdet
    assert torch.allclose(prior(z, None), expected)


def loss_of(model, x):
    (turn,) = model.turns(Batch(x))
    return turn


def test_the_evidence_bound_is_reconstruction_and_divergence():
    model, marginal = linear_gaussian(exact=False)
    x = marginal.sample((20_000,))
    turn = loss_of(model, x)
    mean, log_var = posterior(model.encoder(x))
    kl = normal_kl(mean, log_var).sum(1).mean()
    assert torch.allclose(turn.terms["kl"], kl)
    # E_q of the squared error is known: (W m + b - x)^2 plus W diag(v) W'
    assert isinstance(model.decoder, nn.Linear)
    w, s2 = model.decoder.weight, 0.25
    expected = 0.5 * ((model.decoder(mean) - x) ** 2 + (log_var.exp() @ (w**2).T)) / s2 + 0.5 * math.log(2 * math.pi * s2)
    assert torch.allclose(turn.terms["reconstruction"], expected.sum(1).mean(), rtol=0.01)
    assert torch.allclose(turn.loss, turn.terms["bound"])


def test_beta_warmup_and_free_bits_weigh_the_divergence():
    model, marginal = linear_gaussian(exact=False)
    x = marginal.sample((50,))
    model.beta, model.warmup = 4.0, 0.5
    for step, weight in ((0, 0.0), (25, 2.0), (50, 4.0), (99, 4.0)):
        model.at_step(step, 100)
        turn = loss_of(model, x)
        assert torch.allclose(turn.loss, turn.terms["reconstruction"] + weight * turn.terms["kl"])
    model.beta, model.warmup, model.free_bits = 1.0, 0.0, 100.0
    model.at_step(1, 2)
    turn = loss_of(model, x)
    assert torch.allclose(turn.loss, turn.terms["reconstruction"] + 200.0)


def test_importance_weighted_gradients_are_unbiased():
    """The doubly reparametrised gradient against that of the bound itself, both averaged over many draws."""
    model, marginal = linear_gaussian(exact=False)
    x = marginal.sample((4,)).repeat(30_000, 1)
    model.particles = 3
    model.at_step(1, 1)
    turn = loss_of(model, x)
    found = torch.autograd.grad(turn.loss, list(model.parameters()))
    mean, log_var = (part[:, None] for part in posterior(model.encoder(x)))
    z = mean + torch.exp(0.5 * log_var) * torch.randn(len(x), 3, 2)
    log_w = model._log_weights(Batch(x), z, mean, log_var)
    bound = -(torch.logsumexp(log_w, 1) - math.log(3)).mean()
    expected = torch.autograd.grad(bound, list(model.parameters()))
    assert torch.allclose(turn.terms["bound"], bound, atol=0.02)
    for one, two in zip(found, expected, strict=True):
        assert torch.allclose(one, two, atol=0.03, rtol=0.05)


def test_particles_come_late():
    model, marginal = linear_gaussian()
    model.particles, model.particles_from = 5, 0.5
    model.at_step(10, 100)
    assert "kl" in loss_of(model, marginal.sample((3,))).terms
    model.at_step(60, 100)
    assert "kl" not in loss_of(model, marginal.sample((3,))).terms


def test_a_label_is_appended_to_vectors_and_spread_over_images():
    y = torch.tensor([2, 0])
    assert with_label(torch.zeros(2, 1), y, 3).tolist() == [[0, 0, 0, 1], [0, 1, 0, 0]]
    image = with_label(torch.zeros(2, 1, 2, 2), y, 3)
    assert image.shape == (2, 4, 2, 2)
    assert image[0, 3].min() == 1
    assert image[1, 1].min() == 1
    assert image.sum() == 8


def test_a_conditional_model_learns_what_the_label_says():
    torch.set_default_dtype(torch.float32)
    rng = np.random.default_rng(0)
    y = rng.integers(0, 2, 400)
    x = rng.normal(size=(400, 2)) * 0.3 + np.where(y, 3.0, -3.0)[:, None]
    vae = calco.VAE(latent=1, net="mlp", width=32, conditional=True, training={"steps": 300, "lr": 5e-3}).fit(x, y)
    assert vae.sample(50, label=1).mean() > 2
    assert vae.sample(50, label="0").mean() < -2
    right, wrong = vae.log_prob(x, y).mean(), vae.log_prob(x, 1 - y).mean()
    assert right > wrong + 5
    with pytest.raises(RequestError, match="needs labels"):
        calco.VAE(conditional=True, training={"steps": 1}).fit(x)


def test_the_density_is_that_of_the_raw_data():
    """A Gaussian in odd units: the trained bound comes near the true entropy, in those units."""
    torch.set_default_dtype(torch.float32)
    x = np.random.default_rng(0).normal(1000, 50, size=(2000, 1))
    vae = calco.VAE(latent=1, net="mlp", width=16, training={"steps": 400, "lr": 5e-3}).fit(x)
    truth = -0.5 * math.log(2 * math.pi * math.e * 50**2)
    assert vae.score(x) == pytest.approx(truth, abs=0.08)
    draws = vae.sample(3000)
    assert draws.mean() == pytest.approx(1000, abs=8)
    assert draws.std() == pytest.approx(50, rel=0.15)
