"""Recipes: what a program is told, read from TOML, checked at the door, frozen afterwards."""

import hashlib
import json
import tomllib
from collections.abc import Collection, Mapping, Sequence
from importlib.resources import files
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal, TypeVar

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    PositiveInt,
    ValidationError,
)

from cebench.errors import InputError, did_you_mean
from cebench.files import is_one_line, read_utf8, readable

RecipeTier = Literal["smoke", "custom", "short", "small", "paper"]
"""How much a recipe trains, from the least that can be said; `custom`: it is no shipped recipe."""
Tier = RecipeTier | Literal["imported"]
"""The same of weights; `imported`: they come from elsewhere, and nothing is known of it."""
Precision = Literal["fp32", "bf16"]
"""In what arithmetic a network is computed."""


def _one_line(text: str) -> str:
    if not is_one_line(text):
        raise ValueError("a line break or another control character in a name")
    return text


Line = Annotated[str, AfterValidator(_one_line)]
"""A text that stands in a line of the tables."""


class Options(BaseModel):
    """Named values, checked and then frozen; each has its docstring as description."""

    model_config = ConfigDict(
        frozen=True, extra="forbid", use_attribute_docstrings=True, allow_inf_nan=False
    )


OrNone = BeforeValidator(lambda value: None if value == "none" else value)
"""Lets an option be without a value: "none" in recipes and in `--set`, since TOML has no such
value."""


class Recipe(Options):
    """The options that every program has; a program's own recipe adds to them.

    A recipe is everything that determines a number besides the seed, the weights and the data.
    """

    without_effect: ClassVar[frozenset[str]] = frozenset({"tier", "log_every", "checkpoint_every"})
    """Options that change nothing that a finished run leaves."""
    excluded_from_hash: ClassVar[frozenset[str]] = without_effect | {"samples_at", "weights_at"}
    """Options that cannot change a number, or only by way of the data, which has its own hash."""

    tier: RecipeTier
    """`smoke` shows that it runs, `short` fits a laptop, `small` takes a few hours of one core and
    teaches something, `paper` follows the published schedule; `custom`: differs from every shipped
    recipe of the tier it had."""

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
OptionsType = TypeVar("OptionsType", bound=Options)


def load_recipe(
    kind: type[RecipeType], package: str, program: str, name: str, changes: Sequence[str] = ()
) -> tuple[RecipeType, str]:
    """The recipe `name` of `program` with `changes` ("key=value") applied, and its full name.

    name: such as `short` for `<package>/recipes/<program>/short.toml`, or a path that ends in
    .toml. The full name carries every change, e.g. `context-short+steps=100`. The tier is `custom`
    where no shipped recipe of the stated tier has the same hash.
    """
    title, text = _recipe_text(package, program, name)
    try:
        values = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise InputError(f"{name}: not valid TOML: {error}") from None
    changed = dict(_parse_change(change) for change in changes)
    recipe = validate(kind, {**values, **changed}, where=f"recipe {title}")
    suffix = "".join(f"+{key}={toml_value(changed[key])}" for key in sorted(changed))
    return _with_proven_tier(recipe, package, program), title + suffix


_PLAINLY = {"extra_forbidden": "unknown key", "tuple_type": "expected a list in brackets"}
"""What pydantic finds -> its message where the library's own speaks of Python."""


def validate(kind: type[OptionsType], values: Mapping[str, Any], where: str) -> OptionsType:
    """`values` as options of `kind`; a mistake is one line that names the nearest valid key."""
    for key in values:
        if key not in kind.model_fields:
            raise InputError(
                f"{where}: unknown key {key!r}; {did_you_mean(key, kind.model_fields)}"
            )
    try:
        return kind.model_validate(dict(values))
    except ValidationError as error:
        first = error.errors()[0]
        if not first["loc"]:  # Options that do not agree.
            raise InputError(f"{where}: {first['ctx']['error']}") from None
        key = ".".join(str(part) for part in first["loc"] if part != "[key]")
        whole = first["type"] == "missing" or isinstance(first["input"], Mapping)
        got = "" if whole else f", got {first['input']!r}"
        message = _PLAINLY.get(first["type"], first["msg"].removeprefix("Value error, "))
        raise InputError(f"{where}: {key}: {message}{got}") from None


def check_logs_training(recipe: Recipe, program: str) -> None:
    """InputError where `program`, of that recipe, has no steps for TensorBoard to show."""
    if not isinstance(recipe, TrainingRecipe):
        raise InputError(f"--tensorboard: {program} trains no network step by step; leave it out")


def to_toml(values: Mapping[str, Any]) -> str:
    """Flat `values` as TOML lines (strings, numbers, booleans, lists of them; None is left out)."""
    lines = [f"{key} = {toml_value(value)}" for key, value in values.items() if value is not None]
    return "\n".join(lines) + "\n"


def recipe_sha256(recipe: Recipe) -> str:
    """Hash of the resolved recipe without the options excluded from it."""
    return values_sha256(recipe.model_dump(mode="json"), recipe.excluded_from_hash)


def outcome_sha256(recipe: Recipe) -> str:
    """Hash of every option that decides what a run leaves: numbers, whose they are, and files."""
    return values_sha256(recipe.model_dump(mode="json"), recipe.without_effect)


def values_sha256(values: Mapping[str, Any], excluded: Collection[str] = ()) -> str:
    """Hash of a recipe's values (as JSON has them) without those of the `excluded` options."""
    kept = {name: value for name, value in values.items() if name not in excluded}
    return hashlib.sha256(json.dumps(kept, sort_keys=True).encode()).hexdigest()


def recipe_names(package: str, program: str) -> list[str]:
    """Names of the recipes that ship with `program`, e.g. paper, short, smoke."""
    folder = files(package) / "recipes" / program
    return sorted(entry.name.removesuffix(".toml") for entry in folder.iterdir())


def _recipe_text(package: str, program: str, name: str) -> tuple[str, str]:
    if name.endswith(".toml"):
        path = Path(name)
        if not path.is_file():
            raise InputError(f"{name}: no such recipe file")
        return readable(path.stem), read_utf8(path)
    path_in_package = files(package) / "recipes" / program / f"{name}.toml"
    if not path_in_package.is_file():
        known = recipe_names(package, program)
        raise InputError(
            f"no recipe {name!r} for {program}; {did_you_mean(name, known)}, or give a .toml file"
        )
    return f"{program}-{name}", path_in_package.read_text(encoding="utf-8")


def _with_proven_tier(recipe: RecipeType, package: str, program: str) -> RecipeType:
    """`recipe`, of tier `custom` unless a shipped recipe of its tier has the same hash."""
    shipped = [
        validate(type(recipe), tomllib.loads(path.read_text(encoding="utf-8")), where=path.name)
        for path in (files(package) / "recipes" / program).iterdir()
        if path.name.endswith(".toml")
    ]
    hashes = {recipe_sha256(other) for other in shipped if other.tier == recipe.tier}
    if recipe_sha256(recipe) in hashes:
        return recipe
    return recipe.model_copy(update={"tier": "custom"})


def _parse_change(change: str) -> tuple[str, Any]:
    key, separator, text = change.partition("=")
    if not separator or not key.strip():
        raise InputError(f"--set {change}: expected key=value, e.g. --set steps=100")
    return key.strip(), value_of(text)


def value_of(text: str) -> Any:
    """A value as TOML writes it, or the text itself where it is none."""
    try:
        return tomllib.loads(f"value = {text}")["value"]
    except tomllib.TOMLDecodeError:
        return text.strip()


def toml_value(value: Any) -> str:
    """`value` (a string, number, boolean or list of them) as TOML writes it; None is "none"."""
    # JSON strings, numbers, booleans and arrays are valid TOML.
    return json.dumps("none" if value is None else value, ensure_ascii=False)
