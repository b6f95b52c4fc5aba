"""What `cebench pretrain --dry-run` says: every check of the start, nothing written."""

from typing import Any

from cebench.config import Recipe
from cebench.devices import choose_device
from cebench.files import readable
from cebench.progress import spoken_bytes
from cebench.training.estimates import estimate, spoken_estimate
from cebench.training.run_owner import check_owner
from cebench.training.run_status import state_of_out

from .methods import METHODS
from .options.shared import PretrainingRecipe
from .run import Request, check_batch, identity_of
from .run_context import Inputs
from .work import work_of


def plan(request: Request) -> dict[str, Any]:
    """The resolved recipe, the data found, device, estimates and outputs.

    Of a finished run, whose data may be gone, recipe and place alone: it leaves no outputs.
    InputError where the run itself would end with one before its first step.
    """
    recipe, name = request.resolve()
    check_batch(recipe, request)
    device = choose_device(request.device)
    check_owner(request.out, identity_of(request, recipe, name, device))
    values = recipe.model_dump(mode="json")
    asked = {"method": request.method, "recipe": name, **values, "seed": request.seed}
    place = {"out": readable(request.out), "out_state": state_of_out(request.out)}
    if request.is_finished:
        return {**asked, **place, "outputs": []}
    inputs = METHODS[request.method].inputs(recipe, request)
    units = values.get("steps", 0) * values.get("batch_size", 0)
    seen = units * METHODS[request.method].images_of_one
    return {
        **asked,
        f"{inputs.unit}_found": inputs.count,
        f"{inputs.unit}_excluded": inputs.excluded,
        "images_learned_from": inputs.learned_from,
        "bytes_found": inputs.bytes,
        "images_seen": seen,
        **estimate(
            work_of(request.method, recipe, inputs), device, values.get("precision", "fp32")
        ),
        **place,
        "outputs": _outputs(request, recipe, inputs),
    }


def _outputs(request: Request, recipe: Recipe, inputs: Inputs) -> list[str]:
    """The files that the run leaves, of samples/ and tensorboard/ the folder."""
    method = METHODS[request.method]
    names = [f"{method.kept}-{step}" for step in getattr(recipe, "weights_at", ())]
    if method.kept == "weights" and getattr(recipe, "pooling", "") != "none":
        names.insert(0, "weights")
    trains = isinstance(recipe, PretrainingRecipe)
    names += ["model"] if trains else []
    files = [f"{name}.{suffix}" for name in names for suffix in ("safetensors", "json")]
    files += ["record.json", "run.toml", "log.txt"]
    if not trains:
        return files
    files += ["metrics.jsonl", "curves.png"]
    if method.always_holds_out or inputs.count > inputs.learned_from:
        files.append("accuracy.json" if method.answers else "samples/")
    return files + (["tensorboard/"] if request.tensorboard else [])


def in_words(request: Request, found: dict[str, Any]) -> str:
    """The plan: first what a person asks, then every option of the recipe."""
    if not found["outputs"]:
        return f"{found['out']} is {found['out_state']}"
    unit = next(key for key in found if key.endswith("_found")).removesuffix("_found")
    data = f"{found[f'{unit}_found']:,} {unit}, {spoken_bytes(found['bytes_found'])}"
    if found[f"{unit}_excluded"]:
        data += f", {found[f'{unit}_excluded']:,} more left out by --exclude"
    if found["images_seen"] and found["images_learned_from"]:
        times = found["images_seen"] / found["images_learned_from"]
        shown = f"{times:,.0f}" if times >= 10 else f"{times:.1f}"
        data += (
            f"; {found['steps']:,} steps of {found['images_seen'] // found['steps']:,} images "
            f"see each of the {found['images_learned_from']:,} images learned from about "
            f"{shown} times"
        )
    recipe = request.resolve()[0].model_dump(mode="json")
    return "\n".join(
        [
            f"would pretrain: {found['recipe']} (tier {found['tier']}), seed {found['seed']}",
            f"device:         {found['device']}",
            f"data:           {data}",
            f"takes:          {spoken_estimate(found)}",
            f"writes:         {found['out']} ({found['out_state']}): {', '.join(found['outputs'])}",
            "recipe:",
            *(f"  {key} = {value}" for key, value in recipe.items()),
        ]
    )
