"""Evaluation: what a model can do, in figures that say how they were measured.

One metric family a file; each is asked for by a capability, never by a family's name.
"""

from calco.evaluation.context import EvalContext
from calco.evaluation.figures import Figure
from calco.evaluation.registry import evaluate

__all__ = ["EvalContext", "Figure", "evaluate"]
