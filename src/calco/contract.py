"""What a model promises: turns for the training loop, and capabilities for everything that comes after it."""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple, Protocol, runtime_checkable

from torch import Tensor, nn


class Batch(NamedTuple):
    """What a model sees: examples `x` of shape (n, ...), floats, and perhaps class indices `y` of shape (n,)."""

    x: Tensor
    y: Tensor | None = None


class Part(Batch):
    """A part of a larger batch; `shared` is the mean over all its parts of what `Model.shared` gives for each."""

    shared: Tensor

    @classmethod
    def of(cls, batch: Batch, shared: Tensor) -> "Part":
        """The same examples, told that."""
        part = cls(*batch)
        part.shared = shared
        return part


def shared_by(batch: Batch) -> Tensor | None:
    """What the parts of a larger batch share; None of a batch that is whole."""
    return batch.shared if isinstance(batch, Part) else None


class Turn(NamedTuple):
    """One player's move: a scalar loss, a mean over the batch, and named scalars for the log."""

    player: str
    loss: Tensor
    terms: dict[str, Tensor]


class Verdict(NamedTuple):
    """How good a model is on held-out data: a figure that falls as it improves, and others for the log."""

    value: float
    terms: Mapping[str, float] = MappingProxyType({})


class Model(nn.Module):
    """Nets plus the mathematics of one family.

    A model never touches files, devices, optimisers or NumPy. Its losses reach parameters only by calling its
    child modules, so that the loop may wrap each child for distribution, autocast or compilation.
    """

    continuous = False
    """Whether its density, where it has one, is of real values; else it is a probability mass."""

    whole_batch = False
    """Whether its step is of a batch as a whole: then parts or processes, each with its own, do not give the step of one.

    A run that is asked for such parts says so.
    """

    chained = False
    """Whether samples are states of a few chains, so that all are drawn at once."""

    def players(self) -> Mapping[str, Sequence[nn.Module]]:
        """Who is optimised: the child modules of each player. One player with all nets unless a family says more."""
        return {"model": list(self.children())}

    def turns(self, batch: Batch) -> Iterator[Turn]:
        """One step of training. The loop steps a turn's player before it asks for the next turn.

        Random numbers come from `calco.maths.noise`, so that a step is a function of (seed, step, share of the batch).
        """
        raise NotImplementedError

    def shared(self, batch: Batch) -> Tensor | None:
        """Numbers of a part of a batch whose means over all parts its loss needs, if any: what a mean is over, for one.

        Asked for before the turns of a batch in parts, with the noise of their first.
        """
        return None

    def pace(self, child: nn.Module) -> float:
        """The factor of the learning rate by which a child learns."""
        return 1.0

    def begin(self, batches: Iterable[Batch]) -> None:
        """What is set from the data before the first step; `batches` are some training examples."""

    def at_step(self, step: int, steps: int) -> None:
        """Told before each step (0 <= step < steps), for what a family schedules itself, and for states that move on.

        It sees no batch, so that every process does the same; its noise is that of a step, as in `turns`.
        """

    def held_out(self, batch: Batch) -> Tensor:
        """A scalar, the mean over the batch of what should fall as the model improves; moves no state."""
        raise NotImplementedError

    def judge(self, batches: Iterable[Batch]) -> Verdict:
        """The model on all held-out data: the mean of `held_out` unless a family knows better; moves no state."""
        total, count = 0.0, 0
        for batch in batches:
            total, count = total + float(self.held_out(batch)) * len(batch.x), count + len(batch.x)
        return Verdict(total / count)

    def concern(self, verdicts: Sequence[Mapping[str, float]]) -> str:
        """What looks wrong in the terms of the verdicts so far, the newest last: a sentence, or nothing."""
        return ""

    def conclude(self, batches: Iterable[Batch]) -> None:
        """What is learned in closed form once the nets are trained; what it learns must be in buffers."""


class LogProb(NamedTuple):
    """Log density per example in nats, shape (n,), and the standard error of each estimate, shape (n,).

    Where an estimate may err upwards, `low` is one that errs downwards, with the error `low_error`. `shared` and `low_shared`
    are the parts of the errors that all examples have in common, so that a mean over examples does not reduce them.
    """

    value: Tensor
    error: Tensor
    low: Tensor | None = None
    low_error: Tensor | None = None
    shared: float = 0.0
    low_shared: float = 0.0

    @classmethod
    def given(
        cls, weight: Tensor, error: Tensor, z: Tensor, z_error: Tensor, high: Tensor | None, high_error: Tensor | None
    ) -> "LogProb":
        """Log weights minus an estimate of log Z, and minus one that errs upwards where there is one."""
        whole = (error.square() + z_error.square()).sqrt()
        if high is None or high_error is None:
            return cls(weight - z, whole, shared=float(z_error))
        low_error = (error.square() + high_error.square()).sqrt()
        return cls(weight - z, whole, weight - high, low_error, float(z_error), float(high_error))


@runtime_checkable
class Encodes(Protocol):
    """Gives features: x of shape (n, ...) to codes of shape (n, width)."""

    def encode(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Features of each example."""
        ...


@runtime_checkable
class Transfers(Protocol):
    """Hands on what it has learned as a net that a supervised model can go on with."""

    def feed_forward(self) -> nn.Module:
        """A net from x of shape (n, ...) to features (n, width), with the model's weights."""
        ...


@runtime_checkable
class Decodes(Protocol):
    """Turns codes of shape (n, width) into examples."""

    def decode(self, z: Tensor, y: Tensor | None = None) -> Tensor:
        """Examples, or their means, of codes."""
        ...


@runtime_checkable
class Reconstructs(Protocol):
    """Gives back what the model keeps of each example."""

    def reconstruct(self, x: Tensor, y: Tensor | None = None) -> Tensor:
        """Each example, as the model knows it."""
        ...


@runtime_checkable
class Samples(Protocol):
    """Makes new examples. `ways` names the ways it can, the default one first."""

    @property
    def ways(self) -> tuple[str, ...]:
        """Names of the ways, the default one first."""
        ...

    def sample(self, n: int, way: str, y: Tensor | None = None) -> Tensor:
        """`n` examples of shape (n, ...)."""
        ...


@runtime_checkable
class Completes(Protocol):
    """Fills in what is not known of an example."""

    def complete(self, x: Tensor, known: Tensor) -> Tensor:
        """Draws of the unknown values given the known ones: x and the mask `known`, both (n, ...), to (n, ...)."""
        ...


@runtime_checkable
class HasLogProb(Protocol):
    """Has a density. `density` says what its numbers are: exact, an estimate or a bound, with how many samples."""

    @property
    def density(self) -> str:
        """What the numbers of `log_prob` are."""
        ...

    def log_prob(self, x: Tensor, y: Tensor | None = None) -> LogProb:
        """Nats per example."""
        ...


@runtime_checkable
class Predicts(Protocol):
    """Gives each example a class or a value."""

    def predict(self, x: Tensor) -> Tensor:
        """The index of a class, or a value: (n, ...) to (n,)."""
        ...


@runtime_checkable
class Segments(Protocol):
    """Gives each pixel a class."""

    def segment(self, x: Tensor) -> Tensor:
        """(n, channels, ...) to (n, ...)."""
        ...


CAPABILITIES: dict[str, type] = {
    "encode": Encodes,
    "decode": Decodes,
    "reconstruct": Reconstructs,
    "sample": Samples,
    "complete": Completes,
    "log_prob": HasLogProb,
    "predict": Predicts,
    "segment": Segments,
    "transfer": Transfers,
}


def capabilities(model: object) -> list[str]:
    """The verbs that a model can answer, in the order above."""
    return [verb for verb, protocol in CAPABILITIES.items() if isinstance(model, protocol)]
