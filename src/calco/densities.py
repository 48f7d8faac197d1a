"""Log densities as they are told: of all examples, in the unit of the data, with how far to trust them."""

import math
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np
import torch

from calco.contract import LogProb

TRUSTED = 3.0
"""Nats: a mean log density between two estimates further apart is not to be trusted."""


class Estimate(NamedTuple):
    """Log densities in nats, float64 of shape (n,), as in `contract.LogProb`; see there for `low` and `shared`."""

    value: np.ndarray
    error: np.ndarray
    low: np.ndarray | None
    low_error: np.ndarray | None
    shared: float
    low_shared: float

    @classmethod
    def joined(cls, parts: Sequence[LogProb], log_dets: np.ndarray | float) -> "Estimate":
        """The estimates of batches in order, plus the log determinants, (n,), of what made the examples of the raw data."""

        def column(name: str) -> Any:
            found = [getattr(part, name) for part in parts]
            return None if found[0] is None else torch.cat([c.cpu() for c in found]).double().numpy()

        low, last = column("low"), parts[-1]
        return cls(
            column("value") + log_dets,
            column("error"),
            None if low is None else low + log_dets,
            column("low_error"),
            last.shared,
            last.low_shared,
        )

    def mean_errors(self) -> tuple[float, float]:
        """Standard errors that the estimates give the means over the examples: of `value`, and of `low` where there is one."""

        def of_mean(errors: np.ndarray | None, shared: float) -> float:
            if errors is None:
                return math.nan
            own = np.maximum(errors**2 - shared**2, 0.0)  # rounding may leave less than nothing
            return math.hypot(shared, np.sqrt(np.nansum(own)) / len(errors))

        return of_mean(self.error, self.shared), of_mean(self.low_error, self.low_shared)

    def bracket(self) -> str:
        """Between what the mean lies, and whether to trust it; nothing where there are no two estimates."""
        if self.low is None:
            return ""
        high, low, errors = float(self.value.mean()), float(self.low.mean()), self.mean_errors()
        width = high - low
        text = f"{high:.2f} ± {errors[0]:.2g} forwards, {low:.2f} ± {errors[1]:.2g} backwards: a bracket of {width:.2f} nats"
        return text if abs(width) <= TRUSTED else f"{text}, NOT TRUSTWORTHY: take more samples and betas, or train other chains"
