"""What torch and others draw by themselves, drawn from a generator of one's own.

The functions that initialise nets, and kornia's, take no generator: they use torch's global one, which belongs to whoever
calls this library and to all threads.
"""

from typing import Any

import torch
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

DRAWS = {torch.rand, torch.randn, torch.randint, torch.randperm, torch.bernoulli, torch.multinomial, torch.normal}
DRAWS |= {Tensor.uniform_, Tensor.normal_, Tensor.bernoulli_, Tensor.random_, Tensor.exponential_, Tensor.multinomial}
DRAWS |= {nn.init.uniform_, nn.init.normal_, nn.init.kaiming_uniform_, nn.init.kaiming_normal_}
"""All that draws with a generator where it is given one; of `nn.init` those that hand themselves over as a whole."""


class seeded(TorchFunctionMode):  # noqa: N801  a context, like `torch.no_grad`
    """Within this context what torch draws on the CPU is a function of `seed`, in this thread alone.

    The numbers are those that the global generator would give after `torch.manual_seed(seed)`.
    """

    def __init__(self, seed: int) -> None:
        super().__init__()
        self.generator = torch.Generator().manual_seed(seed)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        """Each call, with the generator where it draws."""
        kwargs = dict(kwargs or {})
        if func in DRAWS:
            kwargs["generator"] = self.generator
        return func(*args, **kwargs)
