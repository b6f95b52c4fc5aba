import json

from cebench.suite import grid
from cebench.suite.cells import Cell, Verb, content_key
from cebench.suite.folder import CellStatus


def cell(name: str, verb: Verb = "transfer", row: str = "", column: str = "") -> Cell:
    return Cell(name=name, verb=verb, key=content_key(name), row=row, column=column)


STATUSES = [
    CellStatus(cell("toy", "draw"), "finished"),
    CellStatus(cell("a-p0", "pretrain", "a"), "finished"),
    CellStatus(cell("b-p0", "pretrain", "b"), "failed", "it went wrong"),
    CellStatus(cell("a-p0-knn-s0", row="a", column="knn"), "running", seconds=65, host="there"),
    CellStatus(cell("a-p0-knn-s1", row="a", column="knn"), "finished"),
    CellStatus(cell("b-p0-knn-s0", row="b", column="knn"), "blocked", "needs b-p0"),
]


def test_the_grid_counts_rows_and_columns_and_names_what_needs_a_look() -> None:
    assert grid.grid_as_text(STATUSES).splitlines() == [
        "      data  weights     knn",
        "data  1/1   -           -",
        "a     -     1/1         1/2 running",
        "b     -     0/1 failed  0/1 blocked",
        "",
        "failed    b-p0: it went wrong",
        "running   a-p0-knn-s0 for 1:05 on there",
    ]
    assert grid.counts_as_text(STATUSES) == "6 cells: 3 finished, 1 failed, 1 running, 1 blocked"


def test_scripts_get_every_cell() -> None:
    values = json.loads(json.dumps([grid.as_json(status) for status in STATUSES]))
    assert values[2]["problem"] == "it went wrong"
    assert values[2]["column"] == "weights"
    assert values[3]["host"] == "there"
