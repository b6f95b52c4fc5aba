"""What a method gets right on held-out data, in the log and in accuracy.json."""

import json
import logging
from collections.abc import Mapping
from typing import Any

from cebench.files import write_atomically

from .run_context import RunContext

logger = logging.getLogger("cebench")


def store_accuracy(
    run_context: RunContext,
    step: int,
    accuracy: Mapping[str, float],
    chance: Mapping[str, float],
    **facts: Any,
) -> None:
    """Log the accuracies after `step` steps beside chance, and replace the run's accuracy.json.

    Args:
        run_context: of the run.
        step: number of finished steps.
        accuracy: fractions by name.
        chance: what guessing reaches, under the same names.
        facts: what else belongs into the file, e.g. how many pairs were asked.
    """
    parts = (f"{name} {accuracy[name]:.1%} (chance {chance[name]:.1%})" for name in accuracy)
    logger.info(f"step {step}: held-out {', '.join(parts)}")
    values = {"step": step, **accuracy, "chance": dict(chance), **facts}
    path = run_context.run.path / "accuracy.json"
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())
