"""Random numbers that do not depend on how examples are shared out, nor on anything else that runs.

`normal` and `uniform` draw from the stream of the context they are called in, which is of this thread alone:

- `share`: a step of training. They draw as if the whole batch were in one place and keep the rows of the share in hand. So
  one process, two processes and two accumulated halves see the same noise, and a step needs no generator state to be
  resumed: its noise is a function of (seed, step, turn).
- `rows`: examples that are made. Each row has a stream of its own, a function of the seed and of its number, so that it is
  the same in chunks of any size.
- `examples`: examples that are judged. Each has a stream that is a function of the seed and of its values, so that it is
  judged alike in any order and company.

Outside of these they draw from torch's global generator, as whoever calls a model by hand expects. What torch and kornia
draw by themselves goes through `calco.maths.seeding`.
"""

import hashlib
import math
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from contextvars import ContextVar

import numpy as np
import torch
from torch import Tensor

from calco.maths.streams import numbers, streams


def mix(*key: int) -> int:
    """A 63-bit digest of `key`, so that neighbouring keys give unrelated streams."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class _Share:
    """Which share of which batch is in hand, and the generators that its noise comes from, one a device."""

    def __init__(self, key: tuple[int, ...], index: int, count: int) -> None:
        self.key, self.index, self.count, self.asked = key, index, count, 0
        self.generators: dict[torch.device, torch.Generator] = {}
        self.numpy: np.random.Generator | None = None

    def uniform(self, like: Tensor) -> Tensor:
        """On the CPU from NumPy, at half of the time: Gibbs chains spend much of theirs on such numbers."""
        if like.device.type != "cpu" or like.dtype not in NUMPY:
            return self._draw(torch.rand, like)
        self.numpy = self.numpy or np.random.Generator(np.random.SFC64(mix(*self.key)))
        return self._mine(torch.from_numpy(self.numpy.random(self._whole(like), NUMPY[like.dtype])), like)

    def normal(self, like: Tensor) -> Tensor:
        return self._draw(torch.randn, like)

    def place(self, n: int) -> tuple[int, int]:
        return self.index * n, self.count * n

    def _draw(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        if like.device not in self.generators:
            self.generators[like.device] = torch.Generator(like.device).manual_seed(mix(*self.key))
        generator = self.generators[like.device]
        return self._mine(draw(self._whole(like), dtype=like.dtype, device=like.device, generator=generator), like)

    def _whole(self, like: Tensor) -> tuple[int, ...]:
        return (self.count * len(like), *like.shape[1:])

    def _mine(self, whole: Tensor, like: Tensor) -> Tensor:
        return whole if self.count == 1 else whole[self.index * len(like) : (self.index + 1) * len(like)]


NUMPY: dict[torch.dtype, type[np.floating]] = {torch.float32: np.float32, torch.float64: np.float64}


class _Rows:
    """Examples with a stream each, and how many numbers were drawn of them."""

    def __init__(self, key: tuple[int, ...], ids: np.ndarray) -> None:
        self.key, self.streams, self.drawn, self.asked = key, streams(mix(*key), ids), 0, 0

    def uniform(self, like: Tensor) -> Tensor:
        return self._next(like, centred=False).to(like.dtype)

    def normal(self, like: Tensor) -> Tensor:
        return (math.sqrt(2) * torch.erfinv(2 * self._next(like, centred=True) - 1)).to(like.dtype)

    def place(self, n: int) -> tuple[int, int]:
        return 0, n

    def _next(self, like: Tensor, centred: bool) -> Tensor:
        if len(like) != len(self.streams):
            raise ValueError(f"Noise is asked for {len(like)} rows where {len(self.streams)} are in hand.")
        count = math.prod(like.shape[1:])
        found = numbers(self.streams, self.drawn, count, like, centred)
        self.drawn += count
        return found.view(like.shape)


_current: ContextVar[_Share | _Rows | None] = ContextVar("calco_noise", default=None)


@contextmanager
def _within(source: _Share | _Rows) -> Iterator[None]:
    before = _current.get()
    _current.set(source)
    try:
        yield
    finally:
        _current.set(before)


def share(*key: int, index: int = 0, count: int = 1) -> AbstractContextManager[None]:
    """Within this context the batch in hand is the `index`-th of `count` equal shares, its noise a function of `key`."""
    return _within(_Share(key, index, count))


def rows(*key: int, start: int, count: int) -> AbstractContextManager[None]:
    """Within this context rows `start` to `start + count` are in hand; the noise of each is a function of `key` and its number.

    What is drawn has one row for each; noise that has not needs a context with a `fresh` key.
    """
    return _within(_Rows(key, np.arange(start, start + count)))


def examples(*key: int, x: Tensor) -> AbstractContextManager[None]:
    """Within this context examples x, (n, ...), are in hand; the noise of each is a function of `key` and of its values.

    So examples that are the same have the same noise. What is drawn has one row for each.
    """
    raw = (x.detach().cpu() + 0.0).contiguous().numpy()  # so that -0 and 0 are one value
    digests = [hashlib.blake2b(row.tobytes(), digest_size=8).digest() for row in raw]
    return _within(_Rows(key, np.frombuffer(b"".join(digests), np.uint64)))


def key() -> tuple[int, ...]:
    """What the noise of this context is a function of, beside the rows in hand."""
    source = _current.get()
    return (torch.initial_seed(),) if source is None else source.key


def fresh() -> tuple[int, ...]:
    """A key for noise that is not of the rows in hand, another at each call; all shares of a batch have the same."""
    source = _current.get()
    if source is None:
        return (int(torch.randint(2**62, ())),)
    source.asked += 1
    return (*source.key, source.asked)


def place(n: int) -> tuple[int, int]:
    """Where the `n` examples in hand begin in their whole batch, and how many that holds."""
    source = _current.get()
    return (0, n) if source is None else source.place(n)


def normal(like: Tensor) -> Tensor:
    """Standard normal numbers, one for each value of `like`; the first axis counts examples."""
    source = _current.get()
    return torch.randn_like(like) if source is None else source.normal(like)


def uniform(like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1), one for each value of `like`; the first axis counts examples."""
    source = _current.get()
    return torch.rand_like(like) if source is None else source.uniform(like)


def flips(p: Tensor) -> Tensor:
    """Zeros and ones of the shape of `p`, the ones with these probabilities; the first axis counts examples."""
    return (p - uniform(p)).ceil_()  # in (-1, 1], so that it becomes 0 or 1: faster than a comparison and a conversion


def indices(like: Tensor, count: int) -> Tensor:
    """Whole numbers below `count`, one for each value of `like`; the first axis counts examples."""
    return (uniform(like) * count).long().clamp_max(count - 1)  # for rounding may reach it


def picks(p: Tensor) -> Tensor:
    """An index of the last axis for each row of chances, which need not sum to 1: (n, ..., options) to (n, ...)."""
    ends = p.cumsum(-1)
    at = uniform(ends[..., -1]) * ends[..., -1]
    return torch.searchsorted(ends, at[..., None], right=True)[..., 0].clamp_max(p.shape[-1] - 1)
