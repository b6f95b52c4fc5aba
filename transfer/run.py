"""One transfer from request to records."""

import logging
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from time import monotonic

import torch

from cebench.config import Recipe, values_sha256
from cebench.devices import choose_device, provenance
from cebench.distributed import check_single_process
from cebench.errors import InputError
from cebench.files import readable, without_links
from cebench.models.backbones import is_foreign
from cebench.plots.sheets import add_caption
from cebench.progress import spoken_duration, untrained
from cebench.reporting.outcomes import FILE_NAME, with_intervals, write_outcome
from cebench.reporting.records import (
    DataSource,
    Measurement,
    Record,
    ResolvedRecipe,
    WeightsOrigin,
)
from cebench.training.data_state import (
    check_data_of_finished,
    files_named_in,
    log_start,
    remember_data,
)
from cebench.training.loop import seconds_so_far
from cebench.training.run_directory import RunDirectory
from cebench.training.run_owner import Identity
from cebench.training.run_status import check_is_finished, is_finished
from cebench.weights.files import Weights, load_weights, random_weights

from .classification.task import TASK as CLASSIFICATION
from .dense_probe.task import TASK as DENSE_PROBE
from .detection.task import TASK as DETECTION
from .first_checks import check_engine, resolve_recipe
from .inpainting.task import TASK as INPAINTING
from .knn.task import TASK as KNN
from .linear_svm.task import TASK as LINEAR_SVM
from .low_shot_svm.task import TASK as LOW_SHOT_SVM
from .run_context import Outcome, RunContext
from .segmentation.task import TASK as SEGMENTATION

logger = logging.getLogger("cebench")

TASKS = {
    "classification": CLASSIFICATION,
    "linear-svm": LINEAR_SVM,
    "low-shot-svm": LOW_SHOT_SVM,
    "knn": KNN,
    "dense-probe": DENSE_PROBE,
    "detection": DETECTION,
    "segmentation": SEGMENTATION,
    "inpainting": INPAINTING,
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

    @property
    def is_finished(self) -> bool:
        """Whether `out` holds the finished run of a request, which is not started over."""
        return is_finished(self.out, self.resume)

    def resolve(self) -> tuple[Recipe, str]:
        """The recipe with its changes, and its full name; InputError if no such engine is there."""
        check_engine(self.task, self.engine)
        return resolve_recipe(self.task, self.recipe, self.changes)

    def load_weights(self) -> Weights:
        """The weights, for `random` drawn from the seed; InputError if the task takes no such."""
        if self.weights == "random":
            return random_weights(self.seed)
        task = TASKS[self.task]
        check_is_finished(Path(self.weights))
        weights = load_weights(task.weights_file(Path(self.weights)))
        if not task.any_backbone and is_foreign(weights.sidecar.architecture):
            takers = ", ".join(name for name, known in TASKS.items() if known.any_backbone)
            raise InputError(
                f"{weights.name}: holds a {weights.sidecar.architecture}, {self.task} takes a "
                f"CaffeNet trunk; {takers} take any backbone"
            )
        return weights


def run_transfer(request: Request) -> Record:
    """Carry out `request`, or continue it; returns its record."""
    check_single_process("cebench transfer")
    task = TASKS[request.task]
    recipe, recipe_name = request.resolve()
    device = choose_device(request.device)
    weights = request.load_weights()
    identity = identity_of(request, recipe, recipe_name, weights, device)
    if not request.is_finished:
        task.check_weights(recipe, weights)
        task.check_engine(recipe, weights, request.engine, device)
    if not request.resume:  # A mistake in the data must not cost the run that is there.
        task.find_images(recipe, request.data)
    read = [request.data, *files_named_in(recipe.model_dump())]
    with RunDirectory(
        request.out, identity, resume=request.resume, tensorboard=request.tensorboard
    ) as run:
        if run.finished:
            record = run.record()
            proposals = record.proposals.rpartition(" ")[2]
            check_data_of_finished(
                run,
                read,
                record.data.fingerprint,
                lambda: task.data_fingerprint(recipe, request.data, proposals),
            )
            logger.info(f"{run.path}: finished before, nothing to do")
            return record
        remember_data(run, read)
        log_start(recipe_name, request.seed, device, [request.data])
        began = monotonic() - seconds_so_far(run)
        run_context = RunContext(
            run=run,
            weights=weights,
            data=request.data,
            seed=request.seed,
            device=device,
            engine=request.engine,
        )
        outcome = task.measure(recipe, run_context)
        _caption_pictures(run.path / "samples", recipe, weights, request.task)
        outcome_sha256 = write_outcome(run.path / FILE_NAME, outcome.scored_from)
        seconds = round(monotonic() - began, 3)
        record = _record(request, recipe, recipe_name, run_context, outcome, seconds)
        record = replace(record, outcome_sha256=outcome_sha256)
        run.finish(record)
        logger.info(f"finished in {spoken_duration(seconds)}: {run.path / 'record.json'}")
        return record


def _caption_pictures(folder: Path, recipe: Recipe, weights: Weights, task: str) -> None:
    """Write beneath the pictures of a smoke run that it is untrained."""
    if "smoke" not in (recipe.tier, weights.sidecar.tier):
        return
    text = untrained(weights.sidecar.steps, getattr(recipe, "steps", None), task)
    for path in sorted(folder.glob("*.png")):
        add_caption(path, text)


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
    data = readable("/".join(without_links(request.data).parts[-2:]))
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


def identity_of(
    request: Request, recipe: Recipe, recipe_name: str, weights: Weights, device: torch.device
) -> Identity:
    """The tables of run.toml."""
    run_table = {
        "verb": "transfer",
        "task": request.task,
        "recipe": recipe_name,
        "weights": weights.name,
        "weights_sha256": weights.sidecar.sha256,
        # The same tensors are other weights with other pixels or of another row.
        "weights_sidecar_sha256": values_sha256(weights.sidecar.identity()),
        "data": readable(without_links(request.data)),
        "seed": request.seed,
        "device": device.type,
        "engine": request.engine,
    }
    return {"run": run_table, "recipe": recipe.model_dump(mode="json")}


def _measurements(outcome: Outcome, method: str) -> tuple[Measurement, ...]:
    """Numbers of `outcome` with intervals; a row that it does not name is the weights' method."""
    named = (
        {**asdict(measured), "row": measured.row or method} for measured in outcome.measurements
    )
    return with_intervals([Measurement(**values) for values in named], outcome.scored_from, method)
