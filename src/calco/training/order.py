"""The order of the data."""

import numpy as np


class Order:
    """Step k takes positions k b to (k + 1) b of an endless row of permutations, each drawn from (seed, epoch).

    No batch is short and no example is left out; a batch may reach over the end of an epoch.
    """

    def __init__(self, examples: int, batch_size: int, seed: int) -> None:
        self.examples, self.batch_size, self.seed = examples, batch_size, seed
        self._epochs: dict[int, np.ndarray] = {}

    def _permutation(self, epoch: int) -> np.ndarray:
        if epoch not in self._epochs:
            self._epochs = {k: v for k, v in self._epochs.items() if k == epoch - 1}
            self._epochs[epoch] = np.random.default_rng([self.seed, epoch]).permutation(self.examples)
        return self._epochs[epoch]

    def rows(self, step: int) -> np.ndarray:
        """The rows of a step's whole batch."""
        start, stop = step * self.batch_size, (step + 1) * self.batch_size
        parts = []
        for epoch in range(start // self.examples, (stop - 1) // self.examples + 1):
            first = epoch * self.examples
            parts.append(self._permutation(epoch)[max(start - first, 0) : stop - first])
        return parts[0] if len(parts) == 1 else np.concatenate(parts)
