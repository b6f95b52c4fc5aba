"""Time the search for nearest neighbours against faiss's exact index and against Python loops.

Run: python benchmarks/retrieval.py [--threads 1]
100 queries in a gallery of the paper's size, 14,900 x 9216. Prints medians and ratios; stops if an
answer is not the nearest row in float64. faiss (`pip install faiss-cpu`) is left out where it is
not installed.
"""

import argparse
import os
import time
from collections.abc import Callable

import numpy as np
import torch
from alternation import medians, print_ratios

from cebench.inpainting.retrieval import nearest_neighbours

try:
    import faiss
except ImportError:
    faiss = None

QUERIES, GALLERY, FEATURES = 100, 14_900, 9216
RANK = 50


def main() -> None:
    """One line for each kind of features."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--threads", type=int, default=1)
    threads = parser.parse_args().threads
    torch.set_num_threads(threads)
    if faiss:
        faiss.omp_set_num_threads(threads)
    load = f"load {os.getloadavg()[0]:.1f} of {os.cpu_count()} cores"
    print(f"torch {torch.__version__}, numpy {np.__version__}, {threads} threads, {load}")
    rng = np.random.default_rng(0)
    noise = rng.random((GALLERY + QUERIES, FEATURES), dtype=np.float32)
    compare("noise", noise)
    compare("nearly equal rows", 1 + noise * np.float32(1e-3))
    mixture = rng.standard_normal((RANK, FEATURES), dtype=np.float32)
    codes = rng.standard_normal((GALLERY + QUERIES, RANK), dtype=np.float32)
    compare(f"ReLU of {RANK} factors", np.maximum(codes @ mixture, 0))


def compare(title: str, rows: np.ndarray) -> None:
    """Ours and faiss in turn; each loop over one query and four, times what is left out."""
    gallery, queries = rows[:GALLERY], np.ascontiguousarray(rows[GALLERY:])
    tensors = torch.from_numpy(queries), torch.from_numpy(gallery)
    ways: dict[str, Callable[[], object]] = {"ours": lambda: nearest_neighbours(*tensors)}
    right = {"ours": nearest_neighbours(*tensors)[0][:, 0].numpy()}
    if faiss:
        index = faiss.IndexFlatL2(FEATURES)
        index.add(gallery)
        ways["faiss"] = lambda: index.search(queries, 1)
        right["faiss"] = index.search(queries, 1)[1][:, 0]
    check(title, right, queries, gallery)
    times = medians(ways)
    times["loop over queries"] = seconds(lambda: [by_row(q, gallery) for q in queries[:4]]) * 25
    times["loop over pairs"] = seconds(lambda: by_pair(queries[0], gallery)) * QUERIES
    print_ratios(title, times)


def check(
    title: str, found: dict[str, np.ndarray], queries: np.ndarray, gallery: np.ndarray
) -> None:
    """Stop if ours is wrong for one of four queries; say how often another way is."""
    known = gallery.astype(np.float64)
    nearest = [int(np.square(known - query).sum(axis=1).argmin()) for query in queries[:4]]
    for name, index in found.items():
        wrong = int(np.count_nonzero(index[:4] != nearest))
        if wrong and name == "ours":
            raise SystemExit(f"{title}: {wrong} of 4 neighbours are not the nearest")
        if wrong:
            print(f"{title}: {name} does not find the nearest row of {wrong} of 4 queries")


def by_row(query: np.ndarray, gallery: np.ndarray) -> int:
    """One query against the whole gallery at once."""
    return int(np.square(gallery - query).sum(axis=1).argmin())


def by_pair(query: np.ndarray, gallery: np.ndarray) -> int:
    """One query against one row at a time."""
    best, nearest = np.inf, -1
    for number, row in enumerate(gallery):
        distance = np.square(query - row).sum()
        if distance < best:
            best, nearest = distance, number
    return nearest


def seconds(work: Callable[[], object]) -> float:
    """Seconds of one call."""
    start = time.perf_counter()
    work()
    return time.perf_counter() - start


if __name__ == "__main__":
    main()
