"""Pictures inside the page as data URIs, within a bounded size, with captions and alt texts."""

import base64
import io
import re
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image

from cebench.data.images import open_rgb
from cebench.errors import CebenchError

from .runs import Run, first_of_each_row

MAX_BYTES = 12 * 2**20
"""Most bytes of all pictures of a page together, as text."""
MAX_WIDTH, QUALITY = 1600, 82

CAPTIONS = {
    "inpainting.png": "Inpaintings of test images: what is visible, each row's fill with its error "
    "in the hole, and the truth",
    "retrieval.png": "Retrieval: the gallery images whose surroundings of the frame are most like "
    "a test image's, by each description",
    "detections.png": "Detections, from the best to the worst of the test images: the 5 boxes of "
    "highest score (left; green right, red wrong) and the truth (right, * difficult)",
    "segmentation.png": "Segmentations of the best, the middle and the worst test images: image, "
    "truth, prediction",
    "mistakes.png": "Mistakes: for each class the images without it that score highest",
    "precision_recall.png": "Precision over recall of every class",
    "confusion.png": "Where each class's pixels went (%)",
    "errors.png": "What is wrong with the detections of each class",
}
"""Name of a picture in samples/ or in the run directory -> what it shows."""
_STEP = re.compile(r"step-(\d+)\.png")


@dataclass(frozen=True)
class Picture:
    """An embedded picture."""

    uri: str
    width: int
    height: int
    caption: str
    alt: str


@dataclass(frozen=True)
class PictureFile:
    """A picture that is not embedded yet."""

    path: Path
    caption: str


@dataclass
class PictureBudget:
    """Embeds pictures until the page is full, and remembers what was left out."""

    remaining: int = MAX_BYTES
    left_out: list[str] = field(default_factory=list)

    def embed(
        self, path: Path, caption: str, alt: str = "", max_width: int = MAX_WIDTH
    ) -> Picture | None:
        """The picture as WebP, scaled down to `max_width` pixels; None if there is no room.

        One that cannot be read counts as left out.
        """
        try:
            image = open_rgb(path, upright=False)
        except CebenchError:
            self.left_out.append(f"{caption} (cannot be read)")
            return None
        if image.width > max_width:
            height = max(1, round(image.height * max_width / image.width))
            image = image.resize((max_width, height), Image.Resampling.LANCZOS)
        uri = _data_uri(image)
        if len(uri) > self.remaining:
            self.left_out.append(caption)
            return None
        self.remaining -= len(uri)
        return Picture(uri, image.width, image.height, caption, alt or caption)


def sheets(runs: Sequence[Run], budget: PictureBudget, curves_drawn: bool) -> list[Picture]:
    """The pictures that runs left, of each program and row those of one run.

    curves_drawn: precision-recall curves are on the page already.
    """
    found = []
    for run in first_of_each_row(runs):
        for file in _files(run):
            if file.path.name != "precision_recall.png" or not curves_drawn:
                found.append(budget.embed(file.path, file.caption))
    return [picture for picture in found if picture]


def _files(run: Run) -> list[PictureFile]:
    """The last picture of a pretraining, and those of known names."""
    if run.folder is None:
        return []
    samples = run.folder / "samples"
    steps = sorted((int(m[1]), p) for p in samples.glob("*.png") if (m := _STEP.fullmatch(p.name)))
    files = [
        PictureFile(path, f"Images kept out of pretraining, after step {step:,}")
        for step, path in steps[-1:]
    ]
    for name, caption in CAPTIONS.items():
        places = [place / name for place in (samples, run.folder)]
        files += [PictureFile(path, caption) for path in places if path.is_file()]
    training = f"; {run.training}" if run.training else ""
    return [PictureFile(f.path, f"{f.caption} ({_whose(run)}{training})") for f in files]


def _whose(run: Run) -> str:
    pretraining = run.record.task == "pretraining"
    return f"pretraining, {run.label}" if pretraining else f"{run.program}, {run.label}"


def _data_uri(image: Image.Image) -> str:
    """WebP, or PNG where that is smaller, as of flat colours."""
    contents = []
    for name, options in (("webp", {"quality": QUALITY}), ("png", {"optimize": True})):
        content = io.BytesIO()
        image.save(content, format=name, **options)
        contents.append((len(content.getvalue()), name, content.getvalue()))
    _, name, smallest = min(contents)
    return f"data:image/{name};base64,{base64.b64encode(smallest).decode()}"
