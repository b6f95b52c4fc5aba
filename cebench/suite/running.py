"""A suite from request to tables."""

import json
import logging
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from cebench.progress import clock
from cebench.suite import dry_run
from cebench.suite.estimates import Estimates, Forecast
from cebench.suite.fingerprints import listing_sha256
from cebench.suite.folder import SuiteFolder
from cebench.suite.machine import Shares, share_out
from cebench.suite.plan import Plan, SuiteRequest, known_plan
from cebench.suite.runner import Executor, SuiteRun, failure_report
from cebench.suite.suite_file import load_suite
from cebench.suite.view import watch
from cebench.suite.workers import LocalExecutor, call_apart, limit_threads

if TYPE_CHECKING:
    from cebench.suite.merging import Merged

logger = logging.getLogger("cebench")


@dataclass(frozen=True, kw_only=True)
class RunOptions:
    """How a suite is computed."""

    workers: int = 0
    """Cells at once; 0: one for each GPU, or as many as cores and memory allow."""
    threads: int = 0
    """Threads of each cell; 0: the suite's own number, or a worker's share of the cores."""
    device: str = "auto"
    retry: bool = False
    """Whether failed cells are tried again."""
    slurm: Mapping[str, str] | None = None
    """Parameters of SLURM's jobs; None: cells are computed on this machine."""


def open_plan(request: SuiteRequest, *, keep: bool = True, look: bool = False) -> Plan:
    """The plan of a suite: the stored one where it still holds, else a new one.

    keep: whether a new one is stored; without it nothing is written at all. look: nothing will be
    computed either, so that the folder may be another user's.
    """
    SuiteFolder(request.out).check(create=keep, look=look)
    plan = known_plan(request)
    return plan or call_apart(_make_plan, request, keep)


def _make_plan(request: SuiteRequest, keep: bool) -> Plan:
    from cebench.suite.planning import make_plan

    return make_plan(request, keep=keep)


def shares_of(request: SuiteRequest, options: RunOptions) -> Shares:
    """Workers and threads of a run; processes that start from now on keep to them."""
    suite = load_suite(request.file, request.data).suite
    shares = share_out(options.workers, options.threads or suite.threads, options.device)
    limit_threads(shares.threads)
    return shares


def dry_run_text(request: SuiteRequest, options: RunOptions, *, as_json: bool) -> str:
    """What `run_suite` would compute and take, in words or as a JSON object."""
    plan = open_plan(request, keep=False)
    found = dry_run.dry_run(plan, SuiteFolder(request.out), shares_of(request, options))
    return json.dumps(dry_run.as_json(found), indent=2) if as_json else dry_run.as_text(found)


def run_suite(request: SuiteRequest, options: RunOptions) -> str:
    """Compute what is not finished of a suite; returns its tables as Markdown.

    CebenchError, after all the other cells and the tables, if some failed.
    """
    began = time.monotonic()
    shares = shares_of(request, options)
    plan = open_plan(request)
    folder = SuiteFolder(request.out)
    if options.retry:
        folder.forget_failures(plan.cells)
    run = compute(plan, request, options, shares)
    text = tables_of(plan, request, changed=bool(run.computed))
    logger.info(f"{plan.title}: {clock(time.monotonic() - began)}")
    failure = failure_report(run)
    if failure:
        raise failure
    return text


def compute(plan: Plan, request: SuiteRequest, options: RunOptions, shares: Shares) -> SuiteRun:
    """Compute the cells of `plan`, on this machine or as jobs of SLURM."""
    executor = _executor(request.out, options, shares)
    planned = made_from(request)
    estimates = Estimates(plan.cells, SuiteFolder(request.out), shares.threads)
    with watch(Forecast(estimates, executor.workers)) as show:
        run = SuiteRun(
            plan.cells,
            SuiteFolder(request.out),
            executor,
            has_changed=lambda: made_from(request) != planned,
            show=show,
        )
        run.run()
    return run


def made_from(request: SuiteRequest) -> tuple[str, ...]:
    """Hashes of the suite's file, and of the recipes that its plan was made from."""
    plan = SuiteFolder(request.out).read_plan() or {"inputs": {}}
    recipes = (path for path in plan["inputs"].get("listings", ()) if path.endswith(".toml"))
    return request.text_sha256(), *(listing_sha256(Path(path)) for path in recipes)


def _executor(out: Path, options: RunOptions, shares: Shares) -> Executor:
    if options.slurm is None:
        return LocalExecutor(out, shares.workers, shares.threads, options.device, shares.gpus)
    from cebench.suite.slurm import slurm_executor

    return slurm_executor(out, options.workers, shares.threads, options.device, options.slurm)


def tables_of(plan: Plan, request: SuiteRequest, *, changed: bool) -> str:
    """The tables as Markdown; those that are there where nothing was computed since."""
    path = request.out / "tables.md"
    newest = max(result.stat().st_mtime for result in _results(plan, request.out))
    if not changed and path.exists() and path.stat().st_mtime >= newest:
        return path.read_text(encoding="utf-8")
    return call_apart(_write_tables, plan, request.out, request.seed)


def _write_tables(plan: Plan, out: Path, seed: int) -> str:
    from cebench.suite.report import write_tables

    return write_tables(plan, out, seed)


def merge_suite(request: SuiteRequest, sources: Sequence[Path], *, copy: bool = True) -> "Merged":
    """Take over what is finished in `sources` of a suite, see `merging.merge_into`."""
    from cebench.suite.merging import merge_into

    plan = open_plan(request, keep=copy)
    return merge_into(plan, SuiteFolder(request.out), sources, copy=copy)


def write_page(plan: Plan, request: SuiteRequest, page: Path) -> None:
    """Write the page of the report to the file `page`, of as many cells as are finished."""
    call_apart(_write_page, plan, request.out, page, request.seed)


def _write_page(plan: Plan, out: Path, page: Path, seed: int) -> None:
    from cebench.suite.report import write_page

    write_page(plan, out, page, seed)


def _results(plan: Plan, out: Path) -> list[Path]:
    folder = SuiteFolder(out)
    paths = [out / "plan.json", *(folder.result(cell) for cell in plan.cells)]
    return [path for path in paths if path.exists()]
