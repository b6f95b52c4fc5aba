"""Making the plan of a suite: imports every method and task."""

from cebench.suite.expansion import Expansion
from cebench.suite.fingerprints import DataFingerprints
from cebench.suite.plan import Plan, SuiteRequest, store_plan
from cebench.suite.suite_file import load_suite


def make_plan(request: SuiteRequest, *, keep: bool = True) -> Plan:
    """The plan of a suite; InputError for a mistake in the suite.

    keep: whether plan and fingerprints are stored in the suite's folder.
    """
    loaded = load_suite(request.file, request.data)
    suite = loaded.suite
    fingerprints = DataFingerprints(request.out / "fingerprints.json", keep=keep)
    expansion = Expansion(suite, loaded.folder, fingerprints, request.seed, request.more)
    cells = expansion.cells()
    plan = Plan(
        title=suite.title,
        introduction=suite.introduction,
        caution=_caution(request, suite.pretrainings),
        cells=cells,
        toy=next((cell.folder for cell in cells if cell.verb == "draw"), ""),
    )
    if keep:
        store_plan(request, plan, fingerprints.listings)
    return plan


def _caution(request: SuiteRequest, pretrainings: int) -> str:
    """That seeds were added until rows differed, which tables do not show by themselves."""
    added = [row for row, count in request.more.items() if count > pretrainings]
    if not added:
        return ""
    return (
        f"Pretrainings of {' and '.join(added)} were added until the rows differed, or up to the "
        "most that were asked for: p values of their difference are too small. Confirm it with "
        "seeds that were not looked at."
    )
