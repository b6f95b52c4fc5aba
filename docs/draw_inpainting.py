"""Draws docs/images/inpainting.jpg and inpaint-sheet.jpg: `python docs/draw_inpainting.py RUN TOY`.

RUN and TOY are what these commands leave (two hours of one core beside other programs):

    cebench data toy TOY --images 1600 --seed 0
    cebench pretrain --method context-gan --recipe small --set steps=5400 \
        --data TOY/facades/train --out RUN

README's numbers beneath the first picture, of all 400 test facades (results/toy):

    cebench transfer --task inpainting --recipe paper --weights RUN --data TOY/facades \
        --set gallery=train --set test=test --out runs/inpainting
"""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image

from cebench.plots.sheets import Cell, save_contact_sheet

IMAGES = Path(__file__).parent / "images"
TITLES = {
    "published-fill": "hole",
    "context-gan": "context-gan",
    "nn-features": "nearest neighbour",
    "telea": "Telea",
    "patch-match": "PatchMatch",
}
"""Fill -> its column. The constant fill shows where the hole is."""
SIDE = 132
"""Pixels of a picture: six columns are then as wide as a page shows without shrinking the text."""


def fill(run: Path, photos: list[Path], gallery: Path, hole: list[str]) -> list[list[Cell]]:
    """A row for each photograph: the hole, every fill with its errors, the truth."""
    fills = [f"--fill={name}" for name in TITLES if name != "context-gan"]
    with tempfile.TemporaryDirectory() as out:
        command = [sys.executable, "-m", "cebench", "inpaint", *map(str, photos), *hole, "--json"]
        command += ["--weights", f"context-gan={run}", "--gallery", str(gallery), *fills]
        done = subprocess.run([*command, "--out", out], check=True, stdout=subprocess.PIPE)
        return [_row(found) for found in json.loads(done.stdout)["images"]]


def _row(found: dict[str, object]) -> list[Cell]:
    fillings = found["fillings"]
    assert isinstance(fillings, dict)
    cells = []
    for name in TITLES:
        filling = fillings[name]
        errors = [f"L1 {100 * filling['mean_l1']:.1f} %", f"{filling['psnr_db']:.1f} dB"]
        lines = [] if name == "published-fill" else [",  ".join(errors)]
        cells.append(Cell(_pixels(filling["path"]), lines))
    return [*cells, Cell(_pixels(str(found["image"])))]


def _pixels(path: str) -> np.ndarray:
    with Image.open(path) as image:
        return np.asarray(image.convert("RGB"))


def draw(rows: list[list[Cell]], picture: Path) -> None:
    with tempfile.TemporaryDirectory() as folder:
        sheet = Path(folder) / "sheet.png"
        save_contact_sheet([*TITLES.values(), "truth"], rows, sheet, SIDE)
        with Image.open(sheet) as image:
            image.save(picture, quality=90)


if __name__ == "__main__":
    trained, toy = Path(sys.argv[1]), Path(sys.argv[2])
    facades = [toy / "facades" / "test" / f"facade-{number:05d}.jpg" for number in range(2, 8)]
    train = toy / "facades" / "train"
    draw(fill(trained, facades[:4], train, ["--center"]), IMAGES / "inpainting.jpg")
    blocks = ["--random", "block", "--intact"]
    draw(fill(trained, facades[3:], train, blocks), IMAGES / "inpaint-sheet.jpg")
