"""Generator and discriminator: any body, perhaps conditional on a label."""

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from torch.nn.utils.parametrizations import spectral_norm

from calco.errors import RequestError
from calco.nets.conv import ConvDecoder, ConvEncoder, ResidualBlock
from calco.nets.labels import with_label
from calco.nets.mlp import MLP
from calco.nets.mlp import activation as make_activation
from calco.nets.pairs import chosen_net
from calco.nets.patches import PatchDecoder, PatchEncoder
from calco.nets.recurrent import RecurrentDecoder, RecurrentEncoder

FEATURES = 128
"""That a discriminator's body gives its head."""


class Generator(nn.Module):
    """Codes to examples; a label is appended to the code.

    With `bounded` values beyond [-1, 1] are brought back to a tenth of their excess: real images hold exact blacks and whites,
    which a generator meets only if it may overshoot, and learns from only if its slope does not vanish there.
    """

    def __init__(self, body: nn.Module, classes: int = 0, bounded: bool = False) -> None:
        super().__init__()
        self.body, self.classes, self.bounded = body, classes, bounded

    def forward(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, latent) and labels (n,) to (n, ...)."""
        out = self.body(with_label(z, y, self.classes))
        return torch.lerp(F.hardtanh(out), out, 0.1) if self.bounded else out


class Discriminator(nn.Module):
    """Examples to scores, the higher the more real. A label's embedding meets the features in an inner product.

    That is the projection of Miyato and Koyama (2018).
    """

    def __init__(self, body: nn.Module, features: int, act: str, classes: int = 0, bias: bool = True) -> None:
        super().__init__()
        self.body, self.act, self.head = body, make_activation(act), nn.Linear(features, 1, bias=bias)
        self.labels = nn.Embedding(classes, features) if classes else None
        if self.labels is not None:
            nn.init.normal_(self.labels.weight, std=features**-0.5)

    def forward(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, ...) and labels (n,) to (n,)."""
        features = self.act(self.body(x))
        score = self.head(features)[:, 0]
        if self.labels is None:
            return score
        if y is None:
            raise RequestError("This model is conditional on a label: give labels with the data.")
        return score + (features * self.labels(y)).sum(1)


def make_adversarial_nets(
    shape: tuple[int, ...],
    latent: int,
    *,
    net: str,
    width: int,
    depth: int,
    activation: str,
    spectral: bool,
    classes: int = 0,
    bias: bool = True,
    given: int = 0,
) -> tuple[Generator, Discriminator]:
    """A generator and a discriminator of examples of `shape`.

    Args:
        shape: (channels, height, width), (channels, length) or (features,).
        latent: numbers in a code.
        net: conv (images and series), recurrent (series), mlp, or auto: conv where there is one.
        width: channels of the grid of patches or of the first level of series, or units per mlp layer; 0 takes 64 or 256.
        depth: residual blocks per level, or hidden layers; 0 takes 1 or 2.
        activation: by name.
        spectral: divide each of the discriminator's weights by its largest singular value (Miyato et al. 2018).
        classes: of a conditional model.
        bias: whether the discriminator's score has one.

    Raises:
        RequestError: the net is not for such data.
    """
    kind = chosen_net(net, shape)
    if kind == "mlp":
        hidden = [width or 256] * (depth or 2)
        up, down = (
            MLP(latent + classes, hidden, shape, activation),
            MLP(torch.Size(shape).numel(), hidden, FEATURES, activation),
        )
    elif kind == "recurrent":
        up = RecurrentDecoder(latent + classes, shape, width or 64, depth or 1)
        down = RecurrentEncoder(shape, FEATURES, width or 64, depth or 1)
    elif len(shape) == 2:
        up = ConvDecoder(latent + classes, shape, width or 64, depth or 1, activation)
        down = ConvEncoder(shape, FEATURES, width or 64, depth or 1, activation)
    else:
        image = (shape[0], shape[1], shape[2])
        up = PatchDecoder(latent + classes, image, width or 64, depth or 1, activation)
        down = PatchEncoder(image, FEATURES, width or 64, depth or 1, activation)
    return Generator(up, classes, bounded=len(shape) == 3), make_discriminator(down, activation, spectral, classes, bias)


def make_band_nets(
    shape: tuple[int, int, int],
    *,
    width: int,
    depth: int,
    activation: str,
    spectral: bool,
    classes: int = 0,
    bias: bool = True,
) -> tuple[Generator, Discriminator]:
    """Nets for one band of a Laplacian pyramid, `shape` that of its images; arguments as of `make_adversarial_nets`.

    The generator takes an image and a plane of noise to a band, which is zero at first; the discriminator sees two images.
    """
    channels, height, side = shape
    width, depth = width or 32, depth or 1
    last = nn.Conv2d(width, channels, 3, padding=1)
    nn.init.zeros_(last.weight)
    nn.init.zeros_(last.bias)  # pyright: ignore[reportArgumentType]
    blocks = [ResidualBlock(width, activation) for _ in range(depth)]
    up = nn.Sequential(nn.Conv2d(channels + 1 + classes, width, 3, padding=1), *blocks, make_activation(activation), last)
    down = ConvEncoder((2 * channels, height, side), FEATURES, width, depth, activation)
    return Generator(up, classes), make_discriminator(down, activation, spectral, classes, bias)


def make_discriminator(body: nn.Module, act: str, spectral: bool, classes: int = 0, bias: bool = True) -> Discriminator:
    """A discriminator on a body that gives `FEATURES`, its weights perhaps divided by their largest singular values."""
    discriminator = Discriminator(body, FEATURES, act, classes, bias)
    if spectral:
        for module in [m for m in discriminator.modules() if isinstance(m, (nn.Linear, nn.Conv1d, nn.Conv2d, nn.Embedding))]:
            if not module.weight.any():  # a branch that begins at zero has no direction to be divided by
                module.reset_parameters()
            spectral_norm(module)
    return discriminator
