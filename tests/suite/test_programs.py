"""Programs of cells, begun where a killed attempt left something."""

from pathlib import Path
from types import SimpleNamespace

import pytest

from cebench.errors import CebenchError, Interrupted
from cebench.suite import programs
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


@pytest.mark.parametrize(
    ("last_line", "kind", "message"),
    [
        ("ERROR Interrupted('stopped after step 40')", Interrupted, "stopped"),
        ("ERROR InputError('photos: no images')", CebenchError, r"InputError\('photos: no images"),
        ("INFO step 40", CebenchError, "torchrun ended with exit status 1"),
    ],
)
def test_several_processes_end_for_the_reason_that_their_log_has(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    last_line: str,
    kind: type[CebenchError],
    message: str,
) -> None:
    request = {"method": "context", "recipe": "short", "seed": 0, "region_shapes": None}
    request |= {"data": [], "exclude": [], "changes": []}
    cell = Cell(name="context-p0", verb="pretrain", key="0" * 64, request=request, gpus=2)
    (tmp_path / cell.folder).mkdir(parents=True)
    (tmp_path / cell.folder / "log.txt").write_text(f"12:00 INFO begins\n12:01 {last_line}\n")
    monkeypatch.setattr(programs, "sys", SimpleNamespace(executable="false"))
    with pytest.raises(kind, match=message) as caught:
        run_program(cell, tmp_path, "cuda")
    assert type(caught.value) is kind
