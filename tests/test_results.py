"""The committed tables are made of the committed records and of nothing else."""

from pathlib import Path

import pytest

from cebench.reporting.formats import FORMATS
from cebench.reporting.records import read_records, record_name
from cebench.reporting.tables import build_tables

RESULTS = Path(__file__).parents[1] / "results"


@pytest.mark.parametrize(
    ("file", "format_name"),
    [("tables.md", "markdown"), ("tables.tex", "latex"), ("tables.csv", "csv")],
)
def test_the_tables_are_those_of_the_records(file: str, format_name: str) -> None:
    tables = build_tables(read_records(RESULTS))
    assert FORMATS[format_name](tables) == (RESULTS / file).read_text(encoding="utf-8")


def test_every_record_stands_under_its_address_and_names_its_commit() -> None:
    found = read_records(RESULTS)
    assert found
    for path, record in found:
        assert path.stem == record_name(record)
        assert record.git_commit
