"""Draws docs/images/ladder*.png and prints the ladder's tables: `python docs/draw_ladder.py`.

A rung is a trunk that saw so many crops, measured by a linear SVM on each layer and by fine-tuned
classification. The records lie in results/ladder, apart from those of the tables, since every rung
is another pretraining.
"""

import math
from collections import defaultdict
from collections.abc import Sequence
from pathlib import Path
from statistics import mean, stdev

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from scipy.stats import ttest_ind

from cebench.reporting.records import Record, load_record

ROOT = Path(__file__).parents[1]
PICTURES = ROOT / "docs" / "images"
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")
NAMES = {
    "context": "context",
    "imagenet": "labels (200 classes)",
    "autoencoder": "autoencoder",
    "random": "random",
    "random-he": "random (He)",
}
SHORT = "context, `short`"
COLOURS = {
    NAMES["autoencoder"]: "C0",
    "context, one rate": "C1",
    NAMES["context"]: "C2",
    SHORT: "C3",
    NAMES["imagenet"]: "C4",
}
"""Row -> its colour, the same in both pictures."""
METRIC = "mean_ap_area"
CLASSIFICATION = "classification"


def crops_seen(record: Record) -> int:
    """Crops that the pretraining of a record's weights learned from."""
    weights = record.weights
    if weights.steps is None:
        return 0
    return weights.steps * int((weights.recipe.values or {}).get("batch_size", 0))


def row_name(record: Record) -> str:
    """The method, and its recipe where it is not the tier's usual one."""
    recipe = record.weights.recipe.name
    if "one-rate" in recipe:
        return NAMES[record.weights.method] + ", one rate"
    return SHORT if recipe.startswith("context-short") else NAMES[record.weights.method]


Scores = dict[str, float]
"""Layer -> mean AP in percent."""


def rungs() -> dict[str, dict[int, list[Scores]]]:
    """Row -> crops seen -> the scores of each pretraining."""
    found: dict[str, dict[int, list[Scores]]] = defaultdict(lambda: defaultdict(list))
    for path in sorted((ROOT / "results" / "ladder").glob("*.json")):
        record = load_record(path)
        scores = {m.column: 100 * m.value for m in record.measurements if m.metric == METRIC}
        found[row_name(record)][crops_seen(record)].append(scores)
    return found


def classification_rungs() -> dict[str, dict[int, list[Scores]]]:
    """Row -> crops seen -> mean AP of each pretraining, fine-tuned by recipe `small`."""
    found: dict[str, dict[int, list[Scores]]] = defaultdict(lambda: defaultdict(list))
    for folder in ("records", "ladder/test-set"):
        for path in sorted((ROOT / "results" / folder).glob("t2-*-classification-*.json")):
            record = load_record(path)
            ours = record.weights.architecture == "caffenet-trunk"
            if ours and record.weights.method in NAMES:
                (score,) = (m.value for m in record.measurements if m.metric == "mean_ap_sklearn")
                scores = {CLASSIFICATION: 100 * score}
                found[row_name(record)][crops_seen(record)].append(scores)
    return found


def print_table(found: dict[str, dict[int, list[Scores]]], columns: Sequence[str]) -> None:
    print("| row | crops seen | pretrainings | " + " | ".join(columns) + " |")
    print("| --- | ---: | ---: |" + " ---: |" * len(columns))
    for row, by_crops in found.items():
        for crops, runs in sorted(by_crops.items()):
            cells = " | ".join(_mean_and_spread([run[name] for run in runs]) for name in columns)
            print(f"| {row} | {crops:,} | {len(runs)} | {cells} |")


def _mean_and_spread(values: list[float]) -> str:
    spread = f" ± {stdev(values):.1f}" if len(values) > 1 else ""
    return f"{mean(values):.1f}{spread}"


def print_lead(found: dict[str, dict[int, list[Scores]]], row: str, other: str) -> None:
    """`row` at each rung, less `other` there, or untrained: Welch's interval over pretrainings."""
    print(f"| {row}, less {other} | " + " | ".join(LAYERS) + " |")
    print("| --- |" + " --- |" * len(LAYERS))
    for crops, runs in sorted(found[row].items()):
        others = found[other].get(crops, found[other].get(0))
        if others is None:
            continue
        cells = " | ".join(_lead(runs, others, layer) for layer in LAYERS)
        print(f"| at {crops:,} ({len(runs)} and {len(others)} pretrainings) | {cells} |")


def _lead(runs: list[Scores], others: list[Scores], layer: str) -> str:
    ours, theirs = ([run[layer] for run in scores] for scores in (runs, others))
    lead = f"{mean(ours) - mean(theirs):+.1f}"
    if min(len(ours), len(theirs)) < 3:  # Too few to say how pretrainings differ.
        return lead
    low, high = ttest_ind(ours, theirs, equal_var=False).confidence_interval(0.95)
    return f"{lead} [{low:.1f}, {high:.1f}]"


def draw(found: dict[str, dict[int, list[Scores]]]) -> None:
    figure, axes = plt.subplots(
        2, 3, figsize=(10, 6.4), sharex=True, sharey="row", layout="constrained"
    )
    for layer, axis in zip(LAYERS, axes.flat, strict=True):
        draw_column(axis, found, layer)
        axis.set_title(layer)
    for axis in axes[1]:
        axis.set_xlabel("crops seen (millions)")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean AP (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=math.ceil(len(labels) / 2))
    figure.savefig(PICTURES / "ladder.png", dpi=110)


def draw_classification(found: dict[str, dict[int, list[Scores]]]) -> None:
    figure, axis = plt.subplots(figsize=(5.6, 3.6), layout="constrained")
    draw_column(axis, found, CLASSIFICATION)
    axis.set_xlabel("crops seen (millions)")
    axis.set_ylabel("mean AP (%)")
    axis.legend()
    figure.savefig(PICTURES / "ladder-classification.png", dpi=110)


def draw_column(axis: Axes, found: dict[str, dict[int, list[Scores]]], column: str) -> None:
    """Every row's scores of one column over the crops that it saw."""
    for row, by_crops in found.items():
        values = {n: [run[column] for run in runs] for n, runs in by_crops.items()}
        if set(values) == {0}:
            draw_untrained(axis, row, values[0])
        else:
            draw_row(axis, row, values)
    axis.set_xscale("log")
    axis.set_xticks([60e3, 250e3, 1e6, 4e6], ["0.06", "0.25", "1", "4"])
    axis.minorticks_off()
    axis.margins(y=0.08)


def draw_untrained(axis: Axes, row: str, values: list[float]) -> None:
    """A line at the mean, in a band of one standard deviation to each side; dotted, of one seed."""
    middle = mean(values)
    axis.axhline(middle, color="0.4", ls="--" if len(values) > 1 else ":", label=row)
    if len(values) > 1:
        spread = stdev(values)
        axis.axhspan(middle - spread, middle + spread, color="0.4", alpha=0.25, lw=0)


def draw_row(axis: Axes, row: str, values: dict[int, list[float]]) -> None:
    """A line through the mean of each rung, and a dot for each pretraining."""
    seen = sorted(values)
    colour, label = COLOURS[row], row.replace("`", "")
    axis.plot(seen, [mean(values[n]) for n in seen], "-", color=colour, label=label)
    for crops in seen:
        dots = values[crops]
        axis.plot([crops] * len(dots), dots, "o", color=colour, ms=4)


if __name__ == "__main__":
    ladder = rungs()
    print_table(ladder, LAYERS)
    classification = classification_rungs()
    print()
    print_table(classification, [CLASSIFICATION])
    labels = NAMES["imagenet"]
    for row, other in (
        ("context", "random"),
        ("context", "autoencoder"),
        ("autoencoder", "random"),
        (labels, "context"),
    ):
        print()
        print_lead(ladder, row, other)
    draw(ladder)
    draw_classification(classification)
