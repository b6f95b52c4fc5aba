"""Recipes: what a program is told, read from TOML, checked at the door, frozen afterwards."""

import difflib
import hashlib
import json
import tomllib
from collections.abc import Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Any, ClassVar, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, PositiveInt, ValidationError

from cebench.errors import InputError

Tier = Literal["smoke", "short", "small", "paper"]


class Options(BaseModel):
    """Named values, checked and then frozen; each has its docstring as description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


class Recipe(Options):
    """The options that every program has; a program's own recipe adds to them.

    A recipe is everything that determines a number besides the seed, the weights and the data.
    """

    excluded_from_hash: ClassVar[frozenset[str]] = frozenset(
        {"log_every", "checkpoint_every", "samples_at", "weights_at"}
    )
    """Options that cannot change a number, or only by way of the data, which has its own hash."""

    tier: Tier
    """`smoke` shows that it runs, `short` fits a laptop, `small` teaches something in a few hours of
    one core, `paper` follows the published schedule."""

    @property
    def variant(self) -> str:
        """What the name of a transfer's protocol says of options that make it another one."""
        return ""


class TrainingRecipe(Recipe):
    """The options of every program that trains."""

    steps: PositiveInt
    """Optimizer steps."""
    log_every: PositiveInt = 20
    """Steps between two lines of metrics.jsonl."""
    checkpoint_every: PositiveInt = 200
    """Steps between two checkpoints; a killed run repeats at most this many."""


RecipeType = TypeVar("RecipeType", bound=Recipe)


def load_recipe(
    kind: type[RecipeType], package: str, program: str, name: str, changes: Sequence[str] = ()
) -> tuple[RecipeType, str]:
    """The recipe `name` of `program` with `changes` ("key=value") applied, and its full name.

    name: `smoke`, `short`, `small`, `paper` ... for `<package>/recipes/<program>/<name>.toml`, or a path that
    ends in .toml. The full name carries every change, e.g. `context-short+steps=100`.
    """
    title, text = _recipe_text(package, program, name)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not valid TOML: {error}") from None
    changed = dict(_parse_change(change) for change in changes)
    suffix = "".join(f"+{key}={_toml_value(changed[key])}" for key in sorted(changed))
    return validate(kind, {**values, **changed}, where=f"recipe {title}"), title + suffix


def validate(kind: type[RecipeType], values: Mapping[str, Any], where: str) -> RecipeType:
    """`values` as a recipe of `kind`; a mistake is one line that names the nearest valid key."""
    for key in values:
        if key not in kind.model_fields:
            raise InputError(f"{where}: unknown key {key!r}; {_nearest(key, kind)}")
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # Options that do not agree.
            raise InputError(f"{where}: {first['ctx']['error']}") from None
        key = ".".join(str(part) for part in first["loc"])
        got = "" if first["type"] == "missing" else f", got {first['input']!r}"
        raise InputError(f"{where}: {key}: {first['msg']}{got}") from None


def to_toml(values: Mapping[str, Any]) -> str:
    """Flat `values` as TOML lines (strings, numbers, booleans, lists of them; None is left out)."""
    lines = [f"{key} = {_toml_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of the resolved recipe without its idle options."""
    values = recipe.model_dump(mode="json", exclude=set(recipe.excluded_from_hash))
    return hashlib.sha256(json.dumps(values, sort_keys=True).encode()).hexdigest()


def _recipe_text(package: str, program: str, name: str) -> tuple[str, str]:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: no such recipe file")
        return path.stem, path.read_text(encoding="utf-8")
    folder = files(package) / "recipes" / program
    path_in_package = folder / f"{name}.toml"
    if not path_in_package.is_file():
        known = sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir())
        raise InputError(
            f"no recipe {name!r} for {program}; choose from {', '.join(known)} or give a .toml file"
        )
    return f"{program}-{name}", path_in_package.read_text(encoding="utf-8")


def _parse_change(change: str) -> tuple[str, Any]:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise InputError(f"--set {change}: expected key=value, e.g. --set steps=100")
    try:
        return key.strip(), tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return key.strip(), text.strip()


def _nearest(key: str, kind: type[Recipe]) -> str:
    near = difflib.get_close_matches(key, kind.model_fields, n=1, cutoff=0.0)
    return f"did you mean {near[0]!r}? All keys: {', '.join(kind.model_fields)}"


def _toml_value(value: Any) -> str:
    # JSON strings, numbers, booleans and arrays are valid TOML.
    return json.dumps(value, ensure_ascii=False)
