"""Work in a process of its own."""

import os

import pytest

from cebench.errors import CebenchError
from cebench.suite.workers import call_apart


@pytest.mark.slow
def test_a_process_that_is_killed_is_one_line() -> None:
    with pytest.raises(CebenchError, match="was killed, by the system where memory ran out"):
        call_apart(os._exit, 9)
