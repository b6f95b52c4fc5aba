"""Adding pretrainings to two rows for as long as they cannot be told apart."""

import logging
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

from cebench.errors import InputError, did_you_mean
from cebench.suite.plan import Plan, SuiteRequest
from cebench.suite.running import RunOptions, open_plan, run_suite
from cebench.suite.suite_file import Row, Suite, belongs, load_suite
from cebench.suite.workers import call_apart

logger = logging.getLogger("cebench")


def run_until_separated(
    request: SuiteRequest, options: RunOptions, rows: tuple[str, str], most: int
) -> str:
    """Run a suite, then pretrain the two rows again until they differ in every column they share.

    most: pretrainings of a row at most. Returns the tables as Markdown.
    """
    known = load_suite(request.file, request.data).suite
    for row in rows:
        if row not in known.rows:
            raise InputError(f"--until-separated: no row {row!r}; {did_you_mean(row, known.rows)}")
    _check_shared_task(known, rows)
    pretrained = [_pretrained_row(known.rows, row) for row in rows]
    count = known.pretrainings
    while True:
        asked = replace(request, more=dict.fromkeys(pretrained, count))
        text = run_suite(asked, options)
        open_columns = call_apart(_not_separated, open_plan(asked), asked.out, rows)
        if not open_columns:
            logger.info(f"{' and '.join(rows)} differ in every column, {count} pretrainings each")
            return text
        listed = ", ".join(open_columns)
        if count >= most:
            logger.info(
                f"{rows[0]} and {rows[1]} cannot be told apart in {listed} with {count} "
                "pretrainings each, the most that were asked for"
            )
            return text
        count += 1
        logger.info(
            f"{rows[0]} and {rows[1]} cannot be told apart in {listed}: pretraining {count} of each"
        )


def _not_separated(plan: Plan, out: Path, rows: tuple[str, str]) -> list[str]:
    """Columns in which the two rows cannot be told apart at 5 %."""
    from cebench.reporting.tables import build_tables
    from cebench.reporting.verdicts import compare_two
    from cebench.suite.report import found_records

    lines = _line(plan, rows[0]), _line(plan, rows[1])
    tables = build_tables(found_records(plan, out))
    compared = compare_two(tables, lines, None)
    return [pair.column.id for pair in compared if not pair.found.differs]


def _check_shared_task(suite: Suite, rows: tuple[str, str]) -> None:
    """InputError unless a task measures both rows: told before hours of computing."""
    if not any(all(belongs(suite, row, task) for row in rows) for task in suite.tasks):
        raise InputError(
            f"--until-separated {' '.join(rows)}: no task of the suite measures both; name two "
            "rows of one task"
        )


def _pretrained_row(rows: Mapping[str, Row], row: str) -> str:
    """The row that is pretrained for `row`: itself, or the one that it rescales.

    InputError where there is none: weights that are there cannot be pretrained again.
    """
    if rows[row].weights or rows[row].checkpoint:
        raise InputError(
            f"--until-separated: nothing is pretrained for row {row!r}, so that no further seeds "
            "can be added; name two rows that are pretrained"
        )
    source = rows[row].rescale
    return _pretrained_row(rows, source) if source else row


def _line(plan: Plan, row: str) -> str:
    """The line of the tables in which a row's numbers stand."""
    return next((cell.line for cell in plan.cells if cell.row == row and cell.line), row)
