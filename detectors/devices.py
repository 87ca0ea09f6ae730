"""Which devices score: named by the caller, or found by ``auto``, and described in words for the log.

A name is ``cpu``, ``cuda`` (every CUDA device), ``cuda:1``, a list such as ``cuda:0,cuda:2``, or ``auto``: every CUDA
device if there is one, else the CPU. Nothing else is ever taken in a device's place. ROCm's devices answer to ``cuda``.
"""

from __future__ import annotations

import json
import re
import subprocess
import sys
from collections.abc import Sequence
from typing import Final

from detectors.errors import DetectorError

AUTO: Final = "auto"
CPU: Final = "cpu"
EVERY_CUDA: Final = "cuda"
NAMES: Final = re.compile(r"auto|cpu|cuda|cuda:\d{1,3}(,cuda:\d{1,3})*")
_PROBE_S: Final = 300
_PROBE: Final = (
    "import json, sys; sys.path[:] = json.loads(sys.argv[1]); "
    "from detectors.devices import count_cuda; print(count_cuda())"
)


def parse_devices(name: str) -> tuple[str, ...] | None:
    """Return the devices that ``name`` lists; None for ``auto`` and ``cuda``, which depend on the machine.

    Raises DetectorError for anything else, and for a device named twice.
    """
    if NAMES.fullmatch(name) is None:
        raise DetectorError(
            f"no device {name!r}: write cpu, cuda for every CUDA device, cuda:0, a list such as cuda:0,cuda:1, or auto"
        )
    if name in (AUTO, EVERY_CUDA):
        return None
    devices = tuple(name.split(","))
    if len(set(devices)) < len(devices):
        raise DetectorError(f"{name!r} names a device twice; each is run by one process")
    return devices


def choose_devices(name: str, cuda_devices: int) -> tuple[str, ...]:
    """Return the devices meant by ``name`` on a machine with that many CUDA devices.

    Raises DetectorError if the name is none or a device isn't there.
    """
    listed = parse_devices(name)
    if listed is None:
        if cuda_devices:
            return tuple(f"cuda:{index}" for index in range(cuda_devices))
        if name == AUTO:
            return (CPU,)
        raise DetectorError("no CUDA device here; choose the device cpu or auto, or look at the driver")
    for device in listed:
        if device != CPU and int(device.removeprefix("cuda:")) >= cuda_devices:
            there = f"there are {cuda_devices}, counted from 0" if cuda_devices else "there is none"
            raise DetectorError(f"no device {device} here: {there}")
    return listed


def find_devices(name: str) -> tuple[str, ...]:
    """Return the devices meant by ``name`` on this machine, without loading torch into this process.

    Takes as long as torch takes to load in another one, except for ``cpu``. Raises DetectorError as ``choose_devices``
    does, and if torch cannot be asked.
    """
    if parse_devices(name) == (CPU,):
        return (CPU,)
    command = [sys.executable, "-c", _PROBE, json.dumps(sys.path)]
    try:
        probed = subprocess.run(command, capture_output=True, text=True, timeout=_PROBE_S, check=True)
        count = int(probed.stdout.split()[-1])
    except (OSError, subprocess.SubprocessError, ValueError, IndexError) as error:
        raise DetectorError(f"torch could not be asked which devices there are ({type(error).__name__})") from error
    return choose_devices(name, count)


def count_cuda() -> int:
    """Return how many CUDA devices torch can use; loads torch."""
    import torch  # noqa: PLC0415  # The process that only chooses devices must not load it.

    return torch.cuda.device_count() if torch.cuda.is_available() else 0


def describe_device(device: str) -> str:
    """Return a device in words, such as ``cuda:0 (NVIDIA H200, 140 GiB)``; loads torch."""
    import torch  # noqa: PLC0415

    if device == CPU:
        found = torch.cpu.get_capabilities()
        known = ("amx_tile", "avx512_bf16", "avx512_vnni", "avx512_f", "avx2")
        fastest: Sequence[str] = [one for one in known if found.get(one)]
        return f"cpu ({', '.join(fastest[:3]) or 'no vector units known'})"
    properties = torch.cuda.get_device_properties(device)
    return f"{device} ({properties.name}, {properties.total_memory / (1 << 30):.0f} GiB)"
