"""Contrastive learning: features that are alike for two views of one example, and unlike those of others.

SimCLR (Chen et al. 2020), for images with random views of them; for vectors a view has some of its values from other
examples (SCARF, Bahri et al. 2022). There is no decoder: the model encodes and transfers, and that is all.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import partial
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from calco.contract import Batch, Model, Turn
from calco.data import Schema
from calco.errors import RequestError, at_least, below_one
from calco.estimator import Estimator
from calco.maths import noise
from calco.maths.contrast import cross_view_entropy
from calco.nets.augment import Views
from calco.nets.mlp import MLP
from calco.nets.pairs import make_encoder
from calco.nets.standard import OnSphere
from calco.nets.start import unit_variance
from calco.training import Training


class ContrastiveModel(Model):
    """The mathematics of contrastive learning, for any nets.

    Args:
        encoder: (n, ...) to features (n, width).
        projector: (n, width) to (n, any), where views are compared and which is not used again.
        view: examples to random views of them.
        temperature: that the cosines of views are divided by.
    """

    whole_batch = True
    lacks: ClassVar = {"sample": "It has no decoder: its features are all it learns.", "reconstruct": "It has no decoder."}

    def __init__(
        self, encoder: nn.Module, projector: nn.Module, view: Callable[[Tensor], Tensor], temperature: float = 0.2
    ) -> None:
        super().__init__()
        self.encoder, self.projector, self.temperature = encoder, projector, temperature
        self._view = [view]  # in a list: not a child, since nothing of it is learned

    def begin(self, batches: Iterable[Batch]) -> None:
        """Scale the encoder's weights by the data."""
        unit_variance(self.encoder, torch.cat([batch.x for batch in batches])[:500])

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: how hard it is to find the other view of each example among all."""
        yield Turn("model", self.held_out(batch), {})

    def held_out(self, batch: Batch) -> Tensor:
        """The same of held-out examples; it depends on how many there are in a batch."""
        view = self._view[0]
        seen = torch.cat((view(batch.x), view(batch.x)))
        if batch.x.ndim == 4:
            seen = seen.contiguous(memory_format=torch.channels_last)
        one, other = self.projector(self.encoder(seen)).chunk(2)
        return cross_view_entropy(one, other, self.temperature)

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Features on a sphere: (n, ...) to (n, width)."""
        return self.encoder(x)

    def feed_forward(self) -> nn.Module:
        """The encoder."""
        return self.encoder


def swapped(x: Tensor, share: float) -> Tensor:
    """Vectors (n, width) of which a share of the values are those of other examples, drawn value by value."""
    others = noise.uniform(x).argsort(0)
    return torch.where(noise.uniform(x) < share, x.gather(0, others), x)


class Contrastive(Estimator):
    """Contrastive learning: features that tell one example from others whatever the view (SimCLR).

    Args:
        latent: width of the features.
        net: conv for images, mlp for anything; auto takes conv for images.
        width: channels of the first level of conv nets, or units per layer of mlp nets; 0 takes 32 or 512.
        depth: residual blocks per level, or hidden layers.
        activation: of the nets.
        dropout: share of units, or of channels of conv nets, dropped in training.
        projection: width of the space that views are compared in.
        temperature: how close other examples count: the lower, the more the nearest.
        flip: views: mirror half of the images from left to right, or also upside down (both).
        rotate: views: degrees by which images are turned, and sheared, at most.
        shift: views: share of a side by which they are moved at most.
        zoom: views: share by which they are made larger or smaller at most.
        colour: views: range in which factors of brightness and saturation vary about 1.
        erase: views: share of the images in which a rectangle is made black.
        swap: views of vectors: share of the values that come from other examples.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "contrastive"
    model_class = ContrastiveModel
    recipe = Training(steps=3000, batch_size=256, lr=2e-3, lr_warmup=200, ema=0.995, weight_decay=1e-3)

    def __init__(
        self,
        latent: int = 128,
        *,
        net: Literal["auto", "conv", "mlp"] = "auto",
        width: int = 0,
        depth: int = 2,
        activation: Literal["relu", "silu", "gelu", "elu", "tanh"] = "silu",
        dropout: float = 0.0,
        projection: int = 64,
        temperature: float = 0.2,
        flip: Literal["none", "horizontal", "both"] = "none",
        rotate: float = 20.0,
        shift: float = 0.1,
        zoom: float = 0.2,
        colour: float = 0.2,
        erase: float = 0.5,
        swap: float = 0.5,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.latent = latent
        self.net = net
        self.width = width
        self.depth = depth
        self.activation = activation
        self.dropout = dropout
        self.projection = projection
        self.temperature = temperature
        self.flip = flip
        self.rotate = rotate
        self.shift = shift
        self.zoom = zoom
        self.colour = colour
        self.erase = erase
        self.swap = swap
        self.training = training

    def build(self, schema: Schema) -> ContrastiveModel:
        """Encoder and projector for data of this schema."""
        at_least(self, 1, "latent", "depth", "projection")
        at_least(self, 0, "width")
        below_one(self, "dropout", "swap")
        if not self.temperature > 0:
            raise RequestError(f"temperature is {self.temperature}: it must be above 0.")
        names = ("net", "width", "depth", "activation", "dropout")
        encoder = make_encoder(schema.shape, self.latent, **{name: getattr(self, name) for name in names})
        looks: dict[str, Any] = {n: getattr(self, n) for n in ("flip", "rotate", "shift", "zoom", "colour", "erase")}
        return ContrastiveModel(
            nn.Sequential(encoder, OnSphere()),
            MLP(self.latent, [2 * self.projection], self.projection, self.activation),
            Views(**looks) if len(schema.shape) == 3 else partial(swapped, share=self.swap),
            self.temperature,
        )
