"""The families, one file each. A file here, or in a package here, whose estimator has a `family` name is found by itself."""

import importlib
import os
import pkgutil
from functools import cache

from calco.errors import one_of
from calco.estimator import Estimator
from calco.runs import Run


@cache
def families() -> dict[str, type[Estimator]]:
    """Every family's estimator by its name on the command line."""
    found: dict[str, type[Estimator]] = {}
    for info in pkgutil.walk_packages(__path__, f"{__name__}."):
        module = importlib.import_module(info.name)
        for value in vars(module).values():
            own = isinstance(value, type) and issubclass(value, Estimator) and value.__module__ == module.__name__
            if own and "family" in vars(value):  # what several families share has none
                found[value.family] = value
    return dict(sorted(found.items()))


def family(name: str) -> type[Estimator]:
    """A family's estimator.

    Raises:
        RequestError: there is no such family.
    """
    if name not in families():
        raise one_of("family", name, families())
    return families()[name]


def load(path: str | os.PathLike[str], device: str = "cpu") -> Estimator:
    """The fitted estimator that a run folder holds, on `device`.

    Raises:
        RequestError: it is not a run folder, is damaged, did not finish, or comes from a newer calco.
    """
    run = Run(path)
    return family(run.field("family", str)).from_run(run).to(device)
