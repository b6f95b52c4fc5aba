"""Draws docs/images/ladder.png and prints the ladder's table: `python docs/draw_ladder.py`.

A rung is a linear SVM on each layer of a trunk that saw so many images; the records lie in
results/ladder, apart from those of the tables, since every rung is another pretraining.
"""

from collections import defaultdict
from pathlib import Path

import matplotlib.pyplot as plt

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


def images_seen(record: Record) -> int:
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


def rungs() -> dict[str, dict[int, dict[str, float]]]:
    """Row -> images seen -> layer -> mean AP in percent."""
    found: dict[str, dict[int, dict[str, float]]] = defaultdict(dict)
    for path in sorted((ROOT / "results" / "ladder").glob("*.json")):
        record = load_record(path)
        scores = {m.column: 100 * m.value for m in record.measurements if m.metric == METRIC}
        found[row_name(record)][images_seen(record)] = scores
    return found


def print_table(found: dict[str, dict[int, dict[str, float]]]) -> None:
    print("| row | images seen | " + " | ".join(LAYERS) + " |")
    print("| --- | ---: |" + " ---: |" * len(LAYERS))
    for row, by_images in found.items():
        for images, scores in sorted(by_images.items()):
            cells = " | ".join(f"{scores[layer]:.1f}" for layer in LAYERS)
            print(f"| {row} | {images:,} | {cells} |")


def draw(found: dict[str, dict[int, dict[str, float]]]) -> None:
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), sharex=True, layout="constrained")
    for layer, axis in zip(LAYERS, axes.flat, strict=True):
        for row, by_images in found.items():
            rungs = sorted(images for images in by_images if images)
            if rungs:
                axis.plot(rungs, [by_images[n][layer] for n in rungs], "o-", label=row)
            else:
                axis.axhline(by_images[0][layer], color="0.4", ls="--", label=row)
        axis.set_title(layer)
        axis.set_xscale("log")
        axis.set_xticks([250e3, 1e6, 1.5e6], ["0.25", "1", "1.5"])
        axis.minorticks_off()
    for axis in axes[1]:
        axis.set_xlabel("images seen (millions)")
    for axis in axes[:, 0]:
        axis.set_ylabel("mean AP (%)")
    handles, labels = axes[0, 0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=len(labels))
    figure.savefig(PICTURE, dpi=110)


if __name__ == "__main__":
    ladder = rungs()
    print_table(ladder)
    draw(ladder)
