"""A devkit of coloured rectangles, and the smallest recipe, for the tests of detection."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cebench.training.run_directory import RunDirectory
from cebench.transfer.detection.recipe import DetectionRecipe

CPU = torch.device("cpu")
COLOURS = {"car": (200, 30, 30), "dog": (30, 60, 220)}
# Objects of each image, half-open; the last image of each set shows nothing and has no proposal.
SCENES = {
    "000001": [("car", (10, 12, 60, 50))],
    "000002": [("dog", (40, 20, 90, 70)), ("car", (4, 50, 34, 76))],
    "000003": [],
    "000011": [("car", (12, 12, 62, 50))],
    "000012": [("dog", (38, 20, 88, 70))],
    "000013": [],
}
RECIPE = DetectionRecipe(
    tier="smoke",
    train_set="train",
    test_set="test",
    proposal_min_side=8,
    scales=(80,),
    test_scales=(80,),
    rois_per_image=16,
    steps=2,
    log_every=1,
)


def write_devkit(devkit: Path) -> Path:
    """Rectangles of one colour per class on a plain ground, 80 x 100 pixels."""
    root = devkit / "VOC2007"
    for folder in ("JPEGImages", "Annotations", "ImageSets/Main"):
        (root / folder).mkdir(parents=True)
    for image_id, objects in SCENES.items():
        pixels = np.full((80, 100, 3), 120, np.uint8)
        text = "<annotation><size><width>100</width><height>80</height></size>"
        for name, (x0, y0, x1, y1) in objects:
            pixels[y0:y1, x0:x1] = COLOURS[name]
            text += (
                f"<object><name>{name}</name><difficult>0</difficult><bndbox><xmin>{x0 + 1}</xmin>"
                f"<ymin>{y0 + 1}</ymin><xmax>{x1}</xmax><ymax>{y1}</ymax></bndbox></object>"
            )
        Image.fromarray(pixels).save(
            root / "JPEGImages" / f"{image_id}.jpg", quality=95, subsampling=0
        )
        (root / "Annotations" / f"{image_id}.xml").write_text(f"{text}</annotation>")
    ids = list(SCENES)
    for name, members in {"train": ids[:3], "test": ids[3:], "all": ids, "bare": ids[2:3]}.items():
        (root / "ImageSets" / "Main" / f"{name}.txt").write_text("\n".join(members))
    return devkit


def open_run(path: Path) -> RunDirectory:
    return RunDirectory(path, {"run": {"test": "detection"}})


def jittered(boxes: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Forty proposals about each box."""
    moved = np.repeat(boxes, 40, axis=0) + rng.integers(-18, 19, (40 * len(boxes), 4))
    moved[:, :2] = moved[:, :2].clip(0)
    moved[:, 2:] = moved[:, 2:].clip(moved[:, :2] + 4, [100, 80])
    return moved.astype(np.float32)
