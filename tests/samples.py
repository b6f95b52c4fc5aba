"""A record and a weights sidecar that several tests start from."""

from cebench.reporting.records import Record
from cebench.weights.files import Sidecar

DETECTION = Record(
    table="2",
    row="context",
    column="detection",
    protocol="voc2007-detection",
    protocol_version=1,
    tier="short",
    metric="mean_ap_voc07_11pt",
    value=0.44,
    unit="fraction",
    higher_is_better=True,
    count=100,
    seed=0,
    recipe="detection-short",
    recipe_sha256="a" * 64,
    weights="context-s0/weights",
    weights_sha256="b" * 64,
    data="VOC2007",
    data_fingerprint="c" * 64,
    cebench_version="0.1.0",
    git_commit="",
    git_dirty=False,
    torch_version="2.14.1",
    cuda_version="",
    device="an imaginary CPU",
    threads=2,
    started="2026-01-01T00:00:00Z",
    seconds=1.0,
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
