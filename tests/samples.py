"""A record, its parts and a weights sidecar that several tests start from."""

from dataclasses import replace
from pathlib import Path
from typing import Any

from cebench.config import values_sha256
from cebench.reporting.records import (
    DataSource,
    Measurement,
    Record,
    RecordFile,
    ResolvedRecipe,
    WeightsOrigin,
)
from cebench.weights.files import Sidecar


def recipe_of(name: str, **values: Any) -> ResolvedRecipe:
    """A recipe of these values, all of which count."""
    return ResolvedRecipe(name=name, values=values, sha256=values_sha256(values))


MEASUREMENT = Measurement(
    row="context",
    column="detection",
    metric="mean_ap_voc07_11pt",
    value=0.44,
    unit="fraction",
    higher_is_better=True,
    count=100,
)
WEIGHTS = WeightsOrigin(
    name="context-s0/weights",
    sha256="b" * 64,
    architecture="caffenet-trunk",
    method="context",
    recipe=recipe_of("context-short", loss="l2"),
    tier="short",
    seed=0,
    steps=1000,
    data=DataSource(name="unlabeled", fingerprint="d" * 64),
    seconds=60.0,
)
DETECTION = Record(
    table="2",
    task="detection",
    protocol="voc2007-detection",
    protocol_version=1,
    tier="short",
    seed=0,
    recipe=recipe_of("detection-short", steps=800, train_conv1=True),
    data=DataSource(name="VOC2007", fingerprint="c" * 64),
    weights=WEIGHTS,
    cebench_version="0.1.0",
    git_commit="",
    git_dirty=False,
    torch_version="2.14.1",
    cuda_version="",
    device="an imaginary CPU",
    threads=2,
    started="2026-01-01T00:00:00Z",
    seconds=1.0,
    measurements=(MEASUREMENT,),
)


def changed(
    record: Record = DETECTION,
    *,
    weights: dict[str, Any] | None = None,
    row: str | None = None,
    **changes: Any,
) -> Record:
    """`record` with fields of it, its `weights` or its measurements changed.

    row: of the measurements, and the weights' method. Weights of another pretraining seed have
    another hash.
    """
    in_measurements = {k: changes.pop(k) for k in [*changes] if hasattr(MEASUREMENT, k)}
    of_weights = {"method": row} if row else {}
    of_weights |= weights or {}
    if "seed" in of_weights and "sha256" not in of_weights:
        of_weights["sha256"] = f"{of_weights['seed']}" * 64
    in_measurements |= {"row": row} if row else {}
    measurements = changes.pop(
        "measurements", tuple(replace(m, **in_measurements) for m in record.measurements)
    )
    return replace(
        record,
        weights=replace(record.weights, **of_weights),
        measurements=measurements,
        **changes,
    )


SIDECAR = Sidecar(
    architecture="context-encoder",
    method="context",
    recipe="context-smoke",
    recipe_values={"mixing_kernel": 1},
    tier="smoke",
    data="none",
    data_fingerprint="none",
    steps=0,
    seed=0,
    seconds=0.0,
)


def found(*records: Record) -> list[RecordFile]:
    """`records` as if read from run0/record.json, run1/record.json, ..."""
    return [(Path(f"run{place}/record.json"), record) for place, record in enumerate(records)]
