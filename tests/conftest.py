"""What every test stands on: one thread, no shared cache, no screen, a seed."""

import os

os.environ.setdefault("MPLBACKEND", "Agg")
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ.setdefault("OMP_NUM_THREADS", "1")  # for the processes that tests start

import hypothesis
import numpy as np
import pytest
import torch

torch.set_num_threads(1)

# The same examples each time: a test that fails in one place fails in all. HYPOTHESIS_MAX_EXAMPLES asks for more of them.
hypothesis.settings.register_profile(
    "calco",
    derandomize=True,
    deadline=None,
    database=None,
    max_examples=int(os.environ.get("HYPOTHESIS_MAX_EXAMPLES", "20")),
    # Fixtures that every test has (`alone`) are per test, not per example, which is what is wanted.
    suppress_health_check=[hypothesis.HealthCheck.function_scoped_fixture, hypothesis.HealthCheck.too_slow],
)
hypothesis.settings.load_profile("calco")


def pytest_collection_modifyitems(items):
    """What takes long comes first."""
    items.sort(key=lambda item: item.get_closest_marker("long") is None)


@pytest.fixture(autouse=True)
def alone(request, tmp_path_factory, monkeypatch):
    """No test sees another's cache or random numbers."""
    if hasattr(request.module, "rng"):
        monkeypatch.setattr(request.module, "rng", np.random.default_rng(0))
    monkeypatch.setenv("CALCO_CACHE", str(tmp_path_factory.getbasetemp() / "cache"))
    torch.manual_seed(0)
    np.random.seed(0)  # noqa: NPY002  scikit-learn draws from it where no random_state is given


@pytest.fixture
def quick(monkeypatch):
    """The nets that figures need learn briefly, and maps are of few codes: for tests of everything but these."""
    from calco.evaluation import classify, features
    from calco.report import likeness, sections

    monkeypatch.setattr(sections, "MAPPED", 100)
    monkeypatch.setattr(likeness, "PLACED", 50)
    for module in (classify, features):
        monkeypatch.setattr(module, "RECIPE", module.RECIPE.changed({"steps": 20, "lr_warmup": 5}))


@pytest.fixture
def float64():
    """New tensors are float64."""
    before = torch.get_default_dtype()
    torch.set_default_dtype(torch.float64)
    yield
    torch.set_default_dtype(before)
