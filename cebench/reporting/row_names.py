"""Rows that one method has several of: what its network was trained for sets them apart."""

import re
from collections.abc import Mapping
from typing import Any

from cebench.weights.method_names import RESCALED

_USUAL = {"objective": "joint", "region": "center"}
"""What the paper's model of Table 1 was trained for."""
_VARIANT = re.compile(rf"(-l2|-adversarial|-image|{RESCALED})+$")
"""What else it can be trained for, and rescaling."""


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


def method_of_row(row: str) -> str:
    """The method that a row is a variant of: itself, unless its name has an ending of these."""
    return _VARIANT.sub("", row)
