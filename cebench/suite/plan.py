"""The plan of a suite: its cells, and by what they are told to be still those of its file.

Making a plan imports every method and task; one that still holds is read from plan.json in
milliseconds.
"""

import hashlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from cebench import __version__
from cebench.files import without_links
from cebench.suite.cells import Cell
from cebench.suite.fingerprints import listing_sha256
from cebench.suite.folder import SuiteFolder
from cebench.suite.suite_file import read_text

_SCHEMA = 1
_CODE = ("cebench.pretrain", "cebench.transfer", "cebench.suite")


@dataclass(frozen=True, kw_only=True)
class SuiteRequest:
    """What `cebench suite` was asked for."""

    file: str
    """Path of a suite file, or name of one of the package."""
    out: Path
    data: Mapping[str, str] = field(default_factory=dict)
    """Paths in place of the file's own."""
    seed: int = 0
    more: Mapping[str, int] = field(default_factory=dict)
    """Row -> pretrainings, where it has more than the file says."""

    def text_sha256(self) -> str:
        """Hash of the suite file's text."""
        return hashlib.sha256(read_text(self.file).encode()).hexdigest()


@dataclass(frozen=True, kw_only=True)
class Plan:
    """The cells of a suite, each after those that it needs."""

    title: str
    introduction: str
    cells: Sequence[Cell]
    toy: str = ""
    """Folder of the toy world below the suite's, if it draws one."""
    caution: str = ""
    """What readers of the tables must know of how the cells came about, if anything."""


def known_plan(request: SuiteRequest) -> Plan | None:
    """The plan in the suite's folder, if it was made from the same file, data and code."""
    found = SuiteFolder(request.out).read_plan()
    if found is None or found.get("schema") != _SCHEMA:
        return None
    known = found["inputs"]
    if known != {**_inputs(request), "listings": known.get("listings")}:
        return None
    if any(listing_sha256(Path(path)) != sha for path, sha in known["listings"].items()):
        return None
    values = {**found["plan"], "cells": [Cell(**cell) for cell in found["plan"]["cells"]]}
    return Plan(**values)


def store_plan(request: SuiteRequest, plan: Plan, listings: Mapping[str, str]) -> None:
    """Write `plan` into the suite's folder, with what it was made from."""
    inputs = {**_inputs(request), "listings": dict(listings)}
    content = {"schema": _SCHEMA, "inputs": inputs, "plan": asdict(plan)}
    SuiteFolder(request.out).write_plan(content)


def _inputs(request: SuiteRequest) -> dict[str, Any]:
    return {
        "suite": request.text_sha256(),
        "place": str(Path(request.file).resolve().parent),
        "data": {name: str(without_links(Path(path))) for name, path in request.data.items()},
        "seed": request.seed,
        "more": dict(request.more),
        "code": f"{__version__} {_code_sha256()}",
    }


def _code_sha256() -> str:
    """Hash of the sizes and times of the modules and recipes that decide on keys."""
    digest = hashlib.sha256()
    for path in sorted(path for name in _CODE for path in _sources(name)):
        found = path.stat()
        digest.update(f"{path.name} {found.st_size} {found.st_mtime_ns}\n".encode())
    return digest.hexdigest()


def _sources(package: str) -> Iterator[Path]:
    spec = find_spec(package)
    assert spec is not None
    for place in spec.submodule_search_locations or ():
        for pattern in ("*.py", "*.toml"):
            yield from Path(place).rglob(pattern)
