"""`cebench report`: what it finds, where it writes, and what it says where there is nothing."""

import json
import re
from dataclasses import replace
from pathlib import Path

import pytest
from calls import call
from click.testing import CliRunner, Result
from samples import changed

from cebench.commands.report import report
from cebench.errors import InputError
from cebench.reporting.records import load_record, write_record

CLASSIFICATION = changed(
    task="classification",
    column="classification",
    protocol="voc2007-classification",
    tier="smoke",
    metric="mean_ap_sklearn",
    value=0.2,
    count=10,
)


@pytest.fixture
def runs(tmp_path: Path) -> Path:
    """A results folder with the run directories of two seeds."""
    for seed in (0, 1):
        run = tmp_path / "results" / f"classification-s{seed}"
        run.mkdir(parents=True)
        (head,) = changed(CLASSIFICATION, value=0.2 + 0.1 * seed).measurements
        area = replace(head, metric="mean_ap_area", value=0.1)
        record = changed(CLASSIFICATION, seed=seed, measurements=(head, area))
        write_record(run / "record.json", record)
    return tmp_path / "results"


def run_report(*arguments: str | Path) -> Result:
    return call(report, *arguments)


def test_markdown_goes_to_stdout(runs: Path) -> None:
    result = run_report(runs)
    assert result.exit_code == 0
    assert "25.0 ± 7.1, 1x2" in result.stdout
    assert result.stderr == ""


def test_default_folder_is_results(runs: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(runs.parent)
    assert "25.0 ± 7.1, 1x2" in run_report().stdout


def test_several_folders_are_one_table(runs: Path) -> None:
    folders = sorted(runs.iterdir())
    assert "25.0 ± 7.1, 1x2" in run_report(*folders, runs).stdout


def test_out_writes_the_file_and_leaves_stdout_empty(runs: Path, tmp_path: Path) -> None:
    out = tmp_path / "new" / "table.json"
    result = run_report(runs, "--format", "json", "--out", out)
    assert result.stdout == ""
    assert json.loads(out.read_text(encoding="utf-8"))["tables"][0]["table"] == "2"


def test_collect_makes_one_named_file_per_run(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "collected" / "records"
    direct = run_report(runs, "--collect", folder).stdout
    names = sorted(path.name for path in folder.iterdir())
    assert len(names) == 2
    pattern = r"t2-context-classification-p0-s[01]-[0-9a-f]{12}\.json"
    assert all(re.fullmatch(pattern, name) for name in names)
    assert run_report(folder).stdout == direct
    assert run_report(folder.parent).stdout == direct


def test_collecting_again_changes_no_byte(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    run_report(runs, "--collect", folder)
    before = {path.name: path.stat().st_mtime_ns for path in folder.iterdir()}
    run_report(runs, "--collect", folder)
    assert {path.name: path.stat().st_mtime_ns for path in folder.iterdir()} == before


def test_collect_never_overwrites_other_numbers(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    run_report(runs, "--collect", folder)
    path = runs / "classification-s0" / "record.json"
    before = load_record(path)
    first, second = before.measurements
    write_record(path, replace(before, measurements=(replace(first, value=0.9), second)))
    with pytest.raises(InputError, match="holds other numbers of the same run than"):
        run_report(runs, "--collect", folder)


def test_a_copy_that_disagrees_is_refused(runs: Path, tmp_path: Path) -> None:
    folder = tmp_path / "records"
    run_report(runs, "--collect", folder)
    path = next(folder.glob("*-s0-*"))
    before = load_record(path)
    first, second = before.measurements
    write_record(path, replace(before, measurements=(replace(first, value=0.9), second)))
    with pytest.raises(InputError, match=r"two records of .* differ in value; remove one"):
        run_report(runs, folder)


def test_an_edited_record_is_refused(runs: Path) -> None:
    path = runs / "classification-s0" / "record.json"
    path.write_text(path.read_text().replace('"value": 0.2', '"value": 0.9'))
    with pytest.raises(InputError, match=r"record\.json: damaged or edited"):
        run_report(runs)


def test_refused_records_are_not_collected(runs: Path, tmp_path: Path) -> None:
    write_record(
        runs / "classification-s1" / "record.json", changed(CLASSIFICATION, tier="short", seed=2)
    )
    folder = tmp_path / "records"
    with pytest.raises(InputError, match="two values of tier"):
        run_report(runs, "--collect", folder)
    assert not folder.exists()


def test_folder_without_record_says_what_makes_one(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no record found; expected record\.json, which a fin"):
        run_report(tmp_path)


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"nowhere: no such file or folder; .* or a bundle"):
        run_report(tmp_path / "nowhere")


def test_broken_record_is_named(tmp_path: Path) -> None:
    (tmp_path / "record.json").write_text("[{", encoding="utf-8")
    with pytest.raises(InputError, match=r"record\.json: not a JSON record file"):
        run_report(tmp_path)


def test_html_is_a_page_on_stdout_or_in_a_file(runs: Path, tmp_path: Path) -> None:
    result = run_report(runs, "--format", "html")
    assert result.stdout.startswith("<!doctype html>")
    assert "25.0 ± 7.1" in result.stdout
    out = tmp_path / "report.html"
    assert run_report(runs, "--format", "html", "--out", out).stdout == ""
    assert out.read_text(encoding="utf-8") == result.stdout


def test_a_comparison_has_no_page(runs: Path) -> None:
    result = run_report(runs, "--format", "html", "--compare", "context", "random")
    assert result.exit_code == 2
    assert "only the tables are printed as html" in result.stderr


def test_two_formats_are_refused(runs: Path) -> None:
    assert (
        run_report(runs, "--json", "--format", "json").stdout == run_report(runs, "--json").stdout
    )
    result = run_report(runs, "--json", "--format", "csv")
    assert (result.exit_code, result.stdout) == (2, "")
    assert "leave out --format csv" in result.stderr


def test_unknown_format_is_a_usage_error(runs: Path) -> None:
    result = run_report(runs, "--format", "pdf")
    assert result.exit_code == 2
    assert "'markdown', 'latex', 'csv', 'json', 'html'" in result.stderr


def test_rows_of_later_papers_stand_beneath_the_tables(runner: CliRunner) -> None:
    results = str(Path(__file__).parents[2] / "results")
    text = runner.invoke(report, [results, "--with-quoted"]).stdout
    (line,) = [line for line in text.splitlines() if "(bigan)" in line]
    assert [cell.strip() for cell in line.split("|")][2:5] == ["58.9", "46.2", "34.9"]
    assert "47.2 / 47.4" in text  # Two papers quote the rescaled row of Wang and Gupta.
    latex = runner.invoke(report, [results, "--with-quoted", "--format", "latex"]).stdout
    assert latex.count(r"\begin{tabular}") == latex.count(r"\end{tabular}") > 2
    refused = runner.invoke(report, [results, "--with-quoted", "--format", "csv"])
    assert refused.exit_code == 2
