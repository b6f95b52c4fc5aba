"""The committed tables are made of the committed records and of nothing else."""

from pathlib import Path

import pytest

from cebench.reporting.formats import FORMATS
from cebench.reporting.records import read_records, record_name
from cebench.reporting.tables import build_tables

RESULTS = Path(__file__).parents[1] / "results"
PLACES = (RESULTS, RESULTS / "facades")


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize(
    ("file", "format_name"),
    [("tables.md", "markdown"), ("tables.tex", "latex"), ("tables.csv", "csv")],
)
def test_the_tables_are_those_of_the_records(place: Path, file: str, format_name: str) -> None:
    tables = build_tables(read_records(place / "records"))
    assert FORMATS[format_name](tables) == (place / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("place", PLACES)
def test_every_record_stands_under_its_address_and_names_its_commit(place: Path) -> None:
    found = read_records(place / "records")
    assert found
    for path, record in found:
        assert path.stem == record_name(record)
        assert record.git_commit
