"""Mistakes that files and names tell before PyTorch is imported, which takes seconds.

Whatever they let pass the run itself checks again, with all that needs its recipe's class.
"""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cebench.config import recipe_values
from cebench.data.voc.devkit import VocYear
from cebench.data.voc.segmentation_sets import segmentation_ids
from cebench.errors import InputError
from cebench.training.run_owner import check_program
from cebench.training.run_status import check_is_finished

from .image_sets import check_disjoint
from .inpainting.folders import find_images

ENGINES = {"detection": ("native", "detectron2"), "segmentation": ("native", "mmseg")}
"""Task -> whose code can compute it; the others are native alone."""
_SEGMENTATION = {"segmentation", "dense-probe"}


def check_start(
    *,
    task: str,
    weights: str,
    out: Path,
    recipe: str,
    changes: Sequence[str],
    seed: int,
    data: Path,
    engine: str,
    **others: Any,
) -> None:
    """InputError for a run that cannot start: its recipe's name, engine, --out, weights or data."""
    values, _, name = recipe_values("cebench.transfer", task, recipe, changes)
    check_engine(task, engine)
    known = {"verb": "transfer", "task": task, "recipe": name, "seed": seed, "engine": engine}
    check_program(out, known)
    if weights != "random":
        if not Path(weights).exists():
            raise InputError(f"{weights}: no such weights file; `cebench pretrain` writes one")
        check_is_finished(Path(weights))
    if task == "inpainting":
        find_images(data, values.get("gallery", "train"), values.get("test", "test"))
    else:
        _check_lists(task, data, values)


def check_engine(task: str, engine: str) -> None:
    """InputError where `engine` does not compute `task`, or is not installed."""
    known = ENGINES.get(task, ("native",))
    if engine not in known:
        raise InputError(f"--engine {engine}: {task} is computed by {', '.join(known)}")
    if engine != "native" and find_spec(engine) is None:
        raise InputError(f"--engine {engine}: the package is not installed")


def _check_lists(task: str, data: Path, values: Mapping[str, Any]) -> None:
    """InputError where --data has no such year or image set, or its two sets share an image."""
    segmentation = task in _SEGMENTATION
    year = values.get("year", 2012 if segmentation else 2007)
    train, test = values.get("train_set", "train"), values.get("test_set", "val")
    if not isinstance(year, int) or not isinstance(train, str) or not isinstance(test, str):
        return  # The recipe's class says what is wrong.
    voc = VocYear(data, year)
    if not segmentation:
        check_disjoint(voc.ids(train), voc.ids(test), (train, test))
        return
    segmentation_ids(voc, test, data)
    if values.get("train_data", "voc") != "sbd":
        segmentation_ids(voc, train, data)
