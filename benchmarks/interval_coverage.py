"""How often 95 % intervals over images cover the score of infinitely many images.

Run: python benchmarks/interval_coverage.py [--trials 200]
Prints the table of docs/intervals.md. Rows and their true scores: tests/simulated_rows.py and
tests/simulated_pixels.py.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import simulated_pixels as pixels
import simulated_rows as rows
from coverage_trials import METHODS, Scene, measure_coverage

DRAWS = 200
WEAK, STRONG, BETTER = 0.12, 0.5, 0.02
SIZES = {"classification": (100, 1250, 4952), "detection": (100, 1250, 4952)}
SIZES |= {"segmentation": (100, 736, 1449), "inpainting": (100, 1000)}


def main() -> None:
    """Print a line per metric, score and size."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--trials", type=int, default=200)
    parser.add_argument("--task", choices=list(SIZES), nargs="*", default=list(SIZES))
    arguments = parser.parse_args()
    print(
        "| task | metric | true score | images | " + " | ".join(METHODS) + " | given | given ones |"
    )
    print("| --- " * (6 + len(METHODS)) + "|")
    for task in arguments.task:
        for scene, metrics in scenes(task):
            for images in SIZES[task]:
                print_case(task, scene, metrics, images, arguments.trials)


def scenes(task: str) -> Iterator[tuple[Scene, Sequence[str]]]:
    """A weak and a strong row, each beside one that is a little better."""
    if task == "inpainting":
        ratios = [0.0, -0.1]
        first, second = (pixels.true_inpainting(ratio) for ratio in ratios)
        scene = Scene(lambda n, rng: pixels.inpainting(n, ratios, rng), (first, second))
        yield scene, pixels.inpainting(1, [0.0], np.random.default_rng(0))[0].metrics
        return
    for score in (WEAK, STRONG):
        if task == "segmentation":
            yield segmentation_scene(score)
        else:
            yield average_precision_scene(score, task)


def segmentation_scene(score: float) -> tuple[Scene, Sequence[str]]:
    """Rows of a mean IoU."""
    qualities = [pixels.quality_of(value) for value in (score, score + BETTER)]
    first, second = (pixels.true_segmentation(quality) for quality in qualities)
    (row,) = pixels.segmentation(1, qualities[:1], np.random.default_rng(0))
    scene = Scene(lambda n, rng: pixels.segmentation(n, qualities, rng), (first, second))
    return scene, row.metrics


def average_precision_scene(score: float, task: rows.Task) -> tuple[Scene, Sequence[str]]:
    """Rows of a mean area AP."""
    scorers = [rows.scorer_of(value, task) for value in (score, score + BETTER)]
    first, second = (rows.true_means(scorer, task) for scorer in scorers)
    (row,) = rows.simulate_rows(task, 1, scorers[:1], np.random.default_rng(0))
    scene = Scene(lambda n, rng: rows.simulate_rows(task, n, scorers, rng), (first, second))
    return scene, row.metrics


def print_case(task: str, scene: Scene, metrics: Sequence[str], images: int, trials: int) -> None:
    """One line per metric."""
    found = measure_coverage(scene, images, trials, DRAWS, seed=images)
    for k, metric in enumerate(metrics):
        shares = " | ".join(f"{100 * share:.0f} %" for share in found.covered[:, k])
        given = f"{100 * found.given[k]:.0f} % | {100 * found.covered_if_given[k]:.0f} %"
        given = given.replace("nan %", "")
        true = f"{scene.true[0][k]:.3g}"
        print(f"| {task} | {metric} | {true} | {images} | {shares} | {given} |", flush=True)


if __name__ == "__main__":
    main()
