"""The Semantic Boundaries Dataset: segmentation labels for 11,355 photos of VOC2011."""

from pathlib import Path

import numpy as np

from cebench.data.images import read_image
from cebench.data.matlab import LIMIT, uint8_matrix
from cebench.data.voc.devkit import checked_id, checked_labels, is_name, read_ids
from cebench.errors import InputError


class Sbd:
    """One SBD tree, read lazily.

    Args:
        root: the unpacked benchmark_RELEASE, its folder dataset, or its parent.

    Raises:
        InputError: there is no folder dataset/cls and dataset/img.
    """

    def __init__(self, root: Path) -> None:
        root = Path(root)
        for folder in (root, root / "dataset", root / "benchmark_RELEASE" / "dataset"):
            if (folder / "cls").is_dir() and (folder / "img").is_dir():
                self.root = folder
                return
        raise InputError(
            f"{root} is no SBD tree; give the folder benchmark_RELEASE, which holds dataset/img "
            "and dataset/cls"
        )

    def ids(self, image_set: str | Path) -> list[str]:
        """The ids of dataset/<image_set>.txt, or of a list file given by its path."""
        path = self.root / f"{image_set}.txt" if is_name(image_set) else Path(image_set)
        if not path.is_file():
            names = ", ".join(sorted(p.stem for p in self.root.glob("*.txt"))) or "none"
            raise InputError(f"no image set {path}; SBD has here: {names}; or give a list file")
        return read_ids(path)

    def image_path(self, image_id: str) -> Path:
        """The photograph's file; InputError if there is none."""
        return self._file("img", image_id, ".jpg")

    def image(self, image_id: str) -> np.ndarray:
        """The photograph, (H, W, 3) uint8 RGB."""
        return read_image(self.image_path(image_id), upright=False)

    def segmentation(self, image_id: str) -> np.ndarray:
        """Labels (H, W) uint8: 0 background, 1..20 VOC_CLASSES, 255 void (SBD itself has none).

        Raises:
            InputError: the .mat file is absent, damaged, or not SBD's GTcls.Segmentation.
        """
        path = self.segmentation_path(image_id)
        return checked_labels(_gtcls_segmentation(path), path)

    def segmentation_path(self, image_id: str) -> Path:
        """The .mat file of the labels; InputError if there is none."""
        return self._file("cls", image_id, ".mat")

    def _file(self, folder: str, image_id: str, suffix: str) -> Path:
        path = self.root / folder / f"{checked_id(image_id)}{suffix}"
        if not path.is_file():
            raise InputError(
                f"{path} does not exist, but an image set names {image_id}; complete "
                f"dataset/{folder} or give a shorter list file"
            )
        return path


def _gtcls_segmentation(path: Path) -> np.ndarray:
    try:
        with path.open("rb") as file:
            return uint8_matrix(file.read(LIMIT + 1), "GTcls", "Segmentation")
    except (OSError, ValueError) as error:
        raise InputError(
            f"{path} is no readable SBD label file ({error}); expected a MATLAB 5 file with "
            "GTcls.Segmentation, a matrix of uint8"
        ) from error
