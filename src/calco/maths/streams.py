"""Very many streams of random numbers at once: SplitMix64 (Steele, Lea and Flood 2014), of which any number is one formula.

Number j of a stream s is mix(s + j G), so that streams need no state, and rows of a matrix may each have their own at the
price of a generator for all. The bits are the same on every device.
"""

import numpy as np
import torch
from torch import Tensor

G, M1, M2 = 0x9E3779B97F4A7C15, 0xBF58476D1CE4E5B9, 0x94D049BB133111EB


def streams(seed: int, ids: np.ndarray) -> np.ndarray:
    """The streams of some numbers, such as those of rows: (n,) to (n,), uint64."""
    return _mixed(ids.astype(np.uint64) * np.uint64(G) + np.uint64(seed))


def numbers(streams: np.ndarray, first: int, count: int, like: Tensor, centred: bool = False) -> Tensor:
    """Numbers `first` to `first + count` of each stream, (n,): uniform in [0, 1), (n, count).

    They are on the device of `like`, float64 where that is, else float32. With `centred` they lie in the middle of equal steps,
    as far from 0 as from 1, and are neither.
    """
    bits = (53 if like.dtype == torch.float64 else 24) - centred
    if like.device.type == "cpu":
        at = np.arange(first + 1, first + 1 + count, dtype=np.uint64) * np.uint64(G)
        top = _mixed(streams[:, None] + at) >> np.uint64(64 - bits)
        found = torch.from_numpy(top.astype(np.float64 if bits > 24 else np.float32))
    else:
        own = torch.from_numpy(streams.astype(np.int64)).to(like.device)
        top = _mixed_there(own[:, None] + torch.arange(first + 1, first + 1 + count, device=like.device) * _signed(G))
        found = _shifted(top, 64 - bits).to(torch.float64 if bits > 24 else torch.float32)
    return found.add_(0.5 * centred).mul_(2.0**-bits)


def _mixed(z: np.ndarray) -> np.ndarray:
    """The mixing of 64 bits, in place."""
    other = z >> np.uint64(30)
    z ^= other
    z *= np.uint64(M1)
    z ^= np.right_shift(z, np.uint64(27), out=other)
    z *= np.uint64(M2)
    z ^= np.right_shift(z, np.uint64(31), out=other)
    return z


def _mixed_there(z: Tensor) -> Tensor:
    """The same on any device, where 64 bits are signed."""
    z = (z ^ _shifted(z, 30)) * _signed(M1)
    z = (z ^ _shifted(z, 27)) * _signed(M2)
    return z ^ _shifted(z, 31)


def _shifted(z: Tensor, by: int) -> Tensor:
    """Shifted to the right, with zeros coming in."""
    return (z >> by) & (2 ** (64 - by) - 1)


def _signed(number: int) -> int:
    return number - 2**64 if number >= 2**63 else number
