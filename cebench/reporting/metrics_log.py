"""`metrics.jsonl`: what a run logged, a line for each logged step."""

import json
from pathlib import Path

FILE_NAME = "metrics.jsonl"


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The logged lines of the run directory `run`; what a kill cut short is left out."""
    path = run / FILE_NAME
    text = path.read_text(encoding="utf-8", errors="replace") if path.exists() else ""
    complete = []
    for line in text.splitlines():
        try:
            values = json.loads(line)
        except json.JSONDecodeError:
            break
        if not isinstance(values, dict) or "step" not in values:
            break
        complete.append(values)
    return complete
