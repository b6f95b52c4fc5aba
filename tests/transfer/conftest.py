from collections.abc import Callable
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def toy(toy_world: Callable[[int], Path]) -> Path:
    """The VOCdevkit of a toy world of 24 images."""
    return toy_world(24) / "VOCdevkit"
