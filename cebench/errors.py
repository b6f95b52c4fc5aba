"""The three ways a command ends badly, each with its exit status.

Every message is one line: what was wrong and where, what was expected, what to do.
"""

import difflib
import signal
from collections.abc import Iterable


class CebenchError(Exception):
    """A run that failed: exit status 1."""

    exit_status = 1


class InputError(CebenchError):
    """A mistake in what the user gave (option, recipe, file, folder): exit status 2."""

    exit_status = 2


class Interrupted(CebenchError):  # noqa: N818 - it names what happened, not a mistake
    """A run stopped by a signal after it saved its state: exit status 128 + signal (130, 143)."""

    def __init__(self, message: str, signal_number: int = signal.SIGINT) -> None:
        super().__init__(message)
        self.exit_status = 128 + signal_number


def similar_name(name: str, known: Iterable[str]) -> str:
    """The end of a message about a wrong name of very many: a similar one, or nothing."""
    similar = difflib.get_close_matches(name.lower(), known, n=1)
    return f"; did you mean {similar[0]}?" if similar else ""


def did_you_mean(name: str, known: Iterable[str]) -> str:
    """The end of a message about a wrong name: a similar known one if there is any, then all."""
    names = list(known)
    similar = difflib.get_close_matches(name, names, n=1)
    if not similar:
        return f"choose from {', '.join(names)}"
    return f"did you mean {similar[0]!r}? All: {', '.join(names)}"
