"""The protocol ledger `ledger.toml`: where paper, code and authors disagree, and what is done."""

import functools
import tomllib
from collections.abc import Iterable, Mapping
from importlib import resources
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from cebench.errors import CebenchError

Text = Annotated[str, Field(min_length=1)]
RecipeValues = Mapping[tuple[str, str], Mapping[str, str]]
"""(program, recipe) -> option -> value as TOML."""


class _Frozen(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)


class Choice(_Frozen):
    """One value that was in use, and where it stands."""

    value: Text
    source: Text
    """Section or table of the paper, `repository: file`, a thread, "Inferred" or "Silent"."""


class Area(_Frozen):
    """A page of the ledger."""

    title: Text
    command: Text
    """The command whose numbers it determines."""
    programs: tuple[str, ...]
    """Methods and tasks to which its entries apply, where an entry names none itself."""
    about: Text


class Entry(_Frozen):
    """One disagreement."""

    id: Text
    area: Text
    heading: Text
    programs: tuple[str, ...] = ()
    """Methods and tasks whose numbers it determines; filled from the area if left out."""
    options: dict[str, Any] = {}
    """Recipe option -> its value in the recipe `paper` of the first program; empty: fixed."""
    flag: str = ""
    """Option of the command line that chooses, where it is no recipe option."""
    choices: tuple[Choice, ...] = Field(min_length=1)
    default: str = ""
    """What cebench does, in words; may be left out where `options` says it."""
    why: Text
    effect: str = ""
    """What was measured of the difference."""

    @model_validator(mode="after")
    def _says_what_is_done(self) -> "Entry":
        if not self.default and not self.options:
            raise ValueError("needs a default, in words or as options")
        return self


class Ledger(_Frozen):
    """Areas by id, and the entries in the order of the file."""

    areas: dict[str, Area]
    entries: tuple[Entry, ...]

    @model_validator(mode="after")
    def _hangs_together(self) -> "Ledger":
        ids = [entry.id for entry in self.entries]
        if twice := sorted({id for id in ids if ids.count(id) > 1}):
            raise ValueError(f"ids are used twice: {', '.join(twice)}")
        if unknown := sorted({entry.area for entry in self.entries} - self.areas.keys()):
            raise ValueError(f"no such area: {', '.join(unknown)}")
        return self

    def of_area(self, area: str) -> list[Entry]:
        """The entries of one page."""
        return [entry for entry in self.entries if entry.area == area]

    def of_programs(self, programs: Iterable[str]) -> list[Entry]:
        """The entries that determine numbers of any of these methods and tasks."""
        wanted = set(programs)
        return [entry for entry in self.entries if wanted & set(entry.programs)]

    def sources_of(self, program: str) -> dict[str, list[str]]:
        """Recipe option of `program` -> ids of the entries that give its sources."""
        found: dict[str, list[str]] = {}
        for entry in self.of_programs([program]):
            for option in entry.options:
                found.setdefault(option, []).append(entry.id)
        return found


@functools.cache
def load_ledger() -> Ledger:
    """The ledger that ships with cebench; CebenchError if the file is damaged."""
    file = resources.files("cebench.reporting").joinpath("ledger.toml")
    return parse_ledger(file.read_text(encoding="utf-8"))


def parse_ledger(text: str) -> Ledger:
    """The ledger that `text` (TOML) holds; a mistake is one line that names its place."""
    try:
        content = tomllib.loads(text)
        areas = content.get("areas", {})
        for entry in content.get("entries", []):
            entry.setdefault("programs", areas.get(entry.get("area"), {}).get("programs", []))
        return Ledger.model_validate(content)
    except tomllib.TOMLDecodeError as error:
        raise CebenchError(f"ledger.toml: not valid TOML: {error}") from None
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"])
        raise CebenchError(f"ledger.toml: {where}: {first['msg']}".replace(": :", ":")) from None


def area_page(ledger: Ledger, area_id: str, recipe_values: RecipeValues) -> str:
    """One area as a Markdown page, a heading per entry.

    recipe_values: of the recipes that ship, by program and name.
    """
    area = ledger.areas[area_id]
    parts = [f"(ledger-{area_id})=\n# {area.title}", f"`{area.command}`", area.about]
    parts += [entry_section(entry, recipe_values) for entry in ledger.of_area(area_id)]
    return "\n\n".join(parts) + "\n"


def entry_section(entry: Entry, recipe_values: RecipeValues) -> str:
    """One entry as a Markdown section under an anchor of its id."""
    lines = [f"({entry.id})=\n## {entry.heading}"]
    lines.append("| Choice | Source |\n| --- | --- |")
    lines[-1] += "".join(f"\n| {_cell(c.value)} | {_cell(c.source)} |" for c in entry.choices)
    lines.append(f"**Here:** {default_text(entry)}. {_sentence(entry.why)}")
    if entry.effect:
        lines.append(f"**Measured:** {_sentence(entry.effect)}")
    if chosen := _chosen_by(entry, recipe_values):
        lines.append(chosen)
    return "\n\n".join(lines)


def default_text(entry: Entry) -> str:
    """What cebench does, in words; the options of recipe `paper` where there are no words."""
    options = ", ".join(f"`{name}={_plain(value)}`" for name, value in entry.options.items())
    if not entry.options:
        return f"{entry.default}{'' if entry.flag else ' (fixed)'}"
    return f"{entry.default} ({options})" if entry.default else options


def _chosen_by(entry: Entry, recipe_values: RecipeValues) -> str:
    """The values of the entry's options: a row for the recipes that agree in all of them."""
    if entry.flag:
        return f"Chosen on the command line by `{entry.flag}`."
    recipes: dict[tuple[str, ...], list[str]] = {}
    for (program, recipe), values in recipe_values.items():
        if program in entry.programs and entry.options.keys() <= values.keys():
            chosen = tuple(values[name] for name in entry.options)
            recipes.setdefault(chosen, []).append(f"{program} {recipe}")
    if len(recipes) < 2:
        return "The same in every recipe." if entry.options else ""
    head = "| Recipes | " + " | ".join(f"`{name}`" for name in entry.options) + " |"
    rows = [
        f"| {', '.join(names)} | " + " | ".join(f"`{value}`" for value in chosen) + " |"
        for chosen, names in recipes.items()
    ]
    return "\n".join([head, "| --- " * (len(entry.options) + 1) + "|", *rows])


def _plain(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    if isinstance(value, list):
        return f"[{', '.join(_plain(item) for item in value)}]"
    return str(value).lower() if isinstance(value, bool) else str(value) or '""'


def _cell(text: str) -> str:
    return text.replace("|", "\\|")


def _sentence(text: str) -> str:
    return text if text.endswith(".") else f"{text}."
