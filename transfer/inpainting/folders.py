"""The two folders of images that inpainting is scored on: found and compared, not decoded."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from cebench.data.images import image_files
from cebench.data.overlap import same_files
from cebench.errors import InputError


def find_images(data: Path, gallery: str, test: str) -> dict[str, list[Path]]:
    """The images of the subfolders `gallery` and `test` of `data`.

    InputError for two test images of one stem, or a test image whose file is in the gallery too;
    other copies of a photograph are found when both are decoded.
    """
    searched, filled = images_in(data, gallery, "gallery"), images_in(data, test, "test")
    unique_stems(filled)
    check_apart(same_files(filled, searched))
    return {"gallery": searched, "test": filled}


def images_in(data: Path, name: str, option: str) -> list[Path]:
    """The images of the subfolder that the recipe's `option` names."""
    folder = data / name
    if not folder.is_dir():
        found = sorted(p.name for p in data.iterdir() if p.is_dir()) if data.is_dir() else []
        raise InputError(
            f"{folder}: no such folder of {option} images; --data holds "
            f"{', '.join(found) or 'no folders'}; name the right one with --set {option}=NAME"
        )
    return image_files(folder)


def unique_stems(files: Sequence[Path]) -> list[str]:
    """The stems of the test images; InputError where two have one."""
    by_stem = {path.stem: path for path in files}
    for path in files:
        if by_stem[path.stem] != path:
            raise InputError(
                f"{path} and {by_stem[path.stem]}: test images of one stem, under which the "
                "predictions are stored; rename one"
            )
    return list(by_stem)


def check_apart(shared: Mapping[Path, Path]) -> None:
    """InputError if there are test photos that the gallery holds: {test photo: its copy}."""
    if shared:
        path, copy = next(iter(shared.items()))
        more = f", as are {len(shared) - 1} more" if len(shared) > 1 else ""
        raise InputError(
            f"{path}: this test photo is also in the gallery ({copy}){more}; nearest neighbours "
            "would paste the answer: keep each photo in one folder"
        )
