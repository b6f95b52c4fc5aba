"""`cebench data`: check data sets; draw the toy world."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from cebench.data.verify import Findings


@click.group()
def data() -> None:
    """Verify data sets; draw the toy world."""


@data.command()
@click.argument("path", type=click.Path(path_type=Path))
@click.option("--json", "as_json", is_flag=True, help="Print one JSON object.")
@click.pass_context
def verify(context: click.Context, path: Path, as_json: bool) -> None:
    """Read every file of the data set PATH; count what is there, name what is missing or broken.

    PATH is a VOCdevkit or one year of it, an SBD tree (benchmark_RELEASE), a folder of images, or
    a folder that holds several of these. Exit status: 0 all is well, 1 something is missing or
    broken, 2 PATH is no such thing.
    """
    from cebench.data.verify import data_sets_at
    from cebench.progress import progress

    findings = []
    for name, verify_one in data_sets_at(path).items():
        with progress(f"verifying {name}", "images") as report:
            findings.append(verify_one(report))
    problems = sum(len(item.problems) for item in findings)
    if as_json:
        summary = {
            "path": str(path),
            "problems": problems,
            "data_sets": [asdict(item) | {"root": str(item.root)} for item in findings],
        }
        click.echo(json.dumps(summary, indent=2))
    else:
        click.echo("\n\n".join(_as_text(item) for item in findings))
    if problems:
        context.exit(1)


@data.command()
@click.argument("folder", type=click.Path(path_type=Path, file_okay=False), metavar="DIR")
@click.option(
    "--images",
    type=click.IntRange(min=1),
    default=100,
    show_default=True,
    help="Images of each VOC year; the other parts follow from it.",
)
@click.option("--seed", type=int, default=0, show_default=True, help="Same seed, same bytes.")
def toy(folder: Path, images: int, seed: int) -> None:
    """Draw a small synthetic world into DIR, in the layouts of the real data sets.

    DIR then holds VOCdevkit/VOC2007 and VOC2012, benchmark_RELEASE (SBD), unlabeled images and
    facades: every command runs on it, offline.
    """
    from cebench.data.toy.world import write_toy_world
    from cebench.progress import progress

    with progress("drawing", "images") as report:
        write_toy_world(folder, images=images, seed=seed, report=report)
    click.echo(f"{folder} holds the toy world of {images} images, seed {seed}")


def _as_text(findings: "Findings") -> str:
    lines = [f"{findings.kind}  {findings.root}", f"  {findings.images} images"]
    if findings.boxes:
        lines.append(f"  {findings.boxes} boxes, {findings.difficult} of them difficult")
    if findings.masks:
        share = f"{100 * findings.void_share:.1f} % of their pixels void"
        lines.append(f"  {findings.masks} label images, {share}")
    lines += [f"  {count} in {name}" for name, count in findings.sets.items()]
    if findings.per_class:
        lines.append("  class         boxes  difficult  images  label images")
    lines += [
        f"  {name:<12}{count.boxes:>7}{count.difficult:>11}{count.images:>8}{count.masks:>14}"
        for name, count in findings.per_class.items()
    ]
    verdict = f"{len(findings.problems)} missing or broken:" if findings.problems else "all is well"
    return "\n".join([*lines, f"  {verdict}", *(f"    {line}" for line in findings.problems)])
