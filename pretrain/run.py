"""One pretraining from request to weights file."""

import logging
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from cebench.config import Recipe, load_recipe
from cebench.data.fingerprint import fingerprint_files
from cebench.devices import choose_device, provenance
from cebench.distributed import barrier, check_processes, is_main_process, processes
from cebench.errors import InputError
from cebench.files import readable, without_links
from cebench.progress import spoken_duration
from cebench.reporting.records import (
    REGION_SHAPES,
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
from cebench.training.run_directory import RunDirectory
from cebench.training.run_owner import Identity, stored_hash
from cebench.training.run_status import is_finished
from cebench.weights.files import Sidecar, read_sidecar, save_weights

from .methods import METHODS
from .options import RECIPES
from .options.shared import PretrainingRecipe
from .run_context import DataOptions, Pretrained, RunContext
from .silhouettes import find_shapes, shapes_folder

logger = logging.getLogger("cebench")

PROTOCOL, PROTOCOL_VERSION = "pretraining-time", 1
SHAPES_STAMP = "region_shapes_stamp.txt"


@dataclass(frozen=True, kw_only=True)
class Request(DataOptions):
    """What `cebench pretrain` was asked for."""

    method: str
    out: Path
    recipe: str = "short"
    changes: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    resume: bool = True
    tensorboard: bool = False

    @property
    def is_finished(self) -> bool:
        """Whether `out` holds the finished run of a request, which is not started over."""
        return is_finished(self.out, self.resume)

    def resolve(self) -> tuple[Recipe, str]:
        """The recipe with its changes, and its full name."""
        kind = RECIPES[self.method]
        return load_recipe(kind, "cebench.pretrain", self.method, self.recipe, self.changes)


def run_pretraining(request: Request) -> Path:
    """Carry out `request`, or continue it; returns the path of the weights that it leaves.

    Under torchrun all processes call this together.
    """
    recipe, recipe_name = request.resolve()
    check_batch(recipe, request)
    device = choose_device(request.device)
    identity = identity_of(request, recipe, recipe_name, device)
    if not request.resume:  # A mistake in them must not cost the run that is there.
        METHODS[request.method].inputs(recipe, request)
    with (
        processes(device),
        RunDirectory(
            request.out, identity, resume=request.resume, tensorboard=request.tensorboard
        ) as run,
    ):
        if run.finished:
            _check_data_of_finished(run, request, recipe, identity)
            weights = _weights_of_finished(run)
            logger.info(f"{run.path}: finished before, nothing to do")
            return weights
        remember_data(run, _read_by(recipe, request))
        if shapes := _shapes_read_by(recipe, request):
            remember_data(run, shapes, SHAPES_STAMP)
        log_start(recipe_name, request.seed, device, request.data)
        pretrained = _learn(request, recipe, identity, run, device)
        if is_main_process():
            _save(pretrained, _sidecar(request, recipe, identity, pretrained), run.path)
            run.finish(_record(request, recipe, recipe_name, pretrained, run, device))
            took = spoken_duration(pretrained.seconds)
            logger.info(f"finished after {took} of training: {_weights_of_finished(run)}")
        barrier()
        return _weights_of_finished(run)


def check_batch(recipe: Recipe, request: Request) -> None:
    """InputError where torchrun's processes cannot share the batches of a run that will train."""
    if isinstance(recipe, PretrainingRecipe) and not request.is_finished:
        check_processes(recipe.batch_size, METHODS[request.method].together)


def _check_data_of_finished(
    run: RunDirectory, request: Request, recipe: Recipe, identity: Identity
) -> None:
    """`check_data_of_finished` for the silhouettes, then for what is learned from."""
    check_data_of_finished(
        run,
        _shapes_read_by(recipe, request),
        identity["run"].get(REGION_SHAPES),
        lambda: _sha256_of_shapes(recipe, request),
        SHAPES_STAMP,
    )
    check_data_of_finished(
        run,
        _read_by(recipe, request),
        run.record().data.fingerprint,
        lambda: METHODS[request.method].inputs(recipe, request).fingerprint(),
    )


def _learn(
    request: Request, recipe: Recipe, identity: Identity, run: RunDirectory, device: torch.device
) -> Pretrained:
    """Train to the last step, keeping the weights of `weights_at` in the run's folder."""

    def keep(pretrained: Pretrained) -> None:
        sidecar = _sidecar(request, recipe, identity, pretrained)
        if pretrained.steps < recipe.steps:  # type: ignore[attr-defined]
            # Stopped before the schedule's end, weights are no longer of the recipe's tier.
            sidecar = replace(sidecar, tier="custom")
        if pretrained.trunk is not None:
            path = run.path / f"weights-{pretrained.steps}.safetensors"
            save_weights(path, pretrained.trunk, sidecar)
        else:
            _save_model(pretrained, sidecar, run.path / f"model-{pretrained.steps}.safetensors")

    run_context = RunContext(
        run=run,
        data=request.data,
        exclude=request.exclude,
        region_shapes=request.region_shapes,
        seed=request.seed,
        device=device,
        keep=keep,
    )
    return METHODS[request.method].pretrain(recipe, run_context)


def _read_by(recipe: Recipe, request: Request) -> list[Path]:
    """Files and folders of which the run's data are read."""
    listed = METHODS[request.method].listed_files(request)
    return [*request.data, *request.exclude, *listed, *files_named_in(recipe.model_dump())]


def _shapes_read_by(recipe: Recipe, request: Request) -> list[Path]:
    """The folder of --region-shapes where its silhouettes shape the holes."""
    place = request.region_shapes
    return [shapes_folder(place)] if place is not None and _needs_shapes(recipe) else []


def _needs_shapes(recipe: Recipe) -> bool:
    return getattr(recipe, "mask", "") == "random-region"


def identity_of(
    request: Request, recipe: Recipe, recipe_name: str, device: torch.device
) -> Identity:
    """The tables of run.toml; of a finished run with the hash of the silhouettes that it had.

    InputError where a run that is not finished finds no silhouettes and needs them.
    """
    run_table = {
        "verb": "pretrain",
        "method": request.method,
        "recipe": recipe_name,
        "data": [readable(without_links(path)) for path in request.data],
        "exclude": [readable(without_links(path)) for path in request.exclude],
        "region_shapes": readable(without_links(request.region_shapes))
        if request.region_shapes
        else "",
        "seed": request.seed,
        "device": device.type,
    }
    if _needs_shapes(recipe):
        stored = stored_hash(request.out, REGION_SHAPES) if request.is_finished else ""
        run_table[REGION_SHAPES] = stored or _sha256_of_shapes(recipe, request)
    return {"run": run_table, "recipe": recipe.model_dump(mode="json")}


def _sha256_of_shapes(recipe: Recipe, request: Request) -> str:
    """Hash of the label images whose objects shape the holes, which no fingerprint knows."""
    image_set: str = recipe.region_image_set  # type: ignore[attr-defined]
    voc, files = find_shapes(image_set, request.region_shapes)
    return fingerprint_files(files, voc.root)


def _save(pretrained: Pretrained, sidecar: Sidecar, folder: Path) -> None:
    if pretrained.model is not None:
        _save_model(pretrained, sidecar, folder / "model.safetensors")
    if pretrained.trunk is not None:
        save_weights(folder / "weights.safetensors", pretrained.trunk, sidecar)


def _save_model(pretrained: Pretrained, sidecar: Sidecar, path: Path) -> None:
    assert pretrained.model is not None
    of_model = replace(
        sidecar,
        architecture=pretrained.architecture,
        preprocessing=pretrained.preprocessing,
    )
    save_weights(path, pretrained.model, of_model)


def _weights_of_finished(run: RunDirectory) -> Path:
    """The trunk of a finished run where its record is of one, otherwise its whole model.

    InputError where the file or its sidecar is gone.
    """
    path = _weights_in(run.path, trunk=bool(run.record().measurements))
    for file in (path, path.with_suffix(".json")):
        if not file.is_file():
            raise InputError(
                f"{file} is gone, though the run is finished; restore the file, or start over "
                "with --no-resume"
            )
    return path


def _weights_in(folder: Path, *, trunk: bool) -> Path:
    return folder / ("weights.safetensors" if trunk else "model.safetensors")


def _sidecar(
    request: Request, recipe: Recipe, identity: Identity, pretrained: Pretrained
) -> Sidecar:
    """The sidecar of the trunk."""
    run_table = identity["run"]
    of_shapes = {REGION_SHAPES: run_table[REGION_SHAPES]} if REGION_SHAPES in run_table else {}
    return Sidecar(
        architecture=pretrained.trunk_architecture,
        preprocessing=pretrained.trunk_preprocessing,
        method=request.method,
        recipe=run_table["recipe"],
        recipe_values={**recipe.model_dump(mode="json"), **of_shapes},
        recipe_excluded_from_hash=tuple(sorted({*recipe.excluded_from_hash, *of_shapes})),
        tier=recipe.tier,
        data=_data_name(request),
        data_fingerprint=pretrained.data_fingerprint,
        steps=pretrained.steps,
        seed=request.seed,
        seconds=round(pretrained.seconds, 3),
    )


def _data_name(request: Request) -> str:
    names = (readable("/".join(without_links(path).parts[-2:])) for path in request.data)
    return " + ".join(names) or "none"


def _record(
    request: Request,
    recipe: Recipe,
    recipe_name: str,
    pretrained: Pretrained,
    run: RunDirectory,
    device: torch.device,
) -> Record:
    """The pretraining time, of a method that makes a trunk: one of Table 2's numbers."""
    path = _weights_in(run.path, trunk=pretrained.trunk is not None)
    time = Measurement(
        row=request.method,
        column="pretraining_time",
        metric="pretraining_seconds",
        value=pretrained.seconds,
        unit="s",
        higher_is_better=False,
        count=pretrained.images,
    )
    return Record(
        table="2",
        task="pretraining",
        protocol=PROTOCOL,
        protocol_version=PROTOCOL_VERSION,
        tier=recipe.tier,
        seed=request.seed,
        recipe=ResolvedRecipe.of(recipe_name, recipe),
        data=DataSource(name=_data_name(request), fingerprint=pretrained.data_fingerprint),
        weights=WeightsOrigin.of(readable(f"{run.path.name}/{path.stem}"), read_sidecar(path)),
        started=run.started,
        seconds=pretrained.seconds,
        measurements=(time,) if pretrained.trunk is not None else (),
        **provenance(device),
    )
