"""Small outcomes of every kind, from predictions that a test can score itself."""

from collections.abc import Sequence

import numpy as np

from cebench.metrics.detection import Detections, Objects
from cebench.metrics.inpainting import InpaintingSums, inpainting_sums
from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcome_parts import FillErrors, LabelScores, PixelPairs

CLASSES = 4


def label_scores(
    images: int = 60, draws: int = 1, seed: int = 0, strength: float = 1.0
) -> tuple[list[np.ndarray], np.ndarray]:
    """Scores (N, C) of each draw, better the greater `strength`, and labels of -1, 0 and 1."""
    truth = np.random.default_rng(7)
    labels = truth.choice([-1, 0, 1], (images, CLASSES), p=[0.6, 0.1, 0.3]).astype(np.int8)
    generator = np.random.default_rng(seed)
    noise = generator.normal(size=(draws, images, CLASSES))
    return [strength * labels + one for one in noise], labels


def boxes(images: int = 30, seed: int = 0, jitter: float = 6.0) -> tuple[Detections, Objects]:
    """Objects of every image, and detections near them and elsewhere, of all classes."""
    truth = np.random.default_rng(7)
    count = 3 * images
    corners = truth.uniform(0, 60, (count, 2))
    true_boxes = np.hstack([corners, corners + truth.uniform(20, 60, (count, 2))])
    objects = Objects(
        np.repeat(np.arange(images), 3),
        truth.integers(0, CLASSES, count),
        true_boxes.astype(np.float32),
        truth.random(count) < 0.1,
    )
    generator = np.random.default_rng(seed)
    near = true_boxes + generator.normal(0, jitter, true_boxes.shape)
    far = generator.uniform(0, 100, (5 * count, 2))
    found = np.vstack([near, np.hstack([far, far + generator.uniform(5, 60, far.shape)])])
    detections = Detections(
        np.concatenate([objects.images, generator.integers(0, images, 5 * count)]),
        np.concatenate([objects.labels, generator.integers(0, CLASSES, 5 * count)]),
        np.concatenate([generator.random(count), generator.random(5 * count) ** 2]).astype("f4"),
        found.astype(np.float32),
    )
    return detections, objects


def confusions(images: int = 40, seed: int = 0, right: float = 0.7) -> np.ndarray:
    """(N, C, C) confusion matrices of 1,000 pixels an image."""
    true = np.random.default_rng(7).multinomial(1000, [0.6, 0.2, 0.15, 0.05], images)
    share = np.full((CLASSES, CLASSES), (1 - right) / (CLASSES - 1))
    np.fill_diagonal(share, right)
    return np.random.default_rng(seed).multinomial(true, share)


def sums_per_image(images: int = 12, seed: int = 0, noise: float = 0.1) -> list[InpaintingSums]:
    """Errors of noisy images of 16 x 16 pixels with a hole of 6 x 6."""
    targets = np.random.default_rng(7).random((images, 3, 16, 16))
    predictions = targets + np.random.default_rng(seed).normal(0, noise, targets.shape)
    hole = np.zeros((1, 16, 16), np.bool_)
    hole[:, 5:11, 5:11] = True
    pairs = zip(np.clip(predictions, 0, 1), targets, strict=True)
    return [inpainting_sums(one[None], true[None], hole) for one, true in pairs]


def parts(seed: int = 0) -> Sequence[LabelScores | ScoredBoxes | PixelPairs | FillErrors]:
    """A part of every kind."""
    scores, labels = label_scores(seed=seed)
    detections, objects = boxes(seed=seed)
    return (
        LabelScores.from_scores(scores, labels),
        ScoredBoxes.from_detections(detections, objects, 30, CLASSES),
        PixelPairs(confusions(seed=seed)),
        FillErrors.from_sums([sums.hole for sums in sums_per_image(seed=seed)]),
    )
