"""Image sets of segmentation that no list file holds: a VOC val set without SBD's train set."""

import logging
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from pathlib import Path

from cebench.data.voc.devkit import VocYear
from cebench.data.voc.sbd import Sbd
from cebench.errors import InputError

SBD_FOLDER = "benchmark_RELEASE"

SEG11VALID_YEARS = {"2007": 321, "2008": 104, "2009": 132, "2010": 101, "2011": 78}
"""Images of seg11valid by the year in their id, 736 in all (shelhamer/fcn.berkeleyvision.org)."""

logger = logging.getLogger("cebench")


def segmentation_ids(voc: VocYear, image_set: str, data: Path) -> list[str]:
    """The ids of a segmentation set, in the order of its list.

    Two names need no file of their own in ImageSets/Segmentation: `seg11valid` is VOC2011's val
    without SBD's train, whose 736 images lie in VOC2012 too; `val_without_sbd` is the val of `voc`
    without SBD's train.

    Args:
        voc: the year whose images are meant.
        image_set: name of a set or path of a list file.
        data: the folder that was given for `voc`, in or beside which SBD lies.

    Raises:
        InputError: a list is absent or damaged, or seg11valid comes out with other
            images than its own.
    """
    origins = {"seg11valid": 2011, "val_without_sbd": voc.year}
    stored = voc.root / "ImageSets" / "Segmentation" / f"{image_set}.txt"
    if image_set not in origins:
        return voc.ids(image_set, "Segmentation")
    if image_set == "seg11valid" and voc.year < 2011:
        raise InputError(f"seg11valid is a set of VOC2011 and VOC2012, not of VOC{voc.year}")
    if stored.is_file():
        ids = voc.ids(image_set, "Segmentation")
    else:
        ids = _val_without_sbd(voc, image_set, origins[image_set], data, stored)
    if image_set == "seg11valid":
        _check_seg11valid(ids)
    return ids


def _val_without_sbd(
    voc: VocYear, image_set: str, year: int, data: Path, stored: Path
) -> list[str]:
    try:
        validation = VocYear(voc.root.parent, year).ids("val", "Segmentation")
        learned = find_sbd(data, voc).ids("train")
    except InputError as error:
        raise InputError(
            f"{image_set} is VOC{year} val without SBD train and needs both lists "
            f"({error}); bring them, or the list itself as {stored}"
        ) from error
    return without(validation, voc.year, learned, 2012)


def without(ids: Sequence[str], year: int, others: Iterable[str], others_year: int) -> list[str]:
    """The `ids` of `year` whose photograph is none of the `others` of their year."""
    known = {photo_name(image_id, others_year) for image_id in others}
    return [image_id for image_id in ids if photo_name(image_id, year) not in known]


def photo_name(image_id: str, year: int) -> str:
    """The id as VOC2008 and later write it: VOC2007's 000032 is 2007_000032 there and in SBD."""
    return f"{year}_{image_id}" if re.fullmatch(r"\d{6}", image_id) else image_id


def find_sbd(data: Path, voc: VocYear) -> Sbd:
    """The Semantic Boundaries Dataset in or beside the VOCdevkit; InputError if it is not there."""
    year = voc.root.absolute()
    places = dict.fromkeys(place / SBD_FOLDER for place in (data.absolute(), *year.parents[:2]))
    for place in places:
        if place.is_dir():
            return Sbd(place)
    raise InputError(
        f"no folder {SBD_FOLDER} of the Semantic Boundaries Dataset in or beside the VOCdevkit; "
        f"looked at {', '.join(map(str, places))}"
    )


def _check_seg11valid(ids: Sequence[str]) -> None:
    """A part of the set, from lists of a part of the data, is said; anything more is refused."""
    years = Counter(image_id[:4] for image_id in ids)
    if years == Counter(SEG11VALID_YEARS):
        return
    found = f"seg11valid has {len(ids)} images, by year {dict(sorted(years.items()))}"
    expected = f"expected 736, {SEG11VALID_YEARS}"
    if not years <= Counter(SEG11VALID_YEARS):
        lists = "VOC2011's val.txt and SBD's train.txt"
        raise InputError(f"{found}; {expected}; fetch {lists} again")
    logger.warning(f"{found}: a part of it; {expected}")
