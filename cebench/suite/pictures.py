"""Pictures of a suite that no cell leaves."""

from pathlib import Path

import numpy as np
import torch
from PIL import Image

from cebench.data.hole_masks import CentralHole, Holes, NoisePattern, RandomBlocks, RandomRegions
from cebench.data.images import image_files
from cebench.data.voc.devkit import VocYear
from cebench.plots.sheets import save_sheet
from cebench.randomness import numpy_generator

MAGENTA = np.array([255, 0, 255], dtype=np.uint8)


def draw_masks(toy: Path, picture: Path, seed: int) -> None:
    """Four scenes of a toy world, whole and with each kind of region missing, one row each.

    What is missing is magenta, which no scene has, so that holes on clouds and sheep can be seen.
    """
    side, count = 227, 4
    kinds: dict[str, Holes] = {
        "central": CentralHole(side, side // 2),
        "random block": RandomBlocks(side),
        "random region": RandomRegions.from_voc(side, VocYear(toy / "VOCdevkit", 2012), "train"),
        "noise": NoisePattern(side),
    }
    paths = image_files(toy / "unlabeled")[:count]
    scenes = [np.asarray(Image.open(path).convert("RGB").resize((side, side))) for path in paths]
    columns = {"scene": scenes}
    for number, (name, holes) in enumerate(kinds.items()):
        shape = (count, *holes.sample_shape)
        uniforms = numpy_generator(seed, "picture", number).random(shape, dtype=np.float32)
        missing = holes(torch.from_numpy(uniforms)).numpy()
        columns[name] = list(np.where(missing[..., None], MAGENTA, scenes))
    save_sheet(columns, picture, font_size=24)
