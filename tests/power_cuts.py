"""A training that breaks off at a step, as in a power cut."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from cebench.errors import CebenchError


@contextmanager
def power_cut(program: type[Any], step: int) -> Iterator[None]:
    """What stands within trains a `program`, and ends where that one begins to update at `step`."""
    update = program.update

    def breaks(self: object, number: int, batch: object) -> object:
        if number == step:
            raise CebenchError("power cut")
        return update(self, number, batch)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(program, "update", breaks)
        with pytest.raises(CebenchError, match="power cut"):
            yield
