"""What the wheel holds, and that the commands that people are told to type are the ones CI runs."""

import tomllib
from importlib import metadata, resources
from pathlib import Path, PurePath

import cebench

ROOT = Path(__file__).parents[1]
PYPROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
SETUPTOOLS = PYPROJECT["tool"]["setuptools"]
FOLDERS = ("cebench", "pretrain", "transfer")
INSTALL = "python3 -m venv .venv && .venv/bin/pip install . && .venv/bin/cebench quickstart"
TEST = "python3 -m venv .venv-tox && .venv-tox/bin/pip install tox && .venv-tox/bin/tox"


def package_name(folder: Path) -> str:
    parts = folder.relative_to(ROOT).parts
    return ".".join(parts if parts[0] == "cebench" else ("cebench", *parts))


def shipped_files(pattern: str) -> list[Path]:
    found = [path for folder in FOLDERS for path in (ROOT / folder).rglob(pattern)]
    return [path for path in found if path.is_file() and "__pycache__" not in path.parts]


def test_every_package_folder_is_listed() -> None:
    folders = {package_name(path.parent) for path in shipped_files("*.py")}
    assert folders == set(SETUPTOOLS["packages"])


def test_every_package_folder_has_an_init() -> None:
    assert all((path.parent / "__init__.py").exists() for path in shipped_files("*.py"))


def test_every_other_file_is_package_data() -> None:
    patterns = SETUPTOOLS["package-data"]["*"]
    for path in shipped_files("*"):
        if path.suffix != ".py":
            package = next(p for p in path.parents if (p / "__init__.py").exists())
            inside = PurePath(path.relative_to(package))
            # PurePath.match looks at the end of a path: as many parts as the pattern has.
            assert any(
                inside.match(pattern) and len(inside.parts) == len(PurePath(pattern).parts)
                for pattern in patterns
            ), f"{path} would be missing from the wheel"


def test_installed_package_has_its_data() -> None:
    assert resources.files("cebench").joinpath("py.typed").is_file()
    for name in ("published.toml", "quoted.toml", "ledger.toml"):
        assert resources.files("cebench.reporting").joinpath(name).is_file()
    for name in ("page.html", "page.css", "page.js"):
        assert resources.files("cebench.reporting.page").joinpath(name).is_file()
    for package in ("cebench.pretrain", "cebench.transfer"):
        folders = resources.files(package).joinpath("recipes").iterdir()
        assert all(folder.joinpath("short.toml").is_file() for folder in folders)


def test_version_and_licence_are_stated_once_and_agree() -> None:
    assert metadata.version("cebench") == cebench.__version__
    assert f"version: {cebench.__version__}" in (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    assert (ROOT / "LICENSE").read_text(encoding="utf-8").startswith("MIT License")


def test_readme_and_ci_type_the_same_commands() -> None:
    readme = (ROOT / "README.md").read_text(encoding="utf-8")
    assert INSTALL in readme
    assert TEST in readme
    assert TEST in (ROOT / ".ci" / "run").read_text(encoding="utf-8")
    assert "bash .ci/run" in (ROOT / ".github/workflows/ci.yml").read_text(encoding="utf-8")


def test_one_version_of_ruff_everywhere() -> None:
    pinned = (ROOT / "tox.ini").read_text(encoding="utf-8").split("ruff==")[1].split()[0]
    hooks = (ROOT / ".pre-commit-config.yaml").read_text(encoding="utf-8")
    assert f"rev: v{pinned}" in hooks


def test_paths_given_to_tox_reach_only_the_pytest_that_has_tests_everywhere() -> None:
    tox = (ROOT / "tox.ini").read_text(encoding="utf-8")
    narrowed = [line for line in tox.splitlines() if "{posargs}" in line]
    assert [line.split('"')[1] for line in narrowed] == ["not alone and not long"]
