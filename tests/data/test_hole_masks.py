import numpy as np
import pytest
from PIL import Image

from cebench.data.hole_masks import RegionShapes, central_holes, random_block_holes
from cebench.data.voc import VocYear
from cebench.errors import InputError
from cebench.randomness import numpy_generator

SIZE = 64


def disc(side):
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    return x**2 + y**2 <= (side / 2) ** 2


def letter():
    """Asymmetric, so that every rotation and mirror image differs."""
    shape = np.zeros((40, 20), bool)
    shape[:, :6] = shape[34:, :] = shape[5:10, :14] = True
    return shape


REGIONS = RegionShapes([disc(30), letter(), np.ones((3, 60), bool)])
RANDOM_KINDS = {"block": random_block_holes, "region": REGIONS.holes}


def test_central_hole_of_the_released_code_hides_rows_36_to_91_of_128():
    (hole,) = central_holes(1, 128, 56)
    rows, columns = np.nonzero(hole)
    assert (rows.min(), rows.max(), columns.min(), columns.max()) == (36, 91, 36, 91)
    assert np.count_nonzero(hole) == 56 * 56


def test_central_hole_of_the_paris_images_starts_at_64_of_227():
    (hole,) = central_holes(1, 227, 99)
    assert np.flatnonzero(hole.any(0)).tolist() == list(range(64, 163))


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_random_holes_hide_something_and_at_most_a_quarter(kind):
    holes = RANDOM_KINDS[kind](numpy_generator(0, "holes"), 200, SIZE)
    assert holes.shape == (200, SIZE, SIZE)
    assert holes.dtype == np.bool_
    area = holes.mean((1, 2))
    assert area.min() > 0
    assert area.max() <= 0.25
    assert 0.18 < area.mean() <= 0.25


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_random_holes_are_a_function_of_the_generator(kind):
    first, again, other = (
        RANDOM_KINDS[kind](numpy_generator(0, "holes", step), 3, SIZE) for step in (5, 5, 6)
    )
    np.testing.assert_array_equal(first, again)
    assert (first != other).any()
    assert (first[0] != first[1]).any()


@pytest.mark.parametrize("kind", RANDOM_KINDS)
def test_random_holes_reach_every_part_of_the_image(kind):
    share = RANDOM_KINDS[kind](numpy_generator(1, "holes"), 2000, SIZE).mean(0)
    assert share.min() > 0
    assert share[SIZE // 4 : -SIZE // 4, SIZE // 4 : -SIZE // 4].std() < 0.04


def test_regions_are_rotated_so_a_bar_has_no_preferred_direction():
    bars = RegionShapes([np.ones((3, 60), bool)])
    holes = bars.holes(numpy_generator(2, "holes"), 300, SIZE)
    across = (holes[:, :, 1:] != holes[:, :, :-1]).mean()
    down = (holes[:, 1:] != holes[:, :-1]).mean()
    assert across == pytest.approx(down, rel=0.1)


def test_silhouettes_come_from_components_of_each_class(tiny_voc):
    regions = RegionShapes.from_voc(VocYear(tiny_voc, 2007), "train")
    (shape,) = regions.bank  # the dog, 20 x 20, without its void frame
    np.testing.assert_array_equal(shape, np.ones((20, 20)))


def test_silhouettes_come_from_object_masks_where_there_are_any(tiny_voc):
    folder = tiny_voc / "VOC2007" / "SegmentationObject"
    folder.mkdir()
    objects = np.zeros((60, 80), np.uint8)
    objects[:10, :30], objects[10:40, 5:20], objects[50:] = 1, 2, 255
    objects[45, 45] = 3  # too small
    Image.fromarray(objects).save(folder / "000001.png")
    regions = RegionShapes.from_voc(VocYear(tiny_voc, 2007), "train")
    assert [shape.shape for shape in regions.bank] == [(10, 30), (30, 15)]


def test_no_silhouettes_is_a_mistake():
    with pytest.raises(InputError, match="no object silhouettes"):
        RegionShapes([np.zeros((4, 4), bool)])


@pytest.mark.shared_data
def test_real_masks_give_regions_within_the_quarter(shared_data):
    regions = RegionShapes.from_voc(VocYear(shared_data / "VOCdevkit", 2012), "train")
    assert len(regions.bank) > 300
    area = regions.holes(numpy_generator(0, "holes"), 64, 227).mean((1, 2))
    assert area.min() > 0.05
    assert area.max() <= 0.25
