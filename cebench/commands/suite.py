"""`cebench suite`: rows x pretrainings x tasks x seeds from one file."""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from cebench.commands.groups import SuggestingGroup
from cebench.run_options import DEVICES

if TYPE_CHECKING:
    from cebench.suite.plan import SuiteRequest

Command = TypeVar("Command", bound=Callable[..., Any])


@click.group(cls=SuggestingGroup)
def suite() -> None:
    """Compute rows x pretrainings x tasks x seeds from one file, on this machine or a cluster."""


def _suite_options(command: Command) -> Command:
    """FILE and the options that say which suite it is."""
    options = (
        click.argument("file"),
        click.option(
            "--out",
            type=click.Path(path_type=Path),
            required=True,
            help="Folder for everything the suite makes.",
        ),
        click.option(
            "--data",
            multiple=True,
            metavar="NAME=PATH",
            help="A path in place of the one that the suite has for NAME; may be given several "
            "times.",
        ),
        click.option(
            "--seed",
            type=click.IntRange(min=0),
            default=0,
            show_default=True,
            help="The first seed of pretrainings and fine-tunings, and that of drawn data.",
        ),
    )
    for option in reversed(options):
        command = option(command)
    return command


@suite.command()
@_suite_options
@click.option(
    "--workers",
    type=click.IntRange(min=1),
    help="Cells at once; one for each GPU, or what cores and memory allow, if not given.",
)
@click.option("--threads", type=click.IntRange(min=1), help="Processor threads of each cell.")
@click.option("--device", type=click.Choice(DEVICES), default="auto", show_default=True)
@click.option("--retry", is_flag=True, help="Try cells again that failed.")
def run(workers: int | None, threads: int | None, device: str, retry: bool, **given: Any) -> None:
    r"""Compute what is not finished of the suite FILE, and print its tables.

    FILE is a suite of yours, or one that comes along: quickstart.toml, toy.toml, paper.toml,
    small.toml, backbones.toml. The same command continues an interrupted run; several may run
    beside each other, on machines that share the folder too. Examples:

    \b
      cebench suite run toy.toml --out toy-suite --workers 2
      cebench suite run paper.toml --out paper --data voc=VOCdevkit --data imagenet=stores/imagenet
    """
    from cebench.logs import show_log
    from cebench.suite.running import RunOptions, run_suite

    show_log()
    options = RunOptions(workers=workers or 0, threads=threads or 0, device=device, retry=retry)
    click.echo(run_suite(_request(**given), options), nl=False)
    click.echo(f"Pictures and tables: {given['out'] / 'index.html'}", err=True)


def _request(file: str, out: Path, data: tuple[str, ...], seed: int) -> "SuiteRequest":
    from cebench.errors import InputError
    from cebench.suite.plan import SuiteRequest

    for text in data:
        if "=" not in text:
            raise InputError(f"--data {text}: expected NAME=PATH, e.g. --data voc=VOCdevkit")
    paths = dict(text.split("=", 1) for text in data)
    return SuiteRequest(file=file, out=out, data=paths, seed=seed)
