"""The mathematics of one adversarial network: a generator of codes, and a discriminator."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from torch import Tensor, nn

from calco.contract import Batch, Turn
from calco.maths import noise
from calco.models.adversarial.play import AdversarialModel


class GANModel(AdversarialModel):
    """The mathematics of an adversarial network, for any nets.

    Args:
        generator: codes (n, latent), and labels (n,) if there are classes, to (n, *shape).
        discriminator: (n, *shape), and labels, to scores (n,).
        shape: of an example.
        latent: numbers in a code.
        options: of `AdversarialModel`.
    """

    def __init__(
        self, generator: nn.Module, discriminator: nn.Module, shape: tuple[int, ...], latent: int, **options: Any
    ) -> None:
        super().__init__(shape, **options)
        self.generator, self.discriminator, self.latent = generator, discriminator, latent

    def players(self) -> Mapping[str, Sequence[nn.Module]]:
        """Two of them."""
        return {"discriminator": [self.discriminator], "generator": [self.generator]}

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """The discriminator's turn, then the generator's."""
        real, y = self.seen(batch.x), batch.y if self.classes else None

        def discriminate(x: Tensor) -> Tensor:
            return self.discriminator(x, y if y is None or len(x) == len(y) else y.repeat(2))

        yield from self.play(
            "", real, lambda: self.generator(self.codes(real, self.latent), y), discriminate, self.discriminator
        )

    def make(self, like: Tensor, y: Tensor | None) -> Tensor:
        """As many generated examples as `like` has: (n, *shape)."""
        return self.decode(self.codes(like, self.latent), y)

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """What the generator makes of codes: (n, latent) to (n, ...)."""
        return self.example(self.generator(z, y if self.classes else None))

    @property
    def ways(self) -> tuple[str, ...]:
        """From codes drawn from N(0, I)."""
        return ("normal",)

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """Generated examples of codes from N(0, I): (n, ...)."""
        first = next(self.generator.parameters())
        return self.decode(noise.normal(first.new_empty(n, self.latent)), y)
