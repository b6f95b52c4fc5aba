import hashlib
from pathlib import Path

import pytest

from cebench.data.fingerprint import fingerprint_files
from cebench.errors import InputError


def tree(root: Path, contents: dict[str, str]) -> list[Path]:
    for name, content in contents.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(content)
    return [root / name for name in contents]


def test_order_and_place_do_not_matter_content_and_names_do(tmp_path: Path) -> None:
    contents = {"a/x.jpg": "one", "b/x.jpg": "two"}
    paths = tree(tmp_path / "here", contents)
    first = fingerprint_files(paths, tmp_path / "here")
    moved = tree(tmp_path / "there", contents)
    assert fingerprint_files(moved[::-1], tmp_path / "there") == first
    renamed = tree(tmp_path / "renamed", {"a/y.jpg": "one", "b/x.jpg": "two"})
    changed = tree(tmp_path / "changed", {"a/x.jpg": "two", "b/x.jpg": "one"})
    assert fingerprint_files(renamed, tmp_path / "renamed") != first
    assert fingerprint_files(changed, tmp_path / "changed") != first
    assert fingerprint_files(paths[:1], tmp_path / "here") != first


def test_the_hash_is_that_of_sorted_names_and_hashes(tmp_path: Path) -> None:
    paths = tree(tmp_path, {"b": "2", "a": "1"})
    lines = "".join(
        f"{n}\0{hashlib.sha256(c).hexdigest()}\n" for n, c in (("a", b"1"), ("b", b"2"))
    )
    assert fingerprint_files(paths) == hashlib.sha256(lines.encode()).hexdigest()


def test_an_absent_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"cannot read .*gone: No such file"):
        fingerprint_files([tmp_path / "gone"])
