"""Writes toy pictures in the file layouts of PASCAL VOC, SBD, DAVIS and KITTI odometry."""

import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageFilter
from scipy.io import savemat
from scipy.sparse import csc_matrix

from cebench.data.voc.devkit import VOC_CLASSES, VOID_LABEL
from cebench.data.voc.palette import voc_palette
from cebench.toy.clips import ToyClip
from cebench.toy.drives import Drive
from cebench.toy.scenes import ToyImage, ToyObject

Labels = npt.NDArray[np.uint8]
_MAT_HEADER = b"MATLAB 5.0 MAT-file, toy world of cebench".ljust(116)


def write_jpeg(path: Path, pixels: npt.NDArray[np.uint8]) -> None:
    """Writes (H, W, 3) RGB at fixed settings, so that the same pixels give the same bytes."""
    Image.fromarray(pixels).save(path, "JPEG", quality=92, subsampling=0)


def write_voc_image(year: Path, name: str, image: ToyImage) -> None:
    """Writes picture, annotation and both label masks of image `name` into a VOC<year> folder."""
    write_jpeg(_made(year / "JPEGImages") / f"{name}.jpg", image.pixels)
    (_made(year / "Annotations") / f"{name}.xml").write_text(_annotation(year.name, name, image))
    border = void_border(image.instances)
    for folder, labels in (
        ("SegmentationClass", class_labels(image)),
        ("SegmentationObject", image.instances),
    ):
        mask = Image.fromarray(np.where(border, np.uint8(VOID_LABEL), labels))
        mask.putpalette(voc_palette().tobytes())
        mask.save(_made(year / folder) / f"{name}.png")


def write_voc_lists(
    year: Path, splits: Mapping[str, Sequence[str]], objects: Mapping[str, Sequence[ToyObject]]
) -> None:
    """Writes ImageSets/Main, with a list for each class, and ImageSets/Segmentation.

    A class list says 1 where the class shows, 0 where it does in `difficult` objects only, else -1.
    """
    main, segmentation = (_made(year / "ImageSets" / kind) for kind in ("Main", "Segmentation"))
    for split, names in splits.items():
        for folder in (main, segmentation):
            (folder / f"{split}.txt").write_text("".join(f"{name}\n" for name in names))
        for label in VOC_CLASSES:
            lines = [f"{name} {_presence(objects[name], label):2d}\n" for name in names]
            (main / f"{label}_{split}.txt").write_text("".join(lines))


def write_sbd_image(dataset: Path, name: str, image: ToyImage) -> None:
    """Writes img/, cls/ and inst/ of image `name`; SBD has no void border."""
    write_jpeg(_made(dataset / "img") / f"{name}.jpg", image.pixels)
    by_class = class_labels(image)
    present = np.unique(by_class[by_class > 0])
    whole = {
        "Boundaries": _boundaries(by_class, range(1, len(VOC_CLASSES) + 1)),
        "Segmentation": by_class,
        "CategoriesPresent": present[:, None],
    }
    each = {
        "Boundaries": _boundaries(image.instances, range(1, len(image.objects) + 1)),
        "Segmentation": image.instances,
        "Categories": np.array([[_number(item)] for item in image.objects], dtype=np.uint8),
    }
    _write_mat(_made(dataset / "cls") / f"{name}.mat", {"GTcls": whole})
    _write_mat(_made(dataset / "inst") / f"{name}.mat", {"GTinst": each})


def write_davis_clip(root: Path, name: str, clip: ToyClip) -> None:
    """Writes JPEGImages/480p/NAME/00000.jpg ... and Annotations/480p/NAME/00000.png ..."""
    frames, masks = (_made(root / kind / "480p" / name) for kind in ("JPEGImages", "Annotations"))
    for number, (pixels, mask) in enumerate(zip(clip.frames, clip.masks, strict=True)):
        write_jpeg(frames / f"{number:05d}.jpg", pixels)
        picture = Image.fromarray(mask)
        picture.putpalette(voc_palette().tobytes())
        picture.save(masks / f"{number:05d}.png")


def write_kitti_sequence(root: Path, name: str, drive: Drive) -> None:
    """Writes sequences/NAME/image_2/000000.png ..., image_3 beside it, and poses/NAME.txt."""
    for camera, frames in (("image_2", drive.left), ("image_3", drive.right)):
        folder = _made(root / "sequences" / name / camera)
        for number, pixels in enumerate(frames):
            Image.fromarray(pixels).save(folder / f"{number:06d}.png", compress_level=1)
    lines = (" ".join(f"{value:.9e}" for value in pose.ravel()) for pose in drive.poses)
    (_made(root / "poses") / f"{name}.txt").write_text("".join(f"{line}\n" for line in lines))


def class_labels(image: ToyImage) -> Labels:
    """(H, W) class of each pixel: 0 background, 1..20 in the order of VOC_CLASSES."""
    table = np.array([0, *(_number(item) for item in image.objects)], dtype=np.uint8)
    return np.asarray(table[image.instances], dtype=np.uint8)


def void_border(instances: Labels) -> npt.NDArray[np.bool_]:
    """Pixels to ignore: background within 2 px of a thing, things within 1 px of a nearer one."""
    picture = Image.fromarray(instances)
    within_1, within_2 = (
        np.asarray(picture.filter(ImageFilter.MaxFilter(size))) for size in (3, 5)
    )
    return np.asarray(
        ((instances == 0) & (within_2 > 0)) | ((instances > 0) & (within_1 > instances))
    )


def _made(folder: Path) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    return folder


def _number(item: ToyObject) -> int:
    return VOC_CLASSES.index(item.name) + 1


def _presence(objects: Sequence[ToyObject], label: str) -> int:
    difficult = [item.difficult for item in objects if item.name == label]
    return -1 if not difficult else int(not all(difficult))


def _annotation(folder: str, name: str, image: ToyImage) -> str:
    height, width, _ = image.pixels.shape
    objects = "".join(_object_element(item) for item in image.objects)
    return f"""<annotation>
	<folder>{folder}</folder>
	<filename>{name}.jpg</filename>
	<source>
		<database>cebench toy world</database>
		<annotation>cebench toy world</annotation>
		<image>drawn</image>
	</source>
	<size>
		<width>{width}</width>
		<height>{height}</height>
		<depth>3</depth>
	</size>
	<segmented>1</segmented>
{objects}</annotation>
"""


def _object_element(item: ToyObject) -> str:
    """An <object>; its box becomes 1-based and inclusive, which `VocYear.annotation` undoes."""
    x0, y0, x1, y1 = item.box
    return f"""	<object>
		<name>{item.name}</name>
		<pose>Unspecified</pose>
		<truncated>{item.truncated:d}</truncated>
		<occluded>{item.occluded:d}</occluded>
		<difficult>{item.difficult:d}</difficult>
		<bndbox>
			<xmin>{x0 + 1}</xmin>
			<ymin>{y0 + 1}</ymin>
			<xmax>{x1}</xmax>
			<ymax>{y1}</ymax>
		</bndbox>
	</object>
"""


def _boundaries(labels: Labels, numbers: range) -> npt.NDArray[np.object_]:
    """A cell (len(numbers), 1) of sparse masks: the outermost pixels of each label's region."""
    cell = np.empty((len(numbers), 1), dtype=object)
    framed = np.pad(labels, 1, mode="edge")
    here = framed[1:-1, 1:-1]
    neighbours = (framed[:-2, 1:-1], framed[2:, 1:-1], framed[1:-1, :-2], framed[1:-1, 2:])
    edge = np.logical_or.reduce([neighbour != here for neighbour in neighbours])
    for row, number in enumerate(numbers):
        cell[row, 0] = csc_matrix(edge & (labels == number))
    return cell


def _write_mat(path: Path, content: Mapping[str, object]) -> None:
    """A .mat file without the time stamp that scipy puts into its header."""
    buffer = io.BytesIO()
    savemat(buffer, content, do_compression=True)  # type: ignore[arg-type]  # any binary file
    path.write_bytes(_MAT_HEADER + buffer.getvalue()[len(_MAT_HEADER) :])
