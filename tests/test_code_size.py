"""Files and functions stay short, arguments have types, public names have docstrings.

`python tests/test_code_size.py` prints the 90th percentile and the largest of each folder.
"""

import ast
import functools
import io
import tokenize
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from textwrap import dedent

import numpy as np

ROOT = Path(__file__).parents[1]
PACKAGE = ("cebench", "pretrain", "transfer")
FOLDERS = (*PACKAGE, "tests", "benchmarks", "docs")
FILE_LINES = 350
FUNCTION_CODE_LINES = 50

Function = ast.FunctionDef | ast.AsyncFunctionDef
_NO_CODE = {
    *(tokenize.COMMENT, tokenize.NL, tokenize.NEWLINE),
    *(tokenize.INDENT, tokenize.DEDENT, tokenize.ENDMARKER),
}

_WITHOUT_METHODS = {"NamedTuple", "Protocol", "Generic", "BaseModel"}
"""Bases outside the package from which no class has methods to override."""


@dataclass(frozen=True)
class Source:
    """A parsed file."""

    path: str
    text: str
    tree: ast.Module

    @classmethod
    def of(cls, text: str, path: str = "some.py") -> "Source":
        return cls(path, text, ast.parse(text))

    def functions(self) -> Iterator[Function]:
        return (node for node in ast.walk(self.tree) if isinstance(node, Function))

    def code_lines(self) -> dict[str, int]:
        """Place and name of each function -> its lines without docstring, comments and blanks."""
        tokens = tokenize.generate_tokens(io.StringIO(self.text).readline)
        spans = [(t.start[0], t.end[0]) for t in tokens if t.type not in _NO_CODE]
        code = {line for start, end in spans for line in range(start, end + 1)}
        return {
            f"{self.path}:{node.lineno} {node.name}": len(code & _lines(node) - _docstring(node))
            for node in self.functions()
        }


@functools.cache
def sources(*folders: str) -> list[Source]:
    paths = (path for folder in folders for path in sorted((ROOT / folder).rglob("*.py")))
    return [
        Source.of(path.read_text(encoding="utf-8"), str(path.relative_to(ROOT))) for path in paths
    ]


def _lines(node: Function | ast.Expr) -> set[int]:
    return set(range(node.lineno, (node.end_lineno or node.lineno) + 1))


def _docstring(node: Function) -> set[int]:
    first = node.body[0]
    return _lines(first) if ast.get_docstring(node) and isinstance(first, ast.Expr) else set()


def without_type(source: Source) -> list[str]:
    """Arguments without an annotation, `self` and `cls` aside, and results without one."""
    missing = []
    for node in source.functions():
        given = node.args
        named = [*given.posonlyargs, *given.args, *given.kwonlyargs]
        every = [*named, *(extra for extra in (given.vararg, given.kwarg) if extra)]
        bare = [a.arg for a in every if a.annotation is None and a.arg not in ("self", "cls")]
        bare += ["return"] if node.returns is None else []
        missing += [f"{source.path}:{node.lineno} {node.name}: {name}" for name in bare]
    return missing


def without_docstring(package: list[Source]) -> list[str]:
    """Public modules, classes, functions and methods that nothing documents.

    A method needs none where its class may have it from elsewhere: from a class outside the
    package, or from one inside or a protocol that defines it.
    """
    classes = {
        node.name: node
        for source in package
        for node in ast.walk(source.tree)
        if isinstance(node, ast.ClassDef)
    }
    protocols = [name for name in classes if "Protocol" in _bases(classes[name])]
    agreed = {name for protocol in protocols for name in _methods(classes[protocol])}
    missing = []
    for source in package:
        if source.tree.body and not ast.get_docstring(source.tree):
            missing.append(f"{source.path}: module")
        for name, node in _public(source.tree):
            owner, _, method = name.rpartition(".")
            known = agreed | _inherited(owner, classes) if owner and owner not in protocols else ()
            if not ast.get_docstring(node) and method not in known and "*" not in known:
                missing.append(f"{source.path}:{node.lineno} {name}")
    return missing


def _public(tree: ast.Module) -> Iterator[tuple[str, Function | ast.ClassDef]]:
    """Public functions and classes of a module and public methods of these: name -> node."""
    for node in tree.body:
        if isinstance(node, Function | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            for name, method in _methods(node).items() if isinstance(node, ast.ClassDef) else ():
                if not name.startswith("_"):
                    yield f"{node.name}.{name}", method


def _methods(node: ast.ClassDef) -> dict[str, Function]:
    return {inner.name: inner for inner in node.body if isinstance(inner, Function)}


def _bases(node: ast.ClassDef) -> set[str]:
    names = (ast.unparse(base).partition("[")[0] for base in node.bases)
    return {name.rpartition(".")[2] for name in names}


def _inherited(name: str, classes: dict[str, ast.ClassDef]) -> set[str]:
    """Methods of all bases of a class; `*` for those of a base that is not in the package."""
    found: set[str] = set()
    others = {other: node for other, node in classes.items() if other != name}
    for base in _bases(classes[name]) - _WITHOUT_METHODS:
        known = base in others
        found |= {*_methods(others[base]), *_inherited(base, others)} if known else {"*"}
    return found


def test_code_lines_leave_out_docstring_comments_and_blanks() -> None:
    text = '''
        def first(
            x: int,  # of the call
        ) -> int:
            """Two
            lines."""
            # A reason.

            y = """a
            b"""
            return x + len(y)

        class Second:
            def third(self) -> None: ...
        '''
    counted = Source.of(dedent(text)).code_lines()
    assert counted == {"some.py:2 first": 6, "some.py:14 third": 1}


def test_arguments_without_a_type_are_found() -> None:
    text = "def f(a: int, b, /, *c, d=1, **e: str):\n    lambda g: g\n"
    source = Source.of(text + "class C:\n    def m(self, h) -> None: ...\n")
    found = [line.partition(" ")[2] for line in without_type(source)]
    assert found == ["f: b", "f: d", "f: c", "f: return", "m: h"]


def test_names_without_a_docstring_are_found() -> None:
    text = '''
        def f(): ...
        def _f(): ...
        class Plain:
            """Documented."""
            def m(self): ...
            def _m(self): ...
            def __len__(self): ...
            def filled(self): ...
        class Bare: ...
        class Agreed(Protocol):
            """Documented."""
            def filled(self):
                """Documented."""
            def forgotten(self): ...
        class Below(Plain):
            """Documented."""
            def m(self): ...
            def n(self): ...
        class Torchs(nn.Module):
            """Documented."""
            def forward(self): ...
        '''
    found = [line.partition(" ")[2] for line in without_docstring([Source.of(dedent(text))])]
    assert found == ["module", "f", "Plain.m", "Bare", "Agreed.forgotten", "Below.n"]


def test_no_file_is_longer_than_350_lines() -> None:
    longest = {source.path: source.text.count("\n") for source in sources(*FOLDERS)}
    assert {path: lines for path, lines in longest.items() if lines > FILE_LINES} == {}


def test_no_function_is_longer_than_50_lines_of_code() -> None:
    counted = [source.code_lines() for source in sources(*FOLDERS)]
    longer = {name: n for lines in counted for name, n in lines.items() if n > FUNCTION_CODE_LINES}
    assert longer == {}


def test_every_argument_and_result_has_a_type() -> None:
    assert [line for source in sources(*PACKAGE) for line in without_type(source)] == []


def test_every_public_name_has_a_docstring() -> None:
    assert without_docstring(sources(*PACKAGE)) == []


def print_figures() -> None:
    print(f"{'':<12}{'files':>7}{'p90':>5}{'max':>5}{'functions':>12}{'p90':>5}{'max':>5}")
    for folder in FOLDERS:
        found = sources(folder)
        files = [source.text.count("\n") for source in found]
        functions = [lines for source in found for lines in source.code_lines().values()]
        cells = [
            f"{len(sizes):>{width}}{np.percentile(sizes, 90):>5.0f}{max(sizes):>5}"
            for sizes, width in ((files, 7), (functions, 12))
        ]
        print(f"{folder:<12}{''.join(cells)}")


if __name__ == "__main__":
    print_figures()
