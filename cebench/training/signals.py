"""Signals that ask a process to stop, collected so that its work can end in good order."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType


@contextmanager
def collected_signals(on_first: Callable[[], None] | None = None) -> Iterator[list[int]]:
    """The numbers of SIGINT and SIGTERM as they arrive; the second one ends the process as usual.

    on_first: called within the handler. In another thread than the main one nothing is collected.
    """
    received: list[int] = []
    if threading.current_thread() is not threading.main_thread():
        yield received
        return
    numbers = (signal.SIGINT, signal.SIGTERM)
    before = {number: signal.getsignal(number) for number in numbers}

    def note(number: int, frame: FrameType | None) -> None:
        received.append(number)
        if on_first:
            on_first()
        signal.signal(number, before[signal.Signals(number)])

    for number in numbers:
        signal.signal(number, note)
    try:
        yield received
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
