"""How much a recipe computes, in units that a machine's rates turn into seconds."""

from collections.abc import Mapping

from cebench.config import Recipe

_FULL_SIDE = 227


def recipe_work(recipe: Recipe) -> Mapping[str, float]:
    """images: those trained on, by their area in squares of 227 pixels; bf16: 1 where that counts.

    A detection's `rois_per_image` and the like are part of its program's own rate.
    """
    values = recipe.model_dump(mode="json")
    batch = float(values.get("batch_size", values.get("accumulate", 1)))
    area = (float(values.get("side", _FULL_SIDE)) / _FULL_SIDE) ** 2
    images = float(values.get("steps", 0)) * batch * area
    return {"images": images, "bf16": float(values.get("precision") == "bf16")}
