"""Boxes and titles of the detection sheet: right and wrong told apart, no title over another."""

from itertools import combinations

import numpy as np
import pytest

from cebench.metrics.detection import FALSE_POSITIVE, NOT_COUNTED, TRUE_POSITIVE
from cebench.transfer.detection.pictures import COLOURS, SHOWN_SIDE, free_place, plot_boxes

RED, GREEN = COLOURS[FALSE_POSITIVE], COLOURS[TRUE_POSITIVE]


def test_right_wrong_and_uncounted_boxes_have_three_colours() -> None:
    assert len({COLOURS[TRUE_POSITIVE], RED, COLOURS[NOT_COUNTED]}) == 3


def test_boxes_have_their_colours_at_their_edges() -> None:
    pixels = np.full((500, 500, 3), 255, np.uint8)
    boxes = np.array([(100, 100, 200, 200), (300, 300, 400, 450)])
    drawn = plot_boxes(pixels, boxes, [GREEN, RED], ["dog 0.90", "cat 0.50"])
    assert drawn.shape == pixels.shape
    assert tuple(drawn[150, 100]) == tuple(drawn[199, 150]) == GREEN
    assert tuple(drawn[449, 350]) == tuple(drawn[400, 399]) == RED
    assert tuple(drawn[150, 150]) == tuple(drawn[250, 250]) == (255, 255, 255)


def test_a_small_image_is_enlarged_with_its_boxes() -> None:
    pixels = np.full((50, 100, 3), 255, np.uint8)
    drawn = plot_boxes(pixels, np.array([(20, 10, 60, 40)]), [GREEN], ["dog"])
    assert drawn.shape == (SHOWN_SIDE // 2, SHOWN_SIDE, 3)
    # Five times as large: the left edge at 100, the bottom at 200.
    assert tuple(drawn[150, 100]) == tuple(drawn[199, 200]) == GREEN


def test_titles_of_boxes_at_one_place_lie_below_each_other() -> None:
    taken: list[tuple[float, float, float, float]] = []
    for _ in range(5):
        taken.append(free_place((10, 10, 60, 28), taken, (200, 200)))
    assert taken[0] == (10, 10, 60, 28)
    for one, other in combinations(taken, 2):
        assert one[3] < other[1] or other[3] < one[1]
    assert all(place[1] >= 0 and place[3] < 200 for place in taken)


@pytest.mark.parametrize("wanted", [(190, -5, 240, 13), (-30, 195, 20, 213)])
def test_titles_stay_inside_the_image(wanted: tuple[float, float, float, float]) -> None:
    x0, y0, x1, y1 = free_place(wanted, [], (200, 200))
    assert x0 >= 0
    assert y0 >= 0
    assert x1 < 200
    assert y1 < 200


def test_a_full_picture_keeps_its_titles() -> None:
    full = [(0.0, 0.0, 200.0, 200.0)]
    assert free_place((10, 10, 60, 28), full, (200, 200)) == (10, 10, 60, 28)
