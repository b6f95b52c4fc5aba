"""`cebench inpaint` where nothing can be written, or nearly nothing is visible."""

from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner
from PIL import Image

from cebench.cli import cli
from cebench.errors import InputError


def refusal(*arguments: str | Path) -> str:
    result = CliRunner().invoke(cli, ["inpaint", *map(str, arguments)])
    assert isinstance(result.exception, InputError), result.output
    return str(result.exception)


def save(path: Path, image: np.ndarray) -> Path:
    path.parent.mkdir()
    Image.fromarray(image).save(path)
    return path


def noise(side: int) -> np.ndarray:
    return np.random.default_rng(0).integers(0, 256, (side, side, 3), dtype=np.uint8)


@pytest.mark.parametrize("more", [[], ["--dry-run"]])
def test_a_file_in_the_place_of_a_folder_is_refused(tmp_path: Path, more: list[str]) -> None:
    image = save(tmp_path / "photos" / "a.png", noise(40))
    (tmp_path / "file").touch()
    options = ["--fill", "telea", *more, "--out"]
    assert "file: is a file; choose another --out" in refusal(image, *options, tmp_path / "file")
    sheet = ["--sheet", tmp_path / "file" / "sheet.png"]
    assert "another --sheet" in refusal(image, *options, tmp_path / "out", *sheet)


def test_a_context_of_less_than_a_pixel_is_refused(tmp_path: Path) -> None:
    image = save(tmp_path / "large" / "a.png", noise(400))
    save(tmp_path / "gallery" / "b.png", noise(128))
    white = np.full((400, 400, 3), 255, np.uint8)
    white[:, 0] = 0
    options = ["--mask", save(tmp_path / "masks" / "a.png", white), "--out", tmp_path / "out"]
    text = refusal(image, "--fill", "nn-hog", "--gallery", tmp_path / "gallery", *options)
    assert "too little is visible around the hole" in text
