"""What a classification run leaves besides its predictions: numbers, curves and its mistakes."""

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.files import write_csv
from cebench.metrics.average_precision import average_precision_stepwise, class_curve
from cebench.metrics.weighted_average_precision import DEFINITIONS
from cebench.plots.precision_recall import plot_precision_recall
from cebench.plots.sheets import Cell, plot_curves, save_contact_sheet
from cebench.reporting.outcome_parts import LabelScores
from cebench.reporting.outcomes import OutcomePart, RunOutcome
from cebench.training.run_directory import RunDirectory

from ..labelled_images import LabelledImages
from ..run_context import Measurement

MISTAKES = 4
"""Pictures of mistakes per class."""
_EMPTY = Cell(np.full((1, 1, 3), 255, dtype=np.uint8))

Summaries = Mapping[str, Mapping[str, Any]]
"""What a metric's name ends in ("" or "_one_crop") -> `classification_summary`."""


def write_report(
    run: RunDirectory, test: LabelledImages, scores: np.ndarray, summaries: Summaries
) -> None:
    """Write per_class.csv and the pictures of scores (crops, N, 20)."""
    write_per_class(run.path / "per_class.csv", summaries)
    plot_curves(run.metrics(), run.path / "curves.png", title="classification")
    (run.path / "samples").mkdir(exist_ok=True)
    _plot_curves(scores.sum(axis=0), test, run.path / "precision_recall.png")
    plot_mistakes(test, scores.sum(axis=0), run.path / "samples" / "mistakes.png")


def measurements(summaries: Summaries, column: str, images: int) -> list[Measurement]:
    """Each mean by each definition."""
    return [
        Measurement(
            metric=f"mean_ap_{name}{suffix}",
            value=summary[f"mean_ap_{name}"],
            count=images,
            column=column,
        )
        for suffix, summary in summaries.items()
        for name in DEFINITIONS
    ]


def scored_from(scores: np.ndarray, test: LabelledImages, column: str) -> RunOutcome:
    """What the measurements of scores (crops, N, 20) are scored from."""
    by_suffix = {"": scores.sum(axis=0), "_one_crop": scores[0]}
    parts = (
        OutcomePart(
            scored=LabelScores.from_scores([values], test.labels), column=column, suffix=suffix
        )
        for suffix, values in by_suffix.items()
    )
    return RunOutcome(tuple(test.ids), tuple(parts))


def write_per_class(path: Path, summaries: Summaries) -> None:
    """A line per class: counts, then every definition with its interval."""
    header = ["class", "positives", "images"]
    header += [
        f"ap_{name}{suffix}{end}"
        for suffix in summaries
        for name in DEFINITIONS
        for end in ("", "_ci95_low", "_ci95_high")
    ]
    write_csv(path, header, _per_class_lines(summaries))


def _per_class_lines(summaries: Summaries) -> Iterator[list[Any]]:
    for name in VOC_CLASSES:
        rows = [summary["per_class"][name] for summary in summaries.values()]
        line = [name, rows[0]["positives"], rows[0]["images"]]
        for row in rows:
            for definition in DEFINITIONS:
                line += [row[f"ap_{definition}"], *row[f"ap_{definition}_ci95"]]
        yield line


def _plot_curves(scores: np.ndarray, test: LabelledImages, path: Path) -> None:
    labels = dict(zip(VOC_CLASSES, test.labels.T, strict=True))
    curves = {name: class_curve(scores[:, c], labels[name]) for c, name in enumerate(VOC_CLASSES)}
    average_precision = {
        name: average_precision_stepwise(*curve) if curve else float("nan")
        for name, curve in curves.items()
    }
    chance = {
        name: float((of_class == 1).sum() / max((of_class != 0).sum(), 1))
        for name, of_class in labels.items()
    }
    plot_precision_recall(curves, average_precision, path, chance)


def plot_mistakes(test: LabelledImages, scores: np.ndarray, path: Path) -> None:
    """Write a PNG with two classes a row: the images without one that score highest for it."""
    rows = []
    for c, name in enumerate(VOC_CLASSES):
        ranked = np.argsort(-scores[:, c], kind="stable")
        wrong = ranked[test.labels[ranked, c] == -1][:MISTAKES]
        rows.append([_mistake(test, int(i), f"{name}? {scores[i, c]:+.1f}") for i in wrong])
    pairs = [
        left + [_EMPTY] * (MISTAKES - len(left)) + right
        for left, right in zip(rows[::2], rows[1::2], strict=True)
        if left or right
    ]
    titles = [f"mistake {number}" for number in range(1, MISTAKES + 1)] * 2
    save_contact_sheet(titles, pairs, path, side=150)


def _mistake(test: LabelledImages, index: int, guess: str) -> Cell:
    shown = [VOC_CLASSES[c] for c in np.flatnonzero(test.labels[index] == 1)]
    pixels = test.images.image(index).cpu().numpy()
    return Cell(pixels, (guess, f"shows {', '.join(shown) or 'no object'}"))
