"""Calling a command in this process."""

from pathlib import Path

import click
from click.testing import CliRunner, Result


def call(command: click.Command, *arguments: str | Path) -> Result:
    """What `command` printed and its exit status; errors other than an exit are raised."""
    result = CliRunner().invoke(command, list(map(str, arguments)))
    if result.exception is not None and not isinstance(result.exception, SystemExit):
        raise result.exception
    return result
