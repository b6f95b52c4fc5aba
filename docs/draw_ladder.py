"""Draws docs/images/ladder.png and prints the ladder's tables: `python docs/draw_ladder.py`.

A rung is a linear SVM on each layer of a trunk that saw so many crops; the records lie in
results/ladder, apart from those of the tables, since every rung is another pretraining.
"""

from collections import defaultdict
from pathlib import Path
from statistics import mean, stdev

import matplotlib.pyplot as plt
from matplotlib.axes import Axes
from scipy.stats import ttest_ind

from cebench.reporting.records import Record, load_record

ROOT = Path(__file__).parents[1]
PICTURE = ROOT / "docs" / "images" / "ladder.png"
LAYERS = ("conv1", "conv2", "conv3", "conv4", "conv5", "pool5")
NAMES = {
    "context": "context",
    "imagenet": "labels (200 classes)",
    "autoencoder": "autoencoder",
    "random": "random",
}
METRIC = "mean_ap_area"


def crops_seen(record: Record) -> int:
    """Crops that the pretraining of a record's weights learned from."""
    weights = record.weights
    if weights is None or weights.steps is None:
        return 0
    return weights.steps * int((weights.recipe.values or {}).get("batch_size", 0))


def row_name(record: Record) -> str:
    """The method, and its recipe where it is not the tier's usual one."""
    weights = record.weights
    assert weights is not None
    one_rate = "one-rate" in weights.recipe.name
    return NAMES[weights.method] + (", one rate" if one_rate else "")


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


def print_table(found: dict[str, dict[int, list[Scores]]]) -> None:
    print("| row | crops seen | pretrainings | " + " | ".join(LAYERS) + " |")
    print("| --- | ---: | ---: |" + " ---: |" * len(LAYERS))
    for row, by_crops in found.items():
        for crops, runs in sorted(by_crops.items()):
            cells = " | ".join(_mean_and_spread([run[layer] for run in runs]) for layer in LAYERS)
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
        for row, by_crops in found.items():
            values = {n: [run[layer] for run in runs] for n, runs in by_crops.items()}
            if set(values) == {0}:
                draw_untrained(axis, row, values[0])
            else:
                draw_row(axis, row, values)
        axis.set_title(layer)
        axis.set_xscale("log")
        axis.set_xticks([60e3, 250e3, 1e6, 4e6], ["0.06", "0.25", "1", "4"])
        axis.minorticks_off()
        axis.margins(y=0.08)
    for axis in axes[1]:
        axis.set_xlabel("crops seen (millions)")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean AP (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(PICTURE, dpi=110)


def draw_untrained(axis: Axes, row: str, values: list[float]) -> None:
    """A dashed line at the mean, in a band of one standard deviation to each side."""
    middle, spread = mean(values), stdev(values)
    axis.axhspan(middle - spread, middle + spread, color="0.4", alpha=0.25, lw=0)
    axis.axhline(middle, color="0.4", ls="--", label=row)


def draw_row(axis: Axes, row: str, values: dict[int, list[float]]) -> None:
    """A line through the mean of each rung, and a dot for each pretraining."""
    seen = sorted(values)
    (line,) = axis.plot(seen, [mean(values[n]) for n in seen], "-", label=row)
    for crops in seen:
        dots = values[crops]
        axis.plot([crops] * len(dots), dots, "o", color=line.get_color(), ms=4)


if __name__ == "__main__":
    ladder = rungs()
    print_table(ladder)
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
