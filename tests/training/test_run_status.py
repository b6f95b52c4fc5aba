import json
from pathlib import Path

import pytest
from click.testing import CliRunner
from filelock import FileLock

from cebench.commands.status import status
from cebench.errors import InputError
from cebench.training.run_owner import check_program
from cebench.training.run_status import check_is_finished, runs_below


def write_run(folder: Path, verb: str = "pretrain", steps: int | None = 100, log: str = "") -> Path:
    folder.mkdir(parents=True)
    name = 'method = "context"' if verb == "pretrain" else 'task = "linear-svm"'
    recipe = f"[recipe]\nsteps = {steps}\n" if steps else "[recipe]\n"
    text = f'started = "now"\n[run]\nverb = "{verb}"\n{name}\nseed = 3\n{recipe}'
    (folder / "run.toml").write_text(text)
    (folder / "log.txt").write_text(log)
    return folder


def write_checkpoints(run: Path, *steps: int) -> None:
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "index.json").write_text(json.dumps([{"step": step} for step in steps]))


def make_runs(root: Path) -> None:
    (write_run(root / "a", "transfer", None) / "record.json").write_text("{}")
    stopped = write_run(root / "b", log="12:00 ERROR Interrupted('stopped after step 40')\n")
    write_checkpoints(stopped, 40, 20)
    failed = write_run(
        root / "c" / "deep", log="12:00 INFO so far\n12:01 ERROR InputError('bad')\n"
    )
    (failed / "run.lock").touch()
    write_run(root / "d")
    (root / "e").mkdir()
    (root / "e" / "run.toml").write_text("no toml")
    (write_run(root / "f") / "record.json").write_text("{}")


def test_the_state_is_read_from_the_files(tmp_path: Path) -> None:
    make_runs(tmp_path)
    with FileLock(tmp_path / "d" / "run.lock"):
        runs = runs_below(tmp_path)
    found = {run.path.relative_to(tmp_path).as_posix(): run for run in runs}
    states = {name: run.state for name, run in found.items()}
    assert states == {
        "a": "finished",
        "b": "stopped",
        "c/deep": "failed",
        "d": "running",
        "e": "unreadable",
        "f": "finished",
    }
    assert (found["b"].step, found["b"].steps, found["b"].seed) == (40, 100, 3)
    assert (found["f"].step, found["a"].steps) == (100, None)
    assert found["a"].program == "transfer linear-svm"
    assert found["c/deep"].problem == "InputError('bad')"


@pytest.mark.parametrize("text", ["", "run = 3", "[run]\nseed = 0", "recipe = 1\n[run]"])
def test_a_run_toml_without_its_run_is_unreadable(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    (run,) = runs_below(tmp_path)
    problem = "run.toml cannot be read: it does not say of which run it is"
    assert (run.state, run.problem) == ("unreadable", problem)


@pytest.mark.parametrize("text", ["", "run = 3", "recipe = 1\n[run]\nverb = 'pretrain'", "[run]"])
def test_a_run_toml_without_its_run_belongs_to_no_run(tmp_path: Path, text: str) -> None:
    (tmp_path / "run.toml").write_text(text)
    with pytest.raises(InputError, match=r"run\.toml: unreadable; remove"):
        check_program(tmp_path, {"verb": "pretrain"})


@pytest.mark.parametrize("index", ['[{"step": "6"}]', '[{"step": 1e400}]', '["6"]', "[[6]]", "6"])
def test_an_index_of_checkpoints_with_wrong_types_ends_no_status(
    tmp_path: Path, index: str
) -> None:
    run = write_run(tmp_path / "a")
    write_checkpoints(run)
    (run / "checkpoints" / "index.json").write_text(index)
    assert [run.state for run in runs_below(tmp_path)] == ["stopped"]


def test_status_prints_a_line_for_each_run(runner: CliRunner, tmp_path: Path) -> None:
    make_runs(tmp_path)
    result = runner.invoke(status, [str(tmp_path)])
    lines = result.stdout.splitlines()
    assert lines[1].split() == [
        "stopped",
        "at",
        "40",
        "of",
        "100",
        "pretrain",
        "context",
        "seed",
        "3",
        "b",
    ]
    assert "6 runs below" in result.stderr
    assert "2 finished" in result.stderr
    found = json.loads(runner.invoke(status, [str(tmp_path), "--json"]).stdout)
    assert [run["state"] for run in found["runs"]][:2] == ["finished", "stopped"]
    assert "no such folder" in str(runner.invoke(status, [str(tmp_path / "x")]).exception)


def test_weights_of_a_run_that_is_not_finished_are_refused_with_its_state(tmp_path: Path) -> None:
    run = tmp_path / "run"
    run.mkdir()
    check_is_finished(run)  # No run: nothing to say.
    (run / "run.toml").write_text(
        '[run]\nverb = "pretrain"\nmethod = "context"\nseed = 0\n[recipe]\nsteps = 30\n'
    )
    (run / "checkpoints").mkdir()
    (run / "checkpoints" / "index.json").write_text('[{"step": 8}]')
    message = r"\(pretrain context\) is stopped after step 8 of 30; give its command again"
    with pytest.raises(InputError, match=message):
        check_is_finished(run)
    (run / "record.json").write_text("{}")
    check_is_finished(run)


def test_a_lock_that_may_not_be_opened_is_no_running_process(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Another user's: tests may run as root, who may open all."""
    run = write_run(tmp_path / "a")
    (run / "run.lock").touch()

    def refused(*_: object, **__: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(FileLock, "acquire", refused)
    (found,) = runs_below(tmp_path)
    assert found.state == "stopped"


def test_links_to_runs_are_followed(tmp_path: Path) -> None:
    write_run(tmp_path / "disk" / "a")
    (tmp_path / "runs").mkdir()
    (tmp_path / "runs" / "a").symlink_to("../disk/a")
    assert [run.path for run in runs_below(tmp_path / "runs")] == [tmp_path / "runs" / "a"]
