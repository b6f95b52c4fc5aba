"""What all transfer tasks have in common: their files, and that generic code knows none by name."""

import ast
import re
from pathlib import Path

import pytest

from cebench.run_options import program_names
from cebench.transfer.run import TASKS

TRANSFER = Path(__file__).parents[2] / "transfer"
FILES = ("__init__", "recipe", "data", "task", "prediction", "report")
STEPS = (
    r"read_(data|sets|images)",
    r"train(_and_predict)?",
    r"(train_and_)?predict",
    r".*_scores|.*_summary|_score",
    r"write_.*",
)
"""Calls of `measure`, in this order: data, training, prediction, scores, report."""


def package(task: str) -> Path:
    return TRANSFER / task.replace("-", "_")


@pytest.mark.parametrize("task", TASKS)
def test_every_task_has_the_same_five_files(task: str) -> None:
    found = {path.stem for path in package(task).glob("*.py")}
    assert found >= set(FILES)
    assert TASKS[task].measure.__module__ == f"cebench.transfer.{package(task).name}.task"


def called_names(function: ast.FunctionDef) -> list[str]:
    """Names of the functions that it calls, in the order of the text."""
    calls = [node for node in ast.walk(function) if isinstance(node, ast.Call)]
    calls.sort(key=lambda call: (call.lineno, call.col_offset))
    return [call.func.id for call in calls if isinstance(call.func, ast.Name)]


@pytest.mark.parametrize("task", TASKS)
def test_measure_reads_from_data_to_report(task: str) -> None:
    tree = ast.parse((package(task) / "task.py").read_text(encoding="utf-8"))
    (measure,) = (n for n in tree.body if isinstance(n, ast.FunctionDef) and n.name == "measure")
    names = called_names(measure)
    places = []
    for step in STEPS:
        at = [number for number, name in enumerate(names) if re.fullmatch(step, name)]
        if task == "inpainting" and step.startswith("train"):
            assert not at
            continue
        assert at, f"{task}: measure calls none of {step}"
        places.append(at[0])
    assert places == sorted(places), names


def test_the_name_of_a_task_stands_in_the_table_alone() -> None:
    """A task is added by its package, its folder of recipes and a line in `run.TASKS`."""
    for path in TRANSFER.glob("*.py"):
        literals = [
            node.value
            for node in ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            if isinstance(node, ast.Constant) and node.value in TASKS
        ]
        assert literals == (list(TASKS) if path.stem == "run" else []), path


def test_the_command_offers_what_the_programs_have() -> None:
    assert program_names("cebench.transfer") == sorted(TASKS)
