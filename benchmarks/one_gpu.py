"""An hour of one GPU, in pieces: speed and memory of every program, then the ladder's next rung.

Run: python benchmarks/one_gpu.py speed --out runs/gpu [--only PART] [--device cuda] [--steps 400]
     python benchmarks/one_gpu.py resume --out runs/gpu
     python benchmarks/one_gpu.py ladder --data STORE --region-shapes VOC2012 --out runs/gpu \
         [--seeds 0 1 2] [--methods context autoencoder imagenet] [--minutes 10]

`speed` writes a line of Markdown for each program as it is measured, and skips what it measured
before, on the same device with as many steps. `resume` kills a run and says whether its weights
end with the bits of an undisturbed one. `ladder` runs the `small` pretrainings side by side as
processes on the card and stops them after `--minutes`; the same command goes on. Data travel as tar
files of photographs, which are a fortieth of a packed store: `tar -cf part-0.tar CLASS...`, then
`cebench data prepare parts/ --out STORE`. The tests of a GPU are `pytest -m gpu tests/test_gpu.py`.
"""

import argparse
import json
import os
import shutil
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import torch

from cebench.devices import choose_device, device_name
from cebench.files import sha256_of
from cebench.pretrain.methods import METHODS
from cebench.pretrain.run import Request as PretrainRequest
from cebench.pretrain.run import run_pretraining
from cebench.reporting.metrics_log import read_metrics
from cebench.toy.world import write_toy_world
from cebench.transfer.run import Request as TransferRequest
from cebench.transfer.run import run_transfer

GRAPHS = ("compile=true", "cuda_graphs=true")
SOUND = (0, 130, 143, -signal.SIGTERM)
"""Exit codes of a rung: finished, stopped, stopped before it could say so."""
LOGGED = 20
"""Lines of metrics; the first quarter, in which kernels are chosen, does not count."""

LEAST_STEPS = 4
"""A rate is between two lines of metrics, the earlier of which is not the first of the run."""


@dataclass(frozen=True)
class Program:
    """What is measured, and how many images one of its steps takes."""

    name: str
    task_or_method: str
    recipe: str
    images_per_step: int
    changes: tuple[str, ...] = ()


SMALL = ("samples_at=[]", "weights_at=[]", "held_out_images=8")
PROGRAMS = (
    Program("context, 115 px, batch 64", "context", "small", 64, SMALL),
    Program("the same in one CUDA graph", "context", "small", 64, (*SMALL, *GRAPHS)),
    Program("autoencoder, 115 px, one graph", "autoencoder", "small", 64, (*SMALL, *GRAPHS)),
    Program("labels, 115 px, one graph", "imagenet", "small", 64, (*SMALL, *GRAPHS)),
    Program(
        "context, 227 px, batch 64, bf16, one graph",
        "context",
        "paper",
        64,
        (*SMALL, *GRAPHS, "precision='bf16'", "batch_size=64"),
    ),
    Program("context-gan, 128 px, batch 32", "context-gan", "small", 32, ("samples_at=[]",)),
    Program("the same in one graph", "context-gan", "small", 32, ("samples_at=[]", *GRAPHS)),
    Program("classification", "classification", "small", 16, ()),
    Program("Fast R-CNN", "detection", "paper-40k", 2, ()),
    Program("FCN-32s, squares of 96 px", "segmentation", "short", 8),
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    verbs = parser.add_subparsers(required=True)
    for name, verb in (("speed", speed), ("resume", resume), ("ladder", ladder)):
        verb_parser = verbs.add_parser(name)
        verb_parser.set_defaults(run=verb)
        verb_parser.add_argument("--out", type=Path, required=True)
        verb_parser.add_argument("--device", default="auto")
        verb_parser.add_argument("--steps", type=int, default=400)
    verbs.choices["speed"].add_argument("--only", default="", help="part of a program's name")
    rungs = verbs.choices["ladder"]
    rungs.add_argument("--data", type=Path, required=True)
    rungs.add_argument("--region-shapes", type=Path, required=True)
    rungs.add_argument("--seeds", type=int, nargs="+", default=[0, 1, 2])
    rungs.add_argument("--methods", nargs="+", default=["context", "autoencoder", "imagenet"])
    rungs.add_argument("--set", action="append", default=[], dest="changes")
    rungs.add_argument("--minutes", type=float, default=10)
    arguments = parser.parse_args()
    arguments.run(arguments)


def speed(arguments: argparse.Namespace) -> None:
    """Images per second and the peak of memory, a line for each program."""
    programs = _asked_for(arguments)
    toy = _toy_world(arguments.out)
    device = device_name(choose_device(arguments.device))
    made = {"device": device, "steps": arguments.steps}
    print(f"{device}, torch {torch.__version__}\n")
    print("| program | images/s | peak memory |\n| --- | ---: | ---: |")
    for number, program in programs.items():
        kept = arguments.out / f"speed-{number}" / "speed.json"
        if not kept.exists():
            values = {**made, **_measured(program, toy, kept.parent, arguments)}
            kept.write_text(json.dumps(values), encoding="utf-8")
        values = json.loads(kept.read_text(encoding="utf-8"))
        there = {name: values.get(name) for name in made}
        if there != made:
            raise SystemExit(f"{kept}: has {there}, not {made}; choose another --out")
        rate, size = values["images_per_second"], values["bytes"] / 2**30
        print(f"| {program.name} | {rate:,.0f} | {size:.1f} GiB |", flush=True)


def _asked_for(arguments: argparse.Namespace) -> dict[int, Program]:
    """The programs that --only names, by their number."""
    if arguments.steps < LEAST_STEPS:
        raise SystemExit(f"--steps {arguments.steps}: a rate needs at least {LEAST_STEPS}")
    found = {i: program for i, program in enumerate(PROGRAMS) if arguments.only in program.name}
    if not found:
        names = "; ".join(program.name for program in PROGRAMS)
        raise SystemExit(
            f"--only {arguments.only!r}: part of no program's name; there are: {names}"
        )
    return found


def _measured(
    program: Program, toy: Path, folder: Path, arguments: argparse.Namespace
) -> dict[str, float]:
    steps = arguments.steps
    changes = (*program.changes, f"steps={steps}", f"log_every={max(1, steps // LOGGED)}")
    on_card = torch.cuda.is_available()
    if on_card:
        torch.cuda.reset_peak_memory_stats()
    torch.compiler.reset()
    if program.task_or_method in METHODS:
        # Labels are learned from the two folders of facades.
        places = {"context-gan": "facades/train", "imagenet": "facades"}
        run_pretraining(
            PretrainRequest(
                method=program.task_or_method,
                data=(toy / places.get(program.task_or_method, "unlabeled"),),
                region_shapes=toy / "VOCdevkit" / "VOC2012",
                out=folder,
                recipe=program.recipe,
                changes=changes,
                device=arguments.device,
            )
        )
    else:
        run_transfer(
            TransferRequest(
                task=program.task_or_method,
                weights="random",
                data=toy / "VOCdevkit",
                out=folder,
                recipe=program.recipe,
                changes=changes,
                device=arguments.device,
            )
        )
    lines = read_metrics(folder)
    first, last = lines[len(lines) // 4], lines[-1]
    rate = (last["step"] - first["step"]) / (last["seconds"] - first["seconds"])
    peak = torch.cuda.max_memory_allocated() if on_card else 0
    return {"images_per_second": program.images_per_step * rate, "bytes": peak}


def resume(arguments: argparse.Namespace) -> None:
    """Whether a run that SIGKILL met ends with the bits of a whole one."""
    toy = _toy_world(arguments.out)
    schedule = ["--set", "steps=60", "--set", "checkpoint_every=10", "--set", "log_every=5"]
    schedule += ["--region-shapes", str(toy / "VOCdevkit" / "VOC2012")]
    whole, killed = (arguments.out / name for name in ("resume-whole", "resume-killed"))
    commands = {
        out: [*_command("context", "short", arguments, toy / "unlabeled", out), *schedule]
        for out in (whole, killed)
    }
    for out in commands:  # a former call's
        shutil.rmtree(out, ignore_errors=True)
    subprocess.run(commands[whole], check=True)
    process = subprocess.Popen(commands[killed])
    while process.poll() is None and len(read_metrics(killed)) < 5:
        time.sleep(0.01)
    process.kill()
    if (code := process.wait()) != -signal.SIGKILL:
        raise SystemExit(f"the run to be killed had ended before, with exit status {code}")
    subprocess.run(commands[killed], check=True)
    hashes = {sha256_of(out / "weights.safetensors") for out in (whole, killed)}
    print("killed and continued: " + ("equal bits" if len(hashes) == 1 else "OTHER BITS"))


def ladder(arguments: argparse.Namespace) -> None:
    """The `small` pretrainings of every method and seed at once, until done or out of time."""
    deadline = time.monotonic() + 60 * arguments.minutes
    running = [
        _start(method, seed, arguments) for method in arguments.methods for seed in arguments.seeds
    ]
    while any(process.poll() is None for _, process in running):
        if time.monotonic() > deadline:
            for _, process in running:
                process.send_signal(signal.SIGTERM)
            break
        time.sleep(1)
    codes = [process.wait() for _, process in running]
    failed = [log for (log, _), code in zip(running, codes, strict=True) if code not in SOUND]
    finished = f"{codes.count(0)} of {len(codes)} finished"
    if failed:
        logs = ", ".join(map(str, failed))
        raise SystemExit(f"{len(failed)} of {len(codes)} failed, see {logs}; {finished}")
    rest = "; run the same command for the rest" if codes.count(0) < len(codes) else ""
    print(f"{finished}{rest}")


def _start(
    method: str, seed: int, arguments: argparse.Namespace
) -> tuple[Path, subprocess.Popen[bytes]]:
    """The log of a pretraining, and its process."""
    method, _, recipe = method.partition("/")
    name = f"{method}-{recipe or 'small'}-p{seed}"
    command = _command(method, recipe or "small", arguments, arguments.data, arguments.out / name)
    command += ["--seed", str(seed), "--region-shapes", str(arguments.region_shapes)]
    command += [part for change in arguments.changes for part in ("--set", change)]
    arguments.out.mkdir(parents=True, exist_ok=True)
    path = arguments.out / f"{name}.log"
    with path.open("ab") as log:
        return path, subprocess.Popen(command, stderr=log, stdout=log, env={**os.environ})


def _command(
    method: str, recipe: str, arguments: argparse.Namespace, data: Path, out: Path
) -> list[str]:
    command = [sys.executable, "-m", "cebench", "pretrain", "--method", method, "--recipe", recipe]
    return [*command, "--data", str(data), "--out", str(out), "--device", arguments.device]


def _toy_world(out: Path) -> Path:
    toy = out / "toy"
    if not toy.is_dir():
        write_toy_world(toy, images=60, seed=0)
    return toy


if __name__ == "__main__":
    main()
