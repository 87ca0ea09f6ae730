"""``python -m bench [NAME …]``: run benchmarks, print tables, write JSON to ``bench/results/``."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path

import bench
from bench.measurement import Measurement
from custodes import __version__

RESULTS = Path(__file__).resolve().parent / "results"


def find_benchmarks() -> Mapping[str, Callable[[], list[Measurement]]]:
    """Return the ``measure`` function of every module that has one, by module name."""
    found = {}
    for info in pkgutil.iter_modules(bench.__path__):
        if info.name != "__main__":
            module = importlib.import_module(f"bench.{info.name}")
            if hasattr(module, "measure"):
                found[info.name] = module.measure
    return found


def describe_machine() -> dict[str, object]:
    """Return what the figures depend on."""
    return {
        "custodes": __version__,
        "python": platform.python_version(),
        "system": f"{platform.system()} {platform.machine()}",
        "cpus": os.cpu_count(),
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
    }


def main(names: list[str]) -> int:
    """Run the named benchmarks, all without names; return 2 for a name that does not exist."""
    known = find_benchmarks()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    for name in names or known:
        print(f"\n{name}")
        measurements = known[name]()
        width = max(len(one.name) for one in measurements)
        for one in measurements:
            print(f"  {one.name:<{width}}  {one.value:>14,.2f} {one.unit}")
        result = {
            "benchmark": name,
            "machine": describe_machine(),
            "measurements": [asdict(one) for one in measurements],
        }
        (RESULTS / f"{name}.json").write_text(json.dumps(result, indent=2) + "\n", encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
