"""Large blocks go back to the system."""

from __future__ import annotations

import subprocess
import sys

import pytest

PROBE = """
import re, threading
from custodes.runtime.memory import return_large_blocks

def resident_mib():
    return int(re.search(r"VmRSS:\\s+(\\d+)", open("/proc/self/status").read())[1]) / 1024

def grow():
    for size in range(1, 21):
        bytes(size << 20)
    held.append(bytearray(b"x" * (20 << 20)))
    small.append([bytearray(2000) for _ in range(500)])

known = return_large_blocks()
held, small = [], []
before = resident_mib()
threads = [threading.Thread(target=grow) for _ in range(8)]
[one.start() for one in threads]
[one.join() for one in threads]
full = resident_mib()
held.clear()
print(known, round(full - before), round(resident_mib() - before))
"""


@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
class TestReturnLargeBlocks:
    def test_they_do_not_stay_in_the_heaps_of_threads(self) -> None:
        done = subprocess.run([sys.executable, "-c", PROBE], capture_output=True, text=True, timeout=60, check=True)
        known, full, after = done.stdout.split()
        assert int(full) > 150
        assert known == "False" or int(after) < 40
