"""What the documents show works as it stands there."""

import re
import runpy
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent


# The pendulum takes minutes: its parts are tried where planning is.
QUICK = sorted(path for path in (ROOT / "examples").glob("*.py") if path.name != "pendulum.py")


@pytest.mark.parametrize("path", QUICK, ids=lambda p: p.name)
def test_examples_run(path, capsys):
    runpy.run_path(str(path), run_name="__main__")
    assert "nats" in capsys.readouterr().out


@pytest.mark.long
def test_the_readme_runs(capsys):
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert len(blocks) >= 2
    names: dict = {}
    for block in blocks:
        exec(compile(block, "README.md", "exec"), names)
    assert "nats per digit" in capsys.readouterr().out
    assert names["x"].shape[0] == 100


def test_links_lead_somewhere():
    for page in ROOT.glob("*.md"):
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", page.read_text()):
            assert (ROOT / link).exists(), f"{page.name}: {link}"
