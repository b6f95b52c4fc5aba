"""The options that every verb which makes a run has: pretrain and transfer."""

from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import click

DEVICES = ("auto", "cpu", "cuda")

Command = TypeVar("Command", bound=Callable[..., Any])


def program_names(package: str) -> list[str]:
    """The methods of `cebench.pretrain` or the tasks of `cebench.transfer`, without importing them.

    Each has a folder of recipes of its name.
    """
    folders = (files(package) / "recipes").iterdir()
    return sorted(folder.name for folder in folders if folder.is_dir())


_OPTIONS = (
    click.option(
        "--out",
        type=click.Path(path_type=Path),
        required=True,
        help="The run directory: what the run leaves.",
    ),
    click.option(
        "--recipe",
        default="short",
        show_default=True,
        help="Name of a recipe (`cebench recipe` lists them) or a .toml file.",
    ),
    click.option(
        "--set",
        "changes",
        multiple=True,
        metavar="KEY=VALUE",
        help="Change an option of the recipe; may be given several times. "
        "`cebench recipe show NAME` explains every option of a method or task.",
    ),
    click.option(
        "--seed",
        type=click.IntRange(min=0),
        default=0,
        show_default=True,
        help="Of all randomness of the run.",
    ),
    click.option(
        "--device",
        type=click.Choice(DEVICES),
        default="auto",
        show_default=True,
        help="auto: a CUDA GPU if there is one, else the processor.",
    ),
    click.option("--no-resume", is_flag=True, help="Start this run over instead of continuing it."),
    click.option("--tensorboard", is_flag=True, help="Also log to OUT/tensorboard."),
    click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing."),
    click.option("--json", "as_json", is_flag=True, help="Print one JSON object on stdout."),
)


dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Make every check, print what would be done, and do nothing."
)
"""The option --dry-run of verbs that write files."""


def examples(*commands: str) -> str:
    """The end of a command's help: each command on a line of its own, never wrapped."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)])


def run_options(command: Command) -> Command:
    """Add the options to a click command, in the order above."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command
