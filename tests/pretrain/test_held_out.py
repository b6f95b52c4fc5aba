"""What accuracy.json keeps of a run's measurements."""

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from cebench.pretrain.held_out import store_accuracy


@pytest.fixture
def run_context(tmp_path: Path) -> Any:
    return SimpleNamespace(run=SimpleNamespace(path=tmp_path))


def stored(run_context: Any) -> dict[str, Any]:
    found: dict[str, Any] = json.loads((run_context.run.path / "accuracy.json").read_text())
    return found


def test_the_newest_accuracy_comes_first_and_the_earlier_ones_stay(run_context: Any) -> None:
    for step, share in ((2, 0.25), (5, 0.5), (9, 0.75)):
        store_accuracy(run_context, step, {"told": share}, {"told": 0.125}, pairs=8)
    assert stored(run_context) == {
        "step": 9,
        "told": 0.75,
        "chance": {"told": 0.125},
        "pairs": 8,
        "earlier": [{"step": 2, "told": 0.25}, {"step": 5, "told": 0.5}],
    }


def test_steps_that_a_resumed_run_does_again_are_there_once(run_context: Any) -> None:
    for step in (2, 5, 9, 5, 9):
        store_accuracy(run_context, step, {"told": step / 10}, {"told": 0.125})
    found = stored(run_context)
    assert (found["step"], [values["step"] for values in found["earlier"]]) == (9, [2, 5])
