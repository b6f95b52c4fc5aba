"""What a task's outcome scores, compared with what the task measured."""

import pytest

from cebench.reporting.outcomes import decode_outcome, encode_outcome
from cebench.reporting.records import Measurement
from cebench.transfer.run_context import Outcome


def assert_rescored(outcome: Outcome, *, images: int, others: tuple[str, ...] = ()) -> None:
    """Every measurement but `others` is scored from the stored file to the same number."""
    stored = decode_outcome(encode_outcome(outcome.scored_from), "here")
    assert len(stored.ids) == images
    for measured in outcome.measurements:
        values = {"row": measured.row, "column": measured.column, "metric": measured.metric}
        measurement = Measurement(
            **values, value=0, unit=measured.unit, higher_is_better=True, count=images
        )
        part = stored.part_of(measurement, "")
        assert (part is None) == (measured.metric in others), measured.metric
        if part is not None:
            found = part.scores()[measured.metric]
            assert found == pytest.approx(measured.value, rel=1e-12, nan_ok=True)
