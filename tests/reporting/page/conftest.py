"""Run directories as the programs leave them, without a training."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from outcome_makers import confusions, label_scores
from PIL import Image
from samples import changed, recipe_of

from cebench.metrics.image_intervals import METHOD
from cebench.reporting.outcome_parts import LabelScores, PixelPairs
from cebench.reporting.outcomes import OutcomePart, RunOutcome, write_outcome
from cebench.reporting.page.render import to_html
from cebench.reporting.records import Interval, Record, write_record
from cebench.reporting.results import read_results
from cebench.reporting.tables import build_tables
from cebench.reporting.verdicts import with_letters

STRENGTH = {"random": 0.2, "context": 1.0}
"""Row -> how well it classifies."""


def classification(row: str, seed: int = 0, value: float = 0.3) -> Record:
    interval = Interval(low=value - 0.02, high=value + 0.02, level=0.95, method=METHOD)
    return changed(
        row=row,
        task="classification",
        column="classification",
        metric="mean_ap_sklearn",
        tier="smoke",
        value=value,
        seed=seed,
        interval=interval,
        recipe=recipe_of("classification-smoke", steps=30),
        weights={"steps": 40, "tier": "smoke"},
    )


def picture(path: Path, colour: int = 0, size: tuple[int, int] = (24, 16)) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    Image.new("RGB", size, (colour, 90, 120)).save(path)


def write_run(
    folder: Path, record: Record, metrics: int = 5, outcome: RunOutcome | None = None
) -> None:
    folder.mkdir(parents=True)
    if outcome is not None:
        sha256 = write_outcome(folder / "outcome.safetensors", outcome)
        record = replace(record, outcome_sha256=sha256)
    lines = [json.dumps({"step": s, "loss": 1 / s, "seconds": s}) for s in range(1, metrics + 1)]
    (folder / "metrics.jsonl").write_text("\n".join([*lines, '{"step": 9']))
    write_record(folder / "record.json", record)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """Two rows of classification with everything, and one segmentation of each."""
    for place, (row, strength) in enumerate(STRENGTH.items()):
        scores, labels = label_scores(images=200, strength=strength)
        part = OutcomePart(scored=LabelScores.from_scores(scores, labels), column="classification")
        ids = tuple(f"{n:06}" for n in range(200))
        folder = tmp_path / "runs" / f"{row}-classification"
        value = part.scores()["mean_ap_sklearn"]
        record = classification(row, value=value)
        write_run(folder, record, outcome=RunOutcome(ids, (part,)))
        lines = [f"cat,0.{place + 3}", "dog,0.5", "sofa,nan"]
        (folder / "per_class.csv").write_text("\n".join(["class,ap_sklearn", *lines]) + "\n")
        picture(folder / "samples" / "mistakes.png")
        picture(folder / "precision_recall.png")
        _write_segmentation(tmp_path / "runs" / f"{row}-segmentation", row, place)
    return tmp_path / "runs"


def _write_segmentation(folder: Path, row: str, seed: int) -> None:
    ids = tuple(f"2012_{n:06}" for n in range(30))
    part = OutcomePart(scored=PixelPairs(confusions(images=30, seed=seed)), column="segmentation")
    record = changed(
        row=row, task="segmentation", column="segmentation", metric="mean_iou", tier="smoke"
    )
    write_run(folder, record, outcome=RunOutcome(ids, (part,)))
    for name in ids:
        picture(folder / "predictions" / f"{name}.png", colour=100 * seed)


def write_ablation(folder: Path, objective: str, seed: int = 0) -> None:
    """A pretraining, and inpaintings of three images by its network and nine baselines."""
    row = "context-gan" if objective == "joint" else f"context-gan-{objective}"
    recipe = recipe_of("context-gan-custom", objective=objective, region="center")
    weights = {"architecture": "inpainting-generator", "recipe": recipe, "seed": seed}
    record = changed(
        table="1", task="inpainting", row=row, column="mean_l1", metric="mean_l1", weights=weights
    )
    record = replace(record, weights=replace(record.weights, method="context-gan"))
    write_run(folder, record)
    write_run(folder / "weights", replace(record, task="pretraining", measurements=()))
    picture(folder / "weights" / "samples" / "step-5.png")
    lines = ["row,image,mean_l1"]
    for name in (row, *(f"baseline-{n}" for n in range(9))):
        lines += [f"{name},{image},0.{image}" for image in range(1, 4)]
        for image in range(1, 4):
            picture(folder / "predictions" / name / f"{image}.png", size=(8, 8))
    (folder / "per_image.csv").write_text("\n".join(lines) + "\n")
    picture(folder / "samples" / "inpainting.png")


@pytest.fixture
def ablations(tmp_path: Path) -> Path:
    """Pretrainings and inpaintings of `context-gan` by three objectives, by one of them twice."""
    for objective in ("joint", "l2", "adversarial"):
        write_ablation(tmp_path / objective, objective)
    write_ablation(tmp_path / "joint-1", "joint", seed=1)
    return tmp_path


@pytest.fixture
def page_of() -> Callable[[Path], str]:
    def page(folder: Path) -> str:
        found = read_results([folder])
        tables = with_letters(build_tables(found))
        return to_html(found, tables)

    return page
