"""calco learns the shape of data without labels and casts new data from it.

    import calco

    vae = calco.VAE(latent=16).fit("digits")
    vae.sample(64)

Everything is loaded when it is first used: importing calco has no side effects and costs nothing.
"""

from typing import Any

__version__ = "0.1.0"

_HOMES = {
    "Training": "calco.training",
    "Batch": "calco.contract",
    "Turn": "calco.contract",
    "Model": "calco.contract",
    "Estimator": "calco.estimator",
    "open_data": "calco.data",
    "CalcoError": "calco.errors",
    "RequestError": "calco.errors",
    "RunError": "calco.errors",
    "compare": "calco.comparison",
    "evaluate": "calco.evaluation",
    "transfer": "calco.few_labels",
    "write_report": "calco.report",
    "load": "calco.models",
    "plan": "calco.planning",
    "series": "calco.data.recordings",
    "families": "calco.models",
}


def __getattr__(name: str) -> Any:
    from importlib import import_module

    if name in _HOMES:
        return getattr(import_module(_HOMES[name]), name)
    if not name.startswith("_"):
        for estimator in import_module("calco.models").families().values():
            if estimator.__name__ == name:
                return estimator
    raise AttributeError(f"module 'calco' has no attribute {name!r}")


def __dir__() -> list[str]:
    from importlib import import_module

    estimators = import_module("calco.models").families().values()
    return sorted([*_HOMES, *(estimator.__name__ for estimator in estimators), "__version__"])
