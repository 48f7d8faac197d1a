"""Nets: shapes for every size, gradients everywhere, one example's output its own."""

import pytest
import torch

from calco.errors import RequestError
from calco.nets.conv import ConvDecoder, ConvEncoder, ResidualBlock, halvings
from calco.nets.mixture import GaussianMixture
from calco.nets.mlp import MLP
from calco.nets.pairs import make_autoencoder_nets
from calco.nets.patches import PatchDecoder, PatchEncoder, grids

SIZES = [(1, 28, 28), (3, 32, 32), (1, 8, 8), (1, 1, 1), (2, 5, 9), (3, 33, 47), (4, 17, 100)]


@pytest.mark.parametrize("shape", SIZES)
@pytest.mark.parametrize("pair", [(ConvEncoder, ConvDecoder), (PatchEncoder, PatchDecoder)])
def test_conv_nets_take_any_size_and_learn_everywhere(shape, pair):
    encoder, decoder = pair[0](shape, 6, width=4), pair[1](6, shape, width=4)
    out = decoder(encoder(torch.randn(2, *shape)))
    assert out.shape == (2, *shape)
    out.square().sum().backward()
    silent = [n for net in (encoder, decoder) for n, p in net.named_parameters() if p.grad is None]
    assert silent == []


def test_sides_are_halved_rounding_up():
    assert halvings((28, 28)) == [(28, 28), (14, 14), (7, 7)]
    assert halvings((33, 47)) == [(33, 47), (17, 24), (9, 12), (5, 6)]
    assert halvings((8, 8)) == [(8, 8), (4, 4)]


def test_patches_bring_grids_to_at_most_eight():
    assert grids((28, 28)) == [(7, 7)]
    assert grids((8, 8)) == [(8, 8)]
    assert grids((20, 13)) == [(10, 7)]
    assert grids((64, 65)) == [(16, 17), (8, 9)]


def test_a_new_residual_block_is_the_identity():
    x = torch.randn(2, 4, 5, 5)
    block = ResidualBlock(4)
    torch.nn.init.zeros_(block.second.bias)
    assert torch.equal(block(x), x)


def test_an_examples_output_depends_on_it_alone():
    encoder, x = ConvEncoder((1, 9, 9), 3, width=4), torch.randn(4, 1, 9, 9)
    assert torch.allclose(encoder(x)[:1], encoder(x[:1]), atol=1e-6)


def test_mlp_is_what_its_layers_compute():
    net, x = MLP(3, [5], (2, 1, 2), "tanh"), torch.randn(4, 3)
    first, last = (layer for layer in net if isinstance(layer, torch.nn.Linear))
    for layer in (first, last):
        torch.nn.init.normal_(layer.bias)
    expected = torch.tanh(x @ first.weight.T + first.bias) @ last.weight.T + last.bias
    assert torch.allclose(net(x), expected.reshape(4, 2, 1, 2), atol=1e-6)


def test_signals_pass_a_deep_mlp_without_fading():
    out = MLP(200, [200] * 6, 200, "tanh")(0.1 * torch.randn(500, 200))
    assert 0.03 < out.std().item() < 0.3


def test_bad_names_and_bad_shapes_are_named():
    with pytest.raises(RequestError, match=r"Did you mean 'relu'"):
        MLP(3, [4], 2, "rlu")
    with pytest.raises(RequestError, match="for images"):
        make_autoencoder_nets((5,), (5,), code_out=2, code_in=2, net="conv")


@pytest.mark.usefixtures("float64")
def test_mixture_density_against_torch_and_its_own_draws():
    torch.manual_seed(0)
    codes = torch.cat((torch.randn(500, 2) @ torch.tensor([[1.0, 0.8], [0.0, 0.6]]) + 4, 0.5 * torch.randn(300, 2)))
    mixture = GaussianMixture(2, components=2)
    mixture.fit(codes)
    normals = torch.distributions.MultivariateNormal(mixture.means, scale_tril=mixture.factors)
    reference = torch.distributions.MixtureSameFamily(torch.distributions.Categorical(mixture.weights), normals)
    assert torch.allclose(mixture(codes), reference.log_prob(codes))
    draws = mixture.sample(20_000)
    assert torch.allclose(draws.mean(0), codes.mean(0), atol=0.1)
    assert torch.allclose(draws.T.cov(), codes.T.cov(), atol=0.2)
    assert mixture(codes).mean() > GaussianMixture(2)(codes).mean() + 1
