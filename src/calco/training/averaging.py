"""Averaged weights: an exponential moving average of what training passes through (Polyak and Juditsky 1992)."""

import torch
from torch import Tensor, nn
from torch.optim.swa_utils import AveragedModel


class Average(AveragedModel):
    """A copy of a model whose weights follow it as averages, and whose buffers are those of the model.

    Parameters are looked for once, not at each step as AveragedModel does: for a small model that takes a sixth of a step.

    Args:
        model: where it computes, before anything is wrapped around its children.
        decay: what an average keeps of itself at each step, once it is old enough.
    """

    def __init__(self, model: nn.Module, decay: float) -> None:
        super().__init__(model)
        self.decay = decay
        pairs = list(zip(self.module.modules(), model.modules(), strict=True))
        # By owner and name: who reads a tensor again gets what has been put in its place.
        self._parameters_of = [(own, other, name) for own, other in pairs for name in own._parameters]
        self._buffers_of = [(own, other, name) for own, other in pairs for name in own._buffers]

    @torch.no_grad()
    def follow(self) -> None:
        """Take a step towards the model's present weights; the first one takes them over."""
        own, other = self._tensors()
        steps = int(self.n_averaged)
        if steps == 0:
            torch._foreach_copy_(own, other)  # pyright: ignore[reportPrivateImportUsage]
        else:
            # A young average would remember the initial weights: its decay starts low and rises.
            decay = min(self.decay, (1 + steps) / (10 + steps))
            torch._foreach_lerp_(own, other, 1 - decay)  # pyright: ignore[reportPrivateImportUsage]
        for module, model, name in self._buffers_of:
            buffer, current = module._buffers[name], model._buffers[name]
            if buffer is not None and current is not None:
                buffer.copy_(current)
        self.n_averaged.add_(1)

    def _tensors(self) -> tuple[list[Tensor], list[Tensor]]:
        """The averages and the model's present weights, each tensor once, whatever shares it."""
        found: dict[int, tuple[Tensor, Tensor]] = {}
        for own, other, name in self._parameters_of:
            average, current = own._parameters[name], other._parameters[name]
            if average is not None and current is not None:
                found[id(average)] = average, current
        return [average for average, _ in found.values()], [current for _, current in found.values()]
