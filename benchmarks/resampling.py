"""Time scores under image weights against scoring every draw anew, at VOC2007's test size.

Run: python benchmarks/resampling.py [--draws 2000]
Prints seconds of all draws, all three definitions of average precision together, and the ratio per
draw; stops if the two disagree.
"""

import os

os.environ.setdefault("OMP_NUM_THREADS", "1")

import argparse
import sys
import time
from pathlib import Path

import numpy as np

from cebench.metrics.average_precision import (
    average_precision_area,
    average_precision_stepwise,
    average_precision_voc07_11pt,
)
from cebench.metrics.image_weights import bootstrap_weights
from cebench.metrics.permutation import swap_test
from cebench.metrics.weighted_average_precision import WeightedAveragePrecision

sys.path.insert(0, str(Path(__file__).parents[1] / "tests"))
import simulated_pixels as pixels
import simulated_rows as rows

LOOP_DRAWS = 5
DEFINITIONS = (average_precision_stepwise, average_precision_voc07_11pt, average_precision_area)


def main() -> None:
    """Print a line per task."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--draws", type=int, default=2000)
    draws = parser.parse_args().draws
    for task in ("classification", "detection"):
        scorer = rows.scorer_of(0.5, task)
        runs = rows.simulate_rows(task, rows.TEST_IMAGES, [scorer] * 2, np.random.default_rng(0))
        compare(task, runs[0], draws)
        start = time.process_time()
        swap_test(*runs, permutations=draws)
        print(f"{task}: {draws} permutations of two rows {time.process_time() - start:.2f} s")
    (run,) = pixels.segmentation(pixels.VAL_IMAGES, [0.0], np.random.default_rng(0))
    start = time.process_time()
    run.values(bootstrap_weights(run.images, draws, 0))
    print(f"segmentation: {draws} draws {time.process_time() - start:.2f} s")


def compare(task: str, run: WeightedAveragePrecision, draws: int) -> None:
    """Time both ways in processor time, once they are found equal."""
    weights = bootstrap_weights(run.images, draws, 0)
    start = time.process_time()
    found = run.per_class(weights)
    ours = time.process_time() - start
    start = time.process_time()
    expected = [written_out(run, column) for column in weights.T[:LOOP_DRAWS].astype(int)]
    loop = (time.process_time() - start) * draws / LOOP_DRAWS
    np.testing.assert_allclose(found[..., :LOOP_DRAWS], np.stack(expected, axis=-1), atol=1e-12)
    entries = sum(len(ranked.image) for ranked in run.classes)
    print(f"{task}, {entries:,} entries: {draws} draws {ours:.2f} s; each anew {loop:.1f} s")


def written_out(run: WeightedAveragePrecision, weights: np.ndarray) -> np.ndarray:
    """(3, C) of one draw: every entry as often as its image was drawn, curve by curve."""
    found = []
    for ranked in run.classes:
        again = np.repeat(ranked.right, weights[ranked.image])
        rank = np.repeat(ranked.rank, weights[ranked.image])
        last = np.append(rank[1:] != rank[:-1], True)
        hits, seen = np.cumsum(again)[last], np.flatnonzero(last) + 1
        recall = hits / (ranked.objects @ weights)
        found.append([definition(hits / seen, recall) for definition in DEFINITIONS])
    return np.array(found).T


if __name__ == "__main__":
    main()
