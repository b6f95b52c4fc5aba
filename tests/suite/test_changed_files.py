"""Whether a run notices that what its plan was made from has changed."""

from pathlib import Path

from cebench.suite.plan import SuiteRequest
from cebench.suite.planning import make_plan
from cebench.suite.running import made_from


def test_an_edited_recipe_is_noticed_as_an_edited_suite_is(tmp_path: Path) -> None:
    recipe, suite = tmp_path / "mine.toml", tmp_path / "suite.toml"
    recipe.write_text('tier = "custom"\n')
    suite.write_text('title = "t"\n[tasks]\n[rows.random]\nrecipe = "mine.toml"\n')
    (tmp_path / "out").mkdir()
    request = SuiteRequest(file=str(suite), out=tmp_path / "out")
    make_plan(request)
    before = made_from(request)
    assert made_from(request) == before
    recipe.write_text('tier = "custom"\n# edited\n')
    assert made_from(request) != before
    recipe.write_text('tier = "custom"\n')
    suite.write_text(suite.read_text() + "# edited\n")
    assert made_from(request)[0] != before[0]
