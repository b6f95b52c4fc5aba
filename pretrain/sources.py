"""The images a pretext method learns from: found, cleared of evaluation photos, decoded once."""

import logging
import shlex
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np

from cebench.data.fingerprint import fingerprint, ordered_fingerprint
from cebench.data.images import image_files
from cebench.data.overlap import PhotoIdentities, identify, same_identities
from cebench.data.photos import Photo, find_photos, voc_year
from cebench.data.store.manifest import IMAGES, PIXELS, is_store
from cebench.data.store.packed import PackedStore, open_store
from cebench.data.store.ragged import RaggedImages, join_ragged, load_ragged
from cebench.errors import InputError
from cebench.progress import progress

from .crops import held_out_count
from .first_checks import DATA_MISSING, check_exclusion
from .run_context import DataOptions, Inputs

logger = logging.getLogger("cebench")

HANDFUL = 100
"""Fewer images than this are warned about."""


@dataclass(frozen=True)
class Source:
    """Decoded images, the hash of the files they came from, and their classes if they have any."""

    images: RaggedImages
    fingerprint: str
    """The same for image files and for a packed store made of them; see `load_source`."""
    order: str
    """Hash of the same files in the order of `images`, by which they are learned from."""
    labels: np.ndarray | None
    """(N,) int64, index into `classes`; None unless every image has a class."""
    classes: tuple[str, ...]
    """Names of the classes (first folder below --data), sorted; () without labels."""


@dataclass(frozen=True)
class PhotoFiles:
    """N photos that are not decoded yet; answers what a `PackedStore` answers."""

    photos: Sequence[Photo]

    def __len__(self) -> int:
        return len(self.photos)

    @property
    def names(self) -> list[str]:
        """Name of each photo."""
        return [photo.name for photo in self.photos]

    @property
    def categories(self) -> list[str]:
        """Class of each photo, "" where there is none."""
        return [photo.category for photo in self.photos]

    @property
    def contents_sha256(self) -> list[str]:
        """SHA-256 of each file; reads every photo."""
        with ThreadPoolExecutor() as pool:  # hashlib releases the interpreter lock.
            return list(pool.map(Photo.sha256, self.photos))

    @property
    def identities(self) -> PhotoIdentities:
        """Reads and decodes every photo."""
        return identify(self.photos)

    def select(self, index: Sequence[int]) -> "PhotoFiles":
        """The photos `index`, in that order."""
        return PhotoFiles([self.photos[i] for i in index])


ImageSource = PhotoFiles | PackedStore


def find_images(
    data: Sequence[Path], exclude: Sequence[Path], voc_image_set: str
) -> tuple[ImageSource, int]:
    """What `data` holds less every photo that `exclude` shows, and how many those were.

    `data` is one packed store or what `find_photos` takes. An exclusion is an image list of a VOC
    year (ImageSets/.../SET.txt) or a folder of images.
    """
    if not data:
        raise InputError(DATA_MISSING)
    found = _found(data, voc_image_set)
    held_out = [photo for place in exclude for photo in _excluded(place)]
    if not held_out:
        return found, 0
    same = same_identities(found.identities, identify(held_out))
    kept = [i for i in range(len(found)) if i not in same]
    if not kept:
        raise InputError("--exclude: every image of --data is excluded; nothing is left to learn")
    return found.select(kept), len(same)


def bytes_of(found: ImageSource) -> int:
    """Size of the image files, or of the pixels of a store."""
    if isinstance(found, PackedStore):
        return found.manifest.files[PIXELS].bytes
    return sum(photo.file_size for photo in found.photos)


def load_source(
    data: Sequence[Path],
    exclude: Sequence[Path],
    voc_image_set: str,
    short_side: int,
    more_short_sides: Sequence[int] = (),
    sample: Callable[[int], np.ndarray] | None = None,
    *,
    by_class: bool = False,
) -> Source:
    """The images of `find_images` with their shorter side at `short_side` pixels.

    Image files are decoded into memory; the pixels of a packed store stay on the disk and must
    have that size already. With `more_short_sides` all images follow once more in each size.
    Given their number, `sample` says which ones are taken, in its order; the hash is of all. It
    knows the class of each image only `by_class`, for what learns the classes.
    """
    found, excluded = find_source(data, exclude, voc_image_set, short_side, more_short_sides)
    if excluded:
        logger.info(f"{excluded} images left out: they show photos of the excluded lists")
    taken = found if sample is None else found.select(sample(len(found)).tolist())
    if isinstance(taken, PackedStore):
        images = taken.images
    else:
        images = join_ragged([_decoded(taken, side) for side in (short_side, *more_short_sides)])
    labels, classes = labels_of(taken.categories)
    return Source(images, *_fingerprints(found, by_class), labels, classes)


def _decoded(files: PhotoFiles, short_side: int) -> RaggedImages:
    with progress("reading images", "images") as report:
        return load_ragged(files.photos, short_side=short_side, report=report)


def find_source(
    data: Sequence[Path],
    exclude: Sequence[Path],
    voc_image_set: str,
    short_side: int,
    more_short_sides: Sequence[int] = (),
) -> tuple[ImageSource, int]:
    """`find_images`, with all that `load_source` asks of them before it decodes."""
    found, excluded = find_images(data, exclude, voc_image_set)
    if isinstance(found, PackedStore):
        _check_one_size(found, data[0], short_side, more_short_sides)
    if len(found) < HANDFUL:
        logger.warning(
            f"--data: only {len(found)} images; a network learns these by heart and little else, "
            "thousands are usual"
        )
    return found, excluded


def inputs_of(
    recipe: Any,
    given: DataOptions,
    *,
    by_class: bool = False,
    check: Callable[[ImageSource], object] = lambda found: None,
) -> Inputs:
    """The images that a method reads whose recipe has `voc_image_set` and `short_side`.

    by_class: whether the fingerprint knows the class of each image.
    check: raises InputError where the images are not what the method needs.
    """
    sides = (recipe.short_side, *getattr(recipe, "more_short_sides", ()))
    found, excluded = find_source(
        given.data, given.exclude, recipe.voc_image_set, sides[0], sides[1:]
    )
    check(found)
    in_store = isinstance(found, PackedStore)
    held_out = held_out_count(getattr(recipe, "held_out_images", 0), len(found))
    return Inputs(
        files=[given.data[0] / IMAGES]
        if isinstance(found, PackedStore)
        else list(dict.fromkeys(photo.path for photo in found.photos)),
        count=len(found),
        learned_from=len(found) - held_out,
        bytes=bytes_of(found),
        excluded=excluded,
        # Photographs are 4:3 more often than not.
        decoded_bytes=0 if in_store else len(found) * sum(4 * side * side for side in sides),
        fingerprint=lambda: _fingerprints(found, by_class)[0],
    )


def _fingerprints(found: ImageSource, by_class: bool) -> tuple[str, str]:
    """Hash of the images' bare names and contents, `by_class` of each one's class too.

    Returns: the hash whatever their order, and that of their order.
    """
    names = [PurePosixPath(name).name for name in found.names]
    if by_class:
        names = [f"{c}/{name}" for c, name in zip(found.categories, names, strict=True)]
    contents = found.contents_sha256
    return fingerprint(names, contents), ordered_fingerprint(names, contents)


def _found(data: Sequence[Path], voc_image_set: str) -> ImageSource:
    stores = [root for root in data if is_store(root)]
    if not stores:
        return PhotoFiles(find_photos(data, voc_image_set))
    if len(data) > 1:
        raise InputError(
            f"--data {stores[0]}: a packed store stands alone; prepare one store of all the sources"
        )
    store = open_store(stores[0])
    _check_image_set(store, stores[0], voc_image_set)
    return store


def _check_image_set(store: PackedStore, path: Path, voc_image_set: str) -> None:
    """InputError where the store holds another image set of VOC than the recipe asks for."""
    origin = store.manifest.listing.origin
    if origin.voc_image_set != voc_image_set and any(store.identities.voc_ids):
        again = _prepare_again(store, origin.short_side, voc_image_set, f"{path}-{voc_image_set}")
        raise InputError(
            f"--data {path}: this store holds VOC's image set {origin.voc_image_set}, the recipe "
            f"asks for {voc_image_set}; --set voc_image_set={origin.voc_image_set}, or make one: "
            f"{again}"
        )


def _check_one_size(
    store: PackedStore, path: Path, short_side: int, more_short_sides: Sequence[int]
) -> None:
    """InputError unless the images of the store have the one size that is asked for."""
    origin = store.manifest.listing.origin
    if origin.short_side == short_side:
        if more_short_sides:
            raise InputError(
                f"--data {path}: a packed store has one size; more_short_sides needs the images"
            )
        return
    has = f"a short side of {origin.short_side}" if origin.short_side else "the original sizes"
    again = _prepare_again(store, short_side, origin.voc_image_set, f"{path}-{short_side}")
    raise InputError(
        f"--data {path}: this store has {has}, the recipe needs short_side {short_side}; make one: "
        f"{again}"
    )


def _prepare_again(store: PackedStore, short_side: int | None, voc_image_set: str, out: str) -> str:
    """The command that makes a store of the same sources with other options."""
    image_set = ["--voc-image-set", voc_image_set] if any(store.identities.voc_ids) else []
    return shlex.join(
        [
            *("cebench", "data", "prepare", *store.manifest.listing.origin.sources),
            *image_set,
            *("--short-side", str(short_side or "original"), "--out", out),
        ]
    )


def labels_of(names: Sequence[str]) -> tuple[np.ndarray | None, tuple[str, ...]]:
    """The class of each image as an index, and the classes; "" is no class."""
    if not all(names):
        return None, ()
    classes, labels = np.unique(names, return_inverse=True)
    return labels.astype(np.int64), tuple(str(name) for name in classes)


def _excluded(place: Path) -> list[Photo]:
    if place.is_dir():
        return [Photo(path, upright=True) for path in image_files(place)]
    check_exclusion(place)
    voc = voc_year(place.parents[2], "--exclude")
    return [Photo(voc.image_path(image)) for image in voc.ids(place)]
