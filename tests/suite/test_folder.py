import os
from pathlib import Path

import pytest

from cebench.errors import InputError
from cebench.suite.cells import Cell, content_key
from cebench.suite.folder import SuiteFolder

CELL = Cell(name="a", verb="pretrain", key=content_key("a"))


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds other files; choose an empty or new --out"):
        SuiteFolder(tmp_path).check()
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is a file"):
        SuiteFolder(tmp_path / "thesis.tex").check()


@pytest.mark.parametrize("name", ["records", "runs", "data", "weights"])
def test_results_of_somebody_are_no_suite(tmp_path: Path, name: str) -> None:
    (tmp_path / name).mkdir()
    with pytest.raises(InputError, match="holds other files; choose an empty or new --out"):
        SuiteFolder(tmp_path).check()


def test_a_suite_folder_is_taken_again(tmp_path: Path) -> None:
    SuiteFolder(tmp_path / "suite").check()
    SuiteFolder(tmp_path / "suite").check()
    assert not list((tmp_path / "suite" / "cells").iterdir())


@pytest.mark.skipif(os.getuid() == 0, reason="root may write everywhere")
def test_a_read_only_folder_is_refused(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    try:
        with pytest.raises(InputError, match=r"cannot be written \(Permission denied\)"):
            SuiteFolder(tmp_path / "suite").check(create=False)
    finally:
        tmp_path.chmod(0o700)


def test_a_folder_below_a_file_is_refused(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match=r"thesis.tex is a file; choose another --out"):
        SuiteFolder(tmp_path / "thesis.tex" / "suite").check(create=False)


def test_a_look_makes_nothing(tmp_path: Path) -> None:
    SuiteFolder(tmp_path / "suite").check(create=False)
    assert not list(tmp_path.iterdir())


def test_a_folder_of_another_user_may_be_looked_at(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Tests may run as root, who may write everywhere."""
    found = SuiteFolder(tmp_path)
    found.check()
    cell = Cell(name="a", verb="transfer", key="0" * 64)
    opened = os.open

    def read_only(path: str, flags: int, *mode: int) -> int:
        if flags & (os.O_WRONLY | os.O_RDWR):
            raise PermissionError(13, "Permission denied", path)
        return opened(path, flags, *mode)

    with found.lock(cell):
        monkeypatch.setattr("os.access", lambda *_: False)
        monkeypatch.setattr("os.open", read_only)
        found.check(create=False, look=True)
        assert found.is_held(cell)
    assert not found.is_held(cell)
    with pytest.raises(InputError, match="cannot be written"):
        found.check(create=False)


def test_a_write_that_fails_is_one_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(path: Path, content: bytes) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cebench.suite.folder.write_atomically", full)
    with pytest.raises(InputError, match=r"cannot be written \(No space left on device\)"):
        SuiteFolder(tmp_path / "suite").check()


def test_the_end_of_a_log_is_read_whatever_its_length(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    assert folder.last_lines(CELL) == []
    (tmp_path / "cells").mkdir()
    folder.log(CELL).write_text("".join(f"line {n}\n\n" for n in range(10_000)))
    assert folder.last_lines(CELL, 2) == ["line 9998", "line 9999"]


def test_a_torn_note_counts_as_none(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    (tmp_path / "cells").mkdir()
    (tmp_path / "cells" / f"{CELL.stem}.json").write_text('{"state": "run')
    assert folder.ending(CELL) is None
    assert folder.status(CELL).state == "waiting"


def test_runs_of_no_cell_are_counted_and_files_beside_them_are_not(tmp_path: Path) -> None:
    folder = SuiteFolder(tmp_path)
    assert folder.left_over([CELL]) == 0
    for name in (CELL.stem, "an-earlier-one"):
        (tmp_path / "runs" / name).mkdir(parents=True)
    (tmp_path / "runs" / "proposals-0123.safetensors").touch()
    assert folder.left_over([CELL]) == 1
