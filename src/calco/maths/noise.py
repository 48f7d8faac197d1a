"""Random numbers that do not depend on how a batch is shared out.

Within a step of training, `normal` and `uniform` draw as if the whole batch were in one place and keep the rows of the
share in hand. So one process, two processes and two accumulated halves see the same noise, and a step needs no
generator state to be resumed: its noise is a function of (seed, step, turn). What torch draws by itself, dropout for
one, is a function of the share as well.
"""

import hashlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch
from torch import Tensor


def mix(*key: int) -> int:
    """A 63-bit digest of `key`, so that neighbouring keys give unrelated streams."""
    digest = hashlib.blake2b(repr(key).encode(), digest_size=8).digest()
    return int.from_bytes(digest, "big") >> 1


class _Share:
    """Which share of which batch is in hand, and the generators that its noise comes from, one a device."""

    def __init__(self, key: tuple[int, ...], index: int, count: int) -> None:
        self.key, self.index, self.count = key, index, count
        self.generators: dict[torch.device, torch.Generator] = {}
        self.numpy: np.random.Generator | None = None

    def uniform(self, like: Tensor) -> Tensor:
        """On the CPU from NumPy, at half of the time: Gibbs chains spend much of theirs on such numbers."""
        if like.device.type != "cpu" or like.dtype not in NUMPY:
            return self.draw(torch.rand, like)
        self.numpy = self.numpy or np.random.Generator(np.random.SFC64(mix(*self.key)))
        return self._mine(torch.from_numpy(self.numpy.random(self._whole(like), NUMPY[like.dtype])), like)

    def draw(self, draw: Callable[..., Tensor], like: Tensor) -> Tensor:
        if like.device not in self.generators:
            self.generators[like.device] = torch.Generator(like.device).manual_seed(mix(*self.key))
        generator = self.generators[like.device]
        return self._mine(draw(self._whole(like), dtype=like.dtype, device=like.device, generator=generator), like)

    def _whole(self, like: Tensor) -> tuple[int, ...]:
        return (self.count * len(like), *like.shape[1:])

    def _mine(self, whole: Tensor, like: Tensor) -> Tensor:
        return whole if self.count == 1 else whole[self.index * len(like) : (self.index + 1) * len(like)]


NUMPY: dict[torch.dtype, type[np.floating]] = {torch.float32: np.float32, torch.float64: np.float64}

_current: _Share | None = None


def _seed(seed: int) -> None:
    """`torch.manual_seed`, which takes most of a millisecond to note seeds for accelerators, where there is one."""
    if torch.accelerator.is_available():
        torch.manual_seed(seed)
    else:
        torch.default_generator.manual_seed(seed)


@contextmanager
def share(*key: int, index: int = 0, count: int = 1) -> Iterator[None]:
    """Within this context the batch in hand is the `index`-th of `count` equal shares, its noise a function of `key`."""
    global _current
    before, _current = _current, _Share(key, index, count)
    _seed(mix(*key, index))
    try:
        yield
    finally:
        _current = before


def normal(like: Tensor) -> Tensor:
    """Standard normal numbers, one for each value of `like`; the first axis counts examples."""
    return torch.randn_like(like) if _current is None else _current.draw(torch.randn, like)


def uniform(like: Tensor) -> Tensor:
    """Uniform numbers in [0, 1), one for each value of `like`; the first axis counts examples."""
    return torch.rand_like(like) if _current is None else _current.uniform(like)
