"""Pairs of tracked patches on disk: mined from clips, and read in the published form.

OUT/patches/0000/00000-first.jpg   the patch, and -last.jpg, where it is some frames later
OUT/clips/0000.txt                 the pairs of one clip; where it stands the clip is done
OUT/pairs.txt                      all pairs, written last: two lines a pair, `FILE TRACK`
OUT/motion.json                    how they were mined, which clips, and the bytes of each
"""

import json
import logging
import re
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from filelock import FileLock, Timeout
from PIL import Image

from cebench.data.clips import Clip, find_clips, segments
from cebench.data.motion_windows import MotionSearch, tracked_pair
from cebench.errors import InputError
from cebench.files import check_writable, naming, write_atomically

PAIRS, MANIFEST = "pairs.txt", "motion.json"
FEWEST = 4
"""Pairs, each a track of its own: negatives are of other tracks, in training and held out."""
_LOCK = "motion.lock"
_TRACK = re.compile(r"-?[0-9]{1,18}")
"""A number that int64 holds."""

logger = logging.getLogger("cebench")

Report = Callable[[int, int], None]


def mine_pairs(
    sources: Sequence[Path],
    out: Path,
    search: MotionSearch,
    *,
    frames: int = 30,
    short_side: int = 448,
    report: Report = lambda done, total: None,
) -> int:
    """Mine pairs of tracked patches into the folder `out`, or go on where a former call ended.

    Args:
        sources: see `find_clips`.
        out: new, empty, or begun with the same sources and values.
        search: what counts as motion, and the tracker.
        frames: from a patch to the same patch later, both included; a pair is sought in each
            such stretch of a clip.
        short_side: to which frames are resized.
        report: called with (clips done, clips in all).

    Returns:
        The number of pairs.

    Raises:
        InputError: a source or a clip is bad, no clip shows motion, or `out` holds something else.
    """
    clips = check_mining(sources, out, search, frames=frames, short_side=short_side)
    _claim(out, _manifest(clips, search, frames, short_side))
    try:
        with FileLock(out / _LOCK, blocking=False):
            if not (out / PAIRS).exists():
                _mine_all(clips, out, search, frames, short_side, report)
    except Timeout:
        raise InputError(f"{out}: another process is mining into it; wait for it") from None
    pairs = len(read_pairs(out)[1])
    if pairs < FEWEST:
        logger.warning(
            f"{out}: `pretrain --method motion` needs {FEWEST} pairs or more, two to learn from "
            "and two to hold out; mine more clips into another --out, or lower --frames or "
            "--least-moving"
        )
    return pairs


def check_mining(
    sources: Sequence[Path], out: Path, search: MotionSearch, *, frames: int, short_side: int
) -> list[Clip]:
    """The clips that `mine_pairs` would look at; InputError where it could not start."""
    clips = find_clips(sources)
    if short_side < search.window or frames < 2:
        raise InputError(f"frames of {short_side} pixels hold no window of {search.window}")
    _check_out(out, _manifest(clips, search, frames, short_side))
    return clips


def _manifest(
    clips: Sequence[Clip], search: MotionSearch, frames: int, short_side: int
) -> dict[str, object]:
    return {
        "frames": frames,
        "short_side": short_side,
        **asdict(search),
        "clips": [clip.name for clip in clips],
        "bytes": [sum(file.stat().st_size for file in clip.files) for clip in clips],
    }


def read_pairs(path: Path) -> tuple[list[tuple[Path, Path]], np.ndarray]:
    """The pairs of a list, or of a folder that `mine_pairs` made, and the track of each.

    Two consecutive lines `FILE TRACK` are a pair, FILE relative to the list's folder: the form
    that xiaolonw/caffe-video_triplet reads.

    Returns:
        N pairs of files, and (N,) int64 tracks.

    Raises:
        InputError: there is no such list, or a line or a pair is not of this form.
    """
    listing = path / PAIRS if path.is_dir() else path
    try:
        text = listing.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        raise InputError(
            f"{path}: expected a list of tracked pairs, or the folder of `cebench data motion`"
        ) from None
    lines = [line.rsplit(maxsplit=1) for line in text.splitlines() if line.strip()]
    for number, line in enumerate(lines, start=1):
        if len(line) != 2 or not _TRACK.fullmatch(line[1]):
            raise InputError(f"{listing}: line {number}: expected FILE TRACK (a whole number)")
    if not lines or len(lines) % 2:
        raise InputError(f"{listing}: {len(lines)} lines; expected two for every pair")
    tracks = np.array([int(line[1]) for line in lines], dtype=np.int64).reshape(-1, 2)
    apart = np.flatnonzero(tracks[:, 0] != tracks[:, 1])
    if len(apart):
        raise InputError(
            f"{listing}: lines {2 * apart[0] + 1} and {2 * apart[0] + 2} are a pair but name "
            "different tracks"
        )
    files = [listing.parent / line[0] for line in lines]
    return list(zip(files[0::2], files[1::2], strict=True)), tracks[:, 0]


def _claim(out: Path, manifest: dict[str, object]) -> None:
    path = out / MANIFEST
    out.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        write_atomically(path, (json.dumps(manifest, indent=2) + "\n").encode())


def _check_out(out: Path, manifest: dict[str, object]) -> None:
    """InputError where `out` holds other files, or was begun otherwise."""
    path = out / MANIFEST
    check_writable(out)
    if not path.exists():
        if out.exists() and any(entry.name != _LOCK for entry in out.iterdir()):
            raise InputError(
                f"{out}: holds files but no mined patches; choose an empty or new --out"
            )
        return
    try:
        found = json.loads(path.read_text(encoding="utf-8"))
    except (json.JSONDecodeError, UnicodeDecodeError):
        raise InputError(f"{path}: damaged; remove {out} and begin anew") from None
    for key, value in manifest.items():
        if found.get(key, value) != value:  # older folders know no bytes
            raise InputError(
                f"{out}: was mined with other {key}; choose another --out or remove it"
            )


def _mine_all(
    clips: list[Clip],
    out: Path,
    search: MotionSearch,
    frames: int,
    short_side: int,
    report: Report,
) -> None:
    for folder in ("patches", "clips"):
        (out / folder).mkdir(exist_ok=True)
    report(0, len(clips))
    for number, clip in enumerate(clips):
        listing = out / "clips" / f"{number:04d}.txt"
        if not listing.exists():
            names = _mine_clip(clip, out, f"{number:04d}", search, frames, short_side)
            write_atomically(listing, "".join(f"{name}\n" for name in names).encode())
        report(number + 1, len(clips))
    listings = sorted((out / "clips").glob("*.txt"))
    names = [name for path in listings for name in path.read_text(encoding="utf-8").split()]
    if not names:
        raise InputError(
            f"no motion found in {len(clips)} clips (a clip needs {frames} frames): lower "
            "--least-moving or --frames"
        )
    lines = (f"{name} {line // 2}\n" for line, name in enumerate(names))
    write_atomically(out / PAIRS, "".join(lines).encode())


def _mine_clip(
    clip: Clip, out: Path, number: str, search: MotionSearch, frames: int, short_side: int
) -> list[str]:
    """Write the patches of a clip; the names of their files below `out`, two a pair."""
    names = []
    for index, part in enumerate(segments(clip, frames, short_side)):
        pair = tracked_pair(part, search)
        if pair is None:
            continue
        (out / "patches" / number).mkdir(exist_ok=True)
        for place, patch in zip(("first", "last"), pair, strict=True):
            names.append(f"patches/{number}/{index:05d}-{place}.jpg")
            with naming(out / names[-1]):
                Image.fromarray(patch).save(out / names[-1], quality=95, subsampling=0)
    return names
