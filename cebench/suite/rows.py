"""The rows of a suite: those of a folder of checkpoints, and whether all names are known."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cebench.config import Recipe
from cebench.errors import InputError, did_you_mean
from cebench.files import check_one_line
from cebench.models.backbones import is_foreign
from cebench.pretrain.methods import METHODS
from cebench.pretrain.run import Request
from cebench.suite.suite_file import Checkpoints, Row, Suite, reference
from cebench.transfer.run import TASKS

_WEIGHTS_SUFFIXES = (".safetensors", ".pth", ".pt", ".caffemodel", ".t7")


def check_rows(suite: Suite) -> None:
    """InputError for names of rows, methods and tasks that are not there."""
    for task, entry in suite.tasks.items():
        if task not in TASKS:
            raise InputError(f"tasks.{task}: no such task; {did_you_mean(task, TASKS)}")
        for name in entry.rows or ():
            if name not in suite.rows:
                known = did_you_mean(name, suite.rows)
                raise InputError(f"tasks.{task}: no row {name!r}; {known}")
    for name, row in suite.rows.items():
        for task in (*(row.tasks or ()), *row.set_in):
            if task not in suite.tasks:
                raise InputError(
                    f"rows.{name}: no task {task!r}; {did_you_mean(task, suite.tasks)}"
                )
        if row.rescale and row.rescale not in suite.rows:
            known = did_you_mean(row.rescale, suite.rows)
            raise InputError(f"rows.{name}: no row {row.rescale!r} to rescale; {known}")
        if row.weights or row.checkpoint or row.rescale:
            continue
        method = row.method or name
        if method not in METHODS:
            raise InputError(f"rows.{name}: no method {method!r}; {did_you_mean(method, METHODS)}")


def pretraining_recipe(request: Mapping[str, Any]) -> Recipe:
    """The recipe of a pretraining cell's request, with its changes."""
    asked = Request(
        method=request["method"],
        data=(),
        out=Path(),
        recipe=request["recipe"],
        changes=tuple(request["changes"]),
    )
    return asked.resolve()[0]


def network_of(recipe: Recipe) -> str:
    """The network that `random` draws, "" for CaffeNet's."""
    network: str = getattr(recipe, "network", "caffenet")
    return "" if network == "caffenet" else network


def check_taken(row: str, task: str, architecture: str) -> None:
    """InputError if `task` does not take the network of these weights."""
    if not TASKS[task].any_backbone and is_foreign(architecture):
        takers = ", ".join(name for name, known in TASKS.items() if known.any_backbone)
        raise InputError(
            f"rows.{row}: holds a {architecture}, which {task} does not take; {takers} do: give "
            "the row or the checkpoints `tasks`"
        )


def checkpoints_folder(suite: Suite, folder: Path) -> Path:
    """Where the suite's checkpoints lie; `folder` is what relative paths start from."""
    assert suite.checkpoints is not None
    name, below = reference(suite.checkpoints.folder)
    given = suite.data.get(name)
    return folder / given / below if isinstance(given, str) else folder / suite.checkpoints.folder


def with_checkpoints(suite: Suite, folder: Path) -> Suite:
    """`suite` with a row for each weights file of its folder of checkpoints.

    InputError for two of one name, which would be one row.
    """
    given = suite.checkpoints
    if given is None:
        return suite
    root = checkpoints_folder(suite, folder)
    if not root.is_dir():
        name, _ = reference(given.folder)
        remedy = f"give --data {name}=FOLDER" if name else "correct checkpoints.folder of the suite"
        raise InputError(f"{root}: no such folder of checkpoints; {remedy}")
    rows = dict(suite.rows)
    for path in sorted(root.iterdir()):
        row = _checkpoint_row(path.resolve(), given)
        name = check_one_line(path.name if path.is_dir() else path.stem, f"{root}: row")
        if row and name in rows:
            raise InputError(f"{path}: another row is called {name!r}; rename the file or that row")
        rows |= {name: row} if row else {}
    if rows == suite.rows:
        raise InputError(f"{root}: holds no checkpoints ({', '.join(_WEIGHTS_SUFFIXES)})")
    return suite.model_copy(update={"rows": rows})


def _checkpoint_row(path: Path, given: Checkpoints) -> Row | None:
    """The row of a run directory, our weights or another program's; None of any other file."""
    beside = path.suffix == ".safetensors" and path.with_suffix(".json").is_file()
    if beside or (path / "weights.safetensors").is_file():
        return Row(weights=str(path), tasks=given.tasks)
    if not path.is_file() or path.suffix not in _WEIGHTS_SUFFIXES:
        return None
    if not (given.like or given.architecture):
        raise InputError(
            f"{path}: a file of another program; say what it is: checkpoints.as or "
            "checkpoints.like in the suite, or `cebench weights import`"
        )
    options = given.model_dump(by_alias=True, exclude={"folder"})
    return Row.model_validate({**options, "checkpoint": str(path)})
