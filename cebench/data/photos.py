"""Photos to learn from, wherever they lie: folders of images, VOC years, tar shards.

Nothing is unpacked: a photo in an archive is read from where its bytes stand in it.
"""

import hashlib
import logging
import os
import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from PIL import Image

from cebench.data.images import (
    IMAGE_SUFFIXES,
    image_files,
    image_size,
    is_compressed_tar,
    is_hidden,
    open_resized,
)
from cebench.data.listing import files_below
from cebench.data.voc.devkit import VocYear, devkit_years
from cebench.errors import InputError
from cebench.files import without_links

LARGEST_MEMBER = 2**28
"""Bytes of an archive's member; it is read into memory whole, and no photograph is larger."""

_LARGEST_CLASS_NAME = 100

logger = logging.getLogger("cebench")


@dataclass(frozen=True)
class Photo:
    """One image file, on the disk or inside a tar archive."""

    path: Path
    """The file, or the archive."""
    name: str = ""
    """Relative to its source, with /; a member's begins with its archive's name."""
    category: str = ""
    """Name of its class: the first folder of `name`, or what a WebDataset's .cls says."""
    upright: bool = False
    """Whether it is turned as its EXIF orientation says."""
    member: str = ""
    """Name inside the archive."""
    offset: int = 0
    size: int = -1
    """Place in the archive in bytes."""
    problem: str = ""
    """Why it must not be read, if so."""

    @property
    def shown(self) -> Path:
        """Path by which messages name the photograph."""
        return self.path / self.member

    def read(self) -> bytes:
        """The bytes of the image file; InputError if it cannot or must not be read."""
        if self.problem:
            raise InputError(f"{self.shown} {self.problem}")
        try:
            with self.path.open("rb") as file:
                file.seek(self.offset)
                return file.read(self.size)
        except OSError as error:
            raise InputError(f"cannot read {self.path}: {error.strerror}") from error

    def sha256(self) -> str:
        """SHA-256 of the image file's bytes, in hexadecimal."""
        return hashlib.sha256(self.read()).hexdigest()

    @property
    def file_size(self) -> int:
        """Size of the image file in bytes."""
        return self.size if self.member else self.path.stat().st_size

    def resized(self, short_side: int | None) -> Image.Image:
        """The photo at `dimensions(short_side)`; see `open_resized`."""
        return open_resized(self.shown, short_side, upright=self.upright, content=self._content())

    def dimensions(self, short_side: int | None = None) -> tuple[int, int]:
        """(width, height); see `image_size`."""
        return image_size(self.shown, short_side, upright=self.upright, content=self._content())

    def _content(self) -> bytes | None:
        return self.read() if self.member else None


def find_photos(sources: Sequence[Path], voc_image_set: str) -> list[Photo]:
    """Every photo of the sources, each once, sorted by path and then by place in its archive.

    Args:
        sources: folders of images (turned by EXIF; the first folder below is the class), VOC year
            folders (a folder that holds JPEGImages; as stored), tar files or folders of them.
        voc_image_set: image set of Main that is taken from a VOC year.

    Raises:
        InputError: a source is none of these, or damaged.
    """
    found: dict[tuple[str, int], Photo] = {}
    for source in sources:
        for photo in _photos_of(source, voc_image_set):
            found.setdefault((os.path.abspath(photo.path), photo.offset), photo)
    return sorted(found.values(), key=lambda photo: (photo.path, photo.offset))


def voc_year(root: Path, option: str) -> VocYear:
    """The VOC year whose folder is `root`; InputError that names `option` when it is none."""
    year = without_links(root).name.removeprefix("VOC")
    if not (root / "ImageSets").is_dir() or not year.isdigit():
        raise InputError(f"{option} {root}: expected a VOC year folder, such as VOCdevkit/VOC2012")
    return VocYear(root, int(year))


def _photos_of(source: Path, voc_image_set: str) -> Iterator[Photo]:
    if source.is_file() and source.suffix == ".tar":
        yield from _members(source)
    elif not source.is_dir():
        raise InputError(
            f"{source}: no such folder; expected a folder of images, a VOC year folder or tar files"
        )
    elif (source / "JPEGImages").is_dir():
        voc = voc_year(source, "source")
        for image_id in voc.ids(voc_image_set):
            path = voc.image_path(image_id)
            yield Photo(path, name=path.relative_to(voc.root).as_posix())
    elif years := devkit_years(source):
        # Its label images lie below it too, and its test photographs.
        shown = " or ".join(str(years[year]) for year in sorted(years))
        raise InputError(f"{source}: holds VOC years; give one of them: {shown}")
    elif shards := shards_in(source):
        _warn_of_files_beside(source)
        for shard in shards:
            yield from _members(shard)
    else:
        for path in image_files(source):
            name = path.relative_to(source)
            yield Photo(path, name.as_posix(), _first_folder(name), upright=True)


def shards_in(folder: Path) -> list[Path]:
    """The tar files that lie in a folder, which then are what it holds."""
    return sorted(path for path in folder.glob("*.tar") if not is_hidden(PurePosixPath(path.name)))


def _warn_of_files_beside(folder: Path) -> None:
    """One line where images or compressed tar files lie beside the tar files."""
    beside = [
        path.relative_to(folder)
        for path in files_below(folder, lenient=True)
        if path.suffix.lower() in IMAGE_SUFFIXES or is_compressed_tar(path)
    ]
    if beside:
        logger.warning(
            f"{folder}: {len(beside)} images or compressed tar files beside its tar files are left "
            f"out ({min(beside)}, ...); give each kind a folder of its own"
        )


def _first_folder(name: Path | PurePosixPath) -> str:
    return name.parts[0] if len(name.parts) > 1 else ""


def _members(archive: Path) -> list[Photo]:
    """The images of an uncompressed tar, one for each WebDataset key.

    Links, devices, sparse and too large members, and names that lead out of the archive, become
    photos with a `problem`: never read, never silently dropped.
    """
    images: list[tarfile.TarInfo] = []
    classes: dict[str, str] = {}
    try:
        with tarfile.open(archive, "r:") as tar:
            while (member := tar.next()) is not None:
                tar.members = []  # type: ignore[attr-defined]  # it would keep millions of them
                name = PurePosixPath(member.name)
                if _hidden(member):
                    continue
                if name.suffix.lower() in IMAGE_SUFFIXES and not member.isdir():
                    images.append(member)
                elif name.suffix == ".cls" and not _problem(member):
                    classes[_key(name)] = _class_name(tar, member)
            whole = archive.stat().st_size > tar.offset  # Blocks of zeros mark the end.
    except (tarfile.TarError, EOFError, ValueError) as error:
        raise InputError(
            f"{archive} is no uncompressed tar file, or a damaged one ({error}); make it anew"
        ) from error
    except OSError as error:
        raise InputError(f"cannot read {archive}: {error.strerror or error}") from error
    if not whole:
        raise InputError(f"{archive} ends without its end mark: a part of a tar; fetch it again")
    photos = [_member_photo(archive, image, classes) for image in _one_per_key(archive, images)]
    if not photos:
        raise InputError(f"found no images in {archive}; give tar files that hold some")
    return photos


def _one_per_key(archive: Path, images: Sequence[tarfile.TarInfo]) -> list[tarfile.TarInfo]:
    """The photograph of each sample: of 00.jpg and 00.seg.png the first, in the archive's order.

    A key ends at the first dot of a base name, as WebDataset has it. InputError where that leaves
    it open which of two images is the photograph.
    """
    samples: dict[str, list[tarfile.TarInfo]] = {}
    for image in images:
        samples.setdefault(_key(PurePosixPath(image.name)), []).append(image)
    chosen = []
    for key, members in samples.items():
        plain = [m for m in members if PurePosixPath(m.name).name.count(".") == 1] or members
        if len(plain) > 1:
            names = " and ".join(member.name for member in plain[:2])
            raise InputError(
                f"{archive}: {names} have one key, {PurePosixPath(key).name!r} (a key ends at the "
                "first dot); keep one of them, or name them without dots"
            )
        chosen += plain
    if left_out := len(images) - len(chosen):
        logger.info(f"{archive}: {left_out} images beside a photograph of their key are left out")
    return chosen


def _member_photo(archive: Path, member: tarfile.TarInfo, classes: dict[str, str]) -> Photo:
    name = PurePosixPath(member.name)
    return Photo(
        archive,
        name=f"{archive.name}/{name}",
        category=classes.get(_key(name)) or _first_folder(name),
        upright=True,
        member=member.name,
        offset=member.offset_data,
        size=member.size,
        problem=_problem(member),
    )


def _problem(member: tarfile.TarInfo) -> str:
    if not member.isreg() or member.issparse():
        return "is a link or another special file; put the image itself into the archive"
    if member.name.startswith("/") or ".." in PurePosixPath(member.name).parts:
        return "has a name that leads out of its archive; name it relative to the archive"
    if member.size > LARGEST_MEMBER:
        return f"is larger than {LARGEST_MEMBER >> 20} MiB; make it smaller"
    return ""


def _hidden(member: tarfile.TarInfo) -> bool:
    return is_hidden(PurePosixPath(*(p for p in PurePosixPath(member.name).parts if p != "..")))


def _key(name: PurePosixPath) -> str:
    """What the parts of one WebDataset sample have in common: all before the first dot."""
    return f"{name.parent}/{name.name.partition('.')[0]}"


def _class_name(tar: tarfile.TarFile, member: tarfile.TarInfo) -> str:
    file = tar.extractfile(member)
    content = file.read(_LARGEST_CLASS_NAME) if file else b""
    return content.decode("utf-8", "replace").strip()
