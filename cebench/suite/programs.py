"""The program of each cell, called with its request as the command line would."""

import shutil
import subprocess
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from cebench.errors import CebenchError, Interrupted
from cebench.pretrain.run import Request as Pretraining
from cebench.pretrain.run import run_pretraining
from cebench.progress import progress
from cebench.suite.cells import Cell, Verb
from cebench.toy.world import write_toy_world
from cebench.training.run_status import INTERRUPTIONS, last_error
from cebench.transfer.run import Request as Transfer
from cebench.transfer.run import run_transfer

Request = Mapping[str, Any]


def run_program(cell: Cell, out: Path, device: str) -> None:
    """Compute `cell` into its folder below `out`, or go on with it."""
    request = _with_paths(cell.request, str(out.resolve()))
    folder = out.resolve() / cell.folder
    folder.parent.mkdir(parents=True, exist_ok=True)
    if cell.gpus > 1:
        _pretrain_on_several(request, folder, device, cell.gpus)
    else:
        _PROGRAMS[cell.verb](request, folder, device)


def _with_paths(value: Any, out: str) -> Any:
    if isinstance(value, str):
        return value.replace("{out}", out, 1) if value.startswith("{out}") else value
    if isinstance(value, Mapping):
        return {name: _with_paths(inner, out) for name, inner in value.items()}
    return [_with_paths(inner, out) for inner in value] if isinstance(value, list) else value


def _draw(request: Request, folder: Path, device: str) -> None:
    with progress("drawing the toy world", "images") as report:
        write_toy_world(folder, images=request["images"], seed=request["seed"], report=report)


def _track(request: Request, folder: Path, device: str) -> None:
    from cebench.data.motion_windows import MotionSearch
    from cebench.data.tracked_patches import mine_pairs

    options = dict(request)
    sources = [Path(source) for source in options.pop("sources")]
    frames, short_side = options.pop("frames"), options.pop("short_side")
    with progress("tracking", "clips") as report:
        mine_pairs(
            sources,
            folder,
            MotionSearch(**options),
            frames=frames,
            short_side=short_side,
            report=report,
        )


def _import(request: Request, folder: Path, device: str) -> None:
    from cebench.weights.importing import import_weights

    shutil.rmtree(folder, ignore_errors=True)  # Of an attempt that was killed between two files.
    options = dict(request)
    mapping = options.pop("mapping")
    file = Path(options.pop("file"))
    print(import_weights(file, out=folder, mapping=Path(mapping) if mapping else None, **options))


def _rescale(request: Request, folder: Path, device: str) -> None:
    from cebench.weights.rescaling import rescale_weights

    shutil.rmtree(folder, ignore_errors=True)  # Of an attempt that was killed between two files.
    images = [Path(path) for path in request["on"]]
    print(rescale_weights(Path(request["file"]), images, folder, seed=request["seed"]))


def _pretrain(request: Request, folder: Path, device: str) -> None:
    shapes = request["region_shapes"]
    run_pretraining(
        Pretraining(
            method=request["method"],
            data=tuple(Path(path) for path in request["data"]),
            out=folder,
            exclude=tuple(Path(path) for path in request["exclude"]),
            region_shapes=Path(shapes) if shapes else None,
            recipe=request["recipe"],
            changes=tuple(request["changes"]),
            seed=request["seed"],
            device=device,
        )
    )


def _transfer(request: Request, folder: Path, device: str) -> None:
    run_transfer(
        Transfer(
            task=request["task"],
            weights=request["weights"],
            data=Path(request["data"]),
            out=folder,
            recipe=request["recipe"],
            changes=tuple(request["changes"]),
            seed=request["seed"],
            device=device,
            engine=request["engine"],
        )
    )


_PROGRAMS: Mapping[Verb, Callable[[Request, Path, str], None]] = {
    "draw": _draw,
    "track": _track,
    "import": _import,
    "rescale": _rescale,
    "pretrain": _pretrain,
    "transfer": _transfer,
}


def pretrain_arguments(request: Request, folder: Path, device: str) -> list[str]:
    """The options of `cebench pretrain` that say what `request` does."""
    named = {"method": request["method"], "recipe": request["recipe"], "seed": request["seed"]}
    named |= {"out": folder, "device": device}
    if request["region_shapes"]:
        named["region-shapes"] = request["region_shapes"]
    repeated = {"data": request["data"], "exclude": request["exclude"], "set": request["changes"]}
    options = [*named.items(), *((name, one) for name, all_ in repeated.items() for one in all_)]
    return [part for name, value in options for part in (f"--{name}", str(value))]


def _pretrain_on_several(request: Request, folder: Path, device: str, processes: int) -> None:
    torchrun = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(processes)]
    command = ["-m", "cebench", "pretrain", *pretrain_arguments(request, folder, device)]
    running = subprocess.Popen([sys.executable, *torchrun, *command])
    try:
        status = running.wait()
    except BaseException:
        running.terminate()  # torchrun hands the signal on; the loop saves and ends.
        running.wait()
        raise
    if status:
        raise _reason(folder / "log.txt", status)


def _reason(log: Path, status: int) -> CebenchError:
    """Why several processes ended: their run's log knows, torchrun's exit status is 1 for all."""
    error = last_error(log)
    if error.startswith(INTERRUPTIONS):
        return Interrupted("stopped")
    return CebenchError(error or f"torchrun ended with exit status {status}")
