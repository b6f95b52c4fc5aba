"""Suites that exist for one test: their folder, and the cells of a file's text."""

from pathlib import Path

import pytest
from toy_suite import TOY, Planned

from cebench.suite.cells import Cell
from cebench.suite.folder import SuiteFolder
from cebench.suite.plan import SuiteRequest
from cebench.suite.planning import make_plan


@pytest.fixture
def folder(tmp_path: Path) -> SuiteFolder:
    """The folder of a suite, new."""
    found = SuiteFolder(tmp_path / "suite")
    found.check()
    return found


@pytest.fixture
def planned(tmp_path: Path) -> Planned:
    """The cells, by name, of a suite file's text with parts of it replaced."""

    def plan(text: str = TOY, *changes: tuple[str, str], seed: int = 0) -> dict[str, Cell]:
        for old, new in changes:
            assert old in text
            text = text.replace(old, new)
        file = tmp_path / "suite.toml"
        file.write_text(text)
        (tmp_path / "out").mkdir(exist_ok=True)
        request = SuiteRequest(file=str(file), out=tmp_path / "out", seed=seed)
        return {cell.name: cell for cell in make_plan(request).cells}

    return plan
