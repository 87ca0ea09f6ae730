"""Evidently's embedding drift methods and report: the one module that imports it.

Custodes' alarms come from its own monitors, whose false-alarm rate holds under continuous looking. Evidently makes
the report people read, and is offered as a scheduled batch monitor for teams who want its numbers. Its pitfalls, all
measured by ``python -m bench drift`` and named in docs/drift.md: each look is a fresh test, so alarms add up with
looks; the thresholds of ``distance`` and ``ratio`` ignore how few rows there are; ``mmd`` with ``bootstrap`` compares
with the 5th percentile of its null and so alarms nearly always; ``mmd`` builds a matrix of all pairs in memory.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any, Final

from custodes.kernel.errors import TooLargeError, UnavailableError

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt
    import pandas as pd

METHODS: Final = ("model", "distance", "ratio", "mmd")
# The kernel matrix of so many rows takes 3.2 GB.
MOST_ROWS: Final = 20_000


@dataclass(frozen=True, slots=True)
class BatchVerdict:
    """What one method said of one pair of samples: its score, in its own unit, and whether it calls that drift."""

    method: str
    score: float
    drifted: bool


@dataclass(frozen=True, slots=True)
class DriftReport:
    """Evidently's report in both forms."""

    html: str
    json: str


def check_evidently_installed() -> None:
    """Raise ``UnavailableError`` saying what to install, unless evidently is."""
    if find_spec("evidently") is None:
        raise UnavailableError("drift reports need evidently: pip install 'custodes[full]'")


def run_batch_method(
    method: str,
    reference: npt.NDArray[np.floating[Any]],
    current: npt.NDArray[np.floating[Any]],
    *,
    bootstrap: bool = False,
) -> BatchVerdict:
    """Apply one of ``METHODS`` with Evidently's own defaults to samples ``(n, dim)`` and ``(m, dim)``.

    Raises TooLargeError before memory runs out.
    """
    check_evidently_installed()
    rows = len(reference) + len(current)
    if method == "mmd" and rows > MOST_ROWS:
        raise TooLargeError(f"mmd compares all pairs of {rows} rows", limit=MOST_ROWS, seen=rows)
    score, drifted, _ = _find_method(method, bootstrap)(_to_frame(current), _to_frame(reference))
    return BatchVerdict(method, float(score), bool(drifted))


def build_report(
    reference: npt.NDArray[np.floating[Any]],
    current: npt.NDArray[np.floating[Any]],
    *,
    reference_columns: Mapping[str, list[float | None]] | None = None,
    current_columns: Mapping[str, list[float | None]] | None = None,
) -> DriftReport:
    """Return Evidently's report of embeddings ``(n, dim)`` and of named numbers, such as scores and latency.

    The four embedding methods and the data drift preset are shown side by side. Columns have one value an exchange.
    """
    check_evidently_installed()
    from evidently import DataDefinition, Dataset, Report  # noqa: PLC0415
    from evidently.metrics.embeddings import EmbeddingsDrift  # noqa: PLC0415
    from evidently.presets import DataDriftPreset  # noqa: PLC0415

    frames = [_to_frame(sample) for sample in (reference, current)]
    names = list(frames[0].columns)
    numbers = sorted(set(reference_columns or {}) & set(current_columns or {}))
    for frame, columns in zip(frames, (reference_columns, current_columns), strict=True):
        for name in numbers:
            frame[name] = (columns or {})[name]
    definition = DataDefinition(numerical_columns=numbers, embeddings={"embeddings": names})
    metrics: list[Any] = [
        EmbeddingsDrift(embeddings_name="embeddings", drift_method=_find_method(method, False)) for method in METHODS
    ]
    if numbers:
        metrics.append(DataDriftPreset(columns=numbers))
    datasets = [Dataset.from_pandas(frame, data_definition=definition) for frame in frames]
    snapshot = Report(metrics).run(reference_data=datasets[0], current_data=datasets[1])
    return DriftReport(snapshot.get_html_str(as_iframe=False), snapshot.json())


def _find_method(method: str, bootstrap: bool) -> Any:
    from evidently.metrics import embeddings  # noqa: PLC0415

    known = {
        "model": embeddings.ModelDriftMethod,
        "distance": embeddings.DistanceDriftMethod,
        "ratio": embeddings.RatioDriftMethod,
        "mmd": embeddings.MMDDriftMethod,
    }
    return known[method](bootstrap=bootstrap) if bootstrap else known[method]()


def _to_frame(sample: npt.NDArray[np.floating[Any]]) -> pd.DataFrame:
    """Return a fresh frame; Evidently's methods write into the frames they are given."""
    import numpy as np  # noqa: PLC0415
    import pandas as pd  # noqa: PLC0415

    return pd.DataFrame(np.asarray(sample, dtype=np.float64), columns=[f"e{n}" for n in range(sample.shape[1])])
