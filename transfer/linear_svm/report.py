"""What a run of linear SVMs leaves: the table of classes, and the measurements of each layer."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from cebench.reporting.outcome_parts import LabelScores
from cebench.reporting.outcomes import OutcomePart, RunOutcome

from ..classification.report import measurements as of_scores
from ..classification.report import write_per_class
from ..labelled_images import LabelledImages
from ..run_context import Measurement

Summaries = Mapping[str, Mapping[str, Any]]
"""Layer -> `classification_summary`."""


def write_report(folder: Path, summaries: Summaries) -> None:
    """Write per_class.csv with the columns of every layer."""
    by_suffix = {f"_{layer}": summary for layer, summary in summaries.items()}
    write_per_class(folder / "per_class.csv", by_suffix)


def measurements(summaries: Summaries) -> list[Measurement]:
    """The means of every layer, whose column has its name."""
    return [
        measurement
        for layer, summary in summaries.items()
        for measurement in of_scores({"": summary}, layer, summary["images"])
    ]


def scored_from(scores: Mapping[str, np.ndarray], test: LabelledImages) -> RunOutcome:
    """What the measurements of each layer's scores (M, 20) are scored from."""
    parts = (
        OutcomePart(scored=LabelScores.from_scores([values], test.labels), column=layer)
        for layer, values in scores.items()
    )
    return RunOutcome(tuple(test.ids), tuple(parts))
