"""Freed memory is kept: counted in pages that the system had to hand out, in a process of its own."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from calco.memory import kept

def pages(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(10_000_000)  # 40 MB: always handed back by glibc as it comes
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

with kept():
    pages(5)
    with kept():
        pass
    within = pages(20)
print(within, pages(20))
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_is_kept_within_the_outermost_context_and_given_back_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    within, after = map(int, done.stdout.split())
    assert within < after / 4
