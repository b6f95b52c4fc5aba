"""What a run of nearest neighbours leaves: classes, the choices, and the measurements."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cebench.files import write_csv

from ..classification.report import measurements as of_scores
from ..classification.report import write_per_class
from ..run_context import Measurement
from .votes import Choice

COLUMN = "knn"


def write_report(folder: Path, summary: Mapping[str, Any], found: Mapping[Choice, float]) -> None:
    """Write per_class.csv, and choices.csv with a line per number of neighbours and temperature."""
    write_per_class(folder / "per_class.csv", {"": summary})
    lines = [(*choice, value) for choice, value in found.items()]
    header = ("neighbours", "temperature", "mean_ap_sklearn_leave_one_out")
    write_csv(folder / "choices.csv", header, lines)


def measurements(
    summary: Mapping[str, Any], chosen: Choice, found: Mapping[Choice, float], train_images: int
) -> list[Measurement]:
    """The means on the test set; then what was chosen, and by which score on the train set."""
    chosen_by = Measurement(
        metric="mean_ap_sklearn_leave_one_out",
        value=found[chosen],
        count=train_images,
        column=COLUMN,
    )
    options = [
        Measurement(metric=name, value=value, count=train_images, column=COLUMN, unit=unit)
        for name, value, unit in (
            ("neighbours", float(chosen.neighbours), "images"),
            ("temperature", chosen.temperature, "cosine"),
        )
    ]
    return [*of_scores({"": summary}, COLUMN, summary["images"]), chosen_by, *options]
