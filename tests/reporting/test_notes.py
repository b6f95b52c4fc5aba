"""What stands beneath a table: every sentence is true of the numbers above it."""

from dataclasses import replace
from typing import Any

import pytest
from samples import DETECTION, changed, found, recipe_of

from cebench.metrics.image_intervals import METHOD
from cebench.reporting.notes import TIERS, table_notes
from cebench.reporting.records import Interval, Record
from cebench.reporting.tables import build_tables


def notes_of(*records: Record) -> list[str]:
    (table,) = build_tables(found(*records))
    return table_notes(table)


@pytest.mark.parametrize("tier", ["smoke", "short", "paper"])
def test_one_tier_has_one_sentence(tier: Any) -> None:
    record = changed(tier=tier, weights={"tier": tier})
    assert notes_of(record)[0] == TIERS[tier]
    assert not any(text in "".join(notes_of(record)[1:]) for text in TIERS.values())


def test_only_what_followed_the_published_schedule_is_said_to() -> None:
    paper = changed(tier="paper", weights={"tier": "paper"})
    assert "follow the published recipe" in "".join(notes_of(paper))
    for weights, tier in (("short", "paper"), ("paper", "custom"), ("custom", "paper")):
        text = "".join(notes_of(changed(tier=tier, weights={"tier": weights})))
        assert "follow the published recipe" not in text


def test_tiers_are_told_apart_by_row_and_column() -> None:
    mine = recipe_of("context-short+steps=2")
    custom = changed(weights={"tier": "custom", "recipe": mine})
    tuned = recipe_of("segmentation-short+steps=3")
    other = changed(
        row="random", column="segmentation", metric="mean_iou", tier="custom", recipe=tuned
    )
    notes = notes_of(custom, changed(row="random"), other)
    assert notes[0].startswith("Tier custom (context; random: segmentation): At least one recipe")
    assert notes[0].endswith("These are: context-short+steps=2; segmentation-short+steps=3.")
    assert notes[1].startswith("Tier short (random: detection): This is a short run")


def test_imported_weights_are_named() -> None:
    imported = changed(row="imagenet", weights={"tier": "imported", "seed": None})
    assert "Imported weights, whose pretraining is unknown here: imagenet." in notes_of(imported)


def test_the_row_of_labels_says_whose_labels() -> None:
    data = {"name": "tiny.store", "fingerprint": None}
    labels = changed(row="imagenet", weights={"method": "imagenet", "data": data})
    note = "Supervision: the paper's. Here imagenet learned the classes of tiny.store."
    assert note in notes_of(labels)
    assert not any("Supervision" in text for text in notes_of(DETECTION))
    svms = changed(labels, table="linear", column="conv1", metric="mean_ap_area")
    assert "Here imagenet learned the classes of tiny.store." in notes_of(svms)
    imported = changed(labels, weights={"tier": "imported"})
    assert not any("Supervision" in text for text in notes_of(imported))


def test_an_option_that_differs_between_rows_is_a_footnote() -> None:
    frozen = recipe_of("detection-short+train_conv1=false", steps=800, train_conv1=False)
    notes = notes_of(DETECTION, changed(row="imagenet", recipe=frozen))
    assert "Detection: rows differ in train_conv1: True (context); False (imagenet)." in notes
    assert not any("rows differ" in note for note in notes_of(DETECTION))


def test_notes_say_protocol_data_seeds_and_hardware() -> None:
    text = "\n".join(notes_of(DETECTION, changed(seed=4), changed(weights={"seed": 7})))
    assert "protocol voc2007-detection version 1" in text
    assert "recipe detection-short, data VOC2007 (fingerprint cccccccccccc), 100 images" in text
    assert "pretraining seeds 0, 7, transfer seeds 0, 4" in text
    assert "Hardware: an imaginary CPU, 2 threads; cebench 0.1.0, torch 2.14.1." in text


def test_the_images_are_those_of_the_headline() -> None:
    metric = DETECTION.measurements[0].metric
    other = changed(metric=f"{metric}_on_train", count=77)
    both = replace(DETECTION, measurements=(*DETECTION.measurements, *other.measurements))
    (note,) = [note for note in notes_of(both) if note.startswith("Detection: ")]
    assert "100 images" in note
    assert "77" not in note


def test_times_name_their_machines() -> None:
    time = changed(
        **{"task": "pretraining", "column": "pretraining_time", "metric": "pretraining_seconds"},
        **{"unit": "s", "value": 60.0},
    )
    other = changed(time, row="random", weights={"method": "random"}, device="another CPU")
    (note,) = [note for note in notes_of(time, other) if note.startswith("Pretraining time")]
    machines = "on an imaginary CPU, 2 threads; another CPU, 2 threads"
    assert note.endswith(
        f"{machines} (of a row the machine with most of its pretrainings, or the faster)."
    )


def test_an_interval_says_its_level_and_method() -> None:
    records = [
        changed(
            column="classification",
            metric="mean_ap_sklearn",
            seed=seed,
            interval=Interval(
                low=0.4 + seed / 100,
                high=0.6 + seed / 100,
                level=0.9,
                method=METHOD,
            ),
        )
        for seed in (0, 1)
    ]
    expected = f"Classification, 90 % interval ({METHOD}, mean over runs): context 40.5 to 60.5."
    assert expected in notes_of(*records)


def layers_of(row: str, **bias: str) -> Record:
    """A record of linear SVMs, with the bias that keeps each layer from having an interval."""
    (of_conv1,) = changed(row=row, column="conv1", metric="mean_ap_area").measurements
    reason = "its bias of {} standard errors cannot be taken away reliably"
    measurements = tuple(
        replace(of_conv1, column=layer, no_interval=text and reason.format(text))
        for layer, text in bias.items()
    )
    return changed(
        table="linear", task="linear-svm", weights={"method": row}, measurements=measurements
    )


def test_reasons_that_differ_in_quantities_alone_are_one() -> None:
    rows = layers_of("context", conv1="0.9", conv2="1.0"), layers_of("random", conv1="0.7")
    reason = "no interval (its bias of {} standard errors cannot be taken away reliably)"
    assert [note for note in notes_of(*rows) if "no interval" in note] == [
        f"conv1: {reason.format('0.7 to 1.0')}: context; random.",
        f"conv2: {reason.format('0.7 to 1.0')}: context.",
    ]
    other = changed(column="conv2", metric="mean_ap_area", no_interval="7 images; too few")
    notes = notes_of(rows[1], replace(rows[0], measurements=other.measurements))
    assert "conv2: no interval (7 images; too few): context." in notes
    assert f"conv1: {reason.format('0.7')}: random." in notes


def test_counts_are_not_run_together() -> None:
    few = "24 images; intervals are known to hold from {} images"
    records = [
        changed(column=column, metric=metric, no_interval=few.format(least))
        for column, metric, least in (
            ("classification", "mean_ap_sklearn", 100),
            ("segmentation", "mean_iou", 700),
        )
    ]
    notes = notes_of(*records)
    assert f"Classification: no interval ({few.format(100)}): context." in notes
    assert f"Segmentation: no interval ({few.format(700)}): context." in notes


def test_columns_alike_share_their_notes() -> None:
    notes = notes_of(layers_of("context", conv1="0.9", conv2="1.0"))
    (origin,) = [note for note in notes if "protocol" in note]
    assert origin.startswith("conv1, conv2: mean_ap_area, protocol")
    (without,) = [note for note in notes if "no interval" in note]
    assert without.startswith("conv1, conv2: no interval (its bias of 0.9 to 1.0 standard")
    assert without.endswith(": context.")


def test_no_interval_no_note() -> None:
    assert not any("interval" in note for note in notes_of(DETECTION))
