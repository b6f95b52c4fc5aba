"""Where the log goes: stderr, one plain line each."""

import logging
import sys


class _Stderr(logging.Handler):
    """Writes to what stderr is at that moment."""

    def emit(self, record: logging.LogRecord) -> None:
        """Print the message as a line."""
        print(self.format(record), file=sys.stderr)


def show_log() -> None:
    """Send cebench's log to stderr (once)."""
    logger = logging.getLogger("cebench")
    logger.setLevel(logging.INFO)
    if not any(isinstance(handler, _Stderr) for handler in logger.handlers):
        logger.addHandler(_Stderr())
