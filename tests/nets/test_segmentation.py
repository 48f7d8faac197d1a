"""Segmentation nets: sizes, geometry, what architectures share and what they refuse."""

import pytest
import torch
from torch import nn

from calco.errors import RequestError
from calco.nets.conv import ConvEncoder
from calco.nets.segmentation import ARCHITECTURES, EncoderTrunk, Levels, PoolingTrunk, make_segmentation_net
from calco.nets.upsampling import UPSAMPLINGS

SIDES = {1: (75,), 2: (33, 50), 3: (9, 12, 10)}


def net_of(architecture, dims=2, levels=3, classes=4, **options):
    plan = ARCHITECTURES[architecture]
    trunk = PoolingTrunk(2, [4, 6, 8, 8][:levels], 2, dims, plan.bottom, options.pop("stem", 1), options.pop("kernel", 3))
    return make_segmentation_net(architecture, trunk, classes, **options)


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_scores_have_the_size_of_the_input(architecture, dims):
    net = net_of(architecture, dims, 3)
    scores = net(torch.randn(2, 2, *SIDES[dims]))
    assert scores[0].shape == (2, 4, *SIDES[dims])


@pytest.mark.parametrize("architecture", ARCHITECTURES)
@pytest.mark.parametrize("upsampling", UPSAMPLINGS)
def test_every_decoder_takes_every_operator_or_says_why_not(architecture, upsampling):
    if UPSAMPLINGS[upsampling].switched and isinstance(ARCHITECTURES[architecture].skips, int):
        with pytest.raises(RequestError, match="no pooling to undo"):
            net_of(architecture, upsampling=upsampling)
        return
    for size in ((33, 50), (16, 16), (9, 61)):
        assert net_of(architecture, upsampling=upsampling)(torch.randn(2, 2, *size))[0].shape == (2, 4, *size)


@pytest.mark.parametrize("stem", [2, 4])
def test_a_stem_is_undone(stem):
    net = net_of("unet", stem=stem)
    assert net(torch.randn(2, 2, 37, 51))[0].shape == (2, 4, 37, 51)


def test_levels_and_their_mirror_have_kernels_of_one_size():
    net = net_of("segnet", kernel=7)
    kernels = {
        m.kernel_size for half in (net.trunk.levels, net.decoder.levels) for m in half.modules() if isinstance(m, nn.Conv2d)
    }
    assert kernels == {(7, 7)}
    assert net(torch.randn(2, 2, 37, 51))[0].shape == (2, 4, 37, 51)


@pytest.mark.parametrize("skips", ["none", "add", "concat"])
def test_mirrors_take_maps_in_three_ways(skips):
    net = net_of("segnet", skips=skips, upsampling="nearest", deep=True)
    scores = net(torch.randn(2, 2, 33, 50))
    assert [tuple(s.shape[2:]) for s in scores] == [(33, 50), (17, 25), (9, 13)]


def test_score_skips_begin_at_zero():
    torch.manual_seed(0)
    net = net_of("fcn8s").eval()
    x = torch.randn(1, 2, 64, 64)
    before = net(x)[0]
    for parameter in net.decoder.get_submodule("scores").parameters():
        nn.init.normal_(parameter)
    assert not torch.allclose(net(x)[0], before)
    for parameter in net.decoder.get_submodule("scores").parameters():
        nn.init.zeros_(parameter)
    assert torch.equal(net(x)[0], before)


@pytest.mark.parametrize("skips", [0, 1, 2])
def test_a_ramp_comes_out_where_it_went_in(skips, float64):
    """Averages in place of maxima and of weights, interpolation on the way up: any shift would show."""

    class Averages(PoolingTrunk):
        def forward(self, x):
            pooled = []
            for _ in self.levels:
                x = nn.functional.avg_pool1d(x, 2, ceil_mode=True, count_include_pad=False)
                pooled.append(x)
            return Levels([], pooled, [], x)

    trunk = Averages(1, [1, 1, 1, 1], 1, 1, 0)
    net = make_segmentation_net(f"fcn{(32, 16, 8)[skips]}s", trunk, 1)
    nn.init.ones_(net.decoder.score.weight)
    nn.init.zeros_(net.decoder.score.bias)
    with torch.no_grad():
        for score in net.decoder.get_submodule("scores").modules():
            if isinstance(score, nn.Conv1d):
                torch.nn.init.ones_(score.weight)
    for length in (320, 321, 333):
        ramp = torch.arange(float(length))[None, None]
        out = net(ramp)[0]
        inside = slice(48, length - 48)
        assert torch.allclose(out[..., inside], (1 + skips) * ramp[..., inside])


def test_the_encoder_of_an_autoencoder_is_a_trunk():
    encoder = ConvEncoder((3, 40, 52), 8, width=6, blocks=1)
    trunk = EncoderTrunk(encoder)
    assert trunk.widths == (6, 12)
    net = make_segmentation_net("unet", trunk, 5)
    assert net(torch.randn(2, 3, 41, 63))[0].shape == (2, 5, 41, 63)
    assert {id(p) for p in encoder.body.parameters()} == {id(p) for p in trunk.parameters()}
    with pytest.raises(RequestError, match="halves by convolutions"):
        make_segmentation_net("segnet", trunk, 5)
    with pytest.raises(RequestError, match="too small"):
        EncoderTrunk(ConvEncoder((1, 8, 8), 8))
