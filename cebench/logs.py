"""Where the log goes: stderr, one plain line each."""

import logging
import os
import sys


class _Stderr(logging.Handler):
    """Writes to what stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message as a line."""
        print(self.format(record), file=sys.stderr)


def is_first_process() -> bool:
    """Whether this process is the one of torchrun's that speaks; known before they have met."""
    return os.environ.get("RANK", "0") == "0"


def show_log() -> None:
    """Send cebench's log to stderr (once), of torchrun's other processes the errors alone."""
    logger = logging.getLogger("cebench")
    logger.setLevel(logging.INFO if is_first_process() else logging.ERROR)
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())
