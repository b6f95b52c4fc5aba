import json
import logging
import os
import re
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from click.testing import CliRunner

from cebench.cli import COMMANDS, cli, main
from cebench.pretrain.methods import METHODS
from cebench.run_options import program_names
from cebench.transfer.run import TASKS

Ended = subprocess.CompletedProcess[str]


def cebench(*arguments: str, cwd: Path | None = None) -> Ended:
    return subprocess.run(
        [sys.executable, "-m", "cebench", *arguments], capture_output=True, text=True, cwd=cwd
    )


@pytest.mark.parametrize("verb", COMMANDS)
def test_every_verb_has_help(runner: CliRunner, verb: str) -> None:
    result = runner.invoke(cli, [verb, "--help"])
    assert result.exit_code == 0
    assert "Usage" in result.output


def test_the_commands_offer_what_the_programs_have() -> None:
    assert set(program_names("cebench.pretrain")) == set(METHODS)
    assert set(program_names("cebench.transfer")) == set(TASKS)


@pytest.mark.parametrize("group", [[], ["data"], ["score"], ["suite"], ["weights"]])
def test_a_group_alone_prints_its_help(group: list[str]) -> None:
    ended = cebench(*group)
    assert (ended.returncode, ended.stderr) == (0, "")
    assert ended.stdout.startswith("Usage: cebench")
    assert "\nCommands:\n" in ended.stdout


def test_the_version_is_printed(runner: CliRunner) -> None:
    assert runner.invoke(cli, ["--version"]).output.startswith("cebench, version 0.")


MISTAKES = {
    "unknown verb": (["pretrian"], "no such command 'pretrian'; did you mean pretrain?"),
    "unknown verb of a group": (["data", "prep"], "no such command 'prep'; did you mean prepare?"),
    "a verb like no other": (["xyz"], "no such command 'xyz'; there are quickstart, pretrain,"),
    "unknown option": (["pretrain", "--steps", "3"], "No such option"),
    "missing option": (["pretrain", "--method", "context"], "Missing option '--out'"),
    "unknown method": (["pretrain", "--method", "jigsaw", "--out", "x"], "'jigsaw' is not one of"),
    "no data": (["pretrain", "--method", "context", "--out", "x"], "--data is missing"),
    "unknown key": (
        ["pretrain", "--method", "random", "--out", "x", "--set", "teir=smoke"],
        "did you mean 'tier'",
    ),
    "no weights": (
        ["transfer", "--task", "detection", "--weights", "none", "--data", ".", "--out", "x"],
        "none: no such weights file",
    ),
    "no such year": (
        [
            "transfer",
            "--task",
            "classification",
            "--weights",
            "random",
            "--data",
            ".",
            "--out",
            "x",
        ],
        "no VOC2007",
    ),
    "no gallery": (
        ["transfer", "--task", "inpainting", "--weights", "random", "--data", ".", "--out", "x"],
        "no such folder of gallery images",
    ),
    "no results": (["report"], "results"),
    "no such method": (["recipe", "show", "contxt"], "did you mean 'context'"),
    "no such cell": (["explain", "context detecton"], "did you mean 'detection'"),
    "no image": (["inpaint", "absent.png", "--weights", "w", "--out", "o"], "absent.png"),
    "no tree": (["data", "verify", "absent"], "absent"),
    "no such file": (["weights", "inspect", "absent.safetensors"], "no such weights file"),
}


@pytest.fixture
def in_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Callable[..., Ended]]:
    """`cebench ARGUMENTS` in `tmp_path`, here: starting a process costs an import of torch."""

    def call(*arguments: str) -> Ended:
        monkeypatch.setattr("sys.argv", ["cebench", *arguments])
        monkeypatch.chdir(tmp_path)
        with pytest.raises(SystemExit) as stop:
            main()
        shown = capsys.readouterr()
        return subprocess.CompletedProcess(arguments, int(stop.value.code), shown.out, shown.err)

    # A handler that an earlier test left writes to a stderr that is closed.
    monkeypatch.setattr(logging.getLogger("cebench"), "handlers", [])
    on_termination = signal.getsignal(signal.SIGTERM)
    yield call
    signal.signal(signal.SIGTERM, on_termination)


def assert_one_line(ended: Ended, message: str) -> None:
    assert ended.returncode == 2
    lines = [line for line in ended.stderr.splitlines() if line.startswith("cebench: ")]
    assert len(lines) == 1
    assert message in lines[0]
    assert "Traceback" not in ended.stderr
    assert ended.stdout == ""


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_one_line_and_exit_status_2(
    tmp_path: Path, in_process: Callable[..., Ended], name: str
) -> None:
    arguments, message = MISTAKES[name]
    assert_one_line(in_process(*arguments), message)
    assert not list(tmp_path.rglob("weights.safetensors"))


@pytest.mark.parametrize("name", ["unknown verb of a group", "no tree"])
def test_a_mistake_ends_a_process_in_the_same_way(tmp_path: Path, name: str) -> None:
    arguments, message = MISTAKES[name]
    assert_one_line(cebench(*arguments, cwd=tmp_path), message)


@pytest.mark.skipif(os.geteuid() == 0, reason="the superuser may write anywhere")
def test_a_read_only_folder_is_a_failure_with_one_line(tmp_path: Path) -> None:
    tmp_path.chmod(0o500)
    result = cebench("pretrain", "--method", "random", "--out", "run", cwd=tmp_path)
    assert result.returncode == 1
    assert result.stderr.startswith("cebench: ")


def test_a_dry_run_writes_nothing_and_prints_the_recipe(
    tmp_path: Path, in_process: Callable[..., Ended]
) -> None:
    result = in_process("pretrain", "--method", "random", "--out", "run", "--dry-run", "--json")
    assert json.loads(result.stdout)["recipe"] == "random-short"
    assert not list(tmp_path.iterdir())


def test_stdout_carries_the_result_and_nothing_else(in_process: Callable[..., Ended]) -> None:
    result = in_process("pretrain", "--method", "random", "--out", "run", "--json")
    assert json.loads(result.stdout) == {"weights": "run/weights.safetensors"}


def test_a_dry_run_of_a_transfer_says_what_it_found(
    tiny_voc: Path, tmp_path: Path, in_process: Callable[..., Ended]
) -> None:
    arguments = ["--task", "classification", "--weights", "random", "--data", str(tiny_voc)]
    (tmp_path / "a.txt").write_text("000002\n")
    (tmp_path / "b.txt").write_text("000001\n000003\n")
    sets = ["--set", f"train_set={tmp_path}/a.txt", "--set", f"test_set={tmp_path}/b.txt"]
    result = in_process("transfer", *arguments, *sets, "--out", "run", "--dry-run", "--json")
    plan = json.loads(result.stdout)
    assert (plan["train_images_found"], plan["test_images_found"]) == (1, 2)
    assert plan["train_bytes_found"] > 0
    assert plan["protocol"] == "voc-classification-10-crops"
    assert not (tmp_path / "run").exists()


def test_the_dry_run_of_quickstart_says_what_it_takes_and_writes_nothing(
    runner: CliRunner, tmp_path: Path
) -> None:
    out = tmp_path / "quick"
    shown = runner.invoke(cli, ["quickstart", "--out", str(out), "--dry-run"])
    assert shown.exit_code == 0
    assert re.search(r"\d+ cells, 0 finished", shown.output)
    found = runner.invoke(cli, ["quickstart", "--out", str(out), "--dry-run", "--json"])
    assert json.loads(found.stdout)["cells"]
    assert runner.invoke(cli, ["quickstart", "--out", str(out), "--json"]).exit_code == 2
    assert not list(out.rglob("*.safetensors"))
