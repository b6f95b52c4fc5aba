"""Nearest-neighbour inpainting of anybody's images: whose pixels are pasted."""

from pathlib import Path

import numpy as np
from PIL import Image

from cebench.inpainting.fillers import NearestNeighbour, load_fillers
from cebench.inpainting.squares import SIDE


def colours(images: np.ndarray, hole: np.ndarray) -> np.ndarray:
    """The mean visible colour of each image, (N, 3)."""
    described: np.ndarray = images[:, ~hole].mean(axis=1).astype(np.float32)
    return described


def plain(*greys: int) -> np.ndarray:
    """(N, 128, 128, 3): the upper half of each image of the first grey, the lower of the second."""
    halves = np.array(greys, np.uint8).reshape(-1, 2)
    return np.repeat(np.tile(halves[:, :, None, None], (1, 1, SIDE, 3)), SIDE // 2, axis=1)


def upper_half() -> np.ndarray:
    hole = np.zeros((SIDE, SIDE), np.bool_)
    hole[: SIDE // 2] = True
    return hole


def test_another_hole_has_its_own_neighbours() -> None:
    neighbour = NearestNeighbour(plain(10, 200, 100, 30), colours, cosine=False)
    image = plain(20, 20)
    filled = neighbour.fill(image, upper_half())[0, :, 0, 0]  # 20 below is nearer to 30
    assert filled[[0, -1]].tolist() == [100, 20]
    filled = neighbour.fill(image, ~upper_half())[0, :, 0, 0]  # 20 above is nearer to 10
    assert filled[[0, -1]].tolist() == [20, 200]


def test_hog_is_compared_by_euclid_and_features_by_cosine_as_in_table_1(tmp_path: Path) -> None:
    gallery = np.concatenate([plain(60, 60), plain(200, 200)])
    gallery[0, ..., 2] = 50  # of another hue than the query, but nearer
    hole = upper_half()
    query = plain(80, 80)
    of = {cosine: NearestNeighbour(gallery, colours, cosine=cosine) for cosine in (False, True)}
    assert of[False].fill(query, hole)[0, 0, 0].tolist() == [60, 60, 50]
    assert of[True].fill(query, hole)[0, 0, 0].tolist() == [200, 200, 200]
    Image.fromarray(gallery[0]).save(tmp_path / "a.png")
    (filler,) = load_fillers([], ["nn-hog"], tmp_path, "cpu").values()
    assert not filler.fill.__self__.cosine  # type: ignore[attr-defined]
