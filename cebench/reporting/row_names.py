"""Rows that one method has several of: what its network was trained for sets them apart."""

from collections.abc import Mapping
from typing import Any

_USUAL = {"objective": "joint", "region": "center"}
"""What the paper's model of Table 1 was trained for."""


def row_of_predictions(architecture: str, method: str, recipe_values: Mapping[str, Any]) -> str:
    """The row of a network's own predictions: its method, with what sets it apart.

    Args:
        architecture: of the weights.
        method: the pretext method.
        recipe_values: of the pretraining; weights of another program do not say what they were
            trained for.
    """
    if architecture != "inpainting-generator":
        return method
    known = {**_USUAL, **recipe_values}
    return "-".join([method, *(str(known[key]) for key in _USUAL if known[key] != _USUAL[key])])
