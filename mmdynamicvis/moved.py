"""Old import paths, which keep working for one release."""

from __future__ import annotations

import sys
import warnings
from collections.abc import Callable, Mapping, Sequence
from importlib import import_module
from importlib.abc import Loader, MetaPathFinder
from importlib.machinery import ModuleSpec
from types import ModuleType
from typing import Any


def moved_package(
    package: str, modules: Mapping[str, str], names: Mapping[str, str]
) -> Callable[[str], Any]:
    """Keep the contents of a moved package importable from it, with a DeprecationWarning.

    Args:
        package: ``__name__`` of the package at the old path.
        modules: Old module in the package -> new module; also applies to submodules.
        names: Public name of the old package -> module that defines it now.

    Returns:
        The package's ``__getattr__``.
    """
    old = {f'{package}.{name}': new for name, new in modules.items()}
    sys.meta_path.insert(0, _OldModules(old))

    def get(name: str) -> Any:
        if name not in names:
            raise AttributeError(f'module {package!r} has no attribute {name!r}')
        _warn(f'{package}.{name}', f'{names[name]}.{name}')
        return getattr(import_module(names[name]), name)

    return get


def moved_module(old: str, new: str) -> None:
    """Make an old module name an alias of the new module, with a DeprecationWarning.

    Args:
        old: ``__name__`` of the module at the old path.
        new: Name of the new module.
    """
    _warn(old, new)
    # `import` returns this entry
    sys.modules[old] = import_module(new)


class _OldModules(MetaPathFinder, Loader):
    """Finds the new modules by their old names."""

    def __init__(self, modules: Mapping[str, str]) -> None:
        self.modules = modules

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> ModuleSpec | None:
        return None if self._new(fullname) is None else ModuleSpec(fullname, self)

    def exec_module(self, module: ModuleType) -> None:
        moved_module(module.__name__, self._new(module.__name__))

    def _new(self, name: str) -> str | None:
        for old, new in self.modules.items():
            if name == old or name.startswith(f'{old}.'):
                return new + name[len(old) :]
        return None


def _warn(old: str, new: str) -> None:
    warnings.warn(
        f'{old} has moved to {new}; the old name will be removed in release 0.3',
        DeprecationWarning,
        stacklevel=3,
    )
