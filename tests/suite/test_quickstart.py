import json
from html import unescape
from pathlib import Path

import pytest
from samples import changed

from cebench import __version__
from cebench.errors import InputError
from cebench.reporting.records import write_record
from cebench.suite import quickstart
from cebench.suite.quickstart import finished_report, run_quickstart


@pytest.fixture
def drawn_stages(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stages that train merely leave a record; returns the names of those that ran."""
    ran: list[str] = []

    def leave_record(out: Path, seed: int, *names: str) -> None:
        ran.append(" ".join(names))
        folder = out / "runs" / "-".join(names)
        folder.mkdir(parents=True, exist_ok=True)
        if len(names) == 2:
            headline = {"detection": "mean_ap_voc07_11pt", "segmentation": "mean_iou"}
            metric = headline.get(names[1], "mean_ap_sklearn")
            record = changed(
                row=names[0], task=names[1], column=names[1], seed=seed, metric=metric, tier="smoke"
            )
            write_record(folder / "record.json", record)

    monkeypatch.setattr(quickstart, "IMAGES", 5)
    monkeypatch.setattr(quickstart, "_pretrain", leave_record)
    monkeypatch.setattr(quickstart, "_transfer", leave_record)
    monkeypatch.setattr(quickstart, "_pretrain_on_facades", lambda out, seed: None)
    monkeypatch.setattr(quickstart, "_inpaint", lambda out, seed: None)
    return ran


def test_it_runs_every_method_on_every_task_and_leaves_tables_and_pictures(
    tmp_path: Path, drawn_stages: list[str]
) -> None:
    text = run_quickstart(tmp_path / "q", seed=3)
    assert len(drawn_stages) == 3 + 3 * 3
    assert "Table 2" in text
    assert "44.0, 1x1" in text
    assert "This is a smoke run" in text
    page = (tmp_path / "q" / "index.html").read_text(encoding="utf-8")
    assert "<h1>cebench quickstart</h1>" in page
    assert f"<figcaption>{quickstart.MASKS}</figcaption>" in unescape(page)
    assert page.count('<img src="data:image/') == 1
    assert page.count('<table class="results') == 1
    assert len(list((tmp_path / "q" / "records").glob("*.json"))) == 9
    assert (tmp_path / "q" / "toy" / "toy.json").exists()


def test_a_folder_of_other_files_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "thesis.tex").touch()
    with pytest.raises(InputError, match="holds other files; choose an empty or new --out"):
        finished_report(tmp_path, 0)


def test_a_finished_quickstart_returns_its_tables_at_once(
    tmp_path: Path, drawn_stages: list[str]
) -> None:
    assert finished_report(tmp_path / "q", seed=0) is None
    text = run_quickstart(tmp_path / "q", seed=0)
    ran = len(drawn_stages)
    assert finished_report(tmp_path / "q", seed=0) == text
    assert len(drawn_stages) == ran
    with pytest.raises(InputError, match=r"holds the quickstart of seed 0; choose another --out"):
        finished_report(tmp_path / "q", seed=1)


def test_another_version_is_run_again(tmp_path: Path) -> None:
    mark = {"seed": 0, "version": "0.0.0"}
    (tmp_path / quickstart.DONE).write_text(json.dumps(mark))
    assert __version__ != "0.0.0"
    assert finished_report(tmp_path, seed=0) is None
