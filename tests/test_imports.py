"""The layers: imports point down, some packages are independent of each other, --help is light."""

import ast
import json
import subprocess
import sys
from pathlib import Path

import pytest

from cebench.cli import COMMANDS

ROOT = Path(__file__).parents[1]
LAYERS = [
    {"cli", "__main__", "commands", "suite"},
    {"pretrain", "transfer"},
    {"reporting", "training", "inpainting", "plots"},
    {"weights"},
    {"data", "models", "metrics", "toy"},
    {"config", "distributed", "devices", "progress", "logs", "run_options"},
    {"files", "randomness"},
    {"errors"},
    {"__init__"},
]
"""From top to bottom; a package imports from its own layer or a lower one."""
INDEPENDENT = [{"pretrain", "transfer"}, {"data", "models", "metrics"}]
"""Packages of which no two import each other."""
MODULES_AT_THE_ROOT = 12
"""At most so many modules of cebench/ lie in no package."""


def source_files() -> dict[str, Path]:
    """Module name -> file."""
    files = {}
    for folder, root in (("cebench", "cebench"), ("pretrain", ""), ("transfer", "")):
        for path in (ROOT / folder).rglob("*.py"):
            parts = path.relative_to(ROOT).with_suffix("").parts
            name = ".".join(parts if root else ("cebench", *parts))
            files[name.removesuffix(".__init__")] = path
    return files


FILES = source_files()


def imported_modules(module: str) -> set[str]:
    """Project modules that `module` imports anywhere, function bodies included."""
    path = FILES[module]
    own_package = module if path.stem == "__init__" else module.rpartition(".")[0]
    names: set[str] = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            above = own_package.rsplit(".", node.level - 1)[0] if node.level else ""
            origin = ".".join(part for part in (above, node.module or "") if part)
            # `from package import module` names a module, `from module import thing` does not.
            submodules = {f"{origin}.{alias.name}" for alias in node.names} & FILES.keys()
            names |= submodules or {origin}
    return {name for name in names if name.split(".")[0] == "cebench"}


def package(module: str) -> str:
    return module.split(".")[1] if "." in module else "__init__"


def layer(module: str) -> int:
    return next(n for n, packages in enumerate(LAYERS) if package(module) in packages)


def test_every_room_has_a_layer() -> None:
    assert {package(module) for module in FILES} <= set().union(*LAYERS)


@pytest.mark.parametrize("module", sorted(FILES))
def test_imports_point_down(module: str) -> None:
    upward = {name for name in imported_modules(module) if layer(name) < layer(module)}
    assert not upward


@pytest.mark.parametrize("module", sorted(FILES))
def test_independent_packages_do_not_meet(module: str) -> None:
    for packages in INDEPENDENT:
        if package(module) in packages:
            met = {package(name) for name in imported_modules(module)} & packages
            assert met <= {package(module)}


def test_few_modules_lie_at_the_root() -> None:
    assert len(list((ROOT / "cebench").glob("*.py"))) <= MODULES_AT_THE_ROOT


def test_no_module_imports_itself_through_others() -> None:
    graph = {module: imported_modules(module) & FILES.keys() for module in FILES}
    while leaves := {module for module, below in graph.items() if not below}:
        graph = {m: below - leaves for m, below in graph.items() if m not in leaves}
    assert not graph, f"import cycles among {sorted(graph)}"


def test_pretrain_and_transfer_name_their_siblings_relatively() -> None:
    for module, path in FILES.items():
        if package(module) in ("pretrain", "transfer"):
            tree = ast.walk(ast.parse(path.read_text(encoding="utf-8")))
            origins = [node.module or "" for node in tree if isinstance(node, ast.ImportFrom)]
            assert not [o for o in origins if o.startswith(f"cebench.{package(module)}")], path


def modules_after(*arguments: str) -> set[str]:
    """Top-level modules that `cebench *arguments` has imported when it ends."""
    script = (
        "import json, sys; before = set(sys.modules); sys.argv[0] = 'cebench'\n"
        "from cebench.cli import main\n"
        "try: main()\n"
        "except SystemExit as stop: assert not stop.code, stop.code\n"
        "names = {name.split('.')[0] for name in set(sys.modules) - before}\n"
        "print(json.dumps(sorted(names)), file=sys.stderr)\n"
    )
    ended = subprocess.run(
        [sys.executable, "-P", "-c", script, *arguments],
        capture_output=True,
        text=True,
        check=False,
    )
    assert ended.returncode == 0, ended.stderr
    return set(json.loads(ended.stderr.splitlines()[-1]))


@pytest.mark.parametrize("arguments", [(), *((name,) for name in COMMANDS)])
def test_help_imports_only_click_and_the_standard_library(arguments: tuple[str, ...]) -> None:
    foreign = modules_after(*arguments, "--help") - sys.stdlib_module_names
    assert foreign <= {"cebench", "click"}
