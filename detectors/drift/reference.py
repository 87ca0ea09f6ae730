"""What "as usual" means: a frozen, versioned picture of a sample of exchanges, against which a stream is watched.

The sample is divided by chance. A third *teaches*: directions, clusters, bin edges and classifiers are made from it.
The other rows are *held out*: it has no part in any of that, so that under no drift its scores and those of the
stream are exchangeable, which is all that the guarantees need. A point that had taught and were then ranked against
would look more usual than it is, and every alarm's guarantee would be void.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from detectors.drift.cells import Cells, fit_cells
from detectors.drift.fourier import FourierFeatures, draw_features
from detectors.drift.packing import pack, unpack
from detectors.drift.projection import Projection, fit_projection
from detectors.drift.whole import Bytes, Whole, fit_whole
from detectors.errors import DriftInputError

FloatArray = npt.NDArray[np.float64]

LEAST_ROWS: Final = 64
BINS: Final = 128
# Beyond these, more rows sharpen the picture less than they cost at every change of direction.
MOST_TEACHING: Final = 4096
MOST_HELD: Final = 8192
# Directions need fewer rows than fresh draws do.
_TEACHING_SHARE: Final = 1.0 / 3.0
# The number counts formats: what an earlier release stored has another kind, and is refused as such.
_KIND: Final = "reference-2"


@dataclass(frozen=True, slots=True)
class Reference:
    """A fitted reference. ``encoder`` names what made the embeddings; other embeddings are refused.

    ``taught`` and ``held`` are the projected coordinates of the two parts (at most 4,096 and 8,192 rows),
    ``held_whole`` the held-out rows' whole embeddings in bytes. ``pools`` is ``(3, 128)``: how many held-out rows fall
    into each cell, into each bin of ``outlying``, and into each bin of the strongest direction. ``rows`` counts the
    sample.
    """

    encoder: str
    seed: int
    rows: int
    projection: Projection
    features: FourierFeatures
    cells: Cells
    whole: Whole
    taught: FloatArray
    held: FloatArray
    held_whole: Bytes
    spanning: bool
    cell_masses: FloatArray
    distance_edges: FloatArray
    main_edges: FloatArray
    pools: npt.NDArray[np.int64]
    digest: str

    def outlying(self, coordinates: FloatArray, gaps: FloatArray) -> FloatArray:
        """Return how unlike the reference each row (n, width) is; ``gaps`` are squared distances to the cell centres.

        That is its distance off the reference's directions. Where they span everything there is, as with
        embeddings of few dimensions, it is the distance to the nearest centre.
        """
        off: FloatArray = coordinates[:, -1]
        return gaps if self.spanning else off

    def frozen_bins(self, coordinates: FloatArray) -> npt.NDArray[np.int64]:
        """Return ``(n, 3)``: each row's cell, its bin of ``outlying``, and its bin of the strongest direction."""
        cells, gaps = self.cells.assign(coordinates)
        outlying = np.searchsorted(self.distance_edges, self.outlying(coordinates, gaps))
        # Without any direction the first coordinate is the distance off.
        main = np.searchsorted(self.main_edges, coordinates[:, 0])
        return np.stack([cells, outlying, main], axis=1)

    @property
    def dim(self) -> int:
        """Length of the embeddings that are understood."""
        return self.projection.dim

    def to_bytes(self) -> bytes:
        """Return bytes from which ``reference_from_bytes`` restores this reference exactly."""
        return pack(_KIND, *_contents(self))


def build_reference(vectors: npt.ArrayLike, *, encoder: str, seed: int = 0) -> Reference:
    """Fit a reference to ``vectors`` ``(n, dim)``: an i.i.d. sample of usual traffic, in any order.

    Rows that are not finite or all zero are left out. The same vectors and seed give the same reference. Raises
    DriftInputError if fewer than 64 rows are left: less could not tell drift from chance.
    """
    given = np.asarray(vectors, dtype=np.float64)
    if given.ndim != 2 or given.shape[1] == 0:
        raise DriftInputError(f"a reference needs a table of embeddings, got an array of shape {given.shape}")
    usable = given[usable_rows(given)]
    if len(usable) < LEAST_ROWS:
        raise DriftInputError(
            f"a reference needs at least {LEAST_ROWS} usable embeddings, got {len(usable)}: take more exchanges"
        )
    rng = np.random.default_rng(seed)
    shuffled = usable[rng.permutation(len(usable))]
    teaching = min(round(len(shuffled) * _TEACHING_SHARE), MOST_TEACHING)
    projection = fit_projection(shuffled[:teaching])
    taught = projection.apply(shuffled[:teaching])
    taught[:, -1] = _distances_off(shuffled[:teaching], projection)
    held = projection.apply(shuffled[teaching:])
    whole = fit_whole(shuffled[:teaching], taught, projection)
    features = draw_features(taught, rng)
    cells = fit_cells(taught, rng)
    nearest, gaps = cells.assign(taught)
    sizes = np.bincount(nearest, minlength=len(cells.centres))
    # Whole steps: a median below eight is rounding, not distance.
    spanning = projection.width > 1 and float(np.median(held[:, -1])) < 8.0
    cuts = np.arange(1, BINS) / BINS
    edges = np.quantile(gaps if spanning else taught[:, -1], cuts)
    # Half a row is added to each cell, so that an interval is never empty.
    masses = (sizes + 0.5) / (sizes + 0.5).sum()
    reference = Reference(
        encoder=encoder,
        seed=seed,
        rows=len(usable),
        projection=projection,
        features=features,
        cells=cells,
        whole=whole,
        taught=taught,
        held=held[:MOST_HELD],
        held_whole=whole.apply(shuffled[teaching:], held)[:MOST_HELD],
        spanning=spanning,
        cell_masses=masses,
        distance_edges=edges,
        main_edges=np.quantile(taught[:, 0], cuts),
        pools=np.zeros((3, BINS), dtype=np.int64),
        digest="",
    )
    bins = reference.frozen_bins(held)
    for view, pool in enumerate(reference.pools):
        pool[:] = np.bincount(bins[:, view], minlength=BINS)
    return _with_digest(reference)


def _distances_off(vectors: FloatArray, projection: Projection) -> FloatArray:
    """Return how far rows lie off directions fitted without them: each half is measured with the other's.

    Directions lie close to the rows they were fitted to; taken as they are, every later exchange would look unusual.
    """
    middle = len(vectors) // 2
    halves = (vectors[:middle], vectors[middle:])
    measured = []
    for rows, others in (halves, halves[::-1]):
        fitted = fit_projection(others)
        measured.append(fitted.apply(rows)[:, -1] * (fitted.spread / projection.spread))
    return np.rint(np.concatenate(measured))


def usable_rows(vectors: FloatArray) -> npt.NDArray[np.bool_]:
    """Return which rows are finite, not all zero and not beyond float32: the others say nothing about a text."""
    with np.errstate(invalid="ignore"):
        small = np.abs(vectors).max(axis=1, initial=0.0) < np.finfo(np.float32).max
    usable: npt.NDArray[np.bool_] = np.isfinite(vectors).all(axis=1) & small & (vectors != 0.0).any(axis=1)
    return usable


def reference_from_bytes(data: bytes) -> Reference:
    """Restore a reference. Raises DriftStateError if the bytes are damaged."""
    values, arrays = unpack(_KIND, data)
    projection = Projection(arrays["mean"], values["spread"], arrays["directions"].astype(np.float64))
    reference = Reference(
        encoder=values["encoder"],
        seed=values["seed"],
        rows=values["rows"],
        projection=projection,
        features=FourierFeatures(arrays["frequencies"].astype(np.float64), arrays["phases"]),
        cells=Cells(arrays["centres"].astype(np.float64)),
        whole=Whole(
            projection,
            arrays["whole_mean"],
            arrays["strengths"],
            values["scatter"],
            values["off_middle"],
            values["off_step"],
        ),
        taught=arrays["taught"].astype(np.float64),
        held=arrays["held"].astype(np.float64),
        held_whole=arrays["held_whole"],
        spanning=values["spanning"],
        cell_masses=arrays["cell_masses"],
        distance_edges=arrays["distance_edges"],
        main_edges=arrays["main_edges"],
        pools=arrays["pools"],
        digest="",
    )
    return _with_digest(reference)


def _contents(reference: Reference) -> tuple[dict[str, Any], dict[str, npt.NDArray[Any]]]:
    values = {
        "encoder": reference.encoder,
        "seed": reference.seed,
        "rows": reference.rows,
        "spread": reference.projection.spread,
        "spanning": reference.spanning,
        "scatter": reference.whole.scatter,
        "off_middle": reference.whole.off_middle,
        "off_step": reference.whole.off_step,
    }
    arrays: dict[str, npt.NDArray[Any]] = {
        "mean": reference.projection.mean,
        "directions": reference.projection.directions.astype(np.int32),
        "frequencies": reference.features.frequencies.astype(np.int32),
        "phases": reference.features.phases,
        "centres": reference.cells.centres.astype(np.int32),
        "taught": reference.taught.astype(np.int32),
        "held": reference.held.astype(np.int32),
        "held_whole": reference.held_whole,
        "whole_mean": reference.whole.mean,
        "strengths": reference.whole.strengths,
        "cell_masses": reference.cell_masses,
        "distance_edges": reference.distance_edges,
        "main_edges": reference.main_edges,
        "pools": reference.pools,
    }
    return values, arrays


def _with_digest(reference: Reference) -> Reference:
    values, arrays = _contents(reference)
    hashed = hashlib.sha256(repr(sorted(values.items())).encode())
    for name in sorted(arrays):
        hashed.update(name.encode() + np.ascontiguousarray(arrays[name]).tobytes())
    fields = {name: getattr(reference, name) for name in reference.__slots__}
    return Reference(**{**fields, "digest": f"sha256:{hashed.hexdigest()}"})
