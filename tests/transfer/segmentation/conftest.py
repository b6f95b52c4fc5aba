from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from scipy.io import savemat
from segmentation_scenes import SIZES

from cebench.data.voc.devkit import VocYear
from cebench.transfer.segmentation.prediction import write_label_png


@pytest.fixture
def devkit(tmp_path: Path) -> Path:
    """VOC2012 with two train images and one val image: the left half is a bright dog.

    SBD's tree beside it has the same photographs.
    """
    root = tmp_path / "VOCdevkit" / "VOC2012"
    for folder in ("JPEGImages", "SegmentationClass", "ImageSets/Segmentation"):
        (root / folder).mkdir(parents=True)
    for image_id, (height, width) in SIZES.items():
        labels = np.zeros((height, width), dtype=np.uint8)
        labels[:, : width // 2] = 12
        labels[:, width // 2] = 255
        pixels = np.where(labels[:, :, None] == 12, np.uint8(220), np.uint8(30)).repeat(3, axis=2)
        Image.fromarray(pixels).save(root / "JPEGImages" / f"{image_id}.jpg", quality=95)
        write_label_png(root / "SegmentationClass" / f"{image_id}.png", labels)
    lists = root / "ImageSets" / "Segmentation"
    ids = list(SIZES)
    for name, members in {"train": ids[:2], "val": ids[2:], "trainval": ids}.items():
        (lists / f"{name}.txt").write_text("".join(f"{i}\n" for i in members))
    return tmp_path / "VOCdevkit"


@pytest.fixture
def sbd(devkit: Path) -> Path:
    voc = VocYear(devkit, 2012)
    dataset = devkit.parent / "benchmark_RELEASE" / "dataset"
    for folder in ("img", "cls"):
        (dataset / folder).mkdir(parents=True)
    for image_id in SIZES:
        photograph = voc.image_path(image_id).read_bytes()
        (dataset / "img" / f"{image_id}.jpg").write_bytes(photograph)
        labels = voc.segmentation(image_id)
        labels[labels == 255] = 0
        savemat(dataset / "cls" / f"{image_id}.mat", {"GTcls": {"Segmentation": labels}})
    (dataset / "train.txt").write_text("2008_000001\n2008_000002\n")
    (dataset / "val.txt").write_text("2008_000003\n")
    return dataset
