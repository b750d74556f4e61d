"""Settings of Sphinx: ``make docs``.

The source folder is the checkout, so that pages, the READMEs of the configs and model cards are
read where they are, and their links hold in a clone as on the site. The pages of the API are
written to ``docs/api`` at each build, one per package.
"""

from __future__ import annotations

import pkgutil
import shutil
from importlib import import_module
from pathlib import Path
from types import ModuleType

from sphinx.application import Sphinx

import mmdynamicvis
from mmdynamicvis.version import __version__

CHECKOUT = Path(__file__).resolve().parents[1]
LEFT_OUT = ('annotations', 'apis', 'moved', 'transforms', 'version', 'cpu', 'opencd')
"""Old import paths, the C++ sources, and what needs open-cd."""
OF_OPS = ('dispatch', 'flops')
"""Modules of the ops for users; the ops themselves are imported from the package."""

project = 'mmdynamicvis'
copyright = 'the authors of mmdynamicvis'
release = version = __version__

extensions = ['myst_nb', 'sphinx.ext.autodoc', 'sphinx.ext.napoleon']
root_doc = 'docs/index'
include_patterns = [
    'docs/**',
    'configs/*/README.md',
    'mmdynamicvis/zoo/*.md',
    'CHANGELOG.md',
    'CONTRIBUTING.md',
]
exclude_patterns = ['docs/_templates']

html_theme = 'furo'
html_title = f'mmdynamicvis {version}'
templates_path = ['_templates']
html_additional_pages = {'index': 'redirect.html'}  # to the root page, which is in docs

myst_heading_anchors = 3
nb_execution_mode = 'cache'
nb_execution_raise_on_error = True
nb_execution_show_tb = True
nb_execution_timeout = 300
nb_output_stderr = 'remove'  # logs and progress bars

default_role = 'code'
autodoc_member_order = 'bysource'
autodoc_default_options = {'members': True, 'show-inheritance': True}
napoleon_google_docstring = True
napoleon_numpy_docstring = False
python_use_unqualified_type_names = True


def write_api(_: Sphinx) -> None:
    """Write a page per public package with all of its modules."""
    folder = CHECKOUT / 'docs/api'
    pages = {'mmdynamicvis': entry('mmdynamicvis', '=', ':no-members:')}
    names = module_names()
    packages = [import_module(name) for name in names if name.count('.') == 1]
    for name in names:
        package = '.'.join(name.split('.')[:2])
        # what a package exports is documented there, by the path that users import
        exported = [
            member
            for exporter in (packages if name != package else ())
            for member in exported_from(exporter, name)
        ]
        option = f':exclude-members: {", ".join(exported)}' if exported else ''
        text = entry(name, '=' if name == package else '-', option)
        pages[package] = pages.get(package, '') + text
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir()
    for package, text in pages.items():
        (folder / f'{package}.rst').write_text(text)


def entry(name: str, underline: str, option: str) -> str:
    """Return the section of a module."""
    return f'{name}\n{underline * len(name)}\n\n.. automodule:: {name}\n   {option}\n\n'


def exported_from(package: ModuleType, module: str) -> list[str]:
    """Return the names that a package exports from one of its modules."""
    exported = {name: getattr(package, name) for name in getattr(package, '__all__', ())}
    return [n for n, value in exported.items() if getattr(value, '__module__', None) == module]


def module_names() -> list[str]:
    """Return the names of the documented modules, packages before what is in them."""
    names = []
    for module in pkgutil.walk_packages(mmdynamicvis.__path__, 'mmdynamicvis.'):
        package, *inside = module.name.split('.')[1:]
        private = any(part.startswith('_') or part in LEFT_OUT for part in (package, *inside))
        if not private and (package != 'ops' or not inside or inside[0] in OF_OPS):
            names.append(module.name)
    return names


def show_card(_: Sphinx, name: str, source: list[str]) -> None:
    """Show the fields of a model card, which Sphinx takes for metadata of the page."""
    if name.startswith('mmdynamicvis/zoo/'):
        _, card, _ = source[0].split('---\n', 2)
        source[0] += f'\n```yaml\n{card}```\n'


def setup(app: Sphinx) -> None:
    """Connect what this file adds."""
    app.connect('builder-inited', write_api)
    app.connect('source-read', show_card)
