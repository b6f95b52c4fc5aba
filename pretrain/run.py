"""One pretraining from request to weights file."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from cebench.config import Recipe, load_recipe, recipe_sha256
from cebench.devices import choose_device, provenance
from cebench.records import Record
from cebench.run_directory import RunDirectory
from cebench.weights import TRUNK_ARCHITECTURE, Sidecar, read_sidecar, save_weights

from . import autoencoder, context, random
from .setting import Pretrained, Setting

logger = logging.getLogger("cebench")

MODEL_ARCHITECTURE = "context-encoder"
PROTOCOL, PROTOCOL_VERSION = "pretraining-time", 1


@dataclass(frozen=True)
class Method:
    """A pretext method: its recipe and its program."""

    recipe: type[Recipe]
    pretrain: Callable[[Any, Setting], Pretrained]


METHODS = {
    "context": Method(context.ContextRecipe, context.pretrain),
    "autoencoder": Method(autoencoder.AutoencoderRecipe, autoencoder.pretrain),
    "random": Method(random.RandomRecipe, random.pretrain),
}


@dataclass(frozen=True, kw_only=True)
class Request:
    """What `cebench pretrain` was asked for."""

    method: str
    data: tuple[Path, ...]
    out: Path
    exclude: tuple[Path, ...] = ()
    region_shapes: Path | None = None
    recipe: str = "short"
    changes: tuple[str, ...] = ()
    seed: int = 0
    device: str = "auto"
    resume: bool = True

    def resolve(self) -> tuple[Recipe, str]:
        """The recipe with its changes, and its full name."""
        kind = METHODS[self.method].recipe
        return load_recipe(kind, "cebench.pretrain", self.method, self.recipe, self.changes)


def run_pretraining(request: Request) -> Path:
    """Carry out `request`, or continue it; returns the path of weights.safetensors."""
    recipe, recipe_name = request.resolve()
    device = choose_device(request.device)
    run_table = {
        "verb": "pretrain",
        "method": request.method,
        "recipe": recipe_name,
        "data": [str(path.resolve()) for path in request.data],
        "exclude": [str(path.resolve()) for path in request.exclude],
        "region_shapes": str(request.region_shapes.resolve()) if request.region_shapes else "",
        "seed": request.seed,
        "device": device.type,
    }
    identity = {"run": run_table, "recipe": recipe.model_dump(mode="json")}
    with RunDirectory(request.out, identity, resume=request.resume) as run:
        weights = run.path / "weights.safetensors"
        if run.finished:
            logger.info(f"{run.path}: finished before, nothing to do")
            return weights
        setting = Setting(
            run=run,
            data=request.data,
            exclude=request.exclude,
            region_shapes=request.region_shapes,
            seed=request.seed,
            device=device,
        )
        pretrained = METHODS[request.method].pretrain(recipe, setting)
        sidecar = _sidecar(request, recipe, recipe_name, pretrained)
        save_weights(weights, pretrained.trunk, sidecar(TRUNK_ARCHITECTURE))
        if pretrained.model is not None:
            save_weights(
                run.path / "model.safetensors", pretrained.model, sidecar(MODEL_ARCHITECTURE)
            )
        run.finish([_time_record(request, recipe, recipe_name, pretrained, run, device)])
        return weights


def _sidecar(
    request: Request, recipe: Recipe, recipe_name: str, pretrained: Pretrained
) -> Callable[[str], Sidecar]:
    def of(architecture: str) -> Sidecar:
        return Sidecar(
            architecture=architecture,
            method=request.method,
            recipe=recipe_name,
            recipe_values=recipe.model_dump(mode="json"),
            tier=recipe.tier,
            data=_data_name(request),
            data_fingerprint=pretrained.data_fingerprint,
            steps=pretrained.steps,
            seed=request.seed,
            seconds=round(pretrained.seconds, 3),
        )

    return of


def _data_name(request: Request) -> str:
    return " + ".join("/".join(path.resolve().parts[-2:]) for path in request.data) or "none"


def _time_record(
    request: Request,
    recipe: Recipe,
    recipe_name: str,
    pretrained: Pretrained,
    run: RunDirectory,
    device: Any,
) -> Record:
    facts: dict[str, Any] = provenance(device)
    return Record(
        table="2",
        row=request.method,
        column="pretraining_time",
        protocol=PROTOCOL,
        protocol_version=PROTOCOL_VERSION,
        tier=recipe.tier,
        metric="pretraining_seconds",
        value=pretrained.seconds,
        unit="s",
        higher_is_better=False,
        count=pretrained.images,
        seed=request.seed,
        recipe=recipe_name,
        recipe_sha256=recipe_sha256(recipe),
        weights=f"{run.path.name}/weights",
        weights_sha256=read_sidecar(run.path / "weights.safetensors").sha256,
        data=_data_name(request),
        data_fingerprint=pretrained.data_fingerprint,
        started=run.started,
        seconds=pretrained.seconds,
        **facts,
    )
