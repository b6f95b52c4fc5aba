"""Predictions that a stopped run left: they count only where the same weights would make them."""

import hashlib
import shutil
from pathlib import Path

from torch import nn

from cebench.files import write_atomically
from cebench.training.run_directory import RunDirectory
from cebench.weights.tensor_files import tensor_bytes


def keep_own_predictions(
    run: RunDirectory, folder: Path, network: nn.Module, data_fingerprint: str
) -> None:
    """Make `folder`, or empty it of what other weights or data left: what stays can be used.

    The mark that tells lies with the checkpoints and goes with them when the run is finished.

    Args:
        run: an unfinished run; its recipe is that of what lies in `folder`.
        folder: where predictions are written one after another, each atomically.
        network: trained to the end.
        data_fingerprint: of the data that are predicted.
    """
    trained = hashlib.sha256(tensor_bytes(network.state_dict())).hexdigest()
    made_from = f"weights {trained}\ndata {data_fingerprint}\n"
    mark = run.checkpoints / f"{folder.name}.made_from"
    if not mark.exists() or mark.read_text(encoding="utf-8") != made_from:
        shutil.rmtree(folder, ignore_errors=True)
        mark.parent.mkdir(exist_ok=True)
        write_atomically(mark, made_from.encode())
    folder.mkdir(parents=True, exist_ok=True)
