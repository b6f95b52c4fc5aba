"""What commands that print one result print, as JSON or as text."""

import json
import math
from collections.abc import Callable, Mapping
from typing import Any

import click


def print_result(
    result: Mapping[str, Any], as_json: bool, table: Callable[[Mapping[str, Any]], str]
) -> None:
    """Print `result` as one JSON object, or as the text that `table` makes of it."""
    shown = json.dumps(_finite(result), indent=2, allow_nan=False) if as_json else table(result)
    click.echo(shown)


def _finite(value: Any) -> Any:
    """JSON has no nan and no infinity: both become null."""
    if isinstance(value, Mapping):
        return {key: _finite(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_finite(item) for item in value]
    return value if not isinstance(value, float) or math.isfinite(value) else None
