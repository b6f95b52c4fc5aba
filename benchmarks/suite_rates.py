"""Rates of every program, as cebench/suite/rates.toml has them, from a finished toy suite.

    cebench suite run toy.toml --out DIR --workers 2 --threads 1
    cebench suite calibrate --threads 1
    python benchmarks/suite_rates.py DIR > new.toml && mv new.toml cebench/suite/rates.toml

`image` is what a run's metrics say of its training, `start` the rest of its processor time; cells
that were interrupted tell only of their last attempt and are left out. `read` is kept as it stands:
a toy has too few images; it is a run's processor time on a real set, less training, by its images.
"""

import json
import sys
import tomllib
from importlib.resources import files
from pathlib import Path
from statistics import median

from cebench.suite.calibration import stored_calibration
from cebench.suite.cells import Cell
from cebench.suite.estimates import program_of
from cebench.suite.folder import SuiteFolder


def training_seconds(run: Path) -> float:
    """Seconds by the clock of a run's training; 0 where there is none."""
    file = run / "metrics.jsonl"
    lines = file.read_text().splitlines() if file.exists() else []
    return float(json.loads(lines[-1])["seconds"]) if lines else 0.0


def rates(out: Path) -> dict[str, dict[str, float]]:
    """Program -> its rates."""
    folder = SuiteFolder(out)
    plan = folder.read_plan()
    assert plan is not None
    found: dict[str, list[dict[str, float]]] = {}
    for cell in (Cell(**values) for values in plan["plan"]["cells"]):
        ending = folder.ending(cell)
        if not folder.is_finished(cell) or ending is None or not ending.processor_seconds:
            continue
        # Only an attempt that went through wrote its log in one piece.
        if folder.log(cell).read_text().count(f"{cell.name}: {cell.verb} with") > 1:
            continue
        images = cell.work.get("images", 0.0)
        training = training_seconds(out / cell.folder)
        share = ending.processor_seconds / ending.seconds
        image = training * share / images if images and training else 0.0
        start = ending.processor_seconds - image * images
        if cell.verb == "draw":
            image, start = ending.processor_seconds / images, 0.0
        files = [path for path in (out / cell.folder).rglob("*") if path.is_file()]
        found.setdefault(program_of(cell), []).append(
            {
                "start": start,
                "image": image,
                "memory_gib": ending.memory_bytes / 2**30,
                "disk_mib": sum(path.stat().st_size for path in files) / 2**20,
            }
        )
    return {
        program: {name: median(cell[name] for cell in cells) for name in cells[0]}
        for program, cells in found.items()
    }


def main() -> None:
    """Print rates.toml."""
    reference = stored_calibration()
    assert reference is not None, "cebench suite calibrate first"
    shipped = files("cebench.suite").joinpath("rates.toml").read_text(encoding="utf-8")
    print(shipped[: shipped.index("[")], end="")
    programs = tomllib.loads(shipped)["programs"]
    print(f'[reference]\nmachine = "{reference.machine}"')
    for name in ("step", "half_step"):
        listed = (f"{threads} = {value:.4g}" for threads, value in getattr(reference, name).items())
        print(f"{name} = {{ {', '.join(listed)} }}")
    print(f"decode_seconds = {reference.decode_seconds:.4g}")
    for program, values in sorted(rates(Path(sys.argv[1])).items()):
        print(f'\n[programs."{program}"]')
        read = programs.get(program, {}).get("read")
        for name, value in (values | ({"read": read} if read else {})).items():
            print(f"{name} = {value:.3g}")


if __name__ == "__main__":
    main()
