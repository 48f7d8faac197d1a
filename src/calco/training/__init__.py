"""Training: the settings, and the one loop that every family goes through."""

from calco.training.loop import Diverged, Interrupted, Report, train
from calco.training.recipe import Training, check_type

__all__ = ["Diverged", "Interrupted", "Report", "Training", "check_type", "train"]
