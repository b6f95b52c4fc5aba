"""The command line. Commands are named as strings and imported on use, so that --help is light."""

import errno
import importlib
import io
import os
import signal
import sys
from types import FrameType

import click

from cebench import __version__
from cebench.commands.groups import SuggestingGroup
from cebench.errors import CebenchError, Interrupted

COMMANDS = {
    "quickstart": (
        "cebench.commands.quickstart",
        "Run the whole paper small: offline, in minutes.",
    ),
    "pretrain": ("cebench.pretrain.command", "Pretrain a trunk by a pretext method."),
    "transfer": ("cebench.transfer.command", "Measure weights on one task."),
    "suite": ("cebench.commands.suite", "Compute rows x pretrainings x tasks x seeds."),
    "status": ("cebench.commands.status", "Say how far the runs below a folder are."),
    "report": ("cebench.commands.report", "Print Tables 1 and 2 beside the published numbers."),
    "recipe": ("cebench.commands.recipe", "Show every option of a method or task."),
    "explain": ("cebench.commands.explain", "Tell what determines a number of a table."),
    "pack": ("cebench.commands.bundles", "Pack runs into a bundle that anyone can verify."),
    "verify": ("cebench.commands.bundles", "Score the numbers of a bundle again."),
    "score": ("cebench.commands.score", "Score files that any program wrote."),
    "inpaint": (
        "cebench.commands.inpaint",
        "Fill holes in images, by networks or classically.",
    ),
    "data": (
        "cebench.commands.data",
        "Verify and pack data sets; proposals, patches, the toy world.",
    ),
    "weights": ("cebench.commands.weights", "Import, export, rescale and inspect weights."),
}
"""Verb -> (module that holds a click command of the verb's name, line for --help)."""


class _LazyGroup(SuggestingGroup):
    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        if cmd_name not in COMMANDS:
            return None
        command = getattr(importlib.import_module(COMMANDS[cmd_name][0]), cmd_name)
        assert isinstance(command, click.Command)
        return command

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        with formatter.section("Commands"):
            formatter.write_dl([(name, line) for name, (_, line) in COMMANDS.items()])


@click.group(cls=_LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="cebench")
def cli() -> None:
    """The transfer and inpainting benchmark of Context Encoders (CVPR 2016).

    Recipes go in, weights pass through a file, numbers come out.

    Exit status: 0 done, 1 a run failed or a check found something missing, damaged or different,
    2 a mistake in what was given, 130 or 143 stopped by a signal (the same command continues).
    """
    from cebench.logs import show_log

    show_log()


def main() -> None:
    """Entry point: every known error becomes one line on stderr and an exit status."""
    signal.signal(signal.SIGTERM, _terminate)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # Names of files that are not UTF-8 leave as they are, for the next program to take.
        sys.stdout.reconfigure(errors="surrogateescape")
    try:
        status = cli.main(prog_name="cebench", standalone_mode=False)
    except (KeyboardInterrupt, click.Abort):
        status = _fail("stopped; run the same command to continue", 128 + signal.SIGINT)
    except CebenchError as error:
        status = _fail(str(error), error.exit_status)
    except click.exceptions.NoArgsIsHelpError as error:
        click.echo(error.format_message())
        status = 0
    except click.ClickException as error:
        status = _fail(error.format_message() + _where(error), error.exit_code)
    except BrokenPipeError:
        # The reader of our output went away (`| head`): nothing is left to say to it.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        status = 1
    except OSError as error:
        full = error.errno in (errno.ENOSPC, errno.EDQUOT)
        advice = "; free disk space and run the command again" if full else ""
        status = _fail(f"{error.filename or 'files'}: {error.strerror or error}{advice}", 1)
    sys.exit(status if isinstance(status, int) else 0)


def _terminate(number: int, frame: FrameType | None) -> None:
    raise Interrupted("stopped; run the same command to continue", number)


def _fail(message: str, status: int) -> int:
    line = " ".join(message.split())
    click.echo(f"cebench: {line}", err=True)
    return status


def _where(error: click.ClickException) -> str:
    context = getattr(error, "ctx", None)
    return f" (see `{context.command_path} --help`)" if context else ""
