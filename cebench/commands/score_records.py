"""Records of inpaintings that another program made: they stand in Table 1 beside the paper's."""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from cebench.data.hole_kinds import TABLE_1_ROWS, TABLE_1_SIDE

TABLE_1_HOLE = TABLE_1_ROWS[1] - TABLE_1_ROWS[0]
"""Side of Table 1's central hole in pixels, of images of `TABLE_1_SIDE`."""

if TYPE_CHECKING:
    from cebench.metrics.inpainting import InpaintingSums
    from cebench.reporting.records import DataSource, Record, ResolvedRecipe, WeightsOrigin


def check_record(
    folder: Path, row: str | None, hole: "Path | int", size: int | None, ssim_window: str
) -> str:
    """The row's name; InputError if the scores are not Table 1's or `folder` is taken."""
    from cebench.errors import InputError
    from cebench.files import check_one_line, check_writable
    from cebench.reporting.published import load_published

    if not row:
        raise InputError("--record needs --row NAME: the line of Table 1, such as lama")
    if ssim_window != "uniform":
        raise InputError("--record: the table's SSIM is that of --ssim-window uniform")
    if hole != TABLE_1_HOLE or size != TABLE_1_SIDE:
        raise InputError(
            f"--record: Table 1 is about --hole center:{TABLE_1_HOLE} --size {TABLE_1_SIDE}; leave "
            "it out for other holes and sizes"
        )
    taken = {number.row for number in load_published().numbers if number.table == "1"}
    if check_one_line(row, "--row") in taken:
        raise InputError(f"--row {row}: a row of the paper; name yours otherwise")
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise InputError(f"--record {folder}: exists and is not empty; name a new folder")
    check_writable(folder, "--record")
    return row


def write_scores(
    folder: Path,
    row: str,
    sums: "Mapping[str, InpaintingSums]",
    files: "Mapping[str, Path]",
    targets: Path,
) -> Path:
    """Write record.json, and outcome.safetensors, which it can be scored from again.

    Args:
        folder: is made if need be.
        row: the line of the table.
        sums: of each image, by the true image's stem.
        files: the predictions, likewise.
        targets: folder of the true images; that of a finished `cebench transfer --task inpainting`
            (RUN/targets) gives the record that run's data and recipe, so that both share a table.
    """
    from dataclasses import replace

    import torch

    from cebench.devices import provenance
    from cebench.errors import InputError
    from cebench.metrics.inpainting import InpaintingSums, inpainting_scores
    from cebench.reporting.outcomes import FILE_NAME, RunOutcome, with_intervals, write_outcome
    from cebench.reporting.records import Measurement, Record, write_record
    from cebench.transfer.inpainting.report import measurements, parts_of
    from cebench.transfer.inpainting.task import TASK

    recipe, data, ids = _run_of(targets)
    sums = _in_order(sums, ids, targets)
    scores = inpainting_scores(sum(sums.values(), InpaintingSums()))
    outcome = RunOutcome(tuple(sums), tuple(parts_of(row, list(sums.values()))))
    found = list(measurements(row, scores, len(sums), True))
    if not all(math.isfinite(number.value) for number in found):
        raise InputError(
            "--record: the predictions equal the targets, so PSNR is infinite; was the same folder "
            "given twice? No record is written"
        )
    numbers = [Measurement(**asdict(number)) for number in found]
    record = Record(
        table=TASK.table,
        task="inpainting",
        protocol=TASK.protocol,
        protocol_version=TASK.protocol_version,
        tier="custom",
        seed=0,
        recipe=recipe,
        data=data,
        weights=_origin(row, files.values()),
        started=f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
        seconds=0.0,
        measurements=with_intervals(numbers, outcome, row),
        **provenance(torch.device("cpu")),
    )
    folder.mkdir(parents=True, exist_ok=True)
    digest = write_outcome(folder / FILE_NAME, outcome)
    return write_record(folder / "record.json", replace(record, outcome_sha256=digest))


def _in_order(
    sums: "Mapping[str, InpaintingSums]", ids: "Sequence[str]", targets: Path
) -> "Mapping[str, InpaintingSums]":
    """The sums in the order of the run's images; as they are where `targets` are of no run."""
    from cebench.errors import InputError

    if ids and set(ids) != set(sums):
        raise InputError(
            f"--record: {targets} holds {len(sums)} images, its run scored {len(ids)}, or others; "
            "score the run's targets as it left them"
        )
    return {image_id: sums[image_id] for image_id in ids} if ids else sums


def _run_of(targets: Path) -> "tuple[ResolvedRecipe, DataSource, tuple[str, ...]]":
    """Recipe, data and images' ids of the run that stored `targets`; of others no ids."""
    from cebench.config import load_recipe
    from cebench.data.fingerprint import fingerprint_files
    from cebench.data.masks import images_and_masks
    from cebench.files import readable, without_links
    from cebench.reporting.records import SCORED_FILES, DataSource, ResolvedRecipe, load_record
    from cebench.reporting.results import find_outcome
    from cebench.transfer.inpainting.recipe import InpaintingRecipe

    beside = without_links(targets).parent / "record.json"
    if without_links(targets).name == "targets" and beside.is_file():
        run: Record = load_record(beside)
        if run.task == "inpainting":
            outcome = find_outcome(beside, run)
            return run.recipe, run.data, outcome.ids if outcome else ()
    recipe, _ = load_recipe(InpaintingRecipe, "cebench.transfer", "inpainting", "short")
    name = readable("/".join(without_links(targets).parts[-2:]))
    fingerprint = fingerprint_files(images_and_masks(targets)[0], targets)
    found = DataSource(name=name, fingerprint=fingerprint)
    return ResolvedRecipe.of(SCORED_FILES, recipe), found, ()


def _origin(row: str, files: "Iterable[Path]") -> "WeightsOrigin":
    """Nothing is known of the program but what it made."""
    from cebench.data.fingerprint import fingerprint_files
    from cebench.reporting.records import (
        SCORED_FILES,
        DataSource,
        ResolvedRecipe,
        WeightsOrigin,
    )

    return WeightsOrigin(
        name=row,
        sha256=fingerprint_files(list(files)),
        architecture=SCORED_FILES,
        method=row,
        recipe=ResolvedRecipe(name="unknown", values=None, sha256=None),
        tier="imported",
        seed=None,
        steps=None,
        data=DataSource(name="unknown", fingerprint=None),
        seconds=None,
    )
