"""Stand-ins for heavy libraries, so that the documentation is built without torch.

Sphinx's own mocks are objects; annotations such as `Tensor | None` and pydantic's dataclasses need
real classes.
"""

import sys
from collections.abc import Sequence
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


class _AbsentType(type):
    """Type of classes whose every attribute is another such class."""

    def __getattr__(cls, name: str) -> Any:
        return _absent_class(name)

    def __getitem__(cls, key: Any) -> Any:
        return cls


def _absent_class(name: str) -> Any:
    if name.startswith("__"):
        raise AttributeError(name)
    return _AbsentType(name, (_Absent,), {})


class _Absent(metaclass=_AbsentType):
    """Takes any arguments; called with a function, as a decorator is, it returns the function."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __call__(self, function: Any = None, *args: Any, **kwargs: Any) -> Any:
        return function

    def __getattr__(self, name: str) -> Any:
        return _absent_class(name)


class _AbsentModule(ModuleType):
    __path__: Sequence[str] = ()
    __version__ = "0"

    def __getattr__(self, name: str) -> Any:
        return _absent_class(name)


class AbsentLibraries(MetaPathFinder, Loader):
    """Finds every module of the libraries `names`, whether they are installed or not."""

    def __init__(self, names: Sequence[str]) -> None:
        self.names = frozenset(names)

    def find_spec(self, fullname: str, path: Any = None, target: Any = None) -> ModuleSpec | None:
        """A spec for modules of the absent libraries only."""
        absent = fullname.partition(".")[0] in self.names
        return ModuleSpec(fullname, self, is_package=True) if absent else None

    def create_module(self, spec: ModuleSpec) -> ModuleType:
        """An empty module that has every attribute."""
        return _AbsentModule(spec.name)

    def exec_module(self, module: ModuleType) -> None:
        """Nothing to execute."""


def leave_out(*names: str) -> None:
    """From now on, importing one of these libraries gives a stand-in."""
    sys.meta_path.insert(0, AbsentLibraries(names))
