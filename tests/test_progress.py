"""Rates, times and sizes as a person says them."""

import pytest

from cebench.progress import counted, progress, spoken_bytes, spoken_duration, spoken_rate


@pytest.mark.parametrize(
    ("per_second", "unit", "said"),
    [
        (1234.4, "images", "1,234 images/s"),
        (100, "steps", "100 steps/s"),
        (66.83, "images", "66.8 images/s"),
        (1, "steps", "1.0 steps/s"),
        (0.195, "steps", "5.1 s per step"),
        (1 / 45, "images", "45 s per image"),
        (1 / 130, "patches", "2:10 min per patch"),
        (1 / 7200, "clips", "2:00:00 h per clip"),
    ],
)
def test_rates(per_second: float, unit: str, said: str) -> None:
    assert spoken_rate(per_second, unit) == said


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (3, "less than a minute"),
        (60, "about 1 minute"),
        (720, "about 12 minutes"),
        (5400, "about 2 hours"),
        (36000, "about 10 hours"),
        (259200, "about 3 days"),
    ],
)
def test_durations(seconds: float, said: str) -> None:
    assert spoken_duration(seconds) == said


def test_sizes() -> None:
    assert spoken_bytes(999) == "999 bytes"
    assert spoken_bytes(1536) == "1.5 KiB"
    assert spoken_bytes(300 * 2**20) == "300 MiB"
    assert spoken_bytes(1.4 * 2**30) == "1.4 GiB"
    assert spoken_bytes(2**41) == "2.0 TiB"


def test_one_process_of_torchruns_shows_progress(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    for rank, shown in (("0", "reading: 3/3 steps\n"), ("1", "")):
        monkeypatch.setenv("RANK", rank)
        with progress("reading") as report:
            report(3, 3)
        assert capsys.readouterr().err == shown


def test_one_of_a_thing_is_singular() -> None:
    assert [counted(n, "thread") for n in (0, 1, 1200)] == [
        "0 threads",
        "1 thread",
        "1,200 threads",
    ]
    assert [counted(n, "process", "processes") for n in (1, 2)] == ["1 process", "2 processes"]
