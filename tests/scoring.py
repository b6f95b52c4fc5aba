"""`cebench score` run by a test: what it prints, and the line it refuses with."""

import json
from typing import Any

from click.testing import CliRunner

from cebench.commands.score import score
from cebench.errors import InputError


def scores_of(runner: CliRunner, *arguments: object) -> dict[str, Any]:
    """The object that `cebench score ARGUMENTS --json` prints."""
    result = runner.invoke(score, [*map(str, arguments), "--json"], catch_exceptions=False)
    assert result.exit_code == 0, result.output
    found: dict[str, Any] = json.loads(result.stdout)
    return found


def mistake_of(runner: CliRunner, *arguments: object) -> str:
    """The one line that the command line prints for a user's mistake."""
    result = runner.invoke(score, [*map(str, arguments), "--json"])
    assert isinstance(result.exception, InputError), result.output
    assert result.stdout == ""
    message = str(result.exception)
    assert "\n" not in message
    return message
