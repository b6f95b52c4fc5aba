"""What is checked before PyTorch is imported, and whose code computes the task."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from .folders import find_images

ENGINES = ("native",)


def check_data(data: Path, values: Mapping[str, Any]) -> None:
    """InputError where a folder is absent, or a file of the test folder is in the gallery too."""
    find_images(data, values.get("gallery", "train"), values.get("test", "test"))
