"""What adversarial networks have in common: a generator and a discriminator in turn, and a watch over what comes out."""

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from calco.contract import Batch, Model, Turn, Verdict
from calco.data import Schema
from calco.errors import at_least
from calco.estimator import classes_for
from calco.maths import noise
from calco.maths.fidelity import neighbours
from calco.maths.games import GAMES, away_from_one, between, squared_slopes

PENALTIES = {"relativistic": "r1r2", "wasserstein": "gradient"}
"""The penalties that games need. The others get r1 (Mescheder, Geiger and Nowozin 2018)."""
NEIGHBOURS = 5
MOST = 10_000
"""Held-out examples that samples are compared with at most."""


class AdversarialModel(Model):
    """A game between generators and discriminators.

    Args:
        shape: of an example.
        bounded: examples lie in [0, 1]: the nets work on [-1, 1], and what is sampled is clipped.
        game: one of `maths.games.GAMES`.
        penalty: on a discriminator's slopes: none; r1, at real examples; r1r2, at real and generated ones; or gradient, that
            they be 1 between the two.
        gamma: weight of the penalty.
        penalty_every: steps between two penalties, each then weighs as much more (Karras et al. 2020).
        discriminator_steps: steps of a discriminator for one of its generator.
        classes: of a conditional model, 0 for none.
        spectral: whether discriminators are normalised by singular values, which follow the weights at each look at a batch.
    """

    lacks: ClassVar = {
        "log_prob": "It is an implicit model: samples, but no density. `calco score --parzen` makes an estimate from samples."
    }

    def __init__(
        self,
        shape: tuple[int, ...],
        *,
        bounded: bool = False,
        game: str = "relativistic",
        penalty: str = "r1r2",
        gamma: float = 1.0,
        penalty_every: int = 1,
        discriminator_steps: int = 1,
        classes: int = 0,
        spectral: bool = False,
    ) -> None:
        super().__init__()
        self.whole_batch = spectral  # more parts are more looks
        self.shape, self.bounded, self.classes = shape, bounded, classes
        self.game, self.penalty, self.gamma, self.penalty_every = game, penalty, gamma, penalty_every
        self.discriminator_steps = discriminator_steps
        self.at_step(0, 1)

    def at_step(self, step: int, steps: int) -> None:
        """Say whether this step has a penalty, and whether generators move in it."""
        self._penalised = self.penalty != "none" and step % self.penalty_every == 0
        self._generator_moves = (step + 1) % self.discriminator_steps == 0

    def play(
        self,
        level: str,
        real: Tensor,
        generate: Callable[[], Tensor],
        discriminate: Callable[[Tensor], Tensor],
        discriminator: nn.Module,
    ) -> Iterator[Turn]:
        """A discriminator's turn, then its generator's, each on examples generated for it.

        Args:
            level: at the end of the players' names.
            real: examples, (n, ...).
            generate: as many generated ones.
            discriminate: the score of n examples, or of 2 n, real ones and generated ones, as (n,) or (2 n,).
            discriminator: the net behind it.
        """
        with torch.no_grad():
            fake = generate()
        both = torch.cat((real, fake)).requires_grad_(self._penalised and self.penalty in ("r1", "r1r2"))
        outputs = discriminate(both)
        on_real, on_fake = outputs.chunk(2)
        game = GAMES[self.game]
        loss = game.discriminator(on_real, on_fake)
        terms = {f"{name}{level}": share for name, share in game.right(on_real.detach(), on_fake.detach()).items()}
        if self._penalised:
            penalty = self._penalty_of(outputs, both, real, fake, discriminate)
            loss, terms[f"penalty{level}"] = loss + penalty * self.penalty_every, penalty
        yield Turn(f"discriminator{level}", loss, terms)
        if self._generator_moves:
            with frozen(discriminator):
                if game.pairs:
                    with torch.no_grad():
                        on_real = discriminate(real)
                yield Turn(f"generator{level}", game.generator(on_real, discriminate(generate())), {})

    def _penalty_of(
        self, outputs: Tensor, both: Tensor, real: Tensor, fake: Tensor, discriminate: Callable[[Tensor], Tensor]
    ) -> Tensor:
        if self.penalty == "gradient":
            points = between(real, fake)
            return self.gamma * away_from_one(squared_slopes(discriminate(points), points))
        slopes = squared_slopes(outputs, both)
        at_real = slopes[: len(real)].mean()
        return 0.5 * self.gamma * (at_real if self.penalty == "r1" else at_real + slopes[len(real) :].mean())

    def codes(self, like: Tensor, width: int) -> Tensor:
        """Draws from N(0, I), one for each example of `like`: (n, width)."""
        return noise.normal(like.new_empty(len(like), width))

    def seen(self, x: Tensor) -> Tensor:
        """Examples as the nets see them."""
        return 2 * x - 1 if self.bounded else x

    def example(self, out: Tensor) -> Tensor:
        """What a generator made, as an example."""
        return (0.5 + 0.5 * out).clamp(0, 1) if self.bounded else out

    # -- held-out data ----------------------------------------------------------------------------------------------

    def make(self, like: Tensor, y: Tensor | None) -> Tensor:
        """As many generated examples as `like` has, given labels if the model is conditional: (n, *shape)."""
        raise NotImplementedError

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """1 - sqrt(coverage min(density, 1)) of as many samples as there are held-out examples, looked at coarsely.

        The first falls where examples have no sample near them, the second where samples have no example near them. Beside
        them goes the samples' variance over that of the data. Of more than 10,000 examples as many are taken, evenly spaced.
        """
        real, fake, spread = [], [], (Spread(), Spread())
        for x, y in batches:
            made = self.make(x, y)
            for parts, whole, one in zip((real, fake), spread, (x, made), strict=True):
                parts.append(coarse(one))
                whole.add(one)
        data, samples = torch.cat(real), torch.cat(fake)
        terms = {"variance": spread[1].variance() / max(spread[0].variance(), 1e-12)}
        k = min(NEIGHBOURS, len(data) - 1)
        if k < 1 or not torch.isfinite(samples).all():
            return Verdict(math.inf, terms)
        rows = torch.linspace(0, len(data) - 1, min(len(data), MOST)).round().long()
        near = neighbours(*blurred(data[rows], samples[rows]), k)
        terms |= {"coverage": near.coverage, "density": near.density}
        return Verdict(1 - math.sqrt(near.coverage * min(near.density, 1.0)), terms)

    def concern(self, verdicts: Sequence[Mapping[str, float]]) -> str:
        """Whether the generator has collapsed, or is about to: its samples are alike, or cover less than they did."""
        now, best = verdicts[-1], max(v.get("coverage", 0.0) for v in verdicts)
        if not math.isfinite(now["variance"]):
            return "Samples are not finite numbers. Try a lower lr, or a larger gamma."
        if now["variance"] < 0.1:
            return f"Collapse: samples vary {now['variance']:.2g} times as much as the data. Try a larger gamma or a lower lr."
        if now["variance"] > 10:
            return f"Samples vary {now['variance']:.2g} times as much as the data. Try a lower lr, or a larger gamma."
        if "coverage" not in now:
            return "A single held-out example says nothing of coverage: the last checkpoint is kept. Hold out more."
        covered = now["coverage"]
        if best > 0.2 and covered < best / 2:
            return f"Collapse begins: samples cover {covered:.2f} of the held-out examples, after {best:.2f}. Keep the best."
        return ""


class Spread:
    """The variance of examples that come in batches, the mean over their values."""

    def __init__(self) -> None:
        self.count: int = 0
        self.total: Any = 0.0
        self.square: Any = 0.0

    def add(self, x: Tensor) -> None:
        """Count more examples in."""
        x = x.cpu().double().flatten(1)  # not every device has double precision
        self.count += len(x)
        self.total, self.square = self.total + x.sum(0), self.square + x.square().sum(0)

    def variance(self) -> float:
        """That of all that were counted."""
        return float((self.square / self.count - (self.total / self.count).square()).mean())


def blurred(data: Tensor, samples: Tensor) -> tuple[Tensor, Tensor]:
    """Both with noise of a twentieth of the data's deviation: no ball around examples that repeat is empty then."""
    scale = 0.05 * data.std(0)
    return data + scale * noise.normal(data), samples + scale * noise.normal(samples)


def coarse(x: Tensor) -> Tensor:
    """Images averaged to a grid of at most 8 x 8, as vectors; all else as it is: (n, ...) to (n, values).

    What is finer than that, above all what noise a young generator leaves, would hide how the samples are spread.
    """
    return F.adaptive_avg_pool2d(x, (min(8, x.shape[2]), min(8, x.shape[3]))).flatten(1) if x.ndim == 4 else x.flatten(1)


@contextmanager
def frozen(net: nn.Module) -> Iterator[None]:
    """Within this context a net's parameters get no gradients."""
    parameters = list(net.parameters())
    for parameter in parameters:
        parameter.requires_grad_(False)
    try:
        yield
    finally:
        for parameter in parameters:
            parameter.requires_grad_(True)


def game_options(estimator: Any, schema: Schema) -> dict[str, Any]:
    """The arguments of a model that an estimator's hyper-parameters on the game stand for.

    Raises:
        RequestError: one is out of range, or labels are missing.
    """
    at_least(estimator, 1, "latent", "penalty_every", "discriminator_steps")
    at_least(estimator, 0, "width", "depth", "gamma")
    penalty = PENALTIES.get(estimator.game, "r1") if estimator.penalty == "auto" else estimator.penalty
    image = len(schema.shape) == 3
    return {
        "bounded": image,
        "game": estimator.game,
        "penalty": penalty,
        "gamma": estimator.gamma or (10.0 if penalty == "gradient" else 4.0 if image else 1.0),
        "penalty_every": estimator.penalty_every,
        "discriminator_steps": estimator.discriminator_steps,
        "classes": classes_for(estimator, schema),
        "spectral": estimator.spectral,
    }
