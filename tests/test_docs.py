"""The documentation builds without warnings, and every link inside it leads somewhere."""

import importlib.util
import re
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

ROOT = Path(__file__).parents[1]
NEEDED = ("sphinx", "furo", "myst_parser", "sphinx_click")
PAGES = ("README.md", "CONTRIBUTING.md", "CHANGELOG.md")


class _Page(HTMLParser):
    """Ids and links of one page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.ids: set[str] = set()
        self.links: list[str] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        values = dict(attrs)
        self.ids.add(values.get("id") or "")
        self.links += [values[key] or "" for key in ("href", "src") if key in values]


@pytest.mark.parametrize("name", PAGES)
def test_links_of_the_pages_at_the_root_lead_to_files(name: str) -> None:
    text = (ROOT / name).read_text(encoding="utf-8")
    targets = re.findall(r"\]\(([^)#]+)[^)]*\)", text)
    local = [target for target in targets if "://" not in target]
    assert [target for target in local if not (ROOT / target).exists()] == []


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    if missing := [name for name in NEEDED if importlib.util.find_spec(name) is None]:
        pytest.skip(f"without {', '.join(missing)}; tox -e docs builds the site")
    if not (ROOT / "docs").is_dir():
        pytest.skip("no docs/ beside the tests")
    out = tmp_path_factory.mktemp("site")
    command = [sys.executable, "-m", "sphinx", "-W", "--keep-going", "-q", "-E"]
    built = subprocess.run(
        [*command, "-d", str(out / "doctrees"), str(ROOT / "docs"), str(out / "html")],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    return out / "html"


@pytest.mark.slow
def test_every_link_of_the_site_leads_to_a_page_and_an_anchor(site: Path) -> None:
    pages = {path: _Page(path.read_text(encoding="utf-8")) for path in site.rglob("*.html")}
    assert len(pages) > 40
    broken = []
    for path, page in pages.items():
        for link in page.links:
            if re.match(r"[a-z]+:|//", link) or not link:
                continue
            file, _, anchor = unquote(link).partition("#")
            target = (path.parent / file.split("?")[0]).resolve() if file else path
            if not target.exists() or (anchor and anchor not in pages[target].ids):
                broken.append(f"{path.relative_to(site)}: {link}")
    assert broken == []


@pytest.mark.slow
def test_generated_pages_hold_what_they_are_made_of(site: Path) -> None:
    generated = site / "generated"
    detection = (generated / "protocols/detection.html").read_text(encoding="utf-8")
    assert "Selective Search" in detection
    assert 'id="detection-schedule"' in detection
    recipe = (generated / "recipes/detection.html").read_text(encoding="utf-8")
    assert "../protocols/detection.html#detection-schedule" in recipe
    assert "--recipe" in (generated / "commands/transfer.html").read_text(encoding="utf-8")
