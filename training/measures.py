"""Figures for model cards, and the two small fits they need: logistic regression and Platt scaling. Only numpy."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Auroc:
    """Area under the ROC curve with a 95 % percentile-bootstrap interval, and the number of examples of each class."""

    value: float
    low: float
    high: float
    positives: int
    negatives: int

    def as_json(self) -> dict[str, float | int]:
        return {
            "auroc": round(self.value, 4),
            "low": round(self.low, 4),
            "high": round(self.high, 4),
            "positives": self.positives,
            "negatives": self.negatives,
        }


def auroc(labels: npt.ArrayLike, scores: npt.ArrayLike) -> float:
    """Return the probability that a positive outranks a negative, ties counting half; NaN without both classes."""
    truth = np.asarray(labels, dtype=bool)
    _, place, count = np.unique(np.asarray(scores, dtype=np.float64), return_inverse=True, return_counts=True)
    ranks = (np.cumsum(count) - (count - 1) / 2)[place]  # Ties share their middle rank.
    positives = int(truth.sum())
    negatives = truth.size - positives
    if positives == 0 or negatives == 0:
        return float("nan")
    return float((ranks[truth].sum() - positives * (positives + 1) / 2) / (positives * negatives))


def auroc_interval(
    labels: npt.ArrayLike, scores: npt.ArrayLike, rng: np.random.Generator, *, resamples: int = 1000
) -> Auroc:
    """Return the AUROC with its interval; resamples draw positives and negatives apart, so both are always present."""
    truth = np.asarray(labels, dtype=bool)
    values = np.asarray(scores, dtype=np.float64)
    positive, negative = values[truth], values[~truth]
    drawn = np.empty(resamples)
    flags = np.concatenate([np.ones(positive.size, bool), np.zeros(negative.size, bool)])
    for index in range(resamples):
        sample = np.concatenate([rng.choice(positive, positive.size), rng.choice(negative, negative.size)])
        drawn[index] = auroc(flags, sample)
    low, high = np.quantile(drawn, [0.025, 0.975])
    return Auroc(auroc(truth, values), float(low), float(high), positive.size, negative.size)


def subgroup_aurocs(
    labels: npt.ArrayLike, scores: npt.ArrayLike, members: dict[str, npt.NDArray[np.bool_]]
) -> dict[str, tuple[float, float, float]]:
    """Return per group (subgroup AUROC, BPSN AUROC, BNSP AUROC) as in Borkan et al. 2019, arXiv 1903.04561.

    BPSN ranks the group's negatives against everyone else's positives (low: the group is falsely accused); BNSP ranks
    everyone else's negatives against the group's positives (low: attacks on the group are missed).
    """
    truth, values = np.asarray(labels, dtype=bool), np.asarray(scores, dtype=np.float64)
    result = {}
    for group, inside in members.items():
        bpsn = (inside & ~truth) | (~inside & truth)
        bnsp = (inside & truth) | (~inside & ~truth)
        result[group] = (
            auroc(truth[inside], values[inside]),
            auroc(truth[bpsn], values[bpsn]),
            auroc(truth[bnsp], values[bnsp]),
        )
    return result


def fit_logistic(
    features: npt.ArrayLike, targets: npt.ArrayLike, *, weights: npt.ArrayLike | None = None, penalty: float = 1.0
) -> tuple[Floats, float]:
    """Return coefficients and offset that maximise the likelihood less ``penalty / 2 * |coefficients|^2``.

    Newton's method, with steps halved until the objective falls. ``targets`` may be any numbers in [0, 1].
    """
    given = np.asarray(features, dtype=np.float64)
    design = np.column_stack([given, np.ones(len(given))])
    wanted = np.asarray(targets, dtype=np.float64)
    importance = np.ones(len(given)) if weights is None else np.asarray(weights, dtype=np.float64)
    ridge = np.full(design.shape[1], penalty)
    ridge[-1] = 0.0

    def objective(at: Floats) -> float:
        margin = design @ at
        return float((importance * (np.logaddexp(0.0, margin) - wanted * margin)).sum() + 0.5 * (ridge * at * at).sum())

    beta = np.zeros(design.shape[1])
    loss = objective(beta)
    for _ in range(100):
        chance = 1.0 / (1.0 + np.exp(-(design @ beta)))
        gradient = design.T @ (importance * (chance - wanted)) + ridge * beta
        curvature = (design.T * (importance * chance * (1 - chance))) @ design + np.diag(ridge + 1e-9)
        step = np.linalg.solve(curvature, gradient)
        size = 1.0
        while objective(beta - size * step) > loss and size > 1e-6:
            size /= 2
        beta = beta - size * step
        previous, loss = loss, objective(beta)
        if previous - loss < 1e-9 * (1.0 + abs(loss)):
            break
    return beta[:-1], float(beta[-1])


def fit_platt(labels: npt.ArrayLike, logits: npt.ArrayLike, weights: npt.ArrayLike) -> tuple[float, float]:
    """Return slope and offset of ``sigmoid(slope * logit + offset)`` that maximise the likelihood (Platt 1999).

    ``weights`` say how much each example counts. Targets are smoothed as Platt proposes, so that separable scores don't
    lead to an infinite slope.
    """
    truth = np.asarray(labels, dtype=bool)
    positives, negatives = truth.sum(), (~truth).sum()
    targets = np.where(truth, (positives + 1) / (positives + 2), 1 / (negatives + 2))
    slope, offset = fit_logistic(np.asarray(logits)[:, None], targets, weights=weights, penalty=0.0)
    return float(slope[0]), offset


def calibration_error(labels: npt.ArrayLike, probabilities: npt.ArrayLike, *, bins: int = 10) -> float:
    """Return the expected calibration error over equal-width bins: mean |frequency - probability|, in [0, 1]."""
    truth, values = np.asarray(labels, dtype=np.float64), np.asarray(probabilities, dtype=np.float64)
    places = np.minimum((values * bins).astype(int), bins - 1)
    gaps = [
        abs(truth[places == place].mean() - values[places == place].mean()) * (places == place).sum()
        for place in range(bins)
        if (places == place).any()
    ]
    return float(sum(gaps) / truth.size)
