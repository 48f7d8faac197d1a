"""Pure functions of tensors: likelihoods, divergences, bounds, and the noise of a step."""
