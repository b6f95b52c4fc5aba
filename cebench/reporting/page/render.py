"""The page as text: one file, with its styles and its script inside."""

from collections.abc import Sequence
from importlib import resources

import jinja2

from cebench.reporting.records import RecordFile
from cebench.reporting.tables import Table

from .charts import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH
from .content import PageContent, page_content

_PACKAGE = "cebench.reporting.page"


def to_html(found: Sequence[RecordFile], tables: Sequence[Table]) -> str:
    """The report's page; arguments as for `page_content`."""
    return render_page(page_content(found, tables))


def render_page(content: PageContent) -> str:
    """`content` as HTML; every text of it is escaped."""
    environment = jinja2.Environment(
        loader=jinja2.FunctionLoader(_read),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    # The order of rows is that of the tables, not of the alphabet.
    environment.policies["json.dumps_kwargs"] = {"sort_keys": False}
    frame = {
        "width": WIDTH,
        "height": HEIGHT,
        "left": LEFT,
        "right": WIDTH - RIGHT,
        "top": TOP,
        "bottom": HEIGHT - BOTTOM,
    }
    text = environment.get_template("page.html").render(
        page=content, frame=frame, style=_read("page.css"), script=_read("page.js")
    )
    return f"{text.rstrip()}\n"


def _read(name: str) -> str:
    return resources.files(_PACKAGE).joinpath(name).read_text(encoding="utf-8")
