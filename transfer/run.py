"""One transfer from request to records."""

import logging
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from time import monotonic
from typing import Any

import torch

from cebench.config import Recipe, load_recipe
from cebench.devices import choose_device, provenance
from cebench.distributed import check_single_process
from cebench.errors import InputError
from cebench.inpainting.networks import model_file
from cebench.reporting.records import (
    DataSource,
    Measurement,
    Record,
    ResolvedRecipe,
    WeightsOrigin,
)
from cebench.training.run_directory import RunDirectory
from cebench.weights.files import Weights, check_is_caffenet, load_weights, random_weights

from .classification import fine_tuning, linear_svm, low_shot_svm
from .detection import task as detection
from .detection.recipe import DetectionRecipe
from .inpainting import task as inpainting
from .run_context import Outcome, RunContext
from .segmentation import task as segmentation
from .segmentation.recipe import SegmentationRecipe

logger = logging.getLogger("cebench")


@dataclass(frozen=True)
class Task:
    """A transfer task: its recipe, its program and the rule that its numbers follow."""

    recipe: type[Recipe]
    find_images: Callable[[Any, Path], dict[str, list[Path]]]
    """What it would read, by the part it plays."""
    measure: Callable[[Any, RunContext], Outcome]
    table: str
    protocol: str
    protocol_version: int
    engines: tuple[str, ...] = ("native",)
    """Whose code can compute it."""
    any_backbone: bool = False
    """Whether it takes other networks than CaffeNet."""

    def protocol_name(self, recipe: Recipe, engine: str) -> str:
        """Numbers of two variants or two engines never stand in one cell: their names differ."""
        parts = [self.protocol, recipe.variant, "" if engine == "native" else engine]
        return "-".join(part for part in parts if part)


TASKS = {
    "classification": Task(
        recipe=fine_tuning.ClassificationRecipe,
        find_images=fine_tuning.find_images,
        measure=fine_tuning.measure,
        table="2",
        protocol="voc-classification",
        protocol_version=2,
        any_backbone=True,
    ),
    "linear-svm": Task(
        recipe=linear_svm.LinearSvmRecipe,
        find_images=linear_svm.find_images,
        measure=linear_svm.measure,
        table="linear",
        protocol="voc-linear-svm",
        protocol_version=2,
        any_backbone=True,
    ),
    "low-shot-svm": Task(
        recipe=low_shot_svm.LowShotSvmRecipe,
        find_images=low_shot_svm.find_images,
        measure=low_shot_svm.measure,
        table="low-shot",
        protocol="voc-low-shot-svm",
        protocol_version=2,
        any_backbone=True,
    ),
    "detection": Task(
        recipe=DetectionRecipe,
        find_images=detection.find_images,
        measure=detection.measure,
        table="2",
        protocol="voc-fast-rcnn-selective-search",
        protocol_version=1,
        engines=("native", "detectron2"),
    ),
    "segmentation": Task(
        recipe=SegmentationRecipe,
        find_images=segmentation.find_images,
        measure=segmentation.measure,
        table="2",
        protocol="voc-fcn",
        protocol_version=1,
        engines=("native", "mmseg"),
    ),
    "inpainting": Task(
        recipe=inpainting.InpaintingRecipe,
        find_images=inpainting.find_images,
        measure=inpainting.measure,
        table="1",
        protocol="central-hole-56-of-128",
        protocol_version=1,
    ),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `cebench transfer` was asked for."""

    task: str
    weights: str
    """Path of a weights file or run directory, or `random`."""
    data: Path
    out: Path
    recipe: str = "short"
    changes: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    resume: bool = True
    tensorboard: bool = False
    engine: str = "native"

    def resolve(self) -> tuple[Recipe, str]:
        """The recipe with its changes, and its full name; InputError if no such engine is there."""
        task = TASKS[self.task]
        if self.engine not in task.engines:
            known = ", ".join(task.engines)
            raise InputError(f"--engine {self.engine}: {self.task} is computed by {known}")
        return load_recipe(task.recipe, "cebench.transfer", self.task, self.recipe, self.changes)

    def load_weights(self) -> Weights:
        """The weights: drawn from the seed for `random`; inpainting takes what fills holes."""
        if self.weights == "random":
            return random_weights(self.seed)
        path = Path(self.weights)
        return load_weights(model_file(path) if self.task == "inpainting" else path)


def run_transfer(request: Request) -> Record:
    """Carry out `request`, or continue it; returns its record."""
    check_single_process("cebench transfer")
    task = TASKS[request.task]
    recipe, recipe_name = request.resolve()
    device = choose_device(request.device)
    weights = request.load_weights()
    if not task.any_backbone:
        check_is_caffenet(weights)
    run_table = _run_table(request, recipe_name, weights, device)
    identity = {"run": run_table, "recipe": recipe.model_dump(mode="json")}
    with RunDirectory(
        request.out, identity, resume=request.resume, tensorboard=request.tensorboard
    ) as run:
        if run.finished:
            logger.info(f"{run.path}: finished before, nothing to do")
            return run.record()
        began = monotonic()
        run_context = RunContext(
            run=run,
            weights=weights,
            data=request.data,
            seed=request.seed,
            device=device,
            engine=request.engine,
        )
        outcome = task.measure(recipe, run_context)
        seconds = round(monotonic() - began, 3)
        record = _record(request, recipe, recipe_name, run_context, outcome, seconds)
        run.finish(record)
        return record


def _record(
    request: Request,
    recipe: Recipe,
    recipe_name: str,
    run_context: RunContext,
    outcome: Outcome,
    seconds: float,
) -> Record:
    """What the run measured, with all that determines it."""
    task, weights = TASKS[request.task], run_context.weights
    data = "/".join(request.data.resolve().parts[-2:])
    return Record(
        table=task.table,
        task=request.task,
        protocol=task.protocol_name(recipe, request.engine),
        protocol_version=task.protocol_version,
        tier=recipe.tier,
        seed=request.seed,
        recipe=ResolvedRecipe.of(recipe_name, recipe),
        data=DataSource(name=data, fingerprint=outcome.data_fingerprint),
        proposals=outcome.proposals,
        weights=WeightsOrigin.of(weights.name, weights.sidecar),
        started=run_context.run.started,
        seconds=seconds,
        measurements=_measurements(outcome, weights.sidecar.method),
        **provenance(run_context.device),
    )


def _run_table(
    request: Request, recipe_name: str, weights: Weights, device: torch.device
) -> dict[str, str | int]:
    """What run.toml says of the run, besides its recipe."""
    return {
        "verb": "transfer",
        "task": request.task,
        "recipe": recipe_name,
        "weights": weights.name,
        "weights_sha256": weights.sidecar.sha256,
        "data": str(request.data.resolve()),
        "seed": request.seed,
        "device": device.type,
        "engine": request.engine,
    }


def _measurements(outcome: Outcome, method: str) -> tuple[Measurement, ...]:
    """Those of `outcome`; where it names no row, that of the weights' method."""
    named = (
        {**asdict(measured), "row": measured.row or method} for measured in outcome.measurements
    )
    return tuple(Measurement(**values) for values in named)
