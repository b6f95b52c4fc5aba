"""Writes the pages that are made from code and data into docs/generated, before Sphinx reads them.

A page per command, per method or task with its options, per area of the ledger, and the numbers of
later papers.
"""

import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from cebench.cli import COMMANDS
from cebench.commands.programs import Program, find_programs
from cebench.reporting.ledger import area_page, load_ledger
from cebench.reporting.quoted import load_quoted, quoted_page
from cebench.reporting.recipe_options import (
    RecipeOption,
    describe_options,
    option_values,
)


def pages(guides: Path) -> Iterator[tuple[str, str]]:
    """Name below docs/generated and text of every page; `guides` holds the hand-written ones."""
    programs, ledger = find_programs(), load_ledger()
    for verb, (module, _) in COMMANDS.items():
        yield f"commands/{verb}.rst", command_page(verb, module, guides)
    for program in programs.values():
        yield f"recipes/{program.name}.md", recipe_page(program, ledger.sources_of(program.name))
    values = {
        (program.name, recipe): option_values(program.load(recipe))
        for program in programs.values()
        for recipe in program.recipes
    }
    for area in ledger.areas:
        yield f"protocols/{area}.md", area_page(ledger, area, values)
    yield "quoted.md", quoted_page(load_quoted())


def command_page(verb: str, module: str, guides: Path) -> str:
    """The reference of one verb, by sphinx-click, and a link to its guide where there is one."""
    guide = (
        f"\n.. seealso:: :doc:`/{verb}`, the guide.\n" if (guides / f"{verb}.md").is_file() else ""
    )
    return f".. click:: {module}:{verb}\n   :prog: cebench {verb}\n   :nested: full\n{guide}"


def recipe_page(program: Program, sources: Mapping[str, list[str]]) -> str:
    """Every option of one method or task, then its recipes side by side."""
    recipes = {name: option_values(program.load(name)) for name in program.recipes}
    options = describe_options(program.recipe)
    parts = [f"(recipe-{program.name})=\n# {program.name}"]
    parts.append(f"Options of `{program.command}`; change one with `--set KEY=VALUE`.")
    parts += ["## Options", *(_option(option, sources) for option in options)]
    parts += ["## Recipes", _recipes_table(options, recipes)]
    return "\n\n".join(parts) + "\n"


def _option(option: RecipeOption, sources: Mapping[str, list[str]]) -> str:
    facts = [option.allowed]
    if option.unit:
        facts.append(f"in {option.unit}")
    facts.append(f"default `{option.default}`" if option.default else "stated by each recipe")
    facts += [f"source: [](#{id})" for id in sources.get(option.name, ())]
    return f"`{option.name}`\n: {_outside_code(option.meaning)}\n\n  {'; '.join(facts)}"


def _outside_code(text: str) -> str:
    """`text` with `<` escaped wherever it would begin an HTML tag, that is outside of `code`."""
    parts = text.split("`")
    return "`".join(p if n % 2 else p.replace("<", "&lt;") for n, p in enumerate(parts))


def _recipes_table(options: list[RecipeOption], recipes: Mapping[str, Mapping[str, str]]) -> str:
    """Values of every recipe; options that all of them leave at the default are left out."""
    lines = [f"| Option | {' | '.join(recipes)} |", "| --- " * (len(recipes) + 1) + "|"]
    for option in options:
        values = [values[option.name] for values in recipes.values()]
        if set(values) != {option.default}:
            lines.append(f"| `{option.name}` | " + " | ".join(f"`{v}`" for v in values) + " |")
    return "\n".join(lines)


def write_pages(app: Any) -> None:
    """Write every page whose text changed and remove those that nothing makes any more."""
    folder = Path(app.srcdir) / "generated"
    written = {folder / name: text for name, text in pages(Path(app.srcdir))}
    for path, text in written.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.is_file() or path.read_text(encoding="utf-8") != text:
            path.write_text(text, encoding="utf-8")
    for path in folder.rglob("*.*"):
        if path not in written:
            path.unlink()


def escape_stars(app: Any, context: Any, lines: list[str]) -> None:
    """Help texts are plain text, in which `*_det.txt` begins no emphasis."""
    lines[:] = [re.sub(r"(?<!\*)\*(?!\*)", r"\\*", line) for line in lines]


def setup(app: Any) -> dict[str, bool]:
    """Called by Sphinx."""
    app.connect("builder-inited", write_pages)
    app.connect("sphinx-click-process-description", escape_stars)
    app.connect("sphinx-click-process-options", escape_stars)
    return {"parallel_read_safe": True, "parallel_write_safe": True}
