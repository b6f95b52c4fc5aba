import json
import logging
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Mapping
from pathlib import Path

import pytest
import tiny_training
import torch
from tiny_training import IDENTITY, Tiny, run_training

from cebench.errors import CebenchError, InputError, Interrupted
from cebench.plots.sheets import plot_curves
from cebench.training.checkpoints import DataHashes, load_checkpoint
from cebench.training.loop import seconds_so_far
from cebench.training.run_directory import RunDirectory

STEPS = 40
KILLS = 6
FIXED = DataHashes("fixed", order="")


def start(folder: Path, *arguments: int) -> subprocess.Popen[str]:
    command = [
        sys.executable,
        tiny_training.__file__,
        str(folder),
        str(STEPS),
        *map(str, arguments),
    ]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)


def finish(process: subprocess.Popen[str]) -> str:
    """The digest that a process prints at its end."""
    digest, errors = process.communicate(timeout=120)
    assert process.returncode == 0, errors
    return digest.strip()


def flip_a_bit(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.write_bytes(content)


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory: pytest.TempPathFactory) -> str:
    """Digest of all state after STEPS steps in one go."""
    return finish(start(tmp_path_factory.mktemp("straight") / "run"))


def wait_for_training(process: subprocess.Popen[str], metrics: Path, before: int) -> None:
    deadline = time.monotonic() + 60
    while (metrics.stat().st_mtime_ns if metrics.exists() else 0) == before:
        assert process.poll() is None
        assert time.monotonic() < deadline
        time.sleep(0.002)


@pytest.mark.long
@pytest.mark.alone
def test_killed_at_random_moments_it_ends_with_the_same_bits(
    tmp_path: Path, uninterrupted: str
) -> None:
    folder, moments = tmp_path / "run", random.Random(0)
    metrics = folder / "metrics.jsonl"
    for _ in range(KILLS):
        before = metrics.stat().st_mtime_ns if metrics.exists() else 0
        process = start(folder)
        wait_for_training(process, metrics, before)
        time.sleep(moments.uniform(0, 0.2))
        process.kill()
        process.communicate()
        assert process.returncode == -signal.SIGKILL
    assert finish(start(folder)) == uninterrupted


@pytest.mark.slow
@pytest.mark.parametrize("write", [5, 6, 7, 8])
def test_killed_inside_a_checkpoint_write_it_ends_with_the_same_bits(
    tmp_path: Path, uninterrupted: str, write: int
) -> None:
    """Writes 1 and 2 are run.toml and metrics.jsonl, then each checkpoint is payload and index."""
    process = start(tmp_path / "run", write)
    process.communicate(timeout=120)
    assert process.returncode == -signal.SIGKILL
    assert finish(start(tmp_path / "run")) == uninterrupted


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_a_signal_saves_the_state_and_the_run_continues(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    straight = run_training(tmp_path / "straight", 20, Tiny())
    update = Tiny.update

    def signalled(program: Tiny, step: int, batch: torch.Tensor) -> Mapping[str, torch.Tensor]:
        if step == 6:
            os.kill(os.getpid(), number)
        return update(program, step, batch)

    with monkeypatch.context() as patch:
        patch.setattr(Tiny, "update", signalled)
        with pytest.raises(Interrupted, match="run the same command to continue") as caught:
            run_training(tmp_path / "run", 20, Tiny())
    assert caught.value.exit_status == 128 + number
    # Without the signal checkpoints are saved every two steps alone.
    assert json.loads((tmp_path / "run/checkpoints/index.json").read_text())[0]["step"] == 7
    assert run_training(tmp_path / "run", 20, Tiny()) == straight


@pytest.mark.parametrize("log_every", [1, 5])
def test_a_loss_that_is_not_finite_stops_the_run_and_spoils_no_checkpoint(
    tmp_path: Path, log_every: int
) -> None:
    straight = run_training(tmp_path / "straight", 8, Tiny())
    with pytest.raises(CebenchError, match=r"step 5: loss is inf; stopped.* before are sound$"):
        run_training(tmp_path / "run", 8, Tiny(explode_at=5), log_every)
    assert json.loads((tmp_path / "run/checkpoints/index.json").read_text())[0]["step"] == 4
    assert run_training(tmp_path / "run", 8, Tiny(), log_every) == straight


def test_a_loss_that_is_not_finite_from_the_start_leaves_no_checkpoint_to_speak_of(
    tmp_path: Path,
) -> None:
    with pytest.raises(CebenchError, match=r"look at the images of this step$"):
        run_training(tmp_path / "run", 8, Tiny(explode_at=0))


def test_batches_made_ahead_change_no_bit(tmp_path: Path) -> None:
    straight = run_training(tmp_path / "straight", 6, Tiny())
    assert run_training(tmp_path / "ahead", 6, Tiny(), prefetch=3) == straight


def test_pictures_are_drawn_at_the_chosen_steps_in_evaluation_mode(tmp_path: Path) -> None:
    program = Tiny()
    drawn = []

    def save(step: int, seconds: float) -> None:
        drawn.append((step, program.network.training))

    digest = run_training(tmp_path / "run", 5, program, samples_at=(2, 5), save_samples=save)
    assert drawn == [(2, False), (5, False)]
    assert digest == run_training(tmp_path / "straight", 5, Tiny())


def test_pictures_are_given_the_seconds_so_far_logged_or_not(tmp_path: Path) -> None:
    taken = []

    def save(step: int, seconds: float) -> None:
        taken.append(seconds)

    program, options = Tiny(pause=0.05), {"samples_at": (2, 3), "save_samples": save}
    run_training(tmp_path / "run", 4, program, log_every=4, **options)
    (line,) = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    # A step pauses for 0.05 s at least.
    assert 0.1 <= taken[0] <= taken[1] - 0.05 <= line["seconds"] - 0.1


def test_seconds_outlive_a_stop_and_do_not_count_pictures(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a clock that training moves by a second a step, and a picture by an hour."""
    now = [0.0]
    monkeypatch.setattr("cebench.training.loop.time.monotonic", lambda: now[0])
    update = Tiny.update

    def timed(program: Tiny, step: int, batch: torch.Tensor) -> Mapping[str, torch.Tensor]:
        now[0] += 1
        if step == 6 and now[0] < 86400:
            os.kill(os.getpid(), signal.SIGTERM)
        return update(program, step, batch)

    def paint(step: int, seconds: float) -> None:
        now[0] += 3600
        assert seconds == step

    monkeypatch.setattr(Tiny, "update", timed)
    options = {"log_every": 5, "samples_at": (1, 2, 8, 10), "save_samples": paint}
    with pytest.raises(Interrupted):
        run_training(tmp_path / "run", 10, Tiny(), **options)
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        assert seconds_so_far(run) == 7
    now[0] += 86400
    run_training(tmp_path / "run", 10, Tiny(), **options)
    lines = map(json.loads, (tmp_path / "run" / "metrics.jsonl").read_text().splitlines())
    assert [line["seconds"] for line in lines] == [5, 10]


def test_a_damaged_checkpoint_is_named_and_the_one_before_it_is_taken(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    straight = run_training(tmp_path / "straight", 8, Tiny())
    run_training(tmp_path / "run", 6, Tiny())
    flip_a_bit(tmp_path / "run" / "checkpoints" / "00000006.safetensors")
    with caplog.at_level(logging.INFO, "cebench"):
        assert run_training(tmp_path / "run", 8, Tiny()) == straight
    assert "00000006.safetensors: damaged" in caplog.text
    assert "continuing after step 4" in caplog.text


def test_when_every_checkpoint_is_damaged_the_run_is_refused(tmp_path: Path) -> None:
    run_training(tmp_path / "run", 6, Tiny())
    for path in (tmp_path / "run" / "checkpoints").glob("*.safetensors"):
        flip_a_bit(path)
    with pytest.raises(InputError, match=r"every checkpoint is damaged.*--no-resume"):
        run_training(tmp_path / "run", 8, Tiny())


@pytest.mark.parametrize(
    "change", [{"step": "6"}, {"step": True}, {"step": None}, {"file": 6}, {"more": 1}]
)
def test_an_index_with_wrong_types_is_named(tmp_path: Path, change: dict[str, object]) -> None:
    run_training(tmp_path / "run", 2, Tiny())
    index = tmp_path / "run" / "checkpoints" / "index.json"
    (entry,) = json.loads(index.read_text())
    for content in ([{**entry, **change}], [6], {}, None):
        index.write_text(json.dumps(content))
        with pytest.raises(InputError, match=r"index\.json: damaged; .* --no-resume"):
            run_training(tmp_path / "run", 4, Tiny())


def test_any_single_flipped_bit_is_found(tmp_path: Path) -> None:
    program = Tiny()
    run_training(tmp_path / "run", 2, program)
    path = tmp_path / "run" / "checkpoints" / "00000002.safetensors"
    content = path.read_bytes()
    for bit in random.Random(0).sample(range(8 * len(content)), 20):
        damaged = bytearray(content)
        damaged[bit // 8] ^= 1 << bit % 8
        path.write_bytes(damaged)
        with pytest.raises(InputError, match="damaged"):
            load_checkpoint(path.parent, program.modules, program.optimizers, FIXED)


def test_changed_data_are_refused(tmp_path: Path) -> None:
    program = Tiny()
    run_training(tmp_path / "run", 2, program)
    folder = tmp_path / "run" / "checkpoints"
    for data, told in ((("other", ""), "the data changed"), (("fixed", "b"), "in another order")):
        with pytest.raises(InputError, match=told):
            load_checkpoint(folder, program.modules, program.optimizers, DataHashes(*data))


def test_only_two_checkpoints_are_kept(tmp_path: Path) -> None:
    run_training(tmp_path / "run", 9, Tiny())
    names = sorted(path.name for path in (tmp_path / "run" / "checkpoints").iterdir())
    assert names == ["00000008.safetensors", "00000009.safetensors", "index.json"]


@pytest.mark.slow
def test_a_full_disk_ends_in_one_line_and_loses_nothing(tmp_path: Path) -> None:
    """A process that may write no more than a few KiB into one file, as a full disk would do."""
    folder = tmp_path / "run"
    code = (
        "import resource, sys; sys.argv = ['t']\n"
        "import signal; signal.signal(signal.SIGXFSZ, signal.SIG_IGN)\n"
        "import tiny_training as t; from pathlib import Path\n"
        f"folder = Path({str(folder)!r})\n"
        "t.run_training(folder, 4, t.Tiny())\n"
        "resource.setrlimit(resource.RLIMIT_FSIZE, (2048, 2048))\n"
        "from cebench.errors import CebenchError\n"
        "try:\n    t.run_training(folder, 8, t.Tiny())\n"
        "except (CebenchError, OSError) as error:\n    print(type(error).__name__, error)\n"
    )
    run = subprocess.run(
        [sys.executable, "-c", code],
        capture_output=True,
        text=True,
        check=True,
        cwd=Path(tiny_training.__file__).parent,
    )
    assert "could not be written" in run.stdout or "File too large" in run.stdout
    assert not list(folder.rglob("*.tmp"))
    assert run_training(folder, 8, Tiny()) == run_training(tmp_path / "straight", 8, Tiny())


def test_the_loop_leaves_the_networks_in_evaluation_mode_and_logs_each_interval(
    tmp_path: Path,
) -> None:
    program = Tiny()
    run_training(tmp_path / "run", 3, program)
    assert not program.network.training
    with RunDirectory(tmp_path / "run", IDENTITY) as run:
        assert [line["step"] for line in run.metrics()] == [1, 2, 3]
        assert all(line["seconds"] >= 0 for line in run.metrics())


def test_a_run_whose_metrics_a_power_cut_took_ends_all_the_same(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "cebench")
    digest = run_training(tmp_path / "run", 3, Tiny())
    (tmp_path / "run" / "metrics.jsonl").unlink()
    caplog.clear()
    assert run_training(tmp_path / "run", 3, Tiny()) == digest
    assert caplog.messages[-1].endswith("step 3 of 3 done")
    plot_curves([], tmp_path / "curves.png", "none")
    assert not (tmp_path / "curves.png").exists()


def test_the_randomness_of_a_step_does_not_depend_on_what_was_drawn_before(tmp_path: Path) -> None:
    torch.manual_seed(123)
    first = run_training(tmp_path / "a", 3, Tiny())
    torch.rand(7)
    assert run_training(tmp_path / "b", 3, Tiny()) == first


def test_tensorboard_shows_the_metrics_once_after_a_resume(tmp_path: Path) -> None:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    run_training(tmp_path / "run", 3, Tiny(), tensorboard=True)
    run_training(tmp_path / "run", 5, Tiny(), tensorboard=True)
    events = EventAccumulator(str(tmp_path / "run" / "tensorboard")).Reload()
    shown = [(event.step, event.value) for event in events.Scalars("loss")]
    lines = (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()
    logged = [(line["step"], line["loss"]) for line in map(json.loads, lines)]
    assert [step for step, _ in shown] == [1, 2, 3, 4, 5]
    assert shown == [(step, pytest.approx(value)) for step, value in logged]
