"""Freed memory is kept: counted in pages that the system had to hand out, in a process of its own."""

import platform
import subprocess
import sys

import pytest

COUNT = """
import resource, torch
from calco.memory import kept

def handed_out(times):
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    for _ in range(times):
        torch.ones(10_000_000)  # 40 MB: glibc hands it back as soon as it is freed
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before

def resident():
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1])

without = handed_out(20)
with kept():
    handed_out(10)  # the heap grows to what is needed
    within = handed_out(20)
    held = resident()
    with kept():
        pass
    still = resident()
print(without, within, held, still, resident())
"""


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="the C library is not glibc")
def test_memory_is_kept_within_the_outermost_context_and_given_back_after_it() -> None:
    done = subprocess.run([sys.executable, "-c", COUNT], capture_output=True, text=True, check=True)
    without, within, held, still, after = map(int, done.stdout.split())
    assert within < without / 2
    most = 9_000  # pages of 4 KiB, of the 40 MB last freed
    assert still > held - most
    assert after < held - most
