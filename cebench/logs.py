"""Where the log goes: stderr, one plain line each."""

import logging
import sys


def show_log() -> None:
    """Send cebench's log to stderr (once)."""
    logger = logging.getLogger("cebench")
    logger.setLevel(logging.INFO)
    if not any(type(handler) is logging.StreamHandler for handler in logger.handlers):
        handler = logging.StreamHandler(sys.stderr)
        handler.setFormatter(logging.Formatter("%(message)s"))
        logger.addHandler(handler)
