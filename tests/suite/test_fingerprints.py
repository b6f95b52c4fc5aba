from pathlib import Path

import pytest

from cebench.suite.fingerprints import DataFingerprints, listing_sha256
from cebench.transfer.first_checks import resolve_recipe


def content(cache: Path, data: Path) -> str:
    return DataFingerprints(cache)(data)


def test_of_a_voc_year_the_devkits_folders_count_and_circles_are_passed_over(
    tmp_path: Path,
) -> None:
    data, cache = tmp_path / "VOCdevkit", tmp_path / "cache.json"
    year = data / "VOC2007"
    for folder in ("JPEGImages", "ImageSets/Main", "results/VOC2007/Main"):
        (year / folder).mkdir(parents=True)
    (year / "JPEGImages" / "000001.jpg").write_bytes(b"1")
    before = content(cache, data)
    (year / "results/VOC2007/Main/comp4_det_test_cat.txt").write_text("000001 1 1 1 9 9\n")
    (year / "notes.txt").write_text("mine")
    (year / "JPEGImages" / ".hidden").write_text("mine")
    (year / "ImageSets" / "up").symlink_to("../..")
    (year / "ImageSets" / "Main" / "up").symlink_to("../../..")
    assert content(cache, data) == before
    (data / "more.txt").write_text("beside the years")
    beside = content(cache, data)
    (year / "ImageSets/Main/train.txt").write_text("000001\n")
    assert len({before, beside, content(cache, data)}) == 3


def test_a_listing_takes_names_that_are_not_utf8(tmp_path: Path) -> None:
    (tmp_path / "caf\udce9.png").write_bytes(b"1")
    before = listing_sha256(tmp_path)
    (tmp_path / "caf\udce9.png").write_bytes(b"12")
    assert listing_sha256(tmp_path) != before


def test_a_list_in_the_current_folder_counts_with_its_content(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)
    recipe = resolve_recipe("knn", "smoke", ("test_set=mine.txt",))[0]
    fingerprints = DataFingerprints(tmp_path / "cache.json")
    (tmp_path / "mine.txt").write_text("000001")
    first = fingerprints.of_recipe(recipe)
    assert str(tmp_path / "mine.txt") in fingerprints.listings
    (tmp_path / "mine.txt").write_text("000001 000002")
    assert DataFingerprints(tmp_path / "cache.json").of_recipe(recipe) != first
