"""Run directories of a transfer with a record and its outcome, made without any training."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

from outcome_makers import boxes, label_scores
from samples import changed

from cebench.reporting.outcome_boxes import ScoredBoxes
from cebench.reporting.outcome_parts import LabelScores
from cebench.reporting.outcomes import (
    FILE_NAME,
    OutcomePart,
    RunOutcome,
    rescored,
    with_intervals,
    write_outcome,
)
from cebench.reporting.records import Record, write_record

CLASSIFICATION = changed(
    task="classification",
    column="classification",
    protocol="voc-classification",
    metric="mean_ap_sklearn",
    count=300,
)


def store_run(folder: Path, record: Record, outcome: RunOutcome) -> Record:
    """Write both files of a run, the record's values and intervals those of the outcome."""
    folder.mkdir(parents=True, exist_ok=True)
    values = rescored(outcome, record)
    measurements = [
        replace(m, value=values.get(place, m.value)) for place, m in enumerate(record.measurements)
    ]
    with_ends = with_intervals(measurements, outcome, record.weights.method)
    sha256 = write_outcome(folder / FILE_NAME, outcome)
    record = replace(record, measurements=with_ends, outcome_sha256=sha256)
    write_record(folder / "record.json", record)
    return record


def classification_run(
    folder: Path,
    row: str,
    strength: float,
    images: int = 300,
    noise: int | None = None,
    **changes: Any,
) -> Record:
    """A classification run whose scores are better the greater `strength`; `noise`: its seed."""
    seed = sum(map(ord, row)) + 7 * changes.get("seed", 0) if noise is None else noise
    scores, labels = label_scores(images, seed=seed, strength=strength)
    outcome = RunOutcome(
        tuple(f"{n:06}" for n in range(images)),
        (OutcomePart(scored=LabelScores.from_scores(scores, labels), column="classification"),),
    )
    head = changed(CLASSIFICATION, row=row, count=images, **changes)
    metrics = ("mean_ap_sklearn", "mean_ap_voc07_11pt", "mean_ap_area")
    measurements = tuple(replace(head.measurements[0], metric=metric) for metric in metrics)
    return store_run(folder, replace(head, measurements=measurements), outcome)


def detection_run(folder: Path, row: str, jitter: float, images: int = 120) -> Record:
    """A detection run whose boxes are worse the greater `jitter`."""
    detections, objects = boxes(images, seed=1, jitter=jitter)
    part = ScoredBoxes.from_detections(detections, objects, images, 4)
    outcome = RunOutcome(
        tuple(f"{n:06}" for n in range(images)), (OutcomePart(scored=part, column="detection"),)
    )
    return store_run(folder, changed(row=row, count=images), outcome)


def three_rows(folder: Path, strengths: Sequence[float] = (1.5, 0.2, 0.2)) -> Path:
    """Run directories of the rows context, autoencoder and random with classification."""
    for row, strength in zip(("context", "autoencoder", "random"), strengths, strict=True):
        classification_run(folder / row, row, strength)
    return folder
