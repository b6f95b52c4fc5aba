"""The whole paper on the toy world: every stage is a run that the command line could have made."""

import json
import logging
import shutil
import time
from collections.abc import Callable
from functools import partial
from html import escape
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

PICTURES = {
    "Missing regions: the paper's Figure 3, and the released code's": "pictures/masks.png",
    "Context encoder, held-out scenes": "runs/context/samples/*.png",
    "Autoencoder, held-out scenes": "runs/autoencoder/samples/*.png",
    "Inpainting model, held-out facades": "runs/context-gan/samples/*.png",
    "Inpainting of the test facades, every row of Table 1": "runs/inpainting/samples/*.png",
    "Detections (context)": "runs/context-detection/samples/*.png",
    "Segmentations (context)": "runs/context-segmentation/samples/*.png",
    "Losses: context pretraining": "runs/context/curves.png",
    "Losses: context to detection": "runs/context-detection/curves.png",
}
"""Title -> picture, in the order of index.html."""


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
    from cebench.reporting.formats import to_html, to_markdown
    from cebench.reporting.records import read_records, record_name, write_record
    from cebench.reporting.tables import build_tables

    tables = build_tables(read_records(out / "runs"))
    shutil.rmtree(out / "records", ignore_errors=True)
    (out / "records").mkdir()
    for table in tables:
        for _, record in table.files:
            write_record(out / "records" / f"{record_name(record)}.json", record)
    write_atomically(out / REPORT, to_markdown(tables).encode())
    write_atomically(out / "index.html", _page(out, to_html(tables)).encode())


def _page(out: Path, tables: str) -> str:
    figures = []
    for title, pattern in PICTURES.items():
        for path in sorted(out.glob(pattern)):
            place = escape(path.relative_to(out).as_posix())
            caption = f"<figcaption>{escape(title)}</figcaption>"
            figures.append(f'<figure>{caption}<img src="{place}" alt=""></figure>')
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        "<title>cebench quickstart</title><style>"
        "body{font:16px/1.5 system-ui,sans-serif;max-width:84rem;margin:2rem auto;padding:0 1rem}"
        "table{border-collapse:collapse;margin:1rem 0;font-variant-numeric:tabular-nums;"
        "display:block;overflow-x:auto;font-size:.85rem}"
        "td,th{padding:.25rem .7rem;text-align:right}td:first-child,th:first-child{text-align:left}"
        "thead{border-bottom:1px solid;border-top:2px solid}tbody{border-bottom:2px solid}"
        "figure{margin:2rem 0}figcaption{font-weight:600}img{max-width:100%}"
        "</style></head><body><h1>cebench quickstart</h1>"
        "<p>The whole paper on a drawn toy world, at the tier <em>smoke</em>: it shows that every "
        "part runs, and reproduces no published number.</p>"
        f"{tables}{''.join(figures)}</body></html>\n"
    )
