"""``python -m bench [NAME …]``: run benchmarks, print tables, write JSON to ``bench/results/``."""

from __future__ import annotations

import importlib
import json
import os
import pkgutil
import platform
import sys
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

import bench
from bench.measurement import Measurement
from custodes import __version__

RESULTS = Path(__file__).resolve().parent / "results"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """A benchmark; those that take long run only when they are named."""

    measure: Callable[[], list[Measurement]]
    only_when_named: bool


def find_benchmarks() -> Mapping[str, Benchmark]:
    """Return the benchmark of every module that has a function ``measure``, by module name."""
    found: dict[str, Benchmark] = {}
    for info in pkgutil.iter_modules(bench.__path__):
        if info.name != "__main__":
            module = importlib.import_module(f"bench.{info.name}")
            if hasattr(module, "measure"):
                found[info.name] = Benchmark(module.measure, getattr(module, "ONLY_WHEN_NAMED", False))
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
    """Run the named benchmarks, without names all that do not take long; return 2 for a name that does not exist."""
    known = find_benchmarks()
    unknown = sorted(set(names) - set(known))
    if unknown:
        print(f"no benchmark {', '.join(unknown)}; there are: {', '.join(known)}", file=sys.stderr)
        return 2
    RESULTS.mkdir(exist_ok=True)
    for name in names or [name for name, one in known.items() if not one.only_when_named]:
        print(f"\n{name}")
        measurements = known[name].measure()
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
