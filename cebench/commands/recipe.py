"""`cebench recipe`: the options of every method and task, and what they mean."""

import json
import sys
import textwrap
from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import click

from cebench.run_options import examples, json_option

if TYPE_CHECKING:
    from cebench.reporting.recipe_options import RecipeOption

    from .programs import Program

PLAIN_COLUMNS = 80


@click.group(
    invoke_without_command=True,
    epilog=examples(
        "cebench recipe list",
        "cebench recipe show context paper",
    ),
)
@click.pass_context
def recipe(context: click.Context) -> None:
    """List the recipes of every method and task, or show the options of one.

    Without a subcommand it lists.
    """
    if context.invoked_subcommand is None:
        context.invoke(list_recipes)


@recipe.command(
    "list",
    epilog=examples(
        "cebench recipe list",
        "cebench recipe list --json",
    ),
)
@json_option
def list_recipes(*, as_json: bool = False) -> None:
    """List every method and task with the recipes that ship with it."""
    from .programs import find_programs

    programs = find_programs().values()
    if as_json:
        content = {p.name: {"verb": p.verb, "recipes": p.recipes} for p in programs}
        click.echo(json.dumps(content, indent=2))
        return
    for verb, heading in (("pretrain", "Methods of pretrain"), ("transfer", "Tasks of transfer")):
        click.echo(f"{heading}:")
        for program in programs:
            if program.verb == verb:
                click.echo(f"  {program.name:<24}{', '.join(program.recipes)}")
    click.echo("Options: cebench recipe show METHOD|TASK [RECIPE]")


@recipe.command(
    "show",
    epilog=examples(
        "cebench recipe show context",
        "cebench recipe show detection paper --json",
    ),
)
@click.argument("program_name", metavar="METHOD|TASK")
@click.argument("recipe_name", metavar="[RECIPE]", required=False)
@json_option
def show_recipe(program_name: str, recipe_name: str | None, *, as_json: bool) -> None:
    """Show every option of METHOD or TASK: meaning, unit, allowed values, default and source.

    RECIPE is the name of a recipe, or a .toml file, whose values are shown; without it the
    defaults are. A source names an entry of the protocol ledger.
    """
    from cebench.reporting.ledger import load_ledger
    from cebench.reporting.recipe_options import (
        describe_options,
        option_values,
        options_as_json,
    )

    from .programs import find_program

    program = find_program(program_name)
    resolved = program.load(recipe_name) if recipe_name else None
    options, sources = describe_options(program.recipe), load_ledger().sources_of(program.name)
    if as_json:
        values = resolved.model_dump(mode="json") if resolved else None
        shown = options_as_json(options, values, sources)
        content = {"program": program.name, "verb": program.verb, "recipe": recipe_name}
        click.echo(json.dumps({**content, "options": shown}, indent=2))
        return
    values = option_values(resolved) if resolved else {o.name: o.default for o in options}
    title = f"{program.command} --recipe {recipe_name}" if recipe_name else program.command
    print_options(program, title, options, values, sources)


def print_options(
    program: "Program",
    title: str,
    options: Sequence["RecipeOption"],
    values: Mapping[str, str],
    sources: Mapping[str, Sequence[str]],
) -> None:
    """Print the options: a table on a terminal, `key = value` and indented lines elsewhere."""
    from cebench.reporting.recipe_options import option_facts

    rows = [
        (o.name, values[o.name] or "-", o.meaning, option_facts(o, sources.get(o.name, ())))
        for o in options
    ]
    if sys.stdout.isatty():
        _print_table(title, rows)
    else:
        click.echo(f"{title}\n")
        click.echo("\n".join(line for row in rows for line in _plain_lines(*row)))
    click.echo(f"Recipes: {', '.join(program.recipes)}. Change an option: --set KEY=VALUE.")


def _plain_lines(name: str, value: str, meaning: str, facts: Mapping[str, str]) -> list[str]:
    texts = [meaning, *(f"{label}: {text}" for label, text in facts.items())]
    wrapped = [
        line
        for text in texts
        for line in textwrap.wrap(
            text,
            PLAIN_COLUMNS,
            initial_indent="    ",
            subsequent_indent="      ",
            break_on_hyphens=False,
        )
    ]
    return [f"{name} = {value}", *wrapped, ""]


def _print_table(title: str, rows: Sequence[tuple[str, str, str, Mapping[str, str]]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(
        title=title, title_style="bold", title_justify="left", show_lines=True, expand=True
    )
    table.add_column("option", no_wrap=True, style="bold")
    table.add_column("value", max_width=20, overflow="fold")
    table.add_column("meaning", ratio=1)
    for name, value, meaning, facts in rows:
        cell: Any = Text(meaning)
        for label, text in facts.items():
            cell.append(f"\n{label}: ", style="dim").append(text)
        table.add_row(Text(name), Text(value), cell)
    Console().print(table)
