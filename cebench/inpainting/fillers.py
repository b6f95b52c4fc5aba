"""The ways of filling that `cebench inpaint` compares: networks, classical methods, neighbours."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray

from cebench.data.images import image_files
from cebench.devices import choose_device
from cebench.errors import InputError
from cebench.files import check_one_line, without_links
from cebench.inpainting.classical import CLASSICAL
from cebench.inpainting.hog import context_hog
from cebench.inpainting.networks import (
    Hole,
    Images,
    Inpainter,
    composite,
    load_inpainter,
    model_file,
    visible_context,
)
from cebench.inpainting.retrieval import nearest_neighbours
from cebench.inpainting.squares import SIDE, load_squares
from cebench.inpainting.windows import Filler
from cebench.weights.files import load_weights

Features = Callable[[Images, Hole], NDArray[np.float32]]
"""(N, D) of what surrounds the hole."""

CLASSICAL_SIDE = 512
"""Pixels of the square that a classical method sees; each one costs it time."""
_AT_ONCE = 32


def load_fillers(
    weights: Sequence[str], methods: Sequence[str], gallery: Path | None, device: str
) -> dict[str, Filler]:
    """Name -> way of filling, in the order given, networks first.

    Args:
        weights: files or run directories; NAME=PATH names one, which else has its folder's name.
        methods: of METHODS; `nn-features` with the features of the first network.
        gallery: images that the nn- methods paste from.
        device: auto, cpu or cuda.

    Raises:
        InputError: two of one name, weights that fill nothing, no images.
    """
    networks = _load_networks(weights, choose_device(device))
    fillers = {
        name: Filler(network.fill, network.side, network.window_share)
        for name, network in networks.items()
    }
    squares = None
    if gallery is not None:
        squares = load_squares(image_files(gallery), "reading the gallery")
    for method in methods:
        if method in networks:
            raise InputError(
                f"--weights: {method} is also a --fill; give another name: --weights NAME=PATH"
            )
        fillers[method] = _filler(method, next(iter(networks.values()), None), squares)
    return fillers


class NearestNeighbour:
    """NN-inpainting (5.1): the hole's pixels of the gallery image whose context is most alike.

    A context is compared at 128 px, as in Table 1; the gallery's features are kept until another
    hole comes.

    cosine: compare directions instead of Euclidean distances.
    """

    def __init__(self, gallery: Images, features: Features, *, cosine: bool) -> None:
        self.gallery = gallery
        self.features = features
        self.cosine = cosine
        self.hole: Hole | None = None
        self.described = torch.empty(0)

    def fill(self, images: Images, hole: Hole) -> Images:
        """Images of any size with patches in the hole; everything else is untouched."""
        context, missing = visible_context(images, hole, SIDE)
        if missing.all():
            raise InputError("too little is visible around the hole to compare contexts")
        if self.hole is None or not np.array_equal(self.hole, missing):
            starts = range(0, len(self.gallery), _AT_ONCE)
            parts = [self._describe(self.gallery[i : i + _AT_ONCE], missing) for i in starts]
            self.hole, self.described = missing, torch.cat(parts)
        queries = self._describe(np.rint(context).astype(np.uint8), missing)
        nearest, _ = nearest_neighbours(queries, self.described)
        context[:, missing] = self.gallery[nearest[:, 0].numpy()][:, missing]
        return composite(images, hole, context)

    def _describe(self, images: Images, hole: Hole) -> torch.Tensor:
        rows = torch.from_numpy(self.features(images, hole))
        # Between unit vectors the Euclidean distance orders neighbours as the cosine does.
        return F.normalize(rows) if self.cosine else rows


def _load_networks(weights: Sequence[str], device: torch.device) -> dict[str, Inpainter]:
    networks: dict[str, Inpainter] = {}
    for given in weights:
        name, path = _named(given)
        if Path(check_one_line(name, "--weights")).name != name or not name:
            raise InputError(
                f"--weights {given}: {name!r} cannot stand in a file's name, as those of results "
                "have it; give another: --weights NAME=PATH"
            )
        if name in networks:
            raise InputError(f"--weights: two are named {name}; give names: --weights NAME={path}")
        networks[name] = load_inpainter(load_weights(model_file(path)), device)
    return networks


def _named(given: str) -> tuple[str, Path]:
    name, equals, path = given.partition("=")
    if equals and not Path(given).exists():
        return name, Path(path)
    folder = Path(given) if Path(given).is_dir() else Path(given).parent
    return without_links(folder).name, Path(given)


def _filler(method: str, network: Inpainter | None, gallery: Images | None) -> Filler:
    if method in CLASSICAL:
        return Filler(CLASSICAL[method], side=CLASSICAL_SIDE, largest=CLASSICAL_SIDE)
    assert gallery is not None
    if method == "nn-features":
        assert network is not None
        neighbour = NearestNeighbour(gallery, network.features, cosine=True)
        return Filler(neighbour.fill, network.side, network.window_share)
    return Filler(NearestNeighbour(gallery, _hog, cosine=False).fill, SIDE)


def _hog(images: Images, hole: Hole) -> NDArray[np.float32]:
    """HOG as in Table 1; of a hole that leaves no cell untouched, of its mean colour too."""
    dropped = context_hog(images, hole, "dropped")
    return dropped if dropped.shape[1] else context_hog(images, hole, "filled")
