"""What `cebench transfer --dry-run` says: every check of the start, nothing written."""

from typing import Any

from cebench.devices import choose_device
from cebench.files import readable
from cebench.progress import spoken_bytes
from cebench.training.estimates import estimate, spoken_estimate
from cebench.training.run_owner import check_owner
from cebench.training.run_status import state_of_out

from .network_cost import cost_of
from .run import TASKS, Request, identity_of


def plan(request: Request) -> dict[str, Any]:
    """The resolved recipe, weights, images found, device, estimates and outputs.

    Of a finished run, whose data may be gone, what was asked and the place alone: it leaves no
    outputs. InputError where the run itself would end with one before its first step.
    """
    task, (recipe, name) = TASKS[request.task], request.resolve()
    device = choose_device(request.device)
    weights = request.load_weights()
    check_owner(request.out, identity_of(request, recipe, name, weights, device))
    asked = {
        "task": request.task,
        "protocol": task.protocol_name(recipe, request.engine),
        "weights": f"{request.weights} ({weights.sidecar.method}, {weights.sidecar.recipe})",
        "recipe": name,
        **recipe.model_dump(mode="json"),
        "seed": request.seed,
    }
    place = {"out": readable(request.out), "out_state": state_of_out(request.out)}
    if request.is_finished:
        return {**asked, **place, "outputs": []}
    task.check_weights(recipe, weights)
    task.check_engine(recipe, weights, request.engine, device)
    parts = task.find_images(recipe, request.data)
    counts = {part: len(paths) for part, paths in parts.items()}
    sizes = {part: sum(p.stat().st_size for p in paths) for part, paths in parts.items()}
    return {
        **asked,
        **{f"{part}_images_found": count for part, count in counts.items()},
        **{f"{part}_bytes_found": size for part, size in sizes.items()},
        **estimate(
            task.work(recipe, counts, cost_of(weights)),
            device,
            getattr(recipe, "precision", "fp32"),
        ),
        **place,
        "outputs": ["record.json", "outcome.safetensors", "predictions/", "run.toml", "log.txt"],
    }


def in_words(request: Request, found: dict[str, Any]) -> str:
    """The plan: first what a person asks, then every option of the recipe."""
    if not found["outputs"]:
        return f"{found['out']} is {found['out_state']}"
    parts = [key.removesuffix("_images_found") for key in found if key.endswith("_images_found")]
    data = ", ".join(
        f"{found[f'{part}_images_found']:,} {part} images "
        f"({spoken_bytes(found[f'{part}_bytes_found'])})"
        for part in parts
    )
    recipe = request.resolve()[0].model_dump(mode="json")
    return "\n".join(
        [
            f"would measure: {found['recipe']} (tier {found['tier']}), seed {found['seed']}, "
            f"protocol {found['protocol']}",
            f"weights:       {found['weights']}",
            f"device:        {found['device']}",
            f"data:          {data}",
            f"takes:         {spoken_estimate(found)}",
            f"writes:        {found['out']} ({found['out_state']}): {', '.join(found['outputs'])}",
            "recipe:",
            *(f"  {key} = {value}" for key, value in recipe.items()),
        ]
    )
