"""What a run of low-shot SVMs leaves: a table of draws, and the measurements over them."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import numpy as np

from cebench.files import write_csv
from cebench.metrics.weighted_average_precision import DEFINITIONS
from cebench.reporting.outcome_parts import LabelScores
from cebench.reporting.outcomes import OutcomePart, RunOutcome

from ..labelled_images import LabelledImages
from ..run_context import Measurement

Values = Mapping[int, Mapping[str, list[float]]]
"""Positives per class -> definition -> mean average precision of each draw."""


def measurements(values: Values, images: int) -> Iterator[Measurement]:
    """Mean over the draws and sample deviation, by each definition and number of positives."""
    for shots, draws in values.items():
        for name, found in draws.items():
            metric, column = f"mean_ap_{name}", f"shots_{shots}"
            mean, deviation = float(np.mean(found)), float(np.std(found, ddof=1))
            yield Measurement(
                metric=metric, value=mean, count=images, draws=len(found), column=column
            )
            yield Measurement(
                metric=f"{metric}_sd_over_draws",
                value=deviation,
                column=column,
                higher_is_better=False,
                count=images,
                draws=len(found),
            )


def scored_from(scores: Mapping[int, Sequence[np.ndarray]], test: LabelledImages) -> RunOutcome:
    """What the measurements of each draw's scores (M, 20) are scored from.

    scores: positives per class -> the draws.
    """
    parts = (
        OutcomePart(scored=LabelScores.from_scores(draws, test.labels), column=f"shots_{shots}")
        for shots, draws in scores.items()
    )
    return RunOutcome(tuple(test.ids), tuple(parts))


def write_draws(path: Path, values: Values) -> None:
    """Write a line per number of positives and draw."""
    header = ("shots", "draw", *(f"mean_ap_{name}" for name in DEFINITIONS))
    lines = [
        (shots, draw, *row)
        for shots, draws in values.items()
        for draw, row in enumerate(zip(*draws.values(), strict=True))
    ]
    write_csv(path, header, lines)
