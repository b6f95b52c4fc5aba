"""Mistakes that recipe, names and files tell before PyTorch is imported, which takes seconds.

Whatever they let pass the run itself checks again, with all that needs the files' content.
"""

from collections.abc import Sequence
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cebench.config import Recipe, check_logs_training, load_recipe
from cebench.errors import InputError
from cebench.training.run_owner import check_program
from cebench.training.run_status import check_is_finished, is_finished


def check_start(
    *,
    task: str,
    weights: str,
    out: Path,
    recipe: str,
    changes: Sequence[str],
    seed: int,
    data: Path,
    engine: str,
    resume: bool,
    tensorboard: bool,
    **others: Any,
) -> None:
    """InputError for a run that cannot start: its recipe, engine, --out, weights or data."""
    options, name = resolve_recipe(task, recipe, changes)
    check_engine(task, engine)
    if tensorboard:
        check_logs_training(options, task)
    known = {"verb": "transfer", "task": task, "recipe": name, "seed": seed, "engine": engine}
    check_program(out, known)
    if weights != "random":
        if not Path(weights).exists():
            raise InputError(
                f"{weights}: no such weights file; `cebench pretrain` and `cebench weights import` "
                "make them"
            )
        check_is_finished(Path(weights))
    if not is_finished(out, resume):
        _start_of(task).check_data(data, options)


def recipe_class(task: str) -> type[Recipe]:
    """The options of `task`."""
    kind: type[Recipe] = _start_of(task).RECIPE
    return kind


def resolve_recipe(task: str, recipe: str, changes: Sequence[str]) -> tuple[Recipe, str]:
    """The recipe of `task` with its changes, and its full name."""
    return load_recipe(recipe_class(task), "cebench.transfer", task, recipe, changes)


def check_engine(task: str, engine: str) -> None:
    """InputError where `engine` does not compute `task`, or is not installed."""
    known = _start_of(task).ENGINES
    if engine not in known:
        raise InputError(f"--engine {engine}: {task} is computed by {', '.join(known)}")
    if engine != "native" and find_spec(engine) is None:
        raise InputError(f"--engine {engine}: the package is not installed")


def _start_of(task: str) -> Any:
    """The module `start` of a task's package: RECIPE, ENGINES and check_data, without PyTorch."""
    return import_module(f"cebench.transfer.{task.replace('-', '_')}.start")
