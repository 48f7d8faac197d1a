"""Laplacian pyramids of adversarial networks (Denton et al. 2015).

An image is a coarse one and, for each halving, what is lost by it: the band between the image and its halved and enlarged
self. One adversarial network learns the coarsest level; another for each finer level learns the band given the enlarged
coarser image. All learn at once, each from the data's own coarser levels; sampling goes from coarse to fine.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.contract import Batch, Turn
from calco.data import Schema
from calco.errors import RequestError, at_least
from calco.estimator import Estimator
from calco.maths import noise
from calco.models.adversarial.play import AdversarialModel, game_options
from calco.nets.adversarial import make_adversarial_nets, make_band_nets
from calco.nets.conv import halvings
from calco.training import Training


def halve(x: Tensor) -> Tensor:
    """Means of two by two pixels; an odd last row or column stands alone: (n, c, h, w) to (n, c, ceil(h/2), ceil(w/2))."""
    return F.avg_pool2d(x, 2, ceil_mode=True)


def enlarge(x: Tensor, size: tuple[int, int]) -> Tensor:
    """Each pixel twice in either direction, cut to `size`: the inverse of `halve` on what that keeps."""
    return x.repeat_interleave(2, 2).repeat_interleave(2, 3)[..., : size[0], : size[1]]


class LAPGANModel(AdversarialModel):
    """The mathematics of a pyramid, for any nets.

    Args:
        nets: generator and discriminator of each level, the finest first. The last makes coarse examples of codes
            (n, latent); the others bands of an enlarged coarser image and a plane of noise, (n, channels + 1, h, w), and score
            an image and that enlarged one, (n, 2 channels, h, w). Labels (n,) come last.
        shape: of an example.
        latent: numbers in the coarsest level's code.
        sizes: height and width of each level, the finest first; none for vectors.
        options: of `AdversarialModel`.
    """

    def __init__(
        self,
        nets: Sequence[tuple[nn.Module, nn.Module]],
        shape: tuple[int, ...],
        latent: int,
        sizes: Sequence[tuple[int, int]],
        **options: Any,
    ) -> None:
        super().__init__(shape, **options)
        self.latent, self.sizes, self.top = latent, tuple(sizes), len(nets) - 1
        for i, (generator, discriminator) in enumerate(nets):
            self.add_module(f"generator{i}", generator)
            self.add_module(f"discriminator{i}", discriminator)

    def players(self) -> Mapping[str, Sequence[nn.Module]]:
        """Two for each level."""
        names = [f"{kind}{i}" for i in range(self.top + 1) for kind in ("discriminator", "generator")]
        return {name: [getattr(self, name)] for name in names}

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """Two turns for each level."""
        image, y = self.seen(batch.x), batch.y if self.classes else None
        for i in range(self.top):
            coarser = halve(image)
            yield from self._band_turns(i, image, enlarge(coarser, self.sizes[i]), y)
            image = coarser
        yield from self._coarse_turns(image, y)

    def _band_turns(self, i: int, image: Tensor, below: Tensor, y: Tensor | None) -> Iterator[Turn]:
        discriminator = getattr(self, f"discriminator{i}")

        def discriminate(band: Tensor) -> Tensor:
            twice = len(band) > len(below)
            coarse = below.repeat(2, 1, 1, 1) if twice else below
            return discriminator(torch.cat((coarse + band, coarse), 1), y.repeat(2) if y is not None and twice else y)

        yield from self.play(str(i), image - below, lambda: self._band(i, below, y), discriminate, discriminator)

    def _coarse_turns(self, image: Tensor, y: Tensor | None) -> Iterator[Turn]:
        discriminator = getattr(self, f"discriminator{self.top}")

        def discriminate(x: Tensor) -> Tensor:
            return discriminator(x, y if y is None or len(x) == len(y) else y.repeat(2))

        yield from self.play(str(self.top), image, lambda: self._coarse(image, y), discriminate, discriminator)

    def _coarse(self, like: Tensor, y: Tensor | None) -> Tensor:
        return getattr(self, f"generator{self.top}")(self.codes(like, self.latent), y)

    def _band(self, i: int, below: Tensor, y: Tensor | None) -> Tensor:
        plane = noise.normal(below[:, :1])
        return getattr(self, f"generator{i}")(torch.cat((below, plane), 1), y)

    def make(self, like: Tensor, y: Tensor | None) -> Tensor:
        """As many generated examples as `like` has, from coarse to fine: (n, *shape)."""
        y = y if self.classes else None
        image = self._coarse(like, y)
        for i in reversed(range(self.top)):
            below = enlarge(image, self.sizes[i])
            image = below + self._band(i, below, y)
        return self.example(image)

    @property
    def ways(self) -> tuple[str, ...]:
        """From a code and planes of noise drawn from N(0, I)."""
        return ("normal",)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Generated examples: (n, ...)."""
        first = next(self.parameters())
        return self.make(torch.empty(n, 1, dtype=first.dtype, device=first.device), y)


class LAPGAN(Estimator):
    """Laplacian pyramid of adversarial networks, coarse to fine.

    Args:
        latent: numbers in the code of the coarsest level; a finer one has a plane of noise.
        levels: of the pyramid; 0 halves images at least once, and until a side is at most 8. Vectors have one.
        width: channels of the first level of conv nets, or units per layer of mlp nets; 0 takes 64 or 256, for the nets of
            finer levels 32.
        depth: residual blocks per level, or hidden layers; 0 takes 1 or 2.
        activation: of the nets.
        game: what the players minimise.
        penalty: on the discriminator's slopes: r1 at real examples, r1r2 at generated ones too, gradient between them; auto
            takes what the game needs, and r1 for the others.
        gamma: weight of the penalty; 0 takes 10 for gradient, and for the others 4 on images and 1 on vectors.
        penalty_every: steps between two penalties.
        spectral: spectral normalisation of the discriminator.
        discriminator_steps: steps of the discriminator for one of the generator.
        conditional: learn to sample given a label; fit then needs labels.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "lapgan"
    model_class = LAPGANModel
    recipe = Training(
        steps=3000,
        optimizer="adam",
        lr=1e-3,
        momentum=0.0,
        beta2=0.99,
        ema=0.998,
        validation=0.1,
        keep="best",
    )

    def __init__(
        self,
        latent: int = 64,
        *,
        levels: int = 0,
        width: int = 0,
        depth: int = 0,
        activation: Literal["leaky_relu", "relu", "silu", "gelu", "elu", "tanh"] = "leaky_relu",
        game: Literal["relativistic", "nonsaturating", "minimax", "least_squares", "hinge", "wasserstein"] = "relativistic",
        penalty: Literal["auto", "none", "r1", "r1r2", "gradient"] = "auto",
        gamma: float = 0.0,
        penalty_every: int = 4,
        spectral: bool = False,
        discriminator_steps: int = 1,
        conditional: bool = False,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.latent = latent
        self.levels = levels
        self.width = width
        self.depth = depth
        self.activation = activation
        self.game = game
        self.penalty = penalty
        self.gamma = gamma
        self.penalty_every = penalty_every
        self.spectral = spectral
        self.discriminator_steps = discriminator_steps
        self.conditional = conditional
        self.training = training

    def build(self, schema: Schema) -> LAPGANModel:
        """Nets for data of this schema."""
        at_least(self, 0, "levels")
        options = game_options(self, schema)
        sizes = pyramid_sizes(schema.shape, self.levels)
        shared = {name: getattr(self, name) for name in ("width", "depth", "activation", "spectral")}
        shared |= {"classes": options["classes"], "bias": self.game != "relativistic"}
        coarsest = (schema.shape[0], *sizes[-1]) if sizes else schema.shape
        nets = [make_adversarial_nets(coarsest, self.latent, net="auto", **shared)]
        nets = [make_band_nets((schema.shape[0], *size), **shared) for size in sizes[:-1]] + nets
        return LAPGANModel(nets, schema.shape, self.latent, sizes, **options)


def pyramid_sizes(shape: tuple[int, ...], levels: int) -> list[tuple[int, int]]:
    """Heights and widths of a pyramid's levels, the finest first; none for vectors.

    Raises:
        RequestError: there are more levels than an image can be halved to.
    """
    if len(shape) != 3:
        return []
    sizes = [(height, width) for height, width in halvings((shape[1], shape[2]))]
    while levels > len(sizes) and max(sizes[-1]) > 1:
        sizes.append(((sizes[-1][0] + 1) // 2, (sizes[-1][1] + 1) // 2))
    if levels > len(sizes):
        raise RequestError(f"levels is {levels}: images of {shape[1]} x {shape[2]} have {len(sizes)} at most.")
    return sizes[:levels] if levels else sizes
