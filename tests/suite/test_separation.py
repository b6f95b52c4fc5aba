import logging
from dataclasses import replace
from pathlib import Path

import pytest

from cebench.errors import InputError
from cebench.suite import separation
from cebench.suite.plan import Plan, SuiteRequest
from cebench.suite.planning import make_plan
from cebench.suite.report import write_tables
from cebench.suite.running import RunOptions
from cebench.suite.separation import run_until_separated

TASK = '[data]\ntoy = { draw = 4 }\n[tasks.knn]\ndata = "{toy}/VOCdevkit"\n'
TEXT = f'title = "t"\npretrainings = 2\n{TASK}[rows.random]\n[rows.random-he]\n'


@pytest.fixture
def asked(tmp_path: Path) -> SuiteRequest:
    (tmp_path / "suite.toml").write_text(TEXT)
    return SuiteRequest(file=str(tmp_path / "suite.toml"), out=tmp_path / "out")


@pytest.mark.parametrize(
    ("most", "pretrainings", "says"),
    [(9, [2, 3, 4], "differ in every column, 4 pretrainings"), (3, [2, 3], "the most that were")],
)
def test_pretrainings_are_added_only_while_the_rows_cannot_be_told_apart(
    asked: SuiteRequest,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    most: int,
    pretrainings: list[int],
    says: str,
) -> None:
    caplog.set_level(logging.INFO, "cebench")
    runs: list[dict[str, int]] = []
    open_columns = iter([["detection", "knn"], ["knn"], []])

    def run(request: SuiteRequest, options: RunOptions) -> str:
        runs.append(dict(request.more))
        return f"{len(runs)} runs"

    monkeypatch.setattr(separation, "run_suite", run)
    monkeypatch.setattr(separation, "open_plan", lambda request: None)
    monkeypatch.setattr(separation, "call_apart", lambda *_: next(open_columns))
    text = run_until_separated(asked, RunOptions(), ("random", "random-he"), most)
    assert runs == [{"random": n, "random-he": n} for n in pretrainings]
    assert text == f"{len(pretrainings)} runs"
    assert says in caplog.text


def test_an_unknown_row_is_refused(asked: SuiteRequest) -> None:
    with pytest.raises(InputError, match="no row 'randm'; did you mean 'random'"):
        run_until_separated(asked, RunOptions(), ("randm", "random-he"), 3)


@pytest.mark.parametrize("option", ['weights = "there"', 'checkpoint = "a.pth"\nas = "x"'])
def test_a_row_that_is_not_pretrained_is_refused_before_anything_is_computed(
    asked: SuiteRequest, monkeypatch: pytest.MonkeyPatch, option: str
) -> None:
    monkeypatch.setattr(separation, "run_suite", lambda *_: pytest.fail("it computes"))
    Path(asked.file).write_text(f"{TEXT}[rows.mine]\n{option}\n")
    with pytest.raises(InputError, match="nothing is pretrained for row 'mine'"):
        run_until_separated(asked, RunOptions(), ("mine", "random"), 3)


def test_rows_without_a_task_in_common_are_refused_before_anything_is_computed(
    asked: SuiteRequest, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(separation, "run_suite", lambda *_: pytest.fail("it computes"))
    Path(asked.file).write_text(f'{TEXT}tasks = ["knn"]\n[rows.autoencoder]\ntasks = []\n')
    with pytest.raises(InputError, match="no task of the suite measures both"):
        run_until_separated(asked, RunOptions(), ("random", "autoencoder"), 3)


def test_more_pretrainings_of_two_rows_leave_the_others_as_they_are(
    asked: SuiteRequest, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    before = {cell.name: cell.key for cell in make_plan(asked).cells}
    more = make_plan(replace(asked, more={"random": 3})).cells
    after = {cell.name: cell.key for cell in more}
    new = ("random-p2", "random-p2-knn-s0")
    assert after == {**before, **{name: after[name] for name in new}}


RESCALED = """
title = "t"
[data]
photos = "photos"
toy = { draw = 4 }
[rows.mine]
method = "random"
[rows.scaled]
rescale = "mine"
on = ["{photos}"]
[rows.random-he]
[tasks.knn]
data = "{toy}/VOCdevkit"
"""


def test_of_a_rescaled_row_its_source_is_pretrained_and_the_line_is_its_methods(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "suite.toml").write_text(RESCALED)
    (tmp_path / "photos").mkdir()
    (tmp_path / "photos" / "a.png").write_bytes(b"1")
    asked = SuiteRequest(file=str(tmp_path / "suite.toml"), out=tmp_path / "out")
    (tmp_path / "out").mkdir()
    runs: list[dict[str, int]] = []
    monkeypatch.setattr(separation, "run_suite", lambda a, _: runs.append(dict(a.more)) or "")
    monkeypatch.setattr(separation, "open_plan", make_plan)
    compared: list[tuple[str, ...]] = []

    def compare(_: object, plan: Plan, out: Path, rows: tuple[str, ...]) -> list[str]:
        compared.append(tuple(separation._line(plan, row) for row in rows))
        return ["knn"]

    monkeypatch.setattr(separation, "call_apart", compare)
    run_until_separated(asked, RunOptions(), ("scaled", "random-he"), 2)
    assert runs == [{"mine": 1, "random-he": 1}, {"mine": 2, "random-he": 2}]
    assert compared == [("random-rescaled", "random-he")] * 2


def test_tables_say_that_seeds_were_added_until_rows_differed(
    asked: SuiteRequest, tmp_path: Path
) -> None:
    (tmp_path / "out").mkdir()
    assert make_plan(replace(asked, more={"random": 2, "random-he": 2})).caution == ""
    plan = make_plan(replace(asked, more={"random": 3, "random-he": 3}))
    assert plan.caution.startswith("Pretrainings of random and random-he were added until")
    (tmp_path / "out" / "cells").mkdir()
    assert f"**{plan.caution}**" in write_tables(plan, asked.out, seed=0)
    assert f"**{plan.caution}**" in (asked.out / "tables.md").read_text()
    assert plan.caution in (asked.out / "index.html").read_text()
