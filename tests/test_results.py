"""Committed tables are made of the committed records alone, and bundles hold committed records."""

from pathlib import Path

import pytest

from cebench.reporting.bundles import open_bundle
from cebench.reporting.formats import FORMATS
from cebench.reporting.packing import verify_bundle
from cebench.reporting.records import RecordFile, load_record, read_records, record_name
from cebench.reporting.tables import build_tables

RESULTS = Path(__file__).parents[1] / "results"
FACADES = RESULTS / "facades"
PLACES = (RESULTS / "records", RESULTS / "ladder" / "test-set")
"""Of records that bundles hold; the second ones would stand in cells that the first have taken."""


def records_of(place: Path) -> list[RecordFile]:
    if place == FACADES:  # Apart from the others: they would stand in the same cells.
        return [(path, load_record(path)) for path in sorted(place.glob("*.json"))]
    return read_records(place)


@pytest.mark.parametrize("place", [RESULTS, FACADES])
@pytest.mark.parametrize(
    ("file", "format_name"),
    [("tables.md", "markdown"), ("tables.tex", "latex"), ("tables.csv", "csv")],
)
def test_the_tables_are_those_of_the_records(place: Path, file: str, format_name: str) -> None:
    tables = build_tables(records_of(place))
    assert FORMATS[format_name](tables) == (place / file).read_text(encoding="utf-8")


@pytest.mark.parametrize("place", [RESULTS, FACADES])
def test_every_record_stands_under_its_address_and_names_its_commit(place: Path) -> None:
    found = records_of(place)
    assert found
    for path, record in found:
        assert path.stem == record_name(record)
        assert record.git_commit


BUNDLES = sorted((RESULTS / "bundles").glob("*.zip"))


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_a_bundle_holds_committed_records(path: Path) -> None:
    bundle = open_bundle(path)
    bundle.check_digest()
    for stem in bundle.records:
        (committed,) = (p / f"{stem}.json" for p in PLACES if (p / f"{stem}.json").exists())
        assert bundle.record(stem) == load_record(committed)


@pytest.mark.parametrize("path", BUNDLES, ids=lambda path: path.stem)
def test_the_numbers_of_a_bundle_are_scored_again(path: Path) -> None:
    found = verify_bundle(path, intervals=False)
    assert found.problems == found.without_outcome == []
    assert found.numbers >= 3 * len(open_bundle(path).records)  # By three definitions.
