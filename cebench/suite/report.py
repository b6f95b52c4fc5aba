"""The tables and the page of a suite, of as many cells as are finished."""

from collections.abc import Sequence
from pathlib import Path

from cebench.files import write_atomically
from cebench.reporting.formats import to_markdown
from cebench.reporting.page.content import page_content
from cebench.reporting.page.pictures import PictureFile
from cebench.reporting.page.render import render_page
from cebench.reporting.records import RecordFile, load_record, record_name, write_record
from cebench.reporting.tables import Table, build_tables
from cebench.reporting.verdicts import with_letters
from cebench.suite.folder import SuiteFolder
from cebench.suite.pictures import draw_masks
from cebench.suite.plan import Plan

TABLES, PAGE = "tables.md", "index.html"
MASKS = "Missing regions: the paper's Figure 3, and the released code's"


def found_records(plan: Plan, out: Path) -> list[RecordFile]:
    """The records of the plan's finished cells."""
    folder = SuiteFolder(out)
    paths = [folder.result(cell) for cell in plan.cells if cell.verb in ("pretrain", "transfer")]
    return [(path, load_record(path)) for path in paths if path.exists()]


def write_tables(plan: Plan, out: Path, seed: int) -> str:
    """Write tables.md, index.html and copies of the records; returns the tables as Markdown."""
    found, tables = _tables(plan, out)
    _copy_records(tables, out / "records")
    text = to_markdown(tables) + (f"\n**{plan.caution}**\n" if plan.caution else "")
    write_atomically(out / TABLES, text.encode())
    _write_page(plan, out, out / PAGE, (found, tables), seed)
    return text


def write_page(plan: Plan, out: Path, page: Path, seed: int) -> None:
    """Write the page to the file `page`, of what there is so far; what is not is a dash."""
    page.parent.mkdir(parents=True, exist_ok=True)
    _write_page(plan, out, page, _tables(plan, out), seed)


def _tables(plan: Plan, out: Path) -> tuple[list[RecordFile], list[Table]]:
    found = found_records(plan, out)
    return found, with_letters(build_tables(found))


def _write_page(
    plan: Plan, out: Path, page: Path, found: tuple[list[RecordFile], list[Table]], seed: int
) -> None:
    pictures = []
    if plan.toy and (out / plan.toy / "toy.json").exists():
        sheet = out / "pictures" / "masks.png"
        drawn = (out / plan.toy / "toy.json").stat().st_mtime
        if not sheet.exists() or sheet.stat().st_mtime < drawn:
            sheet.parent.mkdir(exist_ok=True)
            draw_masks(out / plan.toy, sheet, seed)
        pictures.append(PictureFile(sheet, MASKS))
    introduction = " ".join(part for part in (plan.introduction, plan.caution) if part)
    content = page_content(*found, plan.title, introduction, pictures)
    write_atomically(page, render_page(content).encode())


def _copy_records(tables: Sequence[Table], folder: Path) -> None:
    """Several runs may write them at once: each file is whole, and what is of no table goes."""
    folder.mkdir(exist_ok=True)
    records = {f"{record_name(r)}.json": r for table in tables for _, r in table.files}
    for name, record in records.items():
        write_record(folder / name, record)
    for path in folder.glob("*.json"):
        if path.name not in records:
            path.unlink(missing_ok=True)
