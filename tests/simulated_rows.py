"""Rows of average precision whose true scores are known: what intervals and tests are tried on.

Sizes and class frequencies are those of VOC2007's test set; a row is told by how far its scores of
right entries lie above those of wrong ones. Rows simulated together share images: labels, the
difficulty of each image, and a part of the noise.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
from scipy import optimize, stats

from cebench.metrics.average_precision import RECALL_LEVELS
from cebench.metrics.detection import FALSE_POSITIVE, TRUE_POSITIVE
from cebench.metrics.weighted_average_precision import DEFINITIONS, WeightedAveragePrecision

TEST_IMAGES = 4952
CLASS_COUNTS = np.array(
    [
        *((204, 285), (239, 337), (282, 459), (172, 263), (212, 469), (174, 213), (721, 1201)),
        *((322, 358), (417, 756), (127, 244), (190, 206), (418, 489), (274, 348), (222, 325)),
        *((2007, 4528), (224, 480), (97, 242), (223, 239), (259, 282), (229, 308)),
    ]
)
"""Images with each class, and its objects that are not difficult, in VOC2007's test set."""
FREQUENCY = CLASS_COUNTS[:, 0] / TEST_IMAGES
CLASSES = len(CLASS_COUNTS)
SHARED_BY_CLASSES, SHARED_BY_ROWS = 0.3, 0.6
"""Shares of the noise's variance that the classes of an image, and rows, have in common."""
SHARED_BY_REAL_ROWS = 0.85
"""With this share the difference of two classification rows at 4,952 images has a standard error of
half a point, as two real rows had whose own intervals were 2.9 points wide."""
IGNORED = 0.03
"""Share of labels that are ignored."""
FALSE_PER_IMAGE = 0.9
"""False positives of a class in an image."""

Task = Literal["classification", "detection"]


@dataclass(frozen=True)
class Scorer:
    """What a row's scores are like."""

    separation: np.ndarray
    """(C,) how far right entries' scores lie above wrong ones', in standard deviations."""
    scale: float = 1.0
    """Scores are exp(scale * x) if it is not 1: another unit, the same order."""
    found: float = 0.8
    """Share of objects that are found at all (detection)."""

    def scores(self, right: np.ndarray, label: np.ndarray, noise: np.ndarray) -> np.ndarray:
        """Scores of entries from normal noise of variance 1."""
        x = noise + np.where(right, self.separation[label], 0.0)
        return x if self.scale == 1 else np.exp(self.scale * x)


@dataclass(frozen=True)
class Entries:
    """One row's entries before they are ranked: what a test by raw scores needs."""

    image: np.ndarray
    label: np.ndarray
    scores: np.ndarray
    right: np.ndarray
    objects: np.ndarray
    """(C, N)."""

    def ranked(self) -> WeightedAveragePrecision:
        """The row as detections that are matched already."""
        outcomes = np.where(self.right, TRUE_POSITIVE, FALSE_POSITIVE)
        return WeightedAveragePrecision.from_outcomes(
            self.image, self.label, self.scores, outcomes, self.objects
        )


def simulate(
    task: Task,
    images: int,
    scorers: Sequence[Scorer],
    rng: np.random.Generator,
    shared: float = SHARED_BY_ROWS,
) -> list[Entries]:
    """Rows of one task on the same images; `shared` of the noise's variance is common to them.

    Classification's entries are all images and classes that are not ignored.
    """
    present = rng.random((CLASSES, images)) < FREQUENCY[:, None]
    if task == "classification":
        counted = rng.random(present.shape) >= IGNORED
        objects, wrong = (present & counted).astype(int), (~present & counted).astype(int)
    else:
        more = rng.poisson((CLASS_COUNTS[:, 1] / CLASS_COUNTS[:, 0] - 1)[:, None], present.shape)
        objects = np.where(present, 1 + more, 0)
        wrong = rng.poisson(FALSE_PER_IMAGE, present.shape)
    places = np.indices(present.shape).reshape(2, -1)
    label, image = np.concatenate(
        [np.repeat(places, count.ravel(), axis=1) for count in (objects, wrong)], axis=1
    )
    right = np.arange(len(label)) < objects.sum()
    noise, luck = entry_noise(image, len(scorers), rng, shared), rng.random(len(label))
    rows = []
    for scorer, own in zip(scorers, noise, strict=True):
        kept = ~right | (luck < (1.0 if task == "classification" else scorer.found))
        scores = scorer.scores(right, label, own)
        rows.append(Entries(image[kept], label[kept], scores[kept], right[kept], objects))
    return rows


def simulate_rows(
    task: Task,
    images: int,
    scorers: Sequence[Scorer],
    rng: np.random.Generator,
    shared: float = SHARED_BY_ROWS,
) -> list[WeightedAveragePrecision]:
    """Ranked rows of one task on the same images."""
    return [entries.ranked() for entries in simulate(task, images, scorers, rng, shared)]


def entry_noise(
    image: np.ndarray, rows: int, rng: np.random.Generator, shared: float
) -> np.ndarray:
    """Normal noise of variance 1 of each row's entries, (rows, D)."""
    of_image = rng.normal(size=(rows + 1, image.max(initial=0) + 1))[:, image]
    single = rng.normal(size=(rows + 1, len(image)))
    mixed = np.sqrt(SHARED_BY_CLASSES) * of_image + np.sqrt(1 - SHARED_BY_CLASSES) * single
    common, own = mixed[:1], mixed[1:]
    noise: np.ndarray = np.sqrt(shared) * common + np.sqrt(1 - shared) * own
    return noise


def true_per_class(scorer: Scorer, task: Task) -> np.ndarray:
    """(3, C) average precisions of infinitely many images, by numerical integration."""
    if task == "classification":
        right, wrong, found = FREQUENCY, 1 - FREQUENCY, 1.0
    else:
        found = scorer.found
        right, wrong = found * CLASS_COUNTS[:, 1] / TEST_IMAGES, np.full(CLASSES, FALSE_PER_IMAGE)
    classes = zip(right, wrong, scorer.separation, strict=True)
    return np.stack([_true(r, w, s, found) for r, w, s in classes], axis=1)


def true_means(scorer: Scorer, task: Task) -> np.ndarray:
    """(3,) mean average precisions of infinitely many images."""
    means: np.ndarray = true_per_class(scorer, task).mean(axis=1)
    return means


def _true(right: float, wrong: float, separation: float, found: float) -> np.ndarray:
    law = stats.norm()
    threshold = np.linspace(-6, 6 + separation, 20001)[::-1]
    hits, misses = right * law.sf(threshold - separation), wrong * law.sf(threshold)
    precision, recall = hits / (hits + misses), found * law.sf(threshold - separation)
    steps = np.diff(recall, prepend=0.0)
    # Precision falls with recall here, so the area under the envelope is the step-wise one.
    level = np.searchsorted(recall, RECALL_LEVELS * (1 - 1e-6))
    eleven = np.append(precision, 0.0)[level].mean()
    return np.array([steps @ precision, eleven, steps @ precision])


def scorer_of(mean_ap: float, task: Task, definition: str = "area", unlike: bool = False) -> Scorer:
    """The scorer whose true mean average precision by a definition is so.

    Classes differ: their separations are 0.7 to 1.3 times their mean. unlike: 0.4 to 1.6 times, in
    another order, so that rows of one mean are good at different classes.
    """
    reach, seed = (0.6, 99) if unlike else (0.3, 7)
    order = np.random.default_rng(seed).permutation(CLASSES)
    profile = np.linspace(1 - reach, 1 + reach, CLASSES)[order]
    start = Scorer(profile, found=0.8 if mean_ap > 0.3 else 0.5)
    index = DEFINITIONS.index(definition)

    def excess(separation: float) -> float:
        scorer = replace(start, separation=separation * profile)
        return float(true_means(scorer, task)[index]) - mean_ap

    return replace(start, separation=optimize.brentq(excess, 0.0, 6.0, xtol=1e-5) * profile)
