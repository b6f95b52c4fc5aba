import itertools
import json
import random
import tomllib
from dataclasses import replace
from pathlib import Path

import pytest

from cebench.suite import calibration, dry_run
from cebench.suite.calibration import Calibration
from cebench.suite.cells import Cell, content_key
from cebench.suite.estimates import Estimates, Forecast, program_of, seconds_by_the_clock
from cebench.suite.folder import SuiteFolder, began_here
from cebench.suite.machine import Shares
from cebench.suite.plan import Plan
from cebench.suite.runner import SuiteRun


def cell(name: str, *needs: str, images: float = 0.0) -> Cell:
    return Cell(
        name=name,
        verb="pretrain",
        key=content_key(name),
        needs=needs,
        request={"method": "autoencoder"},
        row="autoencoder",
        work={"images": images, "bf16": 0.0},
    )


@pytest.fixture(autouse=True)
def _own_cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))


def finish(folder: SuiteFolder, cell: Cell, seconds: float) -> None:
    folder.result(cell).parent.mkdir(parents=True)
    folder.result(cell).write_text("{}")
    ended = replace(began_here(), state="finished", seconds=2 * seconds, processor_seconds=seconds)
    folder.write_ending(cell, ended)


def test_workers_share_the_cells_as_by_hand() -> None:
    # a and b side by side (5 s), then c beside d: 5 + 4; with one worker the sum.
    cells = [cell("a"), cell("b"), cell("c", "a"), cell("d", "a", "b")]
    seconds = {"a": 3.0, "b": 5.0, "c": 1.0, "d": 4.0}
    assert seconds_by_the_clock(cells, seconds, set(), 2) == 9
    assert seconds_by_the_clock(cells, seconds, set(), 1) == 13
    assert seconds_by_the_clock(cells, seconds, {"a", "b"}, 2) == 4
    assert seconds_by_the_clock(cells, seconds, set(seconds), 2) == 0


def test_independent_cells_take_no_longer_than_graham_says() -> None:
    draw = random.Random(0)
    for workers, _ in itertools.product((1, 2, 3), range(20)):
        seconds = {str(n): draw.uniform(1, 9) for n in range(12)}
        taken = seconds_by_the_clock([cell(n) for n in seconds], seconds, set(), workers)
        least = max(sum(seconds.values()) / workers, max(seconds.values()))
        assert least <= taken + 1e-9
        assert taken <= (2 - 1 / workers) * least + 1e-9


def calibrated(factor: float) -> None:
    """Say that this machine is so much slower than the reference in everything."""
    file = Path(calibration.__file__).with_name("rates.toml")
    reference = Calibration.model_validate(tomllib.loads(file.read_text())["reference"])
    found = Calibration(
        machine="here",
        step={count: factor * value for count, value in reference.step.items()},
        half_step={count: factor * value for count, value in reference.half_step.items()},
        decode_seconds=factor * reference.decode_seconds,
    )
    path = calibration.calibration_file()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(found.model_dump_json())


def test_a_slower_machine_takes_longer_and_more_images_too(folder: SuiteFolder) -> None:
    few, many = cell("few", images=100), cell("many", images=1100)
    here = Estimates([few, many], folder, threads=1)
    assert here[many].seconds > here[few].seconds > 0
    calibrated(3.0)
    slower = Estimates([few, many], folder, threads=1)
    for one in (few, many):
        assert slower[one].seconds == pytest.approx(3 * here[one].seconds)
    assert here[few].memory_bytes > 2**28


@pytest.mark.parametrize(
    "changed", [{"step": {}}, {"half_step": {"two": 1.0}}, {"step": {"1": 0.0}}, {"machine": 3}]
)
def test_a_calibration_that_was_edited_into_nonsense_is_none(changed: dict[str, object]) -> None:
    calibrated(3.0)
    path = calibration.calibration_file()
    path.write_text(json.dumps(json.loads(path.read_text()) | changed))
    assert calibration.stored_calibration() is None


def test_on_the_reference_machine_a_cell_takes_its_start_and_its_images(
    folder: SuiteFolder,
) -> None:
    table = tomllib.loads(Path(calibration.__file__).with_name("rates.toml").read_text())
    rate, step = table["programs"]["pretrain autoencoder"], table["reference"]["step"]["1"]
    whole = cell("whole", images=100)
    half = replace(whole, name="half", work={"images": 100.0, "bf16": 1.0})
    found = Estimates([whole, half], folder, threads=1)
    assert found[whole].seconds == pytest.approx(rate["start"] + 100 * rate["image"])
    faster = table["reference"]["half_step"]["1"] / step
    assert found[half].seconds == pytest.approx(rate["start"] + 100 * rate["image"] * faster)


@pytest.mark.parametrize(
    ("task", "hours"),
    [("classification", 0.1), ("detection", 0.5), ("linear-svm", 0.1), ("low-shot-svm", 0.1)],
)
def test_scoring_a_real_test_set_counts(folder: SuiteFolder, task: str, hours: float) -> None:
    """8,072 photographs of VOC2007, which took at least so long beside the training."""
    toy = replace(cell("toy"), verb="transfer", column=task, work={"read": 0.0})
    real = replace(toy, name="real", work={"read": 8072.0})
    found = Estimates([toy, real], folder, threads=1)
    assert found[real].seconds - found[toy].seconds > 3600 * hours


def test_finished_cells_count_before_rates(folder: SuiteFolder) -> None:
    cells = [cell("a", images=10), cell("b", images=10), cell("c", images=10), cell("d", images=20)]
    finish(folder, cells[0], 30.0)
    finish(folder, cells[1], 50.0)
    found = Estimates(cells, folder, threads=1)
    assert found[cells[2]].seconds == 40.0
    assert found[cells[3]].seconds == Estimates(cells[3:], folder, threads=1)[cells[3]].seconds


def test_a_forecast_follows_what_the_cells_really_take(folder: SuiteFolder) -> None:
    cells = [cell(name, images=10) for name in "abcd"]
    estimates = Estimates(cells, folder, threads=1)
    run = SuiteRun(cells, folder, executor=None)  # type: ignore[arg-type]
    each = estimates[cells[0]].seconds
    assert Forecast(estimates, 2)(run) == pytest.approx(2 * each)
    run.finished |= {"a", "b"}
    run.computed += ["a", "b"]
    run.seconds |= {"a": 5 * each, "b": 5 * each}  # On a machine that others use too.
    assert Forecast(estimates, 2)(run) == pytest.approx(5 * each)


def test_a_dry_run_counts_every_cell_and_sums_what_is_open(folder: SuiteFolder) -> None:
    cells = [cell("a", images=10), cell("b", images=10), cell("c", "b", images=10)]
    finish(folder, cells[0], 30.0)
    plan = Plan(title="t", introduction="", cells=cells)
    found = dry_run.dry_run(plan, folder, Shares(2, 1))
    assert found.seconds == 60.0
    assert found.disk_bytes == pytest.approx(2 * found.estimates["b"].disk_bytes)
    assert found.memory_bytes == pytest.approx(2 * found.estimates["b"].memory_bytes)
    text = dry_run.as_text(found)
    assert "3 cells, 1 finished, 2 to compute: about 1:00 with 2 workers of 1 thread," in text
    values = json.loads(json.dumps(dry_run.as_json(found)))
    assert [c["finished"] for c in values["cells"]] == [True, False, False]
    assert program_of(cells[0]) == "pretrain autoencoder"


def test_a_calibration_measures_threads_and_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(calibration, "_LEAST_SECONDS", 0.0)
    monkeypatch.setattr(calibration, "_BATCH", 1)
    found = calibration.calibrate([1])
    assert calibration.stored_calibration() == found
    assert 0 < found.step_seconds(1, half=False) == found.step_seconds(4, half=False)


def test_a_damaged_calibration_counts_as_none() -> None:
    path = calibration.calibration_file()
    path.parent.mkdir(parents=True)
    path.write_text('{"machine": ')
    assert calibration.stored_calibration() is None
