"""Squared-hinge SVMs of many classes and folds at once, from one Gram matrix.

What liblinear solves for one class, one fold and one cost after another (LinearSVC with dual=True:
Fan et al., JMLR 2008) is solved here for a matrix of columns, in the coordinates in which the
scatter of the training features is diagonal: an image that a fold or a class leaves out has weight
0 there, so that all of them share their products, and each cost begins where the last one ended.
"""

from dataclasses import dataclass

import numpy as np
from scipy.linalg import eigh

TOLERANCE = 1e-5
"""How far a solution may be from the exact one, as a part of its length."""
NEWTON_STEPS = 60
_CONJUGATE_STEPS = 60
_HALVINGS = 6
_NEGLIGIBLE = 1e-12
"""Share of the largest eigenvalue below which none counts: features have 24 bits."""


@dataclass(frozen=True)
class TrainSpan:
    """Training features, a 1 among them for the bias, in coordinates of their own span."""

    rows: np.ndarray
    """(N, K) float64; `rows.T @ rows` is diagonal."""
    scatter: np.ndarray
    """(K,) that diagonal, positive."""

    @classmethod
    def of(cls, gram: np.ndarray) -> "TrainSpan":
        """gram: (N, N) inner products of the features, without the 1."""
        values, vectors = eigh(gram + 1.0, driver="evd", check_finite=False)
        kept = values > _NEGLIGIBLE * values[-1]
        return cls(vectors[:, kept] * np.sqrt(values[kept]), values[kept])

    def scores(self, weights: np.ndarray, gram: np.ndarray) -> np.ndarray:
        """(M, P) decision values of any M images, bias included, by the weights (K, P).

        gram: (M, N) inner products of their features and the training features.
        """
        shares = self.rows @ (weights / self.scatter[:, None])
        found: np.ndarray = gram @ shares + shares.sum(axis=0)
        return found


def fit(
    span: TrainSpan, signs: np.ndarray, costs: np.ndarray, start: np.ndarray | None = None
) -> np.ndarray:
    """Weights (K, P) of P SVMs: each the minimum of |w|^2 / 2 + sum cost (1 - sign w.x)+^2.

    The objective is strongly convex, so the length of its gradient bounds the distance to the
    minimum: Newton's method, of which a system is solved by preconditioned conjugate gradients,
    ends where it is TOLERANCE of the weights' length.

    Args:
        span: of the N training images.
        signs: (N, P), 1 or -1; any where the cost is 0.
        costs: (N, P), of each image in each SVM; 0 leaves it out.
        start: (K, P), such as the weights at another cost; zeros if None.
    """
    weights = np.zeros((span.rows.shape[1], signs.shape[1])) if start is None else start.copy()
    rows32 = span.rows.astype(np.float32)
    scores = span.rows @ weights
    left = np.arange(signs.shape[1])
    for _ in range(NEWTON_STEPS):
        slack = np.maximum(1 - signs[:, left] * scores[:, left], 0)
        pull = 2 * costs[:, left] * slack * signs[:, left]
        gradient = weights[:, left] - span.rows.T @ pull
        error = np.linalg.norm(gradient, axis=0)
        far = error > TOLERANCE * np.linalg.norm(weights[:, left], axis=0)
        if not far.any():
            break
        left, gradient, slack = left[far], gradient[:, far], slack[:, far]
        curvature = 2 * costs[:, left] * (slack > 0)
        step = _newton_step(rows32, span.scatter, curvature, gradient)
        change = span.rows @ step
        length = _line_search(
            signs[:, left], costs[:, left], weights[:, left], step, scores[:, left], change
        )
        weights[:, left] += length * step
        scores[:, left] += length * change
    return weights


def _newton_step(
    rows: np.ndarray, scatter: np.ndarray, curvature: np.ndarray, gradient: np.ndarray
) -> np.ndarray:
    """(K, P) about -(1 + rows' curvature rows)^-1 gradient, to a tenth; (N, P) curvature.

    The preconditioner counts all images alike, which makes it a diagonal. Single precision does:
    what a step lacks the next one finds.
    """
    curvature, scatter = curvature.astype(np.float32), scatter.astype(np.float32)
    scale = np.linalg.norm(gradient, axis=0)
    residual = (-gradient / scale).astype(np.float32)
    inverse = 1 / (1 + scatter[:, None] * curvature.mean(axis=0))
    step = np.zeros_like(residual)
    direction = inverse * residual
    product = np.einsum("kp,kp->p", residual, direction)
    for _ in range(_CONJUGATE_STEPS):
        image = direction + rows.T @ (curvature * (rows @ direction))
        length = product / np.maximum(np.einsum("kp,kp->p", direction, image), 1e-30)
        step += length * direction
        residual -= length * image
        if np.linalg.norm(residual, axis=0).max() < 0.1:
            break
        ahead = inverse * residual
        before, product = product, np.einsum("kp,kp->p", residual, ahead)
        direction = ahead + product / np.maximum(before, 1e-30) * direction
    found: np.ndarray = step.astype(np.float64) * scale
    return found


def _line_search(
    signs: np.ndarray,
    costs: np.ndarray,
    weights: np.ndarray,
    step: np.ndarray,
    scores: np.ndarray,
    change: np.ndarray,
) -> np.ndarray:
    """(P,) lengths in (0, 1] at which the objective is least along the steps, or nearly."""
    inner = np.einsum("kp,kp->p", weights, step)
    square = np.einsum("kp,kp->p", step, step)

    def slope(length: np.ndarray) -> np.ndarray:
        slack = np.maximum(1 - signs * (scores + length * change), 0)
        pull = np.einsum("np,np->p", 2 * costs * slack * signs, change)
        found: np.ndarray = inner + length * square - pull
        return found

    low, high = np.zeros(len(inner)), np.ones(len(inner))
    below, above = slope(low), slope(high)
    whole = above <= 0
    if whole.all():
        return high
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        found = slope(middle)
        ascends = found > 0
        high, above = np.where(ascends, middle, high), np.where(ascends, found, above)
        low, below = np.where(ascends, low, middle), np.where(ascends, below, found)
    between = low + (high - low) * below / np.minimum(below - above, -1e-300)
    lengths: np.ndarray = np.where(whole, 1.0, between)
    return lengths
