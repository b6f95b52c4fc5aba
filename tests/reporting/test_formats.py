"""The tables as CSV, JSON, LaTeX and HTML."""

import csv
import io
import json

from samples import DETECTION, changed, found

from cebench.metrics.image_intervals import METHOD
from cebench.reporting.formats import to_csv, to_json, to_latex, to_markdown
from cebench.reporting.records import Interval
from cebench.reporting.tables import build_tables

PSNR = changed(
    table="1", row="context-gan", column="psnr", metric="psnr_per_image_mean_db", unit="db"
)


def test_csv_carries_every_metric_unscaled() -> None:
    interval = Interval(low=0.1, high=0.2, level=0.95, method=METHOD)
    area = changed(metric="mean_ap_area", value=0.123456789012, interval=interval)
    lines = list(csv.DictReader(io.StringIO(to_csv(build_tables(found(DETECTION, area, PSNR))))))
    (line,) = [line for line in lines if line["metric"] == "mean_ap_area"]
    assert (line["table"], line["mean"], line["headline"]) == ("2", "0.123456789012", "False")
    assert (line["interval_low"], line["interval_high"]) == ("0.1", "0.2")
    assert (line["tier"], line["pretrainings"], line["fine_tunings"]) == ("short", "1", "[1]")
    (empty,) = [
        line for line in lines if (line["row"], line["column"]) == ("motion", "classification")
    ]
    assert (empty["n"], empty["mean"], empty["published"]) == ("0", "", "0.587")


def test_column_that_the_paper_lacks_is_in_csv_only() -> None:
    ssim = changed(PSNR, column="ssim", metric="ssim", unit="fraction", value=0.75)
    tables = build_tables(found(PSNR, ssim))
    assert "context-gan,ssim,ssim,True,fraction,True,short,100,1,1,[1],1,0.75" in to_csv(tables)
    assert "ssim" not in to_markdown(tables).lower()


def test_json_carries_every_metric_and_null_without_record() -> None:
    area = changed(metric="mean_ap_area", value=0.25)
    (table,) = json.loads(to_json(build_tables(found(DETECTION, area))))["tables"]
    cells = {(c["row"], c["column"], c["metric"]): c for c in table["cells"]}
    empty = (
        "sd",
        "sd_between",
        "sd_within",
        "published",
        "printed",
        "difference",
        "letters",
        "verdict",
    )
    intervals = ("interval_low", "interval_high", "interval_level", "interval_method")
    assert cells["context", "detection", "mean_ap_area"] == {
        **{"row": "context", "column": "detection", "metric": "mean_ap_area", "headline": False},
        **{"unit": "fraction", "higher_is_better": True, "tier": "short", "mean": 0.25},
        **{"images": 100, "n": 1, "pretrainings": 1, "fine_tunings": [1], "draws": 1},
        **dict.fromkeys((*empty, *intervals)),
    }
    assert cells["motion", "detection", "mean_ap_voc07_11pt"]["mean"] is None


def test_latex_is_booktabs_with_every_special_character_escaped() -> None:
    text = to_latex(build_tables(found(changed(row="my_method"), DETECTION)))
    assert all(rule in text for rule in (r"\toprule", r"\cmidrule(lr){3-4}", r"\bottomrule"))
    assert r"my\_method" in text
    assert r"Detection (\%)" in text
    assert "$<$1 minute" in text
    (line,) = [line for line in text.splitlines() if line.startswith("Ours")]
    assert line.endswith(r"44.0, 1x1 & 44.5 (other tier) & $-$0.5 & --- & 30.0 & --- \\")
    assert line.count("&") == 12


def test_a_table_that_the_paper_lacks_has_only_measured_numbers() -> None:
    tables = build_tables(found(changed(table="linear", column="conv3", metric="mean_ap_area")))
    text = to_markdown(tables)
    assert text.startswith("## Linear SVMs on frozen features")
    assert "44.0, 1x1" in text
    assert "published" not in text
    assert "of the paper" not in to_latex(tables).partition(r"\end{tabular}")[0]
    assert tables[0].cells["published"].isna().all()
