"""What numbers a cell averages, what it refuses, and the tier of a number."""

import statistics
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from samples import DETECTION, changed, found, recipe_of

from cebench.errors import InputError
from cebench.metrics.image_intervals import METHOD
from cebench.reporting.records import DataSource, Interval, Record
from cebench.reporting.tables import build_tables

OF_DETECTION = DETECTION.weights.recipe
WITH_SHAPES = replace(
    OF_DETECTION,
    values={**(OF_DETECTION.values or {}), "region_shapes_sha256": "abc"},
    excluded_from_hash=(*OF_DETECTION.excluded_from_hash, "region_shapes_sha256"),
)
OTHER_DATA = DataSource(name="elsewhere", fingerprint="9" * 64)
TIME = changed(
    task="pretraining",
    column="pretraining_time",
    protocol="pretraining-time",
    metric="pretraining_seconds",
    value=60.0,
    unit="s",
    higher_is_better=False,
    recipe=DETECTION.weights.recipe,
)
BASELINE = changed(
    table="1", row="nn-hog", column="mean_l1", metric="mean_l1", value=0.2, of_weights=False
)


def cell_of(*records: Record) -> dict[str, Any]:
    """The only measured cell of the tables."""
    (table,) = build_tables(found(*records))
    (cell,) = table.cells[table.cells["n"] > 0].to_dict("records")
    return cell


def test_fine_tunings_of_one_pretraining_give_mean_and_sample_deviation() -> None:
    # The mean is 0.43; squared deviations 9e-4 + 1e-4 + 4e-4 over n - 1 = 2: 7e-4, its root 0.0265.
    values = (0.40, 0.44, 0.45)
    cell = cell_of(*(changed(seed=seed, value=value) for seed, value in enumerate(values)))
    assert cell["mean"] == pytest.approx(0.43)
    assert cell["sd"] == cell["sd_within"] == pytest.approx(statistics.stdev(values))
    assert (cell["n"], cell["pretrainings"], cell["fine_tunings"]) == (3, 1, [3])


def test_pretrainings_and_fine_tunings_are_nested() -> None:
    # Means 0.41 and 0.47; MSW = 4 * 0.01^2 / 2 = 2e-4; MSB = 2 * 2 * 0.03^2 = 3.6e-3; between =
    # (3.6e-3 - 2e-4) / 2 = 1.7e-3; a new run: sqrt(1.7e-3 + 2e-4) = 0.0436.
    values = {(0, 0): 0.40, (0, 1): 0.42, (5, 0): 0.46, (5, 1): 0.48}
    cell = cell_of(
        *(
            changed(weights={"seed": pretraining}, seed=seed, value=value)
            for (pretraining, seed), value in values.items()
        )
    )
    assert (cell["pretrainings"], cell["fine_tunings"]) == (2, [2, 2])
    assert cell["mean"] == pytest.approx(0.44)
    assert cell["sd_within"] ** 2 == pytest.approx(2e-4)
    assert cell["sd_between"] ** 2 == pytest.approx(1.7e-3)
    assert cell["sd"] ** 2 == pytest.approx(1.9e-3)


def test_two_pretrainings_at_one_transfer_seed_are_two_numbers() -> None:
    cell = cell_of(DETECTION, changed(weights={"seed": 1}, value=0.5))
    assert (cell["pretrainings"], cell["fine_tunings"]) == (2, [1, 1])
    assert cell["sd"] == pytest.approx(statistics.stdev([0.44, 0.5]))


@pytest.mark.parametrize(
    ("field", "weights"),
    [
        ("method: context and autoencoder", {"method": "autoencoder"}),
        (r"pretraining recipe: .*context-short\) and .*mine\)", {"recipe": recipe_of("mine")}),
        ("pretraining data: .*unlabeled.* and .*elsewhere", {"data": OTHER_DATA}),
        ("shapes of the holes: none and abc", {"recipe": WITH_SHAPES}),
    ],
)
def test_different_pretrainings_are_never_averaged(field: str, weights: dict[str, Any]) -> None:
    other = changed(weights={"seed": 1, **weights})
    with pytest.raises(
        InputError, match=rf"run0/.*run1/.*row context.*mixes two values of {field}"
    ):
        build_tables(found(DETECTION, other))


def test_all_differing_fields_are_named() -> None:
    other = changed(weights={"seed": 1, "recipe": recipe_of("mine"), "data": OTHER_DATA})
    with pytest.raises(InputError, match=r"pretraining recipe: .*; pretraining data: "):
        build_tables(found(DETECTION, other))


def test_one_recipe_by_two_names_is_one_recipe() -> None:
    same = replace(DETECTION.weights.recipe, name="a file of my own")
    assert cell_of(DETECTION, changed(weights={"seed": 1, "recipe": same}))["n"] == 2


def test_another_architecture_stands_in_its_own_line_without_a_published_number() -> None:
    resnet = changed(row="imagenet", weights={"architecture": "torchvision/resnet50"})
    (table,) = build_tables(found(changed(row="imagenet"), resnet))
    cells = {c["row"]: c for c in table.cells[table.cells["n"] > 0].to_dict("records")}
    assert set(cells) == {"imagenet", "imagenet (torchvision/resnet50)"}
    assert cells["imagenet"]["published"] == 0.568
    assert cells["imagenet (torchvision/resnet50)"]["published"] != 0.568  # NaN


@pytest.mark.parametrize("row", ["context", "random"])
@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("protocol: voc2007-detection version 1 and other", {"protocol": "other"}),
        ("protocol: .*version 2", {"protocol_version": 2}),
        ("data: .*VOC2007.*elsewhere", {"data": OTHER_DATA}),
        ("recipe: .*\\(r\\)", {"recipe": recipe_of("r", steps=801, train_conv1=True)}),
        ("unit: fraction and x", {"metric": "mean_ap_area", "unit": "x"}),
    ],
)
def test_a_column_is_measured_in_one_way(row: str, field: str, change: dict[str, Any]) -> None:
    usual = changed(metric=change.get("metric", "mean_ap_voc07_11pt"))
    other = changed(row=row, seed=1, **change)
    with pytest.raises(InputError, match=rf"run0/.*run1/.*mixes two values of {field}"):
        build_tables(found(usual, other))


def test_an_option_may_differ_between_rows_but_not_within_a_cell() -> None:
    frozen = recipe_of("detection-short+train_conv1=false", steps=800, train_conv1=False)
    assert len(build_tables(found(DETECTION, changed(row="imagenet", recipe=frozen)))) == 1
    with pytest.raises(InputError, match=r"row context.*mixes two values of recipe"):
        build_tables(found(DETECTION, changed(seed=1, recipe=frozen)))


def test_columns_may_differ_in_protocol_data_and_recipe() -> None:
    other = changed(
        column="segmentation",
        metric="mean_iou",
        protocol="voc-fcn",
        data=OTHER_DATA,
        recipe=recipe_of("segmentation-short"),
    )
    assert len(build_tables(found(DETECTION, other))) == 1


def test_times_of_two_machines_are_not_averaged() -> None:
    card = [changed(TIME, weights={"seed": n}, seed=n, device="a card") for n in (1, 2)]
    cell = cell_of(TIME, changed(card[0], value=6.0), changed(card[1], value=8.0))
    assert (cell["mean"], cell["n"]) == (7.0, 2)
    for single in ((TIME, changed(card[0], value=6.0)), (changed(card[0], value=6.0), TIME)):
        assert cell_of(*single)["mean"] == 6.0  # Of one run each, the faster machine's.


def test_an_identical_copy_counts_once() -> None:
    copy = changed(started="2026-02-02T00:00:00Z", seconds=9.0)
    assert cell_of(DETECTION, copy, DETECTION)["n"] == 1


@pytest.mark.parametrize(
    ("field", "change"),
    [
        ("value", {"value": 0.5}),
        ("count", {"count": 99}),
        ("interval", {"interval": Interval(low=0, high=1, level=0.95, method="m")}),
    ],
)
def test_conflicting_copies_are_refused(field: str, change: dict[str, Any]) -> None:
    with pytest.raises(
        InputError, match=rf"run0.*run1.*pretraining seed 0, fine-tuning seed 0 differ in {field};"
    ):
        build_tables(found(DETECTION, changed(**change)))


@pytest.mark.parametrize("seed", [0, 1])
def test_one_pretraining_seed_has_one_set_of_weights(seed: int) -> None:
    other = changed(seed=seed, weights={"sha256": "d" * 64, "name": "again/weights"})
    expected = r"pretraining seed 0 mixes two values of weights: bb.*s0/weights\) and dd.*again"
    with pytest.raises(InputError, match=rf"run0.*run1.*{expected}"):
        build_tables(found(DETECTION, other))


@pytest.mark.parametrize(("seed", "shown"), [(1, "0 and 1"), (None, "0 and unknown")])
def test_one_set_of_weights_is_one_pretraining(seed: int | None, shown: str) -> None:
    once_more = changed(weights={"seed": seed, "sha256": DETECTION.weights.sha256}, seed=1)
    with pytest.raises(
        InputError, match=f"one content mixes two values of pretraining seed: {shown}"
    ):
        cell_of(DETECTION, once_more)


def test_a_baseline_and_a_row_of_weights_are_never_averaged() -> None:
    with pytest.raises(InputError, match="mixes two values of method: context and none"):
        build_tables(found(DETECTION, changed(seed=1, of_weights=False)))


def test_imported_weights_without_a_seed_are_known_by_their_hash() -> None:
    weights = {"seed": None, "tier": "imported"}
    cell = cell_of(changed(weights=weights), changed(weights=weights, seed=1))
    assert (cell["pretrainings"], cell["fine_tunings"], cell["tier"]) == (1, [2], "short")


def test_a_baseline_knows_no_weights() -> None:
    """Its number in the runs of two networks is one number, and its seeds are runs alike."""
    other = changed(BASELINE, weights={"seed": 1, "method": "random"}, row="nn-hog")
    again = changed(BASELINE, seed=1, value=0.3)
    cell = cell_of(BASELINE, other, again)
    assert (cell["n"], cell["pretrainings"], cell["fine_tunings"]) == (2, 0, [])
    assert cell["sd"] == pytest.approx(statistics.stdev([0.2, 0.3]))
    with pytest.raises(InputError, match="two records of seed 0 differ in value"):
        build_tables(found(BASELINE, changed(other, value=0.3)))


@pytest.mark.parametrize(
    ("pretraining", "transfer", "tier"),
    [
        ("paper", "paper", "paper"),
        ("paper", "short", "short"),
        ("short", "paper", "short"),
        ("custom", "paper", "custom"),
        ("paper", "custom", "custom"),
        ("smoke", "custom", "smoke"),
        ("imported", "paper", "paper"),
    ],
)
def test_a_number_has_the_lowest_tier_of_its_parts(
    pretraining: str, transfer: str, tier: str
) -> None:
    assert cell_of(changed(weights={"tier": pretraining}, tier=transfer))["tier"] == tier


def test_shipped_tiers_of_transfer_never_mix_in_a_table() -> None:
    other = changed(column="segmentation", metric="mean_iou", tier="smoke")
    with pytest.raises(InputError, match="table 2 mixes two values of tier: short and smoke"):
        build_tables(found(DETECTION, other))
    assert build_tables(found(DETECTION, changed(other, tier="custom")))


def test_times_of_another_tier_are_no_mistake() -> None:
    other = changed(TIME, weights={"seed": 1}, seed=1, tier="smoke", value=80.0)
    cell = cell_of(TIME, other)
    assert (cell["n"], cell["pretrainings"], cell["fine_tunings"]) == (2, 2, [])
    assert cell["mean"] == 70
    assert len(build_tables(found(DETECTION, TIME))) == 1


def test_a_time_is_that_of_one_pretraining_recipe() -> None:
    other = changed(TIME, weights={"seed": 1, "recipe": recipe_of("mine")}, seed=1)
    with pytest.raises(InputError, match=r"row context.*mixes two values of pretraining recipe"):
        build_tables(found(TIME, other))


def test_the_time_is_that_of_the_weights_that_were_transferred() -> None:
    """Weights pretrained for inpainting alone leave no time in Table 2."""
    other = changed(TIME, weights={"sha256": "f" * 64, "recipe": recipe_of("mine")}, value=9.0)
    (table,) = build_tables(found(DETECTION, TIME, other))
    times = table.cells[(table.cells["column"] == "pretraining_time") & (table.cells["n"] > 0)]
    assert times["mean"].tolist() == [60.0]
    assert cell_of(other)["mean"] == 9


def test_two_metrics_in_a_cell_are_refused() -> None:
    other = changed(seed=1, metric="mean_ap_area")
    with pytest.raises(InputError, match=r"mixes two values of metric: 'mean_ap_voc07_11pt'"):
        build_tables(found(DETECTION, other))


def test_headline_in_another_unit_is_refused() -> None:
    with pytest.raises(InputError, match=r"run0/record.json: unit .*'db', expected 'fraction'"):
        build_tables(found(changed(unit="db")))


@pytest.mark.parametrize("change", [{"table": "3"}, {"column": "psnr"}])
def test_unknown_table_or_column_is_refused(change: dict[str, Any]) -> None:
    with pytest.raises(InputError, match=r"run0/record.json: table .* has no column"):
        build_tables(found(changed(**change)))


def test_intervals_are_averaged_only_if_all_are_of_one_kind() -> None:
    def with_interval(seed: int, low: float, **change: Any) -> Record:
        values = {"low": low, "high": low + 0.2, "level": 0.95, "method": METHOD, **change}
        return changed(seed=seed, interval=Interval(**values))

    cell = cell_of(with_interval(0, 0.3), with_interval(1, 0.4))
    assert (cell["interval_low"], cell["interval_high"]) == pytest.approx((0.35, 0.55))
    assert (cell["interval_level"], cell["interval_method"]) == (0.95, METHOD)
    for other in (
        with_interval(1, 0.4, level=0.9),
        with_interval(1, 0.4, method="m"),
        changed(seed=1),
    ):
        assert cell_of(with_interval(0, 0.3), other)["interval_low"] != 0.3  # NA


def test_an_interval_lies_about_the_mean_however_often_each_pretraining_was_fine_tuned() -> None:
    """Fine-tuned three times at 0.50 and once at 0.40: the mean is 0.45, not 0.475."""
    cell = cell_of(
        *(
            changed(
                weights={"seed": pretraining},
                seed=seed,
                value=value,
                interval=Interval(low=value - 0.01, high=value + 0.02, level=0.95, method=METHOD),
            )
            for pretraining, seed, value in [(0, 0, 0.5), (0, 1, 0.5), (0, 2, 0.5), (1, 0, 0.4)]
        )
    )
    assert cell["mean"] == pytest.approx(0.45)
    assert (cell["interval_low"], cell["interval_high"]) == pytest.approx((0.44, 0.47))


def test_a_name_that_ends_like_an_interval_is_a_metric() -> None:
    low = changed(metric="mean_ap_voc07_11pt_low", value=0.1)
    (table,) = build_tables(found(DETECTION, low))
    assert table.cells["interval_low"].isna().all()
    assert Path("run0/record.json") in [path for path, _ in table.files]
