"""In the root of a checkout its own code runs, whichever way the package is installed."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
RUN = ("pretrain", "--method", "random", "--recipe", "short", "--device", "cpu", "--out")


def run(arguments: list[str], **environment: str) -> str:
    """What a process in the checkout's root prints on stdout; it must end well."""
    ended = subprocess.run(
        [sys.executable, *arguments],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": "", **environment},
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return ended.stdout


def test_the_checkout_is_what_runs_in_its_root() -> None:
    script = "import cebench, cebench.pretrain as p; print(cebench.__file__); print(p.__file__)"
    files = [Path(line) for line in run(["-c", script]).splitlines()]
    assert files == [ROOT / "cebench" / "__init__.py", ROOT / "pretrain" / "__init__.py"]


def test_an_installation_has_both_packages_inside_or_beside_it() -> None:
    script = "import cebench.pretrain.command, cebench.transfer.command"
    run(["-P", "-c", script])


@pytest.mark.slow
def test_a_run_starts_in_the_root(tmp_path: Path) -> None:
    shown = run(["-m", "cebench", *RUN, str(tmp_path / "run")])
    assert shown == f"{tmp_path / 'run' / 'weights.safetensors'}\n"


@pytest.mark.long
def test_torchrun_starts_in_the_root(tmp_path: Path) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    run([*launcher, "-m", "cebench", *RUN, str(tmp_path / "run")])
    assert (tmp_path / "run" / "weights.safetensors").is_file()


def test_a_command_starts_in_the_root_of_an_editable_installation(tmp_path: Path) -> None:
    """`pretrain --help` imports from `cebench` and `cebench.pretrain`, but not torch."""
    run(["-c", f"from setuptools import build_meta; build_meta.build_editable({str(tmp_path)!r})"])
    (wheel,) = tmp_path.glob("*.whl")
    site = tmp_path / "site"
    zipfile.ZipFile(wheel).extractall(site)
    others = sysconfig.get_paths()["purelib"]
    script = (
        "import runpy, site, sys; sys.path.insert(0, ''); "
        f"site.addsitedir({str(site)!r}); site.addsitedir({others!r}); "
        "sys.argv[0] = 'cebench'; runpy.run_module('cebench', run_name='__main__')"
    )
    # -S: of the environment's packages only those that the script adds, the editable one first.
    assert run(["-S", "-c", script, "pretrain", "--help"]).startswith("Usage: cebench pretrain")
