"""Programs of cells, begun where a killed attempt left something."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cebench.suite.cells import Cell
from cebench.suite.programs import run_program
from cebench.weights import importing


def test_an_import_begins_anew(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cell = Cell(
        name="mine", verb="import", key="0" * 64, request={"file": "a.pth", "mapping": None}
    )
    left = tmp_path / cell.folder / "weights.safetensors"
    left.parent.mkdir(parents=True)
    left.touch()
    seen: list[bool] = []

    def imported(file: Path, *, out: Path, mapping: None) -> SimpleNamespace:
        seen.append(out.exists())
        return SimpleNamespace()

    monkeypatch.setattr(importing, "import_weights", imported)
    run_program(cell, tmp_path, "cpu")
    assert seen == [False]
