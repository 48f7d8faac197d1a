"""Autoencoders: undercomplete, denoising, sparse and contractive.

An encoder makes a narrow code of an example, a decoder an example of the code; both learn by the squared error between
the two. Options make the code better than narrowness alone: restoring corrupted inputs (Vincent et al. 2008) or masked ones
(He et al. 2022), few active units (Ng 2011), or codes that hold still when the input moves (Rifai et al. 2011).
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from calco.contract import Batch, Model, Turn
from calco.data import Schema
from calco.errors import RequestError, at_least, below_one
from calco.estimator import Estimator
from calco.maths import noise
from calco.maths.mixed import Piece, counted
from calco.nets.mixture import GaussianMixture
from calco.nets.pairs import make_autoencoder_nets
from calco.training import Training


class AutoencoderModel(Model):
    """The mathematics of autoencoders, for any nets.

    Args:
        encoder: (n, ...) to (n, latent).
        decoder: (n, latent) to (n, ...).
        latent: width of the code.
        bounded: the data lie in [0, 1]: reconstructions are clipped to that.
        pieces: what the channels are, where they are of several kinds: missing values then do not count.
        noise: standard deviation of Gaussian noise added to inputs in training.
        mask: share of inputs set to 0 in training.
        patch: side of the squares of an image that are masked together; above 1 only masked places count (He et al. 2022).
        sparsity: weight of the mean absolute code. A decoder can undo it by growing its weights: use weight decay too.
        contraction: weight of the squared Frobenius norm of d code / d input, estimated without bias by one random
            projection (Hutchinson 1990).
    """

    def __init__(
        self,
        encoder: nn.Module,
        decoder: nn.Module,
        latent: int,
        *,
        bounded: bool = False,
        pieces: tuple[Piece, ...] = (),
        noise: float = 0.0,
        mask: float = 0.0,
        patch: int = 1,
        sparsity: float = 0.0,
        contraction: float = 0.0,
    ) -> None:
        super().__init__()
        self.encoder, self.decoder = encoder, decoder
        self.codes = GaussianMixture(latent)
        self.latent, self.bounded, self.pieces = latent, bounded, pieces
        self.noise, self.mask, self.patch = noise, mask, patch
        self.sparsity, self.contraction = sparsity, contraction

    def corrupt(self, x: Tensor) -> tuple[Tensor, Tensor | float]:
        """Inputs as the denoising options spoil them, and what the error of each place then counts."""
        if self.noise:
            x = x + self.noise * noise.normal(x)
        if not self.mask:
            return x, 1.0
        if self.patch == 1:
            return x * (noise.uniform(x) >= self.mask), 1.0
        n, _, height, width = x.shape
        squares = noise.uniform(x.new_empty(n, 1, -(-height // self.patch), -(-width // self.patch))) < self.mask
        hidden = squares.repeat_interleave(self.patch, 2).repeat_interleave(self.patch, 3)[:, :, :height, :width]
        return x * ~hidden, hidden / self.mask

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One turn: the mean squared error per value, and what clipping and the options add to it."""
        x, weight = self.corrupt(batch.x)
        weight = weight * counted(batch.x, self.pieces) if self.pieces else weight
        if self.contraction:
            x = x.detach().requires_grad_()
        z = self.encoder(x)
        out = self.decoder(z)
        again = self._bound(out)
        error = (weight * (again - batch.x).square()).mean()
        loss, terms = error, dict[str, Tensor]()
        if self.bounded or self.sparsity or self.contraction:
            terms["error"] = error  # where the loss is more than that
        if self.bounded:
            # Where the clip holds, the square goes on as the straight line that touches it there, so that an output far
            # out still learns: the matching loss of the clip (Auer, Herbster and Warmuth 1996). Else nets could die.
            loss = loss + 2 * (weight * (again - batch.x) * (out - again)).mean()
        if self.sparsity:
            terms["activity"] = z.abs().mean()
            loss = loss + self.sparsity * terms["activity"]
        if self.contraction:
            terms["jacobian"] = jacobian_norm(x, z)
            loss = loss + self.contraction * terms["jacobian"]
        yield Turn("model", loss, terms)

    def held_out(self, batch: Batch) -> Tensor:
        """The mean squared error per value, nothing corrupted."""
        return (counted(batch.x, self.pieces) * (self.reconstruct(batch.x) - batch.x).square()).mean()

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, ...) to (n, latent)."""
        return self.encoder(x)

    def feed_forward(self) -> nn.Module:
        """The encoder."""
        return self.encoder

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, latent) to (n, ...)."""
        return self._bound(self.decoder(z))

    def _bound(self, out: Tensor) -> Tensor:
        return out.clamp(0, 1) if self.bounded else out

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """(n, ...) to the same."""
        return self.decode(self.encode(x))

    @property
    def ways(self) -> tuple[str, ...]:
        """From a Gaussian mixture fitted on the codes of the training data, or from N(0, I) as in the classic recipe."""
        return ("fitted", "normal")

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Decoded codes drawn from the fitted density or from N(0, I): (n, ...).

        Nothing in training makes codes look like N(0, I), which is why the second way gives worse examples.
        """
        means = self.codes.means
        z = self.codes.sample(n) if way == "fitted" else noise.normal(means.new_empty(n, self.latent))
        return self.decode(z)

    def conclude(self, batches: Iterable[Batch]) -> None:
        """Fit the density of the codes."""
        self.codes.fit(torch.cat([self.encode(batch.x) for batch in batches]))


def jacobian_norm(x: Tensor, z: Tensor) -> Tensor:
    """An unbiased estimate of the mean over examples of ||dz/dx||_F^2; x must require gradients. A scalar."""
    (projected,) = torch.autograd.grad(z, x, noise.normal(z), create_graph=True)
    return projected.square().flatten(1).sum(1).mean()


class Autoencoder(Estimator):
    """Autoencoder: undercomplete by its narrow code; denoising, sparse or contractive by option.

    Args:
        latent: width of the code.
        net: conv for images and series, recurrent for series, mlp for anything; auto takes conv where there is one.
        width: channels of the first level of conv nets, or units per layer; 0 takes 32, or 64 of recurrent and 512 of mlp nets.
        depth: residual blocks per level, or hidden layers.
        activation: of the nets.
        dropout: share of units, or of channels of conv nets, dropped in training.
        noise: denoising: standard deviation of the noise added to inputs, images being in [0, 1].
        mask: denoising: share of inputs set to 0.
        patch: masked autoencoding: side of the squares of an image that are set to 0 together, the only ones whose error then
            counts; 1 for single values, where all count.
        sparsity: sparse: weight of the mean absolute code.
        contraction: contractive: weight of the squared norm of the encoder's Jacobian.
        training: settings, or a dict of those that differ from the family's recipe.
    """

    family = "autoencoder"
    model_class = AutoencoderModel
    recipe = Training(steps=3000, lr=3e-3, ema=0.995, weight_decay=1e-4, clip=1.0)

    demo: ClassVar = {"latent": 8, "training": {"steps": 1500}}

    def __init__(
        self,
        latent: int = 16,
        *,
        net: Literal["auto", "conv", "recurrent", "mlp"] = "auto",
        width: int = 0,
        depth: int = 2,
        activation: Literal["relu", "silu", "gelu", "elu", "tanh"] = "silu",
        dropout: float = 0.0,
        noise: float = 0.0,
        mask: float = 0.0,
        patch: int = 1,
        sparsity: float = 0.0,
        contraction: float = 0.0,
        training: Training | Mapping[str, Any] | None = None,
    ) -> None:
        self.latent = latent
        self.net = net
        self.width = width
        self.depth = depth
        self.activation = activation
        self.dropout = dropout
        self.noise = noise
        self.mask = mask
        self.patch = patch
        self.sparsity = sparsity
        self.contraction = contraction
        self.training = training

    def build(self, schema: Schema) -> AutoencoderModel:
        """Nets for data of this schema."""
        at_least(self, 1, "latent", "depth", "patch")
        at_least(self, 0, "width", "noise", "sparsity", "contraction")
        below_one(self, "mask", "dropout")
        if self.patch > 1 and not (self.mask and len(schema.shape) == 3):
            raise RequestError("Patches are masked in images: give patch with a mask, such as 0.6, and with images.")
        encoder, decoder = make_autoencoder_nets(
            schema.shape,
            schema.shape,
            code_out=self.latent,
            code_in=self.latent,
            **{k: getattr(self, k) for k in ("net", "width", "depth", "activation", "dropout")},
        )
        return AutoencoderModel(
            encoder,
            decoder,
            self.latent,
            bounded=len(schema.shape) == 3,
            pieces=schema.pieces,
            **{k: getattr(self, k) for k in ("noise", "mask", "patch", "sparsity", "contraction")},
        )
