"""Whose a run directory is, told from its run.toml alone (no torch, nothing written)."""

import tomllib
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from cebench.config import to_toml
from cebench.errors import InputError
from cebench.files import check_writable
from cebench.logs import is_first_process

Identity = Mapping[str, Mapping[str, Any]]
"""The tables of run.toml: {"run": {...}, "recipe": {...}}."""

PLACES = {"data", "exclude", "region_shapes", "weights"}
"""Paths in run.toml. A run may go on with the same files elsewhere: their content has to agree."""

CONTENTS = {
    "weights_sha256": ("weights", "weights of other values"),
    "weights_sidecar_sha256": ("weights", "weights of another row, recipe or preprocessing"),
    "region_shapes_sha256": ("region_shapes", "other region shapes"),
}
"""Hash in the table `run` -> the place of what it is of, and what it means that it differs."""


def check_owner(path: Path, identity: Identity) -> None:
    """InputError if the run that `identity` describes may not write to `path`."""
    theirs = _tables_of(path)
    if theirs is not None:
        ours = tomllib.loads(identity_toml(identity))
        _check_equal(path, theirs, {table: {*theirs[table], *ours[table]} for table in ours}, ours)


def check_program(path: Path, known: Mapping[str, Any]) -> None:
    """`check_owner` as far as some entries `known` of the table `run` tell.

    Under torchrun the first process alone looks: it may claim the folder before another comes.
    """
    if not is_first_process():
        return
    theirs = _tables_of(path)
    if theirs is not None:
        _check_equal(path, theirs, {"run": {*known}}, {"run": known})


def stored_hash(path: Path, key: str) -> str:
    """The hash `key` of CONTENTS in the run.toml of `path`; "" where there is none."""
    theirs = _tables_of(path)
    return "" if theirs is None else str(theirs["run"].get(key, ""))


def identity_toml(identity: Identity) -> str:
    """The content of run.toml."""
    return "\n".join(f"[{name}]\n{to_toml(table)}" for name, table in identity.items())


def _tables_of(path: Path) -> dict[str, Any] | None:
    """The tables of the run in `path`, None where there is none and a new one may start."""
    mark = path / "run.toml"
    if not mark.exists():
        check_writable(path)
        if path.exists() and any(entry.name != "run.lock" for entry in path.iterdir()):
            raise InputError(
                f"{path}: holds files but no cebench run; choose an empty or new --out"
            )
        return None
    try:
        tables = tomllib.loads(mark.read_text(encoding="utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError):
        tables = {}
    found = {name: tables.get(name, {}) for name in ("run", "recipe")}
    if not found["run"] or not all(isinstance(table, dict) for table in found.values()):
        raise InputError(f"{mark}: unreadable; remove {path} or choose another --out")
    return found


def _check_equal(
    path: Path, theirs: Identity, compared: Mapping[str, set[str]], ours: Identity
) -> None:
    for table in sorted(compared):
        for key in sorted(compared[table] - PLACES):
            there, here = theirs[table].get(key), ours[table].get(key)
            if there != here:
                what = f"{table}.{key} is"
                if key in CONTENTS:
                    place, what = CONTENTS[key]
                    there, here = theirs[table].get(place), ours[table].get(place)
                    what += ":"
                raise InputError(
                    f"{path}: belongs to another run ({what} {there!r} there, {here!r} here); "
                    "choose another --out or remove it"
                )
