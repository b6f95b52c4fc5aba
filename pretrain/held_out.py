"""What a method gets right on held-out data, in the log and in accuracy.json."""

import json
import logging
from collections.abc import Mapping
from pathlib import Path
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
    """Log the accuracies after `step` steps beside chance, and put them into accuracy.json.

    The file has the newest ones, and under `earlier` those of the steps before, in their order; a
    step that a resumed run does again takes the place of itself.

    Args:
        run_context: of the run.
        step: number of finished steps.
        accuracy: fractions by name.
        chance: what guessing reaches, under the same names.
        facts: what else belongs into the file, e.g. how many pairs were asked.
    """
    parts = (f"{name} {accuracy[name]:.1%} (chance {chance[name]:.1%})" for name in accuracy)
    logger.info(f"step {step}: held-out {', '.join(parts)}")
    path = run_context.run.path / "accuracy.json"
    earlier = [values for values in _stored(path, tuple(accuracy)) if values["step"] < step]
    values = {"step": step, **accuracy, "chance": dict(chance), **facts, "earlier": earlier}
    write_atomically(path, (json.dumps(values, indent=2) + "\n").encode())


def _stored(path: Path, names: tuple[str, ...]) -> list[dict[str, float]]:
    """Step and accuracies of every measurement in `path`, the earliest first; none without it."""
    if not path.exists():
        return []
    newest = json.loads(path.read_text(encoding="utf-8"))
    return [*newest["earlier"], {name: newest[name] for name in ("step", *names)}]
