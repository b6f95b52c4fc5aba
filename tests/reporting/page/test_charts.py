from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
from samples import changed

from cebench.metrics.average_precision import average_precision_stepwise, class_curve
from cebench.reporting.page.charts import line_chart, step_points, thinned, tick_values
from cebench.reporting.page.curves import MOST_POINTS, learning_curves, steps
from cebench.reporting.page.gallery import chosen_images
from cebench.reporting.page.runs import Run, first_of_each_row


def errors_of(rows: int, images: int) -> dict[str, dict[str, float]]:
    """Image -> row -> error, no two images alike."""
    values = np.random.default_rng(0).random((images, rows)).tolist()
    return {
        f"image{n}": {f"row{r}": value for r, value in enumerate(line)}
        for n, line in enumerate(values)
    }


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0, 1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
        (0, 7, [0, 2, 4, 6]),
        (-0.031, 0.052, [-0.02, 0, 0.02, 0.04]),
        (100, 40_000, [10_000, 20_000, 30_000, 40_000]),
    ],
)
def test_ticks_are_round_numbers_inside(low: float, high: float, expected: list[float]) -> None:
    assert tick_values(low, high) == expected


def test_a_line_runs_from_corner_to_corner() -> None:
    chart = line_chart("loss", ("step", "loss"), {"a": [(0, 1), (10, 0)]}, {"a": 3}, (0, 10, 0, 1))
    (line,) = chart.lines
    assert line.points == "46,8 310,164"
    assert line.style == 3
    assert chart.description == "loss: loss over step of a"


def test_ticks_stand_where_a_line_passes_their_numbers() -> None:
    chart = line_chart("loss", ("step", "loss"), {"a": [(0, 1)]}, {"a": 0}, (0, 10, 0, 1))
    # The axes run from 46 to 310 and, upwards, from 164 to 8.
    across = [(tick.place, tick.text) for tick in chart.x_ticks]
    upwards = [(tick.place, tick.text) for tick in chart.y_ticks]
    assert (across[0], across[1], across[-1]) == ((46, "0"), (98.8, "2"), (310, "10"))
    assert (upwards[0], upwards[1], upwards[-1]) == ((164, "0"), (132.8, "0.2"), (8, "1"))


def test_what_is_not_finite_is_left_out_and_a_constant_has_an_axis() -> None:
    points = [(1.0, 2.0), (2.0, float("nan")), (3.0, float("inf")), (4.0, 2.0)]
    chart = line_chart("x", ("step", "x"), {"a": points}, {"a": 0})
    assert len(chart.lines[0].points.split()) == 2
    assert "nan" not in chart.lines[0].points


def test_thinned_points_are_means_of_neighbours() -> None:
    points = [(float(x), float(x % 2)) for x in range(10)]
    assert thinned(points, 10) == points
    assert thinned(points, 5) == [(0.5, 0.5), (2.5, 0.5), (4.5, 0.5), (6.5, 0.5), (8.5, 0.5)]


def test_step_points_hold_a_value_back_to_the_recall_before() -> None:
    assert step_points([0.5, 1.0], [1.0, 0.6]) == [(0, 1.0), (0.5, 1.0), (0.5, 0.6), (1.0, 0.6)]


def test_the_area_under_the_drawn_steps_is_the_average_precision() -> None:
    generator = np.random.default_rng(0)
    labels = np.where(generator.random(300) < 0.2, 1, -1).astype(np.int8)
    curve = class_curve(generator.normal(size=300) + 0.5 * labels, labels)
    assert curve is not None
    points = steps(*curve)
    assert len(points) <= 2 * MOST_POINTS
    area = sum((x1 - x0) * y1 for (x0, _), (x1, y1) in pairwise(points))
    assert area == pytest.approx(average_precision_stepwise(*curve))


def test_chosen_images_are_the_worst_the_best_and_the_disputed() -> None:
    errors = errors_of(rows=3, images=50)
    mean = {image: np.mean(list(rows.values())) for image, rows in errors.items()}
    spread = {image: np.ptp(list(rows.values())) for image, rows in errors.items()}
    chosen = chosen_images(errors, each=2)
    assert chosen == sorted(chosen, key=lambda image: -mean[image])
    assert {max(mean, key=mean.__getitem__), min(mean, key=mean.__getitem__)} <= set(chosen)
    assert max(spread, key=spread.__getitem__) in chosen
    assert len(chosen) <= 6


def test_few_images_are_all_chosen() -> None:
    assert set(chosen_images(errors_of(rows=2, images=4))) == {f"image{n}" for n in range(4)}


def test_runs_of_other_networks_are_rows_and_lines_of_their_own(tmp_path: Path) -> None:
    """Three `random` that differ in the network, one of them twice."""
    architectures = ("caffenet-trunk", "torchvision/alexnet", "timm/vit", "timm/vit")
    runs = []
    for number, architecture in enumerate(architectures):
        folder = tmp_path / str(number)
        folder.mkdir()
        (folder / "metrics.jsonl").write_text('{"step": 1, "loss": 1.0}\n')
        weights = {"architecture": architecture, "sha256": f"{number}" * 64}
        runs.append(Run(changed(row="random", weights=weights), folder / "record.json"))
    assert [run.row for run in first_of_each_row(runs)] == [
        "random", "random (torchvision/alexnet)", "random (timm/vit)",
    ]  # fmt: skip
    more = [*runs, runs[-1]]
    (group,) = learning_curves(more)
    assert list(group.styles) == [
        "random, pretraining 0, seed 0",
        "random (torchvision/alexnet), pretraining 0, seed 0",
        "random (timm/vit), pretraining 0, seed 0",
        "random (timm/vit), pretraining 0, seed 0, detection-short",
        "random (timm/vit), pretraining 0, seed 0, detection-short (2)",
    ]
