"""The label images whose objects shape random regions: found, not decoded."""

from pathlib import Path

from cebench.data.photos import voc_year
from cebench.data.voc.devkit import VocYear, devkit_years
from cebench.errors import InputError


def shapes_folder(region_shapes: Path) -> Path:
    """The year folder that --region-shapes means: of a VOCdevkit its VOC2012, otherwise itself."""
    return devkit_years(region_shapes).get(2012, region_shapes)


def find_shapes(shapes: str, region_shapes: Path | None) -> tuple[VocYear, list[Path]]:
    """The year of --region-shapes, and the label images of its segmentation set `shapes`.

    InputError if there is none, or an image of the set has no label image.
    """
    if region_shapes is None:
        raise InputError(
            "mask random-region needs silhouettes: --region-shapes VOCdevkit/VOC2012 "
            "(or --set mask=random-block)"
        )
    voc = voc_year(shapes_folder(region_shapes), "--region-shapes")
    ids = voc.ids(shapes, kind="Segmentation")
    objects = [voc.root / "SegmentationObject" / f"{image_id}.png" for image_id in ids]
    return voc, [
        path if path.is_file() else voc.segmentation_path(image_id)
        for path, image_id in zip(objects, ids, strict=True)
    ]
