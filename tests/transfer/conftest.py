from pathlib import Path

import pytest

from cebench.toy.world import write_toy_world


@pytest.fixture(scope="session")
def toy(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The VOCdevkit of a toy world of 24 images; tests read it alone."""
    folder = tmp_path_factory.mktemp("toy")
    write_toy_world(folder, images=24, seed=0)
    return folder / "VOCdevkit"
