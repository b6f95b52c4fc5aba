import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from filelock import FileLock
from hypothesis import settings
from PIL import Image

from cebench.data.voc.devkit import VOC_CLASSES
from cebench.data.voc.palette import voc_palette
from cebench.toy.world import write_toy_world

# How long an example takes says nothing of the code on a busy machine.
settings.register_profile("cebench", deadline=None)
settings.load_profile("cebench")

# The three images of `tiny_voc`, height x width.
TINY_SIZES = {"000001": (60, 80), "000002": (48, 64), "000003": (50, 50)}

_OBJECT = """<object><name>{name}</name><pose>Left</pose><truncated>{truncated}</truncated>
<difficult>{difficult}</difficult><bndbox><xmin>{box[0]}</xmin><ymin>{box[1]}</ymin>
<xmax>{box[2]}</xmax><ymax>{box[3]}</ymax></bndbox></object>"""

# (class, difficult, truncated, xmin ymin xmax ymax as the devkit writes them: 1-based, inclusive)
TINY_OBJECTS = {
    "000001": [("dog", 0, 0, (11, 21, 30, 40)), ("person", 1, 0, (1, 1, 80, 60))],
    "000002": [("person", 0, 1, (5, 6, 5, 6)), ("dog", 1, 0, (60, 40, 64, 48))],
    "000003": [],
}


@pytest.fixture
def runner() -> CliRunner:
    return CliRunner()


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """Real images for development, not part of the repository."""
    beside = Path(__file__).resolve().parents[2] / "shared" / "data"
    folder = Path(os.environ.get("CEBENCH_SHARED_DATA", beside))
    if not folder.is_dir():
        pytest.skip("no development images; set CEBENCH_SHARED_DATA")
    return folder


@pytest.fixture(scope="session")
def toy_world(tmp_path_factory: pytest.TempPathFactory) -> Callable[[int], Path]:
    """A function from a number of images to the toy world of seed 0, which tests only read.

    Drawn once for all processes of a run: xdist's have their folders in one.
    """
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent

    def drawn(images: int) -> Path:
        world = folder / f"toy-world-{images}"
        with FileLock(f"{world}.lock"):
            write_toy_world(world, images=images, seed=0)
        return world

    return drawn


@pytest.fixture
def tiny_voc(tmp_path: Path) -> Path:
    """A VOCdevkit with a VOC2007 of three images; TINY_OBJECTS above holds every answer.

    train = 000001 000002, val = 000003, trainval = test = all. 000001 has a label image: label 12
    (dog) in rows 20..39, columns 10..29, with a one-pixel void frame around it; all else 0.
    """
    root = tmp_path / "VOCdevkit" / "VOC2007"
    rng = np.random.default_rng(0)
    for folder in ("JPEGImages", "Annotations", "SegmentationClass", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for image_id, (height, width) in TINY_SIZES.items():
        pixels = rng.integers(0, 256, (height, width, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{image_id}.jpg", quality=95)
        objects = "".join(
            _OBJECT.format(name=name, difficult=difficult, truncated=truncated, box=box)
            for name, difficult, truncated, box in TINY_OBJECTS[image_id]
        )
        (root / "Annotations" / f"{image_id}.xml").write_text(
            f"<annotation><size><width>{width}</width><height>{height}</height></size>"
            f"{objects}</annotation>"
        )
    _write_label_image(root / "SegmentationClass" / "000001.png")
    _write_lists(root / "ImageSets")
    return tmp_path / "VOCdevkit"


def _write_label_image(path: Path) -> None:
    labels = np.zeros(TINY_SIZES["000001"], dtype=np.uint8)
    labels[19:41, 9:31] = 255
    labels[20:40, 10:30] = 1 + VOC_CLASSES.index("dog")
    image = Image.fromarray(labels)
    image.putpalette(voc_palette().tobytes())
    image.save(path)


def _write_lists(folder: Path) -> None:
    everything = list(TINY_SIZES)
    sets = {
        "train": everything[:2],
        "val": everything[2:],
        "trainval": everything,
        "test": everything,
    }
    known = {("dog", "000001"): 1, ("person", "000002"): 1}
    known |= {("person", "000001"): 0, ("dog", "000002"): 0}
    for image_set, ids in sets.items():
        (folder / "Main" / f"{image_set}.txt").write_text("".join(f"{i}\n" for i in ids))
        for name in VOC_CLASSES:
            lines = (f"{i} {known.get((name, i), -1):2d}\n" for i in ids)
            (folder / "Main" / f"{name}_{image_set}.txt").write_text("".join(lines))
    (folder / "Segmentation").mkdir()
    for image_set in ("train", "val", "trainval"):
        (folder / "Segmentation" / f"{image_set}.txt").write_text("000001\n")
