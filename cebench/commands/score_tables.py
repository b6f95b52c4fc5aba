"""Scores as tables in percent and decibels."""

import math
from collections.abc import Mapping
from typing import Any


def per_class_table(result: Mapping[str, Any]) -> str:
    """The means, the headline first, then a line for each class."""
    rows: dict[str, dict[str, Any]] = result["per_class"]
    keys = [key for key, value in next(iter(rows.values())).items() if not isinstance(value, list)]
    # The means are the result's other fractions.
    means = {key: value for key, value in result.items() if isinstance(value, float)}
    lines = [
        f"{_heading(key):<28}{_cell(value):>7}{_interval(value, result.get(f'{key}_ci95'))}"
        for key, value in means.items()
    ]
    lines += [f"{'images':<28}{result['images']:>7}", ""]
    lines.append("".join([f"{'class':<14}", *(f"{_heading(key):>17}" for key in keys)]))
    lines += [
        "".join([f"{name:<14}", *(f"{_cell(row[key]):>17}" for key in keys)])
        for name, row in rows.items()
    ]
    return "\n".join(lines)


def _interval(value: float, ends: list[float] | None) -> str:
    from cebench.metrics.image_intervals import outside_word

    if ends is None or math.isnan(ends[0]):
        return ""
    return f"   95 %: {_cell(ends[0])} to {_cell(ends[1])}{outside_word(value, *ends)}"


def _heading(key: str) -> str:
    counted = key in ("objects", "detections", "positives", "images", "pixels")
    return key if counted else f"{key} %"


def _cell(value: float) -> str:
    if isinstance(value, int):
        return str(value)
    return "-" if math.isnan(value) else f"{100 * value:.1f}"


def inpainting_table(result: Mapping[str, Any]) -> str:
    """A line for each error, in the hole and over the image."""
    lines = [f"{'':<24}{'hole':>8}{'image':>8}"]
    for key in result["hole"]:
        percent = key in ("mean_l1", "mean_l2")
        scale, digits = (100, 2) if percent else (1, 3 if key == "ssim" else 2)
        cells = [f"{scale * result[region][key]:>8.{digits}f}" for region in ("hole", "image")]
        lines.append(f"{key + (' %' if percent else ''):<24}{''.join(cells)}")
    lines.append(f"{'images':<24}{result['images']:>8}")
    shares = result.get("by_missing_share", [])
    if shares:
        names = ("images", "L1 % hole", "L2 % hole", "PSNR hole")
        lines += ["", f"{'missing':<16}" + "".join(f"{name:>12}" for name in names)]
    for part in shares:
        hole, share = part["hole"], f"{100 * part['above']:.0f} to {100 * part['up_to']:.0f} %"
        values = (100 * hole["mean_l1"], 100 * hole["mean_l2"], hole["psnr_per_image_mean_db"])
        lines.append(f"{share:<16}{part['images']:>12}" + "".join(f"{v:>12.2f}" for v in values))
    return "\n".join(lines)
