"""Letters, pairs and a baseline from stored outcomes, and what is said where there are none."""

import csv
import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from calls import call
from click.testing import Result
from outcome_makers import label_scores, sums_per_image
from samples import changed
from stored_runs import classification_run, detection_run, store_run, three_rows

from cebench.commands.report import report
from cebench.errors import InputError
from cebench.reporting.outcome_parts import FillErrors, LabelScores
from cebench.reporting.outcomes import FILE_NAME, OutcomePart, RunOutcome
from cebench.reporting.records import load_record, write_record
from cebench.reporting.results import read_results
from cebench.reporting.tables import build_tables
from cebench.reporting.verdicts import column_runs, with_letters


def run_report(*arguments: str | Path) -> Result:
    return call(report, *arguments)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    return three_rows(tmp_path / "runs")


def test_rows_that_cannot_be_told_apart_share_a_letter(rows: Path) -> None:
    (table,) = with_letters(build_tables(read_results([rows])))
    cells = table.cells
    measured = cells[cells["headline"] & (cells["column"] == "classification") & (cells["n"] > 0)]
    letters = dict(zip(measured["row"], measured["letters"], strict=True))
    assert letters == {"context": "a", "autoencoder": "b", "random": "b"}


def test_the_best_of_a_column_of_errors_has_the_least(tmp_path: Path) -> None:
    for row, noise in (("context", 0.2), ("context-gan", 0.05)):
        sums = [one.hole for one in sums_per_image(images=40, noise=noise)]
        outcome = RunOutcome(
            tuple(f"{n:02}" for n in range(40)), (OutcomePart(scored=FillErrors.from_sums(sums)),)
        )
        record = changed(
            row=row, table="1", column="mean_l1", metric="mean_l1", higher_is_better=False, count=40
        )
        store_run(tmp_path / row, record, outcome)
    (table,) = with_letters(build_tables(read_results([tmp_path])))
    found = table.comparisons["mean_l1"]
    assert found.letters == {"context-gan": "a", "context": "b"}


@pytest.mark.slow
def test_letters_stand_in_every_format(rows: Path) -> None:
    markdown = run_report(rows).stdout
    (line,) = [line for line in markdown.splitlines() if line.startswith("| Ours")]
    assert " a, 1x1 |" in line
    assert "Classification by mean_ap_sklearn over images" in markdown
    assert " a, 1x1 &" in run_report(rows, "--format", "latex").stdout
    lines = list(csv.DictReader(io.StringIO(run_report(rows, "--format", "csv").stdout)))
    headlines = [line for line in lines if line["headline"] == "True" and line["letters"]]
    assert [(line["row"], line["letters"]) for line in headlines] == [
        *(("random", "b"), ("autoencoder", "b"), ("context", "a")),
    ]
    (table,) = json.loads(run_report(rows, "--format", "json").stdout)["tables"]
    assert len(table["comparisons"]) == 3
    assert {pair["column"] for pair in table["comparisons"]} == {"classification"}


def test_one_pair(rows: Path) -> None:
    result = json.loads(
        run_report(rows, "--compare", "context", "random", "--format", "json").stdout
    )
    (pair,) = result["comparisons"]
    first, second = (
        load_record(rows / row / "record.json").measurements[0].value
        for row in ("context", "random")
    )
    assert pair["difference"] == pytest.approx(first - second)
    assert pair["low"] < pair["difference"] < pair["high"]
    assert pair["p"] == pair["adjusted_p"] == 0.0005
    assert pair["differs"]
    text = run_report(rows, "--compare", "context", "random").stdout
    assert "context \N{MINUS SIGN} random" in text
    assert "| < 0.001 |" in text
    assert "p is from a permutation test" in text
    assert "Student's t test of" not in text
    for format_name in ("latex", "csv"):
        assert (
            "random"
            in run_report(rows, "--compare", "context", "random", "--format", format_name).stdout
        )


def test_all_rows_against_a_baseline_are_one_family(rows: Path) -> None:
    found = json.loads(run_report(rows, "--baseline", "random", "--format", "json").stdout)
    pairs = {pair["first"]: pair for pair in found["comparisons"]}
    assert set(pairs) == {"context", "autoencoder"}
    assert pairs["context"]["adjusted_p"] == pytest.approx(2 * pairs["context"]["p"])
    assert {pair["second"] for pair in pairs.values()} == {"random"}


@pytest.mark.parametrize(
    ("arguments", "total"),
    [
        # Each of three runs on the bootstrap's draws, and four times in the test of each pair.
        ((), 3 + 4 * 3),
        (("--baseline", "random"), 3 + 4 * 2),
        (("--compare", "context", "random"), 2 + 4),
    ],
)
def test_comparisons_say_on_stderr_how_far_they_are(
    rows: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...], total: int
) -> None:
    monkeypatch.setattr("cebench.progress.SECONDS_BETWEEN_LINES", 0)
    result = run_report(rows, *arguments)
    lines = [line for line in result.stderr.splitlines() if line.startswith("comparing: ")]
    counts = [line.removeprefix("comparing: ").partition(" ")[0] for line in lines]
    bootstraps = range(1, 1 + (2 if "--compare" in arguments else 3))
    tests = range(bootstraps[-1] + 4, total + 1, 4)
    assert counts == [f"{done}/{total}" for done in (*bootstraps, *tests)]
    assert "resamplings" in lines[0]
    assert "comparing" not in result.stdout


def test_several_pretrainings_of_a_column_are_counted_without_tests(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for row in ("context", "random"):
        for p in (0, 1):
            classification_run(tmp_path / f"{row}{p}", row, 1.0, noise=p, weights={"seed": p})
        detection_run(tmp_path / f"d-{row}", row, 3.0)
    monkeypatch.setattr("cebench.progress.SECONDS_BETWEEN_LINES", 0)
    lines = run_report(tmp_path).stderr.splitlines()
    found = [line.split()[1] for line in lines if line.startswith("comparing: ")]
    assert found == [f"{done}/10" for done in (2, 4, 5, 6, 10)]


def test_records_without_outcomes_say_nothing(rows: Path) -> None:
    run_report(rows, "--collect", rows.parent / "records")
    assert run_report(rows.parent / "records").stderr == ""


def test_detection_is_compared_by_area(tmp_path: Path) -> None:
    detection_run(tmp_path / "a", "context", 3.0)
    detection_run(tmp_path / "b", "random", 30.0)
    text = run_report(tmp_path, "--compare", "context", "random").stdout
    assert "Detection by mean_ap_area" in text
    assert "| differ |" in text.replace("differ  ", "differ ")


def test_one_column_alone(tmp_path: Path) -> None:
    for row in ("context", "random"):
        detection_run(tmp_path / f"d-{row}", row, 3.0)
        classification_run(tmp_path / f"c-{row}", row, 1.0)
    both = run_report(tmp_path, "--compare", "context", "random", "--format", "csv").stdout
    assert len(both.splitlines()) == 3
    one = run_report(
        tmp_path, "--compare", "context", "random", "--column", "detection", "--format", "csv"
    ).stdout
    assert len(one.splitlines()) == 2


def test_pretrainings_and_fine_tunings_keep_their_place(tmp_path: Path) -> None:
    for p in (0, 1):
        for seed in (0, 1, 2):
            folder = tmp_path / f"p{p}-s{seed}"
            classification_run(
                folder, "context", 1.0, noise=10 * p + seed, seed=seed, weights={"seed": p}
            )
    (table,) = build_tables(read_results([tmp_path]))
    column = next(c for c in table.layout.columns if c.id == "classification")
    runs = column_runs(table, column).rows["context"]
    assert [len(tuned) for tuned in runs] == [3, 3]


def test_two_pretrainings_of_both_rows_speak_for_the_methods(tmp_path: Path) -> None:
    for row, strength in (("context", 1.5), ("random", 0.2)):
        for p in (0, 1):
            classification_run(tmp_path / f"{row}{p}", row, strength, noise=p, weights={"seed": p})
    text = run_report(tmp_path, "--compare", "context", "random").stdout
    assert "images and pretrainings" in text
    assert "p is Student's t test, as the interval is" in text
    assert "permutation test" not in text


def fill_run(folder: Path, row: str, p: int, of_weights: bool, noise: float) -> None:
    """One row's errors of a run in which pretraining `p` was scored."""
    sums = [one.hole for one in sums_per_image(images=40, noise=noise)]
    part = OutcomePart(scored=FillErrors.from_sums(sums))
    record = changed(
        row=row, table="1", column="mean_l1", metric="mean_l1", higher_is_better=False, count=40
    )
    (measured,) = record.measurements
    record = replace(
        record,
        measurements=(replace(measured, of_weights=of_weights, value=noise, interval=None),),
        weights=replace(record.weights, seed=p, sha256=f"{p:064}"),
        seed=p,
    )
    store_run(folder, record, RunOutcome(tuple(f"{n:02}" for n in range(40)), (part,)))


def test_a_fill_without_a_network_is_one_run_however_often_it_was_computed(tmp_path: Path) -> None:
    for p in (0, 1, 2):
        fill_run(tmp_path / f"telea{p}", "telea", p, False, 0.2)
        fill_run(tmp_path / f"hog{p}", "nn-hog", p, False, 0.3)
        fill_run(tmp_path / f"gan{p}", "context-gan", p, True, 0.05 + p / 100)
    fills = run_report(tmp_path, "--compare", "telea", "nn-hog").stdout
    assert "permutation test" in fills
    assert "images and pretrainings" not in fills
    beside = run_report(tmp_path, "--compare", "context-gan", "telea").stdout
    assert "images and pretrainings" in beside
    assert "permutation test" not in beside
    assert "images and pretrainings" in run_report(tmp_path, "--baseline", "telea").stdout
    (table,) = with_letters(build_tables(read_results([tmp_path])))
    pairs = table.comparisons["mean_l1"].pairs
    varied = {frozenset(rows): pair.varied for rows, pair in pairs.items()}
    assert varied[frozenset({"context-gan", "telea"})] == "images and pretrainings"
    assert varied[frozenset({"nn-hog", "telea"})] == "images"


def test_copies_of_records_beside_the_runs_do_not_hide_them(rows: Path) -> None:
    run_report(rows, "--collect", rows.parent / "records")
    assert "context" in run_report(rows.parent, "--compare", "context", "random").stdout


def test_records_alone_cannot_be_compared(rows: Path) -> None:
    records = rows.parent / "records"
    run_report(rows, "--collect", records)
    with pytest.raises(InputError, match=r"needs the stored predictions \(classification\)"):
        run_report(records, "--compare", "context", "random")
    assert " a, 1x1" not in run_report(records).stdout


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--compare", "context", "contexts"), "no row 'contexts' was measured; choose from"),
        (("--compare", "context", "context"), "expected two different rows"),
        (("--baseline", "imagenet"), "no row 'imagenet' was measured"),
        (("--baseline", "random", "--column", "colour"), "--column colour: no such column"),
        (
            ("--compare", "context", "random", "--column", "pretraining_time"),
            "pretraining_time: no such column; choose from classification,",
        ),
    ],
)
def test_mistakes_are_one_line(rows: Path, arguments: tuple[str, ...], message: str) -> None:
    with pytest.raises(InputError, match=message):
        run_report(rows, *arguments)


def test_column_alone_is_a_mistake(rows: Path) -> None:
    assert run_report(rows, "--column", "classification").exit_code == 2


def test_predictions_of_other_images_are_refused(rows: Path) -> None:
    classification_run(rows / "random", "random", 0.2, images=299)
    with pytest.raises(InputError, match="stored predictions are of other images"):
        run_report(rows, "--compare", "context", "random")


def test_predictions_of_other_ground_truth_are_refused(rows: Path) -> None:
    record = load_record(rows / "random" / "record.json")
    scores, labels = label_scores(images=300)
    part = OutcomePart(scored=LabelScores.from_scores(scores, -labels), column="classification")
    store_run(rows / "random", record, RunOutcome(tuple(f"{n:06}" for n in range(300)), (part,)))
    with pytest.raises(InputError, match="stored predictions are of other ground truth"):
        run_report(rows)


def test_an_exchanged_outcome_is_refused(rows: Path) -> None:
    (rows / "random" / FILE_NAME).write_bytes((rows / "context" / FILE_NAME).read_bytes())
    with pytest.raises(InputError, match="its SHA-256 is not the one in its record"):
        run_report(rows)


def test_a_row_of_which_a_run_has_no_outcome_has_no_letter(rows: Path) -> None:
    classification_run(rows / "again", "context", 1.5, seed=1)
    assert " a, 1x2" in run_report(rows).stdout.split("Ours")[1]
    path = rows / "again" / "record.json"
    write_record(path, replace(load_record(path), outcome_sha256=None))
    text = run_report(rows).stdout.split("Ours")[1]
    assert ", 1x2" in text
    assert " a, 1x2" not in text
