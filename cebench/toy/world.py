"""The toy world on disk: drawn from a seed, in the trees of the real data sets."""

import glob
import json
import os
import platform
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from cebench.errors import CebenchError, InputError
from cebench.files import is_running, without_links
from cebench.randomness import numpy_generator
from cebench.toy.clips import draw_clip
from cebench.toy.drives import draw_drive
from cebench.toy.facades import draw_facade
from cebench.toy.scenes import ToyObject, draw_scene
from cebench.toy.trees import (
    write_davis_clip,
    write_jpeg,
    write_kitti_sequence,
    write_sbd_image,
    write_voc_image,
    write_voc_lists,
)

MANIFEST = "toy.json"
FEWEST_IMAGES = 4
FACADE_SIDE = 144
CLIP_FRAMES, DRIVE_FRAMES = 32, 16
DRIVES = ("00", "06")
"""Sequences of the toy KITTI; egomotion holds out 06."""
_SCHEMA = 2  # raised when a drawing changes, so that an old folder is not taken for a new one

Counts = dict[str, dict[str, int]]


def write_toy_world(
    out: Path, *, images: int, seed: int, report: Callable[[int, int], None] | None = None
) -> None:
    """Writes the toy world of N = `images` and `seed` to the folder `out`; same seed, same bytes.

    VOCdevkit/VOC2007           N images: a fifth val (rounded up), two fifths test, the rest train
    VOCdevkit/VOC2012           N images: two fifths val, the rest train; ids 2012_000001...
    benchmark_RELEASE/dataset   N/2 images (SBD), a quarter of them val; none is a VOC2012 image
    unlabeled                   N images of the same places and classes, in no other set
    labeled/CLASS               every thing of N further images, cut out
    facades/train, test         N/2 and N/4 house fronts, 144 x 144
    DAVIS                       2 clips of 32 frames with the mask of the thing that moves
    kitti                       2 drives of 16 stereo frames with exact poses (KITTI odometry)

    Every VOC image has segmentation masks. From 60 images on every class is in every VOC split.
    The folder appears at once and whole, with `toy.json` in it; a folder that holds this very
    world is left as it is. `report(done, total)` is called after every image.

    Raises InputError for fewer than 4 images and where `out` holds anything else, CebenchError
    where writing fails.
    """
    out, counts = without_links(out), check_toy_world(out, images=images, seed=seed)
    if not counts:
        return
    manifest = toy_manifest(images, seed)
    total = sum(sum(splits.values()) for splits in counts.values())
    _remove_abandoned(out)
    partial = out.with_name(f".{out.name}.partial-{platform.node()}-{os.getpid()}")
    try:
        partial.mkdir(parents=True)
        for done, _ in enumerate(_write_sets(partial, counts, seed), start=1):
            if report:
                report(done, total)
        (partial / MANIFEST).write_text(json.dumps(manifest, indent=2) + "\n")
        partial.replace(out)
    except OSError as error:
        raise CebenchError(
            f"{out}: cannot write the toy world: {error.strerror or error}; when that is mended, "
            "run the same command again"
        ) from error
    finally:
        shutil.rmtree(partial, ignore_errors=True)


def check_toy_world(out: Path, *, images: int, seed: int) -> Counts:
    """Images of each set that would be drawn, none where all are; InputError as the drawing."""
    if images < FEWEST_IMAGES:
        raise InputError(f"a toy world needs at least {FEWEST_IMAGES} images, got {images}")
    return {} if _is_complete(without_links(out), toy_manifest(images, seed)) else set_sizes(images)


def _remove_abandoned(out: Path) -> None:
    """Remove what processes of this machine left beside `out` that were killed."""
    start = f".{out.name}.partial-{platform.node()}-"
    for path in out.parent.glob(f"{glob.escape(start)}*"):
        number = path.name.removeprefix(start)
        if number.isdecimal() and not is_running(int(number)):
            shutil.rmtree(path, ignore_errors=True)


def toy_manifest(images: int, seed: int) -> dict[str, object]:
    """Content of toy.json: all that determines a toy world."""
    return {"schema": _SCHEMA, "seed": seed, "images": images, "counts": set_sizes(images)}


def set_sizes(images: int) -> Counts:
    """How many images each set and split has; `images` >= 4."""
    fifth, half = -(-images // 5), images // 2
    test, val, sbd_val = 2 * images // 5, 2 * images // 5, max(1, half // 4)
    return {
        "VOC2007": {"train": images - fifth - test, "val": fifth, "test": test},
        "VOC2012": {"train": images - val, "val": val},
        "SBD": {"train": half - sbd_val, "val": sbd_val},
        "unlabeled": {"train": images},
        "labeled": {"train": images},
        "facades": {"train": half, "test": images // 4},
        "DAVIS": {"480p": 2 * CLIP_FRAMES},
        "kitti": {"sequences": 2 * len(DRIVES) * DRIVE_FRAMES},
    }


def _is_complete(out: Path, manifest: dict[str, object]) -> bool:
    """Whether `out` holds this world already; an InputError where it holds something else."""
    if not out.exists():
        return False
    if not out.is_dir():
        raise InputError(f"{out} is a file; give a new folder for the toy world")
    path = out / MANIFEST
    if not path.exists():
        if any(out.iterdir()):
            raise InputError(f"{out} is not empty and has no {MANIFEST}; give a new folder")
        return False
    try:
        found = json.loads(path.read_text())
    except (OSError, ValueError) as error:
        raise InputError(f"cannot read {path} ({error}); give a new folder") from error
    if found != manifest:
        raise InputError(
            f"{out} holds another toy world than {manifest['images']} images of seed "
            f"{manifest['seed']} (see {path}); give another folder or remove this one"
        )
    return True


def _write_sets(out: Path, counts: Counts, seed: int) -> Iterator[None]:
    """Writes every set below `out`, yielding after each image."""
    devkit = out / "VOCdevkit"
    yield from _write_voc(devkit / "VOC2007", counts["VOC2007"], seed, "{:06d}")
    yield from _write_voc(devkit / "VOC2012", counts["VOC2012"], seed, "2012_{:06d}")
    yield from _write_sbd(out / "benchmark_RELEASE" / "dataset", counts["SBD"], seed)
    yield from _write_unlabeled(out / "unlabeled", counts["unlabeled"]["train"], seed)
    yield from _write_labeled(out / "labeled", counts["labeled"]["train"], seed)
    for split, count in counts["facades"].items():
        yield from _write_facades(out / "facades" / split, count, seed)
    yield from _write_clips(out / "DAVIS", seed)
    yield from _write_drives(out / "kitti", seed)


def _write_voc(year: Path, sizes: dict[str, int], seed: int, pattern: str) -> Iterator[None]:
    splits: dict[str, list[str]] = {}
    objects: dict[str, tuple[ToyObject, ...]] = {}
    for split, count in sizes.items():
        first = len(objects) + 1
        splits[split] = [pattern.format(first + index) for index in range(count)]
        for index, name in enumerate(splits[split]):
            image = draw_scene(seed, f"toy/{year.name}/{split}", index)
            write_voc_image(year, name, image)
            objects[name] = image.objects
            yield
    splits["trainval"] = splits["train"] + splits["val"]
    write_voc_lists(year, splits, objects)


def _write_sbd(dataset: Path, sizes: dict[str, int], seed: int) -> Iterator[None]:
    written = 0
    for split, count in sizes.items():
        names = [f"2011_{written + index + 1:06d}" for index in range(count)]
        for index, name in enumerate(names):
            write_sbd_image(dataset, name, draw_scene(seed, f"toy/SBD/{split}", index))
            yield
        (dataset / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        written += count


def _write_unlabeled(folder: Path, count: int, seed: int) -> Iterator[None]:
    folder.mkdir()
    for index in range(count):
        image = draw_scene(seed, "toy/unlabeled", index)
        write_jpeg(folder / f"scene-{index + 1:05d}.jpg", image.pixels)
        yield


def _write_labeled(folder: Path, count: int, seed: int) -> Iterator[None]:
    """Classes that show up once are left out: one image cannot be learned and measured."""
    things: dict[str, list[np.ndarray]] = {}
    for index in range(count):
        image = draw_scene(seed, "toy/labeled", index)
        for item in (item for item in image.objects if not item.difficult):
            x0, y0, x1, y1 = (int(side) for side in item.box)
            things.setdefault(item.name, []).append(image.pixels[y0:y1, x0:x1])
        yield
    for label, crops in things.items():
        if len(crops) > 1:
            (folder / label).mkdir(parents=True)
            for number, crop in enumerate(crops, start=1):
                write_jpeg(folder / label / f"{label}-{number:04d}.jpg", crop)


def _write_facades(folder: Path, count: int, seed: int) -> Iterator[None]:
    folder.mkdir(parents=True)
    for index in range(count):
        rng = numpy_generator(seed, f"toy/facades/{folder.name}", index)
        front = draw_facade(rng, FACADE_SIDE, FACADE_SIDE)
        pixels = np.clip(front, 0, 255).astype(np.uint8)
        write_jpeg(folder / f"facade-{index + 1:05d}.jpg", pixels)
        yield


def _write_clips(root: Path, seed: int) -> Iterator[None]:
    for index in range(2):
        clip = draw_clip(seed, index, CLIP_FRAMES)
        write_davis_clip(root, f"clip-{index + 1}", clip)
        yield from (None for _ in clip.frames)


def _write_drives(root: Path, seed: int) -> Iterator[None]:
    for index, name in enumerate(DRIVES):
        drive = draw_drive(seed, index, DRIVE_FRAMES)
        write_kitti_sequence(root, name, drive)
        yield from (None for _ in (*drive.left, *drive.right))
