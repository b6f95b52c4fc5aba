"""`metrics.jsonl`: what a run logged, a line for each logged step."""

import json
from pathlib import Path

FILE_NAME = "metrics.jsonl"


def read_metrics(run: Path) -> list[dict[str, float]]:
    """The logged lines of the run directory `run`; a line that a kill cut short is left out."""
    path = run / FILE_NAME
    lines = path.read_text(encoding="utf-8").splitlines() if path.exists() else []
    complete = []
    for line in lines:
        try:
            complete.append(json.loads(line))
        except json.JSONDecodeError:
            break
    return complete
