"""Makes one Evidently report in a process of its own, at low priority, so that scoring does not wait for it.

Evidently computes for some tens of seconds and keeps its libraries in memory afterwards; both would be felt where
exchanges are scored. The process is given arrays on stdin and answers on stdout: no file, no shared state.
"""

from __future__ import annotations

import io
import os
import subprocess
import sys
import warnings
from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

import orjson

from custodes.kernel.errors import UnavailableError
from custodes.kernel.settings import child_environment
from custodes.runtime.evidently_batch import DriftReport, build_report, check_evidently_installed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

LONGEST_S: Final = 900.0
_NICENESS: Final = 5
_ONE_THREAD: Final = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS"), "1")

Columns = Mapping[str, list[float | None]]


def make_report(
    before: npt.NDArray[np.float64],
    since: npt.NDArray[np.float64],
    before_columns: Columns,
    since_columns: Columns,
) -> DriftReport:
    """Return Evidently's report of two samples ``(n, dim)`` and ``(m, dim)`` with numbers of the same exchanges.

    Raises ``UnavailableError`` when evidently is not installed, fails, or takes longer than a quarter of an hour.
    """
    import numpy as np  # noqa: PLC0415  # Serving does without it.

    check_evidently_installed()
    given = io.BytesIO()
    columns = np.frombuffer(orjson.dumps([dict(before_columns), dict(since_columns)]), dtype=np.uint8)
    np.savez(given, before=before, since=since, columns=columns)
    try:
        done = subprocess.run(
            [sys.executable, "-m", "custodes.runtime.report_process"],
            input=given.getvalue(),
            capture_output=True,
            env=child_environment(_ONE_THREAD),
            timeout=LONGEST_S,
            check=False,
        )
    except (OSError, subprocess.TimeoutExpired) as error:
        raise UnavailableError(f"the report could not be made: {type(error).__name__}") from error
    if done.returncode != 0:
        last = done.stderr.decode(errors="replace").strip().rpartition("\n")[2]
        raise UnavailableError(f"evidently failed with code {done.returncode}: {last[:300]}")
    html, body = orjson.loads(done.stdout)
    return DriftReport(html, body)


def main() -> None:
    """Read two samples from stdin and write ``[html, json]`` to stdout."""
    import numpy as np  # noqa: PLC0415

    os.nice(_NICENESS)
    warnings.simplefilter("ignore")
    with np.load(io.BytesIO(sys.stdin.buffer.read()), allow_pickle=False) as given:
        before_columns, since_columns = orjson.loads(given["columns"].tobytes())
        made = build_report(
            given["before"], given["since"], reference_columns=before_columns, current_columns=since_columns
        )
    sys.stdout.buffer.write(orjson.dumps([made.html, made.json]))


if __name__ == "__main__":
    main()
