"""How much a recipe computes, in units that a machine's rate turns into seconds."""

from collections.abc import Mapping

from cebench.config import Recipe

_FULL_SIDE = 227


def recipe_work(recipe: Recipe) -> Mapping[str, float]:
    """The steps of training, and the images of them by their area in squares of 227 pixels."""
    values = recipe.model_dump(mode="json")
    steps = float(values.get("steps", 0))
    batch = float(values.get("batch_size", values.get("accumulate", 1)))
    area = (float(values.get("side", _FULL_SIDE)) / _FULL_SIDE) ** 2
    return {"steps": steps, "images": steps * batch * area}
