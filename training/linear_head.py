"""Fits a logistic regression on sentence vectors: the smallest head there is, for what patterns mostly settle."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

Floats = NDArray[np.float64]


def fit_linear(vectors: Floats, targets: Floats, *, ridge: float, weights: Floats | None = None) -> Floats:
    """Return ``dim + 1`` coefficients, the offset last, that minimise weighted cross-entropy with a ridge penalty."""
    design = torch.tensor(np.c_[vectors, np.ones(len(vectors))])
    wanted = torch.tensor(targets)
    importance = torch.ones_like(wanted) if weights is None else torch.tensor(weights)
    coefficients = torch.zeros(design.shape[1], dtype=torch.float64, requires_grad=True)
    optimiser = torch.optim.LBFGS([coefficients], max_iter=300, line_search_fn="strong_wolfe")

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        each = torch.nn.functional.binary_cross_entropy_with_logits(design @ coefficients, wanted, reduction="none")
        value = (each * importance).sum() / importance.sum() + ridge * (coefficients[:-1] ** 2).sum()
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    return np.asarray(coefficients.detach().numpy(), dtype=np.float64)


def predict(coefficients: Floats, vectors: Floats) -> Floats:
    """Return probabilities in [0, 1]."""
    logits = np.c_[vectors, np.ones(len(vectors))] @ coefficients
    return np.asarray(1.0 / (1.0 + np.exp(-logits)), dtype=np.float64)


def cross_predict(vectors: Floats, targets: Floats, *, ridge: float, folds: int, rng: np.random.Generator) -> Floats:
    """Return for each row the probability by a fit that has not seen it."""
    order = rng.permutation(len(vectors))
    found = np.zeros(len(vectors))
    for part in np.array_split(order, folds):
        kept = np.setdiff1d(order, part)
        found[part] = predict(fit_linear(vectors[kept], targets[kept], ridge=ridge), vectors[part])
    return found
