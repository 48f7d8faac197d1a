"""The games of adversarial networks: what each player minimises, and what keeps a discriminator smooth.

Functions of the discriminator's outputs, (n,), logits or scores, on real examples and on as many generated ones; losses are
means over the pairs.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from calco.maths import noise


class Game(NamedTuple):
    """Two losses, each of the outputs on real and on generated examples.

    An output above `threshold` calls an example real; without one only differences of outputs mean anything. In a game of
    `pairs` the generator's loss too depends on the outputs on real examples.
    """

    discriminator: Callable[[Tensor, Tensor], Tensor]
    generator: Callable[[Tensor, Tensor], Tensor]
    threshold: float | None = 0.0
    pairs: bool = False

    def right(self, real: Tensor, fake: Tensor) -> dict[str, Tensor]:
        """The discriminator's accuracy, by what on: shares of the examples, or of the pairs whose real one it prefers."""
        if self.threshold is None:
            return {"right_on_pairs": (real > fake).float().mean()}
        on_real, on_fake = (real > self.threshold).float().mean(), (fake < self.threshold).float().mean()
        return {"right_on_real": on_real, "right_on_fake": on_fake}


def _logistic(real: Tensor, fake: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


GAMES = {
    # min max of log D(x) + log(1 - D(G(z))), D the sigmoid of the output (Goodfellow et al. 2014, equation 1).
    "minimax": Game(_logistic, lambda real, fake: -F.softplus(fake).mean()),
    # The generator raises log D(G(z)) instead: gradients do not vanish where it loses (the same, section 3).
    "nonsaturating": Game(_logistic, lambda real, fake: F.softplus(-fake).mean()),
    # Squared distances to 1 and 0 (Mao et al. 2017, equation 9).
    "least_squares": Game(
        lambda real, fake: 0.5 * ((real - 1).square().mean() + fake.square().mean()),
        lambda real, fake: 0.5 * (fake - 1).square().mean(),
        threshold=0.5,
    ),
    # (Lim and Ye 2017; Miyato et al. 2018, equations 16 and 17.)
    "hinge": Game(lambda real, fake: F.relu(1 - real).mean() + F.relu(1 + fake).mean(), lambda real, fake: -fake.mean()),
    # (Arjovsky, Chintala and Bottou 2017); smooth by a gradient penalty (Gulrajani et al. 2017).
    "wasserstein": Game(lambda real, fake: fake.mean() - real.mean(), lambda real, fake: -fake.mean(), threshold=None),
    # Pairs: is the real one more real (Jolicoeur-Martineau 2019; Huang et al. 2024, equation 2)?
    "relativistic": Game(
        lambda real, fake: F.softplus(fake - real).mean(),
        lambda real, fake: F.softplus(real - fake).mean(),
        threshold=None,
        pairs=True,
    ),
}


def squared_slopes(outputs: Tensor, inputs: Tensor) -> Tensor:
    """|d output / d input|^2 of each example, differentiable: (n,). `inputs`, (n, ...), must require gradients."""
    (slopes,) = torch.autograd.grad(outputs.sum(), inputs, create_graph=True)
    return slopes.float().square().flatten(1).sum(1) if slopes.dtype != torch.float64 else slopes.square().flatten(1).sum(1)


def between(real: Tensor, fake: Tensor) -> Tensor:
    """A point on the line between each real and each generated example, at random; it requires gradients."""
    share = noise.uniform(real.new_empty(len(real), *[1] * (real.ndim - 1)))
    return torch.lerp(fake, real, share).requires_grad_()


def away_from_one(slopes: Tensor) -> Tensor:
    """The gradient penalty: mean of (|slope| - 1)^2 over squared slopes (Gulrajani et al. 2017, equation 3)."""
    return ((slopes + 1e-12).sqrt() - 1).square().mean()
