"""The whole paper on the toy world: every stage is a run that the command line could have made."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path

from cebench import __version__
from cebench.errors import InputError
from cebench.files import write_atomically

logger = logging.getLogger("cebench")

IMAGES = 60
METHODS = ("random", "autoencoder", "context")
TASKS = ("classification", "detection", "segmentation")
DONE = "quickstart.json"
REPORT = "tables.md"

INTRODUCTION = (
    "The whole paper on a drawn toy world, at the tier smoke: it shows that every part runs, and "
    "reproduces no published number."
)
MASKS = "Missing regions: the paper's Figure 3, and the released code's"


def finished_report(out: Path, seed: int) -> str | None:
    """The tables of a finished quickstart in `out`; None where there is still something to do.

    InputError when `out` holds a quickstart of another seed.
    """
    mark = out / DONE
    if not mark.exists():
        _check_own(out)
        return None
    done = json.loads(mark.read_text(encoding="utf-8"))
    if done["seed"] != seed:
        raise InputError(
            f"{out}: holds the quickstart of seed {done['seed']}; choose another --out for {seed}"
        )
    if done["version"] != __version__:
        return None
    return (out / REPORT).read_text(encoding="utf-8")


def _check_own(out: Path) -> None:
    """InputError if `out` is a folder that holds something else than an interrupted quickstart."""
    if out.is_dir() and any(out.iterdir()) and not (out / "toy").is_dir():
        raise InputError(f"{out}: holds other files; choose an empty or new --out")


def run_quickstart(out: Path, seed: int) -> str:
    """Run or continue all stages; returns the tables as Markdown."""
    began = time.monotonic()
    stages = _stages(out, seed)
    for number, (name, stage) in enumerate(stages, start=1):
        passed = time.monotonic() - began
        logger.info(f"[{number}/{len(stages)}] {name} ({passed:.0f} s so far)")
        stage()
    text = (out / REPORT).read_text(encoding="utf-8")
    mark = {"seed": seed, "version": __version__}
    write_atomically(out / DONE, (json.dumps(mark) + "\n").encode())
    logger.info(f"quickstart: {time.monotonic() - began:.0f} s")
    return text


def _stages(out: Path, seed: int) -> list[tuple[str, Callable[[], object]]]:
    return [
        ("toy world", partial(_draw_toy_world, out, seed)),
        *((f"pretrain {method}", partial(_pretrain, out, seed, method)) for method in METHODS),
        ("pretrain context-gan on facades", partial(_pretrain_on_facades, out, seed)),
        *(
            (f"transfer {method} to {task}", partial(_transfer, out, seed, method, task))
            for task in TASKS
            for method in METHODS
        ),
        ("inpaint facades", partial(_inpaint, out, seed)),
        ("pictures", partial(_draw_masks, out, seed)),
        ("tables", partial(_report, out)),
    ]


def _draw_toy_world(out: Path, seed: int) -> None:
    from cebench.progress import progress
    from cebench.toy.world import write_toy_world

    out.mkdir(parents=True, exist_ok=True)
    with progress("drawing the toy world", "images") as report:
        write_toy_world(out / "toy", images=IMAGES, seed=seed, report=report)


def _pretrain(out: Path, seed: int, method: str) -> None:
    from cebench.pretrain.run import Request, run_pretraining

    run_pretraining(
        Request(
            method=method,
            data=() if method == "random" else (out / "toy" / "unlabeled",),
            out=out / "runs" / method,
            recipe="smoke",
            changes=("mask=random-region",) if method == "context" else (),
            region_shapes=out / "toy" / "VOCdevkit" / "VOC2012",
            seed=seed,
        )
    )


def _pretrain_on_facades(out: Path, seed: int) -> None:
    """Table 1's model saw street facades with the centre missing."""
    from cebench.pretrain.run import Request, run_pretraining

    run_pretraining(
        Request(
            method="context-gan",
            data=(out / "toy" / "facades" / "train",),
            out=out / "runs" / "context-gan",
            recipe="smoke",
            seed=seed,
        )
    )


def _transfer(out: Path, seed: int, method: str, task: str) -> None:
    from cebench.transfer.run import Request, run_transfer

    run_transfer(
        Request(
            task=task,
            weights=str(out / "runs" / method),
            data=out / "toy" / "VOCdevkit",
            out=out / "runs" / f"{method}-{task}",
            recipe="smoke",
            seed=seed,
        )
    )


def _inpaint(out: Path, seed: int) -> None:
    from cebench.transfer.run import Request, run_transfer

    run_transfer(
        Request(
            task="inpainting",
            weights=str(out / "runs" / "context-gan"),
            data=out / "toy" / "facades",
            out=out / "runs" / "inpainting",
            recipe="smoke",
            seed=seed,
        )
    )


def _draw_masks(out: Path, seed: int) -> None:
    (out / "pictures").mkdir(exist_ok=True)
    draw_masks(out / "toy", out / "pictures" / "masks.png", seed)


def draw_masks(toy: Path, picture: Path, seed: int) -> None:
    """Four scenes of a toy world, whole and with each kind of region missing, one row each."""
    import numpy as np
    import torch
    from PIL import Image

    from cebench.data.hole_masks import (
        CentralHole,
        Holes,
        NoisePattern,
        RandomBlocks,
        RandomRegions,
    )
    from cebench.data.images import image_files
    from cebench.data.voc.devkit import VocYear
    from cebench.plots.sheets import save_sheet
    from cebench.randomness import numpy_generator

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
        columns[name] = list(np.where(missing[..., None], np.uint8(255), scenes))
    save_sheet(columns, picture)


def _report(out: Path) -> None:
    """Collect the records of this quickstart's runs, and write tables.md and index.html."""
    from cebench.reporting.formats import to_markdown
    from cebench.reporting.page.content import page_content
    from cebench.reporting.page.pictures import PictureFile
    from cebench.reporting.page.render import render_page
    from cebench.reporting.records import record_name, write_record
    from cebench.reporting.results import find_outcome, read_results
    from cebench.reporting.tables import build_tables
    from cebench.reporting.verdicts import with_letters

    found = read_results([out / "runs"])
    tables = [with_letters(table, find_outcome) for table in build_tables(found)]
    shutil.rmtree(out / "records", ignore_errors=True)
    (out / "records").mkdir()
    for table in tables:
        for _, record in table.files:
            write_record(out / "records" / f"{record_name(record)}.json", record)
    write_atomically(out / REPORT, to_markdown(tables).encode())
    masks = PictureFile(out / "pictures" / "masks.png", MASKS)
    content = page_content(found, tables, "cebench quickstart", INTRODUCTION, [masks])
    write_atomically(out / "index.html", render_page(content).encode())
