"""Options that several verbs have, and those of the two that make a run: pretrain and transfer."""

import math
from collections.abc import Callable
from importlib.resources import files
from pathlib import Path
from typing import Any, TypeVar

import click

DEVICES = ("auto", "cpu", "cuda")

LARGEST_SEED = 2**32 - 1
"""That of numpy.random.seed. Suites count on from a seed, and records hold seeds up to 10**12."""
SEED = click.IntRange(0, LARGEST_SEED)
"""The type of every --seed."""


class FiniteRange(click.FloatRange):
    """A range of numbers without nan, which click finds beyond neither end."""

    def convert(
        self, value: Any, param: click.Parameter | None, ctx: click.Context | None
    ) -> float:
        """The number; click's usage error where it is none of the range."""
        number: float = super().convert(value, param, ctx)
        if not math.isfinite(number):
            self.fail(f"{value} is no finite number.", param, ctx)
        return number


Command = TypeVar("Command", bound=Callable[..., Any])


def program_names(package: str) -> list[str]:
    """The methods of `cebench.pretrain` or the tasks of `cebench.transfer`, without importing them.

    Each has a folder of recipes of its name.
    """
    folders = (files(package) / "recipes").iterdir()
    return sorted(folder.name for folder in folders if folder.is_dir())


def add_options(*options: Callable[[Any], Any]) -> Callable[[Command], Command]:
    """A decorator that adds click options and arguments to a command, in the order given."""

    def decorate(command: Command) -> Command:
        for option in reversed(options):
            command = option(command)
        return command

    return decorate


json_option = click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
"""The option --json of verbs that print one result."""
dry_run_option = click.option(
    "--dry-run", is_flag=True, help="Make every check, print what would be done, and do nothing."
)
"""The option --dry-run of verbs that write files."""
device_option = click.option(
    "--device",
    type=click.Choice(DEVICES),
    default="auto",
    show_default=True,
    help="auto: a CUDA GPU if there is one, else the processor.",
)
run_options = add_options(
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
        type=SEED,
        default=0,
        show_default=True,
        help="Seed of all random numbers of the run.",
    ),
    device_option,
    click.option("--no-resume", is_flag=True, help="Start this run over instead of continuing it."),
    click.option("--tensorboard", is_flag=True, help="Also log training to OUT/tensorboard."),
    click.option("--dry-run", is_flag=True, help="Print what would be done, and do nothing."),
    json_option,
)
"""What pretrain and transfer share."""


def examples(*commands: str) -> str:
    """The end of a command's help: each command on a line of its own, never wrapped."""
    return "\b\n" + "\n".join(["Examples:", *(f"  {command}" for command in commands)])
