"""What stands on the page: each part only where the data for it were found."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from cebench import __version__
from cebench.config import RecipeTier
from cebench.reporting.comparison import PublishedVerdict
from cebench.reporting.comparison_formats import HEADINGS
from cebench.reporting.notes import TIERS, VERDICTS
from cebench.reporting.published import load_published
from cebench.reporting.quoted import load_quoted
from cebench.reporting.records import RecordFile
from cebench.reporting.tables import Table

from .classes import ClassTable, class_tables
from .curves import ChartGroup, learning_curves, precision_recall
from .gallery import Gallery, galleries
from .pictures import Picture, PictureBudget, PictureFile, sheets
from .runs import RUN_HEADINGS, Text, run_lines, runs_of
from .tables import TableView, table_view


@dataclass(frozen=True, kw_only=True)
class PageContent:
    """All that the template shows, as plain data."""

    title: str
    introduction: str
    version: str
    paper: str
    tables: Sequence[TableView]
    pair_headings: Sequence[str]
    classes: Sequence[ClassTable]
    precision_recall: Sequence[ChartGroup]
    learning_curves: Sequence[ChartGroup]
    galleries: Sequence[Gallery]
    pictures: Sequence[Picture]
    left_out: Sequence[str]
    """Pictures for which there was no room, or which cannot be read."""
    run_headings: Sequence[str]
    runs: Sequence[Sequence[Text]]
    tiers: Mapping[RecipeTier, str]
    verdicts: Mapping[PublishedVerdict, str]
    quoted_checked: bool
    quoted_sources: Mapping[str, str]

    @property
    def lettered(self) -> bool:
        """Whether rows were compared."""
        return any(table.pairs for table in self.tables)


def page_content(
    found: Sequence[RecordFile],
    tables: Sequence[Table],
    title: str = "cebench report",
    introduction: str = "",
    pictures: Sequence[PictureFile] = (),
) -> PageContent:
    """The content of the page of `tables`.

    Args:
        found: all records, those without numbers in a table too, with their files.
        tables: with letters where outcomes are stored.
        title: of the page.
        introduction: a paragraph before the tables.
        pictures: further pictures, which come first.
    """
    runs, budget = runs_of(found), PictureBudget()
    curves = precision_recall(tables)
    further = [p for file in pictures if (p := budget.embed(file.path, file.caption))]
    of_runs = sheets(runs, budget, curves_drawn=bool(curves))
    return PageContent(
        title=title,
        introduction=introduction,
        version=__version__,
        paper=load_published().paper,
        tables=[table_view(table) for table in tables],
        pair_headings=HEADINGS,
        classes=class_tables(tables),
        precision_recall=curves,
        learning_curves=learning_curves(runs),
        galleries=galleries(runs, budget),
        pictures=[*further, *of_runs],
        left_out=budget.left_out,
        run_headings=RUN_HEADINGS,
        runs=run_lines(runs),
        tiers=TIERS,
        verdicts=VERDICTS,
        quoted_checked=load_quoted().checked,
        quoted_sources=load_quoted().sources,
    )
