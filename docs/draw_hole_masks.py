"""Draws docs/images/hole-masks.png from the toy world: `python docs/draw_hole_masks.py`."""

import tempfile
from pathlib import Path

from PIL import Image

from cebench.suite.pictures import draw_masks
from cebench.toy.world import write_toy_world

PICTURE = Path(__file__).parent / "images" / "hole-masks.png"

with tempfile.TemporaryDirectory() as folder:
    write_toy_world(Path(folder) / "toy", images=60, seed=0)
    sheet = Path(folder) / "sheet.png"
    draw_masks(Path(folder) / "toy", sheet, seed=0)
    with Image.open(sheet) as image:
        image.quantize(128, dither=Image.Dither.NONE).save(PICTURE, optimize=True)
