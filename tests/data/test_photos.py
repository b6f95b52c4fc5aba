import io
import os
import tarfile
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from cebench.data import photos as photos_module
from cebench.data.photos import Photo, find_photos
from cebench.errors import InputError


def png(value: int) -> bytes:
    buffer = io.BytesIO()
    Image.new("RGB", (4, 3), (value, 0, 0)).save(buffer, "PNG")
    return buffer.getvalue()


def write_tar(path: Path, members: dict[str, bytes], *special: tarfile.TarInfo) -> Path:
    with tarfile.open(path, "w") as tar:
        for name, content in members.items():
            info = tarfile.TarInfo(name)
            info.size = len(content)
            tar.addfile(info, io.BytesIO(content))
        for info in special:
            tar.addfile(info)
    return path


def link(name: str, kind: bytes, target: str) -> tarfile.TarInfo:
    info = tarfile.TarInfo(name)
    info.type, info.linkname = kind, target
    return info


def red(photo: Photo) -> int:
    return int(np.asarray(photo.resized(None))[0, 0, 0])


def test_a_folder_gives_names_and_classes_in_order(tmp_path: Path) -> None:
    for name in ("b/x/2.png", "a/1.png", "0.png", "notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(png(1))
    found = find_photos([tmp_path], "train")
    assert [(photo.name, photo.category) for photo in found] == [
        ("0.png", ""),
        ("a/1.png", "a"),
        ("b/x/2.png", "b"),
    ]
    assert all(photo.upright for photo in found)
    assert find_photos([tmp_path / "b", tmp_path], "train")[2].category == "x"
    assert len(find_photos([tmp_path, tmp_path / "b"], "train")) == 3
    assert len(find_photos([tmp_path, Path(os.path.relpath(tmp_path / "b"))], "train")) == 3


def test_a_photo_is_turned_alike_in_a_folder_and_in_an_archive(tmp_path: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    (tmp_path / "folder").mkdir()
    path = tmp_path / "folder" / "a.png"
    Image.new("RGB", (4, 3)).save(path, exif=exif)
    archive = write_tar(tmp_path / "a.tar", {"a.png": path.read_bytes()})
    for source in (tmp_path / "folder", archive):
        (found,) = find_photos([source], "train")
        assert found.dimensions() == found.resized(None).size == (3, 4)


def test_a_voc_year_gives_its_image_set_as_stored(tiny_voc: Path) -> None:
    found = find_photos([tiny_voc / "VOC2007"], "train")
    assert [photo.name for photo in found] == ["JPEGImages/000001.jpg", "JPEGImages/000002.jpg"]
    assert not any(photo.upright or photo.category for photo in found)


def test_tar_members_are_read_where_they_lie(tmp_path: Path) -> None:
    shards = tmp_path / "shards"
    shards.mkdir()
    write_tar(shards / "1.tar", {"./b.png": png(20), "a.png": png(10), "a.json": b"{}"})
    write_tar(shards / "0.tar", {"cats/._a.png": b"", "cats/a.png": png(30)})
    found = find_photos([shards], "train")
    assert [photo.name for photo in found] == ["0.tar/cats/a.png", "1.tar/b.png", "1.tar/a.png"]
    assert [red(photo) for photo in found] == [30, 20, 10]
    assert [photo.category for photo in found] == ["cats", "", ""]
    assert find_photos([shards / "1.tar"], "train") == found[1:]
    assert found[2].file_size == len(png(10))


def test_a_webdataset_says_the_class_beside_the_image(tmp_path: Path) -> None:
    members = {"n/00.seg.png": png(1), "n/00.cls": b"7\n", "n/01.png": png(2)}
    found = find_photos([write_tar(tmp_path / "a.tar", members)], "train")
    assert [photo.category for photo in found] == ["7", "n"]


def test_one_photograph_for_each_key_of_a_webdataset(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "cebench")
    masked = write_tar(tmp_path / "a.tar", {"0.seg.png": png(1), "0.png": png(9), "0.cls": b"3"})
    found = find_photos([masked], "train")
    assert [(red(photo), photo.category) for photo in found] == [(9, "3")]
    assert "1 images beside a photograph of their key are left out" in caplog.text
    for names in (("0.png", "0.jpg"), ("img.v1.0.png", "img.v1.1.png")):
        archive = write_tar(tmp_path / "b.tar", dict.fromkeys(names, png(1)))
        with pytest.raises(InputError, match=rf"{names[0]} and {names[1]} have one key"):
            find_photos([archive], "train")


def test_what_lies_beside_tar_files_is_counted(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    write_tar(tmp_path / "0.tar", {"0.png": png(1)})
    (tmp_path / "more").mkdir()
    (tmp_path / "more" / "a.png").write_bytes(png(2))
    (tmp_path / "1.tar.gz").write_bytes(b"")
    (tmp_path / "README.md").write_text("shards")
    assert len(find_photos([tmp_path], "train")) == 1
    assert "2 images or compressed tar files beside its tar files are left out" in caplog.text
    (tmp_path / "0.tar").unlink()
    (tmp_path / "more" / "a.png").unlink()
    with pytest.raises(InputError, match=r"1\.tar\.gz is compressed: unpack it"):
        find_photos([tmp_path], "train")


def test_a_voc_devkit_is_no_folder_of_images(tiny_voc: Path) -> None:
    with pytest.raises(InputError, match=r"holds VOC years; give one of them: .*VOC2007"):
        find_photos([tiny_voc], "train")


def test_a_tar_without_its_end_mark_is_a_part(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": png(1), "b.png": png(2)})
    path.write_bytes(path.read_bytes()[: 2 * (512 + 512)])
    with pytest.raises(InputError, match=r"a\.tar ends without its end mark"):
        find_photos([path], "train")


def test_hostile_members_are_never_read_and_never_dropped_silently(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    secret = tmp_path / "secret.png"
    secret.write_bytes(png(99))
    monkeypatch.setattr(photos_module, "LARGEST_MEMBER", 1000)
    archive = write_tar(
        tmp_path / "hostile.tar",
        {"../up.png": png(1), "/etc/root.png": png(1), "big.png": bytes(1001), "good.png": png(5)},
        link("soft.png", tarfile.SYMTYPE, str(secret)),
        link("hard.png", tarfile.LNKTYPE, "../secret.png"),
        link("pipe.png", tarfile.FIFOTYPE, ""),
        link("label.cls", tarfile.SYMTYPE, str(secret)),
    )
    found = {photo.member: photo for photo in find_photos([archive], "train")}
    assert red(found.pop("good.png")) == 5
    reasons = {
        "../up.png": "leads out of its archive",
        "/etc/root.png": "leads out of its archive",
        "big.png": "is larger than",
        "soft.png": "is a link",
        "hard.png": "is a link",
        "pipe.png": "is a link",
    }
    assert found.keys() == reasons.keys()
    for name, reason in reasons.items():
        with pytest.raises(InputError, match=reason):
            found[name].read()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["hostile.tar", "secret.png"]


@pytest.mark.parametrize(
    ("content", "message"),
    [(b"no tar" * 200, "no uncompressed tar file"), (b"", "no uncompressed tar"), (None, "such")],
)
def test_what_is_no_source_is_one_line(tmp_path: Path, content: bytes, message: str) -> None:
    path = tmp_path / "a.tar"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(InputError, match=message):
        find_photos([path], "train")


def test_a_truncated_tar_is_named(tmp_path: Path) -> None:
    path = write_tar(tmp_path / "a.tar", {"a.png": png(1), "b.png": bytes(5000)})
    path.write_bytes(path.read_bytes()[:3000])
    with pytest.raises(InputError, match=r"a\.tar is no uncompressed tar file, or a damaged one"):
        find_photos([path], "train")


def test_an_archive_without_images_is_a_mistake(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no images in .*a\.tar"):
        find_photos([write_tar(tmp_path / "a.tar", {"a.txt": b"x"})], "train")
