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
        cells=cells,
        toy=next((cell.folder for cell in cells if cell.verb == "draw"), ""),
    )
    if keep:
        store_plan(request, plan, fingerprints.listings)
    return plan
