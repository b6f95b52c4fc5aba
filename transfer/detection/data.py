"""What detection learns from and is scored on: photographs, objects and proposals of a VOC year."""

import hashlib
import itertools
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import get_args

import cv2
import numpy as np
import torch
from filelock import FileLock
from torch import Tensor

from cebench.data.fingerprint import fingerprint_files
from cebench.data.images import image_size
from cebench.data.proposals.files import Proposals, load_proposals
from cebench.data.proposals.selective_search import Mode, SelectiveSearch, compute_proposals
from cebench.data.voc.devkit import Annotation, VocYear
from cebench.errors import InputError
from cebench.metrics.detection import Objects, stack_objects
from cebench.models.backbones import is_foreign
from cebench.models.fast_rcnn import FAST_RCNN_MEAN_RGB
from cebench.progress import progress
from cebench.randomness import numpy_generator
from cebench.weights.files import Preprocessing, Sidecar

from ..image_sets import check_disjoint, photographs
from .recipe import DetectionRecipe

FAST_RCNN_PIXELS = Preprocessing(mean_rgb=FAST_RCNN_MEAN_RGB)


@dataclass(frozen=True)
class DetectionSet:
    """The images of one set and their objects, in the order of the set's list."""

    voc: VocYear
    ids: tuple[str, ...]
    annotations: tuple[Annotation, ...]

    def pixels(self, index: int) -> np.ndarray:
        """Photograph `index`, (H, W, 3) uint8 RGB."""
        return self.voc.image(self.ids[index])

    def objects(self) -> Objects:
        """The objects of all images, which `images` of the result counts in this order."""
        return stack_objects((a.boxes, a.labels, a.difficult) for a in self.annotations)


@dataclass(frozen=True)
class DetectionData:
    """What a run reads."""

    train: DetectionSet
    test: DetectionSet
    proposals: Proposals
    fingerprint: str
    """Hash of the photographs, the annotations and the proposals."""

    def boxes(self, part: DetectionSet) -> list[np.ndarray]:
        """The proposals of each image of a set, (R, 4) half-open."""
        return [self.proposals.boxes[image_id] for image_id in part.ids]


def find_images(recipe: DetectionRecipe, data: Path) -> dict[str, list[Path]]:
    """Photographs that would be learned from and scored; a file of proposals must fit them."""
    voc = VocYear(data, recipe.year)
    train_ids, test_ids = _ids(recipe, voc)
    for image_set, ids in ((recipe.train_set, train_ids), (recipe.test_set, test_ids)):
        read_set(voc, image_set, ids)
    if recipe.proposals not in get_args(Mode):
        proposals_of_file(voc, [*train_ids, *test_ids], recipe.proposals)
    return {"train": photographs(voc, train_ids), "test": photographs(voc, test_ids)}


def data_fingerprint(recipe: DetectionRecipe, data: Path, proposals: str) -> str:
    """Fingerprint of what `read_data` reads; `proposals`: SHA-256 of those that were searched."""
    voc = VocYear(data, recipe.year)
    sets = _ids(recipe, voc)
    if recipe.proposals not in get_args(Mode):
        found = proposals_of_file(voc, [*itertools.chain(*sets)], recipe.proposals)
        limit = recipe.max_proposals
        proposals = (found.first(limit) if limit else found).sha256
    return fingerprint(voc, sets, proposals)


def read_data(recipe: DetectionRecipe, data: Path, folder: Path) -> DetectionData:
    """Train and test set and their proposals, which Selective Search keeps in `folder`."""
    voc = VocYear(data, recipe.year)
    train_ids, test_ids = _ids(recipe, voc)
    train = read_set(voc, recipe.train_set, train_ids)
    test = read_set(voc, recipe.test_set, test_ids)
    ids = [*train.ids, *test.ids]
    proposals = proposals_of(
        voc,
        ids,
        folder,
        source=recipe.proposals,
        search=_search(recipe),
        limit=recipe.max_proposals,
    )
    return DetectionData(
        train, test, proposals, fingerprint(voc, (train.ids, test.ids), proposals.sha256)
    )


def _ids(recipe: DetectionRecipe, voc: VocYear) -> tuple[list[str], list[str]]:
    """Ids that are learned from and scored; the whole sets share no image."""
    train_ids, test_ids = voc.ids(recipe.train_set), voc.ids(recipe.test_set)
    check_disjoint(train_ids, test_ids, (recipe.train_set, recipe.test_set))
    return subset(train_ids, recipe.train_images), subset(test_ids, recipe.test_images)


def _search(recipe: DetectionRecipe) -> SelectiveSearch:
    """What finds the proposals where the recipe names no file."""
    mode: Mode = "quality" if recipe.proposals == "quality" else "fast"
    return SelectiveSearch(mode, recipe.proposal_min_side, recipe.proposal_max_side)


def read_set(voc: VocYear, image_set: str, ids: Sequence[str]) -> DetectionSet:
    """The images `ids` of `image_set` with their objects.

    Raises:
        InputError: an image or its XML is absent or unreadable, their sizes differ, or there is
            no object at all.
    """
    annotations = tuple(voc.annotation(image_id) for image_id in ids)
    for image_id, annotation in zip(ids, annotations, strict=True):
        size = image_size(voc.image_path(image_id), upright=False)
        if size != (annotation.width, annotation.height):
            raise InputError(
                f"{voc.image_path(image_id)} is {size[0]} x {size[1]} but its annotation says "
                f"{annotation.width} x {annotation.height}; fetch both again"
            )
    if all(annotation.difficult.all() for annotation in annotations):
        raise InputError(
            f"{image_set}: the {len(ids)} images of VOC{voc.year} taken from it show no object "
            "(difficult ones aside); detection can neither learn from them nor be scored on them"
        )
    return DetectionSet(voc, tuple(ids), annotations)


def subset(ids: Sequence[str], limit: int) -> list[str]:
    """`limit` of the ids in list order (0: all), the same ones whatever the seed of the run.

    A smaller subset of a list is part of every larger one.
    """
    if limit == 0 or limit >= len(ids):
        return list(ids)
    drawn = numpy_generator(0, "subset").permutation(len(ids))[:limit]
    return [ids[index] for index in np.sort(drawn)]


def proposals_of(
    voc: VocYear,
    ids: Sequence[str],
    folder: Path,
    *,
    source: str,
    search: SelectiveSearch,
    limit: int,
) -> Proposals:
    """Proposals of the images, in pixels of the stored images.

    Every photograph has been decoded once when this returns, by Selective Search or for its sake.

    Args:
        voc: where the images are.
        ids: names of the images.
        folder: where Selective Search keeps its boxes: in proposals-<hash>.safetensors, named after
            the images and the settings of the search, computed where it is absent.
        source: `fast` or `quality`, or the path of a file of `cebench data proposals`.
        search: Selective Search, if it is not a file.
        limit: number of boxes kept per image, the first ones; 0 keeps all.

    Raises:
        InputError: the file is absent or damaged, lacks an image, or was made for other images; a
            photograph is damaged.
    """
    if source in get_args(Mode):
        found = _searched(voc, ids, folder, search)
    else:
        found = proposals_of_file(voc, ids, source)
        check_readable(voc, ids)
    return found.first(limit) if limit else found


def proposals_of_file(voc: VocYear, ids: Sequence[str], source: str) -> Proposals:
    """Proposals out of a file of `cebench data proposals`, checked against the images' sizes.

    Raises:
        InputError: no such file, or it lacks an image or was made for other images.
    """
    if not Path(source).is_file():
        raise InputError(
            f"proposals = {source!r} is no file; expected fast, quality or what `cebench data "
            "proposals` wrote"
        )
    found = load_proposals(Path(source), ids)
    sizes = {image_id: image_size(voc.image_path(image_id), upright=False) for image_id in ids}
    found.check_inside(sizes, Path(source))
    return found


def check_readable(voc: VocYear, ids: Sequence[str]) -> None:
    """Decode every photograph once; InputError that names the first bad one.

    Met in training it would cost the whole training: another file makes other data.
    """

    def decode(image_id: str) -> None:
        voc.image(image_id)

    pool = ThreadPoolExecutor()  # Pillow's decoders release the interpreter lock.
    try:
        with progress("photographs", "images") as report:
            for done, _ in enumerate(pool.map(decode, ids), start=1):
                report(done, len(ids))
    finally:
        pool.shutdown(cancel_futures=True)


def _searched(voc: VocYear, ids: Sequence[str], folder: Path, search: SelectiveSearch) -> Proposals:
    files = fingerprint_files([voc.image_path(image_id) for image_id in ids], voc.root)
    digest = hashlib.sha256(f"{files} {search.name}".encode()).hexdigest()
    path = folder / f"proposals-{digest[:16]}.safetensors"
    photographs = {image_id: voc.image_path(image_id) for image_id in ids}
    # Runs of other rows may start beside this one; the first one computes for all.
    with FileLock(path.with_suffix(".lock")), progress("proposals", "images") as report:
        return compute_proposals(photographs, path, search, report=report)


def fingerprint(voc: VocYear, sets: Sequence[Sequence[str]], proposals_sha256: str) -> str:
    """Hash of photographs, annotations and proposals, and of which set an image is in and where."""
    digest = hashlib.sha256()
    for ids in sets:
        photographs = [voc.image_path(image_id) for image_id in ids]
        annotations = [voc.root / "Annotations" / f"{image_id}.xml" for image_id in ids]
        files = fingerprint_files([*photographs, *annotations], voc.root)
        digest.update(f"{files} {' '.join(ids)}\n".encode())
    digest.update(proposals_sha256.encode())
    return digest.hexdigest()


def pixels_of(sidecar: Sidecar) -> Preprocessing:
    """The pixels of Fast R-CNN's configuration for CaffeNet, else those of the weights."""
    return sidecar.preprocessing if is_foreign(sidecar.architecture) else FAST_RCNN_PIXELS


def network_image(
    pixels: np.ndarray,
    short_side: int,
    max_side: int,
    preprocessing: Preprocessing = FAST_RCNN_PIXELS,
) -> tuple[Tensor, float]:
    """Subtract the mean pixel and resize, as the original does (lib/utils/blob.py).

    Args:
        pixels: (H, W, 3) uint8 RGB.
        short_side: shorter side of the result in pixels ...
        max_side: ... unless its longer side would exceed this: then the longer has this length.
        preprocessing: mean, deviation and range; its side has no meaning here.

    Returns:
        (3, h, w) float32 RGB, and the scale: network pixels per stored pixel.
    """
    shortest, longest = sorted(pixels.shape[:2])
    scale = short_side / shortest
    if round(scale * longest) > max_side:
        scale = max_side / longest
    low, high = preprocessing.range
    mean, std = (np.array(v) for v in (preprocessing.mean_rgb, preprocessing.std_rgb))
    factor, shift = (high - low) / 255 / std, (mean - low) / std
    centred = pixels * factor.astype(np.float32) - shift.astype(np.float32)
    resized = cv2.resize(centred, None, fx=scale, fy=scale, interpolation=cv2.INTER_LINEAR)
    return torch.from_numpy(resized).permute(2, 0, 1), scale


def pyramid(
    pixels: np.ndarray,
    scales: Sequence[int],
    max_side: int,
    preprocessing: Preprocessing = FAST_RCNN_PIXELS,
) -> tuple[Tensor, list[float]]:
    """One image at several scales: (S, 3, H, W), zero-padded, and `network_image`'s scales."""
    scaled = (network_image(pixels, side, max_side, preprocessing) for side in scales)
    images, factors = zip(*scaled, strict=True)
    return stack_images(images), list(factors)


def stack_images(images: Sequence[Tensor]) -> Tensor:
    """(3, h_i, w_i) each to (N, 3, H, W), zero-padded at the bottom and the right."""
    height, width = (max(image.shape[axis] for image in images) for axis in (1, 2))
    batch = torch.zeros(len(images), 3, height, width)
    for row, image in zip(batch, images, strict=True):
        row[:, : image.shape[1], : image.shape[2]] = image
    return batch


def flip_boxes(boxes: np.ndarray, width: int) -> np.ndarray:
    """Half-open boxes (R, 4) in the mirror image."""
    flipped = boxes.copy()
    flipped[:, [0, 2]] = width - boxes[:, [2, 0]]
    return flipped
