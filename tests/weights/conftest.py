import os
from pathlib import Path

import pytest


@pytest.fixture(scope="session")
def foreign_files() -> Path:
    """Real files of other programs by repository, not part of this one."""
    folder = os.environ.get("CEBENCH_FOREIGN_FILES", "")
    if not folder or not Path(folder).is_dir():
        pytest.skip("no real files of other programs; set CEBENCH_FOREIGN_FILES")
    return Path(folder)
