from pathlib import Path
from threading import Timer

import pytest
from filelock import FileLock
from samples import DETECTION

from cebench.errors import InputError
from cebench.training.run_directory import RunDirectory
from cebench.training.run_owner import check_owner

IDENTITY = {"run": {"verb": "pretrain", "seed": 0}, "recipe": {"steps": 10, "loss": "l2"}}
OTHER = {"run": {"verb": "pretrain", "seed": 0}, "recipe": {"steps": 20, "loss": "l2"}}


def test_a_run_is_claimed_continued_and_finished(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.log_metrics(5, {"loss": 1.0})
        started = run.started
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        assert not run.finished
        assert run.started == started
        assert run.metrics() == [{"step": 5, "loss": 1.0}]
        run.finish(DETECTION)
        assert run.finished
        assert run.record() == DETECTION


def test_the_folder_of_another_run_is_refused_and_untouched(tmp_path: Path) -> None:
    RunDirectory(tmp_path / "a", IDENTITY).__exit__(None, None, None)
    before = (tmp_path / "a" / "run.toml").read_bytes()
    for resume in (True, False):
        with pytest.raises(InputError, match=r"recipe.steps is 10 there, 20 here.*choose another"):
            RunDirectory(tmp_path / "a", OTHER, resume=resume)
    assert (tmp_path / "a" / "run.toml").read_bytes() == before


def test_a_refusal_names_what_a_hash_is_of(tmp_path: Path) -> None:
    def identity(weights: str, sha256: str) -> dict[str, dict[str, str]]:
        return {"run": {"weights": weights, "weights_sha256": sha256}, "recipe": {}}

    RunDirectory(tmp_path / "a", identity("runs/mine", "12")).__exit__(None, None, None)
    check_owner(tmp_path / "a", identity("moved/mine", "12"))
    told = r"\(weights of other values: 'runs/mine' there, 'runs/theirs' here\)"
    with pytest.raises(InputError, match=told):
        check_owner(tmp_path / "a", identity("runs/theirs", "34"))
    shapes = [
        {"run": {"region_shapes": name, "region_shapes_sha256": name}, "recipe": {}}
        for name in ("voc", "others")
    ]
    RunDirectory(tmp_path / "b", shapes[0]).__exit__(None, None, None)
    with pytest.raises(InputError, match=r"\(other region shapes: 'voc' there, 'others' here\)"):
        check_owner(tmp_path / "b", shapes[1])


def test_a_folder_with_other_files_is_refused_and_untouched(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").write_text("mine")
    with pytest.raises(InputError, match="holds files but no cebench run"):
        RunDirectory(tmp_path, IDENTITY)
    assert [path.name for path in tmp_path.iterdir()] == ["thesis.tex"]
    with pytest.raises(InputError, match="is a file"):
        RunDirectory(tmp_path / "thesis.tex", IDENTITY)


def test_starting_over_forgets_what_was_there(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.log_metrics(5, {"loss": 1.0})
        run.checkpoints.mkdir()
    with RunDirectory(tmp_path / "a", IDENTITY, resume=False) as run:
        assert run.metrics() == []
        assert not run.checkpoints.exists()


def test_two_processes_cannot_write_one_run(tmp_path: Path) -> None:
    with (
        RunDirectory(tmp_path / "a", IDENTITY),
        pytest.raises(InputError, match="another process"),
    ):
        RunDirectory(tmp_path / "a", IDENTITY)


def test_metrics_after_a_checkpoint_are_forgotten_and_a_torn_line_is_left_out(
    tmp_path: Path,
) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        for step in (1, 2, 3):
            run.log_metrics(step, {"loss": float(step)})
        with (run.path / "metrics.jsonl").open("a") as file:
            file.write('{"step": 4, "lo')
        assert [line["step"] for line in run.metrics()] == [1, 2, 3]
        run.truncate_metrics(2)
        run.log_metrics(3, {"loss": 30.0})
        assert [line["loss"] for line in run.metrics()] == [1.0, 2.0, 30.0]


def test_a_failure_is_in_the_log_of_the_run(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.log_metrics(1, {"loss": 1.0})
    with pytest.raises(RuntimeError), RunDirectory(tmp_path / "a", IDENTITY):
        raise RuntimeError("the disk is gone")
    assert "the disk is gone" in (tmp_path / "a" / "log.txt").read_text()


def test_a_mistake_leaves_no_claim_on_the_folder(tmp_path: Path) -> None:
    (tmp_path / "mine").mkdir()
    for name in ("mine", "new"):
        with pytest.raises(InputError), RunDirectory(tmp_path / name, IDENTITY):
            raise InputError("no such data")
    assert [path.name for path in tmp_path.rglob("*")] == ["mine"]


def test_a_mistake_leaves_no_folders_above_the_run_either(tmp_path: Path) -> None:
    with pytest.raises(InputError), RunDirectory(tmp_path / "a" / "b" / "c", IDENTITY):
        raise InputError("no such data")
    assert list(tmp_path.iterdir()) == []


def test_what_another_process_put_beside_a_refused_run_stays(tmp_path: Path) -> None:
    run = RunDirectory(tmp_path / "a" / "b", IDENTITY)
    (tmp_path / "a" / "other").touch()
    with pytest.raises(InputError, match="no such data"), run:
        raise InputError("no such data")
    assert [path.name for path in tmp_path.rglob("*")] == ["a", "other"]


def test_stored_predictions_belong_to_the_data_that_the_run_began_with(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.check_data_fingerprint("abc")
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.check_data_fingerprint("abc")
        with pytest.raises(InputError, match="the data changed since this run began; restore them"):
            run.check_data_fingerprint("abd")
    with RunDirectory(tmp_path / "a", IDENTITY, resume=False) as run:
        run.check_data_fingerprint("abd")


def test_a_run_goes_on_with_its_data_elsewhere_but_not_with_another_seed(tmp_path: Path) -> None:
    def identity(place: str, seed: int = 0) -> dict[str, dict[str, object]]:
        run = {"verb": "transfer", "data": place, "weights": f"{place}/w", "seed": seed}
        return {"run": run, "recipe": {"steps": 10}}

    with RunDirectory(tmp_path / "a", identity("/home/data")) as run:
        run.log_metrics(5, {"loss": 1.0})
    with RunDirectory(tmp_path / "a", identity("/scratch/data")) as run:
        assert run.metrics() == [{"step": 5, "loss": 1.0}]
    with pytest.raises(InputError, match="seed is 0 there, 1 here"):
        RunDirectory(tmp_path / "a", identity("/home/data", seed=1))
    with pytest.raises(InputError, match="seed is 0 there, 1 here"):
        check_owner(tmp_path / "a", identity("/home/data", seed=1))


def test_a_killed_writers_file_is_gone_when_the_run_goes_on(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.log_metrics(5, {"loss": 1.0})
    (tmp_path / "a" / ".weights.safetensors.4711.tmp").write_text("half")
    with RunDirectory(tmp_path / "a", IDENTITY):
        assert not list((tmp_path / "a").glob(".*.tmp"))


def test_a_run_that_cannot_write_its_record_keeps_its_checkpoints(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stops(path: Path, record: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr("cebench.training.run_directory.write_record", stops)
        with RunDirectory(tmp_path / "a", IDENTITY) as run:
            (run.checkpoints / "newest").mkdir(parents=True)
            with pytest.raises(KeyboardInterrupt):
                run.finish(DETECTION)
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        assert (run.checkpoints / "newest").exists()
        run.finish(DETECTION)
        assert not run.checkpoints.exists()


def test_checkpoints_that_a_stop_left_beside_the_record_are_dropped(tmp_path: Path) -> None:
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        run.finish(DETECTION)
        (run.checkpoints / "newest").mkdir(parents=True)
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        assert run.finished
        assert not run.checkpoints.exists()


def test_a_look_at_the_lock_is_no_other_writer(tmp_path: Path) -> None:
    """`cebench status` takes it for a moment."""
    RunDirectory(tmp_path / "a", IDENTITY).__exit__(None, None, None)
    look = FileLock(tmp_path / "a" / "run.lock", thread_local=False)
    look.acquire()
    timer = Timer(0.05, look.release)
    timer.start()
    with RunDirectory(tmp_path / "a", IDENTITY) as run:
        assert not run.finished
    timer.join()
